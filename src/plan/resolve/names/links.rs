//! Files that the box may write and that have names outside of what it may write. The kernel counts the names of an inode
//! (`st_nlink`) and does not say where they are: those that are found here are counted, and where some are missing they are
//! elsewhere.
//!
//! Nothing is left out of this search: the usual ones are in `node_modules`, `.venv` and `.git/objects`. A directory that did
//! not change since an earlier start is not read again; that a file in it was given a name elsewhere meanwhile does not change
//! the directory, so every [`FULL`] all of them are read.

#![forbid(unsafe_code)]

use super::super::expand::{same, within};
use super::super::scene::{Scene, show};
use super::aliases::memory_of;
use super::memory::{Entry, LARGEST, Memory, Record, Stamp};
use super::search::{ENTRIES, RACY};
use super::{Searched, places};
use crate::host::{FileType, Lookup, Stat};
use crate::plan::links::UNFINISHED;
use crate::plan::names::matcher::heavy;
use crate::plan::names::{NameKind, Names};
use crate::plan::{Access, HardLinks, Kind, Links, OsText};
use crate::policy::Origin;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A deeper directory is taken for an attempt to hide something: no path leads there.
const DEPTH: usize = 256;

/// And a longer path cannot be looked up (PATH_MAX).
const LONG: usize = 3_800;

/// How long what an earlier start found may be believed, in nanoseconds.
const FULL: i128 = 3_600_000_000_000;

/// How many directories are named.
const NAMED: usize = 4;

/// A file with more than one name.
struct Linked {
    path: PathBuf,
    stat: Stat,
}

/// The names in a directory.
struct Listing {
    files: Vec<Vec<u8>>,
    dirs: Vec<Vec<u8>>,
}

/// One search of one tree.
struct Search<'a> {
    look: &'a dyn Lookup,
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
        let stamp = seen.and_then(|seen| seen.stamp).or_else(|| {
            self.look.identity(path).map(|id| Stamp {
                dev: id.dev,
                ino: id.ino,
                modified: id.modified,
                changed: id.changed,
            })
        });
        let mut out = Record {
            name,
            ..Record::default()
        };
        let (old_stamp, entries, mut known) = match old {
            Some(old) => (old.stamp, old.entries, old.dirs),
            None => (None, Vec::new(), Vec::new()),
        };
        let fresh = old_stamp.is_some() && old_stamp == stamp;
        let Listing { files, dirs } = if fresh {
            let dirs = known.iter().map(|dir| dir.name.clone()).collect();
            let files = entries.into_iter().map(|e| e.name).collect();
            Listing { files, dirs }
        } else {
            match self.read(path) {
                Some(read) => read,
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
        let names: Vec<&OsStr> = files.iter().map(|f| OsStr::from_bytes(f)).collect();
        for (number, stat) in self.look.lstat_each(path, &names) {
            let Some(name) = files.get(number) else {
                continue;
            };
            if stat.file_type != FileType::File {
                continue;
            }
            if name.starts_with(UNFINISHED.as_bytes()) {
                self.stale.push(path.join(OsStr::from_bytes(name)));
            } else if stat.nlink > 1 {
                self.linked.push(Linked {
                    path: path.join(OsStr::from_bytes(name)),
                    stat,
                });
            } else {
                continue;
            }
            out.entries.push(Entry {
                name: name.clone(),
                file_type: FileType::File,
            });
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
struct Found {
    linked: Vec<Linked>,
    stale: Vec<PathBuf>,
    shut: Option<PathBuf>,
    bounded: bool,
    /// Something was believed and not read.
    believed: bool,
}

/// Looks for them, and says what happens to them. The view is settled, and what is hidden or frozen is known.
pub(in super::super) fn links(scene: &mut Scene<'_>, names: &Names, searched: &Searched) -> Links {
    let wish = scene.policy.wishes.hard_links.clone();
    let (rule, origin) = wish.map_or_else(
        || {
            (
                HardLinks::default(),
                Origin::agentbox("unless a profile says otherwise"),
            )
        },
        |wish| (wish.value, wish.origin),
    );
    let mut out = Links::none(rule, origin);
    let roots = roots(scene);
    let mut found = search(scene, &roots, searched, Trust::Memory);
    let mut outside = outside(scene, names, &found);
    if found.believed && rule != HardLinks::Allow && !outside.is_empty() {
        // A name that was made in a directory which is known may be the one that is missing: nothing is done on hearsay.
        found = search(scene, &roots, searched, Trust::Nothing);
        outside = self::outside(scene, names, &found);
    }
    out.stale = found.stale.iter().map(|p| p.as_path().into()).collect();
    if let Some(shut) = found.shut.as_ref().filter(|_| rule != HardLinks::Allow) {
        scene.problem(
            format!(
                "{} cannot be looked into: it may hold files with hard links outside",
                show(shut)
            ),
            "make it readable or remove it; `--hard-links allow` starts without a look",
            Some(&out.origin),
        );
    }
    if found.bounded {
        scene.notices.push(format!(
            "files with hard links outside were looked for among {ENTRIES} entries only"
        ));
    }
    if outside.is_empty() && out.stale.is_empty() {
        return Links::default();
    }
    if outside.is_empty() {
        return out;
    }
    let mut inodes: BTreeSet<(u64, u64)> = BTreeSet::new();
    let mut trees: BTreeSet<PathBuf> = BTreeSet::new();
    for linked in &outside {
        if inodes.insert((linked.stat.dev, linked.stat.ino))
            && let Some(id) = scene.walk.look.identity(&linked.path)
        {
            out.bytes = out.bytes.saturating_add(id.size);
        }
        trees.insert(tree_of(&linked.path, &roots));
    }
    out.count = u64::try_from(outside.len()).unwrap_or(u64::MAX);
    out.trees = trees.iter().map(|dir| dir.as_path().into()).collect();
    out.files = outside.iter().map(|l| l.path.as_path().into()).collect();
    say(scene, &out);
    out
}

/// What was found, for people.
fn say(scene: &mut Scene<'_>, links: &Links) {
    let work = scene.workspace.real.clone();
    let name = |dir: &OsText| {
        let below = dir.path().strip_prefix(&work).unwrap_or(dir.path());
        if below.as_os_str().is_empty() {
            "the working copy".to_owned()
        } else {
            OsText::from(below).to_string()
        }
    };
    let mut trees: Vec<String> = links.trees.iter().take(NAMED).map(name).collect();
    let more = links.trees.len().saturating_sub(NAMED);
    if more > 0 {
        trees.push(format!("{more} more"));
    }
    let (has, each) = match links.count {
        1 => (
            "1 file has a hard link".to_owned(),
            "it becomes a copy of its own",
        ),
        many => (
            format!("{many} files have hard links"),
            "each becomes a copy of its own",
        ),
    };
    let what = format!(
        "{has} outside of what the box may write ({}; {})",
        trees.join(", "),
        size(links.bytes)
    );
    match links.rule {
        HardLinks::Copy => scene
            .notices
            .push(format!("{what}: {each}  (--hard-links allow leaves them)")),
        HardLinks::Allow => scene.notices.push(format!(
            "{what}: what the box writes there in place is changed outside, too"
        )),
        HardLinks::Refuse => scene.problem(
            format!("{what}: writing them in place would change what others use"),
            "`--hard-links copy` gives each a copy of its own, `--hard-links allow` leaves them",
            Some(&links.origin),
        ),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1024 / 1024),
    }
}

/// The host's directories that the box may write, but for what is the box's own.
fn roots(scene: &Scene<'_>) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = Vec::new();
    for (_, shown) in scene.tree.binds().iter() {
        let wanted = shown.kind == Kind::Dir
            && shown.access == Access::Write
            && shown.owner.is_some()
            && !within(&shown.source, &scene.private_root);
        if wanted && !roots.iter().any(|root| within(&shown.source, root)) {
            roots.retain(|root| !within(root, &shown.source));
            roots.push(shown.source.clone());
        }
    }
    roots
}

/// Whether what an earlier start found may be believed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Memory,
    Nothing,
}

fn search(scene: &Scene<'_>, roots: &[PathBuf], searched: &Searched, trust: Trust) -> Found {
    let look = scene.walk.look;
    let mut found = Found::default();
    let mut left = ENTRIES;
    for root in roots {
        let place = memory_of(scene, "links", root);
        let now = look.now();
        let memory = look
            .recall(&place)
            .filter(|_| trust == Trust::Memory)
            .filter(|bytes| bytes.len() <= LARGEST)
            .and_then(|bytes| Memory::read(&bytes))
            .filter(|memory| memory.root == root.as_os_str().as_bytes())
            // A clock that was set back makes it neither young nor old: it is read anew.
            .filter(|memory| (0..FULL).contains(&now.saturating_sub(i128::from(memory.rules))));
        let (since, tree) = memory.map_or((None, None), |m| (Some(m.rules), m.tree));
        let known = tree.is_some();
        let mut search = Search {
            look,
            uid: scene.host.uid,
            now,
            linked: Vec::new(),
            stale: Vec::new(),
            left,
            read: 0,
            shut: None,
        };
        let record = search.dir(&mut root.clone(), tree, searched.tree(root), 0);
        left = search.left;
        found.believed |= known;
        found.linked.append(&mut search.linked);
        found.stale.append(&mut search.stale);
        if found.shut.is_none() {
            found.shut = search.shut.take();
        }
        // To write it costs more than to read a few directories anew.
        if !known || search.read > 16 {
            let memory = Memory {
                root: root.as_os_str().as_bytes().to_vec(),
                rules: since.unwrap_or_else(|| u64::try_from(now).unwrap_or(0)),
                secrets: Vec::new(),
                tree: Some(record),
            };
            look.remember(&place, &memory.bytes());
        }
    }
    found.bounded = left == 0;
    found.linked.extend(single_files(scene, roots));
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
            && !within(&shown.source, &scene.private_root)
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

/// Those that have more names than were found, and that the box could write.
fn outside<'f>(scene: &Scene<'_>, names: &Names, found: &'f Found) -> Vec<&'f Linked> {
    let mut counts: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for linked in &found.linked {
        *counts
            .entry((linked.stat.dev, linked.stat.ino))
            .or_default() += 1;
    }
    let closed = |path: &Path| {
        names.found.iter().any(|name| {
            matches!(name.kind, NameKind::Hide | NameKind::Freeze) && within(path, name.host.path())
        })
    };
    let uid = scene.host.uid;
    let missing = found.linked.iter().filter(|linked| {
        let seen = counts.get(&(linked.stat.dev, linked.stat.ino));
        seen.is_none_or(|seen| *seen < linked.stat.nlink)
    });
    missing
        .filter(|linked| {
            // Another user's file that nobody else may write is the kernel's to refuse.
            let stat = &linked.stat;
            (uid == 0 || stat.uid == uid || stat.mode & 0o022 != 0) && !closed(&linked.path)
        })
        .filter(|linked| {
            places(scene, &linked.path)
                .iter()
                .any(|(_, _, access)| *access == Access::Write)
        })
        .collect()
}

/// The directory that stands for a file: the one that is usually full of them, else the first below the root.
fn tree_of(file: &Path, roots: &[PathBuf]) -> PathBuf {
    let Some(root) = roots.iter().find(|root| within(file, root)) else {
        return file.to_owned();
    };
    let mut dir = file.parent().unwrap_or(file);
    let mut out = root.clone();
    while !same(dir, root) {
        let Some(above) = dir.parent() else { break };
        let name = |dir: &Path| dir.file_name().unwrap_or_default().as_bytes().to_vec();
        if heavy(&name(above), &name(dir)) || same(&out, root) && same(above, root) {
            dir.clone_into(&mut out);
        }
        dir = above;
    }
    out
}
