//! Configuration of the user's that lies in the workspace: HOME has links to it, as stow(8), chezmoi or a script lay out a
//! repository of dotfiles. What the box writes there the user's shell, git and agents run outside, without anybody's asking; in
//! HOME itself the box could not write it. So it is frozen, and the banner names it. What is hidden in HOME (`~/.aws`) is hidden
//! where such a link leads.

#![forbid(unsafe_code)]

use super::super::expand::{same, within};
use super::super::scene::{Scene, show};
use super::trees::{is_of, roots, short};
use super::{first_few, rules, written};
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

/// Of what the profiles keep as a copy (`state`), the logins, in HOME: tokens are renewed in them, and nothing in them runs.
const LOGINS: &[&str] = &[
    ".claude/.credentials.json",
    ".codex/auth.json",
    ".gemini/oauth_creds.json",
    ".qwen/oauth_creds.json",
];

/// Rules about what such links lead to; `known` are those about HOME.
pub(super) fn rules(scene: &mut Scene<'_>, known: &[NameRule]) -> Vec<NameRule> {
    let roots = roots(scene).into_iter();
    roots
        .flat_map(|root| rules_in(scene, &root, known))
        .collect()
}

/// The same of one tree: the working copy, or another one.
fn rules_in(scene: &mut Scene<'_>, work: &Path, known: &[NameRule]) -> Vec<NameRule> {
    let places = links(scene, work);
    let links = places
        .iter()
        .flat_map(|(link, names)| names.iter().map(move |name| (link, name)));
    let home = scene.home.real.clone();
    let mut out: Vec<NameRule> = Vec::new();
    let mut frozen: Vec<PathBuf> = Vec::new();
    // Where there is no such link nobody asks.
    let (own, settings) = match places.is_empty() {
        true => (Vec::new(), Vec::new()),
        false => (own(scene, work), settings(scene, work)),
    };
    let matcher = (!places.is_empty()).then(|| Matcher::new(known, &home));
    for (link, name) in links {
        let way = name.strip_prefix(work).ok();
        let Some(way) = way.filter(|way| !way.as_os_str().is_empty()) else {
            let notice = match same(work, &scene.workspace.real) {
                true => format!(
                    "{} is a link to this directory: your programs may run what is written here",
                    show(link)
                ),
                false => format!(
                    "{} is a link to {}: your programs may run what is written there",
                    show(link),
                    show(work)
                ),
            };
            scene.notices.push(notice);
            continue;
        };
        let hidden = |holds| NameRule {
            holds,
            ..NameRule::about(
                NameKind::Hide,
                work,
                way,
                "a hidden name of HOME is a link to it",
            )
        };
        let said = matcher.as_ref().zip(link.strip_prefix(&home).ok());
        let said = said.map(|(matcher, name)| (matcher.strongest(name), matcher.may_hide(name)));
        if let Some((Some((NameKind::Hide, _)), _)) = said {
            // And frozen, where git has it: then it is shown.
            out.push(hidden(None));
            out.push(NameRule::about(NameKind::Freeze, work, way, WHY));
            continue;
        }
        let by_content = said.and_then(|(_, rule)| known.get(rule?));
        out.extend(by_content.map(|rule| hidden(rule.holds)));
        freeze(scene, name, (&own, &settings), DEPTH, &mut frozen);
    }
    frozen.sort();
    frozen.dedup();
    let said = short(scene, &frozen);
    summary(scene, "links of your HOME lead there", &said);
    let ways = frozen
        .iter()
        .filter_map(|path| path.strip_prefix(work).ok());
    out.extend(ways.map(|way| NameRule::about(NameKind::Freeze, work, way, WHY)));
    out
}

/// The links, and the names in the workspace by which each leads somewhere.
type Links = BTreeMap<PathBuf, Vec<PathBuf>>;

fn links(scene: &mut Scene<'_>, work: &Path) -> Links {
    let mut links = Links::new();
    let mut add = |link: PathBuf| add(scene, work, link, &mut links);
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
    if !links.is_empty() && deeper(scene, work, below_dots, &mut links) == Search::EndedEarly {
        scene.notices.push(format!(
            "links of your HOME to this directory were looked for in its first {ENTRIES} entries: what others lead to can be written"
        ));
    }
    links
}

fn add(scene: &Scene<'_>, work: &Path, link: PathBuf, links: &mut Links) {
    let names = leads_here(scene, work, &link);
    if !names.is_empty() {
        links.insert(link, names);
    }
}

/// What is in a directory.
fn entries(scene: &Scene<'_>, dir: &Path, each: &mut dyn FnMut(PathBuf, FileType)) {
    let look = scene.walk.look;
    look.scan(dir, &mut |name, file_type, _| {
        each(dir.join(name), file_type)
    });
}

/// The places in the workspace, or the workspace itself, that a link outside of it leads to, whether they exist or not: also where it
/// goes on from there by a link, which the box could replace.
fn leads_here(scene: &Scene<'_>, work: &Path, link: &Path) -> Vec<PathBuf> {
    if within(link, work) {
        return Vec::new();
    }
    let mut names = written::names(scene, link);
    // What is installed there is replaced by whoever installs (`~/.venv -> work/.venv`).
    let is_searched = |name: &PathBuf| {
        let way = name.strip_prefix(work);
        way.is_ok_and(|way| !is_never_searched(work, way)) && is_of(scene, name, work)
    };
    names.retain(is_searched);
    names
}

/// How far a search came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Search {
    Complete,
    EndedEarly,
}

/// Links further down.
fn deeper(
    scene: &Scene<'_>,
    work: &Path,
    mut dirs: Vec<(PathBuf, usize)>,
    links: &mut Links,
) -> Search {
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
            add(scene, work, link, links);
        }
        if left == 0 {
            return Search::EndedEarly;
        }
    }
    Search::Complete
}

/// What a profile lets the agent write in the workspace: its state, and the login where that cannot be a copy, since its directory
/// lies there. And what the box has a place of its own for, which covers the host's.
fn own(scene: &Scene<'_>, work: &Path) -> Vec<PathBuf> {
    let state = scene.policy.wishes.files.state.iter();
    let paths = state.filter_map(|wish| rules::path_of(scene, wish));
    let is_login = |path: &PathBuf| {
        let name = path.strip_prefix(&scene.home.path);
        name.is_ok_and(|name| LOGINS.iter().any(|login| name == Path::new(login)))
    };
    let logins = paths
        .filter(is_login)
        .map(|path| (path.parent().map(|dir| scene.real_of(dir)), path))
        .filter_map(|(dir, path)| Some(dir?.join(path.file_name()?)));
    let grants = scene.writable.iter().cloned();
    let covers = scene.tree.binds().iter();
    let covers = covers.filter(|(at, shown)| **at != shown.source);
    grants
        .chain(logins)
        .chain(covers.map(|(at, _)| at.clone()))
        .filter(|grant| !within(work, grant) && within(grant, work))
        .collect()
}

/// What profiles have an agent read of HOME, there or not: beside what is its own, a new one is as good as a changed one.
fn settings(scene: &Scene<'_>, work: &Path) -> Vec<PathBuf> {
    let files = &scene.policy.wishes.files;
    let paths = files.read.iter().chain(&files.state);
    let paths = paths.filter_map(|wish| rules::path_of(scene, wish));
    paths
        .filter_map(|path| Some(scene.real_of(path.parent()?).join(path.file_name()?)))
        .filter(|place| within(place, work))
        .collect()
}

/// Freezes a name; what is the agent's own where it leads stays as it is, and what is beside that is frozen, settings that are not
/// there yet as well.
fn freeze(
    scene: &Scene<'_>,
    name: &Path,
    (own, settings): (&[PathBuf], &[PathBuf]),
    depth: usize,
    out: &mut Vec<PathBuf>,
) {
    let place = scene.real_of(name);
    if own.iter().any(|grant| within(&place, grant)) {
        return;
    }
    if depth > 0 && own.iter().any(|grant| within(grant, &place)) {
        entries(scene, &place, &mut |path, _| {
            let name = name.join(path.file_name().unwrap_or_default());
            freeze(scene, &name, (own, settings), depth - 1, out)
        });
        let is_new = |setting: &&PathBuf| {
            setting.parent() == Some(&place)
                && scene.walk.lstat(setting).is_none()
                && !own.iter().any(|grant| within(setting, grant))
        };
        let new = settings.iter().filter(is_new);
        out.extend(new.filter_map(|setting| Some(name.join(setting.file_name()?))));
        return;
    }
    out.push(name.to_owned());
}

/// One line for the banner.
pub(super) fn summary(scene: &mut Scene<'_>, why: &str, ways: &[&Path]) {
    if ways.is_empty() {
        return;
    }
    let name = |way: &&Path| OsText::from(OsString::from(way)).to_string();
    let names: Vec<String> = ways.iter().map(name).collect();
    scene.notices.push(format!(
        "read-only, since {why}: {}  (--write PATH lifts one, --protect '!PATTERN' several)",
        first_few(&names)
    ));
}
