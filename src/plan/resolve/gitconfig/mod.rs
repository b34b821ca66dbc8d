//! Git's configuration is shown through a copy without extra headers, passwords in URLs, tokens and credential helpers,
//! where it holds any.
//!
//! The user's own files may include others, which are granted through the same cleaning. A repository's configuration may be
//! an agent's work: what it includes is cleaned where it is visible anyway and never granted.
//!
//! A repository's own `config` has to stay writable, since git replaces it by rename. Over one with a secret in it hangs a
//! read-only copy: `git remote add` and `push -u` fail there with EBUSY. To let git write the file would be to show it.

#![forbid(unsafe_code)]

mod given;
mod named;
mod programs;

use super::expand::within;
use super::grants::give;
use super::names::{asked_for, is_hidden, places};
use super::pathmap::PathMap;
use super::scene::{Scene, shell_word, show};
use super::workspace::tidy;
use crate::host::FileType;
use crate::plan::gitconfig::{self, clean};
use crate::plan::names::{NameKind, Names};
use crate::plan::{Access, Env, Grant, GrantKind, Kind, MountOp, OsText};
use crate::policy::Origin;
pub(super) use named::{Named, everywhere, in_workspace, values};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What is read: a larger one is no configuration, and is read as none.
const MOST: usize = gitconfig::MAX + 1;

/// What `GIT_CONFIG_KEY_N` of a profile names that turns it off.
const SIGNING: &str = "commit.gpgsign";

const UNSIGNED: &str = "git does not sign here: the keys stay outside; sign what is to be kept (`git rebase --exec 'git commit \
--amend --no-edit -S' BASE`)";

/// How many files are looked at.
const FILES: usize = 256;

/// A file that the box sees as something else.
#[derive(Debug, Clone)]
pub(super) struct Cleaned {
    path: PathBuf,
    content: Vec<u8>,
}

/// Whose word a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The user's or the system's: no box can write it.
    User,
    /// The repository's.
    Repository,
}

/// The most bytes of a configuration in which the address of `origin` is looked for.
const MAX_ORIGIN: usize = 256 * 1024;

/// Where `origin` of a repository is.
pub(super) fn origin(scene: &Scene<'_>, common: &Path) -> Option<String> {
    let text = scene.walk.look.read(&common.join("config"), MAX_ORIGIN)?;
    let config = gitconfig::parse(&text).ok()?;
    let is_it = |entry: &&gitconfig::Entry| {
        entry.section == b"remote"
            && entry.subsection.as_deref() == Some(b"origin")
            && entry.key == b"url"
    };
    let value = config.entries.iter().find(is_it)?.value.clone()?;
    String::from_utf8(value).ok().filter(|url| !url.is_empty())
}

/// The user's own configuration, and the system's.
fn users_own(scene: &Scene<'_>) -> [PathBuf; 3] {
    [
        scene.home.path.join(".gitconfig"),
        scene.xdg("XDG_CONFIG_HOME", ".config").join("git/config"),
        PathBuf::from("/etc/gitconfig"),
    ]
}

/// Looks through every configuration that the box will see and grants what the user's own includes.
pub(super) fn look(scene: &mut Scene<'_>) {
    let mut todo: Vec<(PathBuf, Whose)> = Vec::new();
    todo.extend(users_own(scene).map(|path| (path, Whose::User)));
    let of = |files: Vec<PathBuf>| files.into_iter().map(|path| (path, Whose::Repository));
    todo.extend(of(repositories(scene)));
    examine(scene, todo);
    // One by one: so many take none of the files that are looked at from the others.
    for dir in super::names::git_dirs_read(scene) {
        let files = configurations(scene, &dir);
        examine(scene, of(files).collect());
    }
}

/// The configurations of other repositories below the workspace, which a search by name has found: nested ones, and those of
/// their submodules and worktrees.
pub(super) fn nested(scene: &mut Scene<'_>, names: &Names) {
    let known = repositories(scene);
    let files = names.found.iter().filter(|found| {
        let name = found.host.path().file_name();
        let is_config = name.is_some_and(|name| name == "config" || name == "config.worktree");
        found.kind == NameKind::Track && found.dir == Kind::File && is_config
    });
    let todo: Vec<(PathBuf, Whose)> = files
        .map(|found| found.host.path().to_owned())
        .filter(|file| !known.contains(file))
        .map(|file| (file, Whose::Repository))
        .collect();
    examine(scene, todo);
}

fn examine(scene: &mut Scene<'_>, mut todo: Vec<(PathBuf, Whose)>) {
    let mut seen: Vec<PathBuf> = scene.cleaned.iter().map(|c| c.path.clone()).collect();
    while let Some((path, whose)) = todo.pop() {
        let real = scene.real_of(&path);
        if seen.len() >= FILES || seen.contains(&real) {
            continue;
        }
        seen.push(real.clone());
        let Some(text) = scene.walk.look.read(&real, MOST) else {
            continue;
        };
        // What the box can write is not the user's word, whoever includes it.
        let whose = match scene.tree.access(&real) {
            Some(Access::Write) => Whose::Repository,
            _ => whose,
        };
        let config = gitconfig::parse(&text).unwrap_or_default();
        scene.signs |= config.entries.iter().any(signs);
        for path in included(scene, &config, real.parent().unwrap_or(&real)) {
            let target = scene.real_of(&path);
            let visible = scene.tree.access(&target).is_some();
            let is_file = scene
                .walk
                .stat(&target)
                .is_some_and(|s| s.file_type == FileType::File);
            let granted = whose == Whose::User && !visible && is_file && {
                let origin = Origin::agentbox("git's configuration includes it");
                give(scene, &path, Access::Read, &origin, None)
            };
            if visible || granted {
                todo.push((path, whose));
            }
        }
        if whose == Whose::User {
            read_besides(scene, &config);
        }
        consider(scene, &real, &text, whose);
    }
}

/// What else git reads where the user's own configuration names it: `git commit` fails without its template, and the others
/// would be ignored without a word.
const READ: [(&[u8], &[u8]); 5] = [
    (b"core", b"excludesfile"),
    (b"core", b"attributesfile"),
    (b"commit", b"template"),
    (b"mailmap", b"file"),
    (b"blame", b"ignorerevsfile"),
];

fn read_besides(scene: &mut Scene<'_>, config: &gitconfig::Config) {
    let is_one = |entry: &&gitconfig::Entry| {
        let name = (entry.section.as_slice(), entry.key.as_slice());
        entry.subsection.is_none() && READ.contains(&name)
    };
    let values = config.entries.iter().filter(is_one);
    // Others are relative to where git runs, which is the workspace.
    let values = values.filter_map(|entry| entry.value.as_deref());
    let elsewhere = values.filter(|value| value.starts_with(b"/") || value.starts_with(b"~/"));
    for value in elsewhere.take(FILES) {
        let path = named(scene, value, Path::new("/"));
        let target = scene.real_of(&path);
        let is_file = scene
            .walk
            .stat(&target)
            .is_some_and(|s| s.file_type == FileType::File);
        if !is_file || scene.tree.access(&target).is_some() {
            continue;
        }
        // None of these has a place for a credential: a file that holds one, or that is hidden as one, is something else.
        let text = scene.walk.look.read(&target, MOST);
        if text.is_some_and(|text| !credential(&text)) && !is_hidden(scene, &target) {
            let origin = Origin::agentbox("git's configuration names it");
            give(scene, &path, Access::Read, &origin, None);
        }
    }
}

/// Decides what the box sees of a file.
fn consider(scene: &mut Scene<'_>, real: &Path, text: &[u8], whose: Whose) {
    let files = &scene.policy.wishes.files;
    // A grant of exactly this file, by the user, shows it as it is.
    let lifted = files.read.iter().chain(&files.write).any(|wish| {
        asked_for(&wish.origin)
            && super::names::path_of(scene, wish).is_some_and(|path| scene.real_of(&path) == real)
    });
    if lifted {
        return;
    }
    let content = match clean::clean(text) {
        Ok(None) => return,
        Ok(Some(content)) => content,
        Err(()) if credential(text) || whose == Whose::User => {
            scene.notices.push(format!(
                "{} is no git configuration that is understood: it reads as empty",
                show(real)
            ));
            Vec::new()
        }
        Err(()) => return,
    };
    if whose == Whose::Repository {
        scene.notices.push(format!(
            "{} holds credentials: a copy without them is shown, which git cannot change (--write {} shows it as it is)",
            show(real),
            shell_word(real)
        ));
    }
    scene.cleaned.push(Cleaned {
        path: real.to_owned(),
        content,
    });
}

fn credential(text: &[u8]) -> bool {
    text.split(|b| *b == b'\n')
        .any(crate::plan::credential::value)
}

/// The configurations of the workspace's repository: its own, its work trees' and its submodules'.
fn repositories(scene: &Scene<'_>) -> Vec<PathBuf> {
    let common = scene.repository.as_deref();
    common.map_or_else(Vec::new, |common| configurations(scene, common))
}

/// The same of any.
fn configurations(scene: &Scene<'_>, common: &Path) -> Vec<PathBuf> {
    let look = scene.walk.look;
    let mut out = vec![common.join("config"), common.join("config.worktree")];
    for name in look
        .read_dir(&common.join("worktrees"))
        .into_iter()
        .take(FILES)
    {
        out.push(common.join("worktrees").join(name).join("config.worktree"));
    }
    // A submodule's name may hold slashes.
    let mut dirs = vec![(common.join("modules"), 0)];
    while let Some((dir, depth)) = dirs.pop() {
        for name in look.read_dir(&dir).into_iter().take(FILES) {
            let module = dir.join(name);
            if out.len() >= FILES || depth > 4 {
                break;
            }
            if look.lstat(&module.join("HEAD")).is_some() {
                out.push(module.join("config"));
                dirs.push((module.join("modules"), depth + 1));
            } else if look
                .lstat(&module)
                .is_some_and(|s| s.file_type == FileType::Dir)
            {
                dirs.push((module, depth + 1));
            }
        }
    }
    out.retain(|path| look.lstat(path).is_some());
    out
}

/// What a configuration includes, whatever the condition.
fn included(scene: &Scene<'_>, config: &gitconfig::Config, dir: &Path) -> Vec<PathBuf> {
    config
        .entries
        .iter()
        .filter(|v| matches!(v.section.as_slice(), b"include" | b"includeif") && v.key == b"path")
        .filter_map(|v| v.value.as_deref())
        .map(|value| named(scene, value, dir))
        .take(FILES)
        .collect()
}

/// Does it have commits or tags signed?
fn signs(entry: &gitconfig::Entry) -> bool {
    let is_key = matches!(entry.section.as_slice(), b"commit" | b"tag") && entry.key == b"gpgsign";
    // What git takes for yes; a key without a value is one, too.
    let value = entry.value.as_deref().unwrap_or(b"true");
    let yes = |word: &&[u8]| value.eq_ignore_ascii_case(word);
    is_key && [&b"true"[..], b"yes", b"on", b"1"].iter().any(yes)
}

/// What is said to who signs, where the environment of the box turns that off.
pub(super) fn unsigned(scene: &Scene<'_>, env: &Env) -> Option<String> {
    let off = env
        .set
        .iter()
        .any(|set| set.value.bytes() == SIGNING.as_bytes());
    (scene.signs && off).then(|| UNSIGNED.to_owned())
}

/// A path of a configuration: `~/x`, absolute, or relative to `dir`.
fn named(scene: &Scene<'_>, value: &[u8], dir: &Path) -> PathBuf {
    match value.strip_prefix(b"~/") {
        Some(rest) => tidy(&scene.home.path.join(OsStr::from_bytes(rest))),
        None => tidy(&dir.join(OsStr::from_bytes(value))),
    }
}

/// Puts the cleaned copies where the files are.
pub(super) fn cover(scene: &mut Scene<'_>, ops: &mut Vec<(PathBuf, MountOp)>) {
    for Cleaned { path, content } in std::mem::take(&mut scene.cleaned) {
        let content = OsText::from(OsString::from_vec(content));
        for (place, holder, _) in places(scene, &path) {
            let alone = place == holder
                && scene
                    .tree
                    .binds()
                    .get(&holder)
                    .is_some_and(|shown| shown.kind == Kind::File)
                && !scene
                    .tree
                    .binds()
                    .keys()
                    .any(|at| *at != holder && within(&holder, at));
            let target = OsText::from(place.as_path());
            let origin = Origin::agentbox("git's configuration without its credentials");
            let note = Some(Grant::WITHOUT_CREDENTIALS.to_owned());
            scene.grant(&place, GrantKind::Hidden, &origin, note);
            // A file of the box's own where nothing of the host's is around it; else something over the host's.
            let op = match (alone, content.os().to_str()) {
                (true, Some(text)) => MountOp::File {
                    target,
                    mode: 0o444,
                    content: text.to_owned(),
                },
                _ => MountOp::Cover {
                    target,
                    content: content.clone(),
                },
            };
            ops.push((place, op));
        }
    }
}

/// Replaces what the view would show by its cleaned copy.
pub(super) fn put(ops: &mut PathMap<MountOp>, covers: Vec<(PathBuf, MountOp)>) {
    for (at, op) in covers {
        ops.insert(at, op);
    }
}
