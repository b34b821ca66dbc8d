//! A session that begins while another one lives, in the same working copy. What it finds of tracked names may be that one's
//! work, which is put back or moved away when *that* one ends: to remember it as what was there before would be to bring it
//! back when this one ends. So what an earlier session remembers of a file counts for this one as well.

#![forbid(unsafe_code)]

use super::baseline::{Baseline, Content, Kept};
use super::search::Kinds;
use crate::plan::names::{NameKind, Names};
use crate::plan::rung::Rung;
use crate::session::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// What a session that has not been settled remembers.
pub struct Earlier {
    names: Names,
    baseline: Baseline,
    rung: Rung,
}

/// The sessions that may have changed files of these names and are not settled yet, oldest first, and what could not be read of
/// them. To be asked before the files are looked at: one that is settled in between has put them right by then.
#[must_use]
pub fn earlier(session: &Session, names: &Names) -> (Vec<Earlier>, Vec<String>) {
    let mut all = Vec::new();
    let mut lines = Vec::new();
    let roots: BTreeSet<&Path> = (names.rules.iter())
        .filter(|rule| rule.kind != NameKind::Hide)
        .map(|rule| rule.root.path())
        .collect();
    for (id, dir) in session.other_unsettled() {
        // A user may have hundreds of them elsewhere, and a record takes a millisecond.
        if !Baseline::may_reach(dir.as_fd(), &roots) {
            continue;
        }
        match (session.other(&id), Baseline::read(dir.as_fd())) {
            (Ok(record), Some(baseline)) => all.push(Earlier {
                names: record.plan.names,
                baseline,
                rung: record.plan.standing.rung,
            }),
            // Its command does not run yet.
            (_, None) => {}
            (Err(e), Some(_)) => lines.push(format!(
                "session {} goes on, and what it has changed of protected files cannot be told: {e}; this one may bring it back after its end, unless that one ends last",
                id.as_str()
            )),
        }
    }
    (all, lines)
}

impl Earlier {
    /// Could this session change a name of that kind? What is frozen it could only where there are no mounts, or some that can be
    /// left.
    fn changes(&self, kind: NameKind) -> bool {
        match kind {
            NameKind::Track => true,
            NameKind::Freeze => matches!(self.rung, Rung::Landlock | Rung::Nested),
            NameKind::Hide => false,
        }
    }

    /// Did it not exist when this session began, so that who made it is either its box or, as far as anybody can tell, might be?
    fn may_have_made(&self, kinds: &Kinds, file: &Path) -> bool {
        let writable = |dir: &crate::plan::OsText| file.starts_with(dir.path());
        self.baseline.left_out == 0
            && (self.rung == Rung::Landlock || self.baseline.writable.iter().any(writable))
            && kinds.of(file).is_some_and(|kind| self.changes(kind))
    }
}

impl Baseline {
    /// Puts what earlier sessions remember in the place of what is there now. The oldest one knows best.
    pub fn inherit(&mut self, names: &Names, earlier: &[Earlier]) {
        if earlier.is_empty() {
            return;
        }
        let ours = Kinds::new(names);
        let mut known: BTreeMap<PathBuf, Kept> = BTreeMap::new();
        for session in earlier {
            let theirs = Kinds::new(&session.names);
            self.files.retain(|kept| {
                let file = kept.file.path();
                known.contains_key(file)
                    || session.baseline.of(file).is_some()
                    || !session.may_have_made(&theirs, file)
            });
            for kept in &session.baseline.files {
                let file = kept.file.path();
                let is_ours = ours.of(file).is_some_and(|kind| kind == kept.kind);
                if is_ours && session.changes(kept.kind) && !known.contains_key(file) {
                    let copy = self.copy_of(&session.baseline, kept);
                    known.insert(file.to_owned(), copy);
                }
            }
        }
        for repository in &mut self.repositories {
            for theirs in earlier
                .iter()
                .filter_map(|session| session.baseline.repository(repository.dir.path()))
            {
                let moved = repository.refs.iter();
                let moved = moved.filter(|(name, id)| theirs.refs.get(*name) != Some(*id));
                repository
                    .beside
                    .extend(moved.map(|(name, id)| (name.clone(), id.clone())));
                repository.distrust.before.extend(theirs.trusted());
            }
        }
        self.files
            .retain(|kept| !known.contains_key(kept.file.path()));
        self.files.extend(known.into_values());
    }

    /// An entry of another baseline, with its bytes here. Its stamp is the one of then: a file that is another one now is compared.
    fn copy_of(&mut self, other: &Baseline, kept: &Kept) -> Kept {
        let mut copy = kept.clone();
        if let (Content::File { at, .. }, Some(bytes)) = (&mut copy.content, other.bytes(kept)) {
            *at = (self.bytes.len(), bytes.len());
            self.bytes.extend(bytes);
        }
        copy
    }
}
