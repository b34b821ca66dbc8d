//! Capabilities, securebits, no_new_privs (capabilities(7)).

#![forbid(unsafe_code)]

use super::StepError;
use super::build::Build;
use crate::outcome::{Evidence, Layer};
use crate::plan::rung::Rung;
use crate::sys::process;
use ::caps::{CapSet, Capability};
use nix::errno::Errno;

fn failed(what: &'static str) -> impl Fn(::caps::errors::CapsError) -> StepError {
    move |e| StepError::new(what, e, Errno::EPERM)
}

/// Does this process have that capability, in the user namespace that it is in?
pub(super) fn may(what: Capability) -> bool {
    ::caps::has_cap(None, CapSet::Effective, what).unwrap_or(false)
}

/// Empties the five sets and reads them back.
pub(super) fn apply(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    let prctl = |on: &'static str| move |errno| StepError::new("prctl", on, errno);
    // An ordinary user outside of a user namespace has none, and neither has root where the engine took them all (`--cap-drop
    // all`). Who has none may not say that it never will; no_new_privs says it.
    let has_none = b.plan.standing.rung == Rung::Landlock && !may(Capability::CAP_SETPCAP);
    if has_none {
        return without(prctl);
    }
    process::lock_securebits().map_err(prctl("SECUREBITS"))?;
    // The bounding set wants a capability; the other three go last. Emptying the ambient set first is not needed (it is
    // always within the permitted set), but says what is meant.
    process::empty_bounding_set().map_err(prctl("CAPBSET_DROP"))?;
    // What is not read here (bounding, ambient) the supervisor reads from /proc/PID/status.
    empty_own_sets(prctl)?;
    if !process::securebits_locked().map_err(prctl("SECUREBITS"))? {
        return Err(StepError::new(
            "prctl",
            "securebits do not hold",
            Errno::EPERM,
        ));
    }
    Ok(Some(
        Evidence::full(Layer::Capabilities).proven("sets, no_new_privs and securebits read back"),
    ))
}

/// Empties what an ordinary user can empty. The bounding set stays as it is, and means nothing under no_new_privs: no program
/// that is executed gives a capability.
fn without<F: Fn(Errno) -> StepError>(
    prctl: impl Fn(&'static str) -> F,
) -> Result<Option<Evidence>, StepError> {
    empty_own_sets(prctl)?;
    Ok(Some(Evidence::full(Layer::Capabilities).proven(
        "sets and no_new_privs read back; the bounding set stays, and gives nothing",
    )))
}

/// Empties the four sets of this process, sets no_new_privs, and reads back what capget(2) and prctl(2) tell.
fn empty_own_sets<F: Fn(Errno) -> StepError>(
    prctl: impl Fn(&'static str) -> F,
) -> Result<(), StepError> {
    for set in [
        CapSet::Ambient,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ] {
        ::caps::clear(None, set).map_err(failed("drop capabilities"))?;
    }
    process::set_no_new_privs().map_err(prctl("NO_NEW_PRIVS"))?;
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        if !::caps::read(None, set)
            .map_err(failed("read capabilities"))?
            .is_empty()
        {
            let on = format!("{set:?} is not empty");
            return Err(StepError::new("drop capabilities", on, Errno::EPERM));
        }
    }
    if !process::no_new_privs().map_err(prctl("NO_NEW_PRIVS"))? {
        return Err(StepError::new(
            "prctl",
            "no_new_privs does not hold",
            Errno::EPERM,
        ));
    }
    Ok(())
}
