//! Which directory is the working copy, and what is refused as one.

#![forbid(unsafe_code)]

use super::places::system_workspace;
use super::scene::{Place, Scene, show};
use super::walk::{Plain, plain};
use crate::host::FileType;
use std::path::{Path, PathBuf};

/// Directories of settings: their rules (`.claude/settings.json`) are about what is above them, and do not hold within.
const SETTINGS: [&str; 9] = [
    ".git",
    ".claude",
    ".codex",
    ".gemini",
    ".cursor",
    ".opencode",
    ".vscode",
    ".kiro",
    ".agentbox",
];

/// Directories of HOME that are hidden from every box.
const KEYS: [&str; 9] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".mozilla",
    ".thunderbird",
    ".password-store",
];

const CHOOSE: &str = "change to a project directory, or name one with -C DIR";

/// Chooses the workspace and remembers what is wrong with it.
pub(super) fn choose(scene: &mut Scene<'_>) {
    let asked = scene.policy.request.workspace.clone();
    let place = match &asked {
        Some(dir) => named(scene, dir),
        None => around(scene),
    };
    let Some(place) = place else { return };
    if let Some(why) = unfit(scene, &place.real) {
        let name = show(&place.path);
        scene.problem(
            format!("{name} cannot be the workspace: {why}"),
            CHOOSE,
            None,
        );
    }
    scene.workspace = place;
}

/// `-C DIR`.
fn named(scene: &mut Scene<'_>, dir: &Path) -> Option<Place> {
    if dir.as_os_str().is_empty() {
        scene.problem("-C names no directory", CHOOSE, None);
        return None;
    }
    let path = tidy(&scene.host.cwd.join(dir));
    let walked = scene.walk.follow(&path);
    let stat = walked.as_ref().and_then(|w| w.stat);
    match (walked, stat) {
        (Some(walked), Some(stat)) if stat.file_type == FileType::Dir => {
            // With ".." in it the typed path is not the shortest name; the canonical one is kept then.
            let path = if has_parent(&path) {
                walked.real.clone()
            } else {
                path
            };
            Some(Place {
                path,
                real: walked.real.clone(),
            })
        }
        (_, found) => {
            let why = if found.is_some() {
                "is not a directory"
            } else {
                "does not exist"
            };
            scene.problem(format!("-C {}: {why}", show(dir)), CHOOSE, None);
            None
        }
    }
}

/// The repository that holds the current directory, else the current directory.
fn around(scene: &mut Scene<'_>) -> Option<Place> {
    let cwd = tidy(&scene.host.cwd);
    let Some(here) = scene
        .walk
        .follow(&cwd)
        .filter(|walked| walked.is_dir())
        .map(|walked| walked.real.clone())
    else {
        let name = show(&cwd);
        scene.problem(
            format!("the current directory {name} is gone"),
            CHOOSE,
            None,
        );
        return None;
    };
    let Some(root) = repository_around(scene, &here) else {
        return Some(Place {
            path: cwd,
            real: here,
        });
    };
    // The typed name of the root: as many components up as it is above the canonical directory, if that is the same place.
    let depth = here
        .strip_prefix(&root)
        .map_or(0, |p| p.components().count());
    let typed = cwd.ancestors().nth(depth).map(Path::to_owned);
    let path = typed
        .filter(|typed| scene.walk.canonical(typed).as_deref() == Some(&root))
        .unwrap_or_else(|| root.clone());
    Some(Place { path, real: root })
}

/// The root of the work tree that a canonical directory is in.
pub(super) fn repository_around(scene: &Scene<'_>, here: &Path) -> Option<PathBuf> {
    here.ancestors()
        .find(|dir| is_repository(scene, dir))
        .filter(|dir| {
            // A HOME (or /etc, or /) kept in git is no project: then the directory alone is meant.
            !scene.home.real.starts_with(dir) && system_workspace(dir).is_none()
        })
        .map(Path::to_owned)
}

/// Does git take this directory for the root of a work tree? `.git` is a file, or a directory with a HEAD.
fn is_repository(scene: &Scene<'_>, dir: &Path) -> bool {
    let git = dir.join(".git");
    match scene.walk.stat(&git) {
        Some(stat) if stat.file_type == FileType::File => true,
        Some(stat) if stat.file_type == FileType::Dir => {
            scene.walk.lstat(&git.join("HEAD")).is_some()
        }
        _ => false,
    }
}

/// Why a canonical directory is no workspace.
pub(super) fn unfit(scene: &Scene<'_>, real: &Path) -> Option<String> {
    if real == scene.home.real {
        return Some("it is HOME, and everything in it would be the agent's to change".into());
    }
    if scene.home.real.starts_with(real) {
        return Some(if real == Path::new("/") {
            "it is the whole system".into()
        } else {
            "it holds HOME".into()
        });
    }
    if let Some(what) = system_workspace(real) {
        // A system user may live in one: only what is below its HOME is its own.
        if !real.starts_with(&scene.home.real) {
            return Some(format!("it is {what}"));
        }
    }
    if let Some(dir) = scene.own_dirs.iter().find(|dir| real.starts_with(dir)) {
        return Some(format!("it is agentbox's own ({})", show(dir)));
    }
    if let Some(dir) = scene.own_dirs.iter().find(|dir| dir.starts_with(real)) {
        return Some(format!("it holds agentbox's own {}", show(dir)));
    }
    if let Ok(below) = real.strip_prefix(&scene.home.real) {
        let first = below.components().next().map(|c| c.as_os_str());
        if first.is_some_and(|first| KEYS.iter().any(|keys| first == *keys)) {
            return Some("it is where your keys are, which no box sees".into());
        }
        if below.starts_with(".config/opencode") {
            return Some(runs_outside(Path::new("~/.config/opencode")));
        }
    }
    settings(real).map(runs_outside)
}

fn runs_outside(dir: &Path) -> String {
    let dir = show(dir);
    format!(
        "what is in {dir} (hooks, settings, servers) is run outside, and in there no rule protects it"
    )
}

/// The directory of settings that a path is in. Agents make work trees in theirs, and those are projects.
fn settings(real: &Path) -> Option<&Path> {
    let dir = real.ancestors().find(|dir| {
        dir.file_name()
            .is_some_and(|name| SETTINGS.iter().any(|own| name == *own))
    })?;
    let mut below = real.strip_prefix(dir).ok()?.components();
    let worktree =
        below.next().is_some_and(|c| c.as_os_str() == "worktrees") && below.next().is_some();
    (!worktree || dir.ends_with(".git")).then_some(dir)
}

/// The working directory inside: kept when it lies in the workspace, else the workspace.
pub(super) fn working_directory(scene: &Scene<'_>) -> PathBuf {
    let cwd = tidy(&scene.host.cwd);
    let workspace = &scene.workspace;
    let Some(real) = scene.walk.canonical(&cwd) else {
        return workspace.path.clone();
    };
    match real.strip_prefix(&workspace.real) {
        Ok(_) if cwd.starts_with(&workspace.path) && !has_parent(&cwd) => cwd,
        // Without a trailing slash for the root itself.
        Ok(rest) if rest.as_os_str().is_empty() => workspace.path.clone(),
        Ok(rest) => workspace.path.join(rest),
        Err(_) => workspace.path.clone(),
    }
}

/// Without "." and doubled slashes; ".." is kept, since it means something else behind a symlink.
pub(super) fn tidy(path: &Path) -> PathBuf {
    // Most paths are tidy, and taking one apart costs more than the copy.
    match plain(path) {
        Plain::Not => path.components().collect(),
        Plain::Root | Plain::Name(_) => path.to_owned(),
    }
}

pub(super) fn has_parent(path: &Path) -> bool {
    path.components()
        .any(|c| matches!(c, std::path::Component::ParentDir))
}
