//! Whether a content was there before: in what the references of the start name, or in a commit behind them.

#![forbid(unsafe_code)]

use super::{Known, Look, Told};
use crate::keeper::history::reader::{Bytes, Id, Missing, Reader};
use std::collections::{HashMap, HashSet, VecDeque};

/// Commits in which a content is looked for; one that is further back counts as nobody's.
const BACK: usize = 2_000;
/// How far back a content is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::keeper) enum Back {
    /// What the references name themselves.
    Tips,
    /// Everything that is reachable from them.
    History,
}

/// Where nothing is asked of rules and of times.
struct Nothing;

impl Known for Nothing {
    fn had(&mut self, _: &Id) -> bool {
        false
    }
    fn is_protected(&mut self, _: &[u8]) -> bool {
        false
    }
    fn is_hidden(&mut self, _: &[u8]) -> bool {
        false
    }
}

fn look<'a, B: Bytes>(reader: &'a mut Reader<B>, nothing: &'a mut Nothing) -> Look<'a, B, Nothing> {
    Look {
        reader,
        known: nothing,
        commits: HashMap::new(),
        trees: Vec::new(),
        told: Told::default(),
        seen: HashSet::new(),
    }
}

/// What a commit has under that path.
pub(in crate::keeper::history) fn at<B: Bytes>(
    reader: &mut Reader<B>,
    commit: Option<Id>,
    path: &[u8],
) -> Option<Id> {
    let mut nothing = Nothing;
    let mut look = look(reader, &mut nothing);
    let commit = look.peel(commit?).ok()??;
    let tree = look.commit(&commit).ok()?.tree;
    look.entry(tree, path).ok()?
}

/// Has one of these commits that content under that path; or, without a content, nothing at all, and the one that is checked
/// out neither?
pub(in crate::keeper::history) fn named<B: Bytes>(
    reader: &mut Reader<B>,
    tips: &[Id],
    head: Option<Id>,
    path: &[u8],
    content: Option<&Id>,
    back: Back,
) -> bool {
    let mut nothing = Nothing;
    let mut look = look(reader, &mut nothing);
    let mut has = |tip: Id| {
        let Ok(Some(commit)) = look.peel(tip) else {
            return false;
        };
        let Ok(tree) = look.commit(&commit).map(|commit| commit.tree) else {
            return false;
        };
        match look.entry(tree, path) {
            Ok(found) => found.as_ref() == content,
            Err(_) => false,
        }
    };
    let checked_out = content.is_some() || head.is_some_and(&mut has);
    if checked_out && tips.iter().any(|tip| has(*tip)) {
        return true;
    }
    match content {
        Some(content) if back == Back::History => look.was_ever_there(tips, path, content),
        _ => false,
    }
}

/// Has one of these commits, or the one that was checked out, a directory under that path? Of the others those that were pruned say
/// nothing; that one, if it cannot be read, might have had it.
pub(in crate::keeper::history) fn stood<B: Bytes>(
    reader: &mut Reader<B>,
    tips: &[Id],
    head: Option<Id>,
    path: &[u8],
) -> bool {
    let mut nothing = Nothing;
    let mut look = look(reader, &mut nothing);
    let mut has = |tip: Id| {
        let Some(commit) = look.peel(tip)? else {
            // A tag of something else.
            return Ok(false);
        };
        let tree = look.commit(&commit)?.tree;
        look.is_dir(tree, path)
    };
    head.is_some_and(|head| has(head) != Ok(false)) || tips.iter().any(|tip| has(*tip) == Ok(true))
}

impl<B: Bytes, K: Known> Look<'_, B, K> {
    /// Had a reference of the start this content under this name, or a commit behind one? What git's store did not have then
    /// needs no long search.
    pub(super) fn is_known(
        &mut self,
        old: &[Id],
        path: &[u8],
        content: &Id,
    ) -> Result<bool, Missing> {
        Ok(self.was_there(path, content)?
            || self.known.had(content) && self.was_ever_there(old, path, content))
    }

    /// Had a commit that is reachable from these that content under that name? That the store had it is not enough: an earlier
    /// session may have left it there, for this one to use.
    fn was_ever_there(&mut self, tips: &[Id], path: &[u8], content: &Id) -> bool {
        let mut queue: VecDeque<Id> = VecDeque::new();
        let mut seen: HashSet<Id> = HashSet::new();
        let mut trees: HashSet<Id> = HashSet::new();
        for tip in tips {
            if let Ok(Some(commit)) = self.peel(*tip)
                && seen.insert(commit)
            {
                queue.push_back(commit);
            }
        }
        for _ in 0..BACK {
            let Some(id) = queue.pop_front() else { break };
            let Ok((tree, parents)) = self
                .commit(&id)
                .map(|commit| (commit.tree, commit.parents.clone()))
            else {
                continue;
            };
            if trees.insert(tree) && self.entry(tree, path) == Ok(Some(*content)) {
                return true;
            }
            queue.extend(parents.into_iter().filter(|parent| seen.insert(*parent)));
        }
        false
    }
}
