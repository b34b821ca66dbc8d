//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

mod aider;
mod amp;
mod base;
mod ci;
mod claude;
mod codex;
mod copilot;
mod crush;
mod cursor_agent;
mod devcontainer;
mod docs;
mod gemini;
mod gh;
mod git_hosting;
mod git;
mod goose;
mod opencode;
mod qwen;
mod registries;
mod shell;
mod toolchains;

use super::Table;

pub(super) static ALL: [&Table; 21] = [
    &aider::TABLE,
    &amp::TABLE,
    &base::TABLE,
    &ci::TABLE,
    &claude::TABLE,
    &codex::TABLE,
    &copilot::TABLE,
    &crush::TABLE,
    &cursor_agent::TABLE,
    &devcontainer::TABLE,
    &docs::TABLE,
    &gemini::TABLE,
    &gh::TABLE,
    &git_hosting::TABLE,
    &git::TABLE,
    &goose::TABLE,
    &opencode::TABLE,
    &qwen::TABLE,
    &registries::TABLE,
    &shell::TABLE,
    &toolchains::TABLE,
];
