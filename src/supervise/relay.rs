//! The supervisor's pumps: [`Relay`] between the master of the box's pseudo-terminal and the client's data socket, and
//! [`RelayPipe`] between a nameless AF_UNIX socket of the caller and the pipe that the box has in its place.
//!
//! Bytes pass unread and unaltered. Nothing waits: the supervisor's poll loop asks for [`Relay::wishes`] and answers with
//! [`Relay::moved`]. Whoever does not read only fills a queue of 64 KiB, after which the writer is no longer read.

#![forbid(unsafe_code)]

use super::queue::{Moved, Queue};
use crate::sys::tty::{self, Winsize};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use nix::unistd::{pipe2, read, write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
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

/// What a relay waits for at its two descriptors. One without a wish is left out: poll(2) reports hang-ups unasked, and a loop
/// that cannot act on one would spin.
pub type Wishes<'a> = [Option<(BorrowedFd<'a>, PollFlags)>; 2];

/// What poll(2) found there.
pub type Found = [PollFlags; 2];

/// Waits for one of two wishes; `None` when nothing happened within `timeout`.
fn wait(wishes: Wishes<'_>, timeout: PollTimeout) -> Option<Found> {
    let mut found = [PollFlags::empty(); 2];
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

    /// What it waits for: at the master, at the client.
    #[must_use]
    pub fn wishes(&self) -> Wishes<'_> {
        let master = wish(self.output.has_space(), !self.input.is_empty());
        let data = wish(
            self.input.has_space() && self.master.is_some(),
            !self.output.is_empty(),
        );
        [
            self.master.as_ref().map(AsFd::as_fd).zip(master),
            self.data.as_ref().map(AsFd::as_fd).zip(data),
        ]
    }

    /// Moves what can be moved without waiting.
    pub fn moved(&mut self, [master, data]: Found) {
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
    /// before (leaving the alternate screen before it stopped) reaches the client ahead of the next control message. False
    /// if the client has to read first: ask again when [`Relay::moved`] has moved something.
    #[must_use]
    pub fn settle(&mut self) -> bool {
        // A process of the background may write on without end. What was written before this call is at most the queue and
        // the 64 KiB that the kernel buffers for a terminal, so a few rounds that moved all they found have moved it.
        for _ in 0..4 {
            self.read_master();
            if self.output.is_empty() {
                return true;
            }
            self.write_data();
            if !self.output.is_empty() {
                return false;
            }
        }
        true
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
            let Some(found) = wait(self.wishes(), timeout) else {
                break Drained::Stuck;
            };
            self.moved(found);
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

    /// What it waits for: at the socket, at the pipe.
    #[must_use]
    pub fn wishes(&self) -> Wishes<'_> {
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
        [
            self.socket.as_ref().map(AsFd::as_fd).zip(socket),
            self.pipe.as_ref().map(AsFd::as_fd).zip(pipe),
        ]
    }

    /// Moves what can be moved without waiting.
    pub fn moved(&mut self, [socket, pipe]: Found) {
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
            let Some(found) = wait(self.wishes(), timeout) else {
                return Drained::Stuck;
            };
            self.moved(found);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    /// A raw pseudo-terminal, a relay on its master, and the client's end.
    fn world() -> (Relay, OwnedFd, UnixStream) {
        let pty = nix::pty::openpty(None, None).unwrap();
        let mut termios = tcgetattr(&pty.slave).unwrap();
        cfmakeraw(&mut termios);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &termios).unwrap();
        let (ours, clients) = UnixStream::pair().unwrap();
        let relay = Relay::new(pty.master, ours.into()).unwrap();
        (relay, pty.slave, clients)
    }

    /// The supervisor's loop, until `done`.
    fn turn(relay: &mut Relay, mut done: impl FnMut(&Relay) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(relay) {
            assert!(Instant::now() < end, "the relay does not get on");
            if let Some(found) = wait(relay.wishes(), PollTimeout::from(50u16)) {
                relay.moved(found);
            }
        }
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len)
            .map(|i| u8::try_from(i * 7 % 253).unwrap())
            .collect()
    }

    #[test]
    fn all_output_reaches_a_slow_client_and_the_end_is_told() {
        let (mut relay, slave, mut client) = world();
        let sent = pattern(10 * 1024 * 1024);
        let expected = sent.clone();
        let writer = std::thread::spawn(move || {
            std::fs::File::from(slave).write_all(&sent).unwrap();
        });
        let reader = std::thread::spawn(move || {
            let (mut all, mut buf) = (Vec::new(), [0; 50_000]);
            loop {
                let n = client.read(&mut buf).unwrap();
                if n == 0 {
                    return all;
                }
                all.extend_from_slice(&buf[..n]);
                if all.len() % 64 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        turn(&mut relay, |_| writer.is_finished());
        // The writer is dead and part of its output is still in the terminal.
        assert_eq!(relay.drain(Duration::from_secs(5)), Drained::Complete);
        assert!(relay.finished());
        assert!(
            reader.join().unwrap() == expected,
            "bytes were lost or changed"
        );
    }

    #[test]
    fn keys_reach_a_slow_command_byte_for_byte() {
        let (mut relay, slave, mut client) = world();
        let sent = pattern(300_000);
        let expected = sent.clone();
        let typist = std::thread::spawn(move || {
            client.write_all(&sent).unwrap();
            client
        });
        let reader = std::thread::spawn(move || {
            let (mut file, mut all) = (std::fs::File::from(slave), vec![0; 300_000]);
            for piece in all.chunks_mut(30_000) {
                std::thread::sleep(Duration::from_millis(2));
                file.read_exact(piece).unwrap();
            }
            (all, file)
        });
        turn(&mut relay, |_| reader.is_finished());
        assert!(
            reader.join().unwrap().0 == expected,
            "keys were lost or changed"
        );
        typist.join().unwrap();
    }

    #[test]
    fn a_client_that_does_not_read_stops_the_writer_and_not_the_supervisor() {
        let (mut relay, slave, mut client) = world();
        set_nonblocking(&slave).unwrap();
        let mut slave = std::fs::File::from(slave);
        let mut written = 0usize;
        let mut quiet = 0;
        // Until neither side moves any more.
        while quiet < 20 {
            match slave.write(&[b'x'; 4096]) {
                Ok(n) => (written, quiet) = (written + n, 0),
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::WouldBlock);
                    quiet += 1;
                }
            }
            assert!(written < 8 << 20, "there is no back-pressure");
            if let Some(found) = wait(relay.wishes(), PollTimeout::from(1u16)) {
                relay.moved(found);
            }
        }
        // Nothing to do but wait for the client: no wake-up although the terminal is full.
        assert_eq!(wait(relay.wishes(), PollTimeout::from(100u16)), None);
        assert!(!relay.settle());
        assert_eq!(relay.drain(Duration::from_millis(50)), Drained::Stuck);
        // What was handed over is still there for it.
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        assert!(!got.is_empty() && got.len() <= written);
    }

    #[test]
    fn a_client_that_is_gone_does_not_block_the_box() {
        let (mut relay, slave, client) = world();
        drop(client);
        let writer = std::thread::spawn(move || {
            std::fs::File::from(slave)
                .write_all(&pattern(1024 * 1024))
                .unwrap();
        });
        turn(&mut relay, |_| writer.is_finished());
        assert!(!relay.has_client());
        assert_eq!(relay.drain(Duration::from_secs(1)), Drained::ClientGone);
    }

    #[test]
    fn settle_hands_over_what_was_written_before() {
        let (mut relay, slave, mut client) = world();
        nix::unistd::write(&slave, b"\x1b[?1049l").unwrap();
        assert!(relay.settle());
        let mut buf = [0; 8];
        client.set_nonblocking(true).unwrap();
        client.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"\x1b[?1049l");
        let size = Winsize {
            rows: 5,
            cols: 6,
            ..Winsize::default()
        };
        relay.set_winsize(size).unwrap();
        assert_eq!(tty::window_size(slave.as_fd()).unwrap(), size);
    }

    fn pump(relay: &mut RelayPipe, mut done: impl FnMut(&RelayPipe) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(relay) {
            assert!(Instant::now() < end, "the relay does not get on");
            if let Some(found) = wait(relay.wishes(), PollTimeout::from(50u16)) {
                relay.moved(found);
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
