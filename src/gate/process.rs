//! The entry of the stage.

#![forbid(unsafe_code)]

use std::os::fd::RawFd;
use std::process::ExitCode;

/// The gate, until its channel ends.
pub fn main(_channel: RawFd) -> ExitCode {
    ExitCode::FAILURE
}
