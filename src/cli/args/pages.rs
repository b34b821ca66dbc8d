//! Flags of `completions` and `man`.

#![forbid(unsafe_code)]

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// A shell that can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellName {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
    /// elvish.
    Elvish,
}

/// `agentbox completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub shell: ShellName,
}

/// `agentbox man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// The page of a subcommand [default: of agentbox itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    pub command: Option<String>,
    /// Write all pages into this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
