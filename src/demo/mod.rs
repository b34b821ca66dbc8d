//! `agentbox demo`: an incident is replayed in a scratch world, without the box and in it. Every verdict is what was found
//! to be so afterwards, in files, processes and sockets; nothing is told that was not run.
//!
//! The box is built by this very program, called as a user calls it (`agentbox run`).

#![forbid(unsafe_code)]

pub mod play;
pub mod scenes;
mod service;
mod world;

pub use play::{Demo, DemoError, Options};
