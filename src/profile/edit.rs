//! Adds one rule to `[network]` of a profile's text and changes nothing else of it: comments, order and indentation stay. Pure.
//! The text is not written anew from what was understood of it; the rule is put in at the place that the parser names,
//! and what comes of it must be the old profile with one rule more, else nothing is changed.

#![forbid(unsafe_code)]

use super::error::Diagnostic;
use super::schema::{Place, Role, parse};
use crate::plan::net::{Rule, Target};
use crate::policy::Fragment;
use crate::policy::egress::EgressWishes;
use crate::policy::{Origin, Wish};
use std::ops::Range;
use toml::de::{DeArray, DeTable};

/// The list that a rule is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `allow`.
    Allow,
    /// `deny`.
    Deny,
}

impl List {
    /// Its key.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            List::Allow => "allow",
            List::Deny => "deny",
        }
    }

    fn of(self, wishes: &EgressWishes) -> &[Wish<Rule>] {
        match self {
            List::Allow => &wishes.allow,
            List::Deny => &wishes.deny,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    /// The new text, and the line of the rule in it.
    Added {
        /// The text.
        text: String,
        /// From 1.
        line: u32,
    },
    /// The rule is there already.
    Known {
        /// The line, from 1.
        line: u32,
    },
}

/// Why nothing was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    /// The text is no profile.
    Invalid(Vec<Diagnostic>),
    /// A rule of the same text denies what is to be allowed, and is the stronger one.
    Denied {
        /// The rule.
        rule: String,
        /// Its line.
        line: u32,
    },
    /// It is written in a way that is not changed here (an inline table).
    ByHand,
}

/// Adds a rule, which has been read before. `label` is the file for people.
///
/// # Errors
/// [`EditError`].
pub fn add(
    text: &str,
    label: &str,
    role: Role,
    list: List,
    rule: &str,
) -> Result<Edited, EditError> {
    let read = |text: &str| {
        let parsed = parse(text, "", &Place::File(label.to_owned()), role);
        parsed
            .map(|parsed| parsed.fragment)
            .map_err(EditError::Invalid)
    };
    let before = read(text)?;
    let parsed = match list {
        List::Allow => Rule::allow(rule),
        List::Deny => Rule::deny(rule),
    }
    .map_err(|_| EditError::ByHand)?;
    // Also of what is there already: it is there in vain.
    if list == List::Allow {
        allowed_in_vain(&before, &parsed)?;
    }
    let known = list.of(&before.egress).iter();
    if let Some(wish) = known
        .into_iter()
        .find(|wish| same(list, &wish.value, &parsed))
    {
        let line = line(&wish.origin);
        return Ok(Edited::Known { line });
    }
    let new = insert(text, list.name(), rule).ok_or(EditError::ByHand)?;
    if !is_one_more(text, &new, list.name(), rule) {
        return Err(EditError::ByHand);
    }
    let after = read(&new)?;
    let added = list.of(&after.egress).last().ok_or(EditError::ByHand)?;
    Ok(Edited::Added {
        line: line(&added.origin),
        text: new,
    })
}

/// Says a rule what this one says? Of an `allow` without ports the usual ones are meant, of a `deny` all.
fn same(list: List, known: &Rule, new: &Rule) -> bool {
    let ports = match list {
        List::Allow => known.ports_or_default() == new.ports_or_default(),
        List::Deny => known.ports == new.ports,
    };
    known.to == new.to && known.marks == new.marks && ports
}

fn line(origin: &Origin) -> u32 {
    origin.line().unwrap_or(0)
}

/// In one source a deny is stronger than an allow: what it covers would be saved and still be refused.
fn allowed_in_vain(before: &Fragment, rule: &Rule) -> Result<(), EditError> {
    let covers = |deny: &&Wish<Rule>| {
        let about = deny.value.to == rule.to
            || match &rule.to {
                Target::Name(name) => deny.value.to.names(name),
                Target::Net(net) if net.is_single() => deny.value.to.contains(net.address),
                _ => false,
            };
        let ports = &deny.value.ports;
        about && (ports.is_empty() || rule.ports_or_default().iter().any(|p| ports.contains(p)))
    };
    match before.egress.deny.iter().find(covers) {
        Some(deny) => Err(EditError::Denied {
            rule: deny.value.to.to_string(),
            line: line(&deny.origin),
        }),
        None => Ok(()),
    }
}

/// Is the new text the old one with this rule at the end of the list?
fn is_one_more(old: &str, new: &str, list: &str, rule: &str) -> bool {
    let (Ok(mut old), Ok(new)) = (old.parse::<toml::Table>(), new.parse::<toml::Table>()) else {
        return false;
    };
    let empty = || toml::Value::Table(toml::Table::new());
    let network = old.entry("network").or_insert_with(empty);
    let items = network.as_table_mut().map(|table| {
        let empty = toml::Value::Array(Vec::new());
        table.entry(list).or_insert(empty)
    });
    match items.and_then(toml::Value::as_array_mut) {
        Some(items) => items.push(toml::Value::String(rule.to_owned())),
        None => return false,
    }
    old == new
}

/// The text with the rule in it.
fn insert(text: &str, list: &str, rule: &str) -> Option<String> {
    let value = toml::Value::String(rule.to_owned()).to_string();
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let table = DeTable::parse(text).ok()?;
    let array = get(table.get_ref(), "network")
        .and_then(|network| network.0.as_table())
        .and_then(|network| get(network, list));
    if let Some((array, span)) = array {
        return into_array(text, array.as_array()?, span, &value, newline);
    }
    if let Some(at) = after_header(text) {
        return Some(spliced(
            text,
            &[(at, format!("{list} = [{value}]{newline}"))],
        ));
    }
    let gap = match text {
        "" => "",
        text if text.ends_with('\n') => newline,
        _ => &format!("{newline}{newline}"),
    };
    Some(format!(
        "{text}{gap}[network]{newline}{list} = [{value}]{newline}"
    ))
}

fn get<'t, 'i>(
    table: &'t DeTable<'i>,
    name: &str,
) -> Option<(&'t toml::de::DeValue<'i>, Range<usize>)> {
    let mut entries = table.iter();
    let (_, value) = entries.find(|(key, _)| key.get_ref() == name)?;
    Some((value.get_ref(), value.span()))
}

/// Behind the line `[network]`. One in a text of several lines is found, too; then the comparison fails.
fn after_header(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let header = line.split('#').next().unwrap_or_default().trim();
        let inner = header
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if inner.is_some_and(|inner| inner.trim() == "network") && line.ends_with('\n') {
            return Some(at);
        }
    }
    None
}

/// Behind the last item, in the style of the list: on a line of its own where `]` has one.
fn into_array(
    text: &str,
    array: &DeArray<'_>,
    span: Range<usize>,
    value: &str,
    newline: &str,
) -> Option<String> {
    let close = span.end.checked_sub(1)?;
    let last = array.iter().last().map(toml::Spanned::span);
    let start = last.as_ref().map_or(span.start + 1, |last| last.end);
    let comma = comma(text, start..close);
    let line = text.get(..close)?.rfind('\n').map_or(0, |at| at + 1);
    let own_line = line > span.start && text.get(line..close)?.trim().is_empty();
    if !own_line {
        let (at, item) = match (&last, comma) {
            (None, _) => (span.start + 1, value.to_owned()),
            (Some(last), None) => (last.end, format!(", {value}")),
            (Some(_), Some(comma)) => (comma + 1, format!(" {value}")),
        };
        return Some(spliced(text, &[(at, item)]));
    }
    let indent = match &last {
        Some(last) => {
            let begin = text.get(..last.start)?.rfind('\n').map_or(0, |at| at + 1);
            let before = text.get(begin..last.start)?;
            before.get(..before.len() - before.trim_start().len())?
        }
        None => "    ",
    };
    let mut pieces = Vec::new();
    if last.is_some() && comma.is_none() {
        pieces.push((start, ",".to_owned()));
    }
    pieces.push((line, format!("{indent}{value},{newline}")));
    Some(spliced(text, &pieces))
}

/// Where the comma behind the last item is; comments may hold others.
fn comma(text: &str, range: Range<usize>) -> Option<usize> {
    let mut comment = false;
    for (at, c) in text.get(range.clone())?.char_indices() {
        match c {
            '#' => comment = true,
            '\n' => comment = false,
            ',' if !comment => return Some(range.start + at),
            _ => {}
        }
    }
    None
}

/// The text with these pieces put in, which are in order.
fn spliced(text: &str, pieces: &[(usize, String)]) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut from = 0;
    for (at, piece) in pieces {
        out.push_str(text.get(from..*at).unwrap_or_default());
        out.push_str(piece);
        from = *at;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
