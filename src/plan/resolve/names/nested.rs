//! Other work trees below the workspace and in other trees that are granted for work: nested repositories, linked work trees and submodules.
//! What their git configuration names as hooks and includes, and where their repositories are, is known only when the search has found them.

#![forbid(unsafe_code)]

use super::super::expand::{below, same};
use super::super::gitconfig::{self, Named};
use super::super::scene::Scene;
use super::rules::{Rank, called, has_star, of_git};
use super::search::Hit;
use super::trees::roots;
use crate::host::FileType;
use crate::plan::Kind;
use crate::plan::names::git::in_dot_git;
use crate::plan::names::matcher::{Matcher, spelled};
use crate::plan::names::{Decision, NameRule, Verdict};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// More than git writes into `.git` or `commondir`.
const MOST: usize = 64 * 1024;

/// How many work trees are looked at.
const TREES: usize = 1024;

/// Adds rules about what the work trees among `hits` name, beside those that are built in, and what exists of that.
pub(super) fn add(scene: &mut Scene<'_>, rules: &mut Vec<NameRule>, hits: &mut Vec<Hit>) {
    let work = &scene.workspace.real.clone();
    let found: BTreeSet<PathBuf> = hits
        .iter()
        .filter_map(|hit| dot_git(&hit.path))
        .map(Path::to_owned)
        .collect();
    let mut dot_gits: Vec<PathBuf> = found.into_iter().collect();
    if dot_gits.len() > TREES {
        // The oldest ones: an earlier session may have made the others, and no call sets the time of birth.
        dot_gits.sort_by_cached_key(|dot_git| {
            let identity = dot_git
                .parent()
                .and_then(|top| scene.walk.look.identity(top));
            let born = identity.map_or(0, |identity| identity.born);
            if born == 0 { i128::MAX } else { born }
        });
        scene.notices.push(format!(
            "there are more than {TREES} repositories and work trees: hooks, programs and files that the git configuration of {} and others \
             names are not protected",
            dot_gits.get(TREES).and_then(|dot_git| dot_git.parent()).unwrap_or(work).display()
        ));
    }
    let mut places: Vec<(PathBuf, Named)> = roots(scene)
        .into_iter()
        .map(|root| (root, Named::default()))
        .collect();
    // What others than the profiles that are built in say comes after what is added here, and wins.
    let from = rules
        .iter()
        .position(|rule| Rank::of(&rule.origin) != Rank::Builtin)
        .unwrap_or(rules.len());
    let mut repositories: BTreeSet<(PathBuf, PathBuf)> = BTreeSet::new();
    let mut everywhere = None;
    for dot_git in dot_gits.iter().take(TREES) {
        // What the working copy's own names there has its rules.
        let is_done = |top: &Path, root: &Path| same(top, work) && same(root, work);
        let Some(top) = dot_git.parent() else {
            continue;
        };
        if places.iter().all(|(root, _)| is_done(top, root)) {
            continue;
        }
        let everywhere = everywhere.get_or_insert_with(|| gitconfig::everywhere(scene));
        let (own, common) = repository(scene, top, dot_git).unzip();
        let files = [(&common, "config"), (&own, "config.worktree")];
        let files = files.map(|(dir, name)| dir.as_ref().map(|dir| dir.join(name)));
        let own = gitconfig::values(scene, files.into_iter().flatten().collect());
        for (root, named) in &mut places {
            if !is_done(top, root) {
                named.add(scene, everywhere, (top, root));
                named.add(scene, &own, (top, root));
                let way = common.as_deref().and_then(|common| below(common, root));
                let way = way.map(|way| Path::new(OsStr::from_bytes(way)));
                let way = way.filter(|way| !in_dot_git(way));
                repositories.extend(way.map(|way| (root.clone(), way.to_owned())));
            }
        }
    }
    let mut more: Vec<NameRule> = Vec::new();
    for (root, named) in &places {
        more.extend(of_git(root, named, rules));
    }
    for (root, way) in &repositories {
        let of_git = called(root, way, rules.get(..from).unwrap_or_default());
        // Only what has a whole name is looked for below.
        more.extend(
            of_git
                .into_iter()
                .filter(|rule| !has_star(rule.pattern.bytes())),
        );
    }
    let known = |rule: &NameRule| {
        let is_same = |other: &NameRule| {
            other.kind == rule.kind
                && other.verdict == Verdict::Applies
                && same(other.root.path(), rule.root.path())
                && other.pattern == rule.pattern
        };
        rules.iter().any(is_same)
    };
    more.retain(|rule| !known(rule));
    if more.is_empty() {
        return;
    }
    for hit in hits.iter_mut() {
        hit.decision = hit.decision.shifted(from, more.len());
    }
    let names: Vec<(PathBuf, PathBuf)> = more
        .iter()
        .map(|rule| (rule.root.path().to_owned(), spelled(rule.pattern.bytes())))
        .map(|(root, way)| (root.join(way), root))
        .collect();
    rules.splice(from..from, more);
    for (root, _) in &places {
        let mut below = names.iter().filter(|(_, of)| same(of, root)).peekable();
        if below.peek().is_none() {
            continue;
        }
        let matcher = Matcher::new(rules, root);
        for (path, _) in below {
            // Behind a link it is another name, which has a rule as well.
            let found = scene.walk.look.lstat(path);
            let Some(stat) = found.filter(|_| same(&scene.real_of(path), path)) else {
                continue;
            };
            let file_type = stat.file_type;
            let decision = decision(&matcher, path, root, file_type);
            hits.push(Hit {
                path: path.clone(),
                file_type,
                decision,
            });
        }
    }
}

/// The `.git` of a work tree, where a name that was found is that, as a file, or the configuration in it.
fn dot_git(path: &Path) -> Option<&Path> {
    let is = |path: &Path, name: &str| path.file_name() == Some(OsStr::new(name));
    if is(path, "config") {
        return path.parent().filter(|dir| is(dir, ".git"));
    }
    Some(path).filter(|path| is(path, ".git"))
}

/// A work tree's own git directory, and that of its repository.
fn repository(scene: &Scene<'_>, top: &Path, dot_git: &Path) -> Option<(PathBuf, PathBuf)> {
    let line = |file: &Path| {
        let text = scene.walk.look.read(file, MOST)?;
        let end = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
        Some(text.get(..end)?.trim_ascii().to_vec())
    };
    // As a file it leads to the directory.
    let own = match line(dot_git) {
        Some(line) => line.strip_prefix(b"gitdir:").and_then(|named| {
            let named = OsStr::from_bytes(named.trim_ascii());
            scene.walk.canonical(&top.join(named))
        }),
        None => Some(dot_git.to_owned()),
    };
    let own = own?;
    let common = line(&own.join("commondir"))
        .and_then(|named| scene.walk.canonical(&own.join(OsStr::from_bytes(&named))))
        .unwrap_or_else(|| own.clone());
    Some((own, common))
}

/// What the rules say of a path as a whole.
fn decision(matcher: &Matcher, path: &Path, work: &Path, file_type: FileType) -> Decision {
    let way = below(path, work).unwrap_or_default();
    let mut names = way.split(|b| *b == b'/').peekable();
    let mut cursor = Some(matcher.start());
    while let (Some(name), Some(at)) = (names.next(), &cursor) {
        if names.peek().is_none() {
            let kind = match file_type {
                FileType::Dir => Kind::Dir,
                _ => Kind::File,
            };
            return matcher.entry_of(at, name, kind);
        }
        cursor = matcher.enter(at, name);
    }
    Decision::default()
}
