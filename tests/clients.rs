//! Real clients through the gate to servers of the host: each beside the same client with a name that is not granted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub)]

mod common;
#[path = "clients/databases.rs"]
mod databases;
#[path = "clients/packages.rs"]
mod packages;
#[path = "clients/runtimes.rs"]
mod runtimes;
#[path = "clients/world.rs"]
mod world;
