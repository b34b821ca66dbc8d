//! Flags of the kill switch: `stop`, `start`, `status`.

#![forbid(unsafe_code)]

use crate::supervise::switch::file::REASON_MAX;
use clap::Args;
use std::path::PathBuf;

/// Whose sessions are meant.
#[derive(Debug, Clone, Default, Args)]
pub struct WhichArgs {
    /// Those of every user of this machine (needs root)
    #[arg(long, conflicts_with_all = ["workspace", "id"])]
    pub global: bool,
    /// Those in this working copy
    #[arg(short = 'C', long, value_name = "DIR", conflicts_with = "id")]
    pub workspace: Option<PathBuf>,
    /// Those, on every machine, that watch this remote switch (docs/kill-switch.md)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["global", "workspace", "id"])]
    pub remote: Option<String>,
    /// Which key of a remote switch with several
    #[arg(long, value_name = "KEY", requires = "remote")]
    pub key: Option<String>,
    /// One session (`agentbox ps`), by a unique beginning or end of its name
    #[arg(value_name = "ID")]
    pub id: Option<String>,
}

/// `agentbox stop`.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// Whose.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Why, in one line: who is stopped is told
    #[arg(long, value_name = "TEXT", value_parser = reason, conflicts_with = "id")]
    pub reason: Option<String>,
    /// Freeze them where they are instead (`agentbox start` lets them go on); others may start
    #[arg(long, conflicts_with_all = ["global", "reason", "remote"])]
    pub pause: bool,
}

/// `agentbox start`.
#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    /// Whose.
    #[command(flatten)]
    pub which: WhichArgs,
}

/// `agentbox status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err("a reason is one line of text".to_owned());
    }
    if text.chars().count() > REASON_MAX {
        return Err(format!("a reason has at most {REASON_MAX} characters"));
    }
    Ok(text.trim().to_owned())
}
