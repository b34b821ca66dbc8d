//! At the end of a session: set-uid and set-gid bits that got through are taken away. seccomp refuses to make them; this
//! is for what it cannot see, and for sessions without it.
//!
//! A walk over a large working copy costs (50,000 files: some 100 ms), so it is only done to the end where such a file would
//! be worth something: for a caller who is root, whose files they would be, and when the seccomp layer does not hold. An
//! ordinary user's set-gid file gives others that user's group: there it is done as far as it costs nothing to speak of.

#![forbid(unsafe_code)]

use crate::outcome::{Evidence, Layer, Status};
use crate::plan::{OsText, Plan};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Whether the walk is worth its price to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// It is.
    Yes,
    /// It is not: see the module's text.
    No,
}

/// Decides whether to walk.
#[must_use]
pub fn worth(plan: &Plan, evidence: &[Evidence]) -> Worth {
    let filtered = evidence
        .iter()
        .any(|e| e.layer == Layer::Seccomp && e.status == Status::Full);
    if plan.identity.caller_uid == 0 || !filtered {
        Worth::Yes
    } else {
        Worth::No
    }
}

/// The host's paths that the box could write, without those that lie below another.
#[must_use]
pub fn writable(plan: &Plan) -> Vec<PathBuf> {
    let written = plan.view.written();
    let mut paths: Vec<PathBuf> = written
        .map(|(source, _)| source.path().to_owned())
        .collect();
    paths.sort();
    paths.dedup_by(|later, earlier| later.starts_with(&*earlier));
    // The private place lies in agentbox's own directory, which nobody else may enter: a bit there gives nobody anything, and
    // package caches are large.
    paths.retain(|path| {
        let private = plan
            .private_dirs
            .iter()
            .any(|dir| dir.path().starts_with(path));
        !private || !is_closed(path.parent())
    });
    paths
}

/// A directory that only its owner may search.
fn is_closed(dir: Option<&Path>) -> bool {
    dir.and_then(|dir| std::fs::metadata(dir).ok())
        .is_some_and(|meta| meta.permissions().mode() & 0o077 == 0)
}

/// What a sweep found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Files that had a bit which was taken away, and which bits (`S_ISUID | S_ISGID`).
    pub stripped: Vec<(OsText, u32)>,
    /// What could not be looked at or changed, and why.
    pub failed: Vec<(OsText, Errno)>,
    /// Whether everything was looked at.
    pub extent: Extent,
}

/// How far a sweep came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everywhere.
    #[default]
    Whole,
    /// Until the time was over, or a tree was too deep: say it.
    Part,
}

/// Directories deeper than this are not looked at: each level holds a descriptor.
const DEPTH: u32 = 256;

/// What the walk carries.
struct Walk {
    since: (i64, i64),
    until: Instant,
    found: Found,
}

/// Looks through `roots` for regular files with set-uid or set-gid bits whose inode changed at or after `since` (seconds
/// and nanoseconds of CLOCK_REALTIME, the start of the session) and takes the bits away. The time of the inode (ctime)
/// cannot be set back by the agent, and files that had such a bit before are the human's. After the box is dead, by
/// descriptors, never through a symlink or into another mount.
#[must_use]
pub fn sweep(roots: &[PathBuf], since: (i64, i64), patience: Duration) -> Found {
    let mut walk = Walk {
        since,
        until: Instant::now() + patience,
        found: Found::default(),
    };
    for root in roots {
        if let Err(errno) = walk.root(root) {
            walk.fail(root, errno);
        }
    }
    walk.found
}

impl Walk {
    fn fail(&mut self, path: &Path, errno: Errno) {
        // Gone in the meantime is no failure.
        if errno != Errno::ENOENT {
            self.found.failed.push((path.into(), errno));
        }
    }

    fn root(&mut self, root: &Path) -> Result<(), Errno> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = open(root, flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        if kind(&stat) == SFlag::S_IFDIR {
            let dir = openat(&fd, ".", DIR, Mode::empty())?;
            self.directory(&dir, root, stat.st_dev, DEPTH);
            return Ok(());
        }
        let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
            return Ok(());
        };
        let parent = open(parent, DIR, Mode::empty())?;
        self.file(parent.as_fd(), name, &stat, root)
    }

    fn directory(&mut self, dir: &OwnedFd, path: &Path, device: u64, depth: u32) {
        if depth == 0 || Instant::now() >= self.until {
            self.found.extent = Extent::Part;
            return;
        }
        let names = match names(dir) {
            Ok(names) => names,
            Err(errno) => return self.fail(path, errno),
        };
        for (name, hint) in names {
            // Symlinks, sockets, devices: a mode on them does nothing. An unknown type (some file systems) is asked for.
            if !matches!(hint, None | Some(Type::Directory | Type::File)) {
                continue;
            }
            let name = OsStr::from_bytes(&name);
            let here = path.join(name);
            if let Err(errno) = self.entry(dir, name, &here, device, depth) {
                self.fail(&here, errno);
            }
        }
    }

    fn entry(
        &mut self,
        dir: &OwnedFd,
        name: &OsStr,
        path: &Path,
        device: u64,
        depth: u32,
    ) -> Result<(), Errno> {
        let stat = fstatat(
            dir,
            name,
            AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_NO_AUTOMOUNT,
        )?;
        match kind(&stat) {
            SFlag::S_IFREG => self.file(dir.as_fd(), name, &stat, path),
            SFlag::S_IFDIR if stat.st_dev == device => {
                let child = openat(dir, name, DIR, Mode::empty())?;
                // A bind mount of the same file system has the same device; what matters is that it is what was looked at.
                if fstat(&child)?.st_ino == stat.st_ino {
                    self.directory(&child, path, device, depth - 1);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn file(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &FileStat,
        path: &Path,
    ) -> Result<(), Errno> {
        let bits = stat.st_mode & BITS;
        if bits == 0
            || kind(stat) != SFlag::S_IFREG
            || (stat.st_ctime, stat.st_ctime_nsec) < self.since
        {
            return Ok(());
        }
        // By a descriptor of the very inode: between the look and the change the name may have got another. Reading needs
        // a right that a file of mode 04000 does not give its own owner, hence the second try by the name.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777 & !BITS);
        match openat(dir, name, flags, Mode::empty()) {
            Ok(file) if fstat(&file)?.st_ino == stat.st_ino => fchmod(&file, mode)?,
            Ok(_) => return Err(Errno::ESTALE),
            Err(Errno::EACCES) => {
                nix::sys::stat::fchmodat(
                    dir,
                    name,
                    mode,
                    nix::sys::stat::FchmodatFlags::NoFollowSymlink,
                )?;
            }
            Err(errno) => return Err(errno),
        }
        self.found.stripped.push((path.into(), bits));
        Ok(())
    }
}

/// S_ISUID and S_ISGID.
const BITS: u32 = Mode::S_ISUID.bits() | Mode::S_ISGID.bits();

const DIR: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

type Names = Vec<(Vec<u8>, Option<Type>)>;

fn names(dir: &OwnedFd) -> Result<Names, Errno> {
    let mut listing = Dir::openat(dir, ".", DIR, Mode::empty())?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push((name.to_vec(), entry.file_type()));
        }
    }
    Ok(names)
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
