//! The ladder: how a box is built where a part of the kernel's namespaces cannot be had (a container, a CI runner, a chroot).
//! [`TABLE`] says what each rung guarantees; reports, README and record take it from there.
//!
//! A rung is never chosen because something failed on the way: what the place allows is tried before there is a plan, the
//! highest rung that it allows is taken, and one below what the policy accepts is a refusal.

#![forbid(unsafe_code)]

use crate::outcome::Layer;
use crate::plan::OsText;
use crate::policy::Origin;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the box is made of, from the most to the least.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// Every namespace, and a procfs of the box's own.
    #[default]
    Full,
    /// Every namespace and a procfs of the box's own, without Landlock and with a filter that lets an inner sandbox make its own
    /// (`nested = "allow"`). Never taken because a place allows no more: it is asked for.
    Nested,
    /// Every namespace, and the procfs of the container around it: the kernel refuses a fresh one where the engine has covered
    /// parts of its own.
    ContainerProc,
    /// No namespace at all: Landlock, the system call filter, no capabilities, the environment, rlimits.
    Landlock,
}

impl Rung {
    /// From the highest to the lowest.
    pub const ALL: [Rung; 4] = [
        Rung::Full,
        Rung::Nested,
        Rung::ContainerProc,
        Rung::Landlock,
    ];

    /// The name that `--rung` and `[layers] rung` use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rung::Full => "full",
            Rung::Nested => "nested",
            Rung::ContainerProc => "container-proc",
            Rung::Landlock => "landlock",
        }
    }

    /// The rung of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Rung> {
        Rung::ALL.into_iter().find(|rung| rung.name() == name)
    }

    /// What it is, in a line.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Rung::Full => "every namespace, with a /proc of the box's own",
            Rung::Nested => "every namespace, and an inner sandbox may make more; no Landlock",
            Rung::ContainerProc => "every namespace, with the container's /proc",
            Rung::Landlock => "no namespaces: Landlock and the system call filter",
        }
    }

    /// The layers that it cannot make hold in full.
    #[must_use]
    pub fn lacks(self) -> &'static [Layer] {
        match self {
            Rung::Full => &[],
            Rung::Nested => &[
                Layer::Namespaces,
                Layer::View,
                Layer::Limits,
                Layer::Landlock,
                Layer::Seccomp,
            ],
            Rung::ContainerProc => &[Layer::Namespaces, Layer::View, Layer::Identity],
            Rung::Landlock => &[
                Layer::Namespaces,
                Layer::View,
                Layer::Identity,
                Layer::Network,
                Layer::Limits,
            ],
        }
    }
}

/// Whether a sandbox may be made within the box (`[layers] nested`, `--nested`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Nested {
    /// No further namespace and no mount.
    #[default]
    Refuse,
    /// The box stands on the rung [`Rung::Nested`].
    Allow,
}

impl Nested {
    /// Both words.
    pub const WORDS: [(&'static str, Nested); 2] =
        [("refuse", Nested::Refuse), ("allow", Nested::Allow)];

    /// As profiles and `--nested` write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Nested::Refuse => "refuse",
            Nested::Allow => "allow",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Nested> {
        let mut words = Nested::WORDS.iter();
        words
            .find(|(known, _)| *known == word)
            .map(|(_, nested)| *nested)
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The rung that a box stands on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// Which one.
    pub rung: Rung,
    /// Why it is not a higher one: what was tried, and what the kernel said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who accepts one that low.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What it has instead of namespaces and a view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bare: Option<Bare>,
}

/// What a box on the rung [`Rung::Landlock`] has instead of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bare {
    /// A directory that is made for the session and removed with it; `home`, `tmp` and `run` are in it.
    pub place: OsText,
    /// Links in its `home`: where, and what each says.
    pub links: Vec<(OsText, OsText)>,
    /// Files of its own, by their path below `place`.
    pub files: Vec<BareFile>,
    /// What nobody may open, below what is granted.
    pub holes: Vec<OsText>,
    /// The port of the gate's proxy on 127.0.0.1 (`filtered`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A file of the session's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BareFile {
    /// Its path below the directory.
    pub path: OsText,
    /// Its content.
    pub content: OsText,
}

impl Standing {
    /// Nothing needs to be said.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rung == Rung::Full
    }
}

/// One guarantee, on each rung.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What is guaranteed.
    pub what: &'static str,
    /// How, in the order of [`Rung::ALL`].
    pub how: [&'static str; 4],
}

/// What each rung guarantees. `boundary` holds against an agent that tries; a `guard-rail` only against mistakes.
pub const TABLE: &[Row] = &[
    row(
        "files that are not granted",
        "absent (boundary)",
        "absent (boundary)",
        "absent (boundary)",
        "EACCES (boundary); that they exist can be seen, and mode and times of your own be changed",
    ),
    row(
        "hidden names",
        "read as empty (boundary)",
        "read as empty: a boundary in what is only read, a guard-rail in what the box writes",
        "read as empty (boundary)",
        "EACCES (boundary) if there at the start, else open; nothing new can be written beside them",
    ),
    row(
        "protected names",
        "read-only (boundary)",
        "read-only, and put back where an inner sandbox changed them (guard-rail)",
        "read-only (boundary)",
        "put back at the end (guard-rail)",
    ),
    row(
        "HOME",
        "new, at its usual path",
        "new, at its usual path",
        "new, at its usual path",
        "new, at another path, with links",
    ),
    row(
        "/tmp and /dev/shm",
        "the box's own",
        "the box's own; an inner sandbox makes more, without a disk limit",
        "the box's own",
        "TMPDIR is the box's own; /tmp and /dev/shm are EACCES",
    ),
    row(
        "other processes",
        "do not exist (boundary)",
        "do not exist (boundary); an inner sandbox's /proc shows the machine as every user sees it",
        "what everybody may read in /proc (names, command lines, limits), nothing else (boundary)",
        "what everybody may read in /proc (names, command lines, limits), nothing else (boundary)",
    ),
    row(
        "signals, ptrace",
        "end at the box (boundary)",
        "end at the box (boundary)",
        "end at the box (boundary)",
        "end at the box (boundary, Landlock ABI 6)",
    ),
    row(
        "unix sockets, SysV IPC",
        "the box's own (boundary)",
        "the box's own (boundary); sockets of the host in what the box writes: guard-rail",
        "the box's own (boundary)",
        "refused, but for socketpair (boundary)",
    ),
    row(
        "network none",
        "loopback only (boundary)",
        "loopback only (boundary)",
        "loopback only (boundary)",
        "no IP sockets, loopback neither (boundary)",
    ),
    row(
        "network filtered",
        "granted names, for every program (boundary)",
        "granted names, for every program (boundary)",
        "granted names, for every program (boundary)",
        "granted names, by a proxy that every program is told of (boundary)",
    ),
    row(
        "refused programs",
        "a stub says who refuses (boundary)",
        "a stub says who refuses: a boundary in what is only read, else a guard-rail",
        "a stub says who refuses (boundary)",
        "EACCES (boundary)",
    ),
    row(
        "the end",
        "the kernel kills all (boundary)",
        "the kernel kills all (boundary)",
        "the kernel kills all (boundary)",
        "all are found and killed by agentbox (boundary while one of its processes lives)",
    ),
    row(
        "limits of the whole box",
        "as `agentbox explain` says",
        "as `agentbox explain` says, a guard-rail where its cgroup is the user's own; no disk limit",
        "as `agentbox explain` says; a root caller's processes are not counted",
        "rlimits of each process (guard-rail); no disk limit",
    ),
];

const fn row(
    what: &'static str,
    full: &'static str,
    nested: &'static str,
    container: &'static str,
    landlock: &'static str,
) -> Row {
    Row {
        what,
        how: [full, nested, container, landlock],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_order() {
        for rung in Rung::ALL {
            assert_eq!(Rung::from_name(rung.name()), Some(rung));
            let json = serde_json::to_string(&rung).unwrap();
            assert_eq!(json, format!("\"{}\"", rung.name()));
        }
        assert_eq!(Rung::from_name("half"), None);
        for (word, nested) in Nested::WORDS {
            assert_eq!(Nested::from_word(word), Some(nested));
            assert_eq!(nested.word(), word);
        }
        assert_eq!(Nested::from_word("perhaps"), None);
        assert!(Rung::ALL.is_sorted());
        // Each one lacks what those above it lack, but for the one that a place does not bring about.
        let places = [Rung::Full, Rung::ContainerProc, Rung::Landlock];
        for pair in places.windows(2) {
            let [above, below] = pair else { continue };
            assert!(above.lacks().iter().all(|l| below.lacks().contains(l)));
        }
    }
}
