//! Of which files is remembered first what they are, where not all of them can be. What an earlier session has left in its clones
//! must not take the room: a directory with five thousand files in `.idea`, or hundreds of repositories, whose names come first.

#![forbid(unsafe_code)]

use super::files;
use super::objects::Moment;
use crate::plan::names::{FoundName, NameKind, Names};
use crate::sys::mount;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

/// The names that were found: those of the working copy itself, and then of each repository in it, the oldest one first. No call
/// sets the time of birth, so that one which a session has made is younger than all that were there.
pub(super) fn of<'a>(root: BorrowedFd<'_>, names: &'a Names) -> Vec<&'a FoundName> {
    let roots: Vec<&Path> = names.rules.iter().map(|rule| rule.root.path()).collect();
    let mut tops: BTreeMap<&Path, Moment> = BTreeMap::new();
    for found in &names.found {
        if let Some(top) = top(found).filter(|top| !roots.contains(top)) {
            tops.entry(top).or_insert_with(|| born(root, top));
        }
    }
    let mut all: Vec<&FoundName> = names.found.iter().collect();
    // Stable: by their paths within each.
    all.sort_by_cached_key(|found| {
        let mut above = found.host.path().ancestors();
        above.find_map(|dir| tops.get(dir).copied())
    });
    all
}

/// The top of the work tree, or the git directory, that a name is the mark of.
fn top(found: &FoundName) -> Option<&Path> {
    let path = found.host.path();
    let is = |path: &Path, name: &str| path.file_name() == Some(OsStr::new(name));
    if found.kind != NameKind::Track {
        return None;
    }
    if is(path, ".git") {
        return path.parent();
    }
    let git = path.parent().filter(|_| is(path, "config"))?;
    if is(git, ".git") {
        return git.parent();
    }
    // A submodule's is as old as it is used.
    Some(git)
}

/// A file system that has no time of birth tells none from the others.
fn born(root: BorrowedFd<'_>, top: &Path) -> Moment {
    let birth = files::open_path(root, top).and_then(|dir| mount::birth(dir.as_fd()));
    birth.ok().flatten().unwrap_or((i64::MAX, 0))
}
