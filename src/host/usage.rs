//! What a box costs: read from its cgroup where it has one, else from its processes.

#![forbid(unsafe_code)]

use crate::sys::procfs::{self, Process};
use std::collections::HashMap;
use std::path::Path;

/// What a box costs at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processes, without init.
    pub processes: usize,
    /// User and system time in milliseconds.
    pub cpu_ms: u64,
    /// Bytes of memory: of the cgroup, else what the processes have for themselves (RssAnon and RssShmem).
    pub memory: u64,
}

/// Every process of this machine, by parent.
pub struct Tree(HashMap<i32, Vec<Process>>);

impl Tree {
    /// Reads it. Everything in a pid namespace descends from its init: the kernel gives orphans to it.
    #[must_use]
    pub fn read() -> Tree {
        let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
        for process in procfs::processes() {
            children.entry(process.parent).or_default().push(process);
        }
        Tree(children)
    }

    /// Everything below a process.
    #[must_use]
    pub fn below(&self, pid: i32) -> Vec<Process> {
        let mut found = Vec::new();
        let mut todo = vec![pid];
        while let Some(pid) = todo.pop() {
            for child in self.0.get(&pid).into_iter().flatten() {
                found.push(*child);
                todo.push(child.pid);
            }
        }
        found
    }

    /// What the box of that init costs, which has these directories of cgroups.
    #[must_use]
    pub fn usage<'a>(&self, init: i32, groups: impl Iterator<Item = &'a Path> + Clone) -> Usage {
        let below = self.below(init);
        let own = self
            .0
            .values()
            .flatten()
            .find(|process| process.pid == init);
        // What init has waited for is in its own count.
        let ticks: u64 = own
            .iter()
            .copied()
            .chain(&below)
            .map(|process| process.ticks)
            .sum();
        let from_groups = |files: &[&str]| {
            let mut all = groups
                .clone()
                .flat_map(|dir| files.iter().map(|file| dir.join(file)));
            all.find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
        };
        let memory = from_groups(&["memory.current", "memory.usage_in_bytes"]);
        let cpu = groups.clone().find_map(|dir| {
            let text = std::fs::read_to_string(dir.join("cpu.stat")).ok()?;
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("usage_usec "))?;
            line.trim().parse::<u64>().ok().map(|usec| usec / 1000)
        });
        Usage {
            processes: below.iter().filter(|p| p.state != b'Z').count(),
            cpu_ms: cpu.unwrap_or_else(|| ticks.saturating_mul(1000) / procfs::ticks_per_second()),
            memory: memory.unwrap_or_else(|| below.iter().map(|p| resident(p.pid)).sum()),
        }
    }
}

/// Bytes that a process has for itself (proc_pid_status(5)).
fn resident(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            line.strip_prefix("RssAnon:")
                .or_else(|| line.strip_prefix("RssShmem:"))
        })
        .filter_map(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map(|kib| kib.saturating_mul(1024))
        .sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_child_is_found_and_counted() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let tree = Tree::read();
        let pid = i32::try_from(child.id()).unwrap();
        let found = tree.below(me).iter().any(|process| process.pid == pid);
        let usage = tree.usage(me, std::iter::empty());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found);
        assert!(usage.processes >= 1, "{usage:?}");
        assert!(usage.memory > 0, "{usage:?}");
    }
}
