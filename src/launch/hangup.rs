//! The terminal is gone. The kernel tells the foreground group, and the leader of the session as well (`disassociate_ctty`): a shell
//! in the box would write its history and run its traps. But init is told too soon that the shell is gone, and with it goes the
//! editor in front of it, which is still writing its file. So the command hears of it when who was in front of it is gone, or in
//! the middle of the grace. The supervisor closes the master then: a shell that heard in the moment before it waits for the next line
//! (bash remembers the signal, and waits) finds the end of its input.

#![forbid(unsafe_code)]

use crate::plan::Plan;
use crate::sys::process::pidfd_open;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// The command has to be told.
pub(super) struct Hangup {
    /// The leader of the group in front of it. `None` where it is gone already, and others of its group may not be.
    leader: Option<OwnedFd>,
    until: Instant,
}

impl Hangup {
    /// The foreground group was told.
    pub(super) fn after(group: Pid, plan: &Plan) -> Hangup {
        let grace = Duration::try_from_secs_f64(plan.limits.stop_grace).unwrap_or_default();
        Hangup {
            leader: pidfd_open(group.as_raw()).ok(),
            until: Instant::now() + grace / 2,
        }
    }

    /// Readable when it is time, if it is before its end.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.leader.as_ref().map(OwnedFd::as_fd)
    }

    pub(super) fn rest(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Tells the command, if it is time. Whether that was done.
    pub(super) fn tell(&self, command: Pid) -> bool {
        let gone = self.fd().is_some_and(|leader| {
            let mut set = [PollFd::new(leader, PollFlags::POLLIN)];
            matches!(poll(&mut set, PollTimeout::ZERO), Ok(n) if n > 0)
        });
        let due = gone || self.rest().is_zero();
        if due {
            let _: Result<(), Errno> = kill(command, Signal::SIGHUP);
            // As the kernel does: it may be stopped.
            let _: Result<(), Errno> = kill(command, Signal::SIGCONT);
        }
        due
    }
}
