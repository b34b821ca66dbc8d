//! Flags of the subcommands for sessions that live: `ps`, `kill`, `pause`, `resume`, `logs`, `exec`, `attach`, `detach`.

#![forbid(unsafe_code)]

use clap::Args;
use std::ffi::OsString;

/// `agentbox ps`.
#[derive(Debug, Clone, Args)]
pub struct PsArgs {
    /// As JSON: a list
    #[arg(long)]
    pub json: bool,
    /// Only the names of the sessions
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
    /// Once a second, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
}

/// `agentbox kill`.
#[derive(Debug, Clone, Args)]
pub struct KillArgs {
    /// Sessions (`agentbox ps`), by a unique beginning or end of their name
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub ids: Vec<String>,
    /// Every live session of yours
    #[arg(long)]
    pub all: bool,
}

/// `agentbox pause` and `resume`.
#[derive(Debug, Clone, Args)]
pub struct IdsArgs {
    /// Sessions (`agentbox ps`), by a unique beginning or end of their name
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

/// `agentbox attach` and `detach`.
#[derive(Debug, Clone, Args)]
pub struct IdArgs {
    /// A session (`agentbox ps`), by a unique beginning or end of its name
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `agentbox logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// A session, live or past, by a unique beginning or end of its name; the last one if nothing is said
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Go on until the session ends
    #[arg(short, long)]
    pub follow: bool,
    /// As they stand in the record: JSON lines
    #[arg(long)]
    pub json: bool,
}

/// `agentbox exec`.
#[derive(Debug, Clone, Args)]
pub struct ExecArgs {
    /// A terminal of its own [default: if stdin and stdout are terminals]
    #[arg(short, long)]
    pub tty: bool,
    /// The directory in the box [default: the session's]
    #[arg(short = 'C', long, value_name = "DIR")]
    pub cwd: Option<OsString>,
    /// A session (`agentbox ps`), by a unique beginning or end of its name
    #[arg(value_name = "ID")]
    pub id: String,
    /// What to run, with its arguments
    #[arg(value_names = ["COMMAND", "ARG"], required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}
