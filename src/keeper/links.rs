//! Files with hard links out of what the box may write become copies of their own, before there is a box: what it writes in
//! place is then its own working copy's and nobody else's, and everything that a program does with such a tree works as
//! before (`rm -rf node_modules`, `pnpm install`, `git gc`), which no mount over it would allow.
//!
//! First all are copied beside their place, then they are on the disk, then each takes its place by rename(2): a crash in
//! between loses nothing and leaves files that the next start removes. By descriptors: no symlink is followed.

#![forbid(unsafe_code)]

use super::files;
use crate::plan::OsText;
use crate::plan::links::{HardLinks, Links, UNFINISHED};
use crate::sys::{random, xattr};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, futimens};
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, linkat, syncfs, unlinkat};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// How often a file that somebody writes meanwhile is copied anew.
const TRIES: u32 = 4;

/// Why a file could not become a copy. The box must not start.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{file} has hard links outside of what the box may write and could not be copied: {call}: {errno}; \
     `--hard-links allow` starts all the same, and what the box writes there is changed outside, too"
)]
pub struct LinkError {
    file: OsText,
    call: &'static str,
    errno: Errno,
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Names that are copies now.
    pub files: u64,
    /// The bytes that were copied.
    pub bytes: u64,
}

/// A copy that waits beside its place.
struct Waiting {
    dir: PathBuf,
    temporary: OsString,
    name: OsString,
    /// What it is a copy of.
    of: (u64, u64),
}

/// Gives every file of the plan a copy of its own, if that is the rule.
///
/// # Errors
/// The first that could not be copied; then none has been replaced.
pub fn copy(links: &Links) -> Result<Copied, LinkError> {
    let root = openat(AT_FDCWD, "/", files::DIR, Mode::empty()).map_err(|errno| LinkError {
        file: OsText::from("/"),
        call: "open",
        errno,
    })?;
    let mut copying = Copying {
        root,
        dir: None,
        made: HashMap::new(),
        waiting: Vec::new(),
        done: Copied::default(),
    };
    for stale in &links.stale {
        copying.remove(stale.path());
    }
    if links.rule != HardLinks::Copy || links.files.is_empty() {
        return Ok(Copied::default());
    }
    let begun = copying.room(links).and_then(|()| {
        links
            .files
            .iter()
            .try_for_each(|file| copying.file(file.path()))
    });
    match begun.and_then(|()| copying.sync()) {
        Ok(()) => copying.replace(),
        Err(e) => {
            for waiting in std::mem::take(&mut copying.waiting) {
                copying.remove(&waiting.dir.join(&waiting.temporary));
            }
            Err(e)
        }
    }
}

struct Copying {
    root: OwnedFd,
    /// The directory of the last file: they come in that order.
    dir: Option<(PathBuf, OwnedFd)>,
    /// The copy of each inode: names that were one file stay one.
    made: HashMap<(u64, u64), (PathBuf, OsString)>,
    waiting: Vec<Waiting>,
    done: Copied,
}

fn failed(file: &Path, call: &'static str) -> impl Fn(Errno) -> LinkError {
    let file = OsText::from(file);
    move |errno| LinkError {
        file: file.clone(),
        call,
        errno,
    }
}

impl Copying {
    /// Is there room for all of them?
    fn room(&mut self, links: &Links) -> Result<(), LinkError> {
        let Some(first) = links.files.first() else {
            return Ok(());
        };
        let Ok(dir) = self.dir(first.path().parent().unwrap_or(Path::new("/"))) else {
            return Ok(());
        };
        let stat = fstatvfs(dir).map_err(failed(first.path(), "statvfs"))?;
        let free = stat.blocks_available().saturating_mul(stat.fragment_size());
        // Half of what is there stays free: this is nobody's wish in particular.
        if links.bytes > free / 2 {
            return Err(failed(first.path(), "room for all such files")(
                Errno::ENOSPC,
            ));
        }
        Ok(())
    }

    fn dir(&mut self, path: &Path) -> Result<BorrowedFd<'_>, Errno> {
        if self.dir.as_ref().is_none_or(|(known, _)| known != path) {
            let dir = files::open_path(self.root.as_fd(), path)?;
            self.dir = Some((path.to_owned(), dir));
        }
        match &self.dir {
            Some((_, dir)) => Ok(dir.as_fd()),
            None => Err(Errno::ENOENT),
        }
    }

    fn remove(&mut self, file: &Path) {
        if let (Some(parent), Some(name)) = (file.parent(), file.file_name())
            && let Ok(dir) = self.dir(parent)
        {
            let _ = unlinkat(dir, Path::new(name), UnlinkatFlags::NoRemoveDir);
        }
    }

    fn file(&mut self, file: &Path) -> Result<(), LinkError> {
        let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
            return Ok(());
        };
        for _ in 0..TRIES {
            let dir = match self.dir(parent) {
                Ok(dir) => dir.try_clone_to_owned(),
                // Somebody has moved it since the plan was made: what is there now was not looked at, and is next time.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
                Err(errno) => return Err(failed(file, "open its directory")(errno)),
            };
            let dir = dir.map_err(|e| failed(file, "dup")(crate::sys::errno_of(&e)))?;
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let source = match openat(&dir, name, flags, Mode::empty()) {
                Ok(source) => source,
                Err(Errno::ENOENT | Errno::ELOOP) => return Ok(()),
                Err(errno) => return Err(failed(file, "open")(errno)),
            };
            let stat = fstat(&source).map_err(failed(file, "stat"))?;
            if !files::is(&stat, SFlag::S_IFREG) || stat.st_nlink < 2 {
                return Ok(());
            }
            let of = (stat.st_dev, stat.st_ino);
            let temporary = temporary().map_err(failed(file, "getrandom"))?;
            match self.made.get(&of) {
                Some((holder, copy)) => files::open_path(self.root.as_fd(), holder)
                    .and_then(|holder| {
                        let (from, to) = (Path::new(copy), Path::new(&temporary));
                        linkat(&holder, from, &dir, to, AtFlags::empty())
                    })
                    .map_err(failed(file, "link"))?,
                None => {
                    let made = make(dir.as_fd(), &temporary, File::from(source), &stat);
                    match made.and_then(|()| unchanged(dir.as_fd(), name, &stat)) {
                        Ok(true) => {}
                        Ok(false) => {
                            let _ =
                                unlinkat(&dir, Path::new(&temporary), UnlinkatFlags::NoRemoveDir);
                            continue;
                        }
                        Err(errno) => {
                            let _ =
                                unlinkat(&dir, Path::new(&temporary), UnlinkatFlags::NoRemoveDir);
                            return Err(failed(file, "copy")(errno));
                        }
                    }
                    self.made.insert(of, (parent.to_owned(), temporary.clone()));
                    self.done.bytes += u64::try_from(stat.st_size).unwrap_or(0);
                }
            }
            self.waiting.push(Waiting {
                dir: parent.to_owned(),
                temporary,
                name: name.to_owned(),
                of,
            });
            return Ok(());
        }
        Err(failed(file, "somebody writes it all the time")(
            Errno::EBUSY,
        ))
    }

    /// What was copied is on the disk, before anything is replaced by it.
    fn sync(&mut self) -> Result<(), LinkError> {
        let mut devices: Vec<u64> = Vec::new();
        for at in 0..self.waiting.len() {
            let Some(waiting) = self.waiting.get(at) else {
                break;
            };
            let (device, dir) = (waiting.of.0, waiting.dir.clone());
            if devices.contains(&device) {
                continue;
            }
            devices.push(device);
            let fd = self.dir(&dir).map_err(failed(&dir, "open"))?;
            syncfs(fd).map_err(failed(&dir, "syncfs"))?;
        }
        Ok(())
    }

    fn replace(&mut self) -> Result<Copied, LinkError> {
        let mut first = Ok(());
        for waiting in std::mem::take(&mut self.waiting) {
            let file = waiting.dir.join(&waiting.name);
            let put = self.dir(&waiting.dir).and_then(|dir| {
                let now = files::stat(dir, &waiting.name)?;
                if (now.st_dev, now.st_ino) != waiting.of {
                    return Err(Errno::ENOENT);
                }
                renameat(
                    dir,
                    Path::new(&waiting.temporary),
                    dir,
                    Path::new(&waiting.name),
                )
            });
            match put {
                Ok(()) => self.done.files += 1,
                Err(errno) => {
                    self.remove(&waiting.dir.join(&waiting.temporary));
                    // Replaced or removed by its owner meanwhile, it is as they want it.
                    if errno != Errno::ENOENT && first.is_ok() {
                        first = Err(failed(&file, "rename")(errno));
                    }
                }
            }
        }
        first.map(|()| self.done)
    }
}

fn temporary() -> Result<OsString, Errno> {
    let random = random::bytes::<8>().map_err(|e| crate::sys::errno_of(&e))?;
    let mut name = OsString::from(UNFINISHED);
    for byte in random {
        name.push(format!("{byte:02x}"));
    }
    Ok(name)
}

/// The copy: content (shared on the disk where the file system can), owner, attributes, permissions and times.
fn make(dir: BorrowedFd<'_>, name: &OsStr, mut source: File, stat: &FileStat) -> Result<(), Errno> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut copy = File::from(openat(dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    std::io::copy(&mut source, &mut copy).map_err(|e| crate::sys::errno_of(&e))?;
    make_alike(&source, &copy, stat)
}

/// Gives a copy the owner, attributes, permissions and times of what it is a copy of.
pub(super) fn make_alike(source: &File, copy: &File, stat: &FileStat) -> Result<(), Errno> {
    let made = fstat(copy)?;
    let mut mode = stat.st_mode & 0o7777;
    if (made.st_uid, made.st_gid) != (stat.st_uid, stat.st_gid) {
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        match fchown(copy, Some(uid), Some(gid)) {
            // A group that the user is not in (any more) cannot be given: the user's own may do with it what everybody may.
            Err(Errno::EPERM) if made.st_uid == stat.st_uid => {
                mode &= 0o5707 | (mode & 0o007) << 3;
            }
            done => done?,
        }
    }
    xattr::copy(source.as_fd(), copy.as_fd())?;
    // After the owner, whose change takes set-user-id bits away.
    fchmod(copy, Mode::from_bits_truncate(mode))?;
    let accessed = TimeSpec::new(stat.st_atime, stat.st_atime_nsec);
    let modified = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
    futimens(copy, &accessed, &modified)
}

/// Is it the same file with the same content as when its copying began?
fn unchanged(dir: BorrowedFd<'_>, name: &OsStr, before: &FileStat) -> Result<bool, Errno> {
    let now = match files::stat(dir, name) {
        Ok(now) => now,
        Err(Errno::ENOENT) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    let what = |s: &FileStat| {
        (
            (s.st_dev, s.st_ino, s.st_size),
            (s.st_mtime, s.st_mtime_nsec),
        )
    };
    Ok(what(&now) == what(before))
}
