//! [`Screen`]: the pump between the master of the box's pseudo-terminal and those who look at it, with what was last written.
//!
//! Bytes pass unread and unaltered. The only viewer holds the writer back when it does not read, as a terminal does; of several
//! the fastest does, and one that is left behind is shown the end of what it missed.

#![forbid(unsafe_code)]

use super::queue::{Moved, Queue};
use super::relay::{Drained, RelayError, Wish, readable, set_nonblocking, wait, wish};
use super::replay::without_questions;
use crate::sys::tty::{self, Winsize};
use nix::errno::Errno;
use nix::poll::{PollFlags, PollTimeout};
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use nix::unistd::{read, write};
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// Bytes of output that are kept for who attaches.
const KEPT: usize = 256 * 1024;

/// Bytes of one read of the master.
const PIECE: usize = 16 * 1024;

/// One who looks at the terminal.
#[derive(Debug)]
struct Viewer {
    id: u32,
    data: OwnedFd,
    output: Queue,
    /// It missed something.
    behind: bool,
}

/// The pump of the terminal.
#[derive(Debug)]
pub(super) struct Screen {
    /// `None` when every slave is closed and all has been read.
    master: Option<OwnedFd>,
    viewers: Vec<Viewer>,
    input: Queue,
    kept: VecDeque<u8>,
    /// How many of these somebody has been shown.
    shown: usize,
    last: u32,
    /// Who typed last.
    active: Option<u32>,
    /// Bytes that were written, and that were typed, since the start.
    traffic: (u64, u64),
}

impl Screen {
    /// Takes the master, which becomes non-blocking. Output that nobody looks at is kept and thrown away, so that the box does
    /// not hang on it.
    pub(super) fn new(master: OwnedFd) -> Result<Screen, RelayError> {
        set_nonblocking(&master)?;
        Ok(Screen {
            master: Some(master),
            viewers: Vec::new(),
            input: Queue::new(),
            kept: VecDeque::new(),
            shown: 0,
            last: 0,
            active: None,
            traffic: (0, 0),
        })
    }

    #[cfg(test)]
    fn with_viewer(master: OwnedFd, data: OwnedFd) -> Result<Screen, RelayError> {
        let mut screen = Screen::new(master)?;
        screen.add(data);
        Ok(screen)
    }

    /// One more looks, at the supervisor's end of this socket, and is shown what was last written. Returns its number.
    pub(super) fn add(&mut self, data: OwnedFd) -> u32 {
        self.last = self.last.wrapping_add(1);
        let mut output = Queue::new();
        output.append(&without_questions(self.kept.make_contiguous(), self.shown));
        self.shown = self.kept.len();
        self.viewers.push(Viewer {
            id: self.last,
            data,
            output,
            behind: false,
        });
        self.active = Some(self.last);
        self.last
    }

    /// It looks no more.
    pub(super) fn remove(&mut self, id: u32) {
        self.viewers.retain(|viewer| viewer.id != id);
        self.active = self.active.filter(|active| *active != id);
    }

    /// How many look.
    pub(super) fn viewers(&self) -> usize {
        self.viewers.len()
    }

    /// Who typed last, or came last.
    pub(super) fn active(&self) -> Option<u32> {
        self.active
    }

    /// Bytes that were written, and that were typed, since the start.
    pub(super) fn traffic(&self) -> (u64, u64) {
        self.traffic
    }

    /// What it waits for: at the master, then at each viewer.
    pub(super) fn wishes(&self) -> Vec<Wish<'_>> {
        let master = wish(self.room() > 0, !self.input.is_empty());
        let types = self.input.has_space() && self.master.is_some();
        let master = self.master.as_ref().map(AsFd::as_fd).zip(master);
        let viewers = self.viewers.iter().map(|viewer| {
            let wish = wish(types, !viewer.output.is_empty());
            Some(viewer.data.as_fd()).zip(wish)
        });
        std::iter::once(master).chain(viewers).collect()
    }

    /// Moves what can be moved without waiting. `found` is what poll(2) said of [`Screen::wishes`].
    pub(super) fn moved(&mut self, found: &[PollFlags]) {
        let at = |index: usize| found.get(index).copied().unwrap_or(PollFlags::empty());
        if at(0).intersects(readable()) {
            self.read_master();
        }
        self.write_viewers();
        for index in (0..self.viewers.len()).rev() {
            if at(index + 1).intersects(readable()) {
                self.read_viewer(index);
            }
        }
        if !self.input.is_empty() {
            self.write_master();
        }
    }

    /// Moves what the terminal holds right now. True if all of it is handed over: then everything that the command wrote
    /// before (leaving the alternate screen before it stopped) reaches the clients ahead of the next control message. False
    /// if one has to read first: ask again when [`Screen::moved`] has moved something.
    #[must_use]
    pub(super) fn settle(&mut self) -> bool {
        // A process of the background may write on without end. What was written before this call is at most the queue and
        // the 64 KiB that the kernel buffers for a terminal, so a few rounds that moved all they found have moved it.
        for _ in 0..4 {
            self.read_master();
            if self.is_shown() {
                return true;
            }
            self.write_viewers();
            if !self.is_shown() {
                return false;
            }
        }
        true
    }

    fn is_shown(&self) -> bool {
        self.viewers.iter().all(|viewer| viewer.output.is_empty())
    }

    /// The box has no terminal any more: who reads it finds the end of the file, who writes EIO (tty_ioctl(4)).
    pub(super) fn hang_up(&mut self) {
        self.read_master();
        self.master = None;
    }

    /// True when everything has been handed over and nothing more can come.
    #[must_use]
    pub(super) fn finished(&self) -> bool {
        self.master.is_none() && self.is_shown()
    }

    /// True while somebody looks.
    #[must_use]
    pub(super) fn has_client(&self) -> bool {
        !self.viewers.is_empty()
    }

    /// At the end, when every process of the box is dead: hands over what is left and closes the output. The hang-up of the
    /// master (EIO) is the proof that nothing is left, since the kernel reports it only behind the last byte. Waits; gives
    /// up when nothing moves for `patience` (a client that is stopped).
    pub(super) fn drain(&mut self, patience: Duration) -> Drained {
        self.input.clear();
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let end = loop {
            if !self.has_client() {
                break Drained::ClientGone;
            }
            if self.finished() {
                break Drained::Complete;
            }
            let Some(found) = wait(&self.wishes(), timeout) else {
                break Drained::Stuck;
            };
            self.moved(&found);
            self.input.clear();
        };
        self.close_output();
        end
    }

    /// Tells the clients that no more output comes. By shutdown(2), which holds whoever else has inherited the socket.
    fn close_output(&mut self) {
        for viewer in self.viewers.drain(..) {
            // The only possible failure is that the client is gone, which is what we want to say to it.
            let _gone = shutdown(viewer.data.as_raw_fd(), Shutdown::Both);
        }
    }

    /// The window has another size: the foreground group of the box gets SIGWINCH.
    pub(super) fn set_winsize(&self, size: Winsize) -> Result<(), RelayError> {
        let Some(master) = &self.master else {
            return Ok(());
        };
        tty::set_window_size(master.as_fd(), size).map_err(|errno| RelayError {
            call: "TIOCSWINSZ",
            errno,
        })
    }

    /// The size of the window now.
    pub(super) fn winsize(&self) -> Option<Winsize> {
        tty::window_size(self.master.as_ref()?.as_fd()).ok()
    }

    /// How much may be read of the master: what the viewer with the most room takes.
    fn room(&self) -> usize {
        let most = self.viewers.iter().map(|viewer| viewer.output.room()).max();
        most.unwrap_or(PIECE).min(PIECE)
    }

    fn read_master(&mut self) {
        let mut buf = [0; PIECE];
        while let Some(master) = &self.master {
            let room = self.room();
            if room == 0 {
                return;
            }
            match read(master, buf.get_mut(..room).unwrap_or_default()) {
                Ok(0) => self.master = None,
                Ok(n) => {
                    let bytes = buf.get(..n).unwrap_or_default();
                    self.keep(bytes);
                    self.show(bytes);
                    self.traffic.0 = self.traffic.0.saturating_add(n as u64);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(_) => self.master = None,
            }
            if self.viewers.is_empty() {
                // Nobody holds the writer back: the loop must see to other things, too.
                return;
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        if self.has_client() {
            self.shown = self.kept.len();
        }
        let surplus = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..surplus);
        self.shown = self.shown.saturating_sub(surplus);
    }

    fn show(&mut self, bytes: &[u8]) {
        for viewer in &mut self.viewers {
            if viewer.behind || viewer.output.room() < bytes.len() {
                viewer.behind = true;
            } else {
                viewer.output.append(bytes);
            }
        }
    }

    fn write_viewers(&mut self) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let mut gone = Vec::new();
        for viewer in &mut self.viewers {
            let fd = viewer.data.as_raw_fd();
            if viewer.output.flush(|bytes| send(fd, bytes, flags)) == Moved::End {
                gone.push(viewer.id);
            }
            if viewer.behind && viewer.output.is_empty() {
                viewer.behind = false;
                let skip = self.kept.len().saturating_sub(PIECE);
                let end: Vec<u8> = self.kept.iter().skip(skip).copied().collect();
                viewer.output.append(&end);
            }
        }
        gone.into_iter().for_each(|id| self.remove(id));
    }

    fn read_viewer(&mut self, index: usize) {
        let Some(viewer) = self.viewers.get(index) else {
            return;
        };
        if !self.input.has_space() {
            return;
        }
        let (id, fd) = (viewer.id, viewer.data.as_raw_fd());
        let (moved, count) = self
            .input
            .fill(|room| recv(fd, room, MsgFlags::MSG_DONTWAIT));
        match moved {
            Moved::Some => {
                self.active = Some(id);
                self.traffic.1 = self.traffic.1.saturating_add(count as u64);
            }
            Moved::Wait => {}
            Moved::End => self.remove(id),
        }
    }

    fn write_master(&mut self) {
        let Some(master) = &self.master else {
            self.input.clear();
            return;
        };
        if self.input.flush(|bytes| write(master, bytes)) == Moved::End {
            self.input.clear();
        }
    }
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
