//! Stopping everything in the box and letting it go on, by init, where no cgroup freezes it.
//!
//! kill(-1, SIGSTOP) reaches every process of init's pid namespace but init, in one go: the kernel holds the list of processes
//! meanwhile, and a fork(2) that it interrupts finds the signal pending and starts again. So nothing appears behind its back.

#![forbid(unsafe_code)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a process may take to stop: it does so on its way back from the kernel, which a disk may delay.
const PATIENCE: Duration = Duration::from_millis(500);

/// After which pause those that a tracer held are continued once more.
const AGAIN: Duration = Duration::from_millis(20);

/// A process of the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    /// The letter of proc_pid_stat(5).
    state: u8,
}

/// A box that stands still.
#[derive(Debug)]
pub(super) struct Still {
    /// Who was stopped before: it stays so.
    stopped_before: Vec<i32>,
}

impl Still {
    /// Stops everything; returns when it is still.
    pub(super) fn stop() -> Still {
        let before = processes().into_iter().filter(|p| p.state == b'T');
        let stopped_before = before.map(|p| p.pid).collect();
        // ESRCH: there is nobody.
        let _ = kill(Pid::from_raw(-1), Signal::SIGSTOP);
        let until = Instant::now() + PATIENCE;
        while processes().iter().any(moves) && Instant::now() < until {
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
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid > 1)
        .filter_map(|pid: i32| {
            let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
            parse(pid, &text)
        })
        .collect()
}

/// proc_pid_stat(5). The name in parentheses is the process's own choice and may hold anything, so from the last of them.
fn parse(pid: i32, stat: &[u8]) -> Option<Process> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process { pid, parent, state })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_cannot_lie_about_the_state() {
        let found = parse(7, b"7 (a) T 1 (b) x) S 3 7 7 0 -1").unwrap();
        assert_eq!((found.state, found.parent), (b'S', 3));
        assert!(moves(&found));
        assert_eq!(parse(7, b"7 no name"), None);
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(processes().iter().any(|p| p.pid == me && p.parent > 0));
    }

    #[test]
    fn children_come_before_their_parents() {
        let parents: HashMap<i32, i32> = [(2, 1), (3, 2), (4, 3), (9, 9)].into();
        assert_eq!([2, 3, 4].map(|pid| depth(pid, &parents)), [0, 1, 2]);
        // A circle cannot be, and would not be followed.
        assert!(depth(9, &parents) <= parents.len());
    }
}
