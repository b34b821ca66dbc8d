//! `agentbox pause` and `agentbox resume`.

#![forbid(unsafe_code)]

use super::args::IdsArgs;
use super::live;
use crate::supervise::control::client;

/// Stops everything in these boxes where it is. Returns the exit status.
#[must_use]
pub fn pause(args: &IdsArgs) -> u8 {
    live::each(&args.ids, client::pause)
}

/// Lets these boxes go on. Returns the exit status.
#[must_use]
pub fn resume(args: &IdsArgs) -> u8 {
    live::each(&args.ids, client::resume)
}
