//! The poll loop that owns a running box.

pub mod client;
mod modes;
mod queue;
pub mod relay;
mod signals;
mod terminal;
