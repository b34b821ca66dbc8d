//! Flags of `agentbox run`.

#![forbid(unsafe_code)]

use super::PlanArgs;
use crate::plan::remote::Drill;
use clap::Args;

/// `agentbox run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// What the box is.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Write what happens as JSON lines to this descriptor
    #[arg(long, value_name = "N")]
    pub status_fd: Option<i32>,
    /// No byte of agentbox on stderr unless it refuses, fails or kills
    #[arg(short, long)]
    pub quiet: bool,
    /// Print the session's name and return as soon as COMMAND runs; `agentbox attach` shows its terminal
    #[arg(short, long)]
    pub detach: bool,
    /// For `agentbox drill`: watch the switches under names of a drill's own
    #[arg(long, hide = true, value_name = "ID/SWITCH", value_parser = drill)]
    pub drill: Option<Drill>,
    /// Print the plan and run nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Letters and digits, and the name of a switch.
fn drill(text: &str) -> Result<Drill, String> {
    let (id, switch) = text.split_once('/').ok_or("ID/SWITCH")?;
    let fine = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if !fine(id) || !fine(switch) {
        return Err("ID/SWITCH".to_owned());
    }
    Ok(Drill {
        id: id.to_owned(),
        switch: switch.to_owned(),
    })
}
