//! Other repositories and projects that a human granted for work (`--write ../lib`): what is said of names in the working copy holds there, too.

#![forbid(unsafe_code)]

use super::super::expand::{below, same, within};
use super::super::git;
use super::super::scene::Scene;
use super::rules::path_of;
use crate::host::FileType;
use crate::plan::names::matcher::{Matcher, literal};
use crate::plan::names::{NameRule, Verdict};
use crate::plan::{Access, OsText};
use crate::policy::Origin;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// What makes a directory a repository.
const REPOSITORY: [&str; 5] = [".git", ".hg", ".jj", ".sl", ".svn"];

/// What a project has at its top, also one that is in no repository, or in none any more: the box may have moved `.git` away.
const PROJECT: [&str; 50] = [
    ".agentbox.toml",
    ".envrc",
    ".terraform.lock.hcl",
    "BUILD.bazel",
    "CMakeLists.txt",
    "Cargo.toml",
    "Chart.yaml",
    "Dockerfile",
    "Gemfile",
    "Justfile",
    "MODULE.bazel",
    "Makefile",
    "Package.swift",
    "Pipfile",
    "Pulumi.yaml",
    "Rakefile",
    "WORKSPACE",
    "ansible.cfg",
    "build.gradle",
    "build.gradle.kts",
    "build.sbt",
    "build.zig",
    "cdk.json",
    "compose.yaml",
    "compose.yml",
    "composer.json",
    "deno.json",
    "docker-compose.yaml",
    "docker-compose.yml",
    "dune-project",
    "flake.nix",
    "go.mod",
    "justfile",
    "kustomization.yaml",
    "meson.build",
    "mix.exs",
    "package.json",
    "pom.xml",
    "pubspec.yaml",
    "pyproject.toml",
    "rebar.config",
    "requirements.txt",
    "serverless.yml",
    "settings.gradle",
    "settings.gradle.kts",
    "setup.cfg",
    "setup.py",
    "stack.yaml",
    "terragrunt.hcl",
    "wrangler.toml",
];

/// How such a name ends where the project gives the rest.
const PROJECT_ENDS: [&str; 11] = [
    ".cabal", ".csproj", ".fsproj", ".gemspec", ".nimble", ".sln", ".slnx", ".tf", ".tfstate",
    ".tfvars", ".tofu",
];

/// The file with the secrets of what lies in a directory.
const SECRETS: &str = ".env";

/// How many entries of a directory are looked at for repositories, with those of the directories in it.
const MOST: usize = 1_000;

/// How deep they lie at most: `~/src/github.com/OWNER/NAME`.
const DEPTH: usize = 3;

/// Such a repository.
#[derive(Debug, Clone)]
pub(in super::super) struct Tree {
    pub(super) dir: PathBuf,
    /// What is only read needs no protection.
    pub(super) access: Access,
    /// The way from there to the working copy, where that lies in it: it has its own rules, and what was lifted in it stays so.
    pub(super) holds_work: Option<Vec<u8>>,
}

/// Directories that somebody who is here granted, and that are repositories or projects, lie in a repository, or hold some; what
/// holds the working copy is one (`--write ..`), and so is the project that the command is a program of. Not HOME, what holds it, data, caches, toolchains and settings: their names mean
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
        add(scene, &mut out, scene.real_of(&path), access, &[]);
    }
    for dir in &scene.packages {
        // Nobody said that all of it is to be seen; a clone below `~/.local/share` has its token as well.
        let marks = REPOSITORY.into_iter().chain([SECRETS]);
        let marks: Vec<&str> = marks.collect();
        add(scene, &mut out, dir.clone(), Access::Read, &marks);
    }
    out
}

/// Adds a directory if it is work, or has one of these names at its top.
fn add(scene: &Scene<'_>, out: &mut Vec<Tree>, dir: PathBuf, access: Access, marks: &[&str]) {
    let work = &scene.workspace.real;
    let holds_work = below(work, &dir).map(<[u8]>::to_vec);
    if within(&dir, work)
        || holds_work.is_some() && within(&scene.home.real, &dir)
        || out.iter().any(|tree| within(&dir, &tree.dir))
        || !(is_work(scene, &dir, holds_work.is_some()) || has(scene, &dir, marks))
    {
        return;
    }
    out.retain(|tree| !within(&tree.dir, &dir) || tree.access > access);
    out.push(Tree {
        dir,
        access,
        holds_work,
    });
}

/// Takes `way`, which leads to the working copy, out of what rules say of the tree around it.
pub(super) fn except(way: &[u8], dir: &Path, rules: &[NameRule]) -> Vec<NameRule> {
    let matcher = Matcher::new(rules, dir);
    let mut names = way.split(|b| *b == b'/');
    let Some(at) = names.try_fold(matcher.start(), |at, name| matcher.enter(&at, name)) else {
        return Vec::new();
    };
    let rest = matcher.rest(&at).into_iter();
    // What begins with `**` begins there as well.
    let floating = rules
        .iter()
        .enumerate()
        .map(|(number, rule)| (number, rule.pattern.bytes().to_vec()));
    let floating = floating.filter(|(_, pattern)| pattern.starts_with(b"**/"));
    let start: Vec<Vec<u8>> = way.split(|b| *b == b'/').map(literal).collect();
    let except = rest.chain(floating).filter_map(|(number, pattern)| {
        let rule = rules.get(number)?.clone();
        let pattern = [start.join(&b'/'), pattern].join(&b'/');
        Some(NameRule {
            pattern: OsText::from(OsString::from_vec(pattern)),
            verdict: Verdict::Lifted,
            holds: None,
            ..rule
        })
    });
    except.collect()
}

/// The workspace, and the others that the box may change.
pub(super) fn roots(scene: &Scene<'_>) -> Vec<PathBuf> {
    let trees = scene.trees.iter();
    let trees = trees.filter(|tree| tree.access == Access::Write);
    let dirs = trees.map(|tree| &tree.dir);
    let all = std::iter::once(&scene.workspace.real).chain(dirs);
    all.cloned().collect()
}

/// The root that has the rules about a path, and the way from there.
pub(super) fn root_of(scene: &Scene<'_>, path: &Path) -> Option<(PathBuf, PathBuf)> {
    let found = |root: PathBuf| {
        let way = path.strip_prefix(&root).ok()?.to_owned();
        Some((root, way))
    };
    roots(scene).into_iter().find_map(found)
}

/// Names for a line of the banner: those in the working copy from its top.
pub(super) fn short<'p>(scene: &Scene<'_>, paths: &'p [PathBuf]) -> Vec<&'p Path> {
    let work = &scene.workspace.real;
    let short = |path: &'p PathBuf| path.strip_prefix(work).unwrap_or(path);
    paths.iter().map(short).collect()
}

/// Is it this root that has the rules about a path in it? About the working copy the tree around it has none.
pub(in super::super) fn is_of(scene: &Scene<'_>, path: &Path, root: &Path) -> bool {
    let work = &scene.workspace.real;
    same(root, work) || !within(path, work)
}

/// The directories of git in what is only read, where no rule looks for their configuration.
pub(in super::super) fn git_dirs_read(scene: &Scene<'_>) -> Vec<PathBuf> {
    let trees = scene.trees.iter();
    let trees = trees.filter(|tree| tree.access == Access::Read);
    let tops = trees.flat_map(|tree| {
        let top = Some(tree.dir.clone()).filter(|dir| is_repository(scene, dir));
        top.into_iter()
            .chain(repositories(scene, &tree.dir, usize::MAX))
    });
    // A bare one is its own; a `.git` file leads to one that is granted by itself, if at all.
    // What holds the working copy is not read only there.
    let work = &scene.workspace.real;
    tops.filter(|top| !within(top, work))
        .flat_map(|top| [top.join(".git"), top])
        .filter(|dir| git::is_repository(scene, dir))
        .collect()
}

fn has(scene: &Scene<'_>, dir: &Path, marks: &[&str]) -> bool {
    let mut marks = marks.iter();
    marks.any(|mark| scene.walk.look.lstat(&dir.join(mark)).is_some())
}

fn is_project(scene: &Scene<'_>, dir: &Path) -> bool {
    let names = scene.walk.look.read_dir(dir);
    let mut names = names.iter().filter_map(|name| name.to_str());
    names.any(|name| PROJECT.contains(&name) || PROJECT_ENDS.iter().any(|end| name.ends_with(end)))
}

/// A bare one has at its top what is in `.git` elsewhere.
fn is_repository(scene: &Scene<'_>, dir: &Path) -> bool {
    has(scene, dir, &REPOSITORY) || git::is_repository(scene, dir)
}

fn is_dir(scene: &Scene<'_>, dir: &Path) -> bool {
    let stat = scene.walk.look.lstat(dir);
    stat.is_some_and(|stat| stat.file_type == FileType::Dir)
}

/// So many repositories below a directory, the highest ones first.
fn repositories(scene: &Scene<'_>, dir: &Path, most: usize) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut left = MOST;
    let mut level = vec![dir.to_owned()];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for dir in level {
            let names = scene.walk.look.read_dir(&dir).into_iter().take(left);
            let names = names.filter(|name| name != ".git");
            let inside: Vec<PathBuf> = names.map(|name| dir.join(name)).collect();
            left = left.saturating_sub(inside.len());
            let dirs = inside.into_iter().filter(|dir| is_dir(scene, dir));
            next.extend(dirs);
        }
        out.extend(next.iter().filter(|dir| is_repository(scene, dir)).cloned());
        if out.len() >= most {
            break;
        }
        level = next;
    }
    out
}

/// Does a directory have at its top what a project of somebody's has, or the file with its secrets?
pub(in super::super) fn is_top(scene: &Scene<'_>, dir: &Path) -> bool {
    is_repository(scene, dir) || is_project(scene, dir) || has(scene, dir, &[SECRETS])
}

fn is_work(scene: &Scene<'_>, dir: &Path, holds_work: bool) -> bool {
    // ~/.nvm and ~/.pyenv are repositories, and no work.
    let in_home = below(dir, &scene.home.real);
    let is_settings = in_home.is_some_and(|way| way.is_empty() || way.starts_with(b"."));
    if is_settings || !is_dir(scene, dir) || scene.is_private(dir) {
        return false;
    }
    if holds_work {
        return true;
    }
    // A HOME that is kept in git makes no project of what is in it.
    let mut above = dir.ancestors().take_while(|dir| *dir != scene.home.real);
    above.any(|dir| is_repository(scene, dir))
        || is_project(scene, dir)
        || !repositories(scene, dir, 1).is_empty()
}
