//! The keys of profiles, as data: what can be written, and what is part of the format but not enforced yet.

#![forbid(unsafe_code)]

use super::error::closest;

/// One key of a table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Whether this version enforces it.
    pub status: KeyStatus,
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// Yes.
    Known,
    /// Part of the format, but nothing enforces it in this version.
    NotEnforced,
}

const fn known(name: &'static str) -> Key {
    Key {
        name,
        status: KeyStatus::Known,
    }
}

const fn not_yet(name: &'static str) -> Key {
    Key {
        name,
        status: KeyStatus::NotEnforced,
    }
}

/// Every table with its keys; "" is the top of the file.
pub const TABLES: &[(&str, &[Key])] = &[
    (
        "",
        &[
            known("description"),
            known("extends"),
            known("agent"),
            known("files"),
            known("commands"),
            known("env"),
            known("network"),
            known("ssh"),
            known("limits"),
            known("layers"),
            known("kill-switch"),
            known("session"),
            not_yet("git"),
            not_yet("aws"),
            not_yet("review"),
            not_yet("audit"),
            not_yet("rollout"),
        ],
    ),
    ("agent", &[known("commands"), known("notices")]),
    (
        "files",
        &[
            known("read"),
            known("write"),
            known("state"),
            known("private"),
            known("hide"),
            known("protect"),
            known("track"),
            known("hard-links"),
        ],
    ),
    (
        "commands",
        &[known("deny"), known("allow"), known("search")],
    ),
    ("env", &[known("keep"), known("deny"), known("set")]),
    (
        "network",
        &[
            known("mode"),
            known("allow"),
            known("deny"),
            known("host-ports"),
            known("publish"),
            known("hosts"),
        ],
    ),
    ("ssh", &[known("hosts"), known("keys")]),
    (
        "limits",
        &[
            known("memory"),
            known("processes"),
            known("cpu"),
            known("file-size"),
            known("open-files"),
            known("disk"),
            known("time"),
            known("idle"),
            known("output"),
            known("stop-grace"),
        ],
    ),
    (
        "kill-switch",
        &[known("files"), known("remote"), known("team")],
    ),
    ("session", &[known("hangup")]),
    (
        "layers",
        &[
            known("require"),
            known("allow-missing"),
            known("off"),
            known("rung"),
        ],
    ),
];

/// A key for people: `files.hide`, `[commands]`.
pub(super) fn dotted(table: &str, name: &str) -> String {
    if table.is_empty() {
        format!("[{name}]")
    } else {
        format!("{table}.{name}")
    }
}

/// What may have been meant by a key that is not known in that table.
pub(super) fn suggestion(table: &str, name: &str) -> String {
    let keys = TABLES
        .iter()
        .find(|(t, _)| *t == table)
        .map_or(&[][..], |(_, keys)| keys);
    let usable: Vec<&str> = keys
        .iter()
        .filter(|key| key.status == KeyStatus::Known)
        .map(|key| key.name)
        .collect();
    let elsewhere = TABLES
        .iter()
        .find(|(t, keys)| *t != table && keys.iter().any(|key| key.name == name));
    match (closest(name, usable.iter().copied()), elsewhere) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(("", _))) => format!("`{name}` belongs at the top of the file"),
        (None, Some((other, _))) => format!("`{name}` belongs in [{other}]"),
        (None, None) => format!("known here: {}", usable.join(", ")),
    }
}
