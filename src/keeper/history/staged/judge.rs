//! Which entries of an index are new, are about protected files, and have a content that nothing had. Pure: both indexes are
//! bytes, objects are read by [`Reader`]. The later index may be the agent's work.

#![forbid(unsafe_code)]

use super::super::reader::{Bytes, Id, Reader};
use super::super::walk::{self, Back, Known};
use crate::plan::names::index::{self, Format};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What is told of one index.
pub(super) const FINDINGS: usize = 50;
/// Files that git does not look at: a sparse checkout has as many as are left out of it.
const UNSEEN: usize = 20_000;

/// The index as it is, and what else is known.
pub(super) struct Now<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) format: Format,
    /// Contents of the working copy when the session began.
    pub(super) own: &'a HashMap<Vec<u8>, Vec<u8>>,
    /// What the references named then.
    pub(super) tips: &'a [Id],
    /// What is checked out now: what that has is told of as a commit.
    pub(super) head: Option<Id>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) content: BTreeSet<Vec<u8>>,
    pub(super) deleted: BTreeSet<Vec<u8>>,
    /// Of whatever file: git does not look whether it changed, and did before.
    pub(super) unseen: BTreeSet<Vec<u8>>,
    /// Why there may be more.
    pub(super) unknown: Option<String>,
}

impl Told {
    fn more(&mut self, why: &str) {
        self.unknown.get_or_insert_with(|| why.to_owned());
    }
}

/// The entries of an index.
#[derive(Default)]
struct Listed {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    unseen: BTreeSet<Vec<u8>>,
    whole: bool,
    split: bool,
}

fn listed(bytes: &[u8], format: Format) -> Listed {
    let mut listed = Listed::default();
    if bytes.is_empty() {
        listed.whole = true;
        return listed;
    }
    let (entries, marked) = (&mut listed.entries, &mut listed.unseen);
    let read = index::marked(bytes, format, &mut |path, id, unseen| {
        entries.push((path.to_vec(), id.to_vec()));
        if unseen && marked.len() < UNSEEN {
            marked.insert(path.to_vec());
        }
    });
    listed.whole = read.is_some();
    listed.split = matches!(read, Some(Some(_)));
    listed
}

/// Compares.
pub(super) fn judge<B: Bytes>(
    reader: &mut Reader<B>,
    rules: &mut impl Known,
    was: &[u8],
    now: &Now<'_>,
) -> Told {
    let mut told = Told::default();
    let (was, is) = (listed(was, now.format), listed(now.bytes, now.format));
    if !is.whole {
        told.more("it is in a format that is not read");
    }
    if is.split {
        told.more("it is split in two: core.splitIndex");
    }
    if is.unseen.len() >= UNSEEN {
        told.more("git is told not to look at too many files");
    }
    // Protected ones are compared in the end, whatever git is told.
    let unseen = is.unseen.difference(&was.unseen);
    told.unseen = unseen
        .filter(|path| !rules.is_protected(path))
        .cloned()
        .collect();
    let known: HashSet<&(Vec<u8>, Vec<u8>)> = was.entries.iter().collect();
    for entry in is.entries.iter().filter(|entry| !known.contains(entry)) {
        let (path, id) = entry;
        if told.content.len() >= FINDINGS {
            told.more("there is more");
            break;
        }
        let known = Id::of(id);
        // A directory as a whole, as sparse checkouts have them.
        if let Some(dir) = path.strip_suffix(b"/") {
            if known.is_none() || walk::at(reader, now.head, dir) != known {
                told.more("it has directories as a whole (a sparse index)");
            }
            continue;
        }
        if !rules.is_protected(path) || now.own.get(path) == Some(id) {
            continue;
        }
        if let Some(id) = known {
            let back = if rules.had(&id) {
                Back::History
            } else {
                Back::Tips
            };
            if walk::at(reader, now.head, path) == Some(id)
                || walk::named(reader, now.tips, None, path, Some(&id), back)
            {
                continue;
            }
        }
        told.content.insert(path.clone());
    }
    if !is.whole || is.split {
        return told;
    }
    let there: HashSet<&[u8]> = is.entries.iter().map(|(path, _)| path.as_slice()).collect();
    for (path, _) in &was.entries {
        if !there.contains(path.as_slice())
            && told.deleted.len() < FINDINGS
            && rules.is_protected(path)
            && walk::at(reader, now.head, path).is_some()
        {
            told.deleted.insert(path.clone());
        }
    }
    told
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
