//! `NewRoot`: the new root while init builds it, and the calls that put something into it. What hangs there is decided by
//! [`mounts`](super::mounts) and [`pseudo`](super::pseudo).

#![forbid(unsafe_code)]

use super::StepError;
use crate::plan::refused::STUB;
use crate::plan::{Access, Kind};
use crate::sys::mount::{self, Reach, attr};
use crate::sys::parked::Parked;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What masks are made of; on a read-only tmpfs, so that a write fails with EROFS (over /dev/null it would succeed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mask {
    /// An empty file.
    File,
    /// An empty directory.
    Dir,
    /// A file without any permission.
    RefusedFile,
    /// A directory without any permission.
    RefusedDir,
}

impl Mask {
    fn place(self) -> &'static str {
        match self {
            Mask::File => "run/agentbox/masks/file",
            Mask::Dir => "run/agentbox/masks/dir",
            Mask::RefusedFile => "run/agentbox/masks/refused",
            Mask::RefusedDir => "run/agentbox/masks/refused.d",
        }
    }
}

/// For so many bytes that a tmpfs may hold it may have one inode: names and inodes take memory as well, which its size does not
/// count, and the kernel allows one for each two pages of the machine.
const BYTES_OF_INODE: u64 = 2048;

/// However small it is.
const FEWEST_INODES: u64 = 4096;

pub(super) const ALLOW_MOUNT: &str =
    "mount must be allowed in user namespaces: see `agentbox check`";

/// A C string relative to the root: `/a/b` as `a/b`, `/` as the empty string.
pub(super) fn relative(path: &Path) -> Result<CString, StepError> {
    c_relative(path).map_err(|errno| StepError::new("look up", path.display(), errno))
}

pub(super) fn c_relative(path: &Path) -> Result<CString, Errno> {
    let bytes = path.as_os_str().as_bytes();
    let start = bytes.iter().position(|b| *b != b'/').unwrap_or(bytes.len());
    CString::new(bytes.get(start..).unwrap_or_default()).map_err(|_| Errno::EINVAL)
}

/// A host tree that was opened and is not in the view yet.
pub enum Source {
    /// A detached clone with its attributes (open_tree(2)): what a root caller's supervisor makes, since only the initial
    /// namespace's root may id-map it.
    Clone(OwnedFd),
    /// The place (O_PATH): init binds it, which is cheaper than a detached clone with its anonymous mount namespace.
    Place(OwnedFd),
}

pub(super) fn reach(kind: Kind) -> Reach {
    match kind {
        Kind::Dir => Reach::Recursive,
        Kind::File => Reach::One,
    }
}

pub(super) fn attributes(access: Access) -> u64 {
    match access {
        Access::Read => attr::RDONLY | attr::NOSUID | attr::NODEV,
        Access::Write => attr::NOSUID | attr::NODEV,
    }
}

/// A file of the new root that is written when there is time.
#[derive(Debug)]
pub struct LateFile {
    file: std::fs::File,
    /// The mount that it was opened by, where it is in a view.
    tree: Option<OwnedFd>,
}

impl LateFile {
    /// A file of the host's.
    pub(super) fn of(file: std::fs::File) -> LateFile {
        LateFile { file, tree: None }
    }

    /// Lets go of it. Who has a copy of its descriptor can go on to write it.
    pub fn let_go(self) {
        let LateFile { file, tree } = self;
        // To close a detached mount waits as long as umount(2), for a grace period of RCU (0.1 ms, several on a busy
        // machine).
        let parked = tree.as_ref().map(|tree| Parked::new(tree.as_fd()));
        drop((file, tree));
        drop(parked);
    }

    /// What has to stay open until then.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let tree = self.tree.as_ref().map(|tree| tree.as_raw_fd());
        [self.file.as_raw_fd()].into_iter().chain(tree)
    }
}

impl AsFd for LateFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The new root while it is being built.
pub(super) struct NewRoot {
    /// The root of its tmpfs.
    fd: OwnedFd,
    /// Directories that are known to be there.
    made: BTreeSet<PathBuf>,
    /// Where host trees hang: below them nothing is ever made.
    host_trees: Vec<PathBuf>,
}

impl From<NewRoot> for OwnedFd {
    fn from(root: NewRoot) -> OwnedFd {
        root.fd
    }
}

impl NewRoot {
    pub(super) fn new() -> Result<NewRoot, StepError> {
        let root = mount::new_filesystem(
            c"tmpfs",
            &[(c"mode", c"0755"), (c"size", c"16m")],
            attr::NOSUID | attr::NODEV,
        )
        .map_err(|errno| {
            StepError::new("mount", "tmpfs", errno)
                .remedy("mount must be allowed in user namespaces: see `agentbox check`")
        })?;
        Ok(NewRoot {
            fd: root,
            made: BTreeSet::new(),
            host_trees: Vec::new(),
        })
    }

    /// One that another process of this program began, with these host trees in it.
    pub(super) fn begun(root: OwnedFd, host_trees: Vec<PathBuf>) -> NewRoot {
        NewRoot {
            fd: root,
            // To make what is there costs a call and changes nothing.
            made: BTreeSet::new(),
            host_trees,
        }
    }

    /// Makes it the working directory: targets are named relative to it.
    pub(super) fn enter(&self) -> Result<(), StepError> {
        nix::unistd::fchdir(self.fd())
            .map_err(|errno| StepError::new("fchdir", "the new root", errno))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Makes a directory and its parents (0755) unless they are there.
    pub(super) fn dir(&mut self, path: &Path, mode: u32) -> Result<(), StepError> {
        if path == Path::new("/") || self.made.contains(path) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.dir(parent, 0o755)?;
        }
        if !self.in_host_tree(path) {
            match mkdirat(
                self.fd(),
                relative(path)?.as_c_str(),
                Mode::from_bits_truncate(mode),
            ) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(StepError::new("mkdir", path.display(), errno)),
            }
        }
        self.made.insert(path.to_owned());
        Ok(())
    }

    fn in_host_tree(&self, path: &Path) -> bool {
        // By bytes: both are absolute and plain, and this is asked of every tree for every name of the view.
        let path = path.as_os_str().as_bytes();
        self.host_trees.iter().any(|tree| {
            let rest = path.strip_prefix(tree.as_os_str().as_bytes());
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        })
    }

    /// Makes a file with this content.
    pub(super) fn file(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<(), StepError> {
        let failed = |errno| StepError::new("create", path.display(), errno);
        if let Some(parent) = path.parent() {
            self.dir(parent, 0o755)?;
        }
        if self.in_host_tree(path) {
            return Err(failed(Errno::EROFS));
        }
        let flags =
            OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(
            self.fd(),
            relative(path)?.as_c_str(),
            flags,
            Mode::from_bits_truncate(mode),
        )
        .map_err(failed)?;
        std::fs::File::from(file)
            .write_all(content)
            .map_err(|e| failed(crate::sys::errno_of(&e)))
    }

    /// Makes an empty file that this process can still write when the root is read-only: it is opened through a clone of the
    /// mount, which stays as it is.
    pub(super) fn late_file(&self, path: &Path, mode: u32) -> Result<LateFile, StepError> {
        let failed = |call| move |errno| StepError::new(call, path.display(), errno);
        let tree = mount::clone_tree(self.fd(), c"", Reach::One).map_err(failed("open_tree"))?;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(mode);
        let file = openat(&tree, relative(path)?.as_c_str(), flags, mode)
            .map(std::fs::File::from)
            .map_err(failed("create"))?;
        let tree = Some(tree);
        Ok(LateFile { file, tree })
    }

    /// Makes an empty file to mount on.
    pub(super) fn mount_point(&mut self, path: &Path) -> Result<(), StepError> {
        if let Some(parent) = path.parent() {
            self.dir(parent, 0o755)?;
        }
        let mode = Mode::from_bits_truncate(0o444);
        mknodat(
            self.fd(),
            relative(path)?.as_c_str(),
            SFlag::S_IFREG,
            mode,
            0,
        )
        .map_err(|errno| StepError::new("create", path.display(), errno))
    }

    /// Makes a symlink. One that is there already and says the same is fine.
    pub(super) fn symlink(&mut self, path: &Path, to: &Path) -> Result<(), StepError> {
        if let Some(parent) = path.parent() {
            self.dir(parent, 0o755)?;
        }
        nix::unistd::symlinkat(to, self.fd(), relative(path)?.as_c_str())
            .map_err(|errno| StepError::new("symlink", path.display(), errno))
    }

    /// Attaches a detached mount at a place that exists.
    pub(super) fn attach(&self, tree: BorrowedFd<'_>, target: &Path) -> Result<(), StepError> {
        self.try_attach(tree, target)
            .map_err(|errno| StepError::new("move_mount", target.display(), errno))
    }

    fn try_attach(&self, tree: BorrowedFd<'_>, target: &Path) -> Result<(), Errno> {
        let path = c_relative(target)?;
        if self.in_host_tree(target) {
            // Somebody may change that tree at this moment: no symlink of it is followed.
            let place = mount::open(self.fd(), &path, libc::O_PATH)?;
            return mount::attach(tree, place.as_fd(), c"");
        }
        // Everything else is this process's own, and its symlinks are never on the way to a mount point.
        mount::attach(tree, self.fd(), &path)
    }

    /// A tmpfs of its own.
    pub(super) fn tmpfs(
        &mut self,
        target: &Path,
        mode: u32,
        size: u64,
        attributes: u64,
    ) -> Result<(), StepError> {
        let c = |text: String| CString::new(text).unwrap_or_default();
        let inodes = c((size / BYTES_OF_INODE).max(FEWEST_INODES).to_string());
        let limited = size > 0;
        let (mode, size) = (c(format!("{mode:o}")), c(size.to_string()));
        let mut options = vec![(c"mode", mode.as_c_str()), (c"size", size.as_c_str())];
        if limited {
            options.push((c"nr_inodes", inodes.as_c_str()));
        }
        let tree = mount::new_filesystem(c"tmpfs", &options, attributes)
            .map_err(|errno| StepError::new("mount tmpfs", target.display(), errno))?;
        self.dir(target, 0o755)?;
        self.attach(tree.as_fd(), target)?;
        // Whatever was known below is covered now.
        self.made
            .retain(|dir| !dir.starts_with(target) || dir == target);
        Ok(())
    }

    /// A host tree at `target`.
    pub(super) fn bind(
        &mut self,
        source: &Source,
        target: &Path,
        access: Access,
        kind: Kind,
    ) -> Result<(), StepError> {
        if !self.in_host_tree(target) {
            match kind {
                Kind::Dir => self.dir(target, 0o755)?,
                Kind::File => self.mount_point(target)?,
            }
        }
        match source {
            Source::Clone(tree) => self.attach(tree.as_fd(), target)?,
            Source::Place(place) => self.bind_place(place.as_fd(), target, access, kind)?,
        }
        self.host_trees.push(target.to_owned());
        Ok(())
    }

    fn bind_place(
        &self,
        place: BorrowedFd<'_>,
        target: &Path,
        access: Access,
        kind: Kind,
    ) -> Result<(), StepError> {
        let failed = |call| move |errno| StepError::new(call, target.display(), errno);
        let flags = match kind {
            Kind::Dir => MsFlags::MS_BIND | MsFlags::MS_REC,
            Kind::File => MsFlags::MS_BIND,
        };
        // The caller's /proc is still there, and its magic links name exactly what was opened.
        let from = format!("/proc/self/fd/{}", place.as_raw_fd());
        self.mount_at(&from, target, flags)
            .map_err(|errno| failed("mount")(errno).remedy(ALLOW_MOUNT))?;
        // Nobody is in the box yet who could use the moment between the two calls. The mount is made private here, too.
        if self.in_host_tree(target) {
            let at =
                mount::open(self.fd(), &relative(target)?, libc::O_PATH).map_err(failed("open"))?;
            return mount::set_attributes(at.as_fd(), c"", attributes(access), reach(kind))
                .map_err(failed("mount_setattr"));
        }
        mount::set_attributes(
            self.fd(),
            &relative(target)?,
            attributes(access),
            reach(kind),
        )
        .map_err(failed("mount_setattr"))
    }

    /// mount(2) with a target below the new root, which is the working directory.
    fn mount_at(&self, from: &str, target: &Path, flags: MsFlags) -> Result<(), Errno> {
        let path = c_relative(target)?;
        let none = None::<&str>;
        if self.in_host_tree(target) {
            // Somebody may change that tree at this moment: no symlink of it is followed.
            let place = mount::open(self.fd(), &path, libc::O_PATH)?;
            let at = format!("/proc/self/fd/{}", place.as_raw_fd());
            return nix::mount::mount(Some(from), at.as_str(), none, flags, none);
        }
        nix::mount::mount(Some(from), path.as_c_str(), none, flags, none)
    }

    /// A file of the host's that is bound without being in the plan's own list (a device).
    pub(super) fn bind_device(
        &mut self,
        place: BorrowedFd<'_>,
        target: &Path,
    ) -> Result<(), StepError> {
        self.mount_point(target)?;
        let from = format!("/proc/self/fd/{}", place.as_raw_fd());
        self.mount_at(&from, target, MsFlags::MS_BIND)
            .map_err(|errno| StepError::new("mount", target.display(), errno))
    }

    /// A mask over what is at `target`. True if there is something.
    pub(super) fn mask_if_there(&self, target: &Path, mask: Mask) -> Result<bool, StepError> {
        match self.mount_at(mask.place(), target, MsFlags::MS_BIND) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(StepError::new("mask", target.display(), errno)),
        }
    }

    /// Does `target` lie behind a directory that the box's user may not enter?
    pub(super) fn is_out_of_reach(&self, target: &Path) -> bool {
        let opened = relative(target).map(|path| mount::open(self.fd(), &path, libc::O_PATH));
        matches!(opened, Ok(Err(Errno::EACCES)))
    }

    /// A file of the masks over what is at `target`.
    pub(super) fn cover(&self, file: &str, target: &Path) -> Result<(), StepError> {
        self.mount_at(file, target, MsFlags::MS_BIND)
            .map_err(|errno| StepError::new("cover", target.display(), errno))
    }

    pub(super) fn mask(&self, target: &Path, mask: Mask) -> Result<(), StepError> {
        if self.mask_if_there(target, mask)? {
            return Ok(());
        }
        Err(StepError::new("mask", target.display(), Errno::ENOENT))
    }

    /// The refusal stub over what is at `target`, be it a symlink: that is covered itself and not followed, so that what it
    /// leads to stays for its other names (mount(2) would follow it, move_mount(2) does not). What is gone is refused enough.
    pub(super) fn refuse(&self, target: &Path) -> Result<(), StepError> {
        let failed = |call| move |errno| StepError::new(call, target.display(), errno);
        let stub = mount::clone_tree(self.fd(), &relative(Path::new(STUB))?, Reach::One)
            .map_err(failed("open_tree the stub for"))?;
        let (Some(dir), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(failed("refuse")(Errno::EINVAL));
        };
        let name = CString::new(name.as_bytes()).map_err(|_| failed("refuse")(Errno::EINVAL))?;
        // Somebody may change that tree at this moment: no symlink on the way is followed.
        let attached = mount::open(self.fd(), &relative(dir)?, libc::O_PATH | libc::O_DIRECTORY)
            .and_then(|dir| mount::attach(stub.as_fd(), dir.as_fd(), &name));
        match attached {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(failed("move_mount the stub to")(errno)),
        }
    }

    /// What was said of `target` and everything mounted below it.
    pub(super) fn restrict(&self, target: &Path, attributes: u64) -> Result<(), StepError> {
        mount::set_attributes(self.fd(), &relative(target)?, attributes, Reach::Recursive)
            .map_err(|errno| StepError::new("mount_setattr", target.display(), errno))
    }

    /// What `target` is now, again, read-only.
    pub(super) fn read_only(&self, target: &Path) -> Result<(), StepError> {
        let path = relative(target)?;
        let from = path.to_string_lossy();
        self.mount_at(&from, target, MsFlags::MS_BIND | MsFlags::MS_REC)
            .map_err(|errno| StepError::new("mount", target.display(), errno))?;
        self.restrict(target, attr::RDONLY)
    }
}
