//! The format of profiles: [`parse`] turns a text into wishes and reports everything that is
//! wrong with it at once: the spanned tree of the `toml` crate is walked by hand, since a derived deserializer stops at the
//! first problem. A key that is not known is refused, and so is one whose enforcement does not exist yet: a protection that
//! is asked for and silently not given would be worse than none.

#![forbid(unsafe_code)]

mod agree;
mod floor;
mod inline;
mod limits;
mod network;
mod remote;
mod remote_url;

use super::error::{Diagnostic, MOST};
use super::inline::InlineTest;
use super::keys::{KeyStatus, dotted, keys_of, suggestion};
use super::value::{self, BadValue, PathUse, ProgramList, VariableList};
use crate::plan::OsText;
use crate::policy::{Fragment, Origin, Wish};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A profile.
    Profile,
    /// `config.toml`: no `extends`, no `[agent]`.
    Config,
    /// `floor.toml`: only what forbids.
    Floor,
}

/// Where a text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Part of the program.
    Builtin(&'static str),
    /// A file, by its path for people.
    File(String),
    /// A project's own file, likewise.
    Project(String),
    /// The organisation's floor, likewise.
    Floor(String),
}

impl Place {
    /// For people, before `:LINE`.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Place::Builtin(name) => format!("profiles/{name}.toml"),
            Place::File(path) | Place::Project(path) | Place::Floor(path) => path.clone(),
        }
    }

    fn origin(&self, line: u32) -> Origin {
        match self {
            Place::Builtin(name) => Origin::Builtin {
                profile: (*name).to_owned(),
                line,
            },
            Place::File(path) => Origin::File {
                path: path.clone(),
                line,
            },
            Place::Project(path) => Origin::Project {
                path: path.clone(),
                line,
            },
            Place::Floor(path) => Origin::Floor {
                path: path.clone(),
                line,
            },
        }
    }
}

/// A text that was understood.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// Its wishes.
    pub fragment: Fragment,
    /// `extends`, each with its range of bytes in the text.
    pub extends: Vec<(String, Range<usize>)>,
    /// `[[test]]`.
    pub tests: Vec<InlineTest>,
}

/// Reads a profile.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text; of more than 50 problems one more than these, which says
/// so.
pub fn parse(text: &str, name: &str, place: &Place, role: Role) -> Result<Parsed, Vec<Diagnostic>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut walk = Walk::new(text, place, role);
    walk.out.fragment.name = name.to_owned();
    if errors.is_empty() {
        walk.top(table.get_ref());
        walk.layers_agree();
        walk.only_forbids();
    } else {
        // What could be recovered of a broken text is not what its author meant: only the syntax is reported.
        for error in errors {
            let range = error.span().unwrap_or(0..0);
            walk.problem(range, error.message().to_owned(), "");
        }
    }
    walk.finish()
}

pub(super) struct Walk<'a> {
    text: &'a str,
    place: &'a Place,
    role: Role,
    /// The offsets of the newlines: a wish needs its line, and counting from the start each time would be quadratic.
    newlines: Vec<usize>,
    pub(super) out: Parsed,
    problems: Vec<(usize, Diagnostic)>,
}

type Item<'a> = Spanned<DeValue<'a>>;

impl<'a> Walk<'a> {
    fn new(text: &'a str, place: &'a Place, role: Role) -> Walk<'a> {
        Walk {
            text,
            place,
            role,
            newlines: text.match_indices('\n').map(|(at, _)| at).collect(),
            out: Parsed {
                fragment: Fragment::default(),
                extends: Vec::new(),
                tests: Vec::new(),
            },
            problems: Vec::new(),
        }
    }

    fn finish(mut self) -> Result<Parsed, Vec<Diagnostic>> {
        if self.problems.is_empty() {
            return Ok(self.out);
        }
        self.problems.sort_by_key(|(at, _)| *at);
        self.problems.truncate(MOST + 1);
        Err(self.problems.into_iter().map(|(_, d)| d).collect())
    }

    pub(super) fn problem(
        &mut self,
        at: Range<usize>,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        // Each problem looks for its line: bounded, so that a file made of mistakes costs no more than a large one.
        if self.problems.len() < 4 * MOST {
            let diagnostic =
                Diagnostic::new(&self.place.label(), self.text, at.clone(), what, help);
            self.problems.push((at.start, diagnostic));
        }
    }

    pub(super) fn bad(&mut self, at: Range<usize>, bad: BadValue) {
        self.problem(at, bad.what, bad.help);
    }

    fn origin(&self, at: usize) -> Origin {
        let line = self.newlines.partition_point(|newline| *newline < at) + 1;
        self.place.origin(u32::try_from(line).unwrap_or(u32::MAX))
    }

    pub(super) fn wish<T>(&self, value: T, at: &Range<usize>) -> Wish<T> {
        Wish {
            value,
            origin: self.origin(at.start),
        }
    }

    fn top(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            if !self.check("", name, key.span()) || !self.is_for_floor("", name, key.span()) {
                continue;
            }
            match name {
                "description" => {
                    self.out.fragment.description = self.string(value, "a text").map(str::to_owned);
                }
                "extends" | "agent" if self.role == Role::Config => self.problem(
                    key.span(),
                    format!("`{name}` has no place in a configuration file"),
                    "it is merged into every run; put it into profiles/NAME.toml",
                ),
                "extends" => self.each(value, |walk, text, at| {
                    walk.out.extends.push((text.to_owned(), at));
                }),
                "test" => self.tests(value),
                "when" => self.whens(value),
                _ => match value.get_ref().as_table() {
                    Some(inner) => self.table(name, inner),
                    None => self.wrong_type(value, "a table"),
                },
            }
        }
    }

    fn table(&mut self, table: &str, inner: &DeTable<'_>) {
        for (key, value) in inner {
            let name: &str = key.get_ref();
            if !self.check(table, name, key.span()) || !self.is_for_floor(table, name, key.span()) {
                continue;
            }
            match (table, name) {
                ("agent", "commands") => self.each(value, Walk::command),
                ("agent", "notices") => self.each(value, |walk, text, at| {
                    let wish = walk.wish(text.to_owned(), &at);
                    walk.out.fragment.notices.push(wish);
                }),
                ("agent", "arguments") => self.each(value, |walk, text, at| {
                    if text.contains('\0') {
                        walk.problem(at, "an argument holds a NUL byte", "leave it out");
                        return;
                    }
                    let wish = walk.wish(text.to_owned(), &at);
                    walk.out.fragment.arguments.push(wish);
                }),
                ("files", "read") => self.each(value, |w, t, at| w.path(t, at, PathUse::Read)),
                ("files", "write") => self.each(value, |w, t, at| w.path(t, at, PathUse::Write)),
                ("files", "state") => self.each(value, |w, t, at| w.path(t, at, PathUse::State)),
                ("files", "private") => {
                    self.each(value, |w, t, at| w.path(t, at, PathUse::Private));
                }
                ("files", "project") => {
                    self.each(value, |w, t, at| w.path(t, at, PathUse::Project));
                }
                ("commands", "deny") => self.programs(value, ProgramList::Deny),
                ("commands", "allow") => self.programs(value, ProgramList::Allow),
                ("commands", _) => self.each(value, |w, t, at| w.path(t, at, PathUse::Search)),
                ("files", "hide" | "protect" | "track") => self.names(name, value),
                ("files", "hard-links") => self.hard_links(value),
                ("env", "keep") => {
                    self.each(value, |w, t, at| w.variable(t, at, VariableList::Keep));
                }
                ("env", "deny") => {
                    self.each(value, |w, t, at| w.variable(t, at, VariableList::Deny));
                }
                ("env", "set") => self.set(value),
                ("network", _) => self.network(name, value),
                ("ssh", "hosts") => self.each(value, Walk::ssh_host),
                ("ssh", _) => self.each(value, Walk::ssh_key),
                ("limits", _) => self.limit(name, value),
                ("kill-switch", _) => self.kill_switch(name, value),
                ("session", _) => {
                    let wish = self.one(value, "a text", value::hangup);
                    self.out.fragment.hangup = wish.or(self.out.fragment.hangup.take());
                }
                ("layers", "rung") => {
                    let wish = self.one(value, "a text", value::rung);
                    self.out.fragment.rung = wish.or(self.out.fragment.rung.take());
                }
                ("layers", "nested") => {
                    let wish = self.one(value, "a text", value::nested);
                    self.out.fragment.nested = wish.or(self.out.fragment.nested.take());
                }
                ("layers", _) => self.each(value, |walk, text, at| match value::layer(text) {
                    Ok(layer) => {
                        let wish = walk.wish(layer, &at);
                        let fragment = &mut walk.out.fragment;
                        match name {
                            "require" => fragment.require.push(wish),
                            "allow-missing" => fragment.allow_missing.push(wish),
                            _ => fragment.layers_off.push(wish),
                        }
                    }
                    Err(bad) => walk.bad(at, bad),
                }),
                // `check` let it pass, so it is in TABLES, but nothing here reads it: that must not be ignored.
                _ => self.problem(key.span(), format!("`{name}` is not read"), ""),
            }
        }
    }

    /// Whether that key of that table is one that this version enforces; says so if not.
    fn check(&mut self, table: &str, name: &str, at: Range<usize>) -> bool {
        match keys_of(table).iter().find(|key| key.name == name) {
            Some(key) if key.status == KeyStatus::Known => return true,
            Some(_) => {
                self.problem(
                    at,
                    format!(
                        "`{}` is not enforced by this version of agentbox",
                        dotted(table, name)
                    ),
                    "remove the line",
                );
                return false;
            }
            None => {}
        }
        let what = if table.is_empty() {
            format!("unknown key `{name}`")
        } else {
            format!("unknown key `{name}` in [{table}]")
        };
        self.problem(at, what, suggestion(table, name));
        false
    }

    pub(super) fn wrong_type(&mut self, value: &Item<'_>, want: &str) {
        let found = value.get_ref().type_str();
        self.problem(
            value.span(),
            format!("{want} is expected, not a TOML {found}"),
            "",
        );
    }

    pub(super) fn string<'v>(&mut self, value: &'v Item<'_>, want: &str) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(value, want);
        }
        text
    }

    fn each(&mut self, value: &Item<'_>, mut take: impl FnMut(&mut Self, &str, Range<usize>)) {
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, "a list of texts");
            return;
        };
        for item in array.iter() {
            if let Some(text) = self.string(item, "a text") {
                take(self, text, item.span());
            }
        }
    }

    fn command(&mut self, text: &str, at: Range<usize>) {
        if text.is_empty() || text.contains(['/', '\0']) {
            self.problem(
                at,
                format!("`{text}` is not the base name of a command"),
                "the profile is chosen by the last part of the path of COMMAND",
            );
        } else {
            self.out.fragment.commands.push(text.to_owned());
        }
    }

    fn path(&mut self, text: &str, at: Range<usize>, path_use: PathUse) {
        match value::path(text, path_use) {
            Ok(path) => {
                let wish = self.wish(path, &at);
                let files = &mut self.out.fragment.files;
                match path_use {
                    PathUse::Read => files.read.push(wish),
                    PathUse::Write => files.write.push(wish),
                    PathUse::State => files.state.push(wish),
                    PathUse::Private => files.private.push(wish),
                    PathUse::Project => files.project.push(wish),
                    PathUse::Search => self.out.fragment.programs.search.push(wish),
                }
            }
            Err(bad) => self.bad(at, bad),
        }
    }

    fn programs(&mut self, value: &Item<'_>, list: ProgramList) {
        self.each(value, |walk, text, at| match value::program(text, list) {
            Ok(name) => {
                let wish = walk.wish(name, &at);
                let programs = &mut walk.out.fragment.programs;
                match list {
                    ProgramList::Deny => programs.deny.push(wish),
                    ProgramList::Allow => programs.allow.push(wish),
                }
            }
            Err(bad) => walk.bad(at, bad),
        });
    }

    fn variable(&mut self, text: &str, at: Range<usize>, list: VariableList) {
        match value::variable(text, list) {
            Ok(name) => {
                let wish = self.wish(name, &at);
                match list {
                    VariableList::Keep => self.out.fragment.env.keep.push(wish),
                    VariableList::Deny => self.out.fragment.env.deny.push(wish),
                }
            }
            Err(bad) => self.bad(at, bad),
        }
    }

    fn set(&mut self, value: &Item<'_>) {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(value, "a table of NAME = \"value\"");
            return;
        };
        for (key, value) in table {
            let name: &str = key.get_ref();
            if name.is_empty() || name.contains(['=', '\0']) {
                self.problem(
                    key.span(),
                    format!("`{name}` is not a name of a variable"),
                    "",
                );
                continue;
            }
            let Some(text) = self.string(value, "a text (in quotes)") else {
                continue;
            };
            if text.contains('\0') {
                self.problem(value.span(), "a NUL byte in the value of a variable", "");
                continue;
            }
            let wish = self.wish(OsText::from(text), &key.span());
            self.out.fragment.env.set.push((OsText::from(name), wish));
        }
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
