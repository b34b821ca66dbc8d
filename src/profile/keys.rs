//! The keys of profiles, as data: what can be written, in which form, what it does, and what is part of the format but not
//! enforced yet. The parser, the JSON Schema and the reference in `docs/` all come from here.

#![forbid(unsafe_code)]

mod layers;
mod tables;

use super::error::closest;
pub use tables::TABLES;

/// One key of a table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Whether this version enforces it.
    pub status: KeyStatus,
    /// What is written behind it.
    pub form: Form,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// Yes.
    Known,
    /// Part of the format, but nothing enforces it in this version.
    NotEnforced,
}

/// What is written behind a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of texts.
    List(Item),
    /// A text or a list of texts.
    OneOrMore(Item),
    /// A table of its own.
    Table,
    /// A list of tables (`[[...]]`).
    Tables,
    /// Names and their values.
    Values,
    /// Names of hosts and their addresses.
    Hosts,
    /// Bytes: a number, or a text with a unit.
    Size,
    /// The same, or a share: `"75%"`.
    Memory,
    /// Seconds, or a text with units.
    Duration,
    /// A whole number above 0.
    Count,
    /// A number above 0, with or without a fraction.
    Number,
}

/// What the texts of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// Any text.
    Text,
    /// The name of a profile, or a file.
    Profile,
    /// The base name of a command.
    Command,
    /// A path: `/x`, `~/x`, `${workspace}/x`.
    Path,
    /// A pattern of names, or a table with a condition on the content.
    Name,
    /// A name of a variable, or a pattern.
    Variable,
    /// A name of a program, or a pattern.
    Program,
    /// `HOST:PORTS+MARK`, or a table that says the same.
    Rule,
    /// `HOST:PORTS`.
    Host,
    /// A port.
    Port,
    /// `HOSTPORT:PORT`, or a port.
    Publish,
    /// A layer.
    Layer,
}

const fn known(name: &'static str, form: Form, doc: &'static str) -> Key {
    Key {
        name,
        status: KeyStatus::Known,
        form,
        doc,
    }
}

const fn not_yet(name: &'static str) -> Key {
    Key {
        name,
        status: KeyStatus::NotEnforced,
        form: Form::Table,
        doc: "Refused in this version, which does not enforce it.",
    }
}

/// What a test of a profile can expect.
pub const EXPECT: [&str; 5] = ["allowed", "refused", "absent", "hidden", "protected"];

/// The keys of a table.
#[must_use]
pub fn keys_of(table: &str) -> &'static [Key] {
    TABLES
        .iter()
        .find(|(t, _)| *t == table)
        .map_or(&[][..], |(_, keys)| keys)
}

/// A key for people: `files.hide`, `[commands]`, `extends`.
pub(super) fn dotted(table: &str, name: &str) -> String {
    if !table.is_empty() {
        format!("{table}.{name}")
    } else if keys_of(name).is_empty() {
        name.to_owned()
    } else {
        format!("[{name}]")
    }
}

/// What may have been meant by a key that is not known in that table.
pub(super) fn suggestion(table: &str, name: &str) -> String {
    let usable: Vec<&str> = keys_of(table)
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
