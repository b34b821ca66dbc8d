//! Other repositories and projects that a human granted for work (`--write ../lib`): what is said of names in the working copy holds there, too.

#![forbid(unsafe_code)]

use super::super::expand::{below, within};
use super::super::scene::Scene;
use super::rules::path_of;
use crate::host::FileType;
use crate::plan::Access;
use crate::policy::Origin;
use std::path::{Path, PathBuf};

/// What makes a directory a repository.
const REPOSITORY: [&str; 5] = [".git", ".hg", ".jj", ".sl", ".svn"];

/// What a project has at its top, also one that is in no repository, or in none any more: the box may have moved `.git` away.
const PROJECT: [&str; 13] = [
    "CMakeLists.txt",
    "Cargo.toml",
    "Gemfile",
    "Makefile",
    "build.gradle",
    "build.gradle.kts",
    "composer.json",
    "go.mod",
    "package.json",
    "pom.xml",
    "pyproject.toml",
    "requirements.txt",
    "setup.py",
];

/// How many entries of a directory are looked at for repositories.
const MOST: usize = 1_000;

/// Such a repository.
#[derive(Debug, Clone)]
pub(in super::super) struct Tree {
    pub(super) dir: PathBuf,
    /// What is only read needs no protection.
    pub(super) access: Access,
}

/// Directories that somebody who is here granted, and that are repositories or projects, lie in a repository, or hold some. Not what holds the
/// working copy: what was lifted there would be closed again. Nor data, caches, toolchains and settings: their names mean
/// something else (`*.pem` of a package's tests).
pub(in super::super) fn trees(scene: &Scene<'_>) -> Vec<Tree> {
    let files = &scene.policy.wishes.files;
    let write = files.write.iter().map(|wish| (wish, Access::Write));
    let read = files.read.iter().map(|wish| (wish, Access::Read));
    let mut out: Vec<Tree> = Vec::new();
    for (wish, access) in write.chain(read) {
        if matches!(
            wish.origin,
            Origin::Builtin { .. } | Origin::Agentbox { .. }
        ) {
            continue;
        }
        let Some(path) = path_of(scene, wish) else {
            continue;
        };
        let work = &scene.workspace.real;
        let dir = scene.real_of(&path);
        if within(&dir, work)
            || within(work, &dir)
            || out.iter().any(|tree| within(&dir, &tree.dir))
            || !is_work(scene, &dir)
        {
            continue;
        }
        out.retain(|tree| !within(&tree.dir, &dir) || tree.access > access);
        out.push(Tree { dir, access });
    }
    out
}

fn is_work(scene: &Scene<'_>, dir: &Path) -> bool {
    let look = scene.walk.look;
    let is_dir = |path: &Path| {
        let stat = look.lstat(path);
        stat.is_some_and(|stat| stat.file_type == FileType::Dir)
    };
    let has = |dir: &Path, marks: &[&str]| {
        let mut marks = marks.iter();
        marks.any(|mark| look.lstat(&dir.join(mark)).is_some())
    };
    let is_repository = |dir: &Path| has(dir, &REPOSITORY);
    // ~/.nvm and ~/.pyenv are repositories, and no work.
    let in_home = below(dir, &scene.home.real);
    let is_settings = in_home.is_some_and(|way| way.is_empty() || way.starts_with(b"."));
    if is_settings || !is_dir(dir) || scene.is_private(dir) {
        return false;
    }
    // A HOME that is kept in git makes no project of what is in it.
    let mut above = dir.ancestors().take_while(|dir| *dir != scene.home.real);
    if above.any(is_repository) || has(dir, &PROJECT) {
        return true;
    }
    look.read_dir(dir)
        .iter()
        .take(MOST)
        .any(|name| is_repository(&dir.join(name)))
}
