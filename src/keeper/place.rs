//! [`Place`]: a tree of the host's that the box sees, from both sides.

#![forbid(unsafe_code)]

use super::message::Known;
use super::view::Inode;
use crate::enforce::mounts::cover_name;
use crate::plan::names::NameKind;
use crate::plan::names::matcher::{Cursor, Matcher};
use crate::plan::{Access, Kind, MountOp, Plan};
use crate::sys::mount;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};
use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A tree of the host's that the box sees.
pub(super) struct Place {
    /// The host's directory.
    pub(super) host: OwnedFd,
    /// Its path.
    pub(super) path: PathBuf,
    /// Where it is in the box.
    pub(super) boxed_path: PathBuf,
    /// The same directory in the box, once that was joined.
    pub(super) boxed: Option<OwnedFd>,
    /// Whether the box can change it.
    pub(super) access: Access,
    /// The rules.
    pub(super) matcher: Rc<Matcher>,
    /// Where in the rules the directory is.
    pub(super) start: Cursor,
    /// What the place is watched for.
    pub(super) purpose: Purpose,
}

/// What a place is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Names of its rules, at any depth.
    Names,
    /// Programs that are refused, in this directory alone.
    Programs,
}

/// Every directory where a refused program is or may appear.
pub(super) fn program_places(plan: &Plan) -> Vec<Place> {
    let refused = &plan.refused;
    let found = refused.places.iter().filter_map(|p| p.path.path().parent());
    let dirs: BTreeSet<&Path> = refused
        .searched
        .iter()
        .map(|d| d.path())
        .chain(found)
        .collect();
    let matcher = Rc::new(Matcher::new(&[], Path::new("/")));
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    dirs.into_iter()
        .filter_map(|dir| {
            Some(Place {
                host: open(dir, flags, Mode::empty()).ok()?,
                path: dir.to_owned(),
                boxed_path: dir.to_owned(),
                boxed: None,
                access: Access::Read,
                matcher: Rc::clone(&matcher),
                start: matcher.start(),
                purpose: Purpose::Programs,
            })
        })
        .collect()
}

/// What the plan covers by a text of its own, by its path in the box: the file among the masks.
pub(super) fn covers(plan: &Plan) -> HashMap<PathBuf, CString> {
    let ops = plan.view.ops.iter().enumerate();
    ops.filter_map(|(number, op)| match op {
        MountOp::Cover { target, .. } => {
            let name = CString::new(cover_name(number)).ok()?;
            Some((target.path().to_owned(), name))
        }
        _ => None,
    })
    .collect()
}

/// Every directory of the host's that rules are about and that the box sees.
pub(super) fn places(plan: &Plan) -> Vec<Place> {
    let mut roots: Vec<&Path> = plan.names.rules.iter().map(|r| r.root.path()).collect();
    roots.sort_unstable();
    roots.dedup();
    let mut places: Vec<Place> = Vec::new();
    for root in roots {
        let matcher = Rc::new(Matcher::new(&plan.names.rules, root));
        for op in &plan.view.ops {
            let MountOp::Bind {
                source,
                target,
                access,
                kind: Kind::Dir,
                ..
            } = op
            else {
                continue;
            };
            let Some((path, boxed_path, start)) =
                overlap(root, source.path(), target.path(), &matcher)
            else {
                continue;
            };
            let same = |place: &&mut Place| {
                Rc::ptr_eq(&place.matcher, &matcher) && place.boxed_path == boxed_path
            };
            // Two mounts on one place: the later one is seen.
            if let Some(place) = places.iter_mut().find(same) {
                place.access = *access;
                continue;
            }
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            // What is not there, or not for this user, has nothing to be watched.
            let Ok(host) = open(&path, flags, Mode::empty()) else {
                continue;
            };
            places.push(Place {
                host,
                path,
                boxed_path,
                boxed: None,
                access: *access,
                matcher: Rc::clone(&matcher),
                start,
                purpose: Purpose::Names,
            });
        }
    }
    places
}

/// What a mount shows of a rule's directory: the host's path, the path in the box, where in the rules.
fn overlap(
    root: &Path,
    source: &Path,
    target: &Path,
    matcher: &Matcher,
) -> Option<(PathBuf, PathBuf, Cursor)> {
    if let Ok(below) = root.strip_prefix(source) {
        return Some((root.to_owned(), target.join(below), matcher.start()));
    }
    let below = source.strip_prefix(root).ok()?;
    let mut cursor = matcher.start();
    // A frozen name in a directory that is never searched makes that one a mount, which is no reason to look for others in it.
    let mut searched = Some(matcher.start());
    let mut above = root.file_name().unwrap_or_default();
    for name in below.iter() {
        let (dir, bytes) = (above.as_bytes(), name.as_bytes());
        cursor = matcher.enter(&cursor, bytes)?;
        searched = searched.and_then(|at| matcher.search(&at, dir, bytes));
        above = name;
    }
    if let Some(at) = searched {
        cursor = at;
    }
    Some((source.to_owned(), target.to_owned(), cursor))
}

impl Place {
    /// Opens the place in the box, which this process has joined. What is not to be seen there needs no keeper.
    pub(super) fn join(&mut self, root: BorrowedFd<'_>) -> Result<(), Errno> {
        let path = c_path(
            self.boxed_path
                .strip_prefix("/")
                .unwrap_or(&self.boxed_path),
        )?;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        self.boxed = match mount::open_beneath(root, &path, flags) {
            Ok(fd) => Some(fd),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => None,
            Err(errno) => return Err(errno),
        };
        Ok(())
    }

    /// The host's directory, for reading.
    pub(super) fn open_dir(&self, rel: &Path) -> Result<OwnedFd, Errno> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        mount::open_beneath(self.host.as_fd(), &c_path(rel)?, flags)
    }
}

/// A path without a NUL byte.
pub(super) fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// What the plan has covered is looked at once more: a name may have been replaced since.
pub(super) fn early(plan: &Plan, places: &[Place]) -> BTreeSet<(usize, PathBuf, NameKind)> {
    let mut early = BTreeSet::new();
    for found in &plan.names.found {
        for (number, place) in places.iter().enumerate() {
            if let Ok(rel) = found.host.path().strip_prefix(&place.path)
                && (found.kind == NameKind::Hide || place.access == Access::Write)
            {
                early.insert((number, rel.to_owned(), found.kind));
            }
        }
    }
    early
}

/// The host's inode of a name.
pub(super) fn inode(place: &Place, rel: &Path) -> Result<Inode, Errno> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let stat = fstat(&mount::open_beneath(
        place.host.as_fd(),
        &c_path(rel)?,
        flags,
    )?)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Whether a file is still what was looked at, unchanged.
pub(super) fn is_as_known(place: &Place, rel: &Path, known: &Known) -> bool {
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let stat = c_path(rel)
        .and_then(|rel| mount::open_beneath(place.host.as_fd(), &rel, flags))
        .and_then(fstat);
    stat.is_ok_and(|stat| known.is(&stat))
}

/// Whether somebody has the file open for writing. A directory has no writers.
pub(super) fn has_writer(place: &Place, rel: &Path) -> Result<bool, Errno> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = mount::open_beneath(place.host.as_fd(), &c_path(rel)?, flags)?;
    match mount::has_writer(file.as_fd()) {
        // Only regular files can have a lease.
        Err(Errno::EINVAL) => Ok(false),
        other => other,
    }
}
