//! What variables of the caller's name in the box's reach: credentials under a name that no rule knows
//! (`KUBECONFIG=ops/cluster.yaml`) are hidden, and what a shell, git or an interpreter runs outside because a variable says so
//! (`PYTHONPATH=src` runs `src/sitecustomize.py`) is frozen. Variables that are set when the box starts.

#![forbid(unsafe_code)]

use super::super::expand::within;
use super::super::scene::Scene;
use super::super::words::split;
use super::dotfiles::summary;
use super::rules::anchor;
use super::variables::{RUNNING, Runs, SECRETS, SECRETS_IN, SETTINGS, WRITTEN_BY_JAVA};
use super::written;
use crate::host::FileType;
use crate::plan::Access;
use crate::plan::names::{Holds, NameKind, NameRule};
use crate::policy::Origin;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Rules about what is set.
pub(super) fn rules(scene: &mut Scene<'_>) -> Vec<NameRule> {
    let mut found = Found::default();
    secrets(scene, &mut found);
    running(scene, &mut found);
    let work = scene.workspace.real.clone();
    let frozen = found
        .seen
        .iter()
        .filter(|(kind, _)| *kind == NameKind::Freeze);
    let there = frozen.filter(|(_, path)| scene.walk.lstat(path).is_some());
    let ways: Vec<&Path> = there
        .filter_map(|(_, path)| path.strip_prefix(&work).ok())
        .collect();
    summary(scene, "a variable names it", &ways);
    found.rules
}

/// What is found of it, each path once.
#[derive(Default)]
struct Found {
    rules: Vec<NameRule>,
    seen: BTreeSet<(NameKind, PathBuf)>,
}

impl Found {
    fn add(&mut self, scene: &Scene<'_>, kind: NameKind, path: &Path, var: &str) {
        self.add_if(scene, kind, path, var, None);
    }

    fn add_if(
        &mut self,
        scene: &Scene<'_>,
        kind: NameKind,
        path: &Path,
        var: &str,
        holds: Option<Holds>,
    ) {
        // As it is written and where it leads: a link on the way can become another one.
        for path in written::names(scene, path) {
            if counts(scene, kind, &path) && self.seen.insert((kind, path.clone())) {
                let (root, way) = anchor(scene, &path);
                let way = Path::new(OsStr::from_bytes(&way));
                let rule = NameRule::about(kind, &root, way, &format!("{var} names it"));
                self.rules.push(NameRule { holds, ..rule });
            }
        }
    }
}

fn secrets(scene: &Scene<'_>, found: &mut Found) {
    for var in SECRETS {
        for path in list(scene, var, b":") {
            found.add(scene, NameKind::Hide, &path, var);
        }
    }
    for var in SETTINGS {
        for path in list(scene, var, b"") {
            found.add_if(scene, NameKind::Hide, &path, var, Some(Holds::Token));
        }
    }
    for (var, names) in SECRETS_IN {
        // Who passes the variable means the agent of the box to log in there.
        let mut kept = scene.policy.wishes.env.keep.iter();
        if kept.any(|wish| wish.value == *var && !matches!(wish.origin, Origin::Builtin { .. })) {
            continue;
        }
        for dir in list(scene, var, b"") {
            for name in *names {
                found.add(scene, NameKind::Hide, &dir.join(name), var);
            }
        }
    }
}

fn running(scene: &Scene<'_>, found: &mut Found) {
    let freeze = NameKind::Freeze;
    for (var, runs) in RUNNING {
        match runs {
            Runs::Files => {
                // What has no slash is no path in most of them (`ENV=test`).
                if value(scene, var).contains(&b'/') {
                    for path in list(scene, var, b": ") {
                        found.add(scene, freeze, &path, var);
                    }
                }
            }
            Runs::Command => {
                for path in files(scene, words(value(scene, var)), &[]) {
                    found.add(scene, freeze, &path, var);
                }
            }
            Runs::Modules(ends) => {
                for path in files(scene, words(value(scene, var)), ends) {
                    found.add(scene, freeze, &path, var);
                }
            }
            Runs::Java => {
                let written = |word: &Vec<u8>| {
                    let mut options = WRITTEN_BY_JAVA.iter();
                    options.any(|option| word.starts_with(option.as_bytes()))
                };
                for word in words(value(scene, var))
                    .into_iter()
                    .filter(|word| !written(word))
                {
                    let is_property = word.starts_with(b"-D");
                    for path in files(scene, vec![word], &[]) {
                        if !is_property || scene.walk.stat(&path).is_some() {
                            found.add(scene, freeze, &path, var);
                        }
                    }
                }
            }
            Runs::Named(names) => {
                for dir in list(scene, var, b":") {
                    for name in *names {
                        found.add(scene, freeze, &dir.join(name), var);
                    }
                }
            }
        }
    }
}

fn value<'s>(scene: &'s Scene<'_>, var: &str) -> &'s [u8] {
    scene.host.var(var).map_or(&[], |value| value.as_bytes())
}

/// The paths in a variable, absolute; the whole of it is one as well, since a name may hold what separates others.
fn list(scene: &Scene<'_>, var: &str, separators: &[u8]) -> Vec<PathBuf> {
    let value = value(scene, var);
    let pieces = value.split(|byte| separators.contains(byte));
    let mut paths: Vec<PathBuf> = pieces
        .chain([value])
        .filter(|text| !text.is_empty())
        .map(|text| absolute(scene, text))
        .collect();
    paths.dedup();
    paths
}

/// The words of a command that may name files: those that have a slash (what has none is looked up on PATH). The whole of it is one
/// as well: not every program gives it to a shell.
fn words(value: &[u8]) -> Vec<Vec<u8>> {
    let mut words = split(value);
    words.push(value.to_vec());
    words.retain(|word| word.contains(&b'/'));
    words
}

/// The paths in such words, also behind `=`, `:` or `@` and what stands before a path (`|`, `-F`), and those that are there with one of
/// the ends. A directory is not run: it is what the command works on (`fd . src/`), or where it looks for what is the work
/// (`-Ilib`).
fn files(scene: &Scene<'_>, words: Vec<Vec<u8>>, ends: &[&str]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for word in words.iter().filter(|word| !word.ends_with(b"/")) {
        let after = word.iter().rposition(|byte| b"=:@".contains(byte));
        let root = word.iter().position(|byte| *byte == b'/');
        let module = word.windows(2).position(|pair| pair == b"./");
        let from = [Some(0), after.map(|at| at + 1), root, module];
        for text in from
            .into_iter()
            .flatten()
            .filter_map(|from| word.get(from..))
        {
            if text.is_empty() {
                continue;
            }
            let path = absolute(scene, text);
            for end in ends {
                let mut with_end = path.clone().into_os_string();
                with_end.push(end);
                paths.extend(
                    scene
                        .walk
                        .stat(Path::new(&with_end))
                        .map(|_| with_end.into()),
                );
            }
            paths.push(path);
        }
    }
    let is_dir = |path: &PathBuf| {
        let stat = scene.walk.stat(path);
        stat.is_some_and(|stat| stat.file_type == FileType::Dir)
    };
    paths.retain(|path| !is_dir(path));
    paths
}

/// As a shell would see it, of HOME only.
fn absolute(scene: &Scene<'_>, text: &[u8]) -> PathBuf {
    let path = match written::below_home(text) {
        Some(rest) => scene.home.path.join(OsStr::from_bytes(rest)),
        None => scene.host.cwd.join(OsStr::from_bytes(text)),
    };
    super::super::workspace::tidy(&path)
}

/// Is it a name in what the box sees (hidden) or may write (frozen), and no place to work in, one above, or a device?
fn counts(scene: &Scene<'_>, kind: NameKind, path: &Path) -> bool {
    let reach = match (kind, scene.tree.access(path)) {
        (NameKind::Hide, access) => access.is_some(),
        (_, access) => access == Some(Access::Write),
    };
    let above = |place: &Path| within(place, path);
    let stat = scene.walk.stat(path);
    let is_name = path.components().all(|part| part != Component::ParentDir);
    reach
        && is_name
        && stat.is_none_or(|stat| matches!(stat.file_type, FileType::File | FileType::Dir))
        && !above(&scene.workspace.real)
        && !above(&scene.home.real)
}
