//! [`Names`]: what is hidden, frozen or tracked *by name*, whether it exists or not, and what of it existed at the start.
//! Plain data: [`matcher`] says which rule is about a name, `resolve` looks for what exists, `enforce` covers it, and the
//! keeper does the same for what appears later.

#![forbid(unsafe_code)]

pub mod content;
mod decision;
pub mod git;
pub mod id;
pub mod index;
pub mod matcher;
mod path;

use super::{Kind, OsText};
use crate::policy::Origin;
pub use decision::Decision;
pub use path::is_never_searched;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

/// Rules about names, and what existed at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Names {
    /// The rules, weakest first: of one kind the last one that matches a name decides.
    #[serde(default)]
    pub rules: Vec<NameRule>,
    /// Of the rules those that freeze, and could only be made to track: where nothing can be mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guarded: Vec<usize>,
    /// Where git looks for hooks and programs from the top of each work tree (a relative `core.hooksPath`), also of one that is
    /// added later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<OsText>,
    /// What existed at the start and is visible in the box.
    #[serde(default)]
    pub found: Vec<FoundName>,
    /// Host paths that a built-in rule would hide and that are committed as they are: hiding would only make git commit an
    /// empty file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<OsText>,
    /// Links that rules are about, or behind which one goes on, and that existed at the start, in what the box may write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<OsText>,
    /// What happens where not every directory can be watched.
    #[serde(default)]
    pub watch: Watch,
    /// What the search left out: a directory that was skipped by rule, or where it ended, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

impl Names {
    /// No rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Does the organisation's floor hide names? No flag shows those.
    #[must_use]
    pub fn floor_hides(&self) -> bool {
        let by_floor = |rule: &NameRule| rule.kind == NameKind::Hide && rule.origin.is_floor();
        self.rules.iter().any(by_floor)
    }

    /// Is it a name that is frozen, or a directory above one? Then a mount of it only keeps what is there as it is, and where
    /// nothing is there is nothing to be kept.
    #[must_use]
    pub fn holds_frozen(&self, host: &Path) -> bool {
        self.found
            .iter()
            .any(|name| name.kind == NameKind::Freeze && name.host.path().starts_with(host))
    }
}

/// What happens where not every directory can be watched, since the user's inotify(7) watches are used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    /// It is said, and what cannot be watched is listed again and again.
    #[default]
    OrLook,
    /// The box does not start, or ends: `view` is required.
    Always,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NameRule {
    /// What happens to the name.
    pub kind: NameKind,
    /// The host's directory that the rule is about, canonical.
    pub root: OsText,
    /// The components below `root`: `**` is any number of directories, `*` any part of a name, `\` makes the next byte
    /// literal.
    pub pattern: OsText,
    /// Whether the rule asks for it or lifts it.
    pub verdict: Verdict,
    /// Only a file with such a content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holds>,
    /// Who said so.
    pub origin: Origin,
}

impl NameRule {
    /// Agentbox's own word about exactly this path below `root`, and why.
    #[must_use]
    pub fn about(kind: NameKind, root: &Path, way: &Path, why: &str) -> NameRule {
        let names: Vec<Vec<u8>> = way
            .iter()
            .map(|name| matcher::literal(name.as_bytes()))
            .collect();
        NameRule {
            kind,
            root: root.into(),
            pattern: OsText::from(OsString::from_vec(names.join(&b'/'))),
            verdict: Verdict::Applies,
            holds: None,
            origin: Origin::agentbox(why),
        }
    }

    /// Is it part of the program and not the user's own word?
    #[must_use]
    pub fn is_builtin(&self) -> bool {
        matches!(
            self.origin,
            Origin::Builtin { .. } | Origin::Agentbox { .. }
        )
    }
}

/// What happens to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameKind {
    /// Its content is not readable by any path of the box.
    Hide,
    /// Readable, never changed.
    Freeze,
    /// Writable, compared with what it was.
    Track,
}

/// Whether a rule asks for something or takes it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The rule holds for what it matches.
    Applies,
    /// What it matches is free of the weaker rules of its kind.
    Lifted,
}

/// A condition on the content of a file: its name alone says too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// A password or token of a package registry (`.npmrc`, `.pypirc`).
    Token,
    /// A key of a service account (JSON).
    ServiceAccount,
}

impl Holds {
    /// As profiles write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Holds::Token => "token",
            Holds::ServiceAccount => "service-account",
        }
    }
}

/// A name that existed at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundName {
    /// The host's path, canonical.
    pub host: OsText,
    /// Every place in the box where it is visible.
    pub targets: Vec<OsText>,
    /// A directory, or anything else.
    pub dir: Kind,
    /// What happens to it.
    pub kind: NameKind,
    /// By what.
    pub how: How,
    /// The rule, as an index into [`Names::rules`].
    pub rule: usize,
}

/// What was done about a name that existed at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Covered by an empty file or directory on a read-only file system: reads as empty, EROFS.
    Empty,
    /// Covered by a file or directory that nobody may open (EACCES), so that git stops instead of committing nothing.
    Refused,
    /// Covered by a copy without its secrets, read-only.
    Cleaned,
    /// Mounted read-only, and every directory above it up to the grant a mount point: EROFS, EBUSY.
    ReadOnly,
    /// Nothing at the start: the keeper and the end of the session look at it.
    Tracked,
}
