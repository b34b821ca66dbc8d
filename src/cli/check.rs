//! `agentbox check`.

#![forbid(unsafe_code)]

use super::args::CheckArgs;
use super::say;
use crate::exit;

/// Says what this host can enforce.
#[must_use]
pub fn check(_args: &CheckArgs) -> u8 {
    say::error("this build cannot check the host yet");
    exit::NO
}
