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
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long a process may take to stop: it does so on its way back from the kernel, which a disk may delay.
const PATIENCE: Duration = Duration::from_millis(500);

/// After which pause those that a tracer held are continued once more.
const AGAIN: Duration = Duration::from_millis(20);

/// How often a box that stands still is looked at, and how much rarer than a look takes time.
const EVERY: Duration = Duration::from_millis(20);
const SHARE: u32 = 10;

/// How often what was stopped may be found running again. A timer of its own that sends SIGCONT continues a process.
const MOST_WOKEN: u32 = 16;

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
    /// Who was seen to stand still since.
    seen: HashSet<i32>,
    /// How often one of those ran again.
    woken: u32,
    next: Instant,
}

/// What a look at a box that should stand still says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// It does, or does again.
    Still,
    /// It goes on however often it is stopped.
    Restless,
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
        let mut told = HashSet::new();
        loop {
            let found = processes();
            let left: Vec<i32> = match reach {
                Reach::Box => pids(&found, moves),
                // One after the other, until no new one appears. Also those in a call that no signal interrupts: that ends.
                Reach::User => pids(&found, |p| moves(p) || !told.contains(&p.pid)),
            };
            if left.is_empty() || Instant::now() >= until {
                break;
            }
            if reach == Reach::User {
                left.iter().copied().for_each(stop);
                told.extend(left);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Still {
            stopped_before,
            seen: HashSet::new(),
            woken: 0,
            next: Instant::now() + EVERY,
        }
    }

    /// Until when nobody need look.
    pub(super) fn rest(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Looks whether it still stands still, and stops what does not.
    pub(super) fn look(&mut self) -> Looked {
        let begun = Instant::now();
        if begun < self.next {
            return Looked::Still;
        }
        for process in processes() {
            if !moves(&process) {
                self.seen.insert(process.pid);
                continue;
            }
            if self.seen.contains(&process.pid) {
                self.woken += 1;
            }
            stop(process.pid);
        }
        let now = Instant::now();
        self.next = now + EVERY.max((now - begun) * SHARE);
        if self.woken > MOST_WOKEN {
            Looked::Restless
        } else {
            Looked::Still
        }
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

fn pids(processes: &[Process], which: impl Fn(&Process) -> bool) -> Vec<i32> {
    let all = processes.iter().filter(|process| which(process));
    all.map(|process| process.pid).collect()
}

fn stop(pid: i32) {
    // As for `go`.
    if pid > 1 {
        let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
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
