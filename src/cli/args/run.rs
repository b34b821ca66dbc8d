//! Flags of `agentbox run`.

#![forbid(unsafe_code)]

use super::PlanArgs;
use clap::Args;

/// `agentbox run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = RUN_HELP)]
pub struct RunArgs {
    /// What the box is.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Write what happens as JSON lines to this descriptor
    #[arg(long, value_name = "N")]
    pub status_fd: Option<i32>,
    /// No byte of agentbox on stderr unless it refuses, fails or kills
    #[arg(short, long)]
    pub quiet: bool,
    /// Print the session's name and return as soon as COMMAND runs; `agentbox attach` shows its terminal
    #[arg(short, long)]
    pub detach: bool,
    /// Print the plan and run nothing
    #[arg(long)]
    pub dry_run: bool,
}

const RUN_HELP: &str = "Exit status: COMMAND's own; 128+N if signal N ended it; 124 time limit; 126 not executable; \
127 not found;\n125 agentbox refused or failed, and nothing was executed.";
