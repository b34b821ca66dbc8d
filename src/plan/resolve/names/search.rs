//! What exists of the names that rules are about. A directory whose identity and times are what they were at an earlier
//! start holds the same names (the kernel sets its ctime, nobody can set it back), so of such a one only that is asked.

#![forbid(unsafe_code)]

use super::ahead::Ahead;
use super::memory::{Entry, Listed, Record, Stamp};
use crate::host::{FileType, Lookup};
use crate::plan::Kind;
use crate::plan::names::Decision;
use crate::plan::names::git::Shape;
use crate::plan::names::matcher::{Cursor, Matcher, heavy};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The deepest directory that is looked into.
const DEPTH: usize = 64;

/// The most entries that are looked at.
pub(super) const ENTRIES: u64 = 2_000_000;

/// A directory that was changed less than this before it was read may change again within the same tick of its clock (2 s on
/// the coarsest file systems): it is read again next time.
pub(super) const RACY: i128 = 2_000_000_000;

/// What a git directory of any name is looked at for, and `HEAD`, by which it is known again.
const GITS: [&str; 5] = ["HEAD", "config", "config.worktree", "commondir", "hooks"];

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::Dir => Kind::Dir,
        _ => Kind::File,
    }
}

/// A name that a rule is about.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub(super) path: PathBuf,
    pub(super) file_type: FileType,
    pub(super) decision: Decision,
}

/// A link that a rule is about, or that leads on where the rest of a pattern has to match.
pub(super) struct LinkHit {
    pub(super) path: PathBuf,
    pub(super) decision: Decision,
    pub(super) inside: Option<Cursor>,
}

/// One search with the rules of one root.
pub(super) struct Search<'a> {
    look: &'a dyn Lookup,
    matcher: &'a Matcher,
    now: i128,
    /// Who asks for the files of the directories that are read.
    pub(super) ahead: Option<Rc<Ahead>>,
    pub(super) hits: Vec<Hit>,
    pub(super) links: Vec<LinkHit>,
    /// Entries that may still be looked at.
    pub(super) left: u64,
    /// Directories that were read and not only recognised.
    pub(super) read: usize,
    /// All directories.
    pub(super) dirs: usize,
    /// Where the search ended although something could have been there.
    pub(super) ended: Option<PathBuf>,
}

impl<'a> Search<'a> {
    pub(super) fn new(look: &'a dyn Lookup, matcher: &'a Matcher, left: u64) -> Search<'a> {
        Search {
            look,
            matcher,
            now: look.now(),
            ahead: None,
            hits: Vec::new(),
            links: Vec::new(),
            left,
            read: 0,
            dirs: 0,
            ended: None,
        }
    }

    /// Looks through `dir`, which is at `cursor`. `old` is what an earlier search found there.
    pub(super) fn run(&mut self, dir: &Path, cursor: &Cursor, old: Option<Record>) -> Record {
        let mut path = dir.to_owned();
        self.dir(&mut path, cursor, old, 0)
    }

    fn dir(
        &mut self,
        path: &mut PathBuf,
        cursor: &Cursor,
        old: Option<Record>,
        depth: usize,
    ) -> Record {
        self.dirs += 1;
        let name = path.file_name().unwrap_or_default().as_bytes().to_vec();
        // Asked before the directory is read: what changes meanwhile is then seen as a change next time.
        let stamp = Stamp::of(self.look, path);
        let (old_stamp, entries, mut known) = match old {
            Some(old) => (old.stamp, old.entries, old.dirs),
            None => (None, Vec::new(), Vec::new()),
        };
        let fresh = old_stamp.is_some() && old_stamp == stamp;
        let (entries, dirs, listed) = if fresh {
            let dirs: Vec<Vec<u8>> = known.iter().map(|d| d.name.clone()).collect();
            (entries, dirs, None)
        } else {
            self.read(path, &name, cursor)
        };
        // Only a git directory has that entry: no rule is about it.
        let as_git = entries
            .iter()
            .any(|entry| entry.name == b"HEAD")
            .then(|| self.matcher.as_git(cursor, path));
        let cursor = as_git.as_ref().unwrap_or(cursor);
        for entry in &entries {
            self.entry(path, cursor, entry);
        }
        let mut records = Vec::with_capacity(dirs.len());
        for (number, dir) in dirs.into_iter().enumerate() {
            let Some(inside) = self.matcher.search(cursor, &name, &dir) else {
                continue;
            };
            // What is hidden as a whole is not looked into.
            if self.matcher.entry(cursor, &dir).hide.is_some() {
                continue;
            }
            path.push(OsStr::from_bytes(&dir));
            if depth >= DEPTH || self.left == 0 {
                self.ended.get_or_insert_with(|| path.clone());
            } else {
                // A fresh directory lists its directories in the order in which they are known.
                let at = match known.get(number) {
                    Some(record) if record.name == dir => Some(number),
                    _ => known.iter().position(|record| record.name == dir),
                };
                let old = at.and_then(|at| known.get_mut(at)).map(std::mem::take);
                records.push(self.dir(path, &inside, old, depth + 1));
            }
            path.pop();
        }
        let settled = stamp.filter(|s| s.changed.saturating_add(RACY) < self.now);
        Record {
            name,
            stamp: settled,
            entries,
            dirs: records,
            listed,
        }
    }

    /// The entries that matter, and the directories.
    fn read(
        &mut self,
        path: &Path,
        name: &[u8],
        cursor: &Cursor,
    ) -> (Vec<Entry>, Vec<Vec<u8>>, Option<Listed>) {
        self.read += 1;
        let (mut entries, mut dirs, mut count) = (Vec::new(), Vec::new(), 0u64);
        let (matcher, left) = (self.matcher, self.left);
        let inside = matcher.is_inside(cursor) && !cursor.is_spelled();
        let mut shape = Shape::default();
        let mut gits: Vec<Entry> = Vec::new();
        let (mut files, mut listed) = (Vec::new(), self.ahead.as_ref().map(|_| Listed::default()));
        let read = self.look.scan(path, &mut |entry, file_type, _| {
            count += 1;
            if count > left {
                return;
            }
            let bytes = entry.as_bytes();
            if let Some(listed) = &mut listed {
                match file_type {
                    FileType::File => files.push(bytes.to_vec()),
                    FileType::Dir => listed.dirs.push(bytes.to_vec()),
                    FileType::Symlink | FileType::Socket | FileType::Other => {}
                }
            }
            if file_type == FileType::Dir
                && (!heavy(name, bytes) || matcher.search(cursor, name, bytes).is_some())
            {
                dirs.push(bytes.to_vec());
            }
            shape.see(bytes);
            let kind = kind_of(file_type);
            let decided = matcher.entry_of(cursor, bytes, kind).is_any();
            let link = file_type == FileType::Symlink;
            // Links whose name continues a pattern are followed; a pattern that begins anywhere is continued by its head.
            if decided
                || link
                    && (inside
                        || matcher
                            .enter(cursor, bytes)
                            .is_some_and(|c| matcher.is_inside(&c)))
            {
                entries.push(Entry {
                    name: bytes.to_vec(),
                    file_type,
                });
            } else if GITS.iter().any(|known| known.as_bytes() == bytes) {
                gits.push(Entry {
                    name: bytes.to_vec(),
                    file_type,
                });
            }
        });
        if shape.is_git() {
            entries.extend(gits);
        }
        if count > left {
            self.ended.get_or_insert_with(|| path.to_owned());
        }
        self.left = left.saturating_sub(count);
        // One that could not be read as a whole is another's to look into.
        let mut listed = listed.filter(|_| read && count <= left);
        if let (Some(ahead), Some(listed)) = (&self.ahead, &mut listed) {
            listed.count = count;
            ahead.ask(path, files);
        }
        (entries, dirs, listed)
    }

    fn entry(&mut self, dir: &Path, cursor: &Cursor, entry: &Entry) {
        let kind = kind_of(entry.file_type);
        let decision = self.matcher.entry_of(cursor, &entry.name, kind);
        let path = dir.join(OsStr::from_bytes(&entry.name));
        if entry.file_type == FileType::Symlink {
            let parent = dir.file_name().unwrap_or_default().as_bytes();
            let inside = self.matcher.search(cursor, parent, &entry.name);
            self.links.push(LinkHit {
                path,
                decision,
                inside: inside.filter(|c| self.matcher.is_inside(c)),
            });
        } else if decision.is_any() {
            self.hits.push(Hit {
                path,
                file_type: entry.file_type,
                decision,
            });
        }
    }
}

/// Every name of a file below `dirs` whose inode is one of `wanted`: hard links, and what was moved since an earlier start.
/// Nothing is skipped. Stops when `enough` says so.
pub(super) fn by_inode(
    look: &dyn Lookup,
    dirs: &[PathBuf],
    wanted: &dyn Fn(u64) -> bool,
    left: &mut u64,
    found: &mut dyn FnMut(PathBuf, FileType) -> bool,
) {
    let mut todo: Vec<PathBuf> = dirs.to_vec();
    while let Some(dir) = todo.pop() {
        let mut hits: Vec<(PathBuf, FileType)> = Vec::new();
        look.scan(&dir, &mut |name, file_type, ino| {
            if *left == 0 {
                return;
            }
            *left -= 1;
            if wanted(ino) {
                hits.push((dir.join(name), file_type));
            }
            if file_type == FileType::Dir {
                todo.push(dir.join(name));
            }
        });
        for (path, file_type) in hits {
            if found(path, file_type) {
                return;
            }
        }
        if *left == 0 {
            return;
        }
    }
}
