//! From a plan to a running box.

pub mod channel;
pub mod message;
pub mod pty;
pub mod stdio;
