//! Arguments of `agentbox why`.

#![forbid(unsafe_code)]

use super::PlanArgs;
use clap::{Args, ValueEnum};
use std::ffi::OsString;

/// `agentbox why`.
#[derive(Debug, Clone, Args)]
#[command(
    mut_arg("command", |command| command.required(false))
)]
pub struct WhyArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Ask a live session (`agentbox ps`), with the rules that its network has now
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// What is to be done
    #[arg(value_enum)]
    pub verb: Verb,
    /// A path, a program, a variable, HOST:PORT
    #[arg(value_name = "THING")]
    pub thing: OsString,
    /// What the box is.
    #[command(flatten)]
    pub plan: PlanArgs,
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verb {
    /// Open a file for reading, list a directory
    Read,
    /// Write a file, make it, make something in a directory
    Write,
    /// Execute a program
    Exec,
    /// Have a variable of the caller's
    Env,
    /// Connect to HOST:PORT by TCP
    Connect,
}
