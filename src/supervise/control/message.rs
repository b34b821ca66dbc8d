//! What may be asked of a live session, by whom, and what is answered. One request per connection; what is not in the table is
//! fatal for the connection and for nothing else.

#![forbid(unsafe_code)]

use crate::launch::join::{Join, Size, Stdio};
use crate::plan::OsText;
use crate::plan::net::Network;
use crate::record::Timestamp;
use serde::{Deserialize, Serialize};

/// From another agentbox on this host, as the first message of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How is it? Answered by [`Reply::Status`].
    Status,
    /// Kill everything in the box. Answered by [`Reply::Done`] at once and by the end of the connection when nothing is left.
    Kill,
    /// Stop everything in the box where it is. Answered by [`Reply::Done`] when it is still.
    Pause,
    /// Let it go on. Answered by [`Reply::Done`].
    Resume,
    /// The clients of the session leave; it goes on. Answered by [`Reply::Done`].
    Detach,
    /// Show the terminal. With one descriptor: the data socket. Answered by [`Reply::Done`]; from then on the connection speaks
    /// `FromClient` and `ToClient`.
    Attach {
        /// The size of the window.
        size: Size,
    },
    /// What are the rules of the network now? Answered by [`Reply::Network`].
    Rules,
    /// Change the rules of the network at once. Answered by [`Reply::Done`].
    Network(Change),
    /// Run another command in the box. With the descriptors of [`Join::stdio`]. Answered by [`Reply::Done`]; from then on the
    /// connection speaks `FromClient` and `ToClient`.
    Exec(Join),
}

/// A change of the network of a live session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Let a host be reached. The text of a rule: what it may say is decided once, where rules are read.
    Allow(String),
    /// Let it be reached no more; its connections are cut.
    Deny(String),
    /// Let the host reach a port of the box.
    Publish {
        /// On the host's 127.0.0.1.
        host_port: u16,
        /// In the box.
        box_port: u16,
    },
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// How it is.
    Status(Box<Status>),
    /// The network and its rules, as they are in force.
    Network(Box<Network>),
    /// It was done, or is being done.
    Done,
    /// It was not done.
    Refused {
        /// Why not, with the remedy.
        why: String,
    },
}

/// How a live session is. What it costs is read elsewhere, from its processes or its cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The supervisor.
    pub supervisor: i32,
    /// Init of the box.
    pub init: i32,
    /// What it does.
    pub state: State,
    /// When it began.
    pub started: Timestamp,
    /// argv, cut where it is very long.
    pub argv: Vec<OsText>,
    /// The profile that was chosen.
    pub profile: Option<String>,
    /// The working copy.
    pub workspace: OsText,
    /// The cgroup of the box: its directories.
    pub cgroup: Vec<OsText>,
    /// How many look at its terminal.
    pub viewers: usize,
    /// Its remote kill switches.
    #[serde(default)]
    pub switches: Vec<Switch>,
}

/// A remote kill switch of a live session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Switch {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub target: String,
    /// Milliseconds since its last proof of life.
    pub age_ms: Option<u64>,
    /// Why it gives none at the moment.
    pub unreachable: Option<String>,
    /// It says by itself what changes.
    pub push: bool,
}

/// What a live session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The command runs.
    Running,
    /// The command was stopped on its terminal (Ctrl-Z).
    Stopped,
    /// Everything in the box stands still (`agentbox pause`).
    Paused,
    /// It is being killed.
    Ending,
}

impl State {
    /// The word for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Stopped => "stopped",
            State::Paused => "paused",
            State::Ending => "ending",
        }
    }
}

/// Who may ask for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The user of the session, and root.
    OwnerOrRoot,
    /// The user of the session alone: it brings a terminal or descriptors of the caller's into the box.
    Owner,
}

impl Request {
    /// The table: who may send which request.
    #[must_use]
    pub fn who(&self) -> Who {
        match self {
            Request::Status | Request::Kill | Request::Pause | Request::Resume | Request::Rules => {
                Who::OwnerOrRoot
            }
            Request::Network(_) | Request::Detach | Request::Attach { .. } | Request::Exec(_) => {
                Who::Owner
            }
        }
    }

    /// How many descriptors come with it.
    #[must_use]
    pub fn fds(&self) -> usize {
        match self {
            Request::Attach { .. } => 1,
            Request::Exec(exec) => exec.stdio.iter().filter(|s| **s == Stdio::Given).count(),
            Request::Status
            | Request::Kill
            | Request::Pause
            | Request::Resume
            | Request::Rules
            | Request::Network(_)
            | Request::Detach => 0,
        }
    }
}
