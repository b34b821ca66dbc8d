//! Flags of `trust`.

#![forbid(unsafe_code)]

use clap::Args;
use std::path::PathBuf;

/// `agentbox trust`.
#[derive(Debug, Clone, Args)]
pub struct TrustArgs {
    /// The project [default: the one of the current directory]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Do not ask: it has been looked at
    #[arg(short, long, conflicts_with_all = ["list", "revoke"])]
    pub yes: bool,
    /// Show what is trusted
    #[arg(long, conflicts_with_all = ["revoke", "dir"])]
    pub list: bool,
    /// Trust it no more, whatever is in it
    #[arg(long)]
    pub revoke: bool,
}
