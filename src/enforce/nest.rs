//! A new root that the nursery begins before there is a plan, and init's half of it.

#![forbid(unsafe_code)]

use super::StepError;
use super::forecast::{Early, Forecast};
use super::mounts::{Host, begin, operation};
use super::newroot::{NewRoot, Source};
use super::pseudo;
use super::sources::{host_root, open_place};
use crate::plan::{MountOp, View};
use std::os::fd::{AsFd as _, OwnedFd};

/// Where such a root is until it is the root. Init opens what is left to be shown when it is there already: a plan that has
/// more to show of /sys than a forecast may have gives none.
pub(super) const PLACE: &str = "/sys";

/// Carries out what can be known of a view before there is a plan, in a mount namespace that is the nursery's own so far.
/// Returns the new root.
///
/// # Errors
/// What failed: then the namespace is of no use.
pub fn build_early(forecast: &Forecast) -> Result<OwnedFd, StepError> {
    let root = host_root()?;
    let host = Host {
        devices: Some(pseudo::open_devices(root.as_fd())?),
        root,
        agent_is_root: false,
    };
    let sources = forecast.ops.iter().map(|op| match op {
        MountOp::Bind { source, .. } => {
            open_place(host.root.as_fd(), source.path()).map(|place| Some(Source::Place(place)))
        }
        _ => Ok(None),
    });
    let sources: Vec<_> = sources.collect::<Result<_, _>>()?;
    let mut root = begin(&[PLACE], forecast.covers)?;
    for (op, source) in forecast.ops.iter().zip(&sources) {
        operation(&mut root, op, source.as_ref(), &host, forecast.disk)?;
    }
    for place in &forecast.refused {
        root.refuse(place.path())?;
    }
    Ok(root.into())
}

/// The root that the nursery began, and what of the plan it has.
#[derive(Debug)]
pub struct Nest {
    /// The root of its tmpfs, in this process's mount namespace.
    pub root: OwnedFd,
    /// What is done.
    pub early: Early,
}

impl Nest {
    /// The root as it is, to go on with.
    pub(super) fn enter(&self, view: &View) -> Result<NewRoot, StepError> {
        let failed = |errno| StepError::new("dup", "the new root", errno);
        let root = self.root.try_clone();
        let ops = view.ops.iter().enumerate();
        let trees = ops.filter_map(|(number, op)| match op {
            MountOp::Bind { target, .. } if self.early.has(number) => {
                Some(target.path().to_owned())
            }
            _ => None,
        });
        let root = NewRoot::begun(
            root.map_err(|e| failed(crate::sys::errno_of(&e)))?,
            trees.collect(),
        );
        root.enter()?;
        Ok(root)
    }
}
