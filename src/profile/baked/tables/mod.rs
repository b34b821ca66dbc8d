//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

mod base;
mod claude;
mod codex;
mod gemini;
mod git;
mod opencode;
mod shell;
mod toolchains;

use super::Table;

pub(super) static ALL: [&Table; 8] = [
    &base::TABLE,
    &claude::TABLE,
    &codex::TABLE,
    &gemini::TABLE,
    &git::TABLE,
    &opencode::TABLE,
    &shell::TABLE,
    &toolchains::TABLE,
];
