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
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
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
        for file in files {
            self.renew(file);
            self.unlocked.lock();
        }
    }

    fn renew(&mut self, file: &Path) {
        let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
            return;
        };
        if !self.kinds.is_hidden(file) {
            return;
        }
        let dir = match self.unlocked.open_to_write(self.root.as_fd(), parent) {
            Ok(dir) => dir,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return,
            Err(errno) => return self.failed(file, errno),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let Ok(source) = openat(&dir, name, flags, Mode::empty()) else {
            return;
        };
        let Ok(stat) = fstat(&source) else { return };
        let old = (stat.st_ctime, stat.st_ctime_nsec) < self.baseline.taken;
        if old || !files::is(&stat, SFlag::S_IFREG) {
            return;
        }
        let told = has_opener(source.as_fd());
        if told == Ok(false) {
            return;
        }
        match (told, opener(name, &stat)) {
            // It is asked again when that has written to it.
            (_, Some(Opener::Host)) => {}
            // No leases there, and nobody is found.
            (Err(_), None) => {}
            _ => self.replace(dir.as_fd(), name, file, File::from(source), &stat),
        }
    }

    /// What has the name goes to the quarantine, so that nothing is lost that somebody writes in this moment; a copy gets the name.
    fn replace(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        file: &Path,
        source: File,
        stat: &FileStat,
    ) {
        if !self.take(dir, name, file, Why::Held) {
            return;
        }
        let copied = copy(dir, name, source, stat);
        let did = match copied {
            Ok(()) => Did::Renewed,
            Err(_) => Did::Lured,
        };
        self.say(file, did);
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

/// Who has a file of that name open, of those that this user may see.
fn opener(name: &OsStr, stat: &FileStat) -> Option<Opener> {
    let space = |process: &Path| std::fs::read_link(process.join("ns/pid")).ok();
    let own = space(Path::new("/proc/self"));
    let me = std::process::id().to_string();
    let mut found = None;
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name();
        let process = process.path();
        let is_pid = pid.as_bytes().iter().all(u8::is_ascii_digit);
        if !is_pid || pid == me.as_str() || !has(&process, name, stat) {
            continue;
        }
        if space(&process) == own {
            return Some(Opener::Host);
        }
        found = Some(Opener::Box);
    }
    found
}

fn has(process: &Path, name: &OsStr, stat: &FileStat) -> bool {
    let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let path = descriptor.path();
        // By its name first: what a descriptor leads to may be on a server that does not answer.
        std::fs::read_link(&path).is_ok_and(|to| to.file_name() == Some(name))
            && std::fs::metadata(&path)
                .is_ok_and(|meta| (meta.dev(), meta.ino()) == (stat.st_dev, stat.st_ino))
    })
}
