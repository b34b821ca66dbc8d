//! What references came to name in a session, as far as protected files are concerned: commits that were not reachable when
//! it began, and in them contents of protected files that git did not have. Pure: reads objects by [`Reader`].

#![forbid(unsafe_code)]

mod back;

pub(in crate::keeper) use self::back::Back;
pub(super) use self::back::{at, named, stood};
use super::reader::{Bytes, Id, Kind, Missing, Reader};
use crate::plan::names::index::Format;
use crate::plan::text::hex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// New commits that are looked at for one reference; the rest is said to be unknown.
const COMMITS: usize = 1_000;
/// Commits that are read to find out which are new.
const WALK: usize = 20_000;
/// What is told of one repository.
const FINDINGS: usize = 50;
/// Trees that are compared at once.
const DEPTH: usize = 64;

/// A reference that names something else than at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) name: String,
    pub(super) old: Option<Id>,
    pub(super) new: Id,
}

/// What a session did to a protected file in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// A commit has a content that git did not have.
    Made,
    /// The reference names a commit in which the file is another one that git had.
    Differs,
    /// It names one without the file.
    Deleted,
    /// A commit has an empty file under a hidden name: what a box reads there.
    Emptied,
}

/// Is that the id of a file without content?
fn is_empty(id: &Id) -> bool {
    *id == Id::name(id.format(), "blob", b"")
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finding {
    pub(super) reference: String,
    pub(super) commit: String,
    pub(super) path: Vec<u8>,
    pub(super) how: How,
}

/// What a look came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) findings: Vec<Finding>,
    /// References of which not everything could be read.
    pub(super) unknown: Vec<String>,
}

/// What has to be known of the repository.
pub(super) trait Known {
    /// Did git have this object before the session?
    fn had(&mut self, id: &Id) -> bool;
    /// Is the file a protected one?
    fn is_protected(&mut self, path: &[u8]) -> bool;
    /// Is it one whose content is hidden?
    fn is_hidden(&mut self, path: &[u8]) -> bool;
}

struct Commit {
    tree: Id,
    parents: Vec<Id>,
    date: i64,
}

struct Entry {
    mode: Vec<u8>,
    id: Id,
}

impl Entry {
    fn is_tree(&self) -> bool {
        self.mode == b"40000"
    }
}

type Tree = BTreeMap<Vec<u8>, Entry>;

/// What a comparison of two trees found: the path, and the content where there is one.
type Changed = Vec<(Vec<u8>, Option<Id>)>;

/// Looks at every reference that moved.
pub(super) fn look<B: Bytes>(
    reader: &mut Reader<B>,
    known: &mut impl Known,
    moved: &[Moved],
    before: &[Id],
) -> Told {
    let mut look = Look {
        reader,
        known,
        commits: HashMap::new(),
        trees: Vec::new(),
        told: Told::default(),
        seen: HashSet::new(),
    };
    let mut old: Vec<Id> = before.to_vec();
    for moved in moved {
        if look.told.findings.len() >= FINDINGS || look.reference(moved, &old).is_err() {
            look.told.unknown.push(moved.name.clone());
        }
        // What one reference was told for is not told again for the next.
        old.push(moved.new);
    }
    look.told
}

struct Look<'a, B, K> {
    reader: &'a mut Reader<B>,
    known: &'a mut K,
    commits: HashMap<Id, Commit>,
    /// Trees of the start, where a content may have been under the same name: made when first asked for.
    trees: Vec<Id>,
    told: Told,
    seen: HashSet<(Vec<u8>, Option<Id>)>,
}

impl<B: Bytes, K: Known> Look<'_, B, K> {
    fn reference(&mut self, moved: &Moved, old: &[Id]) -> Result<(), Missing> {
        let Some(new) = self.peel(moved.new)? else {
            // A tag of a blob or a tree: nothing that is checked out.
            return Ok(());
        };
        let mut tips = Vec::new();
        for id in old {
            // What was there and is gone cannot be read, and bounds nothing.
            if let Ok(Some(commit)) = self.peel(*id) {
                tips.push(commit);
            }
        }
        if self.trees.is_empty() {
            for tip in tips.iter().take(64) {
                let tree = self.commit(tip)?.tree;
                self.trees.push(tree);
            }
        }
        for id in self.fresh(new, &tips)? {
            let (tree, parent) = {
                let commit = self.commit(&id)?;
                (commit.tree, commit.parents.first().copied())
            };
            let from = match parent {
                Some(parent) => Some(self.commit(&parent)?.tree),
                None => None,
            };
            let mut changed = Vec::new();
            self.compare(from, Some(tree), &mut Vec::new(), &mut changed, 0)?;
            for (path, content) in changed {
                let Some(content) = content else { continue };
                if !self.known.is_protected(&path) {
                    if !self.was_there(&path, &content)? {
                        self.tell(moved, &id, path, Some(content), How::Emptied);
                    }
                } else if !self.is_known(old, &path, &content)? {
                    self.tell(moved, &id, path, Some(content), How::Made);
                }
            }
        }
        let Some(before) = moved.old.and_then(|id| self.peel(id).ok().flatten()) else {
            return Ok(());
        };
        let (from, to) = (self.commit(&before)?.tree, self.commit(&new)?.tree);
        let mut changed = Vec::new();
        self.compare(Some(from), Some(to), &mut Vec::new(), &mut changed, 0)?;
        for (path, content) in changed {
            // What is hidden was told of above.
            if !self.known.is_protected(&path) {
                continue;
            }
            let how = match content {
                Some(_) => How::Differs,
                None => How::Deleted,
            };
            self.tell(moved, &new, path, content, how);
        }
        Ok(())
    }

    fn tell(&mut self, moved: &Moved, commit: &Id, path: Vec<u8>, content: Option<Id>, how: How) {
        if self.told.findings.len() < FINDINGS && self.seen.insert((path.clone(), content)) {
            self.told.findings.push(Finding {
                reference: moved.name.clone(),
                commit: hex(commit.bytes()),
                path,
                how,
            });
        }
    }

    /// The commit that an object is or that a tag names.
    fn peel(&mut self, mut id: Id) -> Result<Option<Id>, Missing> {
        for _ in 0..8 {
            if self.commits.contains_key(&id) {
                return Ok(Some(id));
            }
            let (kind, bytes) = self.reader.read(&id)?;
            match kind {
                Kind::Commit => {
                    let commit = commit(&bytes).ok_or(Missing::Object)?;
                    self.commits.insert(id, commit);
                    return Ok(Some(id));
                }
                Kind::Tag => {
                    let line = bytes.strip_prefix(b"object ").ok_or(Missing::Object)?;
                    id = first_line(line)
                        .and_then(Id::parse)
                        .ok_or(Missing::Object)?;
                }
                Kind::Tree | Kind::Blob => return Ok(None),
            }
        }
        Ok(None)
    }

    fn commit(&mut self, id: &Id) -> Result<&Commit, Missing> {
        if !self.commits.contains_key(id) {
            let (kind, bytes) = self.reader.read(id)?;
            let parsed = (kind == Kind::Commit).then(|| commit(&bytes)).flatten();
            self.commits.insert(*id, parsed.ok_or(Missing::Object)?);
        }
        self.commits.get(id).ok_or(Missing::Object)
    }

    /// Commits that are reachable from `tip` and from none of `old`: two colours on the way back, the youngest first, as
    /// git-rev-list(1) does it. That git had one says nothing: an earlier session may have left it, which no reference named.
    fn fresh(&mut self, tip: Id, old: &[Id]) -> Result<Vec<Id>, Missing> {
        const NEW: u8 = 1;
        const OLD: u8 = 2;
        let mut colours: HashMap<Id, u8> = HashMap::new();
        let mut queue: BTreeSet<(i64, Id)> = BTreeSet::new();
        for (id, colour) in old.iter().map(|id| (*id, OLD)).chain([(tip, NEW)]) {
            *colours.entry(id).or_default() |= colour;
            queue.insert((self.commit(&id)?.date, id));
        }
        let mut done: Vec<Id> = Vec::new();
        let mut read = 0;
        while queue
            .iter()
            .any(|(_, id)| colours.get(id).is_some_and(|colour| *colour == NEW))
        {
            let Some((_, id)) = queue.pop_last() else {
                break;
            };
            let colour = colours.get(&id).copied().unwrap_or(OLD);
            read += 1;
            if read > WALK || done.len() > COMMITS {
                return Err(Missing::Bounded);
            }
            if colour == NEW {
                done.push(id);
            }
            let parents = match self.commit(&id) {
                Ok(commit) => commit.parents.clone(),
                // A shallow clone ends somewhere; what the agent made does not.
                Err(_) if colour & OLD != 0 => continue,
                Err(missing) => return Err(missing),
            };
            for parent in parents {
                let known = colours.get(&parent).copied().unwrap_or(0);
                if known | colour == known {
                    continue;
                }
                colours.insert(parent, known | colour);
                match self.commit(&parent) {
                    Ok(commit) => {
                        queue.insert((commit.date, parent));
                    }
                    Err(_) if colour & OLD != 0 => {}
                    Err(missing) => return Err(missing),
                }
            }
        }
        done.retain(|id| colours.get(id) == Some(&NEW));
        Ok(done)
    }

    fn tree(&mut self, id: &Id) -> Result<Tree, Missing> {
        let (kind, bytes) = self.reader.read(id)?;
        (kind == Kind::Tree)
            .then(|| tree(&bytes, id.format()))
            .flatten()
            .ok_or(Missing::Object)
    }

    /// Protected files that differ, and hidden ones that are empty. Directories that are the same in both are not read.
    fn compare(
        &mut self,
        from: Option<Id>,
        to: Option<Id>,
        path: &mut Vec<u8>,
        changed: &mut Changed,
        depth: usize,
    ) -> Result<(), Missing> {
        if from == to {
            return Ok(());
        }
        if depth > DEPTH {
            return Err(Missing::Bounded);
        }
        let old = from.map_or_else(|| Ok(Tree::new()), |id| self.tree(&id))?;
        let new = to.map_or_else(|| Ok(Tree::new()), |id| self.tree(&id))?;
        let names: BTreeSet<&Vec<u8>> = old.keys().chain(new.keys()).collect();
        for name in names {
            let (was, is) = (old.get(name), new.get(name));
            let same = |a: &Entry, b: &Entry| a.id == b.id && a.mode == b.mode;
            if was.zip(is).is_some_and(|(a, b)| same(a, b)) {
                continue;
            }
            let length = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(name);
            let dir = |entry: Option<&Entry>| entry.filter(|e| e.is_tree()).map(|e| e.id);
            if dir(was).is_some() || dir(is).is_some() {
                self.compare(dir(was), dir(is), path, changed, depth + 1)?;
            }
            let file = |entry: Option<&Entry>| entry.filter(|e| !e.is_tree()).map(|e| e.id);
            let matters = self.known.is_protected(path)
                || file(is).is_some_and(|id| is_empty(&id)) && self.known.is_hidden(path);
            if (file(was).is_some() || file(is).is_some()) && matters {
                changed.push((path.clone(), file(is)));
            }
            path.truncate(length);
        }
        Ok(())
    }

    /// Had one of the references of the start this content under this name? What was packed anew meanwhile is young for
    /// the kernel and old all the same.
    fn was_there(&mut self, path: &[u8], content: &Id) -> Result<bool, Missing> {
        for root in self.trees.clone() {
            if self.entry(root, path)? == Some(*content) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a tree has under a path.
    fn entry(&mut self, root: Id, path: &[u8]) -> Result<Option<Id>, Missing> {
        let mut at = root;
        let mut names = path.split(|byte| *byte == b'/').peekable();
        while let Some(name) = names.next() {
            let tree = self.tree(&at)?;
            match tree.get(name) {
                Some(entry) if names.peek().is_none() || entry.is_tree() => at = entry.id,
                _ => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// Is that path a directory of its own? A submodule is none.
    fn is_dir(&mut self, root: Id, path: &[u8]) -> Result<bool, Missing> {
        let mut at = root;
        for name in path.split(|byte| *byte == b'/') {
            match self.tree(&at)?.get(name) {
                Some(entry) if entry.is_tree() => at = entry.id,
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.split(|byte| *byte == b'\n').next()
}

/// The lines of a commit that say where it is from.
fn commit(bytes: &[u8]) -> Option<Commit> {
    let mut commit = Commit {
        tree: Id::parse(first_line(bytes.strip_prefix(b"tree ")?)?)?,
        parents: Vec::new(),
        date: 0,
    };
    for line in bytes.split(|byte| *byte == b'\n').skip(1) {
        if let Some(id) = line.strip_prefix(b"parent ") {
            commit.parents.push(Id::parse(id)?);
        } else if let Some(who) = line.strip_prefix(b"committer ") {
            let words = who.rsplit(|byte| *byte == b' ');
            let date = words
                .into_iter()
                .nth(1)
                .and_then(|w| std::str::from_utf8(w).ok());
            commit.date = date.and_then(|d| d.parse().ok()).unwrap_or(0);
            break;
        } else if line.is_empty() {
            break;
        }
    }
    Some(commit)
}

/// `MODE NAME\0ID`, again and again.
fn tree(mut bytes: &[u8], format: Format) -> Option<Tree> {
    let length = format.length();
    let mut tree = Tree::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|byte| *byte == b' ')?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let (mode, name) = (bytes.get(..blank)?, bytes.get(blank + 1..end)?);
        let id = Id::of(bytes.get(end + 1..end + 1 + length)?)?;
        tree.insert(
            name.to_vec(),
            Entry {
                mode: mode.to_vec(),
                id,
            },
        );
        bytes = bytes.get(end + 1 + length..)?;
    }
    Some(tree)
}
