//! Configuration of the user's that lies in the workspace: HOME has links to it, as stow(8), chezmoi or a script lay out a
//! repository of dotfiles. What the box writes there the user's shell, git and agents run outside, without anybody's asking; in
//! HOME itself the box could not write it. So it is frozen, and the banner names it. What is hidden in HOME (`~/.aws`) is hidden
//! where such a link leads.

#![forbid(unsafe_code)]

use super::super::expand::within;
use super::super::scene::{Scene, show};
use crate::host::FileType;
use crate::plan::OsText;
use crate::plan::names::is_never_searched;
use crate::plan::names::matcher::Matcher;
use crate::plan::names::{NameKind, NameRule};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where programs look for what they run: HOME itself (`bin`, and names with a dot), and these directories in it.
const HOME: &[&str] = &[
    ".config",
    ".config/systemd/user", // systemd.unit(5): `systemctl --user link`
    ".config/autostart",    // what a desktop starts
    ".config/git",
    ".config/opencode",
    ".config/gcloud",
    ".config/gh",
    ".aws", // hidden
    ".azure",
    ".docker",
    ".gnupg",
    ".kube",
    ".local", // `.local/bin` as a whole; a program in it that is of the work is the work's product
    ".ssh",
    ".claude",
    ".codex",
    ".gemini",
    ".cursor",
];

/// The same of the whole system, which root runs.
const SYSTEM: &[&str] = &["/etc/systemd/system", "/etc/cron.d", "/etc/profile.d"];

/// Why it is frozen.
const WHY: &str = "HOME has a link to it";

/// How deep, and how many entries, where there is one such link: then each file may be one (`stow --no-folding`).
const DEPTH: usize = 5;
const ENTRIES: usize = 20_000;

/// Directories of HOME that hold no configuration and are large.
const LARGE: &[&str] = &[
    ".cache", ".npm", ".cargo", ".rustup", ".nvm", ".local", ".m2",
];

/// Rules about what such links lead to; `known` are those about HOME.
pub(super) fn rules(scene: &mut Scene<'_>, known: &[NameRule]) -> Vec<NameRule> {
    let links = links(scene);
    let (work, home) = (scene.workspace.real.clone(), scene.home.real.clone());
    let mut out: Vec<NameRule> = Vec::new();
    let mut frozen: Vec<PathBuf> = Vec::new();
    let matcher = (!links.is_empty()).then(|| Matcher::new(known, &home));
    for (link, real) in &links {
        let Some(way) = real
            .strip_prefix(&work)
            .ok()
            .filter(|way| !way.as_os_str().is_empty())
        else {
            scene.notices.push(format!(
                "{} is a link to this directory: your programs may run what is written here",
                show(link)
            ));
            continue;
        };
        let hidden = |holds| NameRule {
            holds,
            ..NameRule::about(
                NameKind::Hide,
                &work,
                way,
                "a hidden name of HOME is a link to it",
            )
        };
        let said = matcher.as_ref().zip(link.strip_prefix(&home).ok());
        let said = said.map(|(matcher, name)| (matcher.strongest(name), matcher.may_hide(name)));
        if let Some((Some((NameKind::Hide, _)), _)) = said {
            // And frozen, where git has it: then it is shown.
            out.push(hidden(None));
            out.push(NameRule::about(NameKind::Freeze, &work, way, WHY));
            continue;
        }
        let by_content = said.and_then(|(_, rule)| known.get(rule?));
        out.extend(by_content.map(|rule| hidden(rule.holds)));
        freeze(scene, real, DEPTH, &mut frozen);
    }
    frozen.sort();
    frozen.dedup();
    let ways = frozen
        .iter()
        .filter_map(|path| path.strip_prefix(&work).ok());
    let ways: Vec<&Path> = ways.collect();
    summary(scene, "links of your HOME lead there", &ways);
    let rule = |way: &&Path| NameRule::about(NameKind::Freeze, &work, way, WHY);
    out.extend(ways.iter().map(rule));
    out
}

/// The links, and where in the workspace each leads.
fn links(scene: &Scene<'_>) -> BTreeMap<PathBuf, PathBuf> {
    let mut links: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut add = |link: PathBuf| {
        if let Some(real) = leads_here(scene, &link) {
            links.insert(link, real);
        }
    };
    let home = &scene.home.real;
    let config = scene.xdg("XDG_CONFIG_HOME", ".config");
    let dirs = HOME.iter().map(|dir| match dir.strip_prefix(".config") {
        Some(dir) => config.join(dir.trim_start_matches('/')),
        None => home.join(dir),
    });
    for dir in dirs.chain(SYSTEM.iter().map(PathBuf::from)) {
        entries(scene, &dir, &mut |path, file_type| {
            if file_type == FileType::Symlink {
                add(path);
            }
        });
    }
    let mut below_dots: Vec<(PathBuf, usize)> = Vec::new();
    entries(scene, home, &mut |path, file_type| {
        let name = path.file_name().unwrap_or_default().as_bytes();
        let has_dot = name.first() == Some(&b'.');
        match file_type {
            FileType::Symlink if has_dot || name == b"bin" => add(path),
            FileType::Dir if has_dot && !LARGE.iter().any(|large| large.as_bytes() == name) => {
                below_dots.push((path, 1));
            }
            _ => {}
        }
    });
    if !links.is_empty() {
        deeper(scene, below_dots, &mut links);
    }
    links
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
    // What is installed there is replaced by whoever installs (`~/.venv -> work/.venv`).
    let is_installed = is_never_searched(work, real.strip_prefix(work).ok()?);
    (!is_installed).then_some(real)
}

/// Links further down.
fn deeper(
    scene: &Scene<'_>,
    mut dirs: Vec<(PathBuf, usize)>,
    links: &mut BTreeMap<PathBuf, PathBuf>,
) {
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
        for link in found {
            if let Some(real) = leads_here(scene, &link) {
                links.insert(link, real);
            }
        }
    }
}

/// Freezes a place; what a profile lets the agent write there (its state) stays as it is, and what is beside it is frozen.
fn freeze(scene: &Scene<'_>, place: &Path, depth: usize, out: &mut Vec<PathBuf>) {
    let work = &scene.workspace.real;
    let mut own = scene
        .writable
        .iter()
        .filter(|grant| !within(work, grant) && within(grant, work));
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
pub(super) fn summary(scene: &mut Scene<'_>, why: &str, ways: &[&Path]) {
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
        "read-only, since {why}: {}{more}  (--write PATH lifts one, --protect '!PATTERN' several)",
        first.join(", ")
    ));
}
