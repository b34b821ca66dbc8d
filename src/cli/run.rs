//! `agentbox run`.

#![forbid(unsafe_code)]

use super::args::RunArgs;
use super::say;
use crate::exit;

/// Runs a command in the box. Returns the exit status.
#[must_use]
pub fn run(_args: RunArgs) -> u8 {
    say::error("this build cannot start a box yet");
    exit::REFUSED
}
