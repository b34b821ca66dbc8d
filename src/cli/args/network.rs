//! Flags of the subcommands that change the network of a live session: `allow`, `deny`, `publish`.

#![forbid(unsafe_code)]

use crate::policy::egress::Ports;
use crate::profile::value;
use clap::Args;
use std::ffi::OsString;

/// `agentbox allow` and `deny`.
#[derive(Debug, Clone, Args)]
pub struct RuleArgs {
    /// A host, as `--allow` takes it
    #[arg(value_name = "HOST[:PORT]")]
    pub rule: String,
    /// The session (`agentbox ps`); the only one if nothing is said
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Write it to your config.toml as well, for every later session
    #[arg(long)]
    pub save: bool,
    /// With --save: write it to your own profile NAME instead
    #[arg(short, long, value_name = "NAME", requires = "save")]
    pub profile: Option<OsString>,
}

/// `agentbox publish`.
#[derive(Debug, Clone, Args)]
pub struct PublishArgs {
    /// A port of the box, and under which the host's 127.0.0.1 has it
    #[arg(value_name = "[HOSTPORT:]PORT", value_parser = ports)]
    pub ports: Ports,
    /// The session (`agentbox ps`); the only one if nothing is said
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
}

/// `agentbox ask`.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// The session (`agentbox ps`); the only one if nothing is said
    #[arg(value_name = "ID")]
    pub id: Option<String>,
}

fn ports(text: &str) -> Result<Ports, String> {
    value::publish(text).map_err(|bad| format!("{}; {}", bad.what, bad.help))
}
