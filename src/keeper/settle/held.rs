//! Hidden files of the session that the box has open. A mask closes a name, and no descriptor, also none by `O_PATH`, which is
//! opened anew through `/proc/self/fd`: what the user writes into such a file, the box would read. It gets a new inode, of which
//! the box has none.
//!
//! A guard-rail: what is written before that (a second or two after the name has appeared) can be read.

#![forbid(unsafe_code)]

use super::openers::{Opener, Wanted, openers};
use super::{Did, Held, Settler, Whose};
use crate::keeper::files;
use crate::keeper::links::make_alike;
use crate::keeper::quarantine::Why;
use crate::sys::mount::has_opener;
use crate::sys::unlock;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::linkat;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The most bytes of a file that is copied. A larger one is moved away.
const MOST: u64 = 16 << 20;

/// A file that may be open.
struct Busy {
    file: PathBuf,
    dir: OwnedFd,
    source: File,
    stat: FileStat,
    /// Whether the kernel said so; it says nothing of `O_PATH`, and on some file systems nothing at all.
    told: Option<bool>,
}

impl Busy {
    fn inode(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }
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
        let mut wanted = Wanted::default();
        for busy in &all {
            wanted.add(&busy.file, busy.inode(), busy.source.as_raw_fd());
        }
        let openers = openers(&wanted, init);
        self.several.clear();
        for busy in all {
            let inode = busy.inode();
            // Who had it open can have given it another name since it appeared, and has closed it then.
            let named = fstat(&busy.source)
                .is_ok_and(|stat| stat.st_nlink > 1 && self.has_a_plain_name(&busy.file, &stat));
            match (openers.found.get(&inode), busy.told) {
                _ if named => {
                    if let Some(name) = busy.file.file_name() {
                        self.take(busy.dir.as_fd(), name, &busy.file, Why::Lure);
                    }
                }
                // It is asked again when that has written to it.
                (Some(Opener::Host), _) => {}
                (Some(Opener::Box), _) | (None, Some(true)) => self.renew(busy, Whose::Box),
                (None, _) if openers.unseen && !held.settled.contains(&inode) => {
                    self.renew(busy, Whose::Perhaps);
                }
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
        let source = match openat(&dir, name, flags, Mode::empty()) {
            // The box can have it open all the same, and who has a mode of 0200 in front of him can still write it.
            Err(Errno::EACCES) => {
                let widened = unlock::widen(dir.as_fd(), name).ok()??;
                let source = openat(&dir, name, flags, Mode::empty());
                widened.narrow();
                source.ok()?
            }
            source => source.ok()?,
        };
        let stat = fstat(&source).ok()?;
        if self.is_of_the_start(file, &stat) || !files::is(&stat, SFlag::S_IFREG) {
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
            Err(errno) if errno != Errno::EEXIST => Did::Lured,
            copy => Did::Renewed {
                whose,
                was: (busy.stat.st_dev, busy.stat.st_ino),
                copy: copy.ok(),
            },
        };
        self.say(&busy.file, did);
    }
}

/// A copy, and its inode. It has no name before it is whole: the box could open it by that.
fn copy(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    mut source: File,
    stat: &FileStat,
) -> Result<(u64, u64), Errno> {
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
    )?;
    let made = fstat(&copy)?;
    Ok((made.st_dev, made.st_ino))
}
