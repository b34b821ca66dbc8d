//! What is staged: a protected file that is put back in the end stays in git's index as the session left it there, and the next
//! `git commit` has it. The indexes of each repository are remembered as they were, byte by byte; where one is another file in the
//! end, a confined child reads both. Nothing is undone: what is staged is work.

#![forbid(unsafe_code)]

mod judge;

use self::judge::{FINDINGS, Now, Told};
use super::About;
use super::reader::Id;
use super::refs::{self, Repository};
use crate::keeper::baseline::{self, Baseline};
use crate::keeper::{files, git};
use crate::plan::OsText;
use crate::plan::names::Names;
use crate::plan::names::index::{self, Format};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// An index of more bytes is not read: some 160,000 files.
const LARGEST: u64 = 16 << 20;
/// The most bytes of a baseline with indexes in it.
const BYTES: usize = 96 << 20;
/// Work trees of one repository that are looked at.
const TREES: usize = 64;

/// What is staged of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Staged {
    /// A content that was neither staged nor in a commit.
    Content,
    /// That it goes.
    Deletion,
    /// Git does not look whether the file changed: what was written into it is in no diff.
    Unseen,
    /// Nobody knows: the file is an index that could not be read, or not all of it.
    Unknown {
        /// Why.
        why: String,
    },
}

/// An index when the session began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::keeper) struct Index {
    /// Below the git directory.
    name: OsText,
    /// By which it is known again.
    stamp: [i64; 7],
    /// Where its bytes are in the baseline; nowhere if it was too large.
    at: Option<(usize, usize)>,
}

/// The indexes of a git directory: its own, and those of linked work trees.
fn names(root: BorrowedFd<'_>, dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![PathBuf::from("index")];
    if let Ok(trees) = files::open_path(root, &dir.join("worktrees")) {
        let names = files::names(trees.as_fd()).unwrap_or_default();
        let trees = names.into_iter().take(TREES);
        all.extend(trees.map(|name| Path::new("worktrees").join(name).join("index")));
    }
    all
}

/// Remembers them; their bytes go behind what there is.
pub(in crate::keeper) fn take(root: BorrowedFd<'_>, dir: &Path, bytes: &mut Vec<u8>) -> Vec<Index> {
    let mut out = Vec::new();
    for name in names(root, dir) {
        let Some(stat) = stat(root, &dir.join(&name)) else {
            continue;
        };
        let read = read(root, &dir.join(&name));
        let at = read
            .filter(|read| bytes.len() + read.len() <= BYTES)
            .map(|read| {
                let at = (bytes.len(), read.len());
                bytes.extend(read);
                at
            });
        out.push(Index {
            name: name.as_path().into(),
            stamp: baseline::stamp(&stat),
            at,
        });
    }
    out
}

/// Those that are not what they were.
pub(in crate::keeper) fn changed(root: BorrowedFd<'_>, repository: &Repository) -> Vec<OsText> {
    let dir = repository.dir.path();
    let same = |name: &Path| {
        let known = repository.indexes.iter().find(|i| i.name.path() == name);
        match (known, stat(root, &dir.join(name))) {
            (Some(known), Some(stat)) => known.stamp == baseline::stamp(&stat),
            (None, Some(_)) => false,
            // Without an index nothing is staged.
            (_, None) => true,
        }
    };
    let all = names(root, dir).into_iter();
    all.filter(|name| !same(name))
        .map(|name| name.as_path().into())
        .collect()
}

fn stat(root: BorrowedFd<'_>, file: &Path) -> Option<nix::sys::stat::FileStat> {
    let dir = files::open_path(root, file.parent()?).ok()?;
    files::stat(dir.as_fd(), file.file_name()?).ok()
}

fn read(root: BorrowedFd<'_>, file: &Path) -> Option<Vec<u8>> {
    let dir = files::open_path(root, file.parent()?).ok()?;
    let read = files::read_most(dir.as_fd(), file.file_name()?, LARGEST).ok()??;
    Some(read.0)
}

/// A look at what is staged.
pub(in crate::keeper) struct Look<'a> {
    pub(in crate::keeper) root: BorrowedFd<'a>,
    pub(in crate::keeper) names: &'a Names,
    pub(in crate::keeper) baseline: &'a Baseline,
    pub(in crate::keeper) repository: &'a Repository,
}

impl Look<'_> {
    /// What of protected files is staged in that index, and why not all is known.
    pub(in crate::keeper) fn at(&self, index: &OsText) -> (Vec<(PathBuf, Staged)>, Option<String>) {
        let dir = self.repository.dir.path();
        let tree = dir.join(index.path()).parent().unwrap_or(dir).to_owned();
        let top = self.top(&tree);
        let told = match self.ask(index, &tree, &top) {
            Ok(told) => told,
            Err(why) => return (Vec::new(), Some(why)),
        };
        let file = |path: &Vec<u8>| top.join(OsStr::from_bytes(path));
        let content = told.content.iter().map(|p| (file(p), Staged::Content));
        let gone = told.deleted.iter().map(|p| (file(p), Staged::Deletion));
        // What a sparse checkout leaves out is not there.
        let unseen = told.unseen.iter().map(file);
        let unseen = unseen
            .filter(|file| nix::sys::stat::lstat(file.as_path()).is_ok())
            .map(|file| (file, Staged::Unseen));
        let mut all: Vec<_> = content.chain(gone).collect();
        all.extend(unseen.take(FINDINGS));
        (all, told.unknown)
    }

    /// The directory whose files that git directory, or that of a linked work tree, keeps.
    fn top(&self, tree: &Path) -> PathBuf {
        let dir = self.repository.dir.path();
        let linked = || {
            let text = read(self.root, &tree.join("gitdir"))?;
            let to = Path::new(OsStr::from_bytes(text.trim_ascii_end()));
            let to = to.parent().filter(|_| to.is_absolute())?;
            git::is_looked_at(self.names, to).then(|| to.to_owned())
        };
        let linked = if tree == dir { None } else { linked() };
        linked.unwrap_or_else(|| git::work_tree_of(dir))
    }

    fn ask(&self, index: &OsText, tree: &Path, top: &Path) -> Result<Told, String> {
        let (root, dir) = (self.root, self.repository.dir.path());
        let now = read(root, &dir.join(index.path())).ok_or("it is too large")?;
        let mut was = self.repository.indexes.iter();
        let was = match was.find(|was| was.name == *index) {
            None => &[][..],
            Some(was) => was
                .at
                .and_then(|at| self.baseline.part(at))
                .ok_or("it was too large when the session began")?,
        };
        let format = self.format();
        let own = self.own(top, format);
        let id = |text: &String| Id::parse(text.as_bytes());
        let tips = self.repository.tips();
        let head = refs::head(root, dir, tree).as_ref().and_then(id);
        let now = Now {
            bytes: &now,
            format,
            own: &own,
            tips: &tips,
            head,
        };
        let about = About {
            root,
            names: self.names,
            dir,
            top,
            taken: self.baseline.taken,
        };
        super::ask(&about, |reader, rules| {
            judge::judge(reader, rules, was, &now)
        })
    }

    /// As it was when the session began: the box may have changed that since.
    fn format(&self) -> Format {
        let config = self.repository.dir.path().join("config");
        let kept = self.baseline.of(&config);
        let config = kept.and_then(|kept| self.baseline.bytes(kept));
        index::format(config.unwrap_or_default())
    }

    /// The ids of what lay in the working copy when the session began: to stage it is nothing new.
    fn own(&self, top: &Path, format: Format) -> HashMap<Vec<u8>, Vec<u8>> {
        let files = self.baseline.files.iter();
        let own = files.filter_map(|kept| {
            let rel = kept.file.path().strip_prefix(top).ok()?;
            let id = Id::name(format, "blob", self.baseline.bytes(kept)?);
            Some((rel.as_os_str().as_bytes().to_vec(), id.bytes().to_vec()))
        });
        own.collect()
    }
}
