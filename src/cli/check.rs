//! `agentbox check`.

#![forbid(unsafe_code)]

use super::args::CheckArgs;
use super::say;
use crate::exit;
use std::process::ExitCode;

/// Says what this host can enforce.
#[must_use]
pub fn run(_args: &CheckArgs) -> ExitCode {
    say::error("this build cannot check the host yet");
    ExitCode::from(exit::NO)
}
