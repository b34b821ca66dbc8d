//! Who has which files open: a walk through the tables of the processes. A process of a box has no interest in being seen, so of
//! those nothing is taken by a name, no thread is left out, and what cannot be looked at may be anything.

#![forbid(unsafe_code)]

use crate::sys::procfs;
use nix::errno::Errno;
use nix::unistd::Pid;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The most descriptors of all processes that are looked at. The box may have opened more for that.
const DESCRIPTORS: u32 = 100_000;

/// How the init of every box is called. The keeper of one box takes no process of another one for the user's: two of them would
/// hold a file for each other.
const BOX: &str = "agentbox-init";

/// The most tables of one process that its further threads are compared with.
const TABLES: usize = 16;

/// Who has a file open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    /// A process outside of the box, among others.
    Host,
    /// This box or another one, and nobody who can be seen outside.
    Box,
}

/// What is looked for.
#[derive(Default)]
pub(super) struct Wanted {
    inodes: HashSet<(u64, u64)>,
    /// As fdinfo has them, which on some file systems is not what stat(2) says.
    numbers: HashSet<u64>,
    names: HashSet<OsString>,
}

impl Wanted {
    /// A file that this process has open as that descriptor.
    pub(super) fn add(&mut self, file: &Path, inode: (u64, u64), descriptor: i32) {
        self.inodes.insert(inode);
        self.names.extend(file.file_name().map(OsString::from));
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"));
        self.numbers.insert(inode.1);
        self.numbers
            .extend(info.ok().and_then(|info| number(&info)));
    }
}

/// Who has which of some inodes open, of those that this user may see.
#[derive(Default)]
pub(super) struct Openers {
    /// By device and inode.
    pub(super) found: HashMap<(u64, u64), Opener>,
    /// The box may have any open: descriptors are on their way in its sockets, or a process of it cannot be looked at
    /// (`PR_SET_DUMPABLE`).
    pub(super) unseen: bool,
    left: u32,
}

/// Looks through all processes, for the box with that init.
pub(super) fn openers(wanted: &Wanted, init: Pid) -> Openers {
    let mut all = Openers {
        left: DESCRIPTORS,
        ..Openers::default()
    };
    if wanted.inodes.is_empty() {
        return all;
    }
    let me = procfs::own_number();
    let own = std::fs::read_link("/proc/self/exe").ok();
    // Where some are hidden, the way from a process of the user's up to PID 1 leads through some that are not seen (a login, init of a
    // box), and its pid namespace says whose it is: each box has one of its own, since the rung without namespaces cannot be had there.
    let outside = procfs::has_hidepid().then(own_pid_namespace).flatten();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let pid = process.file_name();
        let Some(pid) = pid.to_str().and_then(|pid| pid.parse::<i32>().ok()) else {
            continue;
        };
        if Some(pid) == me {
            continue;
        }
        // One by one, when it is looked at: the box may hand a descriptor on from one young process to the next.
        let is_hosts = match procfs::is_below(pid, init.as_raw(), Some(BOX)) {
            Some(below) => !below,
            None => outside.is_some_and(|own| is_in(pid, own)),
        };
        if is_hosts {
            let process = process.path();
            // The job of another session looks at the same file in this moment; each would take the other one for the user.
            let program = std::fs::read_link(process.join("exe")).ok();
            if program.is_none() || program != own {
                let _ = all.table(&process, Opener::Host, wanted);
            }
            continue;
        }
        let unseen = all.unseen;
        all.boxed(pid, wanted);
        // What may be in another box is no reason to doubt all that is in this one.
        if procfs::is_below(pid, init.as_raw(), None) == Some(false) {
            all.unseen = unseen;
        }
    }
    all
}

fn own_pid_namespace() -> Option<(u64, u64)> {
    let meta = std::fs::metadata("/proc/self/ns/pid").ok()?;
    Some((meta.dev(), meta.ino()))
}

fn is_in(pid: i32, namespace: (u64, u64)) -> bool {
    std::fs::metadata(format!("/proc/{pid}/ns/pid"))
        .is_ok_and(|meta| (meta.dev(), meta.ino()) == namespace)
}

impl Openers {
    /// A process of a box: the tables of all of its threads, which may have one each.
    fn boxed(&mut self, pid: i32, wanted: &Wanted) {
        let mut seen: Vec<i32> = Vec::new();
        let threads = PathBuf::from(format!("/proc/{pid}/task"));
        let threads = match std::fs::read_dir(threads) {
            Ok(threads) => threads,
            Err(e) => return self.unseen |= is_refusal(&e),
        };
        for thread in threads.flatten() {
            let name = thread.file_name();
            let Some(number) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            if seen.iter().any(|tid| procfs::share_files(*tid, number)) {
                continue;
            }
            match self.table(&thread.path(), Opener::Box, wanted) {
                Err(e) => self.unseen |= is_refusal(&e),
                Ok(()) if seen.len() < TABLES => seen.push(number),
                Ok(()) => {}
            }
        }
    }

    /// The table of one process or thread.
    fn table(&mut self, of: &Path, opener: Opener, wanted: &Wanted) -> std::io::Result<()> {
        for descriptor in std::fs::read_dir(of.join("fd"))?.flatten() {
            let Some(left) = self.left.checked_sub(1) else {
                self.unseen = true;
                return Ok(());
            };
            self.left = left;
            let Ok(to) = std::fs::read_link(descriptor.path()) else {
                continue;
            };
            let is_named = to
                .file_name()
                .is_some_and(|name| wanted.names.contains(name));
            if opener == Opener::Box {
                let info = of.join("fdinfo").join(descriptor.file_name());
                let info = std::fs::read_to_string(info).unwrap_or_default();
                let is_socket = to.as_os_str().as_bytes().starts_with(b"socket:");
                self.unseen |= is_socket && carries(&info);
                // It was opened under another name, maybe one that is gone. Linux says the number since 5.14.
                let is_wanted = number(&info).is_none_or(|it| wanted.numbers.contains(&it));
                if !is_named && !is_wanted {
                    continue;
                }
            } else if !is_named {
                // What a descriptor leads to may be on a server that does not answer.
                continue;
            }
            let Ok(meta) = std::fs::metadata(descriptor.path()) else {
                continue;
            };
            let inode = (meta.dev(), meta.ino());
            if wanted.inodes.contains(&inode) && self.found.get(&inode) != Some(&Opener::Host) {
                self.found.insert(inode, opener);
            }
        }
        Ok(())
    }
}

/// May it be there, and not be looked at?
fn is_refusal(e: &std::io::Error) -> bool {
    !matches!(crate::sys::errno_of(e), Errno::ENOENT | Errno::ESRCH)
}

/// Does a socket hold descriptors that were sent and not received (proc_pid_fdinfo(5), Linux 5.14)?
fn carries(info: &str) -> bool {
    let sent = info.lines().find_map(|line| line.strip_prefix("scm_fds:"));
    sent.is_some_and(|sent| sent.trim() != "0")
}

/// The inode of a descriptor.
fn number(info: &str) -> Option<u64> {
    let said = info.lines().find_map(|line| line.strip_prefix("ino:"))?;
    said.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{carries, number};

    #[test]
    fn descriptors_in_a_socket_are_seen() {
        assert!(carries("pos:\t0\nflags:\t02\nscm_fds: 3\n"));
        assert!(!carries("pos:\t0\nflags:\t02\nscm_fds: 0\n"));
        assert!(!carries("pos:\t0\n"));
    }

    #[test]
    fn the_inode_is_read() {
        assert_eq!(number("pos:\t0\nmnt_id:\t15\nino:\t77\n"), Some(77));
        assert_eq!(number("pos:\t0\n"), None);
    }
}
