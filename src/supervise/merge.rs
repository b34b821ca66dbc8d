//! Three-way merge of a state file: what the box changed since `base` goes into what the host has now. Pure.
//!
//! Objects merge by key at every depth. What only one side changed is that side's; where both changed a leaf the host
//! wins, since the box never saw the host's value. A deletion is a change. Names of [`never`](super::never) stay the
//! host's.

#![forbid(unsafe_code)]

use crate::supervise::json::{self, JsonError, Key, Style, Value};
use crate::supervise::never::{Holds, travels_not};
use std::collections::{BTreeSet, HashMap};

/// What comes of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The new text of the host's file; `None` if it stays as it is.
    pub text: Option<String>,
    /// Names of the list which the box had changed and which stayed the host's.
    pub withheld: BTreeSet<&'static str>,
}

/// Why there is no merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The box's file cannot be read: it is not written back.
    #[error("the box's copy is {0}")]
    Box(JsonError),
    /// The box's file is JSON but not an object.
    #[error("the box's copy is not a JSON object")]
    BoxKind,
    /// The host's file cannot be read: it is left as it is.
    #[error("the host's file is {0}")]
    Host(JsonError),
    /// The host's file is JSON but not an object.
    #[error("the host's file is not a JSON object")]
    HostKind,
}

/// Merges. `base` is what the box's copy was when it was last in step (`None`: there was no file), `boxed` what it is now,
/// `host` what the host has now (`None`: no file). A base that is not JSON counts as none: then every key of the box is
/// new, and every one that the host has is the host's.
///
/// # Errors
/// See [`MergeError`]; nothing is to be written then.
pub fn merge(
    base: Option<&str>,
    boxed: &str,
    host: Option<&str>,
    holds: Holds,
) -> Result<Merged, MergeError> {
    let new = json::parse(boxed).map_err(MergeError::Box)?;
    if !matches!(new, Value::Object(_)) {
        return Err(MergeError::BoxKind);
    }
    // An empty file is what a program leaves that was killed between open and write; it holds nothing to protect.
    let present = host.filter(|text| !text.trim().is_empty());
    let now = match present {
        Some(text) => json::parse(text).map_err(MergeError::Host)?,
        None => Value::Object(Vec::new()),
    };
    if !matches!(now, Value::Object(_)) {
        return Err(MergeError::HostKind);
    }
    let old = base.and_then(|text| json::parse(text).ok());
    let mut merger = Merger {
        holds,
        withheld: BTreeSet::new(),
    };
    let merged = merger
        .values(old.as_ref(), Some(&new), Some(&now))
        .unwrap_or(Value::Object(Vec::new()));
    Ok(Merged {
        text: (merged != now).then(|| json::write(&merged, &Style::of(present.unwrap_or(boxed)))),
        withheld: merger.withheld,
    })
}

type Members<'a> = [(Key<'a>, Value<'a>)];

struct Merger {
    holds: Holds,
    withheld: BTreeSet<&'static str>,
}

impl Merger {
    /// What the host is to have where the box has `new`, the host `now`, and both had `old`.
    fn values<'a>(
        &mut self,
        old: Option<&Value<'a>>,
        new: Option<&Value<'a>>,
        now: Option<&Value<'a>>,
    ) -> Option<Value<'a>> {
        match (new, now) {
            (Some(Value::Object(new)), Some(Value::Object(now))) => {
                let old = match old {
                    Some(Value::Object(old)) => old.as_slice(),
                    _ => &[],
                };
                Some(Value::Object(self.members(old, new, now)))
            }
            // The box changed nothing, or the host changed it as well.
            _ if new == old || now != old => now.cloned(),
            // Only the box changed it, but as a whole: keys of the list cannot be told apart in it any more.
            _ if now.is_some_and(|now| self.listed(now)) => match (new, now) {
                // Deleted in the box: what may go goes, what must stay stays.
                (None, Some(Value::Object(now))) => {
                    let rest = self.members(now, &[], now);
                    (!rest.is_empty()).then_some(Value::Object(rest))
                }
                _ => now.cloned(),
            },
            _ => new.map(|new| self.stripped(new)),
        }
    }

    /// By key: the host's order, then what the box added, in the box's order.
    fn members<'a>(
        &mut self,
        old: &Members<'a>,
        new: &Members<'a>,
        now: &Members<'a>,
    ) -> Vec<(Key<'a>, Value<'a>)> {
        let (old, boxed, known) = (index(old), index(new), index(now));
        let mut out = Vec::with_capacity(now.len());
        for (key, value) in now {
            let theirs = boxed.get(key.name()).copied();
            let merged = match travels_not(key.name(), self.holds) {
                Some(name) => {
                    if theirs != old.get(key.name()).copied() {
                        self.withheld.insert(name);
                    }
                    Some(value.clone())
                }
                None => self.values(old.get(key.name()).copied(), theirs, Some(value)),
            };
            out.extend(merged.map(|value| (key.clone(), value)));
        }
        for (key, value) in new
            .iter()
            .filter(|(key, _)| !known.contains_key(key.name()))
        {
            let before = old.get(key.name()).copied();
            match travels_not(key.name(), self.holds) {
                Some(name) => {
                    if before != Some(value) {
                        self.withheld.insert(name);
                    }
                }
                None => out.extend(
                    self.values(before, Some(value), None)
                        .map(|value| (key.clone(), value)),
                ),
            }
        }
        out
    }

    /// The value without what is on the list.
    fn stripped<'a>(&mut self, value: &Value<'a>) -> Value<'a> {
        match value {
            Value::Leaf(text) => Value::Leaf(text),
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.stripped(item)).collect())
            }
            Value::Object(members) => {
                let mut out = Vec::with_capacity(members.len());
                for (key, value) in members {
                    match travels_not(key.name(), self.holds) {
                        Some(name) => {
                            self.withheld.insert(name);
                        }
                        None => out.push((key.clone(), self.stripped(value))),
                    }
                }
                Value::Object(out)
            }
        }
    }

    /// Is anything of the list in it? Then it was withheld from the box's change.
    fn listed(&mut self, value: &Value<'_>) -> bool {
        match value {
            Value::Leaf(_) => false,
            // Not short-circuiting: the names are wanted.
            Value::Array(items) => items.iter().filter(|item| self.listed(item)).count() > 0,
            Value::Object(members) => members.iter().fold(false, |found, (key, value)| {
                let here = travels_not(key.name(), self.holds);
                self.withheld.extend(here);
                here.is_some() || self.listed(value) || found
            }),
        }
    }
}

fn index<'v, 'a>(members: &'v Members<'a>) -> HashMap<&'v [u8], &'v Value<'a>> {
    members
        .iter()
        .map(|(key, value)| (key.name(), value))
        .collect()
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
