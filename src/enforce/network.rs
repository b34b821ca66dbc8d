//! The network namespace of mode `none`: loopback, brought up, and nothing else. In mode `host` there is no such layer.

#![forbid(unsafe_code)]

use super::StepError;
use super::build::Build;
use crate::outcome::{Evidence, Layer};
use crate::plan::NetworkMode;
use crate::sys::process;

/// Brings loopback up, so that servers on localhost work.
pub(super) fn apply(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    match b.plan.network.mode {
        NetworkMode::Host => Ok(None),
        NetworkMode::None => {
            process::interface_up(c"lo")
                .map_err(|errno| StepError::new("ioctl SIOCSIFFLAGS", "lo", errno))?;
            Ok(Some(Evidence::full(Layer::Network)))
        }
    }
}
