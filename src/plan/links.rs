//! [`Links`]: files of the host that the box may write and that have other names outside of what it may write (hard links:
//! pnpm, uv, ccache, `git clone` of a local path). A write in place would change what other projects use.

#![forbid(unsafe_code)]

use super::OsText;
use crate::policy::Origin;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What happens to such files when the box starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HardLinks {
    /// Each becomes a copy of its own.
    #[default]
    Copy,
    /// The box does not start while there is one.
    Refuse,
    /// Nothing: what the box writes in place is changed outside, too.
    Allow,
}

impl HardLinks {
    /// Every value, as profiles write it.
    pub const ALL: [(&'static str, HardLinks); 3] = [
        ("copy", HardLinks::Copy),
        ("refuse", HardLinks::Refuse),
        ("allow", HardLinks::Allow),
    ];
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Links {
    /// What happens to them.
    pub rule: HardLinks,
    /// Who said so.
    pub origin: Origin,
    /// How many.
    pub count: u64,
    /// Their bytes, each file counted once.
    pub bytes: u64,
    /// Directories that hold some, for people.
    pub trees: Vec<OsText>,
    /// Host paths. There may be very many, so they are in no record.
    #[serde(skip)]
    pub files: Vec<OsText>,
    /// What a copying that was killed has left behind: it is removed.
    #[serde(skip)]
    pub stale: Vec<OsText>,
}

/// How a copy is called until it takes its place.
pub const UNFINISHED: &str = ".agentbox-copy.";

impl Links {
    /// Nothing found.
    #[must_use]
    pub fn none(rule: HardLinks, origin: Origin) -> Links {
        Links {
            rule,
            origin,
            count: 0,
            bytes: 0,
            trees: Vec::new(),
            files: Vec::new(),
            stale: Vec::new(),
        }
    }

    /// Is there anything to be done or said?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.stale.is_empty()
    }

    /// Was that file of the host's found?
    #[must_use]
    pub fn has(&self, file: &Path) -> bool {
        self.files.iter().any(|known| known.path() == file)
    }
}

impl Default for Links {
    fn default() -> Links {
        Links::none(HardLinks::default(), Origin::agentbox("hard links"))
    }
}
