//! The command: found as a shell finds it, made runnable, and the PATH of the box.

#![forbid(unsafe_code)]

use super::expand::{parent, same};
use super::pathmap::PathMap;
use super::runnable;
use super::scene::{Scene, show};
use super::walk::Walked;
use super::workspace::{tidy, working_directory};
use crate::host::FileType;
use crate::plan::problem::{Problem, ProblemKind};
use crate::plan::refused::BIN;
use crate::plan::{Command, OsText};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Where commands are when the caller has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds the command and makes it runnable.
pub(super) fn command(scene: &mut Scene<'_>) -> Command {
    let argv = arguments(scene);
    let name = argv.first().cloned().unwrap_or_default();
    let found = if name.bytes().is_empty() {
        scene.problem(
            "there is no command",
            "name one: agentbox run COMMAND",
            None,
        );
        None
    } else if argv.iter().any(|arg| arg.bytes().contains(&0)) {
        scene.problem("an argument holds a NUL byte", "leave it out", None);
        None
    } else {
        match find(scene, name.os()) {
            Ok(path) => Some(path),
            Err(problem) => {
                scene.problems.push(problem);
                None
            }
        }
    };
    path_links(scene);
    if let Some(path) = &found {
        runnable::make(scene, path);
    }
    Command {
        name,
        program: found.map(OsText::from),
        argv,
        cwd: working_directory(scene).into(),
        profiles: Vec::new(),
    }
}

/// argv: what the profile adds stands before the caller's own arguments, where the command is the profile's.
fn arguments(scene: &Scene<'_>) -> Vec<OsText> {
    let mut argv = scene.policy.request.argv.clone();
    let wishes = &scene.policy.wishes;
    let base = argv.first().and_then(|name| name.path().file_name());
    let is_its = base.is_some_and(|base| wishes.commands.iter().any(|c| base == c.as_str()));
    if is_its {
        let added = wishes
            .arguments
            .iter()
            .map(|wish| OsText::from(wish.value.as_str()));
        argv.splice(1..1, added);
    }
    argv
}

/// Finds a command by name: with a slash a path, else in PATH.
pub(super) fn find(scene: &Scene<'_>, name: &OsStr) -> Result<PathBuf, Problem> {
    let display = OsText::from(name);
    // A name of a directory in every directory of PATH.
    let is_dots = name == "." || name == "..";
    if is_dots || name.as_bytes().contains(&b'/') {
        let mut path = tidy(&scene.host.cwd.join(name));
        if path.components().any(|c| c == Component::ParentDir)
            && let Some(real) = path.parent().and_then(|dir| scene.walk.canonical(dir))
            && let Some(file) = path.file_name()
        {
            // The parent is canonical, the name is kept: programs look at argv[0] and their own name.
            path = real.join(file);
        }
        return match usable(scene, &path) {
            Usable::Yes => Ok(path),
            Usable::Missing => {
                Err(elsewhere(scene, &display).unwrap_or_else(|| not_found(&display, "")))
            }
            Usable::No(why) => Err(not_executable(&format!("{display} {}", why.text()), why)),
        };
    }
    let mut refused = None;
    for dir in entries(scene) {
        if !Path::new(&dir).is_absolute() {
            continue;
        }
        let path = Path::new(&dir).join(name);
        match usable(scene, &path) {
            Usable::Yes => return Ok(path),
            Usable::Missing => {}
            Usable::No(why) => {
                refused.get_or_insert_with(|| (format!("{} {}", show(&path), why.text()), why));
            }
        }
    }
    match refused {
        Some((what, why)) => Err(not_executable(&what, why)),
        None => Err(not_found(&display, " in PATH")),
    }
}

enum Usable {
    Yes,
    Missing,
    No(Unusable),
}

/// Why what is there cannot be executed.
#[derive(Clone, Copy)]
enum Unusable {
    Directory,
    NotExecutable,
    NoFile,
}

impl Unusable {
    fn text(self) -> &'static str {
        match self {
            Unusable::Directory => "is a directory",
            Unusable::NotExecutable => "is not executable",
            Unusable::NoFile => "is not a regular file",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Unusable::Directory => {
                "name a program; `agentbox run -C DIR COMMAND` starts COMMAND in a directory"
            }
            Unusable::NotExecutable => "make it executable (chmod +x), or name another command",
            Unusable::NoFile => "name another command",
        }
    }
}

fn usable(scene: &Scene<'_>, path: &Path) -> Usable {
    match scene.walk.stat(path).map(|stat| stat.file_type) {
        None => Usable::Missing,
        Some(FileType::Dir) => Usable::No(Unusable::Directory),
        Some(FileType::File) if scene.walk.look.executable(path) => Usable::Yes,
        Some(FileType::File) => Usable::No(Unusable::NotExecutable),
        Some(_) => Usable::No(Unusable::NoFile),
    }
}

/// A path that is one from the working copy: what `make -C` and `env -C` would start.
fn elsewhere(scene: &Scene<'_>, name: &OsText) -> Option<Problem> {
    let path = tidy(&scene.workspace.path.join(name.path()));
    matches!(usable(scene, &path), Usable::Yes).then(|| Problem {
        remedy: format!(
            "a path is one from the current directory, and `-C` names the working copy: it is {}",
            OsText::from(path).shell_word()
        ),
        ..not_found(name, "")
    })
}

fn not_found(name: &OsText, wher: &str) -> Problem {
    let bytes = name.bytes();
    let assigns = bytes.iter().position(|b| *b == b'=').is_some_and(|at| {
        bytes
            .iter()
            .take(at)
            .all(|b| b.is_ascii_alphanumeric() || *b == b'_')
    });
    let remedy = if bytes.contains(&b' ') {
        "the command and each of its arguments are words of their own; a line for a shell is `agentbox run -- sh -c 'LINE'`"
    } else if assigns {
        "a variable is set by --env NAME=VALUE, before the command"
    } else {
        "install it, or name it with its path, also where it is an alias of your shell"
    };
    Problem {
        what: format!("{name}: command not found{wher}"),
        remedy: remedy.into(),
        origin: None,
        kind: ProblemKind::CommandNotFound,
    }
}

fn not_executable(what: &str, why: Unusable) -> Problem {
    Problem {
        what: what.to_owned(),
        remedy: why.remedy().into(),
        origin: None,
        kind: ProblemKind::NotExecutable,
    }
}

/// The entries of the caller's PATH, as they are. An empty entry means "." to a shell, and is relative.
pub(super) fn entries(scene: &Scene<'_>) -> Vec<OsString> {
    let path = scene
        .host
        .var("PATH")
        .filter(|path| !path.is_empty())
        .cloned()
        .unwrap_or_else(|| DEFAULT_PATH.into());
    let mut out: Vec<OsString> = Vec::new();
    for entry in path.as_bytes().split(|b| *b == b':') {
        let entry = OsString::from_vec(entry.to_vec());
        if !out.contains(&entry) {
            out.push(entry);
        }
    }
    out
}

/// The links of PATH entries that lead to something visible (`/bin`, `~/.nvm/current/bin`) are made in the box.
fn path_links(scene: &mut Scene<'_>) {
    for entry in entries(scene) {
        if let Some(walked) = scene.walk.follow(Path::new(&entry))
            && walked.stat.is_some()
            && scene.tree.access(&walked.real).is_some()
        {
            scene.tree.links(&walked);
        }
    }
}

/// The PATH of the box and what was dropped of the caller's. `links` are those that the box has.
pub(super) fn search_path(scene: &Scene<'_>, links: &PathMap<PathBuf>) -> (OsString, Vec<OsText>) {
    let mut kept: Vec<u8> = Vec::new();
    let mut dropped = Vec::new();
    for entry in entries(scene) {
        if in_box(scene, links, Path::new(&entry)) {
            if !kept.is_empty() {
                kept.push(b':');
            }
            kept.extend_from_slice(entry.as_bytes());
        } else if !entry.is_empty() {
            dropped.push(OsText::from(entry));
        }
    }
    if kept.is_empty() {
        kept.extend_from_slice(DEFAULT_PATH.as_bytes());
    }
    // First, so that a stub is found before what somebody put into a directory that the box can write.
    let mut path = format!("{BIN}:").into_bytes();
    path.append(&mut kept);
    (OsString::from_vec(path), dropped)
}

/// Does this path lead to something in the box?
fn in_box(scene: &Scene<'_>, links: &PathMap<PathBuf>, path: &Path) -> bool {
    let Some(walked) = scene.walk.follow(path) else {
        return false;
    };
    if !walked.is_dir() || !scene.tree.has_links(&walked, links) {
        return false;
    }
    shows(scene, links, &walked)
        // Nothing of it was granted but a program or two, by agentbox itself.
        || scene.tree.binds().keys().chain(links.keys()).any(|at| parent(at).is_some_and(|dir| same(dir, &walked.real)))
}

/// Is it in the box under the name that was followed?
pub(super) fn shows(scene: &Scene<'_>, links: &PathMap<PathBuf>, walked: &Walked) -> bool {
    let is_shown = scene.tree.access(&walked.real).is_some();
    scene.tree.has_links(walked, links) && (is_shown || scene.tree.is_behind(links, &walked.real))
}
