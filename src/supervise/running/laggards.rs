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
use nix::time::{ClockId, clock_gettime};
use std::collections::HashSet;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How long init has for itself: it needs a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(100);

/// How much rarer than a look takes time of the processor it is looked. The time by the clock is the box's to make long.
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
            let before = used();
            kill_below(spawned.init.as_raw());
            let took = used().saturating_sub(before);
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

/// What this process has had of the processor.
fn used() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Everything below that process, as its parents say. Each is killed as it is found: with every one that dies the turns of this
/// process come sooner, and a number that was read long ago may be another's.
fn kill_below(root: i32) {
    let mut outside = HashSet::from([1]);
    // Numbers ascend until they wrap, so what is below it is most often behind it.
    let (before, behind): (Vec<i32>, Vec<i32>) =
        procfs::numbers().into_iter().partition(|pid| *pid < root);
    for pid in behind.into_iter().chain(before).filter(|pid| *pid != root) {
        let of_outside = |parent| outside.contains(&parent);
        if procfs::parent(pid).is_none_or(of_outside) {
            outside.insert(pid);
            continue;
        }
        let Ok(pidfd) = process::pidfd_open(pid) else {
            continue;
        };
        match procfs::is_below(pid, root, None) {
            Some(true) => {
                let _ = process::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
            }
            Some(false) => {
                outside.insert(pid);
            }
            None => (),
        }
    }
}
