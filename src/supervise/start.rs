//! From a plan to a box that stands and was accepted.

#![forbid(unsafe_code)]

use super::keeping::Keeping;
use super::settling::Settling;
use super::state::{self, Initial};
use crate::enforce::cgroup::BoxCgroup;
use crate::enforce::{build::NAMESPACES, limits, verify};
use crate::keeper::links::{self, Copied};
use crate::keeper::process::Keeper;
use crate::launch::channel::Channel;
use crate::launch::{self, Inputs, LaunchError, Ready, Spawned, nursery};
use crate::plan::Plan;
use crate::plan::rung::Rung;
use crate::record::Event;
use crate::session::Session;
use crate::sys::heap;
use std::fs::File;
use std::io::Write as _;

/// A box that stands and was accepted.
pub(super) struct Started {
    pub(super) ready: Ready,
    pub(super) group: Option<BoxCgroup>,
    pub(super) state: Vec<Initial>,
    pub(super) keeping: Option<(Keeping, Option<Event>)>,
    pub(super) settling: Option<Settling>,
    pub(super) copied: Copied,
}

/// A box that init is at work on.
pub(super) struct Building {
    pub(super) spawned: Spawned,
    pub(super) group: Option<BoxCgroup>,
    pub(super) state: Vec<Initial>,
    pub(super) keeper: Option<Keeper>,
    pub(super) copied: Copied,
}

fn step(name: &str, why: String) -> LaunchError {
    LaunchError::Step {
        step: name.to_owned(),
        why,
        errno: 0,
    }
}

/// Takes copies of the state files, prepares the limits and starts init.
pub(super) fn build(
    plan: &Plan,
    mut inputs: Inputs,
    cgroup: &crate::host::Cgroup,
    nursery: Option<&Channel>,
) -> Result<Building, LaunchError> {
    let copied = links::copy(&plan.links).map_err(|e| step("hard links", e.to_string()))?;
    let state = state::initial(&plan.state).map_err(|e| step("state", e.to_string()))?;
    let copies = state
        .iter()
        .filter_map(|copy| Some((copy.file.target.clone(), copy.bytes.clone()?)));
    inputs.state = copies.collect();
    let (group, found) = limits::prepare(&plan.limits, cgroup, &inputs.session);
    inputs.limits = found;
    let early = nursery.and_then(nursery::take);
    let spawned = launch::spawn(plan, inputs, group.as_ref(), early)?;
    // Beside the building: it watches the host's directories meanwhile.
    let keeper = Keeping::start(plan);
    // Both have copies of this memory, so that to write on a page of it is to copy it.
    heap::leave_to_children();
    match keeper {
        Ok(keeper) => Ok(Building {
            spawned,
            group,
            state,
            keeper,
            copied,
        }),
        Err(why) => {
            spawned.destroy();
            Err(step("keeper", why))
        }
    }
}

/// Waits for init, and compares what it says and what the kernel says of the box with the plan.
pub(super) fn accept(
    plan: &Plan,
    session: &Session,
    building: Building,
) -> Result<Started, LaunchError> {
    let Building {
        spawned,
        group,
        state,
        keeper,
        copied,
    } = building;
    // Init still builds: what files are is remembered meanwhile.
    let keeping = match keeper.map(|keeper| Keeping::prepare(keeper, plan, session)) {
        Some(Err(why)) => {
            spawned.destroy();
            return Err(step("keeper", why));
        }
        prepared => prepared.and_then(Result::ok),
    };
    // The keeper joins while init goes on, and only what are the box's own namespaces.
    let ready = spawned.ready(plan, |namespaces, init| {
        verify::namespaces(plan, namespaces, &NAMESPACES).map_err(|why| step("verify", why))?;
        match &keeping {
            Some(keeping) => keeping
                .join(namespaces, init)
                .map_err(|why| step("keeper", why)),
            None => Ok(()),
        }
    })?;
    let is_bare = plan.standing.rung == Rung::Landlock;
    let verified = if ready.namespaces.is_empty() && !is_bare {
        Err("init handed out no namespaces".to_owned())
    } else {
        verify::required(plan, &ready.evidence)
            .and_then(|()| verify::from_outside(plan, ready.spawned.init, ready.status.as_ref()))
    };
    if let Err(why) = verified {
        ready.spawned.destroy();
        return Err(step("verify", why));
    }
    let settling = match Settling::prepare(plan, session) {
        Ok(settling) => settling,
        Err(why) => {
            ready.spawned.destroy();
            return Err(step("settling", why));
        }
    };
    let joined = keeping.map(|keeping| {
        let gap = keeping.joined()?;
        Ok::<_, String>((keeping, gap))
    });
    match joined.transpose() {
        Ok(keeping) => Ok(Started {
            ready,
            group,
            state,
            keeping,
            settling,
            copied,
        }),
        Err(why) => {
            ready.spawned.destroy();
            Err(step("keeper", why))
        }
    }
}

/// Writes the plan for `agentbox why` in the box, while the command starts. Without it that says that it cannot tell; nothing
/// else depends on it.
pub(super) fn tell_box(file: Option<File>, plan: &Plan, session: &Session) {
    if let (Some(mut file), Some(told)) = (file, plan.told(session.plan())) {
        let mut parts = told.iter();
        let _ = parts.try_for_each(|part| file.write_all(part.as_bytes()));
    }
}
