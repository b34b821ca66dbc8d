//! `StatusLines`: the events as JSON lines for `--status-fd`. While the box lives nothing here waits: an agent makes events as fast
//! as it likes (each connection that is refused is one), and a caller who reads the first line and no more would else hold up the
//! stop file, the limits and `kill`.

#![forbid(unsafe_code)]

use crate::launch::channel::{Channel, Received};
use crate::launch::message::{FromClient, ToClient};
use crate::outcome::{How, Outcome};
use crate::plan::text::for_terminals;
use crate::record::Event;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::{Duration, Instant};

/// How much waits for who does not read.
const MOST: usize = 1 << 20;

/// What a pipe that poll(2) calls writable takes without waiting (PIPE_BUF, pipe(7)).
const PIECE: usize = 4096;

/// The same of a terminal, which says so with little room.
const PIECE_OF_TERMINAL: usize = 64;

/// The descriptor, and what waits for it.
pub(super) struct StatusLines {
    file: File,
    piece: usize,
    queue: Vec<u8>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was written, or waits.
    Yes,
    /// Nobody reads it any more.
    Gone,
    /// More waits than is kept.
    TooMuch,
}

impl StatusLines {
    pub(super) fn new(file: File) -> StatusLines {
        let kind = fstat(&file).map_or(0, |stat| stat.st_mode & SFlag::S_IFMT.bits());
        let terminal = kind == SFlag::S_IFCHR.bits();
        // Opened once more, since O_NONBLOCK on the caller's open file would be everybody's who has it. Where that cannot be
        // (a socket, another user's pipe) poll(2) says what may be written. A plain file has its place in it to lose.
        let again = (terminal || kind == SFlag::S_IFIFO.bits()).then(|| {
            let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            let name = format!("/proc/self/fd/{}", file.as_raw_fd());
            open(name.as_str(), flags, Mode::empty())
        });
        StatusLines {
            file: match again {
                Some(Ok(own)) => File::from(own),
                _ => file,
            },
            piece: if terminal { PIECE_OF_TERMINAL } else { PIECE },
            queue: Vec::new(),
        }
    }

    /// Adds a line, and writes what can be written at once.
    pub(super) fn add(&mut self, event: &Event) -> Taken {
        if let Ok(line) = serde_json::to_string(event) {
            // It may be a terminal.
            self.queue.extend(for_terminals(&line).bytes());
            self.queue.push(b'\n');
        }
        match self.write(PollTimeout::ZERO) {
            Taken::Yes if self.queue.len() > MOST => Taken::TooMuch,
            taken => taken,
        }
    }

    /// For the loop: what to wait for.
    pub(super) fn wish(&self) -> Option<BorrowedFd<'_>> {
        (!self.queue.is_empty()).then(|| self.file.as_fd())
    }

    /// Writes what can be written at once.
    pub(super) fn go_on(&mut self) -> Taken {
        self.write(PollTimeout::ZERO)
    }

    /// The box is dead: waits for who reads, and gives up when nothing is read for `patience`, or when the client wants to end or is
    /// gone.
    pub(super) fn drain(&mut self, patience: Duration, client: Option<&Channel>) {
        let until = Instant::now().checked_add(patience);
        let mut before = usize::MAX;
        while !self.queue.is_empty() && self.queue.len() < before {
            before = self.queue.len();
            if !self.has_room(until, client) || self.go_on() != Taken::Yes {
                return;
            }
        }
    }

    /// Waits for room; no when there will be none.
    fn has_room(&self, until: Option<Instant>, client: Option<&Channel>) -> bool {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| PollTimeout::try_from(left).ok());
            let mut set = vec![PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
            set.extend(client.map(|client| PollFd::new(client.as_fd(), PollFlags::POLLIN)));
            match poll(&mut set, left.unwrap_or(PollTimeout::NONE)) {
                Err(Errno::EINTR) => continue,
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
            let is_ready = |fd: &PollFd<'_>| fd.any() == Some(true);
            if let (Some(client), true) = (client, set.get(1).is_some_and(is_ready)) {
                match client.try_recv::<FromClient>() {
                    Ok(Received::Message(FromClient::Signal { signal, .. }, _)) if ends(signal) => {
                        return false;
                    }
                    Ok(Received::End) | Err(_) => return false,
                    Ok(_) => {}
                }
            }
            if set.first().is_some_and(is_ready) {
                return true;
            }
        }
    }

    /// Waits at most so long for room, and writes as long as there is some.
    fn write(&mut self, mut timeout: PollTimeout) -> Taken {
        let mut done = 0;
        let mut taken = Taken::Yes;
        while let Some(rest) = self.queue.get(done..).filter(|rest| !rest.is_empty()) {
            let mut set = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut set, timeout) {
                Ok(0) => break,
                Err(Errno::EINTR) => continue,
                // An error is told by the write, too.
                Ok(_) | Err(_) => timeout = PollTimeout::ZERO,
            }
            // A line for itself: on a socket of packets it is one.
            let line = rest.iter().position(|byte| *byte == b'\n');
            let length = line.map_or(rest.len(), |at| at + 1).min(self.piece);
            match self.file.write(rest.get(..length).unwrap_or_default()) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    taken = Taken::Gone;
                    break;
                }
            }
        }
        self.queue.drain(..done);
        taken
    }
}

/// There is no session, and so nothing to record: what is wrong was said. `--status-fd` alone tells such an end from that of a command
/// which has the same status.
#[must_use]
pub fn not_begun(client: &Channel, lines: Option<File>, why: &str, status: u8) -> u8 {
    if let Some(file) = lines {
        let mut lines = StatusLines::new(file);
        let why = why.to_owned();
        let refused = Event::Refused { why: why.clone() };
        let outcome = Outcome {
            how: How::Refused { why },
            exit_status: status,
            wall_ms: 0,
            cpu_ms: 0,
            max_rss_kib: 0,
        };
        for event in [refused, Event::Ended { outcome }] {
            let _full_or_gone = lines.add(&event);
        }
        lines.drain(super::running::PATIENCE, Some(client));
    }
    let _ = client.send(&ToClient::Ended { status }, &[]);
    status
}

/// Does who sends it want the command to end?
fn ends(signal: i32) -> bool {
    matches!(
        signal,
        libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT
    )
}
