//! The gate alone: the real process, under its own confinement, between two network namespaces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub)]

#[path = "gate/bounds.rs"]
mod bounds;
mod common;
#[path = "gate/load.rs"]
mod load;
#[path = "gate/names.rs"]
mod names;
#[path = "gate/outside.rs"]
mod outside;
#[path = "gate/proxy.rs"]
mod proxy;
#[path = "gate/web.rs"]
mod web;
#[path = "gate/world.rs"]
mod world;
