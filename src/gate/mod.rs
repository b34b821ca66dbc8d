//! The gate: the process between a box and the network. It reads bytes that the agent chose, so it is a process of its own
//! that can do nothing but connect: no file system, no capability, a list of system calls, and one channel to the
//! supervisor, on which it may only send [`message::FromGate`].
//!
//! `address`, `rules`, `dns`, `sni`, `http`, `socks`, `ssh` and `words` are pure: bytes or values in, values out. The others hold
//! sockets and call them. Its death means no network for the box, never more.

#![forbid(unsafe_code)]

pub mod address;
pub mod agent;
pub mod answer;
pub mod chunked;
pub mod confine;
pub mod connect;
pub mod convert;
pub mod dns;
pub mod dns_client;
pub mod http;
pub mod message;
pub mod names;
pub mod outbox;
pub mod process;
pub mod proxy;
pub mod relay;
pub mod resolver;
pub mod rules;
pub mod serve;
pub mod sni;
pub mod socks;
pub mod ssh;
pub mod start;
pub mod state;
#[cfg(test)]
pub(crate) mod testing;
pub mod tunnel;
pub mod upstream;
pub mod web;
pub mod words;

pub use convert::{HostProxies, configuration};
pub use start::{Process, start};
