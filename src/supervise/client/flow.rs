//! The bytes of the client: from the box to the screen, from the keyboard to the box, and the last of them at the end.

#![forbid(unsafe_code)]

use super::keys::Typed;
use super::{Client, ClientEnd, Interrupt, Role};
use crate::exit;
use crate::launch::message::SignalTo;
use crate::supervise::queue::Moved;
use crate::supervise::signals::Scope;
use crate::supervise::terminal::{Terminal, Unread};
use crate::sys::sigaction::is_ignored;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// How long a last answer of the terminal is waited for, and how long a terminal may refuse bytes before a stop or an end goes
/// on without them.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long answers are read in all, against somebody who types.
const MOST: Duration = Duration::from_secs(1);

impl Client {
    pub(super) fn read_data(&mut self) {
        if self.watch.is_some() {
            self.take_turn();
        }
        let Some(data) = &self.data else { return };
        if !self.screen.is_empty() {
            return;
        }
        let (moved, count) = self.screen.fill(|room| data.read(room));
        let pending = self.screen.pending();
        let new = pending.len().saturating_sub(count);
        let new = pending.get(new..).unwrap_or_default();
        self.modes.see(new);
        if let Some(last) = new.last() {
            self.midst = *last != b'\n' && !self.modes.is_alternate();
        }
        if moved == Moved::End || (moved == Moved::Wait && self.control.is_none()) {
            self.data = None;
            self.keys.clear();
        }
    }

    pub(super) fn writes_may_wait(&self) -> bool {
        self.terminal.as_ref().is_some_and(Terminal::write_may_wait)
    }

    /// Writes what the terminal takes. A terminal that is gone takes everything.
    pub(super) fn write_screen(&mut self) -> Moved {
        let terminal = self.terminal.as_mut();
        let moved = match &terminal {
            Some(terminal) => self.screen.flush(|bytes| terminal.write(bytes)),
            None => Moved::End,
        };
        if moved == Moved::End {
            self.screen.clear();
            if let Some(terminal) = terminal {
                terminal.close_output();
            }
        }
        moved
    }

    /// Shows all that has come so far, for as long as the terminal takes it.
    pub(super) fn show_all(&mut self) {
        // The bound is for processes of the background, which may write on while the command is stopped.
        for _ in 0..64 {
            self.read_data();
            if self.screen.is_empty() {
                return;
            }
            while !self.screen.is_empty() {
                let ready = self.terminal.as_ref().and_then(Terminal::output);
                if let Some(fd) = ready
                    && !ready_within(fd, PollFlags::POLLOUT, PATIENCE)
                {
                    return;
                }
                self.write_screen();
            }
        }
    }

    pub(super) fn read_keys(&mut self) {
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        let (role, escape) = (self.role, &mut self.escape);
        let (mut leaves, mut answered) = (false, 0);
        let mut read_terminal = |room: &mut [u8]| {
            let len = terminal.read(room)?;
            let typed = room.get(..len).unwrap_or_default();
            if terminal.is_interrupted_by(typed) {
                self.interrupt = Interrupt::Typed(Scope::Group);
            }
            answered += self.answers.see(typed);
            Ok(len)
        };
        let read = |room: &mut [u8]| {
            if role != Role::Viewer {
                return read_terminal(room);
            }
            // One byte is kept free for a prefix that was held back.
            let most = room.len().saturating_sub(1);
            let len = read_terminal(room.get_mut(..most).unwrap_or_default())?;
            if len == 0 {
                return Ok(0);
            }
            match escape.sift(room, len) {
                // Nothing for the box yet, and not the end.
                Typed::Keys(0) => Err(Errno::EAGAIN),
                Typed::Keys(kept) => Ok(kept),
                Typed::Leave(kept) => {
                    leaves = true;
                    if kept > 0 {
                        Ok(kept)
                    } else {
                        Err(Errno::EAGAIN)
                    }
                }
            }
        };
        let moved = self.keys.fill(read).0;
        self.modes.answered(answered);
        if leaves {
            self.write_keys();
            self.leave();
            return;
        }
        match moved {
            Moved::Some | Moved::Wait => {}
            Moved::End if self.terminal.as_ref().is_some_and(Terminal::is_gone) => {
                if self.role == Role::Viewer {
                    self.leave();
                    return;
                }
                if let Some(terminal) = &mut self.terminal {
                    terminal.close_input();
                }
                if !is_ignored(Signal::SIGHUP) {
                    self.hang_up(SignalTo::Foreground);
                }
            }
            // It is not our turn any more (EIO in a group that no shell looks after).
            Moved::End => {
                if let Some(terminal) = &mut self.terminal {
                    terminal.enter_raw();
                }
                self.watch_unless_raw();
            }
        }
    }

    pub(super) fn write_keys(&mut self) {
        let Some(data) = &self.data else { return };
        if self.keys.flush(|bytes| data.write(bytes)) == Moved::End {
            self.keys.clear();
        }
    }

    /// The end: what the command left on is switched off if it had no chance to, and the terminal is given back.
    pub(super) fn finish(&mut self, end: ClientEnd) -> ClientEnd {
        let status = end.status();
        let is_ours = |terminal: &Terminal| terminal.is_raw() && terminal.is_foreground();
        let end = match (end, self.interrupt) {
            (ClientEnd::Ended { .. }, Interrupt::Fatal(scope))
                if scope == Scope::Itself || self.terminal.as_ref().is_some_and(is_ours) =>
            {
                ClientEnd::Interrupted(scope)
            }
            (end, _) => end,
        };
        // Who leaves a session takes off the terminal what that has set on it.
        if status > 128 || status == exit::TIME_LIMIT || end == ClientEnd::Detached {
            self.screen.append(&self.modes.resets());
            // Neither what is said of it nor the shell's prompt is to stand in the midst of what it has drawn.
            if self.midst {
                self.screen.append(b"\r\n\x1b[J");
            }
            self.show_all();
        }
        self.discard_answers(Unread::Discard);
        if let Some(terminal) = &mut self.terminal {
            terminal.leave_raw(Unread::Discard);
        }
        for line in std::mem::take(&mut self.last) {
            self.say(&line);
        }
        if end == ClientEnd::Lost {
            self.say("the supervisor is gone without a word; the box died with it");
        }
        end
    }

    /// Reads and forgets what the terminal answers to questions that a program asked before it stopped or ended. Else the shell
    /// would get it as typed. What is typed is the shell's where it is kept: from the first key on that is no answer.
    pub(super) fn discard_answers(&mut self, unread: Unread) {
        let Some(terminal) = self.terminal.as_ref().filter(|terminal| terminal.is_raw()) else {
            return;
        };
        let until = Instant::now() + MOST;
        let mut room = [0; 4096];
        while self.modes.awaits_answer() && Instant::now() < until {
            let Some(fd) = terminal.input() else { return };
            if !ready_within(fd, PollFlags::POLLIN, PATIENCE) {
                return;
            }
            match terminal.read(&mut room) {
                Ok(0) => return,
                Ok(len) => {
                    let count = self.answers.see(room.get(..len).unwrap_or_default());
                    self.modes.answered(count);
                    if unread == Unread::Keep && count == 0 && !self.answers.is_within() {
                        return;
                    }
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(_) => return,
            }
        }
    }
}

fn ready_within(fd: BorrowedFd<'_>, flags: PollFlags, patience: Duration) -> bool {
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut [PollFd::new(fd, flags)], timeout) {
            Err(Errno::EINTR) => {}
            found => return found.is_ok_and(|count| count > 0),
        }
    }
}
