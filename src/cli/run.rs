//! `agentbox run`.

#![forbid(unsafe_code)]

use super::args::RunArgs;
use super::say;
use crate::exit;
use std::process::ExitCode;

/// Runs a command in the box.
#[must_use]
pub fn run(_args: RunArgs) -> ExitCode {
    say::error("this build cannot start a box yet");
    ExitCode::from(exit::REFUSED)
}
