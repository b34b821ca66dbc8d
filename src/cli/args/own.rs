//! Flags of `self`.

#![forbid(unsafe_code)]

use super::examples;
use clap::{Args, Subcommand};

/// `agentbox self`.
#[derive(Debug, Clone, Args)]
pub struct OwnArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: OwnCommand,
}

/// The subcommands of `self`.
#[derive(Debug, Clone, Subcommand)]
pub enum OwnCommand {
    /// Look at this installation: the program, its file, what is built in, and this kernel; exit status 1 for a no
    #[command(after_help = examples::OWN_CHECK)]
    Check {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}
