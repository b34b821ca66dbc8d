//! A box that was killed and does not die. Init has SIGKILL, and dies when it is its turn at the processor, with the rest of the
//! box behind it. The kernel gives turns to sessions (sched(7), autogroup), and init's session is the agent's, who may write 19
//! to `/proc/self/autogroup` and compute in a hundred sessions of its own: init's turn then took ten seconds and more.
//!
//! So that it comes, the others are killed one by one, from here. Nothing depends on that: who is not found now is found later,
//! and the kernel ends whatever is left with init.

#![forbid(unsafe_code)]

use crate::enforce::cell::wait_readable;
use crate::launch::Spawned;
use crate::sys::{process, procfs};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How long init has for itself: it needs a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(100);

/// How much rarer than a look takes time it is looked.
const SHARE: u32 = 4;

/// When who is left is to be killed.
#[derive(Debug, Default)]
pub(in crate::supervise) struct Laggards {
    next: Option<Instant>,
}

impl Laggards {
    /// The box was killed.
    pub(in crate::supervise) fn expect(&mut self) {
        self.next.get_or_insert_with(|| Instant::now() + PATIENCE);
    }

    pub(in crate::supervise) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Kills who is left, if it is time.
    pub(in crate::supervise) fn look(&mut self, spawned: &Spawned) {
        let begun = Instant::now();
        if self.next.is_some_and(|at| at <= begun) {
            kill_below(spawned.init.as_raw());
            let took = begun.elapsed();
            self.next = Some(Instant::now() + PATIENCE.max(took * SHARE));
        }
    }
}

/// Waits until init is gone, which was killed.
pub(in crate::supervise) fn wait(spawned: &Spawned) {
    let mut laggards = Laggards::default();
    laggards.expect();
    while waitpid(spawned.init, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
        if let Some(at) = laggards.deadline() {
            wait_readable(spawned.pidfd.as_fd(), at);
        }
        laggards.look(spawned);
    }
}

/// Everything below that process, as its parents say.
fn kill_below(root: i32) {
    for found in procfs::below(root) {
        let Ok(pidfd) = process::pidfd_open(found.pid) else {
            continue;
        };
        // The number may be another process's by now, but not one with this parent.
        if procfs::parent(found.pid) == Some(found.parent) {
            let _ = process::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
        }
    }
}
