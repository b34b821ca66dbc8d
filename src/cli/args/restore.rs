//! Flags of `restore`.

#![forbid(unsafe_code)]

use clap::Args;
use std::ffi::OsString;

/// `agentbox restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The session, by a unique beginning or end of its name
    #[arg(value_name = "SESSION")]
    pub session: Option<String>,
    /// Files (or their numbers in the list) to give back
    #[arg(value_name = "FILE")]
    pub files: Vec<OsString>,
    /// Give everything of the session back
    #[arg(long, requires = "session", conflicts_with = "files")]
    pub all: bool,
}
