//! Flags of `agentbox drill`.

#![forbid(unsafe_code)]

use clap::Args;

/// `agentbox drill`.
#[derive(Debug, Clone, Args)]
pub struct DrillArgs {
    /// Only these: `workspace`, `user`, or the name of a remote switch
    #[arg(value_name = "SWITCH")]
    pub names: Vec<String>,
}
