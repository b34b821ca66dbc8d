//! Configuration of the user's that lies in the workspace: HOME has links to it, as stow(8), chezmoi or a script lay out a
//! repository of dotfiles. What the box writes there the user's shell, git and agents run outside, without anybody's asking; in
//! HOME itself the box could not write it. So it is frozen, and the banner names it.

#![forbid(unsafe_code)]

use super::super::expand::{below, same, within};
use super::super::scene::{Scene, show};
use crate::host::FileType;
use crate::plan::OsText;
use crate::plan::names::matcher::heavy;
use crate::plan::names::{NameKind, NameRule};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where programs look for what they run: HOME itself (`bin`, and names with a dot), and these directories in it.
const HOME: &[&str] = &[
    ".config",
    ".config/systemd/user", // systemd.unit(5): `systemctl --user link`
    ".config/autostart",    // what a desktop starts
    ".config/git",
    ".config/opencode",
    ".local", // `.local/bin` as a whole; a program in it that is of the work is the work's product
    ".ssh",
    ".claude",
    ".codex",
    ".gemini",
    ".cursor",
];

/// The same of the whole system, which root runs.
const SYSTEM: &[&str] = &["/etc/systemd/system", "/etc/cron.d", "/etc/profile.d"];

/// How deep, and how many entries, where there is one such link: then each file may be one (`stow --no-folding`).
const DEPTH: usize = 5;
const ENTRIES: usize = 20_000;

/// Directories of HOME that hold no configuration and are large.
const LARGE: &[&str] = &[
    ".cache", ".npm", ".cargo", ".rustup", ".nvm", ".local", ".m2",
];

/// Rules about what such links lead to.
pub(super) fn rules(scene: &mut Scene<'_>) -> Vec<NameRule> {
    let mut links: BTreeSet<PathBuf> = BTreeSet::new();
    let home = scene.home.real.clone();
    let config = scene.xdg("XDG_CONFIG_HOME", ".config");
    let dirs = HOME.iter().map(|dir| match dir.strip_prefix(".config") {
        Some(dir) => config.join(dir.trim_start_matches('/')),
        None => home.join(dir),
    });
    for dir in dirs.chain(SYSTEM.iter().map(PathBuf::from)) {
        entries(scene, &dir, &mut |path, file_type| {
            if file_type == FileType::Symlink {
                links.insert(path);
            }
        });
    }
    let mut below_dots: Vec<(PathBuf, usize)> = Vec::new();
    entries(scene, &home, &mut |path, file_type| {
        let name = path.file_name().unwrap_or_default().as_bytes();
        match file_type {
            FileType::Symlink if name == b"bin" => {
                links.insert(path);
            }
            _ if name.first() != Some(&b'.') => {}
            FileType::Symlink => {
                links.insert(path);
            }
            FileType::Dir if !LARGE.iter().any(|large| large.as_bytes() == name) => {
                below_dots.push((path, 1));
            }
            _ => {}
        }
    });
    links.retain(|link| leads_here(scene, link).is_some());
    if !links.is_empty() {
        deeper(scene, below_dots, &mut links);
    }
    let mut frozen: Vec<PathBuf> = Vec::new();
    for link in &links {
        let Some(real) = leads_here(scene, link) else {
            continue;
        };
        if same(&real, &scene.workspace.real) {
            scene.notices.push(format!(
                "{} is a link to this directory: your programs may run what is written here",
                show(link)
            ));
            continue;
        }
        freeze(scene, &real, DEPTH, &mut frozen);
    }
    frozen.sort();
    frozen.dedup();
    let work = scene.workspace.real.clone();
    let ways: Vec<&Path> = frozen
        .iter()
        .filter_map(|path| below(path, &work).map(|way| Path::new(OsStr::from_bytes(way))))
        .collect();
    summary(scene, &ways);
    let rule = |way: &&Path| NameRule::about(NameKind::Freeze, &work, way, "HOME has a link to it");
    ways.iter().map(rule).collect()
}

/// What is in a directory.
fn entries(scene: &Scene<'_>, dir: &Path, each: &mut dyn FnMut(PathBuf, FileType)) {
    let look = scene.walk.look;
    look.scan(dir, &mut |name, file_type, _| {
        each(dir.join(name), file_type)
    });
}

/// The place in the workspace, or the workspace itself, that a link outside of it leads to, whether it exists or not.
fn leads_here(scene: &Scene<'_>, link: &Path) -> Option<PathBuf> {
    let work = &scene.workspace.real;
    if within(link, work) {
        return None;
    }
    let real = scene.walk.follow(link)?.real.clone();
    let way = PathBuf::from(OsStr::from_bytes(below(&real, work)?));
    // What is installed there is replaced by whoever installs (`~/.venv -> work/.venv`).
    let names: Vec<&OsStr> = std::iter::once(OsStr::new("")).chain(way.iter()).collect();
    let is_installed = names
        .windows(2)
        .any(|two| matches!(two, [above, name] if heavy(above.as_bytes(), name.as_bytes())));
    (!is_installed).then_some(real)
}

/// Links further down.
fn deeper(scene: &Scene<'_>, mut dirs: Vec<(PathBuf, usize)>, links: &mut BTreeSet<PathBuf>) {
    let mut left = ENTRIES;
    while let Some((dir, depth)) = dirs.pop() {
        let mut found: Vec<PathBuf> = Vec::new();
        entries(scene, &dir, &mut |path, file_type| {
            left = left.saturating_sub(1);
            match file_type {
                FileType::Symlink => found.push(path),
                FileType::Dir if depth < DEPTH && left > 0 => dirs.push((path, depth + 1)),
                _ => {}
            }
        });
        links.extend(
            found
                .into_iter()
                .filter(|link| leads_here(scene, link).is_some()),
        );
    }
}

/// Freezes a place; what a profile lets the agent write there (its state) stays as it is, and what is beside it is frozen.
fn freeze(scene: &Scene<'_>, place: &Path, depth: usize, out: &mut Vec<PathBuf>) {
    let work = &scene.workspace.real;
    let mut own = scene
        .writable
        .iter()
        .filter(|grant| !within(work, grant) && below(grant, work).is_some());
    if own.clone().any(|grant| within(place, grant)) {
        return;
    }
    if depth > 0 && own.any(|grant| within(grant, place)) {
        entries(scene, place, &mut |path, _| {
            freeze(scene, &path, depth - 1, out)
        });
        return;
    }
    out.push(place.to_owned());
}

/// One line for the banner.
fn summary(scene: &mut Scene<'_>, ways: &[&Path]) {
    const NAMED: usize = 4;
    if ways.is_empty() {
        return;
    }
    let name = |way: &&Path| OsText::from(OsString::from(way)).to_string();
    let first: Vec<String> = ways.iter().take(NAMED).map(name).collect();
    let more = match ways.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    scene.notices.push(format!(
        "read-only, since links of your HOME lead there: {}{more}  (--write PATH lifts one, --protect '!PATTERN' several)",
        first.join(", ")
    ));
}
