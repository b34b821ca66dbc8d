//! [`RelayPipe`]: the supervisor's pump between a pipe, a file or a nameless AF_UNIX socket of the caller and the pipe that the
//! box has in its place, and what it shares with the pump of the terminal (`super::screen`). The box never has the caller's
//! own: who has one end of a pipe can open the other (/proc/self/fd), and so write what the caller's shell reads next.
//!
//! Bytes pass unread and unaltered. Nothing waits: the supervisor's poll loop asks for [`RelayPipe::wishes`] and answers with
//! [`RelayPipe::moved`]. Whoever does not read only fills a queue of 64 KiB, after which the writer is no longer read.

#![forbid(unsafe_code)]

use super::flow::{Peek, Through};
use super::queue::{Moved, Queue};
use crate::sys::pipe;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Whence, lseek, pipe2, read, write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
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

/// What a relay waits for at one of its descriptors. One without a wish is left out: poll(2) reports hang-ups unasked, and a
/// loop that cannot act on one would spin.
pub type Wish<'a> = Option<(BorrowedFd<'a>, PollFlags)>;

/// Waits for one of these wishes; what was found at each, `None` when nothing happened within `timeout`.
pub(super) fn wait(wishes: &[Wish<'_>], timeout: PollTimeout) -> Option<Vec<PollFlags>> {
    let mut found = vec![PollFlags::empty(); wishes.len()];
    let mut set: Vec<_> = wishes
        .iter()
        .flatten()
        .map(|(fd, flags)| PollFd::new(*fd, *flags))
        .collect();
    match poll(&mut set, timeout) {
        Ok(0) => return None,
        Ok(_) => {}
        Err(_) => return Some(found),
    }
    let mut polled = set.iter();
    for (wish, found) in wishes.iter().zip(&mut found) {
        if wish.is_some() {
            *found = polled.next().and_then(PollFd::revents).unwrap_or(*found);
        }
    }
    Some(found)
}

/// How a drain ended.
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

/// Which way a [`RelayPipe`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the caller into the box (stdin).
    In,
    /// From the box to the caller (stdout, stderr).
    Out,
}

/// What became of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Something happened, and what could be moved was.
    Moved,
    /// It is to stop.
    Woken,
    /// Nothing happened for the time that was given.
    Still,
}

/// How the bytes pass.
#[derive(Debug)]
enum Way {
    /// By way of the queue.
    Queue,
    /// The same, and what the box did not read is put back at the end, by the offset.
    File {
        /// The box's end, to see how much that is when ours is closed.
        theirs: OwnedFd,
        /// All of it has been read.
        ended: bool,
        /// How many bytes were read: more is never put back, whatever the box wrote into its pipe.
        taken: usize,
    },
    /// From a pipe.
    Peek(Peek),
    /// To a pipe.
    Through(Through),
}

/// The pump between a descriptor of the caller and a pipe of the box. Each end of one side is passed on to the
/// other: end of file forward, "nobody reads any more" backward. Ends are told by closing and never by shutdown(2), because the
/// descriptor is also the caller's (`agentbox run x; echo done` goes on writing to it).
#[derive(Debug)]
pub struct RelayPipe {
    direction: Direction,
    socket: Option<OwnedFd>,
    pipe: Option<OwnedFd>,
    queue: Queue,
    way: Way,
}

impl RelayPipe {
    /// Takes (a duplicate of) the caller's descriptor; returns the pump and the box's end of the pipe, which whoever is not the
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
        let call = |call| move |errno| RelayError { call, errno };
        let stat = fstat(&socket).map_err(call("fstat"))?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        let way = match (kind, direction) {
            (SFlag::S_IFIFO, Direction::In) => {
                Way::Peek(Peek::new(ours.as_fd()).map_err(call("fcntl F_SETPIPE_SZ"))?)
            }
            (SFlag::S_IFIFO, Direction::Out) => Way::Through(Through::default()),
            (SFlag::S_IFREG, Direction::In) => Way::File {
                theirs: theirs.try_clone().map_err(|e| RelayError {
                    call: "dup",
                    errno: crate::sys::errno_of(&e),
                })?,
                ended: false,
                taken: 0,
            },
            _ => Way::Queue,
        };
        Ok((
            RelayPipe {
                direction,
                socket: Some(socket),
                pipe: Some(ours),
                queue: Queue::new(),
                way,
            },
            theirs,
        ))
    }

    /// Which way it goes.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// All that it has open.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let also = match &self.way {
            Way::File { theirs, .. } => Some(theirs.as_raw_fd()),
            Way::Peek(peek) => Some(peek.descriptor()),
            Way::Queue | Way::Through(_) => None,
        };
        let own = self.socket.iter().chain(&self.pipe);
        own.map(AsRawFd::as_raw_fd).chain(also)
    }

    /// What it waits for: at the socket, at the pipe.
    #[must_use]
    pub fn wishes(&self) -> [Wish<'_>; 2] {
        let (reads, writes) = match &self.way {
            Way::Queue => (self.queue.has_space(), !self.queue.is_empty()),
            Way::File { ended, .. } => (self.queue.has_space() && !ended, !self.queue.is_empty()),
            Way::Peek(peek) => (!peek.holds(), peek.holds()),
            Way::Through(through) => (!through.waits_for_sink(), through.waits_for_sink()),
        };
        let source = reads.then_some(PollFlags::POLLIN);
        // Without a wish as well: that nobody reads any more (POLLERR, POLLHUP) is the event, and it ends the relay.
        let sink = Some(if writes {
            PollFlags::POLLOUT
        } else {
            PollFlags::empty()
        });
        let (socket, pipe) = match self.direction {
            Direction::In => (source, sink),
            Direction::Out => (sink, source),
        };
        [
            self.socket.as_ref().map(AsFd::as_fd).zip(socket),
            self.pipe.as_ref().map(AsFd::as_fd).zip(pipe),
        ]
    }

    /// Moves what can be moved without waiting.
    pub fn moved(&mut self, [socket, pipe]: [PollFlags; 2]) {
        let (source, sink) = match self.direction {
            Direction::In => (socket, pipe),
            Direction::Out => (pipe, socket),
        };
        if sink.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL) {
            self.end();
            return;
        }
        let ready = source.intersects(readable()) || sink.contains(PollFlags::POLLOUT);
        let (Some(socket), Some(pipe)) = (&self.socket, &self.pipe) else {
            // What is left of the queue.
            return self.flush();
        };
        let moved = match &mut self.way {
            Way::Peek(peek) if ready => peek.moved(socket.as_fd(), pipe.as_fd()),
            Way::Through(through) if ready => through.moved(pipe.as_fd(), socket.as_fd()),
            Way::Peek(_) | Way::Through(_) => Moved::Wait,
            Way::Queue | Way::File { .. } => {
                if source.intersects(readable()) {
                    self.fill();
                }
                return self.flush();
            }
        };
        if moved == Moved::End {
            self.end();
        }
    }

    /// Relays, for a thread of its own, until it is finished or the other end of `wake` is closed.
    pub fn run(mut self, wake: BorrowedFd<'_>) {
        let wake = Some((wake, PollFlags::POLLIN));
        while !self.finished() && self.turn(wake, PollTimeout::NONE) != Turn::Woken {}
        // What waits in the box's pipe is not lost, however slowly it is read.
        while self.direction == Direction::Out && self.waits() {
            self.turn(None, PollTimeout::NONE);
        }
        self.end();
    }

    /// Waits for one of its wishes, or for `wake`, and moves what can be moved.
    fn turn(&mut self, wake: Wish<'_>, timeout: PollTimeout) -> Turn {
        let [socket, pipe] = self.wishes();
        let Some(found) = wait(&[socket, pipe, wake], timeout) else {
            return Turn::Still;
        };
        let at = |index: usize| found.get(index).copied().unwrap_or(PollFlags::empty());
        if !at(2).is_empty() {
            return Turn::Woken;
        }
        self.moved([at(0), at(1)]);
        Turn::Moved
    }

    fn waits(&self) -> bool {
        let left = |pipe: &OwnedFd| pipe::waiting(pipe.as_fd()).unwrap_or(0) > 0;
        !self.finished() && (!self.queue.is_empty() || self.pipe.as_ref().is_some_and(left))
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
            if self.turn(None, timeout) == Turn::Still {
                return Drained::Stuck;
            }
        }
        Drained::Complete
    }

    fn fill(&mut self) {
        let (moved, count) = match (self.direction, &self.socket, &self.pipe) {
            (Direction::In, Some(socket), _) => {
                let fd = socket.as_raw_fd();
                let receive = |room: &mut [u8]| match recv(fd, room, MsgFlags::MSG_DONTWAIT) {
                    // A file, which never keeps waiting.
                    Err(Errno::ENOTSOCK) => read(socket, room),
                    other => other,
                };
                self.queue.fill(receive)
            }
            (Direction::Out, _, Some(pipe)) => self.queue.fill(|room| read(pipe, room)),
            _ => return,
        };
        if let Way::File { taken, .. } = &mut self.way {
            *taken = taken.saturating_add(count);
        }
        if moved == Moved::End {
            match (&mut self.way, self.direction) {
                (Way::File { ended, .. }, _) => *ended = true,
                (_, Direction::In) => self.socket = None,
                (_, Direction::Out) => self.pipe = None,
            }
        }
    }

    fn flush(&mut self) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let moved = match (self.direction, &self.socket, &self.pipe) {
            (Direction::In, _, Some(pipe)) => self.queue.flush(|bytes| write(pipe, bytes)),
            (Direction::Out, Some(socket), _) => {
                let fd = socket.as_raw_fd();
                self.queue.flush(|bytes| match send(fd, bytes, flags) {
                    Err(Errno::ENOTSOCK) => write(socket, bytes),
                    other => other,
                })
            }
            _ => return,
        };
        let source_ended = match (&self.way, self.direction) {
            (Way::File { ended, .. }, _) => *ended,
            (_, Direction::In) => self.socket.is_none(),
            (_, Direction::Out) => self.pipe.is_none(),
        };
        if source_ended && self.queue.is_empty() && matches!(self.way, Way::File { .. }) {
            // The box sees the end; what it does not read is known at its own.
            self.pipe = None;
            return;
        }
        if moved == Moved::End || (source_ended && self.queue.is_empty()) {
            self.end();
        }
    }

    /// Lets go of both; of stdin, what the box has not read is the caller's again.
    fn end(&mut self) {
        match (&mut self.way, &self.socket, &self.pipe) {
            (Way::Peek(peek), Some(socket), Some(pipe)) => {
                peek.settle(socket.as_fd(), pipe.as_fd());
            }
            (Way::File { theirs, taken, .. }, Some(socket), _) => {
                let left = pipe::waiting(theirs.as_fd()).unwrap_or(0);
                let left = left.saturating_add(self.queue.pending().len()).min(*taken);
                let _ = i64::try_from(left).map(|left| lseek(socket, -left, Whence::SeekCur));
            }
            _ => {}
        }
        self.socket = None;
        self.pipe = None;
        self.queue.clear();
    }
}

/// What to ask poll(2) for; `None` is nothing.
pub(super) fn wish(input: bool, output: bool) -> Option<PollFlags> {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::POLLIN, input);
    flags.set(PollFlags::POLLOUT, output);
    (!flags.is_empty()).then_some(flags)
}

/// A read will not wait: there are bytes, or it tells the end or the error.
pub(super) fn readable() -> PollFlags {
    PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL
}

pub(super) fn set_nonblocking(fd: &OwnedFd) -> Result<(), RelayError> {
    let call = |errno| RelayError {
        call: "fcntl",
        errno,
    };
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).map_err(call)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map_err(call)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len)
            .map(|i| u8::try_from(i * 7 % 253).unwrap())
            .collect()
    }

    fn pump(relay: &mut RelayPipe, mut done: impl FnMut(&RelayPipe) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(relay) {
            assert!(Instant::now() < end, "the relay does not get on");
            if let Some(found) = wait(&relay.wishes(), PollTimeout::from(50u16)) {
                relay.moved([found[0], found[1]]);
            }
        }
    }

    #[test]
    fn stdin_of_a_socket_arrives_whole_with_its_end() {
        let (mut caller, socket) = UnixStream::pair().unwrap();
        let (mut relay, agent) = RelayPipe::new(Direction::In, socket.into()).unwrap();
        let sent = pattern(3_000_000);
        let expected = sent.clone();
        let caller = std::thread::spawn(move || {
            caller.write_all(&sent).unwrap();
            // Half-close: the caller says no more and can still read.
            caller.shutdown(std::net::Shutdown::Write).unwrap();
            caller
        });
        let agent = std::thread::spawn(move || {
            let mut all = Vec::new();
            std::fs::File::from(agent).read_to_end(&mut all).unwrap();
            all
        });
        pump(&mut relay, RelayPipe::finished);
        assert!(agent.join().unwrap() == expected);
        caller.join().unwrap();
    }

    #[test]
    fn stdout_to_a_socket_arrives_whole_and_shuts_down_nothing() {
        let (mut caller, socket) = UnixStream::pair().unwrap();
        let mut shell = socket.try_clone().unwrap();
        let (mut relay, agent) = RelayPipe::new(Direction::Out, socket.into()).unwrap();
        let sent = pattern(3_000_000);
        let expected = sent.clone();
        let agent = std::thread::spawn(move || {
            std::fs::File::from(agent).write_all(&sent).unwrap();
        });
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            caller.read_to_end(&mut all).unwrap();
            all
        });
        pump(&mut relay, |_| agent.is_finished());
        assert_eq!(relay.drain(Duration::from_secs(5)), Drained::Complete);
        // The caller's shell has the socket, too, and writes on.
        shell.write_all(b"done").unwrap();
        drop(shell);
        let got = reader.join().unwrap();
        assert!(got == [expected.as_slice(), b"done"].concat());
    }

    #[test]
    fn a_reader_that_left_is_told_to_the_writer() {
        // The caller closes the socket that is our stdout: the command's next write is EPIPE.
        let (caller, socket) = UnixStream::pair().unwrap();
        let (mut relay, agent) = RelayPipe::new(Direction::Out, socket.into()).unwrap();
        drop(caller);
        pump(&mut relay, RelayPipe::finished);
        assert_eq!(nix::unistd::write(&agent, b"x"), Err(Errno::EPIPE));
        // The command closes its stdin: the caller's next write is EPIPE.
        let (mut caller, socket) = UnixStream::pair().unwrap();
        let (mut relay, agent) = RelayPipe::new(Direction::In, socket.into()).unwrap();
        drop(agent);
        pump(&mut relay, RelayPipe::finished);
        assert_eq!(
            caller.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    }
}
