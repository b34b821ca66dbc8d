//! Flags of `agentbox drill`.

#![forbid(unsafe_code)]

use clap::Args;

/// `agentbox drill`.
#[derive(Debug, Clone, Args)]
#[command(after_help = DRILL_HELP)]
pub struct DrillArgs {
    /// Only these: `workspace`, `user`, or the name of a remote switch
    #[arg(value_name = "SWITCH")]
    pub names: Vec<String>,
}

const DRILL_HELP: &str =
    "No other box watches what is tripped. Exit status: 0 if each switch killed, 1 if one did not.";
