//! What git says of hidden files: its index is read as a file, git is never run.

#![forbid(unsafe_code)]

use super::super::expand::{below, upward};
use super::super::scene::Scene;
use super::Target;
use crate::host::FileType;
use crate::plan::names::NameKind;
use crate::plan::names::id::Id;
use crate::plan::names::index::{self, Format};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An index of more bytes is not read (a million files have about 100 MB): all that is hidden there counts as tracked.
const INDEX: usize = 256 << 20;

/// A larger file is not compared.
const FILE: usize = 16 << 20;

/// What git knows of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tracked {
    /// Nothing.
    No,
    /// It is tracked, and what lies there is what git has.
    Same,
    /// It is tracked, and what lies there is something else, or cannot be compared.
    Differs,
}

/// In the order of `targets`; only of what is hidden.
pub(super) fn tracked(scene: &Scene<'_>, targets: &[Target]) -> Vec<Tracked> {
    let mut out = vec![Tracked::No; targets.len()];
    let mut repositories: Vec<(PathBuf, Vec<usize>)> = Vec::new();
    let mut roots: HashMap<PathBuf, Option<PathBuf>> = HashMap::new();
    for (number, target) in targets.iter().enumerate() {
        if target.kind != NameKind::Hide {
            continue;
        }
        let Some(dir) = target.path.parent() else {
            continue;
        };
        let root = roots
            .entry(dir.to_owned())
            .or_insert_with(|| root_of(scene, dir))
            .clone();
        let Some(root) = root else { continue };
        match repositories.iter_mut().find(|(known, _)| *known == root) {
            Some((_, list)) => list.push(number),
            None => repositories.push((root, vec![number])),
        }
    }
    for (root, numbers) in repositories {
        ask(scene, &root, targets, &numbers, &mut out);
    }
    out
}

/// The work tree that holds a directory.
fn root_of(scene: &Scene<'_>, dir: &Path) -> Option<PathBuf> {
    let found = upward(dir).find(|dir| scene.walk.lstat(&dir.join(".git")).is_some());
    found.map(Path::to_owned)
}

fn ask(scene: &Scene<'_>, root: &Path, targets: &[Target], numbers: &[usize], out: &mut [Tracked]) {
    let look = scene.walk.look;
    let dot_git = root.join(".git");
    let git_dir = match scene.walk.stat(&dot_git).map(|stat| stat.file_type) {
        Some(FileType::Dir) => dot_git,
        Some(FileType::File) => {
            let text = look.read(&dot_git, 64 * 1024).unwrap_or_default();
            match text.strip_prefix(b"gitdir:") {
                Some(dir) => root.join(OsStr::from_bytes(dir.trim_ascii())),
                None => return,
            }
        }
        _ => return,
    };
    // The path of each hidden thing in the repository.
    let mut files: HashMap<&[u8], usize> = HashMap::new();
    let mut dirs: Vec<(&[u8], usize)> = Vec::new();
    for number in numbers {
        let Some(target) = targets.get(*number) else {
            continue;
        };
        let Some(path) = below(&target.path, root) else {
            continue;
        };
        match target.file_type {
            FileType::Dir => dirs.push((path, *number)),
            _ => {
                files.insert(path, *number);
            }
        }
    }
    let format = format(scene, &git_dir);
    // What lies there, read once: an index can list a path as often as it likes.
    let mut blobs: HashMap<usize, Option<Id>> = HashMap::new();
    let mut each = |path: &[u8], id: &[u8]| {
        if let Some(number) = files.get(path)
            && let (Some(slot), Some(target)) = (out.get_mut(*number), targets.get(*number))
            && *slot != Tracked::Same
        {
            let there = blobs.entry(*number).or_insert_with(|| {
                let content = look.read(&target.path, FILE)?;
                (content.len() < FILE).then(|| Id::name(format, "blob", &content))
            });
            *slot = match there {
                Some(there) if there.bytes() == id => Tracked::Same,
                _ => Tracked::Differs,
            };
        }
        for (dir, number) in &dirs {
            if path
                .strip_prefix(*dir)
                .is_some_and(|rest| rest.starts_with(b"/"))
                && let Some(slot) = out.get_mut(*number)
            {
                *slot = Tracked::Differs;
            }
        }
    };
    let path = git_dir.join("index");
    let Some(bytes) = look.read(&path, INDEX) else {
        // No index: nothing was ever added.
        return;
    };
    let read = if bytes.len() < INDEX {
        index::entries(&bytes, format, &mut each)
    } else {
        None
    };
    let shared = match &read {
        Some(Some(name)) => look
            .read(&git_dir.join(name), INDEX)
            .and_then(|bytes| index::entries(&bytes, format, &mut each).map(|_| ())),
        Some(None) => Some(()),
        None => None,
    };
    if shared.is_none() {
        // What cannot be understood may list anything: git must not take an empty file for a change.
        for number in numbers {
            if let Some(slot) = out.get_mut(*number) {
                *slot = Tracked::Differs;
            }
        }
    }
}

/// How that repository names objects: `extensions.objectFormat` of its configuration.
fn format(scene: &Scene<'_>, git_dir: &Path) -> Format {
    let look = scene.walk.look;
    let common = look
        .read(&git_dir.join("commondir"), 64 * 1024)
        .map_or_else(
            || git_dir.to_owned(),
            |line| git_dir.join(OsStr::from_bytes(line.trim_ascii())),
        );
    let config = look
        .read(&common.join("config"), 1 << 20)
        .unwrap_or_default();
    index::format(&config)
}
