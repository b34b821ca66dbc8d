//! Tables against hand-made hosts, and a few against the running kernel.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod command;
mod environment;
mod facts;
mod files;
mod git;
mod odd;
mod real;
mod refused;
mod workspace;
mod world;
