//! [`Forecast`]: the part of a view that is the same at each start of the same command in the same place: the system's trees,
//! /dev, copies in /etc, the box's own directories and links. It is kept from one start to the next, so that the nursery can
//! carry it out while the supervisor still plans.
//!
//! It is a guess and nothing more. The plan is made as if there were none; init takes what was built after it only if it is, to
//! the byte, what the plan says, and else builds everything itself. What is no part of it: whatever the box may write, whatever
//! lies in the caller's home or workspace (another box may be at work there), /proc and what covers something.

#![forbid(unsafe_code)]

use super::{mounts, nest};
use crate::plan::{Access, MountOp, OsText, Plan};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The most bytes of one that are read.
const LARGEST: u64 = 96 * 1024;

/// How many are kept.
const KEPT: usize = 64;

/// What a view will have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Forecast<Op = MountOp, Place = OsText> {
    /// The operations, in order.
    pub ops: Vec<Op>,
    /// Refused programs below what the operations bind.
    pub refused: Vec<Place>,
    /// Bytes for the texts that cover something.
    pub covers: u64,
    /// Bytes of /dev/shm.
    pub disk: u64,
}

/// What of a plan's view is in the forecast, by its place in the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Early {
    /// Of the operations.
    pub ops: Vec<bool>,
    /// Of the refused programs.
    pub refused: Vec<bool>,
}

impl Early {
    /// Of this plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Early {
        let mut late: Vec<&Path> = Vec::new();
        let is_late = |late: &[&Path], target: &Path| late.iter().any(|dir| within(target, dir));
        let mut ops = Vec::with_capacity(plan.view.ops.len());
        for op in &plan.view.ops {
            let target = op.target();
            // What is made in a place comes after the place.
            let early = foreseen(plan, op) && !is_late(&late, target);
            if !early {
                late.push(target);
            }
            ops.push(early);
        }
        let refused = plan.refused.places.iter();
        let refused = refused.map(|place| !is_late(&late, place.path.path()));
        Early {
            refused: refused.collect(),
            ops,
        }
    }

    /// How many operations.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ops.iter().filter(|early| **early).count()
    }

    /// Is that operation in it?
    #[must_use]
    pub fn has(&self, number: usize) -> bool {
        self.ops.get(number) == Some(&true)
    }
}

/// The forecast for the next start, from the plan of this one. `None` where what is left to be shown would be covered by the
/// root that the nursery begins.
#[must_use]
pub fn text(plan: &Plan, early: &Early) -> Option<String> {
    let mut late = (plan.view.ops.iter().zip(&early.ops)).filter(|(_, early)| !**early);
    let covered = late.any(|(op, _)| match op {
        MountOp::Bind { source, .. } | MountOp::Copy { source, .. } => {
            within(source.path(), Path::new(nest::PLACE))
        }
        _ => false,
    });
    if covered {
        return None;
    }
    fn chosen<'a, T>(all: &'a [T], early: &'a [bool]) -> impl Iterator<Item = &'a T> {
        all.iter()
            .zip(early)
            .filter(|(_, early)| **early)
            .map(|(one, _)| one)
    }
    let places = chosen(&plan.refused.places, &early.refused);
    let forecast = Forecast {
        ops: chosen(&plan.view.ops, &early.ops).collect(),
        refused: places.map(|place| &place.path).collect(),
        covers: mounts::covers_size(&plan.view),
        disk: mounts::disk(plan),
    };
    serde_json::to_string(&forecast).ok()
}

/// Reads one; `None` where there is none or it is not to be used.
#[must_use]
pub fn read(path: &Path) -> Option<String> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    let mut text = String::with_capacity(16 * 1024);
    file.take(LARGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Keeps one for the next start. Failing to costs that one some time.
pub fn keep(path: &Path, text: &str) {
    let write = || -> std::io::Result<()> {
        let dir = path.parent().ok_or(nix::errno::Errno::EINVAL)?;
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // One for each place and command: those of long ago are in nobody's way, and too many go all at once.
        if fs::read_dir(dir)?.count() > KEPT {
            for old in fs::read_dir(dir)?.flatten() {
                fs::remove_file(old.path())?;
            }
        }
        let new = path.with_extension(format!("new.{}", std::process::id()));
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, path)
    };
    let _ = write();
}

/// Can it be carried out before the plan is made, by a process that is not in the box?
fn foreseen(plan: &Plan, op: &MountOp) -> bool {
    // The work, HOME, /tmp and the like, of which the box has its own.
    let shared = |source: &Path| {
        let ops = plan.view.ops.iter();
        let places = ops.filter_map(|op| match op {
            MountOp::Tmpfs { target, .. } => Some(target),
            _ => None,
        });
        let mut places = places.chain([&plan.identity.home, &plan.workspace.real]);
        places.any(|place| within(source, place.path()))
    };
    match op {
        MountOp::Dir { .. } | MountOp::Symlink { .. } | MountOp::Tmpfs { .. } | MountOp::Dev => {
            true
        }
        MountOp::File { target, .. } => within(target.path(), Path::new("/etc")),
        MountOp::Copy { source, .. } => !shared(source.path()),
        MountOp::Bind {
            source,
            access: Access::Read,
            idmap: false,
            create: false,
            ..
        } => {
            *source == plan.refused.stubs
                || !shared(source.path()) && !plan.names.holds_frozen(source.path())
        }
        // /proc is the box's pid namespace's, cgroups are seen from the box's own, and masks cover what is there by then.
        MountOp::Bind { .. }
        | MountOp::Proc
        | MountOp::ContainerProc
        | MountOp::Cgroup { .. }
        | MountOp::MaskFile { .. }
        | MountOp::MaskDir { .. }
        | MountOp::Cover { .. }
        | MountOp::Refuse { .. } => false,
    }
}

/// By bytes: both are absolute and plain.
fn within(inner: &Path, outer: &Path) -> bool {
    let outer = outer.as_os_str().as_bytes();
    match inner.as_os_str().as_bytes().strip_prefix(outer) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"/") || outer == b"/",
        None => false,
    }
}

#[cfg(test)]
#[path = "forecast_tests.rs"]
mod tests;
