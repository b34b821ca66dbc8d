//! [`Head`]: what is published of a session. Names and times; nothing of the command line, the environment, the plan or what
//! happens inside, all of which could hold a secret.

#![forbid(unsafe_code)]

use crate::record::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the form.
pub const VERSION: u32 = 1;

/// What is published of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Head {
    /// [`VERSION`].
    pub version: u32,
    /// Its name.
    pub session: String,
    /// Whose it is.
    pub user: String,
    /// Where it runs.
    pub host: String,
    /// `${team}`, if it is configured.
    pub team: Option<String>,
    /// The last part of the working copy's path.
    pub workspace: String,
    /// `${repo}`: what git's `origin` says.
    pub repo: Option<String>,
    /// The profile that was chosen.
    pub agent: Option<String>,
    /// What it does.
    pub state: State,
    /// When it began.
    pub started: Timestamp,
    /// When it came to do that.
    pub changed: Timestamp,
    /// When this was written. It is again in every hour, so an older one is of a host that is off.
    pub written: Timestamp,
    /// The exit status of `agentbox run`, when it has ended.
    pub exit_status: Option<u8>,
}

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The command runs.
    Running,
    /// It was stopped on its terminal.
    Stopped,
    /// Everything stands still.
    Paused,
    /// It has ended.
    Ended,
    /// Its supervisor was killed, and the box with it.
    Lost,
}

impl State {
    /// Nothing comes after it.
    #[must_use]
    pub fn is_last(self) -> bool {
        matches!(self, State::Ended | State::Lost)
    }
}
