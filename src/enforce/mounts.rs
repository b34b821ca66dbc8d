//! The mount view: a new root on a tmpfs, into which clones of the granted host trees are moved (mount_namespaces(7),
//! pivot_root(2)). Every host path is opened without following a symlink, and every mount is private: nothing that is
//! mounted outside later appears inside.

#![forbid(unsafe_code)]

use super::build::Build;
use super::forecast::Early;
use super::newroot::{Mask, NewRoot, Source, relative};
use super::pseudo;
use super::sources::{host_root, open_place, open_places, open_rest};
use super::{StepError, bare};
use crate::outcome::{Evidence, Layer};
use crate::plan::net::ssh::SOCKET;
use crate::plan::refused::{PLAN, REPORT};
use crate::plan::rung::Rung;
use crate::plan::{Access, Kind, LimitName, MountOp, Plan, View};
use crate::sys::mount::{self, Reach, attr};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{Backlog, UnixAddr};
use nix::sys::stat::Mode;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

/// A file that the view has and no Landlock rule grants: the self-proof reads it, and that it fails is Landlock's doing.
pub const CANARY: &str = "/run/agentbox/canary";

/// What is looked up on the host until the old root is gone.
pub(super) struct Host {
    /// Its root, from which files are copied.
    pub(super) root: OwnedFd,
    /// Is the agent the kernel's uid 0, which owns what is the machine's?
    pub(super) agent_is_root: bool,
    /// Its device nodes, which the box's /dev is made of: opened before they are covered. `None` where /dev is there.
    pub(super) devices: Option<pseudo::Devices>,
}

/// Connections to the box's ssh agent that wait to be accepted.
const AGENT_BACKLOG: i32 = 64;

/// Where the masks are in the box.
pub const MASKS: &str = "/run/agentbox/masks";

/// Bytes of room for the masks themselves and for what has to cover something later ([`crate::keeper::inside`]).
const LATER: u64 = 512 * 1024;

/// Begins a new root, at one of these places: with what masks are made of, but for texts that cover something, for which there
/// are `covers` bytes.
pub(super) fn begin(places: &[&str], covers: u64) -> Result<NewRoot, StepError> {
    let mut root = NewRoot::new()?;
    attach_somewhere(root.fd(), places)?;
    root.enter()?;
    let masks = Path::new(MASKS);
    root.dir(Path::new("/run/agentbox"), 0o755)?;
    root.tmpfs(masks, 0o755, LATER + covers, attr::NOSUID | attr::NODEV)?;
    // With the permission to write, so that it is the read-only mount that refuses it, and says so (EROFS).
    root.file(&masks.join("file"), 0o644, b"")?;
    root.dir(&masks.join("dir"), 0o755)?;
    // Without any permission: the command has no capability that would read it all the same.
    root.file(&masks.join("refused"), 0, b"")?;
    root.dir(&masks.join("refused.d"), 0)?;
    root.file(
        Path::new(CANARY),
        0o444,
        b"a Landlock rule is missing where this can be read\n",
    )?;
    Ok(root)
}

/// Builds the new root, makes it the root and lets go of the old one.
pub(super) fn apply(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    if b.plan.standing.rung == Rung::Landlock {
        return bare::view(b).map(Some);
    }
    let view = &b.plan.view;
    let old = nix::sys::stat::stat("/").map_err(|errno| StepError::new("stat", "/", errno))?;
    let nest = b.nest.take();
    let none = Early::default();
    let early = nest.as_ref().map_or(&none, |nest| &nest.early);
    let sources = match b.sources.take() {
        Some(sources) => open_rest(b.plan, sources)?,
        None => open_places(b.plan, early)?,
    };
    let host = host_root()?;
    let mut ops = view.ops.iter().enumerate();
    let has_dev = ops.any(|(number, op)| *op == MountOp::Dev && early.has(number));
    let devices = (!has_dev).then(|| pseudo::open_devices(host.as_fd()));
    let host = Host {
        devices: devices.transpose()?,
        root: host,
        agent_is_root: b.plan.identity.outer_uid == 0,
    };
    let mut root = match &nest {
        Some(nest) => nest.enter(view)?,
        None => begin(&PLACES, covers_size(view))?,
    };

    // The masks' own tmpfs becomes read-only when everything is in it.
    let masks = Path::new(MASKS);
    for (number, content) in self::covers(view) {
        root.file(&masks.join(cover_name(number)), 0o644, content)?;
    }
    root.restrict(masks, attr::RDONLY)?;

    for (number, (op, source)) in view.ops.iter().zip(&sources).enumerate() {
        if early.has(number) {
            continue;
        }
        if let MountOp::Cover { target, .. } = op {
            let file = relative(&masks.join(cover_name(number)))?;
            let covered = root.cover(&file.to_string_lossy(), target.path());
            hidden_anyway(&root, target.path(), covered)?;
            continue;
        }
        let made = match (op, source) {
            (
                MountOp::Bind {
                    source: place,
                    target,
                    ..
                },
                source,
            ) if b.plan.names.holds_frozen(place.path()) => match source {
                None => Ok(()),
                Some(_) => {
                    let made = operation(&mut root, op, source.as_ref(), &host, b.disk);
                    hidden_anyway(&root, target.path(), made)
                }
            },
            _ => operation(&mut root, op, source.as_ref(), &host, b.disk),
        };
        made?;
    }
    for (number, place) in b.plan.refused.places.iter().enumerate() {
        if early.refused.get(number) != Some(&true) {
            root.refuse(place.path.path())?;
        }
    }
    if b.plan.standing.rung == Rung::Nested {
        pseudo::whole_proc(&mut root)?;
    }
    b.extract = Some(root.late_file(Path::new(PLAN), 0o444)?);
    if let Some(report) = b.report.take() {
        name_socket(&report, Path::new(REPORT))?;
    }
    if let Some(agent) = b.agent.take() {
        name_socket(&agent, Path::new(SOCKET))?;
        // Here, and not where it is served: the command may connect before anybody serves, and then it waits.
        let failed = |errno| StepError::new("listen", SOCKET, errno);
        let backlog = Backlog::new(AGENT_BACKLOG).map_err(failed)?;
        nix::sys::socket::listen(&agent, backlog).map_err(failed)?;
    }
    for (target, content) in &b.state {
        root.file(target.path(), 0o600, content)?;
    }
    let early = early.count();
    drop(nest);
    pivot(&root)?;

    let new = nix::sys::stat::stat("/").map_err(|errno| StepError::new("stat", "/", errno))?;
    if (new.st_dev, new.st_ino) == (old.st_dev, old.st_ino) {
        return Err(StepError::new(
            "pivot_root",
            "the root is still the host's",
            Errno::EBUSY,
        ));
    }
    (b.rooted)(&std::mem::take(&mut b.namespaces))?;
    let binds = |op: &&MountOp| matches!(op, MountOp::Bind { .. });
    let mounts = view.ops.iter().filter(binds).count();
    let found = match b.plan.standing.rung {
        Rung::ContainerProc => Evidence::partial(
            Layer::View,
            "the container's /proc is shown: what everybody may read of processes that start in the container later can be seen",
        ),
        Rung::Nested => Evidence::partial(
            Layer::View,
            "in what the box writes an inner sandbox can uncover what is hidden, protected or refused by name, and its /proc is whole",
        ),
        Rung::Full | Rung::Landlock => Evidence::full(Layer::View),
    };
    let evidence = found.proven(format!("{mounts} host trees on a new root"));
    Ok(Some(match early {
        0 => evidence,
        foreseen => evidence.proven(format!("{foreseen} operations as foreseen")),
    }))
}

/// Gives a socket that the supervisor listens on its name in the new root, which is the working directory.
fn name_socket(socket: &OwnedFd, at: &Path) -> Result<(), StepError> {
    let failed = |errno| StepError::new("bind", at.display(), errno);
    let below = at.strip_prefix("/").map_err(|_| failed(Errno::EINVAL))?;
    let address = UnixAddr::new(below).map_err(failed)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &address).map_err(failed)
}

/// The operations that cover something by a text, by their number among all.
fn covers(view: &View) -> impl Iterator<Item = (usize, &[u8])> {
    view.ops
        .iter()
        .enumerate()
        .filter_map(|(number, op)| match op {
            MountOp::Cover { content, .. } => Some((number, content.bytes())),
            _ => None,
        })
}

/// The room that their files take.
pub(super) fn covers_size(view: &View) -> u64 {
    covers(view).map(|(_, content)| pages(content)).sum()
}

/// The most bytes of each private place: tmpfs takes 0 for "no limit".
#[must_use]
pub fn disk(plan: &Plan) -> u64 {
    plan.limits
        .get(LimitName::Disk)
        .map_or(0, crate::plan::Limit::whole)
}

/// Its file among the masks.
#[must_use]
pub fn cover_name(number: usize) -> String {
    format!("cover.{number}")
}

/// What a file takes of a tmpfs, with its inode.
fn pages(content: &[u8]) -> u64 {
    let pages = content.len() / 4096 + 2;
    u64::try_from(pages)
        .unwrap_or(u64::MAX)
        .saturating_mul(4096)
}

pub(super) fn operation(
    root: &mut NewRoot,
    op: &MountOp,
    source: Option<&Source>,
    host: &Host,
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
        MountOp::Cgroup {
            target,
            controllers,
        } => pseudo::cgroup(root, target.path(), controllers),
        MountOp::Proc | MountOp::ContainerProc => {
            if *op == MountOp::Proc {
                pseudo::proc(root)?;
            } else {
                pseudo::container_proc(root, host.root.as_fd())?;
            }
            if host.agent_is_root {
                pseudo::freeze_proc(root)?;
            }
            Ok(())
        }
        MountOp::Dev => match &host.devices {
            Some(devices) => pseudo::dev(root, devices, disk),
            None => Err(StepError::new("find", "the device nodes", Errno::ENODEV)),
        },
        MountOp::MaskFile { target } => mask(root, target.path(), Mask::File),
        MountOp::MaskDir { target } => mask(root, target.path(), Mask::Dir),
        // Made with the masks, and put here by `apply`.
        MountOp::Cover { .. } => Ok(()),
        MountOp::Refuse { target, kind } => {
            let mask = match kind {
                Kind::Dir => Mask::RefusedDir,
                Kind::File => Mask::RefusedFile,
            };
            self::mask(root, target.path(), mask)
        }
    }
}

/// Files up to this many bytes are copied.
const COPY: u64 = 16 * 1024;

/// Shows a file of the host's as a copy, or bound where it is large or this process may not read it: init has the agent's uid
/// here, and no capability over the host's files.
fn copy(root: &mut NewRoot, host: &Host, source: &Path, target: &Path) -> Result<(), StepError> {
    let failed = |call| move |errno| StepError::new(call, source.display(), errno);
    let file = match mount::open(
        host.root.as_fd(),
        &relative(source)?,
        libc::O_RDONLY | libc::O_NONBLOCK,
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
        .map_err(|e| failed("read")(crate::sys::errno_of(&e)))?;
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

fn mask(root: &NewRoot, target: &Path, mask: Mask) -> Result<(), StepError> {
    hidden_anyway(root, target, root.mask(target, mask))
}

/// What was removed since the plan was made (a socket of a program that ended) needs no mask. Nor does what the caller sees and the
/// box cannot reach: root's box is not root (a database's directory, 0700, in root's working copy).
fn hidden_anyway(
    root: &NewRoot,
    target: &Path,
    masked: Result<(), StepError>,
) -> Result<(), StepError> {
    match masked {
        Err(e) if e.errno == Errno::ENOENT => Ok(()),
        // The mount itself fails so as well, where AppArmor refuses it.
        Err(e) if e.errno == Errno::EACCES && root.is_out_of_reach(target) => Ok(()),
        other => other,
    }
}

/// Where the new root is until it is the root; the last is everywhere.
const PLACES: [&str; 6] = ["/tmp", "/run", "/mnt", "/usr", "/etc", "/proc"];

/// pivot_root(2) wants the new root to be a mount point of this namespace; which one does not matter, since every source was
/// opened before and everything else goes by descriptors.
fn attach_somewhere(root: BorrowedFd<'_>, places: &[&str]) -> Result<(), StepError> {
    let mut last = StepError::new(
        "find",
        "a directory to mount the new root on",
        Errno::ENOENT,
    );
    for place in places {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match open(*place, flags, Mode::empty()) {
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

/// Makes that detached tree the root, as the view does, and tells whether it was moved at all.
///
/// # Errors
/// Whether moving it worked, and the errno of what did not.
pub fn pivot_into(root: &OwnedFd) -> Result<(), (bool, Errno)> {
    attach_somewhere(root.as_fd(), &PLACES).map_err(|e| (false, e.errno))?;
    nix::unistd::fchdir(root).map_err(|errno| (false, errno))?;
    nix::unistd::pivot_root(".", ".").map_err(|errno| (true, errno))
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
