//! The last word after an agent on a terminal: what it prints to be resumed by (`claude --resume ID`, `codex resume ID`) is
//! copied as it stands there, and would run without a box.

#![forbid(unsafe_code)]

use super::part::{Part, PollSet, Ready};
use super::reports::Verbose;
use super::running::Running;
use crate::exit;
use crate::plan::{Command, Plan};

/// Waits for nothing but the end.
pub(super) struct Again {
    line: String,
}

impl Again {
    /// `None` where nobody looks, or the command is no agent with a profile of its name.
    pub(super) fn new(plan: &Plan, has_pty: bool, verbose: Verbose) -> Option<Again> {
        let wanted = has_pty && verbose == Verbose::Yes;
        let name = agent(&plan.command).filter(|_| wanted)?;
        let line = format!(
            "to resume, put `agentbox run` before what {name} says: without it there is no box"
        );
        Some(Again { line })
    }
}

/// The name of a command that its own profile was chosen for.
fn agent(command: &Command) -> Option<&str> {
    let name = command.name.path().file_name()?.to_str()?;
    let chosen = command.profiles.first()?;
    (chosen == name).then_some(name)
}

impl Part for Again {
    fn pollfds<'a>(&'a self, _set: &mut PollSet<'a>) {}

    fn on_ready(&mut self, _ready: &Ready<'_>, _running: &mut Running) {}

    fn finish(&mut self, running: &mut Running) {
        // Of what was not executed there is nothing to resume.
        if ![exit::CANNOT_EXECUTE, exit::NOT_FOUND].contains(&running.exit_status) {
            running.say_last(&self.line);
        }
    }
}
