//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

mod base;
mod ci;
mod claude;
mod codex;
mod devcontainer;
mod docs;
mod gemini;
mod git_hosting;
mod git;
mod opencode;
mod registries;
mod shell;
mod toolchains;

use super::Table;

pub(super) static ALL: [&Table; 13] = [
    &base::TABLE,
    &ci::TABLE,
    &claude::TABLE,
    &codex::TABLE,
    &devcontainer::TABLE,
    &docs::TABLE,
    &gemini::TABLE,
    &git_hosting::TABLE,
    &git::TABLE,
    &opencode::TABLE,
    &registries::TABLE,
    &shell::TABLE,
    &toolchains::TABLE,
];
