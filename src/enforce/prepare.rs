//! What the supervisor does before the box exists. It may allocate, open and fail in comfort.

#![forbid(unsafe_code)]

use super::limits::OpenFiles;
use super::newroot::Source;
use super::{StepError, identity, sources};
use crate::enforce::seccomp;
use crate::plan::rung::Rung;
use crate::plan::{IdentityMode, MountOp, OsText, Plan, private};
use crate::sys::mount::{self};
use crate::sys::own;
use ::caps::Capability;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// What the steps of the supervisor gather.
pub struct Prepare<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The compiled filter.
    pub filter: Option<seccomp::Program>,
    /// For each operation of the view that binds a host tree: its detached clone (root callers; else init makes them).
    pub sources: Option<Vec<Option<Source>>>,
    /// Raised until init has built the box.
    pub open_files: OpenFiles,
}

impl<'a> Prepare<'a> {
    /// Nothing is prepared yet.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        Prepare {
            plan,
            filter: None,
            sources: None,
            open_files: OpenFiles::raised(),
        }
    }
}

/// Makes the directories that grants ask for, mode 0700.
pub(super) fn directories(p: &mut Prepare<'_>) -> Result<(), StepError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root =
        open("/", flags, Mode::empty()).map_err(|errno| StepError::new("open", "/", errno))?;
    let binds = p.plan.view.ops.iter().filter_map(|op| match op {
        MountOp::Bind { source, create, .. } => Some((source, *create)),
        _ => None,
    });
    // What is behind private places, which an earlier box could write.
    let private = p.plan.private_dirs.iter();
    let holders: Vec<&Path> = private
        .filter_map(|dir| private::holder(dir.path()))
        .collect();
    let made = binds.filter(|(_, create)| *create).map(|(dir, _)| dir);
    let failed = |dir: &OsText, errno| {
        let mut caches = p.plan.private_dirs.iter();
        let home = p.plan.identity.real_home().path();
        let remedy = if caches.any(|cache| cache.path().starts_with(dir.path())) {
            "set XDG_DATA_HOME to a directory that you can write, or make it by hand"
        } else if dir.path().starts_with(home) {
            "make it by hand, or set HOME to a directory that you can write"
        } else {
            "make it by hand"
        };
        StepError::new("mkdir", dir, errno).remedy(remedy)
    };
    for dir in made.chain(&p.plan.private_dirs) {
        let holder = holders.iter().find(|holder| dir.path().starts_with(holder));
        make_dir(&root, dir.path(), holder.copied()).map_err(|errno| failed(dir, errno))?;
    }
    Ok(())
}

/// Makes a directory and what is missing above it, and never through a symlink: below a place that a box could write, a link
/// that an agent left there would lead anywhere on the host. What is no directory below `agents` is an agent's work and is
/// replaced.
fn make_dir(root: &OwnedFd, dir: &Path, agents: Option<&Path>) -> Result<(), Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    // Nearly always it is there: one call instead of a walk from the root.
    let relative = super::newroot::relative(dir).map_err(|e| e.errno)?;
    if mount::open(root.as_fd(), &relative, flags.bits()).is_ok() {
        return Ok(());
    }
    let mut here = root.try_clone().map_err(|_| Errno::EMFILE)?;
    let mut path = PathBuf::from("/");
    for component in dir.components() {
        let Component::Normal(name) = component else {
            continue;
        };
        path.push(name);
        let step = || openat(&here, name, flags, Mode::empty());
        let made = || match mkdirat(&here, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => step(),
            Err(errno) => Err(errno),
        };
        let next = match step() {
            Err(Errno::ENOENT) => made(),
            Err(Errno::ENOTDIR | Errno::ELOOP)
                if agents.is_some_and(|base| path.starts_with(base) && path != base) =>
            {
                unlinkat(&here, name, UnlinkatFlags::NoRemoveDir)?;
                made()
            }
            other => other,
        };
        here = match next {
            // On the rung `landlock` an agent can take the bits away from the place that is the caller's own.
            Err(Errno::EACCES) if agents.is_some_and(|base| is_ours(&path, base)) => {
                let closed = path.parent().unwrap_or(Path::new("/"));
                if !own::open_up_path(closed) {
                    return Err(Errno::EACCES);
                }
                step()?
            }
            other => other?,
        };
    }
    Ok(())
}

/// Is the directory that this path is in agentbox's own: one that leads to the holder of private places, that, or one below it?
fn is_ours(path: &Path, base: &Path) -> bool {
    let leads = |dir: &Path| {
        base.starts_with(dir) && (dir.ends_with("agentbox") || dir.ends_with(private::OWN))
    };
    path.parent()
        .is_some_and(|dir| dir.starts_with(base) || leads(dir))
}

/// Compiles the system call filter.
pub(super) fn filter(p: &mut Prepare<'_>) -> Result<(), StepError> {
    let program = match p.plan.standing.rung {
        Rung::Full | Rung::ContainerProc => seccomp::prepare(),
        Rung::Nested => seccomp::nested::prepare(),
        Rung::Landlock => seccomp::bare::prepare(p.plan.network.mode),
    };
    let program =
        program.map_err(|e| StepError::new("compile the seccomp filter", e, Errno::EINVAL))?;
    p.filter = Some(program);
    Ok(())
}

/// Drops supplementary groups. Only with CAP_SETGID, and only now: init's own gid_map asks for `setgroups=deny`, after which
/// it never can.
pub(super) fn groups(p: &mut Prepare<'_>) -> Result<(), StepError> {
    // A container's root may lack it (`--cap-drop all`): then no map of more than its own ids can be written either.
    if p.plan.identity.mode == IdentityMode::Same || !super::caps::may(Capability::CAP_SETGID) {
        return Ok(());
    }
    nix::unistd::setgroups(&[]).map_err(|errno| StepError::new("setgroups", "[]", errno))
}

/// Opens the host's trees while this process still is root: the agent's kernel uid could not look them up, and only the
/// initial namespace's root may id-map a mount. A container's root, who may mount nothing, leaves it to init, which may.
pub(super) fn sources(p: &mut Prepare<'_>) -> Result<(), StepError> {
    if p.plan.identity.mode == IdentityMode::Same || p.plan.standing.rung == Rung::Landlock {
        return Ok(());
    }
    let mapped = |op: &MountOp| matches!(op, MountOp::Bind { idmap: true, .. });
    if !super::caps::may(Capability::CAP_SYS_ADMIN) && !p.plan.view.ops.iter().any(mapped) {
        return Ok(());
    }
    let maps = identity::mount_userns(&p.plan.identity)?;
    p.sources = Some(sources::clone_sources(p.plan, maps.as_ref())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn directories_are_made_and_never_through_a_link() {
        let base = std::env::temp_dir().join(format!("agentbox-mkdir-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&base);
        let (private, other) = (base.join("private"), base.join("other"));
        std::fs::create_dir_all(&private).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        let base = base.canonicalize().unwrap();
        let (private, other) = (base.join("private"), base.join("other"));
        let root = open("/", OFlag::O_PATH, Mode::empty()).unwrap();

        let plain = private.join("a/b/c");
        make_dir(&root, &plain, None).unwrap();
        make_dir(&root, &plain, None).unwrap();
        let mode = std::fs::metadata(&plain).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);

        symlink(&other, private.join("link")).unwrap();
        let through = private.join("link/made");
        assert_eq!(make_dir(&root, &through, None), Err(Errno::ENOTDIR));
        // The holder itself is never replaced.
        let link = private.join("link");
        assert_eq!(make_dir(&root, &through, Some(&link)), Err(Errno::ENOTDIR));
        make_dir(&root, &through, Some(&private)).unwrap();
        assert!(!other.join("made").exists());
        assert!(through.symlink_metadata().unwrap().is_dir());
        assert!(link.symlink_metadata().unwrap().is_dir());
        std::fs::remove_dir_all(&base).unwrap();
    }
}
