//! The supervisor's side: starting a gate.

#![forbid(unsafe_code)]

use crate::launch::stage::{self as launch, StartError};
use crate::stage;

/// A running gate: send [`ToGate`](super::message::ToGate), receive [`FromGate`](super::message::FromGate).
pub type Process = launch::Process;

/// Starts a gate. Does not wait for it; it says [`Ready`](super::message::FromGate::Ready) when it has confined itself.
///
/// # Errors
/// Why there is none.
pub fn start() -> Result<Process, String> {
    launch::start(stage::GATE).map_err(|e: StartError| format!("the gate cannot be started: {e}"))
}
