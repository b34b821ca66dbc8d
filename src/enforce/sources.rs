//! The host's trees that a view binds: opened by the supervisor or by init, and never through a symlink.

#![forbid(unsafe_code)]

use super::StepError;
use super::build::Build;
use super::forecast::Early;
use super::newroot::{ALLOW_MOUNT, Source, attributes, reach, relative};
use crate::plan::{Access, Kind, MountOp, Names, Plan, View};
use crate::sys::mount;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

/// Opens the host's root as a place to look paths up from.
pub(super) fn host_root() -> Result<OwnedFd, StepError> {
    open(
        "/",
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| StepError::new("open", "/", errno))
}

/// Opens everything that the view binds and does not have yet, in the order of its operations. No symlink is followed: a path
/// that was canonical a moment ago and has one in it now was changed by somebody.
pub(super) fn open_places(plan: &Plan, early: &Early) -> Result<Vec<Option<Source>>, StepError> {
    let root = host_root()?;
    each_bind(&plan.view, &plan.names, early, |source, _, _, _| {
        open_place(root.as_fd(), source).map(Source::Place)
    })
}

/// What can be opened before init takes the agent's uid, where the supervisor of a root caller may not clone: what is root's
/// alone can be looked up now, the rest when that uid is taken.
pub(super) fn open_as_root(b: &mut Build<'_>) -> Result<(), StepError> {
    let root = host_root()?;
    let sources = b.plan.view.ops.iter().map(|op| match op {
        MountOp::Bind { source, .. } => {
            let place = open_place(root.as_fd(), source.path());
            place.ok().map(Source::Place)
        }
        _ => None,
    });
    b.sources = Some(sources.collect());
    Ok(())
}

/// Opens what could not be opened before.
pub(super) fn open_rest(
    plan: &Plan,
    mut sources: Vec<Option<Source>>,
) -> Result<Vec<Option<Source>>, StepError> {
    let root = host_root()?;
    for (op, source) in plan.view.ops.iter().zip(&mut sources) {
        let MountOp::Bind { source: path, .. } = op else {
            continue;
        };
        if source.is_none() {
            *source = match open_place(root.as_fd(), path.path()) {
                Err(e) if e.errno == Errno::ENOENT && plan.names.holds_frozen(path.path()) => None,
                place => Some(Source::Place(place?)),
            };
        }
    }
    Ok(sources)
}

/// The same as detached clones, read-only and id-mapped as the view says (root callers).
///
/// # Errors
/// The path that could not be opened, cloned, restricted or id-mapped.
pub fn clone_sources(
    plan: &Plan,
    userns: Option<&OwnedFd>,
) -> Result<Vec<Option<Source>>, StepError> {
    let root = host_root()?;
    let none = Early::default();
    each_bind(
        &plan.view,
        &plan.names,
        &none,
        |source, access, kind, idmap| {
            let userns = if idmap { userns } else { None };
            clone_source(root.as_fd(), source, access, kind, userns).map(Source::Clone)
        },
    )
}

/// A frozen name that was removed since the plan was made is none: the keeper closes what comes in its place.
fn each_bind(
    view: &View,
    names: &Names,
    early: &Early,
    open: impl Fn(&Path, Access, Kind, bool) -> Result<Source, StepError>,
) -> Result<Vec<Option<Source>>, StepError> {
    view.ops
        .iter()
        .enumerate()
        .map(|(number, op)| match op {
            _ if early.has(number) => Ok(None),
            MountOp::Bind {
                source,
                access,
                kind,
                idmap,
                ..
            } => match open(source.path(), *access, *kind, *idmap) {
                Err(e) if e.errno == Errno::ENOENT && names.holds_frozen(source.path()) => Ok(None),
                other => other.map(Some),
            },
            _ => Ok(None),
        })
        .collect()
}

pub(super) fn open_place(root: BorrowedFd<'_>, source: &Path) -> Result<OwnedFd, StepError> {
    mount::open(root, &relative(source)?, libc::O_PATH)
        .map_err(|errno| StepError::new("open", source.display(), errno))
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

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
