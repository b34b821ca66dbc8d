//! What a repository's references were: read as files, git is never run (gitrepository-layout(5), git-pack-refs(1)).

#![forbid(unsafe_code)]

use super::reader::Id;
use super::reftable::{self, Value};
use super::staged::Index;
use crate::keeper::distrust::Distrust;
use crate::keeper::files;
use crate::plan::OsText;
use crate::plan::names::index::Format;
use nix::fcntl::openat;
use nix::sys::stat::{Mode, SFlag};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// References of one repository that are remembered.
const MOST: usize = 4096;
/// The most bytes of `packed-refs`: some 60,000 references. Of more of them only loose ones are known.
const PACKED: u64 = 4 << 20;
/// How deep their names go.
const DEPTH: u32 = 12;
/// Bytes of a file with one reference in it: git reads the id at its beginning, whatever blanks follow.
const LINE: u64 = 64 << 10;
/// What stands for the id of a reference that is a link, or longer than that.
pub(super) const UNREAD: &str = "";
/// References that have git read other objects in the place of those that are named.
pub(in crate::keeper) const REPLACE: &str = "refs/replace/";

/// A repository when the session began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::keeper) struct Repository {
    /// Its git directory.
    pub(in crate::keeper) dir: OsText,
    /// Its references, by name, and the ids that they named.
    pub(in crate::keeper) refs: BTreeMap<String, String>,
    /// The commit that was checked out.
    #[serde(default)]
    pub(in crate::keeper) head: Option<String>,
    /// What was staged.
    #[serde(default)]
    pub(in crate::keeper) indexes: Vec<Index>,
    /// What earlier sessions have left and nobody has looked at.
    #[serde(default)]
    pub(in crate::keeper) distrust: Distrust,
    /// References that sessions which still live have moved.
    #[serde(default)]
    pub(in crate::keeper) beside: BTreeMap<String, String>,
}

impl Repository {
    /// How it names objects; `None` before its first commit.
    pub(in crate::keeper) fn format(&self) -> Option<Format> {
        let mut ids = self.refs.values().map(|text| Id::parse(text.as_bytes()));
        ids.find_map(|id| id.map(|id| id.format()))
    }

    /// What the references named, each object once.
    pub(super) fn tips(&self) -> Vec<Id> {
        ids(self.refs.values())
    }

    /// Of those what is trusted: a content that one of these has under a name is the user's own.
    pub(super) fn trusted_tips(&self) -> Vec<Id> {
        ids(&self.trusted())
    }
}

/// A repository that was not there when the session began, by what it is now.
pub(in crate::keeper) fn as_they_are(root: BorrowedFd<'_>, dir: &Path) -> Repository {
    Repository {
        dir: OsText::from(dir.as_os_str()),
        refs: read(root, dir),
        head: None,
        indexes: Vec::new(),
        distrust: Distrust::default(),
        beside: BTreeMap::new(),
    }
}

fn ids<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<Id> {
    let ids = texts.into_iter();
    let mut ids: Vec<Id> = ids.filter_map(|text| Id::parse(text.as_bytes())).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The references in a git directory; nothing of what cannot be read. Names that are not text are not git's.
pub(in crate::keeper) fn read(root: BorrowedFd<'_>, dir: &Path) -> BTreeMap<String, String> {
    let mut refs = BTreeMap::new();
    let Ok(git) = files::open_path(root, dir) else {
        return refs;
    };
    loose(git.as_fd(), "refs", DEPTH, &mut refs);
    if files::stat(git.as_fd(), OsStr::new("refs")).is_ok_and(|s| files::is(&s, SFlag::S_IFLNK)) {
        refs.insert("refs".to_owned(), UNREAD.to_owned());
    }
    one(git.as_fd(), OsStr::new("HEAD"), "HEAD", &mut refs);
    tables(git.as_fd(), "HEAD", &mut refs);
    if let Ok(trees) = openat(&git, "worktrees", files::DIR, Mode::empty()) {
        for name in files::names(trees.as_fd()).unwrap_or_default() {
            if let (Ok(tree), Some(text)) = (
                openat(&trees, name.as_os_str(), files::DIR, Mode::empty()),
                name.to_str(),
            ) {
                let name = format!("worktrees/{text}/HEAD");
                one(tree.as_fd(), OsStr::new("HEAD"), &name, &mut refs);
                tables(tree.as_fd(), &name, &mut refs);
            }
        }
    }
    if let Ok(Some((text, _))) = files::read_most(git.as_fd(), OsStr::new("packed-refs"), PACKED) {
        for line in text.split(|byte| *byte == b'\n') {
            let Some((id, name)) = std::str::from_utf8(line)
                .ok()
                .and_then(|l| l.split_once(' '))
            else {
                continue;
            };
            if is_id(id) && name.starts_with("refs/") && refs.len() < MOST {
                // A loose one is younger.
                refs.entry(name.to_owned()).or_insert_with(|| id.to_owned());
            }
        }
    }
    refs
}

/// The commit that is checked out in a work tree of the repository in `dir`: `tree` is the work tree's own directory of that, or
/// the same.
pub(in crate::keeper) fn head(root: BorrowedFd<'_>, dir: &Path, tree: &Path) -> Option<String> {
    let git = files::open_path(root, tree).ok()?;
    // With tables the file of that name leads nowhere.
    match reftable::read(git.as_fd())?.remove("HEAD") {
        Some(Value::Symbolic(name)) => return read(root, dir).remove(&name),
        Some(Value::Id(id)) => return Some(id),
        None => {}
    }
    let (text, _) = files::read_most(git.as_fd(), OsStr::new("HEAD"), LINE).ok()??;
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    match text.strip_prefix("ref: ") {
        Some(name) => read(root, dir).remove(name),
        None => first_id(text.as_bytes()),
    }
}

fn loose(parent: BorrowedFd<'_>, name: &str, depth: u32, refs: &mut BTreeMap<String, String>) {
    let last = name.rsplit('/').next().unwrap_or(name);
    let Ok(dir) = openat(parent, last, files::DIR, Mode::empty()) else {
        return;
    };
    for entry in files::names(dir.as_fd()).unwrap_or_default() {
        let Some(text) = entry.to_str() else { continue };
        if refs.len() >= MOST {
            return;
        }
        let name = format!("{name}/{text}");
        let Ok(stat) = files::stat(dir.as_fd(), &entry) else {
            continue;
        };
        if files::is(&stat, SFlag::S_IFDIR) {
            if depth > 0 {
                loose(dir.as_fd(), &name, depth - 1, refs);
            }
        } else if !text.ends_with(".lock") {
            one(dir.as_fd(), &entry, &name, refs);
        }
    }
}

/// A file with an id in it; one that names another reference (`ref: ...`) is none.
fn one(dir: BorrowedFd<'_>, file: &OsStr, name: &str, refs: &mut BTreeMap<String, String>) {
    let id = match files::read_most(dir, file, LINE) {
        Ok(Some((bytes, _))) => first_id(&bytes),
        Ok(None) => Some(UNREAD.to_owned()),
        Err(_) => None,
    };
    refs.extend(id.map(|id| (name.to_owned(), id)));
}

/// The id at the beginning of a file, as git reads it: what follows a blank is nothing.
fn first_id(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|b| !b.is_ascii_hexdigit());
    let (id, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    let ends = matches!(rest.first(), None | Some(b' ' | b'\t' | b'\n' | b'\r' | 0));
    let id = std::str::from_utf8(id).ok()?.to_ascii_lowercase();
    (ends && is_id(&id)).then_some(id)
}

/// SHA-1, or SHA-256.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Can the references be read? Tables of the other format (`reftable`) may not be understood.
pub(super) fn are_read(root: BorrowedFd<'_>, dir: &Path) -> bool {
    let git = files::open_path(root, dir);
    git.is_ok_and(|git| reftable::read(git.as_fd()).is_some())
}

/// The objects that the names of a table stand for. `HEAD` is that of the work tree.
fn tables(git: BorrowedFd<'_>, head: &str, refs: &mut BTreeMap<String, String>) {
    for (name, value) in reftable::read(git).unwrap_or_default() {
        let name = match name.as_str() {
            "HEAD" => head.to_owned(),
            _ if name.starts_with("refs/") => name,
            _ => continue,
        };
        if let Value::Id(id) = value
            && refs.len() < MOST
        {
            refs.insert(name, id);
        }
    }
}

/// A name as a person may read it: control characters of the agent's do not reach a terminal.
pub(super) fn plain(name: &[u8]) -> OsText {
    OsText::from(OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_as_git_reads_it() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        for (after, is) in [
            ("\n", true),
            ("", true),
            (" x y\n", true),
            ("\t\n", true),
            ("\0x", true),
            ("8\n", false),
            ("x\n", false),
        ] {
            let read = first_id(format!("{id}{after}").as_bytes());
            assert_eq!(read.as_deref(), is.then_some(id), "{after:?}");
        }
        assert_eq!(first_id(id.to_uppercase().as_bytes()).as_deref(), Some(id));
        assert_eq!(first_id(b"ref: refs/heads/x\n"), None);
    }
}
