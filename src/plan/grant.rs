//! What of the host's files is given, for people: `explain`, the briefing and `why` read it.

#![forbid(unsafe_code)]

use super::OsText;
use crate::policy::Origin;
use serde::{Deserialize, Serialize};

/// One grant, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Grant {
    /// The path inside the box.
    pub path: OsText,
    /// What is granted.
    pub kind: GrantKind,
    /// Who granted it.
    pub origin: Origin,
    /// What it is for, where agentbox added it by itself (the command's package, a link's target).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Grant {
    /// The note of a configuration of git's that is shown without what logs in.
    pub const WITHOUT_CREDENTIALS: &str = "a copy without credentials";

    /// Is it such a configuration?
    #[must_use]
    pub fn is_without_credentials(&self) -> bool {
        self.note.as_deref() == Some(Self::WITHOUT_CREDENTIALS)
    }

    /// Is it a built-in profile's, and nobody's here?
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        matches!(self.origin, Origin::Builtin { .. })
    }
}

/// What a grant gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantKind {
    /// Read and execute.
    Read,
    /// Read, execute and write: the host's own.
    Write,
    /// A copy, written back.
    State,
    /// Persistent, but the box's own.
    Private,
    /// The same, for this working copy alone.
    Project,
    /// Reads as empty.
    Hidden,
    /// Readable, never changed.
    Protected,
}

impl GrantKind {
    /// The key of `[files]` that asks for it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            GrantKind::Read => "read",
            GrantKind::Write => "write",
            GrantKind::State => "state",
            GrantKind::Private => "private",
            GrantKind::Project => "project",
            GrantKind::Hidden => "hide",
            GrantKind::Protected => "protect",
        }
    }
}
