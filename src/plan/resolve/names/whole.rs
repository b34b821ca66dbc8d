//! Grants that are hidden as a whole.

#![forbid(unsafe_code)]

use super::super::expand::{same, within};
use super::super::scene::Scene;
use super::{Cover, Named};
use std::path::PathBuf;

/// A grant that is hidden as a whole has no place of its own that a mask could cover: it is not shown at all. Where a wider
/// grant shows it as well, it is covered there.
pub(super) fn drop_whole(scene: &Scene<'_>, named: &mut Named) {
    let hides = |cover: &Cover| matches!(cover, Cover::Empty(_) | Cover::Refused(_));
    let binds = scene.tree.binds();
    let mut hidden: Vec<&PathBuf> = (named.covers.iter())
        .filter(|(at, cover)| hides(cover) && binds.contains_key(at))
        .map(|(at, _)| at)
        .collect();
    // What holds another one comes first.
    hidden.sort_by_key(|at| at.as_os_str().len());
    let mut gone: Vec<PathBuf> = Vec::new();
    for at in hidden {
        let shown = |outer: &&PathBuf| !same(outer, at) && within(at, outer);
        if !binds
            .keys()
            .filter(shown)
            .any(|outer| !gone.contains(outer))
        {
            gone.push(at.clone());
        }
    }
    if gone.is_empty() {
        return;
    }
    named.covers.retain(|(at, _)| !gone.contains(at));
    for found in &mut named.names.found {
        found
            .targets
            .retain(|at| !gone.iter().any(|gone| gone == at.path()));
    }
    named.gone = gone;
}
