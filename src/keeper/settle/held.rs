//! Hidden files of the session that the box has open. A mask closes a name, and no descriptor: what the user writes into such a
//! file, the box would read. It gets a new inode, of which the box has none.
//!
//! A guard-rail: what is written before that (a second or two after the name has appeared) can be read.

#![forbid(unsafe_code)]

use super::{Did, Settler};
use crate::keeper::files;
use crate::keeper::links::make_alike;
use crate::keeper::quarantine::Why;
use crate::sys::mount::has_opener;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::linkat;
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

/// Who has a file open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    /// A process outside of every box, among others.
    Host,
    /// Nobody who can be seen there.
    Box,
}

/// Who has which of some inodes open, of those that this user may see.
type Openers = HashMap<(u64, u64), Opener>;

/// A file that may be open.
struct Busy {
    file: PathBuf,
    dir: OwnedFd,
    source: File,
    stat: FileStat,
    /// The kernel said so.
    told: bool,
}

impl Settler<'_> {
    /// Gives hidden files that the box has open a new inode each.
    pub(super) fn held(&mut self, files: &[PathBuf]) {
        if files.is_empty() {
            return;
        }
        let mut leases = SigSet::empty();
        leases.add(Signal::SIGIO);
        if leases.thread_block().is_err() {
            return;
        }
        let busy: Vec<Busy> = files.iter().filter_map(|file| self.busy(file)).collect();
        let openers = openers(&busy);
        for busy in busy {
            match openers.get(&(busy.stat.st_dev, busy.stat.st_ino)) {
                // It is asked again when that has written to it.
                Some(Opener::Host) => {}
                // No leases there, and nobody is found.
                None if !busy.told => {}
                None | Some(Opener::Box) => self.renew(busy),
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
        let told = has_opener(source.as_fd());
        (told != Ok(false)).then_some(Busy {
            file: file.to_owned(),
            dir,
            source: File::from(source),
            stat,
            told: told.is_ok(),
        })
    }

    /// What has the name goes to the quarantine, so that nothing is lost that somebody writes in this moment; a copy gets the name.
    fn renew(&mut self, busy: Busy) {
        let Some(name) = busy.file.file_name() else {
            return;
        };
        if !self.take(busy.dir.as_fd(), name, &busy.file, Why::Held) {
            return;
        }
        let did = match copy(busy.dir.as_fd(), name, busy.source, &busy.stat) {
            Ok(()) => Did::Renewed,
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

fn openers(busy: &[Busy]) -> Openers {
    let mut found = Openers::new();
    if busy.is_empty() {
        return found;
    }
    let names: HashSet<&OsStr> = busy.iter().filter_map(|it| it.file.file_name()).collect();
    let wanted: HashSet<_> = busy
        .iter()
        .map(|it| (it.stat.st_dev, it.stat.st_ino))
        .collect();
    let space = |process: &Path| std::fs::read_link(process.join("ns/pid")).ok();
    let own = space(Path::new("/proc/self"));
    let me = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let pid = process.file_name();
        if !pid.as_bytes().iter().all(u8::is_ascii_digit) || pid == me.as_str() {
            continue;
        }
        let process = process.path();
        let mut opener = None;
        let descriptors = std::fs::read_dir(process.join("fd"));
        for descriptor in descriptors.into_iter().flatten().flatten() {
            let path = descriptor.path();
            // By its name first: what a descriptor leads to may be on a server that does not answer.
            let is_named = std::fs::read_link(&path)
                .is_ok_and(|to| to.file_name().is_some_and(|name| names.contains(name)));
            if !is_named {
                continue;
            }
            let Ok(meta) = std::fs::metadata(&path) else {
                continue;
            };
            let inode = (meta.dev(), meta.ino());
            if wanted.contains(&inode) {
                let opener = *opener.get_or_insert_with(|| match space(&process) == own {
                    true => Opener::Host,
                    false => Opener::Box,
                });
                if found.get(&inode) != Some(&Opener::Host) {
                    found.insert(inode, opener);
                }
            }
        }
    }
    found
}
