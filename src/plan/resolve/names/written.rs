//! A path as it is written, where links are on the way: who replaces one of them in the workspace replaces what the path leads to.

#![forbid(unsafe_code)]

use super::super::scene::Scene;
use super::trees::root_of;
use crate::host::FileType;
use crate::plan::names::is_never_searched;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// As many links are followed (path_resolution(7)).
const MOST: usize = 40;

/// All names of it: for each link that is met the link's place and the rest of the way, and in the end where all of them lead. Empty
/// for a loop.
pub(super) fn names(scene: &Scene<'_>, path: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = Vec::new();
    let mut todo: VecDeque<OsString> = VecDeque::new();
    first(&mut todo, path);
    let mut real = PathBuf::from("/");
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            real.pop();
            continue;
        }
        let place = real.join(&name);
        let is_link = scene
            .walk
            .lstat(&place)
            .is_some_and(|stat| stat.file_type == FileType::Symlink);
        let to = is_link.then(|| scene.walk.look.read_link(&place)).flatten();
        let Some(to) = to else {
            real = place;
            continue;
        };
        if out.len() == MOST {
            return Vec::new();
        }
        // What is behind a `..` has no name here; the link itself has.
        let rest = todo.iter().take_while(|name| *name != "..");
        out.push(rest.fold(place, |at, name| at.join(name)));
        if to.is_absolute() {
            real = PathBuf::from("/");
        }
        first(&mut todo, &to);
    }
    out.push(real);
    out.dedup();
    out
}

/// Those of them that lie in the workspace or in another tree that the box may change, but for what is never searched.
pub(super) fn in_trees(scene: &Scene<'_>, path: &Path) -> Vec<PathBuf> {
    let is_in = |name: &PathBuf| {
        let found = root_of(scene, name);
        found.is_some_and(|(root, way)| {
            !way.as_os_str().is_empty() && !is_never_searched(&root, &way)
        })
    };
    let mut names = names(scene, path);
    names.retain(is_in);
    names
}

/// The rest of a word that begins with HOME, as a shell would see it.
pub(super) fn below_home(word: &[u8]) -> Option<&[u8]> {
    let mut homes = ["~/", "$HOME/", "${HOME}/"].iter();
    homes.find_map(|home| word.strip_prefix(home.as_bytes()))
}

/// Puts the components of a path before what is left.
fn first(todo: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => todo.push_front(name.to_owned()),
            Component::ParentDir => todo.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}
