//! Capabilities, securebits, no_new_privs (capabilities(7)).

#![forbid(unsafe_code)]

use super::StepError;
use super::build::Build;
use crate::outcome::{Evidence, Layer};
use crate::sys::process;
use ::caps::CapSet;
use nix::errno::Errno;

fn failed(what: &'static str) -> impl Fn(::caps::errors::CapsError) -> StepError {
    move |e| StepError::new(what, e, Errno::EPERM)
}

/// Empties the five sets and reads them back.
pub(super) fn apply(_: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    let prctl = |on: &'static str| move |errno| StepError::new("prctl", on, errno);
    process::lock_securebits().map_err(prctl("SECUREBITS"))?;
    // The bounding and ambient sets want capabilities; the other three go last.
    for set in [
        CapSet::Bounding,
        CapSet::Ambient,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ] {
        ::caps::clear(None, set).map_err(failed("drop capabilities"))?;
    }
    process::set_no_new_privs().map_err(prctl("NO_NEW_PRIVS"))?;

    for set in [
        CapSet::Effective,
        CapSet::Permitted,
        CapSet::Inheritable,
        CapSet::Ambient,
    ] {
        if !::caps::read(None, set)
            .map_err(failed("read capabilities"))?
            .is_empty()
        {
            return Err(StepError::new(
                "drop capabilities",
                format!("{set:?} is not empty"),
                Errno::EPERM,
            ));
        }
    }
    if !process::no_new_privs().map_err(prctl("NO_NEW_PRIVS"))?
        || !process::securebits_locked().map_err(prctl("SECUREBITS"))?
    {
        return Err(StepError::new(
            "prctl",
            "no_new_privs or securebits do not hold",
            Errno::EPERM,
        ));
    }
    Ok(Some(
        Evidence::full(Layer::Capabilities).proven("sets, no_new_privs and securebits read back"),
    ))
}
