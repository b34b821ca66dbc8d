//! `[[test]]` and `[[when]]`.

#![forbid(unsafe_code)]

use super::{Item, Walk};
use crate::plan::names::Verdict;
use crate::policy::{Condition, Conditional, Fragment, PathWish, Wish};
use crate::profile::inline::{Expect, InlineTest, Verb};
use crate::profile::keys::EXPECT;
use crate::profile::value::{self, PathUse};
use std::ops::Range;
use toml::de::DeTable;

/// What a part may say whose condition the agent can make true or false: only what forbids, and nothing that is compared.
const FORBIDS: [(&str, &[&str]); 6] = [
    ("files", &["hide", "protect"]),
    ("commands", &["deny"]),
    ("env", &["deny"]),
    ("network", &["deny"]),
    ("layers", &["require"]),
    ("kill-switch", &["files"]),
];

/// Tables that a part may have.
const PARTS: [&str; 9] = [
    "files",
    "commands",
    "env",
    "network",
    "ssh",
    "limits",
    "layers",
    "kill-switch",
    "session",
];

impl Walk<'_> {
    fn tables<'v>(
        &mut self,
        value: &'v Item<'_>,
        name: &str,
    ) -> Vec<(&'v DeTable<'v>, Range<usize>)>
    where
        Self: 'v,
    {
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, &format!("a list of tables, `[[{name}]]`"));
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => out.push((table, item.span())),
                None => self.wrong_type(item, "a table"),
            }
        }
        out
    }

    /// `[[test]]`.
    pub(super) fn tests(&mut self, value: &Item<'_>) {
        for (table, at) in self.tables(value, "test") {
            let mut asked: Option<(Verb, String)> = None;
            let mut expect = None;
            let before = self.problems.len();
            for (key, value) in table {
                let name: &str = key.get_ref();
                if !self.check("test", name, key.span()) {
                    continue;
                }
                let Some(text) = self.string(value, "a text") else {
                    continue;
                };
                let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.name() == name) else {
                    expect = Expect::of(text);
                    if expect.is_none() {
                        let help = format!("known are {}", EXPECT.join(", "));
                        self.problem(value.span(), format!("`{text}` is no answer"), help);
                    }
                    continue;
                };
                if asked.is_some() {
                    self.problem(
                        key.span(),
                        "a test asks one question",
                        "write another [[test]]",
                    );
                }
                let checked = match verb {
                    Verb::Read | Verb::Write => value::path(text, PathUse::Read).map(drop),
                    Verb::Connect => crate::plan::net::rule::place(text)
                        .map(drop)
                        .map_err(value::BadValue::from),
                    Verb::Exec | Verb::Env => Ok(()),
                };
                match checked {
                    Ok(()) if !text.is_empty() => asked = Some((verb, text.to_owned())),
                    Ok(()) => self.problem(value.span(), "an empty text", ""),
                    Err(bad) => self.bad(value.span(), bad),
                }
            }
            match (asked, expect) {
                (Some((verb, thing)), Some(expect)) => self.out.tests.push(InlineTest {
                    verb,
                    thing,
                    expect,
                    at,
                }),
                _ if self.problems.len() > before => {}
                _ => self.problem(
                    at,
                    "a test has a question and an answer",
                    "read = \"~/.aws/credentials\" and expect = \"absent\"",
                ),
            }
        }
    }

    /// `[[when]]`.
    pub(super) fn whens(&mut self, value: &Item<'_>) {
        for (table, at) in self.tables(value, "when") {
            let mut conditions: Vec<Wish<Condition>> = Vec::new();
            let before = self.problems.len();
            let outer = std::mem::take(&mut self.out.fragment);
            for (key, value) in table {
                let name: &str = key.get_ref();
                match name {
                    "exists" | "missing" => self.condition(name, value, &mut conditions),
                    _ if PARTS.contains(&name) => match value.get_ref().as_table() {
                        Some(inner) => self.table(name, inner),
                        None => self.wrong_type(value, "a table"),
                    },
                    _ => self.problem(
                        key.span(),
                        format!("unknown key `{name}` in [[when]]"),
                        format!("known here: exists, missing, {}", PARTS.join(", ")),
                    ),
                }
            }
            let fragment = std::mem::replace(&mut self.out.fragment, outer);
            if conditions.is_empty() {
                if self.problems.len() > before {
                    continue;
                }
                self.problem(
                    at,
                    "a part without a condition",
                    "exists = \"PATH\" or missing = \"PATH\"",
                );
                continue;
            }
            if conditions.iter().any(|c| c.value.is_of_workspace()) {
                self.only_narrows(table, &fragment);
            }
            self.out.fragment.when.push(Conditional {
                conditions,
                fragment: Box::new(fragment),
            });
        }
    }

    fn condition(&mut self, name: &str, value: &Item<'_>, out: &mut Vec<Wish<Condition>>) {
        let mut one = |walk: &mut Self, text: &str, at: Range<usize>| match value::path(
            text,
            PathUse::Read,
        ) {
            Ok(PathWish { optional: true, .. }) => {
                walk.problem(at, "a `?` means nothing in a condition", "leave it out");
            }
            Ok(path) => {
                let path = path.path;
                let condition = match name {
                    "exists" => Condition::Exists(path),
                    _ => Condition::Missing(path),
                };
                out.push(walk.wish(condition, &at));
            }
            Err(bad) => walk.bad(at, bad),
        };
        match value.get_ref().as_str() {
            Some(text) => one(self, text, value.span()),
            None => self.each(value, one),
        }
    }

    /// A condition on the working copy is decided by whoever can write that, an agent too.
    fn only_narrows(&mut self, table: &DeTable<'_>, fragment: &Fragment) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            let Some(inner) = value.get_ref().as_table() else {
                continue;
            };
            let may = FORBIDS
                .iter()
                .find(|(t, _)| *t == name)
                .map_or(&[][..], |(_, keys)| keys);
            for (inner, _) in inner {
                let key: &str = inner.get_ref();
                if !may.contains(&key) {
                    self.problem(
                        inner.span(),
                        format!("`{name}.{key}` under a condition on ${{workspace}}: the agent can make it true"),
                        "such a part may only forbid: files.hide, files.protect, commands.deny, env.deny, network.deny, \
                         layers.require, kill-switch.files",
                    );
                }
            }
        }
        let names = fragment.files.hide.iter().chain(&fragment.files.protect);
        let lifts = names.filter(|w| w.value.verdict == Verdict::Lifted || w.value.holds.is_some());
        let lines: Vec<u32> = lifts.filter_map(|wish| wish.origin.line()).collect();
        for line in lines {
            let at = self.start_of(line);
            self.problem(
                at..at,
                "a pattern that lifts, under a condition on ${workspace}",
                "such a part may only forbid",
            );
        }
    }
}
