//! Flags of `restore`.

#![forbid(unsafe_code)]

use clap::Args;
use std::ffi::OsString;

/// `agentbox restore`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Without FILE: lists what sessions moved away or put back. With FILE: gives it back; what stands in its place \
goes into the quarantine instead.\nExit status: 0; 1 if there is no such session or file."
)]
pub struct RestoreArgs {
    /// The session, or the first characters of its name
    #[arg(value_name = "SESSION")]
    pub session: Option<String>,
    /// Files (or their numbers in the list) to give back
    #[arg(value_name = "FILE")]
    pub files: Vec<OsString>,
    /// Give everything of the session back
    #[arg(long, requires = "session", conflicts_with = "files")]
    pub all: bool,
}
