//! The supervisor's pumps: [`Relay`] between the master of the box's pseudo-terminal and the client's data socket, and
//! [`RelayPipe`] between a nameless AF_UNIX socket of the caller and the pipe that the box has in its place.
//!
//! Bytes pass unread and unaltered. Nothing waits: the supervisor's poll loop asks for [`Relay::pollfds`] and answers with
//! [`Relay::on_ready`]. Whoever does not read only fills a queue of 64 KiB, after which the writer is no longer read.

#![forbid(unsafe_code)]

use super::queue::{Moved, Queue};
use crate::sys::tty::{self, Winsize};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use nix::unistd::{pipe2, read, write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// A call that makes a relay failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot relay: {call}: {errno}")]
pub struct RelayError {
    /// The call.
    pub call: &'static str,
    /// Why.
    pub errno: Errno,
}

/// Where the two descriptors of a relay are in a poll set.
#[derive(Debug, Clone, Copy)]
pub struct Slots(Option<usize>, Option<usize>);

/// What poll(2) said about them. Copied out, so that the set (which borrows the relay) can go before the relay works.
#[derive(Debug, Clone, Copy)]
pub struct Ready(PollFlags, PollFlags);

impl Ready {
    const NONE: Ready = Ready(PollFlags::empty(), PollFlags::empty());
}

impl Slots {
    fn push<'a>(
        set: &mut Vec<PollFd<'a>>,
        first: Option<(&'a OwnedFd, PollFlags)>,
        second: Option<(&'a OwnedFd, PollFlags)>,
    ) -> Slots {
        let mut add = |entry: Option<(&'a OwnedFd, PollFlags)>| {
            entry.map(|(fd, flags)| {
                set.push(PollFd::new(fd.as_fd(), flags));
                set.len().saturating_sub(1)
            })
        };
        Slots(add(first), add(second))
    }

    /// What poll(2) found.
    #[must_use]
    pub fn ready(self, set: &[PollFd<'_>]) -> Ready {
        let look = |slot: Option<usize>| {
            let entry = slot.and_then(|index| set.get(index));
            entry
                .and_then(PollFd::revents)
                .unwrap_or(PollFlags::empty())
        };
        Ready(look(self.0), look(self.1))
    }
}

/// How [`Relay::drain`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Drained {
    /// All that was ever written to the terminal has been handed over.
    Complete,
    /// The client is gone; the rest was thrown away.
    ClientGone,
    /// Nothing moved for the time that was given.
    Stuck,
}

/// The pump between the pseudo-terminal and the client.
#[derive(Debug)]
pub struct Relay {
    /// `None` when every slave is closed and all has been read.
    master: Option<OwnedFd>,
    /// `None` when the client is gone: output is then read and thrown away, so that the box does not hang on it.
    data: Option<OwnedFd>,
    output: Queue,
    input: Queue,
}

impl Relay {
    /// Takes the master (which becomes non-blocking) and the supervisor's end of the data socket.
    pub fn new(master: OwnedFd, data: OwnedFd) -> Result<Relay, RelayError> {
        set_nonblocking(&master)?;
        Ok(Relay {
            master: Some(master),
            data: Some(data),
            output: Queue::new(),
            input: Queue::new(),
        })
    }

    /// Adds what the relay waits for to a poll set. A descriptor without a wish is left out: poll(2) reports hang-ups
    /// unasked, and a loop that cannot act on one would spin.
    pub fn pollfds<'a>(&'a self, set: &mut Vec<PollFd<'a>>) -> Slots {
        let master = wish(self.output.has_space(), !self.input.is_empty());
        let data = wish(
            self.input.has_space() && self.master.is_some(),
            !self.output.is_empty(),
        );
        Slots::push(
            set,
            self.master.as_ref().zip(master),
            self.data.as_ref().zip(data),
        )
    }

    /// Moves what can be moved without waiting.
    pub fn on_ready(&mut self, ready: Ready) {
        let Ready(master, data) = ready;
        if master.intersects(readable()) {
            self.read_master();
        }
        if !self.output.is_empty() {
            self.write_data();
        }
        if data.intersects(readable()) {
            self.read_data();
        }
        if !self.input.is_empty() {
            self.write_master();
        }
    }

    /// Moves what the terminal holds right now. True if all of it is handed over: then everything that the command wrote
    /// before (leaving the alternate screen before it stopped) reaches the client ahead of the next control message.
    #[must_use]
    pub fn settle(&mut self) -> bool {
        loop {
            let before = self.output.pending().len();
            self.read_master();
            if self.output.is_empty() {
                return true;
            }
            self.write_data();
            if !self.output.is_empty() && self.output.pending().len() >= before {
                return false;
            }
        }
    }

    /// True when everything has been handed over and nothing more can come.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.master.is_none() && (self.output.is_empty() || self.data.is_none())
    }

    /// True while there is a client.
    #[must_use]
    pub fn has_client(&self) -> bool {
        self.data.is_some()
    }

    /// At the end, when every process of the box is dead: hands over what is left and closes the output. The hang-up of the
    /// master (EIO) is the proof that nothing is left, since the kernel reports it only behind the last byte. Waits; gives
    /// up when nothing moves for `patience` (a client that is stopped).
    pub fn drain(&mut self, patience: Duration) -> Drained {
        self.input.clear();
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let end = loop {
            if self.data.is_none() {
                break Drained::ClientGone;
            }
            if self.finished() {
                break Drained::Complete;
            }
            let mut set = Vec::with_capacity(2);
            let slots = self.pollfds(&mut set);
            let ready = match poll(&mut set, timeout) {
                Ok(0) => break Drained::Stuck,
                Ok(_) => slots.ready(&set),
                Err(_) => Ready::NONE,
            };
            drop(set);
            self.on_ready(ready);
            self.input.clear();
        };
        self.close_output();
        end
    }

    /// Tells the client that no more output comes. By shutdown(2), which holds whoever else has inherited the socket.
    pub fn close_output(&mut self) {
        if let Some(data) = self.data.take() {
            // The only possible failure is that the client is gone, which is what we want to say to it.
            let _gone = shutdown(data.as_raw_fd(), Shutdown::Both);
        }
    }

    /// The window has another size: the foreground group of the box gets SIGWINCH.
    pub fn set_winsize(&self, size: Winsize) -> Result<(), RelayError> {
        match &self.master {
            Some(master) => set_winsize(master, size),
            None => Ok(()),
        }
    }

    fn read_master(&mut self) {
        while let Some(master) = &self.master
            && self.output.has_space()
        {
            match self.output.fill(|room| read(master, room)).0 {
                Moved::Some => {}
                Moved::Wait => break,
                Moved::End => self.master = None,
            }
            if self.data.is_none() {
                self.output.clear();
            }
        }
    }

    fn write_data(&mut self) {
        let Some(data) = &self.data else { return };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let fd = data.as_raw_fd();
        if self.output.flush(|bytes| send(fd, bytes, flags)) == Moved::End {
            self.client_gone();
        }
    }

    fn read_data(&mut self) {
        let Some(data) = &self.data else { return };
        if !self.input.has_space() {
            return;
        }
        let fd = data.as_raw_fd();
        let moved = self
            .input
            .fill(|room| recv(fd, room, MsgFlags::MSG_DONTWAIT));
        if moved.0 == Moved::End {
            self.client_gone();
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

    fn client_gone(&mut self) {
        self.data = None;
        self.output.clear();
    }
}

/// TIOCSWINSZ on a master.
pub fn set_winsize(master: &OwnedFd, size: Winsize) -> Result<(), RelayError> {
    tty::set_window_size(master.as_fd(), size).map_err(|errno| RelayError {
        call: "TIOCSWINSZ",
        errno,
    })
}

/// Which way a [`RelayPipe`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the caller's socket into the box (stdin).
    In,
    /// From the box to the caller's socket (stdout, stderr).
    Out,
}

/// The pump between a nameless AF_UNIX socket of the caller and a pipe of the box. Each end of one side is passed on to the
/// other: end of file forward, "nobody reads any more" backward. Ends are told by closing and never by shutdown(2), because the
/// socket is also the caller's (`agentbox run x; echo done` goes on writing to it).
#[derive(Debug)]
pub struct RelayPipe {
    direction: Direction,
    socket: Option<OwnedFd>,
    pipe: Option<OwnedFd>,
    queue: Queue,
}

impl RelayPipe {
    /// Takes (a duplicate of) the caller's socket; returns the pump and the box's end of the pipe, which whoever is not the
    /// box has to close.
    pub fn new(direction: Direction, socket: OwnedFd) -> Result<(RelayPipe, OwnedFd), RelayError> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| RelayError {
            call: "pipe2",
            errno,
        })?;
        let (ours, theirs) = match direction {
            Direction::In => (writer, reader),
            Direction::Out => (reader, writer),
        };
        // The two ends of a pipe are two open files: the box's end stays blocking.
        set_nonblocking(&ours)?;
        Ok((
            RelayPipe {
                direction,
                socket: Some(socket),
                pipe: Some(ours),
                queue: Queue::new(),
            },
            theirs,
        ))
    }

    /// Adds what the relay waits for to a poll set.
    pub fn pollfds<'a>(&'a self, set: &mut Vec<PollFd<'a>>) -> Slots {
        let source = self.queue.has_space().then_some(PollFlags::POLLIN);
        // Without a wish as well: that nobody reads any more (POLLERR, POLLHUP) is the event, and it ends the relay.
        let sink = Some(if self.queue.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::POLLOUT
        });
        let (socket, pipe) = match self.direction {
            Direction::In => (source, sink),
            Direction::Out => (sink, source),
        };
        Slots::push(
            set,
            self.socket.as_ref().zip(socket),
            self.pipe.as_ref().zip(pipe),
        )
    }

    /// Moves what can be moved without waiting.
    pub fn on_ready(&mut self, ready: Ready) {
        let Ready(socket, pipe) = ready;
        let (source, sink) = match self.direction {
            Direction::In => (socket, pipe),
            Direction::Out => (pipe, socket),
        };
        if sink.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL) {
            self.end();
            return;
        }
        if source.intersects(readable()) {
            self.fill();
        }
        self.flush();
    }

    /// True when both sides are closed.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.socket.is_none() && self.pipe.is_none()
    }

    /// At the end, when every process of the box is dead: hands over what is left in the pipe. Waits; gives up when nothing
    /// moves for `patience`.
    pub fn drain(&mut self, patience: Duration) -> Drained {
        if self.direction == Direction::In {
            self.end();
        }
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        while !self.finished() {
            let mut set = Vec::with_capacity(2);
            let slots = self.pollfds(&mut set);
            let ready = match poll(&mut set, timeout) {
                Ok(0) => return Drained::Stuck,
                Ok(_) => slots.ready(&set),
                Err(_) => Ready::NONE,
            };
            drop(set);
            self.on_ready(ready);
        }
        Drained::Complete
    }

    fn fill(&mut self) {
        let moved = match (self.direction, &self.socket, &self.pipe) {
            (Direction::In, Some(socket), _) => {
                let fd = socket.as_raw_fd();
                self.queue
                    .fill(|room| recv(fd, room, MsgFlags::MSG_DONTWAIT))
                    .0
            }
            (Direction::Out, _, Some(pipe)) => self.queue.fill(|room| read(pipe, room)).0,
            _ => return,
        };
        if moved == Moved::End {
            match self.direction {
                Direction::In => self.socket = None,
                Direction::Out => self.pipe = None,
            }
        }
    }

    fn flush(&mut self) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let moved = match (self.direction, &self.socket, &self.pipe) {
            (Direction::In, _, Some(pipe)) => self.queue.flush(|bytes| write(pipe, bytes)),
            (Direction::Out, Some(socket), _) => {
                let fd = socket.as_raw_fd();
                self.queue.flush(|bytes| send(fd, bytes, flags))
            }
            _ => return,
        };
        let source_ended = match self.direction {
            Direction::In => self.socket.is_none(),
            Direction::Out => self.pipe.is_none(),
        };
        if moved == Moved::End || (source_ended && self.queue.is_empty()) {
            self.end();
        }
    }

    fn end(&mut self) {
        self.socket = None;
        self.pipe = None;
        self.queue.clear();
    }
}

/// What to ask poll(2) for; `None` is nothing.
fn wish(input: bool, output: bool) -> Option<PollFlags> {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::POLLIN, input);
    flags.set(PollFlags::POLLOUT, output);
    (!flags.is_empty()).then_some(flags)
}

/// A read will not wait: there are bytes, or it tells the end or the error.
fn readable() -> PollFlags {
    PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL
}

fn set_nonblocking(fd: &OwnedFd) -> Result<(), RelayError> {
    let call = |errno| RelayError {
        call: "fcntl",
        errno,
    };
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).map_err(call)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map_err(call)?;
    Ok(())
}
