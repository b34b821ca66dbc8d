//! Exit statuses: the contract of the command line, computed in one place.
//!
//! The status is a hint only (a command may end with 125 of its own); `--status-fd` and `session.json` say which it was.

#![forbid(unsafe_code)]

use crate::outcome::{How, Trigger};

/// agentbox itself refused or failed; nothing was executed.
pub const REFUSED: u8 = 125;
/// The command was found but could not be executed (as shells say it).
pub const CANNOT_EXECUTE: u8 = 126;
/// The command was not found (as shells say it).
pub const NOT_FOUND: u8 = 127;
/// The wall-clock limit ended the session (as timeout(1) says it).
pub const TIME_LIMIT: u8 = 124;
/// Bad usage of a subcommand other than `run`.
pub const USAGE: u8 = 2;
/// The answer of a subcommand other than `run` is "no".
pub const NO: u8 = 1;

/// The exit status that `agentbox run` ends with.
#[must_use]
pub fn status(how: &How) -> u8 {
    match how {
        How::Exited { code } => *code,
        How::Signaled { signal } => 128u8.saturating_add(*signal),
        How::CannotExecute { .. } => CANNOT_EXECUTE,
        How::NotFound { .. } => NOT_FOUND,
        How::Refused { .. } => REFUSED,
        How::Killed { trigger } => match trigger {
            Trigger::TimeLimit | Trigger::Idle => TIME_LIMIT,
            Trigger::Signal { signal } => 128u8.saturating_add(*signal),
            Trigger::Switch { .. }
            | Trigger::Kill { .. }
            | Trigger::Lost { .. }
            | Trigger::Memory
            | Trigger::Output => 137,
        },
    }
}
