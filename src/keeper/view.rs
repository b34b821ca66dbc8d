//! [`BoxView`]: the box from inside, and the mounts that close a name in it. Everything goes by descriptors and below them: no
//! symlink, no way out, and what is covered is what was looked at.

#![forbid(unsafe_code)]

use super::message::Known;
use super::place::{Place, c_path};
use crate::plan::refused::STUB;
use crate::sys::mount::{self, Reach, attr};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// How often a place that changes under our hands is looked at again.
const TRIES: u32 = 32;

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

/// What a hidden name is covered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mask {
    /// It reads as empty.
    Empty,
    /// Nobody can open it.
    Refused,
}

impl Mask {
    /// Its name among the masks.
    fn name(self, stat: &FileStat) -> &'static CStr {
        match (self, is(stat, SFlag::S_IFDIR)) {
            (Mask::Empty, false) => c"file",
            (Mask::Empty, true) => c"dir",
            (Mask::Refused, false) => c"refused",
            (Mask::Refused, true) => c"refused.d",
        }
    }
}

/// What becomes of a frozen name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// It is the host's: nothing on the way to it can be moved.
    Here,
    /// It appeared in the session and is moved away, or judged: what is above it stays free (`rm -rf` of a clone).
    NotForLong,
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

    /// Puts an empty file or directory over the name, or one that nobody can open; says what is under it.
    ///
    /// # Errors
    /// The errno of a mount call; EAGAIN where the name was changed again and again.
    pub(super) fn mask(
        &self,
        place: &Place,
        rel: &Path,
        mask: Mask,
    ) -> Result<(Covered, Option<Inode>), Errno> {
        self.over(place, rel, |stat| mask.name(stat))
    }

    /// Takes a mask off the name again, if what is under it is still what was judged; whether it is that now.
    ///
    /// # Errors
    /// The errno of a mount call.
    pub(super) fn uncover(&self, place: &Place, rel: &Path, known: &Known) -> Result<bool, Errno> {
        let (Some(boxed), Some(name)) = (&place.boxed, rel.file_name()) else {
            return Ok(false);
        };
        let parent = c_path(rel.parent().unwrap_or(Path::new("")))?;
        let name = c_path(Path::new(name))?;
        let open = |dir: BorrowedFd<'_>, path: &CStr, more: i32| {
            mount::open_beneath(dir, path, libc::O_PATH | libc::O_NOFOLLOW | more)
        };
        let host = open(place.host.as_fd(), &c_path(rel)?, 0);
        let dir = open(boxed.as_fd(), &parent, libc::O_DIRECTORY);
        let (Ok(host), Ok(dir)) = (host, dir) else {
            return Ok(false);
        };
        if !known.is(&fstat(&host)?) {
            return Ok(false);
        }
        for _ in 0..TRIES {
            let Ok(there) = open(dir.as_fd(), &name, 0) else {
                return Ok(false);
            };
            let stat = fstat(&there)?;
            if !self.covers(&stat) {
                return Ok(known.is(&stat));
            }
            drop(there);
            nix::unistd::fchdir(&dir)?;
            let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
            match umount2(name.as_c_str(), flags) {
                // EINVAL: the host has taken it away with what was under it.
                Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Puts something of the masks over the name.
    fn over<'n>(
        &self,
        place: &Place,
        rel: &Path,
        with: impl Fn(&FileStat) -> &'n CStr,
    ) -> Result<(Covered, Option<Inode>), Errno> {
        let mut done = (Covered::Already, None);
        for _ in 0..TRIES {
            let (boxed, stat) = match self.look(place, rel)? {
                Look::Gone => return Ok((Covered::Gone, None)),
                Look::Link => return Ok((Covered::Link, None)),
                Look::There { stat, .. } if self.covers(&stat) => return Ok(done),
                Look::There { same: Same::No, .. } => continue,
                Look::There { boxed, stat, .. } => (boxed, stat),
            };
            let mask = with(&stat);
            let mask = mount::clone_tree(self.masks.as_fd(), mask, Reach::One)?;
            match mount::attach(mask.as_fd(), boxed.as_fd(), c"") {
                // And once more: is it the name that was covered?
                Ok(()) => done = (Covered::Now, Some((stat.st_dev, stat.st_ino))),
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
        let with = |stat: &FileStat| {
            if is(stat, SFlag::S_IFDIR) {
                c"dir"
            } else {
                with
            }
        };
        self.over(place, rel, with).map(|(covered, _)| covered)
    }

    /// Makes the name read-only, and where it is to stay every directory above it a mount point, so that none can be moved
    /// away.
    ///
    /// # Errors
    /// As [`BoxView::mask`].
    pub(super) fn freeze(
        &self,
        place: &Place,
        rel: &Path,
        stay: Stay,
    ) -> Result<(Covered, Option<Inode>), Errno> {
        // A link cannot be covered: nothing would be kept by keeping its directories in their places.
        if matches!(self.look(place, rel)?, Look::Link) {
            return Ok((Covered::Link, None));
        }
        let mut above = PathBuf::new();
        let parents = rel.parent().filter(|_| stay == Stay::Here);
        let parents = parents.into_iter().flat_map(Path::components);
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

    /// Makes a frozen file an ordinary one again, if it still is what was judged; whether it is that now.
    ///
    /// # Errors
    /// The errno of a mount call.
    pub(super) fn thaw(&self, place: &Place, rel: &Path, known: &Known) -> Result<bool, Errno> {
        let (Some(boxed), Some(name)) = (&place.boxed, rel.file_name()) else {
            return Ok(false);
        };
        let parent = c_path(rel.parent().unwrap_or(Path::new("")))?;
        let name = c_path(Path::new(name))?;
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let Ok(dir) = mount::open_beneath(boxed.as_fd(), &parent, flags | libc::O_DIRECTORY) else {
            return Ok(false);
        };
        for _ in 0..TRIES {
            let Ok(there) = mount::open_beneath(dir.as_fd(), &name, flags) else {
                return Ok(false);
            };
            let stat = fstat(&there)?;
            let judged = known.is(&stat);
            if !judged || !mount::is_mount_root(there.as_fd())? {
                return Ok(judged);
            }
            drop(there);
            nix::unistd::fchdir(&dir)?;
            let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
            match umount2(name.as_c_str(), flags) {
                Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
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
