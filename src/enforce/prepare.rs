//! What the supervisor does before the box exists. It may allocate, open and fail in comfort.

#![forbid(unsafe_code)]

use super::{StepError, identity, mounts};
use crate::enforce::seccomp;
use crate::plan::{IdentityMode, MountOp, Plan};
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// What the steps of the supervisor gather.
pub struct Prepare<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The compiled filter.
    pub filter: Option<seccomp::Program>,
    /// For each operation of the view that binds a host tree: its detached clone (root callers; else init makes them).
    pub sources: Option<Vec<Option<OwnedFd>>>,
}

impl<'a> Prepare<'a> {
    /// Nothing is prepared yet.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        Prepare {
            plan,
            filter: None,
            sources: None,
        }
    }
}

/// Makes the directories that grants ask for, mode 0700.
pub(super) fn directories(p: &mut Prepare<'_>) -> Result<(), StepError> {
    let made = p.plan.view.ops.iter().filter_map(|op| match op {
        MountOp::Bind {
            source,
            create: true,
            ..
        } => Some(source),
        _ => None,
    });
    for dir in made.chain(&p.plan.private_dirs) {
        make_dir(dir.path())
            .map_err(|errno| StepError::new("mkdir", dir, errno).remedy("make it by hand"))?;
    }
    Ok(())
}

fn make_dir(dir: &Path) -> Result<(), Errno> {
    // Nearly always it is there: one stat(2) instead of a walk from the root.
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))
}

/// Compiles the system call filter.
pub(super) fn filter(p: &mut Prepare<'_>) -> Result<(), StepError> {
    let program = seccomp::prepare()
        .map_err(|e| StepError::new("compile the seccomp filter", e, Errno::EINVAL))?;
    p.filter = Some(program);
    Ok(())
}

/// Drops supplementary groups. Only with CAP_SETGID, and only now: init's own gid_map asks for `setgroups=deny`, after which
/// it never can.
pub(super) fn groups(p: &mut Prepare<'_>) -> Result<(), StepError> {
    if p.plan.identity.mode == IdentityMode::Same {
        return Ok(());
    }
    nix::unistd::setgroups(&[]).map_err(|errno| StepError::new("setgroups", "[]", errno))
}

/// Opens the host's trees while this process still is root: the agent's kernel uid could not look them up, and only the
/// initial namespace's root may id-map a mount.
pub(super) fn sources(p: &mut Prepare<'_>) -> Result<(), StepError> {
    if p.plan.identity.mode == IdentityMode::Same {
        return Ok(());
    }
    let maps = identity::mount_userns(&p.plan.identity)?;
    p.sources = Some(mounts::open_sources(&p.plan.view, maps.as_ref())?);
    Ok(())
}
