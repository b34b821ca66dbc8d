//! The client's signals: blocked, read from a signalfd(2), and the art of stopping so that the caller's shell notices.

#![forbid(unsafe_code)]

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpid};
use std::os::fd::{AsFd, BorrowedFd};

/// The signals that the client answers. All others keep their effect on it: SIGTTOU and SIGTTIN stop it, as they would stop
/// the command outside.
const HANDLED: [Signal; 9] = [
    Signal::SIGWINCH,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
    Signal::SIGTSTP,
];

/// Blocked signals and the descriptor that tells of them. Dropping it puts the mask back.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    before: SigSet,
}

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) signal: Signal,
    pub(super) from: Sender,
}

/// Who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// The kernel (SI_KERNEL): a key or a hang-up of the terminal, which went to the whole foreground group.
    Terminal,
    /// A process, by kill(2) or the like, to this process (or its group).
    Process,
}

/// Whom a signal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This process.
    Itself,
    /// Its process group, as a key on the terminal would.
    Group,
}

impl Signals {
    /// Blocks the signals in the calling thread, which must be the only one. To be called before anything that must be
    /// undone exists, in particular before the supervisor is forked (which has to set its own mask from
    /// [`Signals::before`]).
    pub fn block() -> Result<Signals, Errno> {
        let mut set = SigSet::empty();
        for signal in HANDLED {
            set.add(signal);
        }
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Signals { fd, before })
    }

    /// The mask as the caller gave it: what the command has to start with.
    #[must_use]
    pub fn before(&self) -> SigSet {
        self.before
    }

    /// The next signal that waits.
    pub(super) fn next(&self) -> Option<Arrived> {
        loop {
            let info = match self.fd.read_signal() {
                Ok(Some(info)) => info,
                Err(Errno::EINTR) => continue,
                Ok(None) | Err(_) => return None,
            };
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            let Ok(signal) = Signal::try_from(number) else {
                continue;
            };
            return Some(Arrived {
                signal,
                from: if info.ssi_code == libc::SI_KERNEL {
                    Sender::Terminal
                } else {
                    Sender::Process
                },
            });
        }
    }

    /// Stops by `signal` and returns when continued, or at once where the kernel refuses to stop (a process group that no
    /// shell looks after is never stopped by a terminal, signal(7), setpgid(2)).
    pub(super) fn stop(&self, signal: Signal, scope: Scope) {
        let target = scope.target();
        let mut only = SigSet::empty();
        only.add(signal);
        // Sent while blocked, so that the stop happens in the call that unblocks, and not before the group has it, too.
        // Neither call can fail with these arguments; if one did, not stopping is the harmless end.
        let _sent = kill(target, signal);
        let _stopped_here = only.thread_unblock();
        if HANDLED.contains(&signal) {
            let _blocked_again = only.thread_block();
        }
    }
}

impl Scope {
    /// For kill(2).
    pub(super) fn target(self) -> Pid {
        match self {
            Scope::Itself => getpid(),
            Scope::Group => Pid::from_raw(0),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // A signal that arrived after the last look has its default effect now, as it would have had a moment later.
        let _restored = self.before.thread_set_mask();
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
