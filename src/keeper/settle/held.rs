//! Hidden files of the session that the box has open. A mask closes a name, and no descriptor, also none by `O_PATH`, which is
//! opened anew through `/proc/self/fd`: what the user writes into such a file, the box would read. It gets a new inode, of which
//! the box has none.
//!
//! A guard-rail: what is written before that (a second or two after the name has appeared) can be read.

#![forbid(unsafe_code)]

use super::{Did, Held, Settler, Whose};
use crate::keeper::files;
use crate::keeper::links::make_alike;
use crate::keeper::quarantine::Why;
use crate::sys::mount::has_opener;
use crate::sys::procfs;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::{Pid, linkat};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The most bytes of a file that is copied. A larger one is moved away.
const MOST: u64 = 16 << 20;

/// The most descriptors of all processes that are looked at. The box may have opened more for that.
const DESCRIPTORS: u32 = 100_000;

/// Who has a file open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    /// A process outside of the box, among others.
    Host,
    /// Nobody who can be seen there.
    Box,
}

/// Who has which of some inodes open, of those that this user may see.
#[derive(Default)]
struct Openers {
    found: HashMap<(u64, u64), Opener>,
    /// Descriptors are on their way in sockets of a box, and nobody can say of what.
    in_flight: bool,
}

/// A file that may be open.
struct Busy {
    file: PathBuf,
    dir: OwnedFd,
    source: File,
    stat: FileStat,
    /// Whether the kernel said so; it says nothing of `O_PATH`, and on some file systems nothing at all.
    told: Option<bool>,
}

impl Settler<'_> {
    /// Gives hidden files that the box has open a new inode each.
    pub(super) fn held(&mut self, held: &Held) {
        let Some(init) = held.init.filter(|_| !held.files.is_empty()) else {
            return;
        };
        let mut leases = SigSet::empty();
        leases.add(Signal::SIGIO);
        if leases.thread_block().is_err() {
            return;
        }
        let all: Vec<Busy> = held
            .files
            .iter()
            .filter_map(|file| self.busy(file))
            .collect();
        let openers = openers(&all, init);
        for busy in all {
            let opener = openers.found.get(&(busy.stat.st_dev, busy.stat.st_ino));
            match (opener, busy.told) {
                // It is asked again when that has written to it.
                (Some(Opener::Host), _) => {}
                (Some(Opener::Box), _) | (None, Some(true)) => self.renew(busy, Whose::Box),
                (None, _) if openers.in_flight => self.renew(busy, Whose::Perhaps),
                (None, _) => {}
            }
        }
        self.unlocked.lock();
    }

    fn busy(&mut self, file: &Path) -> Option<Busy> {
        let (parent, name) = (file.parent()?, file.file_name()?);
        if !self.kinds.is_hidden(file) {
            return None;
        }
        let dir = match self.unlocked.open_to_write(self.root.as_fd(), parent) {
            Ok(dir) => dir,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return None,
            Err(errno) => {
                self.failed(file, errno);
                return None;
            }
        };
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let source = openat(&dir, name, flags, Mode::empty()).ok()?;
        let stat = fstat(&source).ok()?;
        let old = (stat.st_ctime, stat.st_ctime_nsec) < self.baseline.taken;
        if old || !files::is(&stat, SFlag::S_IFREG) {
            return None;
        }
        Some(Busy {
            file: file.to_owned(),
            dir,
            told: has_opener(source.as_fd()).ok(),
            source: File::from(source),
            stat,
        })
    }

    /// What has the name goes to the quarantine, so that nothing is lost that somebody writes in this moment; a copy gets the name.
    fn renew(&mut self, busy: Busy, whose: Whose) {
        let Some(name) = busy.file.file_name() else {
            return;
        };
        if !self.take(busy.dir.as_fd(), name, &busy.file, Why::Held) {
            return;
        }
        let did = match copy(busy.dir.as_fd(), name, busy.source, &busy.stat) {
            Ok(()) => Did::Renewed { whose },
            Err(_) => Did::Lured,
        };
        self.say(&busy.file, did);
    }
}

/// A copy that has no name before it is whole: the box could open it by that.
fn copy(dir: BorrowedFd<'_>, name: &OsStr, mut source: File, stat: &FileStat) -> Result<(), Errno> {
    if u64::try_from(stat.st_size).is_ok_and(|size| size > MOST) {
        return Err(Errno::EFBIG);
    }
    let errno = |e: std::io::Error| crate::sys::errno_of(&e);
    let flags = OFlag::O_WRONLY | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
    let mut copy = File::from(openat(dir, ".", flags, Mode::empty())?);
    source.rewind().map_err(errno)?;
    std::io::copy(&mut (&source).take(MOST), &mut copy).map_err(errno)?;
    make_alike(&source, &copy, stat)?;
    let at = format!("/proc/self/fd/{}", copy.as_raw_fd());
    linkat(
        AT_FDCWD,
        at.as_str(),
        dir,
        Path::new(name),
        AtFlags::AT_SYMLINK_FOLLOW,
    )
}

fn openers(busy: &[Busy], init: Pid) -> Openers {
    let mut all = Openers::default();
    if busy.is_empty() {
        return all;
    }
    let names: HashSet<&OsStr> = busy.iter().filter_map(|it| it.file.file_name()).collect();
    let wanted: HashSet<_> = busy
        .iter()
        .map(|it| (it.stat.st_dev, it.stat.st_ino))
        .collect();
    let me = procfs::own_number();
    let mut left = DESCRIPTORS;
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let pid = process.file_name();
        let Some(pid) = pid.to_str().and_then(|pid| pid.parse::<i32>().ok()) else {
            continue;
        };
        if Some(pid) == me {
            continue;
        }
        let process = process.path();
        let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else {
            continue;
        };
        let mut opener = None;
        // When it is needed, and not before: the box may hand a descriptor on from one young process to the next. Also another
        // box's is outside, which has a supervisor of its own.
        let mut opener = || {
            *opener.get_or_insert_with(|| match procfs::is_below(pid, init.as_raw()) {
                Some(false) => Opener::Host,
                Some(true) | None => Opener::Box,
            })
        };
        for descriptor in descriptors.flatten() {
            left -= 1;
            if left == 0 {
                all.in_flight = true;
                return all;
            }
            let Ok(to) = std::fs::read_link(descriptor.path()) else {
                continue;
            };
            let is_socket = to.as_os_str().as_bytes().starts_with(b"socket:");
            if is_socket && opener() == Opener::Box {
                let info = process.join("fdinfo").join(descriptor.file_name());
                all.in_flight |= carries(&std::fs::read_to_string(info).unwrap_or_default());
            }
            // By its name first: what a descriptor leads to may be on a server that does not answer.
            if !to.file_name().is_some_and(|name| names.contains(name)) {
                continue;
            }
            let Ok(meta) = std::fs::metadata(descriptor.path()) else {
                continue;
            };
            let inode = (meta.dev(), meta.ino());
            if wanted.contains(&inode) && all.found.get(&inode) != Some(&Opener::Host) {
                all.found.insert(inode, opener());
            }
        }
    }
    all
}

/// Does a socket hold descriptors that were sent and not received (proc_pid_fdinfo(5), Linux 5.14)?
fn carries(info: &str) -> bool {
    let sent = info.lines().find_map(|line| line.strip_prefix("scm_fds:"));
    sent.is_some_and(|sent| sent.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::carries;

    #[test]
    fn descriptors_in_a_socket_are_seen() {
        assert!(carries("pos:\t0\nflags:\t02\nscm_fds: 3\n"));
        assert!(!carries("pos:\t0\nflags:\t02\nscm_fds: 0\n"));
        assert!(!carries("pos:\t0\n"));
    }
}
