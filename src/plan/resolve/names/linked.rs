//! The search for files with more than one name. Nothing is left out of it: the usual ones are in `node_modules`, `.venv` and
//! `.git/objects`. A directory that did not change since an earlier start is not read again; that a file in it was given a name
//! elsewhere meanwhile does not change the directory, so every [`FULL`] all of them are read.

#![forbid(unsafe_code)]

use super::super::expand::{same, within};
use super::super::scene::Scene;
use super::ahead::{Ahead, matter};
use super::aliases::memory_of;
use super::memory::{Entry, LARGEST, Memory, Record, Stamp};
use super::search::{ENTRIES, RACY};
use crate::host::{FileType, Lookup, Stat};
use crate::plan::links::UNFINISHED;
use crate::plan::{Access, Kind};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A deeper directory is taken for an attempt to hide something: no path leads there.
const DEPTH: usize = 256;

/// And a longer path cannot be looked up (PATH_MAX).
const LONG: usize = 3_800;

/// Is it so deep that nothing below it is looked at?
pub(super) fn too_deep(path: &Path) -> bool {
    path.as_os_str().len() > LONG || path.components().count() > DEPTH
}

/// How long what an earlier start found may be believed, in nanoseconds.
const FULL: i128 = 3_600_000_000_000;

/// How many directories are named.
/// A file with more than one name.
pub(super) struct Linked {
    pub(super) path: PathBuf,
    pub(super) stat: Stat,
}

/// The names in a directory.
struct Listing {
    files: Vec<Vec<u8>>,
    dirs: Vec<Vec<u8>>,
}

/// One search of one tree.
struct Search<'a> {
    look: &'a dyn Lookup,
    /// Who asks for the files of what is read.
    ahead: Option<Rc<Ahead>>,
    uid: u32,
    now: i128,
    linked: Vec<Linked>,
    stale: Vec<PathBuf>,
    left: u64,
    /// Directories that were read and not only recognised.
    read: usize,
    /// A directory of the user's that could not be looked into.
    shut: Option<PathBuf>,
}

impl Search<'_> {
    /// `seen` is what the search for names, a moment ago, found there.
    fn dir(
        &mut self,
        path: &mut PathBuf,
        old: Option<Record>,
        seen: Option<&Record>,
        depth: usize,
    ) -> Record {
        let name = path.file_name().unwrap_or_default().as_bytes().to_vec();
        let stamp = seen
            .and_then(|seen| seen.stamp)
            .or_else(|| Stamp::of(self.look, path));
        let mut out = Record {
            name,
            ..Record::default()
        };
        let (old_stamp, entries, mut known) = match old {
            Some(old) => (old.stamp, old.entries, old.dirs),
            None => (None, Vec::new(), Vec::new()),
        };
        let fresh = old_stamp.is_some() && old_stamp == stamp;
        let listed = seen.and_then(|seen| seen.listed.as_ref());
        let (files, dirs) = if fresh {
            let dirs = known.iter().map(|dir| dir.name.clone()).collect();
            let files: Vec<_> = entries.into_iter().map(|e| e.name).collect();
            let matter = matter(self.look, path, &files);
            out.entries = self.hits(path, matter);
            (Vec::new(), dirs)
        } else if let (Some(listed), Some(_)) = (listed, &self.ahead) {
            self.read += 1;
            self.left = self.left.saturating_sub(listed.count);
            (Vec::new(), listed.dirs.clone())
        } else {
            match self.read(path) {
                Some(Listing { files, dirs }) => (files, dirs),
                None => {
                    // Whose it is not, he cannot open either; and it may be gone by now.
                    let long = path.as_os_str().len() > LONG;
                    if long
                        || self
                            .look
                            .identity(path)
                            .is_some_and(|id| id.uid == self.uid)
                    {
                        self.shut.get_or_insert_with(|| path.clone());
                    }
                    return out;
                }
            }
        };
        match &self.ahead {
            Some(ahead) => ahead.ask(path, files),
            None if files.is_empty() => {}
            None => {
                let matter = matter(self.look, path, &files);
                out.entries = self.hits(path, matter);
            }
        }
        let mut seen_dirs = seen.map_or(&[][..], |seen| &seen.dirs);
        for (number, dir) in dirs.into_iter().enumerate() {
            path.push(OsStr::from_bytes(&dir));
            // Both list a directory in its own order, and names leave out some: what is before one is over.
            let at = seen_dirs.iter().position(|record| record.name == dir);
            let seen = at.and_then(|at| seen_dirs.get(at));
            if let Some(rest) = at.and_then(|at| seen_dirs.get(at + 1..)) {
                seen_dirs = rest;
            }
            if depth >= DEPTH {
                self.shut.get_or_insert_with(|| path.clone());
            } else if self.left > 0 {
                let at = match known.get(number) {
                    Some(record) if record.name == dir => Some(number),
                    _ => known.iter().position(|record| record.name == dir),
                };
                let old = at.and_then(|at| known.get_mut(at)).map(std::mem::take);
                out.dirs.push(self.dir(path, old, seen, depth + 1));
            }
            path.pop();
        }
        out.stamp = stamp.filter(|s| s.changed.saturating_add(RACY) < self.now);
        out
    }

    /// Takes note of what matters in a directory; what to remember of it.
    fn hits(&mut self, dir: &Path, matter: Vec<(Vec<u8>, Stat)>) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(matter.len());
        for (name, stat) in matter {
            let path = dir.join(OsStr::from_bytes(&name));
            if name.starts_with(UNFINISHED.as_bytes()) {
                self.stale.push(path);
            } else {
                self.linked.push(Linked { path, stat });
            }
            entries.push(Entry {
                name,
                file_type: FileType::File,
            });
        }
        entries
    }

    /// Puts what the other thread was told into what is remembered.
    fn fill(
        &mut self,
        path: &mut PathBuf,
        record: &mut Record,
        hits: &mut HashMap<PathBuf, Vec<(Vec<u8>, Stat)>>,
    ) {
        if hits.is_empty() {
            return;
        }
        if let Some(matter) = hits.remove(path) {
            record.entries = self.hits(path, matter);
        }
        for dir in &mut record.dirs {
            path.push(OsStr::from_bytes(&dir.name));
            self.fill(path, dir, hits);
            path.pop();
        }
    }

    /// The files of a directory, and its directories. `None` if it cannot be read.
    fn read(&mut self, path: &Path) -> Option<Listing> {
        self.read += 1;
        let (mut files, mut dirs, mut count) = (Vec::new(), Vec::new(), 0u64);
        let left = self.left;
        let read = self.look.scan(path, &mut |entry, file_type, _| {
            count += 1;
            if count > left {
                return;
            }
            match file_type {
                FileType::File => files.push(entry.as_bytes().to_vec()),
                FileType::Dir => dirs.push(entry.as_bytes().to_vec()),
                FileType::Symlink | FileType::Socket | FileType::Other => {}
            }
        });
        self.left = left.saturating_sub(count);
        read.then_some(Listing { files, dirs })
    }
}

/// What a search of all trees found.
#[derive(Default)]
pub(super) struct Found {
    /// Where it looked.
    pub(super) roots: Vec<PathBuf>,
    pub(super) linked: Vec<Linked>,
    pub(super) stale: Vec<PathBuf>,
    pub(super) shut: Option<PathBuf>,
    pub(super) bounded: bool,
    /// Something was believed and not read.
    pub(super) believed: bool,
}

/// The host's directories that the box may write, but for what is the box's own.
fn roots(scene: &Scene<'_>) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = Vec::new();
    for (_, shown) in scene.tree.binds().iter() {
        let wanted = shown.kind == Kind::Dir
            && shown.access == Access::Write
            && shown.owner.is_some()
            && !scene.is_private(&shown.source);
        if wanted && !roots.iter().any(|root| within(&shown.source, root)) {
            roots.retain(|root| !within(root, &shown.source));
            roots.push(shown.source.clone());
        }
    }
    roots
}

/// Whether what an earlier start found may be believed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Memory,
    Nothing,
}

/// A search that has begun: what is remembered of its roots, and who asks for files where that is nothing.
pub(super) struct Begun {
    roots: Vec<(PathBuf, Option<Memory>)>,
    ahead: Option<Rc<Ahead>>,
    now: i128,
}

impl Begun {
    pub(super) fn new(scene: &Scene<'_>) -> Begun {
        Begun::of(scene, Trust::Memory)
    }

    pub(super) fn of(scene: &Scene<'_>, trust: Trust) -> Begun {
        let now = scene.walk.look.now();
        let roots = roots(scene).into_iter();
        let roots: Vec<_> = roots
            .map(|root| {
                let memory = (trust == Trust::Memory).then(|| recalled(scene, &root, now));
                (root, memory.flatten())
            })
            .collect();
        let unknown = roots.iter().any(|(_, memory)| memory.is_none());
        let ahead = unknown.then(|| Ahead::new(scene.walk.look)).flatten();
        let ahead = ahead.map(Rc::new);
        Begun { roots, ahead, now }
    }

    /// Who is to be told of what is read below that root.
    pub(super) fn ahead_of(&self, root: &Path) -> Option<Rc<Ahead>> {
        let mut roots = self.roots.iter();
        let unknown = roots.any(|(other, memory)| memory.is_none() && same(other, root));
        self.ahead.clone().filter(|_| unknown)
    }
}

/// Trees as they were a moment ago, by their roots: who asks of the same directories need not ask again.
#[derive(Default)]
pub(in super::super) struct Searched {
    pub(super) trees: Vec<(PathBuf, Record)>,
    /// The search for hard links, whose answers are waited for in the end.
    pub(super) begun: Option<Begun>,
}

impl Searched {
    fn tree(&self, root: &Path) -> Option<&Record> {
        let found = self.trees.iter().find(|(other, _)| same(other, root));
        found.map(|(_, tree)| tree)
    }
}

/// What an earlier start found below a root.
fn recalled(scene: &Scene<'_>, root: &Path, now: i128) -> Option<Memory> {
    let bytes = scene.walk.look.recall(&memory_of(scene, "links", root));
    let memory = Memory::read(&bytes.filter(|bytes| bytes.len() <= LARGEST)?)?;
    // A clock that was set back makes it neither young nor old: it is read anew.
    let young = (0..FULL).contains(&now.saturating_sub(i128::from(memory.rules)));
    (memory.root == root.as_os_str().as_bytes() && young && memory.tree.is_some()).then_some(memory)
}

/// Looks through all of them.
pub(super) fn search(scene: &Scene<'_>, begun: Begun, searched: &Searched) -> Found {
    let look = scene.walk.look;
    let Begun { roots, ahead, now } = begun;
    let mut found = Found::default();
    let mut search = Search {
        look,
        ahead: None,
        uid: scene.host.uid,
        now,
        linked: Vec::new(),
        stale: Vec::new(),
        left: ENTRIES,
        read: 0,
        shut: None,
    };
    let mut records = Vec::with_capacity(roots.len());
    for (root, memory) in roots {
        let known = memory.is_some();
        let (since, tree) = memory.map_or((None, None), |m| (Some(m.rules), m.tree));
        search.ahead = ahead.clone().filter(|_| !known);
        search.read = 0;
        let record = search.dir(&mut root.clone(), tree, searched.tree(&root), 0);
        found.believed |= known;
        // To write it costs more than to read a few directories anew.
        let worth = !known || search.read > 16;
        records.push((root, record, since, worth));
    }
    search.ahead = None;
    let hits = ahead.map(|ahead| ahead.finish()).unwrap_or_default();
    let mut hits: HashMap<PathBuf, Vec<(Vec<u8>, Stat)>> = hits
        .into_iter()
        .map(|hits| (hits.dir, hits.found))
        .collect();
    for (root, mut record, since, worth) in records {
        search.fill(&mut root.clone(), &mut record, &mut hits);
        if worth {
            let memory = Memory {
                root: root.as_os_str().as_bytes().to_vec(),
                rules: since.unwrap_or_else(|| u64::try_from(now).unwrap_or(0)),
                secrets: Vec::new(),
                tree: Some(record),
            };
            look.remember(&memory_of(scene, "links", &root), &memory.bytes());
        }
        found.roots.push(root);
    }
    found.bounded = search.left == 0;
    found.linked = search.linked;
    found.stale = search.stale;
    found.shut = search.shut;
    found.linked.extend(single_files(scene, &found.roots));
    found
}

/// Files that are granted for writing by themselves.
fn single_files(scene: &Scene<'_>, roots: &[PathBuf]) -> Vec<Linked> {
    let mut files: BTreeSet<PathBuf> = BTreeSet::new();
    for (_, shown) in scene.tree.binds().iter() {
        let inside = roots.iter().any(|root| within(&shown.source, root));
        if shown.kind == Kind::File
            && shown.access == Access::Write
            && shown.owner.is_some()
            && !inside
            && !scene.is_private(&shown.source)
        {
            files.insert(shown.source.clone());
        }
    }
    let linked = files.into_iter().filter_map(|path| {
        let stat = scene.walk.lstat(&path)?;
        (stat.file_type == FileType::File && stat.nlink > 1).then_some(Linked { path, stat })
    });
    linked.collect()
}
