//! The way to a stop file's directory, watched step by step from the root: each step before the next one is looked up, so
//! that whatever is replaced later is either an event or what was looked up.

#![forbid(unsafe_code)]

use super::Switches;
use crate::plan::stop::StopScope;
use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, lstat, major, stat};
use nix::sys::statfs::statfs;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Of a step: it moves, goes, or (a symlink) is replaced by rename. Nothing that happens in it.
const STEP: u32 = libc::IN_MOVE_SELF | libc::IN_DELETE_SELF;
/// Of a directory: an entry appears.
const ENTRY: u32 = libc::IN_CREATE | libc::IN_MOVED_TO;

/// As the kernel follows them at most (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// File systems whose changes from elsewhere are no events here, by statfs(2)'s `f_type` (linux/magic.h and their sources).
const REMOTE: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x6573_5546, "FUSE (sshfs, virtiofs, ...)"),
    (0x0102_1997, "9p"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x7461_636F, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x2003_0528, "OrangeFS"),
    (0x1983_0326, "BeeGFS"),
    (0x786F_4256, "a shared folder (vboxsf)"),
    (0xBACB_ACBC, "a shared folder (vmhgfs)"),
    (0x7C7C_6673, "a shared folder (prl_fs)"),
];

/// What a directory is, and when it last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) dev: u64,
    pub(super) ino: u64,
    ctime: (i64, i64),
}

impl Identity {
    pub(super) fn of(path: &Path) -> Result<Identity, Errno> {
        stat(path).map(|stat| Identity {
            dev: stat.st_dev,
            ino: stat.st_ino,
            ctime: (stat.st_ctime, stat.st_ctime_nsec),
        })
    }
}

/// Where a walk has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// To the directory.
    Here { watch: i32, identity: Identity },
    /// To a step that is not there (yet).
    Missing,
    /// To where events cannot be had.
    Unwatched { why: String },
}

impl Switches {
    /// Watches every step of the path of that place, as far as it exists, and where the next one would appear.
    pub(super) fn walk(&mut self, number: usize) -> End {
        let Some(dir) = self.places.get(number).map(|place| place.dir.clone()) else {
            return End::Missing;
        };
        match self.steps(number, &dir) {
            Ok(end) => end,
            Err((path, errno)) => {
                let why = match errno {
                    Errno::ENOSPC => {
                        "no watch is left (fs.inotify.max_user_watches, fs.fanotify.max_user_marks)"
                            .to_owned()
                    }
                    errno => format!("{} cannot be watched: {}", path.display(), errno.desc()),
                };
                End::Unwatched { why }
            }
        }
    }

    fn steps(&mut self, number: usize, dir: &Path) -> Result<End, (PathBuf, Errno)> {
        let held = self.held(number);
        let mut at = PathBuf::from("/");
        let mut parent = stat(&at).map_err(|errno| (at.clone(), errno))?;
        let mut todo: Vec<OsString> = Vec::new();
        push(&mut todo, dir);
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                at.pop();
                parent = stat(&at).map_err(|errno| (at.clone(), errno))?;
                continue;
            }
            let next = at.join(&name);
            let appears = |switches: &mut Switches| {
                let role = (name.clone(), number);
                switches
                    .watch(&at, ENTRY | libc::IN_ONLYDIR, |roles| {
                        roles.entries.push(role)
                    })
                    .map_err(|errno| (at.clone(), errno))
            };
            // A directory that is removed while the box holds it tells nobody; its successor's appearance does.
            let closed = !anybody_may_change(&parent);
            let may_be_replaced = todo.is_empty() && (held || !closed);
            if may_be_replaced {
                match appears(self) {
                    // Not readable, and root's: see `step`.
                    Err((_, Errno::EACCES)) if closed => {}
                    other => drop(other?),
                }
            }
            let mut found = self.step(number, &next, &parent)?;
            if found.is_none() && !may_be_replaced {
                appears(self)?;
                // It may have come before the watch.
                found = self.step(number, &next, &parent)?;
            }
            let Some(stat) = found else {
                return Ok(End::Missing);
            };
            match kind(&stat) {
                SFlag::S_IFDIR => {
                    if let Some(name) = remote(&next, &stat, &parent) {
                        let why = format!("{} is on {name}", next.display());
                        return Ok(End::Unwatched { why });
                    }
                    at = next;
                    parent = stat;
                }
                SFlag::S_IFLNK => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Ok(End::Missing);
                    }
                    let target = std::fs::read_link(&next).map_err(|error| {
                        let errno = crate::sys::errno_of(&error);
                        (next.clone(), errno)
                    })?;
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                        parent = nix::sys::stat::stat(&at).map_err(|errno| (at.clone(), errno))?;
                    }
                    push(&mut todo, &target);
                }
                // Nothing is below it until it is replaced.
                _ => {
                    if !may_be_replaced {
                        appears(self)?;
                    }
                    return Ok(End::Missing);
                }
            }
        }
        let watch = self
            .watch(&at, ENTRY | STEP | libc::IN_ONLYDIR, |roles| {
                roles.stops.push(number);
            })
            .map_err(|errno| (at.clone(), errno))?;
        let identity = Identity::of(&at).map_err(|errno| (at.clone(), errno))?;
        Ok(End::Here { watch, identity })
    }

    /// Whether the box has that directory, or one in it, mounted.
    fn held(&self, number: usize) -> bool {
        let names = self
            .places
            .get(number)
            .map_or(&[][..], |place| &place.names);
        names.iter().any(|(_, number)| {
            let scope = self.files.get(*number).map(|file| file.scope);
            matches!(scope, Some(StopScope::Workspace | StopScope::Repository))
        })
    }

    /// Watches one step and looks what it is; `None` if it is not there.
    fn step(
        &mut self,
        number: usize,
        path: &Path,
        parent: &FileStat,
    ) -> Result<Option<FileStat>, (PathBuf, Errno)> {
        let failed = |errno| Err((path.to_owned(), errno));
        let mask = STEP | libc::IN_DONT_FOLLOW;
        match self.watch(path, mask, |roles| roles.steps.push(number)) {
            Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            // Not readable, like /home on some servers; nobody but root can replace it.
            Err(Errno::EACCES) if !anybody_may_change(parent) => {}
            Err(errno) => return failed(errno),
        }
        match lstat(path) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => failed(errno),
        }
    }
}

fn push(todo: &mut Vec<OsString>, path: &Path) {
    for step in path.components().rev() {
        match step {
            Component::Normal(name) => todo.push(name.to_owned()),
            Component::ParentDir => todo.push("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// Whether somebody but root can rename what is in a directory.
fn anybody_may_change(dir: &FileStat) -> bool {
    dir.st_uid != 0 || dir.st_mode & 0o022 != 0
}

/// The name of the network file system that a directory is the root of.
fn remote(path: &Path, stat: &FileStat, parent: &FileStat) -> Option<&'static str> {
    // Those of block devices, and everything on the file system of the parent, need no question.
    if stat.st_dev == parent.st_dev || major(stat.st_dev) != 0 {
        return None;
    }
    let found = statfs(path).ok()?.filesystem_type();
    REMOTE
        .iter()
        .find(|(magic, _)| nix::sys::statfs::FsType((*magic).into()) == found)
        .map(|(_, name)| *name)
}
