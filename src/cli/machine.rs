//! Every supervisor of this machine, as root sees them: sessions of other users have their records in other homes.

#![forbid(unsafe_code)]

use crate::sys::process;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a supervisor calls itself (`/proc/PID/comm`).
const NAME: &[u8] = b"agentbox-super\n";
/// After this long a supervisor is taken for stopped, and is killed itself: the kernel kills its box with it.
const DEAF: Duration = Duration::from_secs(1);
/// How often it is looked.
const PAUSE: Duration = Duration::from_millis(1);

/// One process: its number and when it was started, since numbers are used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pid: u32,
    started: String,
}

/// Waits until every supervisor that sees the machine's switch is gone, these and those that have come since: which are left.
pub(super) fn wait_for_all(seen: &[Process], patience: Duration) -> Vec<String> {
    let begun = Instant::now();
    let mut forced = false;
    let now = supervisors();
    let mut left: Vec<&Process> = now.iter().chain(seen).collect();
    loop {
        left.retain(|process| started(process.pid).as_ref() == Some(&process.started));
        if left.is_empty() || begun.elapsed() >= patience {
            let left = left.iter().map(|p| format!("the supervisor {}", p.pid));
            return left.collect();
        }
        if !forced && begun.elapsed() >= DEAF {
            forced = true;
            left.iter().for_each(|process| kill(process));
        }
        sleep(PAUSE);
    }
}

/// Every supervisor that sees the machine's switch.
pub(super) fn supervisors() -> Vec<Process> {
    let proc = Path::new("/proc");
    let own = fs::read_link(proc.join("self/ns/mnt")).ok();
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let dir = proc.join(pid.to_string());
        // Whoever else takes the name is no reason to wait; and in a container with a /run of its own the switch of this
        // machine is not seen.
        let program = fs::read_link(dir.join("exe")).unwrap_or_default();
        let base = program.file_name().unwrap_or_default().as_encoded_bytes();
        fs::read(dir.join("comm")).is_ok_and(|name| name == NAME)
            && base.starts_with(b"agentbox")
            && fs::read_link(dir.join("ns/mnt")).ok() == own
    })
    .filter_map(|pid| {
        let started = started(pid)?;
        Some(Process { pid, started })
    })
    .collect()
}

fn kill(process: &Process) {
    let Ok(pid) = i32::try_from(process.pid) else {
        return;
    };
    let Ok(pidfd) = process::pidfd_open(pid) else {
        return;
    };
    // The descriptor is that of this process if it still is the one that was seen.
    if started(process.pid).as_ref() == Some(&process.started) {
        let _gone = process::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
    }
}

/// The start time of a process that is not a zombie (proc(5), fields 3 and 22 of stat).
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace();
    let alive = fields
        .next()
        .is_some_and(|state| state != "Z" && state != "X");
    let started = fields.nth(18)?.to_owned();
    alive.then_some(started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = std::process::id();
        assert!(started(own).is_some_and(|time| time.parse::<u64>().is_ok_and(|t| t > 0)));
        assert_eq!(started(own), started(own));
        assert_eq!(started(u32::MAX), None);
    }
}
