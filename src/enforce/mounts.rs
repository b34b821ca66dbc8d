//! The mount view: a new root on a tmpfs, into which clones of the granted host trees are moved (mount_namespaces(7),
//! pivot_root(2)). Every host path is opened without following a symlink, and every mount is private: nothing that is
//! mounted outside later appears inside.

#![forbid(unsafe_code)]

use super::StepError;
use super::build::Build;
use super::pseudo;
use crate::outcome::{Evidence, Layer};
use crate::plan::{Access, Kind, MountOp, View};
use crate::sys::mount::{self, Links, Reach, attr};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A file that the view has and no Landlock rule grants: the self-proof reads it, and that it fails is Landlock's doing.
pub const CANARY: &str = "/run/agentbox/canary";

/// The empty file and the empty directory that masks are made of; on a read-only tmpfs, so that a write fails with EROFS
/// (over /dev/null it would succeed).
const MASK_FILE: &str = "run/agentbox/masks/file";
const MASK_DIR: &str = "run/agentbox/masks/dir";

/// A C string relative to the root: `/a/b` as `a/b`, `/` as the empty string.
pub(super) fn relative(path: &Path) -> Result<CString, StepError> {
    c_relative(path).map_err(|errno| StepError::new("look up", path.display(), errno))
}

fn c_relative(path: &Path) -> Result<CString, Errno> {
    let bytes = path.as_os_str().as_bytes();
    let start = bytes.iter().position(|b| *b != b'/').unwrap_or(bytes.len());
    CString::new(bytes.get(start..).unwrap_or_default()).map_err(|_| Errno::EINVAL)
}

const ALLOW_MOUNT: &str = "mount must be allowed in user namespaces: see `agentbox check`";

/// Opens the host's root as a place to look paths up from.
fn host_root() -> Result<OwnedFd, StepError> {
    open(
        "/",
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| StepError::new("open", "/", errno))
}

/// A host tree that was opened and is not in the view yet.
pub enum Source {
    /// A detached clone with its attributes (open_tree(2)): what a root caller's supervisor makes, since only the initial
    /// namespace's root may id-map it.
    Clone(OwnedFd),
    /// The place (O_PATH): init binds it, which is cheaper than a detached clone with its anonymous mount namespace.
    Place(OwnedFd),
}

/// Opens everything that the view binds, in the order of its operations. No symlink is followed: a path that was canonical a
/// moment ago and has one in it now was changed by somebody.
///
/// # Errors
/// The path that could not be opened.
pub fn open_places(view: &View) -> Result<Vec<Option<Source>>, StepError> {
    let root = host_root()?;
    each_bind(view, |source, _, _, _| {
        open_place(root.as_fd(), source).map(Source::Place)
    })
}

/// The same as detached clones, read-only and id-mapped as the view says (root callers).
///
/// # Errors
/// The path that could not be opened, cloned, restricted or id-mapped.
pub fn clone_sources(
    view: &View,
    userns: Option<&OwnedFd>,
) -> Result<Vec<Option<Source>>, StepError> {
    let root = host_root()?;
    each_bind(view, |source, access, kind, idmap| {
        let userns = if idmap { userns } else { None };
        clone_source(root.as_fd(), source, access, kind, userns).map(Source::Clone)
    })
}

fn each_bind(
    view: &View,
    open: impl Fn(&Path, Access, Kind, bool) -> Result<Source, StepError>,
) -> Result<Vec<Option<Source>>, StepError> {
    view.ops
        .iter()
        .map(|op| match op {
            MountOp::Bind {
                source,
                access,
                kind,
                idmap,
                ..
            } => open(source.path(), *access, *kind, *idmap).map(Some),
            _ => Ok(None),
        })
        .collect()
}

fn open_place(root: BorrowedFd<'_>, source: &Path) -> Result<OwnedFd, StepError> {
    mount::open(root, &relative(source)?, libc::O_PATH, Links::Refuse)
        .map_err(|errno| StepError::new("open", source.display(), errno))
}

fn reach(kind: Kind) -> Reach {
    match kind {
        Kind::Dir => Reach::Recursive,
        Kind::File => Reach::One,
    }
}

fn attributes(access: Access) -> u64 {
    match access {
        Access::Read => attr::RDONLY | attr::NOSUID | attr::NODEV,
        Access::Write => attr::NOSUID | attr::NODEV,
    }
}

fn clone_source(
    root: BorrowedFd<'_>,
    source: &Path,
    access: Access,
    kind: Kind,
    userns: Option<&OwnedFd>,
) -> Result<OwnedFd, StepError> {
    let failed = |call| move |errno| StepError::new(call, source.display(), errno);
    let place = open_place(root, source)?;
    let reach = reach(kind);
    let tree = mount::clone_tree(place.as_fd(), c"", reach)
        .map_err(|errno| failed("open_tree")(errno).remedy(ALLOW_MOUNT))?;
    if let Some(userns) = userns {
        mount::set_idmap(tree.as_fd(), userns.as_fd(), reach).map_err(|errno| {
            failed("mount_setattr MOUNT_ATTR_IDMAP")(errno)
                .remedy("this file system cannot be id-mapped: run as an ordinary user, or `--allow-missing identity`")
        })?;
    }
    mount::set_attributes(tree.as_fd(), c"", attributes(access), reach)
        .map_err(failed("mount_setattr"))?;
    Ok(tree)
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

impl NewRoot {
    fn new() -> Result<NewRoot, StepError> {
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
        self.host_trees.iter().any(|tree| path.starts_with(tree))
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
            .map_err(|e| failed(Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))))
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
            let place = mount::open(self.fd(), &path, libc::O_PATH, Links::Refuse)?;
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
        let (mode, size) = (c(format!("{mode:o}")), c(size.to_string()));
        let options = [(c"mode", mode.as_c_str()), (c"size", size.as_c_str())];
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
            let at = mount::open(self.fd(), &relative(target)?, libc::O_PATH, Links::Refuse)
                .map_err(failed("open"))?;
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
            let place = mount::open(self.fd(), &path, libc::O_PATH, Links::Refuse)?;
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

    /// An empty file or directory over what is at `target`. True if there is something.
    pub(super) fn mask_if_there(&self, target: &Path, kind: Kind) -> Result<bool, StepError> {
        let from = match kind {
            Kind::Dir => MASK_DIR,
            Kind::File => MASK_FILE,
        };
        match self.mount_at(from, target, MsFlags::MS_BIND) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(StepError::new("mask", target.display(), errno)),
        }
    }

    fn mask(&self, target: &Path, kind: Kind) -> Result<(), StepError> {
        if self.mask_if_there(target, kind)? {
            return Ok(());
        }
        Err(StepError::new("mask", target.display(), Errno::ENOENT))
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

/// The host's root, from which files are copied until the old root is gone.
struct Host {
    root: OwnedFd,
    agent_is_root: bool,
}

/// Builds the new root, makes it the root and lets go of the old one.
pub(super) fn apply(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    let view = &b.plan.view;
    let sources = match b.sources.take() {
        Some(sources) => sources,
        None => open_places(view)?,
    };
    // The old root's own devices are what the box's /dev is made of, so they are opened before it is covered.
    let host = Host {
        root: host_root()?,
        agent_is_root: b.plan.identity.outer_uid == 0,
    };
    let devices = pseudo::open_devices(host.root.as_fd())?;
    let old = nix::sys::stat::stat("/").map_err(|errno| StepError::new("stat", "/", errno))?;

    let mut root = NewRoot::new()?;
    attach_somewhere(root.fd())?;
    // Targets are named relative to it.
    nix::unistd::fchdir(root.fd())
        .map_err(|errno| StepError::new("fchdir", "the new root", errno))?;

    // The masks' own tmpfs becomes read-only when everything is in it.
    let masks = Path::new("/run/agentbox/masks");
    root.dir(Path::new("/run/agentbox"), 0o755)?;
    root.tmpfs(masks, 0o755, 64 * 1024, attr::NOSUID | attr::NODEV)?;
    root.file(&masks.join("file"), 0o444, b"")?;
    root.dir(&masks.join("dir"), 0o555)?;
    root.restrict(masks, attr::RDONLY)?;
    root.file(
        Path::new(CANARY),
        0o444,
        b"a Landlock rule is missing where this can be read\n",
    )?;

    for (op, source) in view.ops.iter().zip(&sources) {
        operation(&mut root, op, source.as_ref(), &host, &devices, b.disk)?;
    }
    for (target, content) in &b.state {
        root.file(target.path(), 0o600, content)?;
    }
    pivot(&root)?;

    let new = nix::sys::stat::stat("/").map_err(|errno| StepError::new("stat", "/", errno))?;
    if (new.st_dev, new.st_ino) == (old.st_dev, old.st_ino) {
        return Err(StepError::new(
            "pivot_root",
            "the root is still the host's",
            Errno::EBUSY,
        ));
    }
    let mounts = sources.iter().flatten().count();
    Ok(Some(
        Evidence::full(Layer::View).proven(format!("{mounts} host trees on a new root")),
    ))
}

fn operation(
    root: &mut NewRoot,
    op: &MountOp,
    source: Option<&Source>,
    host: &Host,
    devices: &pseudo::Devices,
    disk: u64,
) -> Result<(), StepError> {
    match op {
        MountOp::Dir { target, mode } => root.dir(target.path(), *mode),
        MountOp::File {
            target,
            mode,
            content,
        } => root.file(target.path(), *mode, content.as_bytes()),
        MountOp::Symlink { target, to } => root.symlink(target.path(), to.path()),
        MountOp::Bind {
            target,
            access,
            kind,
            ..
        } => match source {
            Some(source) => root.bind(source, target.path(), *access, *kind),
            None => Err(StepError::new("bind", target, Errno::ENOENT)),
        },
        MountOp::Copy { source, target } => copy(root, host, source.path(), target.path()),
        MountOp::Tmpfs { target, mode, size } => {
            root.tmpfs(target.path(), *mode, *size, attr::NOSUID | attr::NODEV)
        }
        MountOp::Proc => pseudo::proc(root),
        MountOp::Dev => pseudo::dev(root, devices, disk),
        MountOp::MaskFile { target } => gone_is_hidden(root.mask(target.path(), Kind::File)),
        MountOp::MaskDir { target } => gone_is_hidden(root.mask(target.path(), Kind::Dir)),
    }
}

/// Files up to this many bytes are copied.
const COPY: u64 = 128 * 1024;

/// Shows a file of the host's as a copy, or bound where it is large or this process may not read it: init has the agent's uid
/// here, and no capability over the host's files.
fn copy(root: &mut NewRoot, host: &Host, source: &Path, target: &Path) -> Result<(), StepError> {
    let failed = |call| move |errno| StepError::new(call, source.display(), errno);
    let file = match mount::open(
        host.root.as_fd(),
        &relative(source)?,
        libc::O_RDONLY | libc::O_NONBLOCK,
        Links::Refuse,
    ) {
        Ok(file) => file,
        // It is there, and reading it is for the kernel to refuse.
        Err(Errno::EACCES) => return bind_file(root, host, source, target),
        Err(errno) => return Err(failed("open")(errno)),
    };
    let stat = nix::sys::stat::fstat(&file).map_err(failed("fstat"))?;
    // Kernel uid 0 may read everything, which is not what is meant.
    if host.agent_is_root && stat.st_mode & 0o004 == 0 {
        return Ok(());
    }
    let regular = stat.st_mode & libc::S_IFMT == libc::S_IFREG;
    if !regular || u64::try_from(stat.st_size).unwrap_or(u64::MAX) > COPY {
        return bind_file(root, host, source, target);
    }
    let mut content = vec![0; usize::try_from(stat.st_size).unwrap_or(0)];
    let length = std::fs::File::from(file)
        .read(&mut content)
        .map_err(|e| failed("read")(Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))))?;
    content.truncate(length);
    root.file(target, stat.st_mode & 0o555, &content)
}

fn bind_file(
    root: &mut NewRoot,
    host: &Host,
    source: &Path,
    target: &Path,
) -> Result<(), StepError> {
    let place = open_place(host.root.as_fd(), source).map(Source::Place)?;
    root.bind(&place, target, Access::Read, Kind::File)
}

/// What was removed since the plan was made (a socket of a program that ended) needs no mask.
fn gone_is_hidden(masked: Result<(), StepError>) -> Result<(), StepError> {
    match masked {
        Err(e) if e.errno == Errno::ENOENT => Ok(()),
        other => other,
    }
}

/// pivot_root(2) wants the new root to be a mount point of this namespace; which one does not matter, since every source was
/// opened before and everything else goes by descriptors.
fn attach_somewhere(root: BorrowedFd<'_>) -> Result<(), StepError> {
    let mut last = StepError::new(
        "find",
        "a directory to mount the new root on",
        Errno::ENOENT,
    );
    for place in ["/tmp", "/run", "/mnt", "/usr", "/etc"] {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match open(place, flags, Mode::empty()) {
            Ok(place) => {
                return mount::attach(root, place.as_fd(), c"").map_err(|errno| {
                    StepError::new("move_mount", "the new root", errno)
                        .remedy("mount must be allowed in user namespaces: see `agentbox check`")
                });
            }
            Err(errno) => last.errno = errno,
        }
    }
    Err(last)
}

fn pivot(root: &NewRoot) -> Result<(), StepError> {
    let failed = |call| move |errno| StepError::new(call, "the new root", errno);
    // With the same directory as new and old root the old one ends up on top of the new one, and "." names it
    // (pivot_root(2), "pivot_root(".", ".")"): no directory for it is needed.
    nix::unistd::pivot_root(".", ".").map_err(failed("pivot_root"))?;
    nix::mount::umount2(".", nix::mount::MntFlags::MNT_DETACH)
        .map_err(failed("umount2 the old root of"))?;
    nix::unistd::chdir("/").map_err(failed("chdir"))?;
    // Nothing may be made in / or beside the mount points.
    mount::set_attributes(root.fd(), c"", attr::RDONLY, Reach::One).map_err(failed("mount_setattr"))
}
