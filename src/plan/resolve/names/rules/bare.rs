//! Repositories under another name than `.git`: a bare one that is the working copy or another tree itself, and what the `.git` file of
//! the working copy leads to in it (`.bare` with its work trees beside it). Known by their shape alone such directories may be test
//! data, and are tracked; these are git's own, and what is said of `.git` is said of them.

#![forbid(unsafe_code)]

use super::super::trees::roots;
use crate::plan::names::git::in_dot_git;
use crate::plan::names::matcher::literal;
use crate::plan::names::{NameKind, NameRule};
use crate::plan::resolve::expand::{below, same};
use crate::plan::resolve::git;
use crate::plan::resolve::scene::Scene;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The rules that `rules` have about `.git`, about those. What is tracked holds by the shape.
pub(super) fn rules(scene: &Scene<'_>, rules: &[NameRule]) -> Vec<NameRule> {
    let mut out = Vec::new();
    for root in roots(scene) {
        let Some(way) = way(scene, &root) else {
            continue;
        };
        out.extend(called(&root, &way, rules));
    }
    out
}

/// What `rules` hide and freeze in `.git`, said of the repository that is `way` below `root`.
pub(in super::super) fn called(root: &Path, way: &Path, rules: &[NameRule]) -> Vec<NameRule> {
    let way: Vec<Vec<u8>> = way.iter().map(|name| literal(name.as_bytes())).collect();
    let of_root = rules
        .iter()
        .filter(|rule| rule.kind != NameKind::Track && same(rule.root.path(), root));
    let derived = of_root.filter_map(|rule| {
        let rest = rule.pattern.bytes().strip_prefix(b"**/.git/")?;
        let mut pattern = way.clone();
        pattern.push(rest.to_vec());
        let pattern = OsString::from_vec(pattern.join(&b'/'));
        Some(NameRule {
            pattern: pattern.into(),
            ..rule.clone()
        })
    });
    derived.collect()
}

/// The way from a root to its repository, where that is not called `.git`.
fn way(scene: &Scene<'_>, root: &Path) -> Option<PathBuf> {
    if git::is_repository(scene, root) {
        return Some(PathBuf::new());
    }
    let own = scene.repository.as_ref();
    let own = own.filter(|_| same(root, &scene.workspace.real))?;
    let way = Path::new(OsStr::from_bytes(below(own, root)?));
    (!in_dot_git(way)).then(|| way.to_owned())
}
