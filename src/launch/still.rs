//! Stopping everything in the box and letting it go on, by init, where no cgroup freezes it.
//!
//! kill(-1, SIGSTOP) reaches every process of init's pid namespace but init, in one go: the kernel holds the list of processes
//! meanwhile, and a fork(2) that it interrupts finds the signal pending and starts again. So nothing appears behind its back.

#![forbid(unsafe_code)]

use crate::plan::Plan;
use crate::plan::rung::Rung;
use crate::sys::procfs::{self, Process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a process may take to stop: it does so on its way back from the kernel, which a disk may delay.
const PATIENCE: Duration = Duration::from_millis(500);

/// After which pause those that a tracer held are continued once more.
const AGAIN: Duration = Duration::from_millis(20);

/// Whom kill(2) with -1 reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The box: there is a pid namespace.
    Box,
    /// Every process of the user: one after the other has to be found.
    User,
}

impl Reach {
    fn of(plan: &Plan) -> Reach {
        match plan.standing.rung {
            Rung::Full | Rung::Nested | Rung::ContainerProc => Reach::Box,
            Rung::Landlock => Reach::User,
        }
    }
}

/// A box that stands still.
#[derive(Debug)]
pub(super) struct Still {
    /// Who was stopped before: it stays so.
    stopped_before: Vec<i32>,
}

impl Still {
    /// Stops everything; returns when it is still.
    pub(super) fn stop(plan: &Plan) -> Still {
        let reach = Reach::of(plan);
        let before = processes().into_iter().filter(|p| p.state == b'T');
        let stopped_before = before.map(|p| p.pid).collect();
        let until = Instant::now() + PATIENCE;
        if reach == Reach::Box {
            // ESRCH: there is nobody.
            let _ = kill(Pid::from_raw(-1), Signal::SIGSTOP);
        }
        while processes().iter().any(moves) && Instant::now() < until {
            if reach == Reach::User {
                // One after the other, until no new one appears.
                for process in processes().iter().filter(|p| moves(p)) {
                    let _ = kill(Pid::from_raw(process.pid), Signal::SIGSTOP);
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Still { stopped_before }
    }

    /// Continues what was stopped, children before their parents: a shell that is continued first would find its job stopped
    /// and take the terminal from it.
    pub(super) fn go_on(self) {
        let found = processes();
        let parents: HashMap<i32, i32> = found.iter().map(|p| (p.pid, p.parent)).collect();
        let mut ours: Vec<_> = found
            .into_iter()
            .filter(|p| !self.stopped_before.contains(&p.pid))
            .map(|p| (depth(p.pid, &parents), p))
            .collect();
        ours.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
        for (_, process) in &ours {
            go(process.pid);
        }
        // A tracer that was about to hand the stop on does so when it runs again, after the signal that should have undone it.
        let traced: Vec<_> = ours.iter().filter(|(_, p)| p.state == b't').collect();
        if !traced.is_empty() {
            std::thread::sleep(AGAIN);
            for (_, process) in traced {
                go(process.pid);
            }
        }
    }
}

fn go(pid: i32) {
    // Gone in the meantime is fine. Never 1, 0 or below.
    if pid > 1 {
        let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
    }
}

/// Does it still execute anything? Stopped, traced, dead, or in a call of the kernel that no signal interrupts, it does not.
fn moves(process: &Process) -> bool {
    !matches!(process.state, b'T' | b't' | b'Z' | b'X' | b'D')
}

/// How many steps it is from init.
fn depth(pid: i32, parents: &HashMap<i32, i32>) -> usize {
    let (mut depth, mut at) = (0, pid);
    while let Some(parent) = parents.get(&at)
        && *parent > 1
        && depth < parents.len()
    {
        at = *parent;
        depth += 1;
    }
    depth
}

/// Every process of the box but init.
fn processes() -> Vec<Process> {
    let Some(me) = procfs::own_number().filter(|me| *me != 1) else {
        let mut all = procfs::processes();
        all.retain(|process| process.pid > 1);
        return all;
    };
    // The container's /proc shows others, too, and all by other numbers than kill(2) takes here.
    let mut ours = procfs::below(me);
    let inner: HashMap<i32, i32> = ours
        .iter()
        .filter_map(|p| Some((p.pid, procfs::inner_number(p.pid)?)))
        .collect();
    ours.retain(|p| inner.contains_key(&p.pid));
    for process in &mut ours {
        process.parent = inner.get(&process.parent).copied().unwrap_or(1);
        process.pid = inner.get(&process.pid).copied().unwrap_or(0);
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_come_before_their_parents() {
        let parents: HashMap<i32, i32> = [(2, 1), (3, 2), (4, 3), (9, 9)].into();
        assert_eq!([2, 3, 4].map(|pid| depth(pid, &parents)), [0, 1, 2]);
        // A circle cannot be, and would not be followed.
        assert!(depth(9, &parents) <= parents.len());
    }
}
