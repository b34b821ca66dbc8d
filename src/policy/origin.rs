//! [`Origin`]: where a wish comes from. Every grant carries one.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Where a wish comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum Origin {
    /// A profile that is part of the program: `profiles/NAME.toml`.
    Builtin {
        /// NAME.
        profile: String,
        /// The line, from 1.
        line: u32,
    },
    /// A file of the host.
    File {
        /// Its path, for people.
        path: String,
        /// The line, from 1.
        line: u32,
    },
    /// The project's own `.agentbox.toml`.
    Project {
        /// Its path, for people.
        path: String,
        /// The line, from 1.
        line: u32,
    },
    /// The organisation's floor, which nobody relaxes.
    Floor {
        /// Its path, for people.
        path: String,
        /// The line, from 1.
        line: u32,
    },
    /// The command line.
    Cli {
        /// The flag, `--read`.
        flag: String,
    },
    /// agentbox itself, because the box cannot be without it.
    Agentbox {
        /// Why.
        why: String,
    },
}

impl Origin {
    /// agentbox itself, for that reason.
    #[must_use]
    pub fn agentbox(why: &str) -> Origin {
        Origin::Agentbox {
            why: why.to_owned(),
        }
    }

    /// The line, where it is a text's.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        match self {
            Origin::Builtin { line, .. }
            | Origin::File { line, .. }
            | Origin::Project { line, .. }
            | Origin::Floor { line, .. } => Some(*line),
            Origin::Cli { .. } | Origin::Agentbox { .. } => None,
        }
    }

    /// Is it the floor's word? Then no flag and no profile changes it.
    #[must_use]
    pub fn is_floor(&self) -> bool {
        matches!(self, Origin::Floor { .. })
    }

    /// Is it of a source that is stronger than every profile? Then no profile lifts what it says.
    #[must_use]
    pub fn is_over_profiles(&self) -> bool {
        is_over_profiles(&self.to_string())
    }
}

/// The same of an origin as it is shown, which is all that a stub in the box knows: the project's own file and the user's
/// `config.toml`. That of `/etc/agentbox` is weaker than the system's and the user's own profiles.
#[must_use]
pub fn is_over_profiles(shown: &str) -> bool {
    let file = shown.rsplit_once(':').map_or(shown, |(file, _)| file);
    let file = Path::new(file);
    file.ends_with(".agentbox.toml")
        || file.ends_with("agentbox/config.toml") && !file.starts_with("/etc/agentbox")
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Builtin { profile, line } => write!(f, "profile {profile}:{line}"),
            Origin::File { path, line } | Origin::Project { path, line } => {
                write!(f, "{path}:{line}")
            }
            Origin::Floor { path, line } => write!(f, "floor {path}:{line}"),
            Origin::Cli { flag } => write!(f, "{flag}"),
            Origin::Agentbox { why } => write!(f, "agentbox ({why})"),
        }
    }
}
