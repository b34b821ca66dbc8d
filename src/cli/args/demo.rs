//! Flags of `demo`.

#![forbid(unsafe_code)]

use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// `agentbox demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// The box has this profile instead of the shell's: what would get through it?
    #[arg(short, long, value_name = "NAME|FILE")]
    pub profile: Option<OsString>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Also write a recording (asciicast v2)
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Make the scratch world here, in a directory that does not exist yet, instead of in $TMPDIR
    #[arg(long, value_name = "DIR")]
    pub world: Option<PathBuf>,
}
