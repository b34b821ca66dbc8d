//! Where files that were accepted lead now: a directory on the way of a `.git` file or of a remote may have become a link since,
//! and nothing about the file itself tells.

#![forbid(unsafe_code)]

use super::baseline::{Baseline, Kept};
use super::git::{self, Pointer};
use super::gitconfig;
use super::objects::Moment;
use crate::plan::names::Names;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Links on one way; the kernel follows 40.
const LINKS: u32 = 40;

/// What git tries of a path, as its enter_repo does.
pub(super) const ENDS: [&str; 4] = ["", ".git", "/.git", ".git/.git"];

/// Files of the baseline whose way goes through a link of the session.
pub(super) fn strayed(baseline: &Baseline, names: &Names) -> BTreeSet<PathBuf> {
    let strays = |kept: &&Kept| {
        let (file, bytes) = (kept.file.path(), baseline.bytes(kept).unwrap_or_default());
        if Pointer::of(file) == Some(Pointer::GitFile) {
            return git::target(file, bytes).is_some_and(|to| goes(names, &to, baseline.taken));
        }
        git::is_named_config(file)
            && gitconfig::local_paths(bytes)
                .iter()
                .any(|path| is_astray(names, file, path, baseline.taken))
    };
    let files = baseline.files.iter().filter(strays);
    files.map(|kept| kept.file.path().to_owned()).collect()
}

/// Does the path of a URL lead through a link of the session, from wherever git may begin?
pub(super) fn is_astray(names: &Names, config: &Path, path: &[u8], taken: Moment) -> bool {
    ways(names, config, path).iter().any(|at| {
        ENDS.iter().any(|end| {
            let mut path = at.as_os_str().to_owned();
            path.push(end);
            goes(names, Path::new(&path), taken)
        })
    })
}

/// The paths that a URL of a configuration may mean: absolute, or from the top of the working copy, which may be a linked work
/// tree's anywhere below the roots.
pub(super) fn ways(names: &Names, config: &Path, path: &[u8]) -> Vec<PathBuf> {
    let said = Path::new(OsStr::from_bytes(path));
    if said.is_absolute() {
        return vec![said.to_owned()];
    }
    let roots: BTreeSet<&Path> = names.rules.iter().map(|rule| rule.root.path()).collect();
    let mut all: Vec<PathBuf> = roots
        .into_iter()
        .filter_map(|root| {
            Some((root, joined(root, said))).filter(|(root, at)| at.starts_with(root))
        })
        // Last: it asks all rules, and most relative paths (of a submodule to its work tree) lead out of each root.
        .filter(|(root, _)| git::is_looked_at(names, root))
        .map(|(_, at)| at)
        .collect();
    all.push(joined(
        &git::work_tree_of(config.parent().unwrap_or(config)),
        said,
    ));
    all.sort();
    all.dedup();
    all
}

/// A relative path from there, as it is if no directory on it is a link.
pub(super) fn joined(top: &Path, said: &Path) -> PathBuf {
    let mut at = top.to_owned();
    for part in said.components() {
        match part {
            Component::ParentDir => drop(at.pop()),
            Component::Normal(name) => at.push(name),
            _ => {}
        }
    }
    at
}

/// Is there a link on this way that was made or moved there since that moment? A directory that was moved there with an old link
/// in it counts as well: the time of a directory's last change is all that tells. Only below the roots of the rules: the box
/// changes nothing else that is on such a way.
pub(super) fn goes(names: &Names, to: &Path, taken: Moment) -> bool {
    let parts = |path: &Path| -> VecDeque<OsString> {
        let normal = path.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        });
        normal.collect()
    };
    let inside = |path: &Path| {
        let mut rules = names.rules.iter().map(|rule| rule.root.path());
        rules.any(|root| path != root && path.starts_with(root))
    };
    let (mut at, mut left, mut young) = (PathBuf::from("/"), parts(to), false);
    let mut links = LINKS;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let Ok(meta) = std::fs::symlink_metadata(&next) else {
            return false;
        };
        // The time first: it decides for nearly all, and there are hundreds of rules to ask.
        young |= (meta.ctime(), meta.ctime_nsec()) >= taken && inside(&next);
        if !meta.is_symlink() {
            at = next;
            continue;
        }
        links -= 1;
        if young || links == 0 {
            return true;
        }
        let Ok(said) = std::fs::read_link(&next) else {
            return false;
        };
        if said.is_absolute() {
            at = PathBuf::from("/");
        }
        let mut whole = parts(&said);
        whole.append(&mut left);
        left = whole;
    }
    false
}
