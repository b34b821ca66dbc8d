//! Work trees whose repository is elsewhere (`git worktree`, submodules, `--separate-git-dir`) and object stores that are
//! borrowed (`objects/info/alternates`). Git's files are read as files; git is never run.
//!
//! The files that say where the repository is lie in the workspace, and an agent may have written them. So a directory
//! elsewhere is granted for writing only if it is a repository *and points back* at this work tree, in files that no agent
//! could have written. A borrowed object store cannot point back: it is named with its remedy, never granted.

#![forbid(unsafe_code)]

use super::grants::give;
use super::scene::{Scene, shell_word, show};
use super::workspace::repository_around;
use crate::host::FileType;
use crate::plan::Access;
use crate::policy::Origin;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Which program's a directory is that has an entry of this name.
const MARKS: [(&str, &str); 4] = [
    ("git", ".git"),
    ("jj", ".jj"),
    ("hg", ".hg"),
    ("svn", ".svn"),
];

/// More than git itself writes into `.git`, `commondir` or `gitdir`.
const MAX: usize = 64 * 1024;

/// Grants what git needs besides the workspace. Returns the repository of a work tree that proved to belong to it, or its
/// own.
pub(super) fn grants(scene: &mut Scene<'_>) -> Option<PathBuf> {
    let work = scene.workspace.real.clone();
    let dot_git = work.join(".git");
    let common = match scene.walk.stat(&dot_git).map(|stat| stat.file_type) {
        Some(FileType::Dir) => scene.walk.canonical(&dot_git),
        Some(FileType::File) => elsewhere(scene, &work, &dot_git),
        _ => {
            part(scene, &work);
            None
        }
    };
    if let Some(common) = &common {
        alternates(scene, common);
        scene.repository = Some(common.clone());
    }
    common
}

/// The git directory that git finds in this one itself: `.git`, or a bare repository.
pub(super) fn git_dir(scene: &Scene<'_>, dir: &Path) -> Option<PathBuf> {
    let bare = || is_repository(scene, dir).then(|| scene.walk.canonical(dir))?;
    at(scene, &dir.join(".git")).or_else(bare)
}

/// The git directory at this path, or the one that a `.git` file there names.
pub(super) fn at(scene: &Scene<'_>, path: &Path) -> Option<PathBuf> {
    match scene.walk.stat(path)?.file_type {
        FileType::Dir => scene.walk.canonical(path),
        _ => scene
            .walk
            .canonical(&named_by(scene, path.parent()?, path)?),
    }
}

/// What a `.git` file names.
fn named_by(scene: &Scene<'_>, work: &Path, dot_git: &Path) -> Option<PathBuf> {
    let text = scene.walk.look.read(dot_git, MAX)?;
    let named = text.strip_prefix(b"gitdir:")?.trim_ascii();
    Some(work.join(OsStr::from_bytes(named)))
}

/// Says that what is above this working copy, and makes it one of git, Jujutsu, Mercurial or Subversion, is not in the box: `-C`
/// named a part of it, or it is none of git's.
fn part(scene: &mut Scene<'_>, work: &Path) {
    if is_repository(scene, work) {
        return;
    }
    let holds = |dir: &&Path| {
        MARKS.iter().find(|(_, mark)| {
            let found = scene.walk.stat(&dir.join(mark));
            found.is_some_and(|stat| stat.file_type != FileType::File || *mark == ".git")
        })
    };
    let above = work.ancestors().skip(1);
    // A HOME (or /etc, or /) that is kept so is no project.
    let mut above = above.take_while(|dir| !scene.home.real.starts_with(dir));
    let Some((dir, (program, _))) = above.find_map(|dir| Some((dir, holds(&dir)?))) else {
        return;
    };
    if *program == "git" && repository_around(scene, work).is_none() {
        return;
    }
    scene.notices.push(format!(
        "{program} will not work here: the working copy is a part of {}; -C {} takes all of it",
        show(dir),
        shell_word(dir)
    ));
}

/// Follows a `.git` file. Returns the common directory, if it is usable in the box.
fn elsewhere(scene: &mut Scene<'_>, work: &Path, dot_git: &Path) -> Option<PathBuf> {
    let named = named_by(scene, work, dot_git)?;
    let Some(git_dir) = scene.walk.canonical(&named) else {
        scene.notices.push(format!(
            "{} names a repository that is not there",
            show(dot_git)
        ));
        return None;
    };
    let linked = first_line(scene, &git_dir.join("commondir"));
    let common = match &linked {
        Some(line) => scene.walk.canonical(&git_dir.join(line))?,
        None => git_dir.clone(),
    };
    let writable = |dir: &Path| scene.tree.access(dir) == Some(Access::Write);
    let (agents_own, common_too) = (writable(&git_dir), writable(&common));
    if agents_own && common_too {
        return Some(common);
    }
    let refuse = |scene: &mut Scene<'_>, why: &str| {
        scene.notices.push(format!(
            "git will not work here: its repository {} {why}; if it is yours, add --write {}",
            show(&common),
            shell_word(&common)
        ));
        None
    };
    // "commondir" alone proves nothing: it may name any repository of the user. Git makes the directory of a linked work
    // tree below the very repository, where nobody writes who may not write that repository.
    let below = git_dir.parent() == Some(&common.join("worktrees"));
    if agents_own || (linked.is_some() && !below) {
        return refuse(scene, "is named by a directory that is not its own");
    }
    if !is_repository(scene, &common) || !is_file(scene, &git_dir.join("HEAD")) {
        return refuse(scene, "does not look like one");
    }
    if !points_back(scene, work, dot_git, &git_dir) {
        return refuse(scene, "does not point back at this work tree");
    }
    let origin = Origin::agentbox("the repository of the work tree");
    let note = format!("{} names it as its repository", show(dot_git));
    // A worktree's own directory is below the common one; should it not be, it is a grant by itself.
    let own = (!git_dir.starts_with(&common)).then_some(&git_dir);
    for dir in std::iter::once(&common).chain(own) {
        if !give(scene, dir, Access::Write, &origin, Some(note.clone())) {
            return refuse(scene, "is in a place that is never granted");
        }
    }
    scene.notices.push(format!(
        "the repository {} is writable: this work tree belongs to it",
        show(&common)
    ));
    if linked.is_some() && common.file_name() == Some(OsStr::new(".git")) {
        scene.main = common.parent().map(Path::to_owned);
    }
    Some(common)
}

/// A worktree's directory names the work tree's `.git` in `gitdir` (gitrepository-layout(5)); a submodule's and that of
/// `--separate-git-dir` may name the work tree as core.worktree.
fn points_back(scene: &Scene<'_>, work: &Path, dot_git: &Path, git_dir: &Path) -> bool {
    if let Some(line) = first_line(scene, &git_dir.join("gitdir")) {
        return scene.walk.canonical(&git_dir.join(line)).as_deref() == Some(dot_git);
    }
    let config = scene
        .walk
        .look
        .read(&git_dir.join("config"), MAX)
        .unwrap_or_default();
    let mut section: Vec<u8> = Vec::new();
    for line in config.split(|b| *b == b'\n').map(<[u8]>::trim_ascii) {
        if line.starts_with(b"[") {
            section = line.to_ascii_lowercase();
            continue;
        }
        let Some(at) = line.iter().position(|b| *b == b'=') else {
            continue;
        };
        let (key, value) = line.split_at(at);
        if section.starts_with(b"[core]") && key.trim_ascii().eq_ignore_ascii_case(b"worktree") {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let value = value
                .strip_prefix(b"\"")
                .and_then(|v| v.strip_suffix(b"\""))
                .unwrap_or(value);
            let tree = scene
                .walk
                .canonical(&git_dir.join(OsStr::from_bytes(value)));
            return tree.as_deref() == Some(work);
        }
    }
    false
}

/// Says which object stores a repository borrows from and does not get. The list is a file of the repository, which the
/// agent can write: to follow it would open every repository of the user to the next session.
fn alternates(scene: &mut Scene<'_>, common: &Path) {
    let objects = common.join("objects");
    let Some(text) = scene.walk.look.read(&objects.join("info/alternates"), MAX) else {
        return;
    };
    for line in text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii) {
        // A line may be quoted when its path is odd; git writes such a line itself never.
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"\"") {
            continue;
        }
        let Some(store) = scene.walk.canonical(&objects.join(OsStr::from_bytes(line))) else {
            continue;
        };
        if scene.tree.access(&store).is_none() {
            scene.notices.push(format!(
                "this repository borrows objects from {}, which is not in the box; if that is yours, add --read {}",
                show(&store),
                shell_word(&store)
            ));
        }
    }
}

/// HEAD, objects and refs: what git itself asks of a repository (setup.c, is_git_directory).
pub(super) fn is_repository(scene: &Scene<'_>, dir: &Path) -> bool {
    let is_dir = |name| {
        scene
            .walk
            .stat(&dir.join(name))
            .is_some_and(|stat| stat.file_type == FileType::Dir)
    };
    is_file(scene, &dir.join("HEAD")) && is_dir("objects") && is_dir("refs")
}

fn is_file(scene: &Scene<'_>, path: &Path) -> bool {
    scene
        .walk
        .stat(path)
        .is_some_and(|stat| stat.file_type == FileType::File)
}

fn first_line(scene: &Scene<'_>, path: &Path) -> Option<PathBuf> {
    let text = scene.walk.look.read(path, MAX)?;
    let line = text.split(|b| *b == b'\n').next()?.trim_ascii();
    (!line.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(line)))
}
