//! Where in the box a path of the host is.

#![forbid(unsafe_code)]

use super::super::expand::{below, same};
use super::super::scene::Scene;
use crate::plan::Access;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Every place in the box that shows a host path, with the mount that does and what it allows.
pub(in super::super) fn places(scene: &Scene<'_>, path: &Path) -> Vec<(PathBuf, PathBuf, Access)> {
    let mut out = Vec::new();
    for (target, shown) in scene.tree.binds().iter() {
        let Some(rest) = below(path, &shown.source) else {
            continue;
        };
        let place = if rest.is_empty() {
            target.clone()
        } else {
            target.join(OsStr::from_bytes(rest))
        };
        // Something else may hang in between.
        let holds = scene
            .tree
            .holder(&place)
            .is_some_and(|(holder, _)| same(holder, target));
        if holds || rest.is_empty() {
            out.push((place, target.clone(), shown.access));
        }
    }
    out
}
