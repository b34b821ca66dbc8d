//! Directories of PATH that lie in the workspace (`.venv/bin` of an activated environment, `node_modules/.bin`, `.`): the user's next
//! `ls` or `git`, typed outside, is the one that the box puts there. So nobody makes a program with such a name there while a box
//! runs. A guard-rail: of names that people type and no package installs, and not of what is there already.

#![forbid(unsafe_code)]

use super::super::scene::Scene;
use super::trees::{root_of, roots};
use super::written;
use crate::host::FileType;
use crate::plan::Access;
use crate::plan::names::{NameKind, NameRule};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is typed by hand every day, or by scripts with more rights than the box has. Not here: what pip(1), npm(1) or conda put into
/// such a directory themselves (`cmake`, `which`, `openssl`, `aws`; `clear`, which each of conda's environments has).
const TYPED: &[&str] = &[
    // Of every system.
    "awk",
    "basename",
    "bash",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "dash",
    "date",
    "dd",
    "df",
    "dirname",
    "du",
    "echo",
    "egrep",
    "env",
    "false",
    "fgrep",
    "find",
    "fish",
    "grep",
    "groups",
    "head",
    "hostname",
    "id",
    "kill",
    "less",
    "ln",
    "ls",
    "man",
    "mkdir",
    "mktemp",
    "more",
    "mv",
    "nohup",
    "pgrep",
    "pkill",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "sed",
    "sh",
    "sleep",
    "sort",
    "stat",
    "tail",
    "tar",
    "tee",
    "top",
    "touch",
    "true",
    "uname",
    "uniq",
    "wc",
    "whoami",
    "xargs",
    "zsh",
    // With the user's keys and passwords.
    "curl",
    "doas",
    "git",
    "gpg",
    "login",
    "passwd",
    "pkexec",
    "rsync",
    "scp",
    "sftp",
    "ssh",
    "ssh-add",
    "ssh-keygen",
    "su",
    "sudo",
    "wget",
    // With root's rights, soon.
    "apt",
    "apt-get",
    "brew",
    "crontab",
    "dnf",
    "docker",
    "dpkg",
    "ip",
    "journalctl",
    "mount",
    "pacman",
    "ping",
    "podman",
    "systemctl",
    "umount",
    "yum",
    // Where somebody works all day.
    "code",
    "emacs",
    "htop",
    "nano",
    "nvim",
    "screen",
    "tmux",
    "vi",
    "vim",
    "xdg-open",
    // What starts the next box.
    "agentbox",
];

/// How many such directories are looked after.
const MOST: usize = 200;

/// The environments that editors and shells activate by themselves.
const ACTIVATED: &[&str] = &[".venv/bin", "venv/bin"];

/// Where one may be made in the session, since it is a project in Python. Elsewhere the rules would cost each start for nothing.
const OF_PYTHON: &[&str] = &[
    "pyproject.toml",
    "requirements.txt",
    "setup.py",
    "Pipfile",
    "tox.ini",
];

/// Rules about the names that are not there yet.
pub(super) fn rules(scene: &mut Scene<'_>) -> Vec<NameRule> {
    let work = &scene.workspace.real.clone();
    let path = scene.host.var("PATH").map(OsString::as_os_str);
    let path = path.unwrap_or_default().as_bytes().split(|b| *b == b':');
    let mut dirs: BTreeSet<PathBuf> = BTreeSet::new();
    for dir in path.map(|dir| Path::new(OsStr::from_bytes(dir))) {
        if dir.is_absolute() {
            dirs.insert(dir.to_owned());
            continue;
        }
        // Relative, and empty for `.`: wherever the user types.
        dirs.extend([work.join(dir), scene.host.cwd.join(dir)]);
    }
    for root in roots(scene) {
        let is_there = |name: &&str| scene.walk.lstat(&root.join(name)).is_some();
        let is_python = OF_PYTHON.iter().any(&is_there);
        let activated = ACTIVATED.iter().filter(|dir| is_python || is_there(dir));
        dirs.extend(activated.map(|dir| root.join(dir)));
    }
    let dirs: BTreeSet<PathBuf> = dirs.iter().flat_map(|dir| places(scene, dir)).collect();
    if dirs.len() > MOST {
        scene.notices.push(format!(
            "{} directories of PATH lie in the working copy: what is made in the last {} of them may shadow the system's programs",
            dirs.len(),
            dirs.len() - MOST
        ));
    }
    let mut out = Vec::new();
    for dir in dirs.iter().take(MOST) {
        let mut there: BTreeSet<OsString> = BTreeSet::new();
        scene.walk.look.scan(dir, &mut |name, _, _| {
            there.insert(name.to_owned());
        });
        let Some((root, way)) = root_of(scene, dir) else {
            continue;
        };
        let missing = TYPED
            .iter()
            .filter(|name| !there.contains(OsStr::new(name)));
        out.extend(missing.map(|name| {
            let why = "your shell finds it there before the system's";
            NameRule::about(NameKind::Freeze, &root, &way.join(name), why)
        }));
    }
    out
}

/// The names in the workspace and other trees, where the box can write, of a directory that is there or can be made; more than one where links are on
/// the way, each of which the box could replace.
fn places(scene: &Scene<'_>, dir: &Path) -> Vec<PathBuf> {
    let can_be = scene
        .walk
        .stat(dir)
        .is_none_or(|stat| stat.file_type == FileType::Dir);
    let mut names = match can_be {
        true => written::names(scene, dir),
        false => Vec::new(),
    };
    names.retain(|name| {
        root_of(scene, name).is_some() && scene.tree.access(name) == Some(Access::Write)
    });
    names
}
