//! Remote kill switches: one process for each, that asks it and says to the supervisor what it found. It can say nothing but
//! stop, clear and unreachable; it has no capability, and no way to the box. One process for each switch, so that a share
//! that hangs delays no other one and no switch sees another one's token. All of it waits in the plain way, with a deadline
//! for each question: there is never more than one to wait for.
//!
//! Where a switch has `publish`, another one of these processes (`publish`) writes there how the session is: apart from the
//! one that asks, so that neither waits for the other.
//!
//! `reader` is the second half of such a process: it was forked off before the confinement and reads the token and the host's
//! name servers when it is asked to.

#![forbid(unsafe_code)]

pub mod command;
pub mod confine;
#[cfg(feature = "remote-switch")]
mod dns;
pub mod exec;
pub mod file;
#[cfg(feature = "remote-switch")]
mod flag;
pub mod head;
#[cfg(feature = "remote-switch")]
mod http;
pub mod message;
#[cfg(feature = "remote-switch")]
mod peer;
pub mod process;
mod publish;
pub mod reader;
#[cfg(feature = "remote-switch")]
mod redis;
#[cfg(feature = "remote-switch")]
mod resp;
#[cfg(feature = "remote-switch")]
mod s3;
pub mod source;
#[cfg(feature = "remote-switch")]
mod tls;
pub mod way;

use crate::launch::stage as launch;
use crate::stage;

/// A running watch: send [`message::ToWatch`], receive [`message::FromWatch`].
pub type Process = launch::Process;

/// Starts one.
///
/// # Errors
/// Why there is none.
pub fn start() -> Result<Process, String> {
    launch::start(stage::WATCH).map_err(|e| format!("the watch cannot be started: {e}"))
}
