//! What the stubs of refused programs report: datagrams on a socket in the box, to which everybody in there can send. Nothing of
//! them is understood here: at most [`MAX`] bytes of each are kept as they are, so many in a second and so many in all.

#![forbid(unsafe_code)]

use super::Banner;
use super::part::{Part, PollSet, Ready};
use super::running::Running;
use crate::plan::OsText;
use crate::record::Event;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socket};
use std::ffi::OsString;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::time::{Duration, Instant};

/// The most bytes of one report.
const MAX: usize = 4096;

/// So many are taken at once; then none for [`PAUSE`]. Meanwhile whoever sends finds the queue full, which no stub waits for.
const BURST: u32 = 32;
const PAUSE: Duration = Duration::from_secs(1);

/// The most of one session; with this the record of the noisiest one stays below 10 MiB.
const MOST: u32 = 2000;

/// The receiving end.
pub(super) struct Reports {
    socket: Option<OwnedFd>,
    /// Taken since the last pause.
    burst: u32,
    /// When the pause is over.
    paused: Option<Instant>,
    taken: u32,
    verbose: Verbose,
}

/// Whether the human is told at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verbose {
    /// Yes.
    Yes,
    /// `--quiet`.
    No,
}

impl Verbose {
    /// Without a banner nothing is said.
    pub(super) fn of(banner: Option<Banner>) -> Verbose {
        match banner {
            Some(_) => Verbose::Yes,
            None => Verbose::No,
        }
    }
}

impl Reports {
    /// The end that listens; the same socket goes to init, which gives it a name in the box.
    ///
    /// # Errors
    /// The errno of socket(2).
    pub(super) fn new(verbose: Verbose, init: &mut Option<OwnedFd>) -> Result<Reports, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        *init = Some(socket.try_clone().map_err(|_| Errno::EMFILE)?);
        Ok(Reports {
            socket: Some(socket),
            burst: 0,
            paused: None,
            taken: 0,
            verbose,
        })
    }

    /// Takes what is there, within the bounds.
    fn take(&mut self, running: &mut Running) {
        let mut bytes = [0; MAX];
        while let Some(socket) = &self.socket {
            if self.burst >= BURST {
                self.burst = 0;
                self.paused = Some(Instant::now() + PAUSE);
                return;
            }
            // With MSG_TRUNC the whole length. Descriptors that come along are dropped by the kernel: there is no room for them.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
            let Ok(length) = recv(socket.as_raw_fd(), &mut bytes, flags) else {
                return;
            };
            self.burst += 1;
            self.taken += 1;
            let report = bytes.get(..length.min(MAX)).unwrap_or_default().to_vec();
            running.note(&Event::ProgramRefused {
                report: OsText::from(OsString::from_vec(report)),
            });
            if self.taken >= MOST {
                // Closed: from now on a sender is told at once, and nobody is woken.
                self.socket = None;
            }
        }
    }
}

impl Part for Reports {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        if let Some(socket) = self.socket.as_ref().filter(|_| self.paused.is_none()) {
            set.add(0, socket.as_fd(), PollFlags::POLLIN);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.paused
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        if self.paused.is_some_and(|until| until <= Instant::now()) {
            self.paused = None;
        }
        if ready.readable(0) {
            self.take(running);
        }
    }

    fn finish(&mut self, running: &mut Running) {
        self.paused = None;
        self.burst = 0;
        self.take(running);
        let at_least = if self.socket.is_none() {
            "at least "
        } else {
            ""
        };
        match (self.verbose, self.taken) {
            (Verbose::No, _) | (_, 0) => {}
            (Verbose::Yes, 1) => {
                running.say("a refused program was started; `agentbox logs` tells which")
            }
            (Verbose::Yes, taken) => running.say(&format!(
                "refused programs were started {at_least}{taken} times; `agentbox logs` tells which"
            )),
        }
    }
}
