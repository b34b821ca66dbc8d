//! How the bytes of a [`super::relay::RelayPipe`] pass where the caller has a pipe: without a queue, and of stdin not one byte
//! before the box has taken those before it.

#![forbid(unsafe_code)]

use super::queue::Moved;
use crate::sys::pipe;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice, tee};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd};

/// The most bytes of one call: what a pipe usually holds.
const MOST: usize = 64 * 1024;

/// Room for one piece of at most this many bytes: the least that a pipe can have. It is full while the piece is not read whole.
const ROOM: i32 = 4096;

/// stdin from a pipe of the caller. What the box does not read stays in it, for whoever reads there next
/// (`while read x; do agentbox run ...; done`): a piece is copied (tee(2)) and taken out only when the box has it.
#[derive(Debug)]
pub(super) struct Peek {
    /// Bytes that were copied and are not taken out.
    held: usize,
    null: File,
}

impl Peek {
    /// For a new pipe of the box.
    ///
    /// # Errors
    /// The errno of open(2) or fcntl(2).
    pub(super) fn new(sink: BorrowedFd<'_>) -> Result<Peek, Errno> {
        let null = File::options().write(true).open("/dev/null");
        let null = null.map_err(|e| crate::sys::errno_of(&e))?;
        fcntl(sink, FcntlArg::F_SETPIPE_SZ(ROOM))?;
        Ok(Peek { held: 0, null })
    }

    /// What it has open itself.
    pub(super) fn descriptor(&self) -> RawFd {
        self.null.as_raw_fd()
    }

    /// Waits for the box to read, and not for the caller to write.
    pub(super) fn holds(&self) -> bool {
        self.held > 0
    }

    /// Goes on.
    pub(super) fn moved(&mut self, source: BorrowedFd<'_>, sink: BorrowedFd<'_>) -> Moved {
        if self.held > 0 {
            match pipe::waiting(sink) {
                Ok(0) => self.take(source, self.held),
                // Somebody in the box has given the pipe more room, and would let this one wait in a circle.
                Ok(_) if fcntl(sink, FcntlArg::F_GETPIPE_SZ) != Ok(ROOM) => return Moved::End,
                Ok(_) => return Moved::Wait,
                Err(_) => return Moved::End,
            }
        }
        match again(|| tee(source, sink, MOST, SpliceFFlags::SPLICE_F_NONBLOCK)) {
            Ok(0) => Moved::End,
            Ok(count) => {
                self.held = count;
                Moved::Some
            }
            Err(Errno::EAGAIN) => Moved::Wait,
            Err(_) => Moved::End,
        }
    }

    /// The end: takes out what the box has read.
    pub(super) fn settle(&mut self, source: BorrowedFd<'_>, sink: BorrowedFd<'_>) {
        let left = pipe::waiting(sink).unwrap_or(0);
        self.take(source, self.held.saturating_sub(left));
        self.held = 0;
    }

    fn take(&mut self, source: BorrowedFd<'_>, mut count: usize) {
        self.held = self.held.saturating_sub(count);
        while count > 0 {
            let flags = SpliceFFlags::SPLICE_F_NONBLOCK;
            match again(|| splice(source, None, self.null.as_fd(), None, count, flags)) {
                // Another reader was faster.
                Ok(0) | Err(_) => return,
                Ok(taken) => count = count.saturating_sub(taken),
            }
        }
    }
}

/// stdout or stderr to a pipe of the caller: moved from pipe to pipe (splice(2)), which never waits whatever the caller's open file says.
#[derive(Debug, Default)]
pub(super) struct Through {
    /// It is the caller's reader that is waited for.
    full: bool,
}

impl Through {
    pub(super) fn waits_for_sink(&self) -> bool {
        self.full
    }

    /// Goes on.
    pub(super) fn moved(&mut self, source: BorrowedFd<'_>, sink: BorrowedFd<'_>) -> Moved {
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
        match again(|| splice(source, None, sink, None, MOST, flags)) {
            Ok(0) => Moved::End,
            Ok(_) => {
                self.full = false;
                Moved::Some
            }
            Err(Errno::EAGAIN) => {
                // Which of both had nothing?
                let mut set = [PollFd::new(source, PollFlags::POLLIN)];
                let found = poll(&mut set, PollTimeout::ZERO).unwrap_or(0);
                let events = set[0].revents().unwrap_or(PollFlags::empty());
                self.full = found > 0 && events.contains(PollFlags::POLLIN);
                Moved::Wait
            }
            Err(_) => Moved::End,
        }
    }
}

fn again(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
