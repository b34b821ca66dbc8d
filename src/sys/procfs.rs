//! What procfs says of processes (proc_pid_stat(5)). A process chooses its own name, so nothing before the last `)` is read.

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// R, S, D, T, t, Z, X, ...
    pub state: u8,
    /// User and system time of it and of the children that it waited for, in clock ticks.
    pub ticks: u64,
}

/// The numbers of all processes that this process sees.
#[must_use]
pub fn numbers() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Every process that this process sees.
#[must_use]
pub fn processes() -> Vec<Process> {
    numbers()
        .into_iter()
        .filter_map(|pid| {
            let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
            parse(pid, &text)
        })
        .collect()
}

/// Does a procfs here hide processes from who may not trace them (`hidepid`, proc(5))? Whether it does so from this caller it does not
/// say: who may trace everything, and who is in the group of `gid=`, sees all.
#[must_use]
pub fn has_hidepid() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.contains("hidepid=")
}

/// The state of a process; `None` if there is none of that number.
#[must_use]
pub fn state(pid: i32) -> Option<u8> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    Some(parse(pid, &text)?.state)
}

/// The parent of a process; `None` if there is none of that number.
#[must_use]
pub fn parent(pid: i32) -> Option<i32> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    Some(parse(pid, &text)?.parent)
}

/// Has that process taken an exclusive lock (flock(2)) on a file of that inode (proc_locks(5))?
#[must_use]
pub fn has_locked(pid: i32, inode: u64) -> bool {
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    locks
        .lines()
        .any(|line| lock_of(line) == Some((pid, inode)))
}

/// The process and the inode of such a line: `1: FLOCK  ADVISORY  WRITE 4711 fe:01:123456 0 EOF`.
fn lock_of(line: &str) -> Option<(i32, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", pid, file, ..] = words.as_slice() else {
        return None;
    };
    Some((pid.parse().ok()?, file.rsplit(':').next()?.parse().ok()?))
}

/// Every process below `root`, a number of /proc, each with all its ancestors up to it. In a /proc of another pid namespace
/// these are the numbers of that one.
#[must_use]
pub fn below(root: i32) -> Vec<Process> {
    let all = processes();
    let parents: std::collections::HashMap<i32, i32> =
        all.iter().map(|p| (p.pid, p.parent)).collect();
    let is_below = |mut pid: i32| {
        for _ in 0..all.len() {
            match parents.get(&pid) {
                Some(parent) if *parent == root => return true,
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    all.iter().filter(|p| is_below(p.pid)).copied().collect()
}

/// Is a process below `root`, or below any process of that name (comm), in this moment? `None` if it has ended meanwhile.
#[must_use]
pub fn is_below(pid: i32, root: i32, name: Option<&str>) -> Option<bool> {
    let mut pid = pid;
    // Who ends on the way leaves its children to an ancestor; the bound is for who makes them faster than they are followed.
    for step in 0..10_000 {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        if step > 0 && name.is_some_and(|name| comm(&text) == Some(name.as_bytes())) {
            return Some(true);
        }
        pid = parse(pid, &text)?.parent;
        if pid == root {
            return Some(true);
        }
        if pid <= 1 {
            return Some(false);
        }
    }
    None
}

fn comm(stat: &[u8]) -> Option<&[u8]> {
    let begin = stat.iter().position(|byte| *byte == b'(')?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(begin + 1..end)
}

/// The number of this process in /proc, which is not getpid(2)'s where /proc is another pid namespace's.
#[must_use]
pub fn own_number() -> Option<i32> {
    std::fs::read_link("/proc/self")
        .ok()?
        .to_str()?
        .parse()
        .ok()
}

/// The number of a process in its own pid namespace, by its number in /proc (`NSpid` of proc_pid_status(5)).
#[must_use]
pub fn inner_number(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().next_back()?.parse().ok()
}

/// Have two threads one table of descriptors (kcmp(2))? No where nobody says it.
#[must_use]
pub fn share_files(one: i32, other: i32) -> bool {
    /// `KCMP_FILES` of linux/kcmp.h, which libc does not have.
    const KCMP_FILES: libc::c_int = 2;
    // SAFETY: kcmp(2) takes integers and touches no memory of ours.
    let ret = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0_u64, 0_u64) };
    ret == 0
}

/// Clock ticks of a second (sysconf(3)).
#[must_use]
pub fn ticks_per_second() -> u64 {
    // SAFETY: sysconf(3) takes a constant and touches no memory of ours.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100).max(1)
}

fn parse(pid: i32, stat: &[u8]) -> Option<Process> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The first of these is the third of the manual page.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = [14, 15, 16, 17].map(|field| number(field).unwrap_or(0));
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        state: *fields.first()?.as_bytes().first()?,
        ticks: ticks.iter().sum(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        assert_eq!(comm(b"7 (a) (b) S 1"), Some(&b"a) (b"[..]));
        assert_eq!(comm(b""), None);
    }

    #[test]
    fn a_name_cannot_lie() {
        let text = b"7 (a) T 1 (b) x) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0";
        let found = parse(7, text).unwrap();
        assert_eq!(
            (found.state, found.parent, found.ticks),
            (b'S', 3, 10 + 20 + 30 + 40)
        );
        assert_eq!(parse(7, b"7 no name"), None);
        assert_eq!(parse(7, b"7 (x)"), None);
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(processes().iter().any(|p| p.pid == me && p.parent > 0));
        assert!(ticks_per_second() >= 1);
    }
}
