//! Flags of the subcommands that only show something: `explain`, `check`, `profiles`.

#![forbid(unsafe_code)]

use super::{PlanArgs, examples};
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
    /// Print the commands against what this host lacks, as a shell script; runs none of them
    #[arg(long, conflicts_with_all = ["json", "layers", "rungs"])]
    pub fix: bool,
}

/// `agentbox profiles`.
#[derive(Debug, Clone, Args)]
pub struct ProfilesArgs {
    /// What to do; `list` if nothing is said.
    #[command(subcommand)]
    pub command: Option<ProfilesCommand>,
}

/// Whose settings can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ImportFrom {
    /// Claude Code's settings.json
    Claude,
}

/// The subcommands of `profiles`.
#[derive(Debug, Clone, Subcommand)]
pub enum ProfilesCommand {
    /// Name, description, commands and place of every profile
    #[command(after_help = examples::PROFILES_LIST)]
    List,
    /// Print the TOML of a profile
    #[command(after_help = examples::PROFILES_SHOW)]
    Show {
        /// A profile's name, or a file
        #[arg(value_name = "NAME|FILE")]
        name: OsString,
    },
    /// Say everything that is wrong with profiles, and run their tests
    #[command(after_help = examples::PROFILES_VALIDATE)]
    Validate {
        /// Profiles by name or file (`config.toml`, `.agentbox.toml`, `floor.toml`: by what they are called)
        #[arg(value_name = "NAME|FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of profiles, for editors
    #[command(after_help = examples::PROFILES_SCHEMA)]
    Schema,
    /// Begin a profile from what is found in the project: print it, or write it as NAME
    #[command(after_help = examples::PROFILES_NEW)]
    New {
        /// The new profile's name in ~/.config/agentbox/profiles
        #[arg(value_name = "NAME")]
        name: Option<OsString>,
        /// The built-in profile that it extends [default: the one called NAME, else that of the first agent that is installed]
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
    },
    /// What two profiles wish differently, with all that they extend; exit status 1 if there is something
    #[command(after_help = examples::PROFILES_DIFF)]
    Diff {
        /// A profile's name, or a file
        #[arg(value_name = "NAME|FILE")]
        first: OsString,
        /// Another one
        #[arg(value_name = "NAME|FILE")]
        second: OsString,
    },
    /// Print the settings of an agent as a profile, and say what could not be translated
    #[command(after_help = examples::PROFILES_IMPORT)]
    Import {
        /// Whose settings they are
        #[arg(value_enum)]
        from: ImportFrom,
        /// The files [default: the user's and this project's]
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}
