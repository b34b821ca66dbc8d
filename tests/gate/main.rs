//! The gate alone: the real process, under its own confinement, between two network namespaces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod names;
mod world;
