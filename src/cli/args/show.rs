//! Flags of the subcommands that only show something: `explain`, `check`, `profiles`.

#![forbid(unsafe_code)]

use super::PlanArgs;
use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// `agentbox explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// What the box is.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `agentbox check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Only print the layers of the box in the order in which they are built, and try nothing
    #[arg(long, conflicts_with = "json")]
    pub layers: bool,
    /// Only print what each rung guarantees that a box can stand on (`--rung`), and try nothing
    #[arg(long, conflicts_with_all = ["json", "layers"])]
    pub rungs: bool,
}

/// `agentbox profiles`.
#[derive(Debug, Clone, Args)]
pub struct ProfilesArgs {
    /// What to do; `list` if nothing is said.
    #[command(subcommand)]
    pub command: Option<ProfilesCommand>,
}

/// The subcommands of `profiles`.
#[derive(Debug, Clone, Subcommand)]
pub enum ProfilesCommand {
    /// Name, description, commands and place of every profile
    List,
    /// Print the TOML of a profile
    Show {
        /// A profile's name, or a file
        #[arg(value_name = "NAME|FILE")]
        name: OsString,
    },
    /// Say everything that is wrong with profiles, and run their tests
    Validate {
        /// Profiles by name or file (`config.toml`, `.agentbox.toml`, `floor.toml`: by what they are called)
        #[arg(value_name = "NAME|FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of profiles, for editors
    Schema,
}
