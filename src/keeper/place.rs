//! [`Place`]: a tree of the host's that the box sees, from both sides; and the mounts that close a name in it. Everything goes
//! by descriptors and below them: no symlink, no way out, and what is covered is what was looked at.

#![forbid(unsafe_code)]

use crate::enforce::mounts::cover_name;
use crate::plan::names::NameKind;
use crate::plan::names::matcher::{Cursor, Matcher};
use crate::plan::refused::STUB;
use crate::plan::{Access, Kind, MountOp, Plan};
use crate::sys::mount::{self, Reach, attr};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// How often a place that changes under our hands is looked at again.
const TRIES: u32 = 32;

/// A tree of the host's that the box sees.
pub(super) struct Place {
    /// The host's directory.
    pub(super) host: OwnedFd,
    /// Its path.
    pub(super) path: PathBuf,
    /// Where it is in the box.
    pub(super) boxed_path: PathBuf,
    /// The same directory in the box, once that was joined.
    boxed: Option<OwnedFd>,
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
    for name in below.components() {
        cursor = matcher.enter(&cursor, name.as_os_str().as_bytes())?;
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

/// What was found of a name, or done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Covered {
    /// It is covered, and was before.
    Already,
    /// It is covered now.
    Now,
    /// There is no such name any more, or the box does not see it.
    Gone,
    /// It is a symlink: it has no content of its own.
    Link,
}

/// What a name leads to.
pub(super) type Inode = (u64, u64);

/// The box from inside.
pub(super) struct BoxView {
    /// Where the empty file and the empty directory are.
    masks: OwnedFd,
    /// File systems of the box's own: its root and the masks. What is on one of them is not the host's.
    own: [u64; 2],
    /// What stands for a refused program, if any is refused.
    stub: Option<(OwnedFd, Inode)>,
}

enum Look {
    There {
        boxed: OwnedFd,
        stat: FileStat,
        same: Same,
    },
    Gone,
    Link,
}

#[derive(PartialEq, Eq)]
enum Same {
    Yes,
    No,
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

impl BoxView {
    /// Of the box that this process has joined; also its root.
    pub(super) fn open() -> Result<(BoxView, OwnedFd), Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open("/", flags, Mode::empty())?;
        let masks = mount::open_beneath(
            root.as_fd(),
            c"run/agentbox/masks",
            libc::O_PATH | libc::O_DIRECTORY,
        )?;
        let own = [fstat(&masks)?.st_dev, fstat(&root)?.st_dev];
        let stub = c_path(Path::new(STUB.trim_start_matches('/')))?;
        let stub = match mount::open_beneath(root.as_fd(), &stub, libc::O_PATH) {
            Ok(stub) => {
                let stat = fstat(&stub)?;
                Some((stub, (stat.st_dev, stat.st_ino)))
            }
            Err(_) => None,
        };
        Ok((BoxView { masks, own, stub }, root))
    }

    /// Something of the box's own is there already.
    fn covers(&self, stat: &FileStat) -> bool {
        self.own.contains(&stat.st_dev)
    }

    /// Puts the refusal over a program; over a symlink itself, so that what it leads to stays for its other names.
    ///
    /// # Errors
    /// As [`BoxView::mask`].
    pub(super) fn refuse(&self, place: &Place, name: &OsStr) -> Result<Covered, Errno> {
        let (Some(dir), Some((stub, inode))) = (&place.boxed, &self.stub) else {
            return Ok(Covered::Gone);
        };
        let name = c_path(Path::new(name))?;
        let mut done = Covered::Already;
        for _ in 0..TRIES {
            let flags = libc::O_PATH | libc::O_NOFOLLOW;
            let there = match mount::open_beneath(dir.as_fd(), &name, flags) {
                Ok(there) => fstat(&there)?,
                Err(Errno::ENOENT) => return Ok(Covered::Gone),
                Err(errno) => return Err(errno),
            };
            if (there.st_dev, there.st_ino) == *inode {
                return Ok(done);
            }
            let tree = mount::clone_tree(stub.as_fd(), c"", Reach::One)?;
            match mount::attach(tree.as_fd(), dir.as_fd(), &name) {
                Ok(()) => done = Covered::Now,
                // It was removed meanwhile; or it is a directory, and no program.
                Err(Errno::ENOENT) => {}
                Err(Errno::ENOTDIR) => return Ok(Covered::Gone),
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EAGAIN)
    }

    /// The same name from both sides.
    fn look(&self, place: &Place, rel: &Path) -> Result<Look, Errno> {
        let Some(boxed) = &place.boxed else {
            return Ok(Look::Gone);
        };
        let path = c_path(rel)?;
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let both = mount::open_beneath(place.host.as_fd(), &path, flags)
            .and_then(|host| Ok((host, mount::open_beneath(boxed.as_fd(), &path, flags)?)));
        let (host, boxed) = match both {
            Ok(both) => both,
            // ELOOP: a directory on the way has become a link, and what it leads to is not this name.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES) => {
                return Ok(Look::Gone);
            }
            Err(errno) => return Err(errno),
        };
        let (outside, inside) = (fstat(&host)?, fstat(&boxed)?);
        if is(&outside, SFlag::S_IFLNK) {
            return Ok(Look::Link);
        }
        let same = if (outside.st_dev, outside.st_ino) == (inside.st_dev, inside.st_ino) {
            Same::Yes
        } else {
            Same::No
        };
        Ok(Look::There {
            boxed,
            stat: inside,
            same,
        })
    }

    /// Puts an empty file or directory over the name.
    ///
    /// # Errors
    /// The errno of a mount call; EAGAIN where the name was changed again and again.
    pub(super) fn mask(&self, place: &Place, rel: &Path) -> Result<Covered, Errno> {
        self.over(place, rel, |stat| {
            if is(stat, SFlag::S_IFDIR) {
                c"dir"
            } else {
                c"file"
            }
        })
    }

    /// Puts something of the masks over the name.
    fn over<'n>(
        &self,
        place: &Place,
        rel: &Path,
        with: impl Fn(&FileStat) -> &'n CStr,
    ) -> Result<Covered, Errno> {
        let mut done = Covered::Already;
        for _ in 0..TRIES {
            let (boxed, stat) = match self.look(place, rel)? {
                Look::Gone => return Ok(Covered::Gone),
                Look::Link => return Ok(Covered::Link),
                Look::There { stat, .. } if self.covers(&stat) => return Ok(done),
                Look::There { same: Same::No, .. } => continue,
                Look::There { boxed, stat, .. } => (boxed, stat),
            };
            let mut mask = with(&stat);
            if is(&stat, SFlag::S_IFDIR) {
                mask = c"dir";
            }
            let mask = mount::clone_tree(self.masks.as_fd(), mask, Reach::One)?;
            match mount::attach(mask.as_fd(), boxed.as_fd(), c"") {
                // And once more: is it the name that was covered?
                Ok(()) => done = Covered::Now,
                // It was removed meanwhile.
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Puts one of the plan's covers over the name: a file of its own, without what must not be read.
    ///
    /// # Errors
    /// As [`BoxView::mask`].
    pub(super) fn cover(&self, place: &Place, rel: &Path, with: &CStr) -> Result<Covered, Errno> {
        self.over(place, rel, |_| with)
    }

    /// Makes the name read-only, and every directory above it a mount point, so that none can be moved away.
    ///
    /// # Errors
    /// As [`BoxView::mask`].
    pub(super) fn freeze(
        &self,
        place: &Place,
        rel: &Path,
    ) -> Result<(Covered, Option<Inode>), Errno> {
        let mut above = PathBuf::new();
        let parents = rel.parent().into_iter().flat_map(Path::components);
        for part in parents.filter(|part| matches!(part, Component::Normal(_))) {
            above.push(part);
            self.pin(place, &above)?;
        }
        let mut done = Covered::Already;
        for _ in 0..TRIES {
            let (boxed, stat) = match self.look(place, rel)? {
                Look::Gone => return Ok((Covered::Gone, None)),
                Look::Link => return Ok((Covered::Link, None)),
                // Hidden is more than frozen.
                Look::There { stat, .. } if self.covers(&stat) => return Ok((done, None)),
                Look::There { same: Same::No, .. } => continue,
                Look::There { boxed, stat, .. } => (boxed, stat),
            };
            let inode = Some((stat.st_dev, stat.st_ino));
            if fstatvfs(&boxed)?.flags().contains(FsFlags::ST_RDONLY) {
                return Ok((done, inode));
            }
            let reach = if is(&stat, SFlag::S_IFDIR) {
                Reach::Recursive
            } else {
                Reach::One
            };
            let tree = mount::clone_tree(boxed.as_fd(), c"", reach)?;
            let attributes = attr::RDONLY | attr::NOSUID | attr::NODEV;
            mount::set_attributes(tree.as_fd(), c"", attributes, reach)?;
            match mount::attach(tree.as_fd(), boxed.as_fd(), c"") {
                Ok(()) => done = Covered::Now,
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Makes a directory a mount point of itself: it can then neither be renamed nor removed in the box.
    fn pin(&self, place: &Place, rel: &Path) -> Result<(), Errno> {
        for _ in 0..TRIES {
            let boxed = match self.look(place, rel)? {
                Look::There {
                    boxed,
                    same: Same::Yes,
                    ..
                } => boxed,
                Look::There { .. } => continue,
                Look::Gone | Look::Link => return Ok(()),
            };
            if mount::is_mount_root(boxed.as_fd())? {
                return Ok(());
            }
            let tree = mount::clone_tree(boxed.as_fd(), c"", Reach::Recursive)?;
            match mount::attach(tree.as_fd(), boxed.as_fd(), c"") {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EAGAIN)
    }
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
