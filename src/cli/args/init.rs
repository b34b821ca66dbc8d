//! Flags of `agentbox init`.

#![forbid(unsafe_code)]

use clap::{Args, ValueEnum};

/// `agentbox init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Where commands are to run in a box [default: here: a configuration of your own, by a few questions]
    #[arg(value_name = "PLACE", value_enum)]
    pub place: Option<PlaceName>,
    /// Print the file and write nothing
    #[arg(long, requires = "place")]
    pub print: bool,
    /// Ask nothing: every default of your own configuration
    #[arg(short, long, conflicts_with = "place")]
    pub yes: bool,
}

/// The places that there are files for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlaceName {
    /// A Feature for development containers (VS Code, Codespaces)
    Devcontainer,
    /// GitHub Actions
    GithubActions,
    /// GitLab CI
    GitlabCi,
    /// Jenkins
    Jenkins,
    /// Buildkite
    Buildkite,
    /// Woodpecker
    Woodpecker,
}
