//! Names that are hidden or frozen and exist at the start: rules, a search for what they are about, and how each is covered
//! in the box.
//!
//! *Hidden*: an empty file or directory over every place where it is visible, also over its other hard links, and over what a
//! link leads to. What git tracks is left as it is where only a built-in rule is about it and its content is committed; else it
//! is covered by what cannot be opened, so that git stops instead of committing nothing.
//! *Frozen*: a read-only mount, and each directory above it up to the grant a mount of its own: none can be moved away.

#![forbid(unsafe_code)]

mod ahead;
mod aliases;
mod direnv;
mod dotfiles;
mod floor;
mod hidden;
mod led;
mod linked;
mod links;
mod memory;
mod mise;
mod nested;
mod places;
mod pointed;
mod rules;
mod search;
mod shadows;
mod sourced;
mod spelling;
mod tracked;
mod trees;
mod variables;
mod ways;
mod whole;
mod written;

use super::expand::{below, same, upward, within};
use super::gitconfig;
use super::scene::Scene;
use crate::host::FileType;
use crate::outcome::Layer;
use crate::plan::names::content;
use crate::plan::names::matcher::{self, Matcher, heavy_names};
use crate::plan::names::{FoundName, How, NameKind, NameRule, Names, Watch};
use crate::plan::{Access, GrantKind, Kind, OsText};
pub(super) use hidden::is_hidden;
use linked::{Begun, Searched};
pub(super) use links::links;
pub(super) use places::places;
pub(super) use rules::{asked_for, path_of};
use search::{Hit, Search};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tracked::Tracked;
pub(super) use trees::{Tree, git_dirs_read, is_of, is_top, trees};

/// How one place in the box is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cover {
    /// By an empty file or directory.
    Empty(Kind),
    /// By a file or directory that nobody may open.
    Refused(Kind),
    /// By itself, read-only.
    Frozen(Again),
    /// By itself, so that it cannot be renamed.
    Pinned(Again),
}

/// A part of a mount that is mounted again at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) source: PathBuf,
    pub(super) kind: Kind,
    /// The target of the mount that it is a part of.
    pub(super) of: PathBuf,
}

/// What is covered, and what is said of it.
#[derive(Default)]
pub(super) struct Named {
    pub(super) names: Names,
    pub(super) covers: Vec<(PathBuf, Cover)>,
    /// Grants that are hidden as a whole: they are not in the box.
    pub(super) gone: Vec<PathBuf>,
    /// What was searched.
    pub(super) searched: Searched,
}

/// A name that a rule is about and that is there.
struct Target {
    path: PathBuf,
    file_type: FileType,
    kind: NameKind,
    rule: usize,
    /// What freezes it, should it turn out that it need not be hidden.
    freeze: Option<usize>,
}

/// Finds what exists and decides how it is covered. Nothing is added to the tree after this.
pub(super) fn find(scene: &mut Scene<'_>) -> Named {
    let git = gitconfig::in_workspace(scene);
    let mut rules = rules::rules(scene, &git);
    if rules.is_empty() {
        return Named::default();
    }
    floor::conflicts(scene, &rules);
    spelling::check(scene);
    let mut found = Found::default();
    found.searched.begun = Some(Begun::new(scene));
    let mut roots: Vec<PathBuf> = Vec::new();
    for rule in &rules {
        if !roots.iter().any(|root| same(root, rule.root.path())) {
            roots.push(rule.root.path().to_owned());
        }
    }
    if rules.len() > matcher::MOST {
        let what = format!("there are {} rules about names", rules.len());
        let remedy = format!("more than {} cannot be kept", matcher::MOST);
        scene.problem(what, remedy, None);
        return Named::default();
    }
    for root in &roots {
        below_root(scene, &rules, root, &mut found);
    }
    rules.append(&mut found.moved);
    led::add(&mut rules, &mut found);
    ways::add(scene, &mut rules, &mut found);
    direnv::add(scene, &mut rules, &mut found);
    mise::add(scene, &mut rules, &mut found);
    nested::add(scene, &mut rules, &mut found.hits);
    let mut targets = dedupe(decide(scene, &rules, found.hits));
    aliases::hard_links(scene, &mut targets, &mut found.skipped);
    let mut named = Named::default();
    let tracked = tracked::tracked(scene, &targets);
    for (target, tracked) in targets.into_iter().zip(tracked) {
        cover(scene, &rules, &target, tracked, &mut named);
    }
    whole::drop_whole(scene, &mut named);
    if !found.skipped.is_empty() || !named.names.found.is_empty() {
        found.skipped.insert(
            0,
            format!(
                "names are not looked for in these directories: {}",
                heavy_names()
            ),
        );
    }
    named.names.links = found.links;
    named.names.skipped = found.skipped;
    named.searched = found.searched;
    let required = &scene.policy.wishes.require;
    if required.iter().any(|wish| wish.value == Layer::View) {
        named.names.watch = Watch::Always;
    }
    named.names.rules = rules;
    named.names.hooks = git.relative;
    summary(scene, &named.names);
    named
}

/// What the search of all roots found.
#[derive(Default)]
struct Found {
    hits: Vec<Hit>,
    /// Rules about what was hidden and is somewhere else now.
    moved: Vec<NameRule>,
    /// Where hidden names that are links lead, and which rule hides each.
    led: Vec<(usize, PathBuf)>,
    /// All of them that the box could replace.
    links: Vec<OsText>,
    /// Where protected names that are links lead.
    ways: Vec<ways::Way>,
    skipped: Vec<String>,
    entries: u64,
    searched: Searched,
}

/// The directories of the host that are shown and in no other one that is shown.
fn shown_dirs(scene: &Scene<'_>) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = Vec::new();
    let binds = scene.tree.binds();
    for (_, shown) in binds.iter().filter(|(_, shown)| shown.kind == Kind::Dir) {
        if !dirs.iter().any(|dir| within(&shown.source, dir)) {
            dirs.retain(|dir| !within(dir, &shown.source));
            dirs.push(shown.source.clone());
        }
    }
    dirs
}

fn below_root(scene: &mut Scene<'_>, rules: &[NameRule], root: &Path, found: &mut Found) {
    let matcher = Matcher::new(rules, root);
    if matcher.is_empty() {
        return;
    }
    let dirs = shown_dirs(scene);
    if dirs.iter().any(|dir| within(root, dir)) {
        return aliases::search(scene, rules, &matcher, root, found);
    }
    // Not shown itself, but what is in it: each thing that is shown, as far from the root as it is.
    let binds = scene.tree.binds();
    let mut inside: Vec<(PathBuf, Kind)> = binds
        .iter()
        .filter(|(_, shown)| {
            within(&shown.source, root) && (shown.owner.is_some() || !shown.create)
        })
        .map(|(_, shown)| (shown.source.clone(), shown.kind))
        .collect();
    inside.sort_by(|a, b| a.0.cmp(&b.0));
    inside.dedup();
    let mut searched: Vec<PathBuf> = Vec::new();
    for (source, kind) in inside {
        if searched.iter().any(|dir| within(&source, dir)) {
            continue;
        }
        let mut cursor = Some(matcher.start());
        let names: Vec<&[u8]> = below(&source, root)
            .unwrap_or_default()
            .split(|b| *b == b'/')
            .collect();
        for (number, name) in names.iter().enumerate() {
            let Some(at) = cursor else { break };
            let last = number + 1 == names.len();
            let mut decision = matcher.entry_of(&at, name, if last { kind } else { Kind::Dir });
            if !last {
                // Something in a hidden or frozen directory was granted by itself: a built-in rule about the whole gives way,
                // the floor's never.
                let by_floor = |rule: &usize| rules.get(*rule).is_some_and(|r| r.origin.is_floor());
                decision.freeze = decision.freeze.filter(by_floor);
                decision.track = None;
                let asked = |rule: &usize| {
                    rules
                        .get(*rule)
                        .is_some_and(|rule| rules::asked_for(&rule.origin))
                };
                decision.hide = decision.hide.filter(asked);
                decision.hide_if = decision.hide_if.filter(asked);
            }
            if decision.is_any() {
                found.hits.push(Hit {
                    path: source.clone(),
                    file_type: match kind {
                        Kind::Dir => FileType::Dir,
                        Kind::File => FileType::File,
                    },
                    decision,
                });
            }
            cursor = matcher.enter(&at, name);
        }
        if let (Some(cursor), Kind::Dir) = (cursor, kind) {
            let mut search = Search::new(scene.walk.look, &matcher, left(found));
            search.run(&source, &cursor, None);
            searched.push(source);
            led::take(scene, &matcher, search, found);
        }
    }
}

/// How many entries may still be looked at.
fn left(found: &Found) -> u64 {
    search::ENTRIES.saturating_sub(found.entries)
}

/// Which rule counts for each hit, after a look at the content where a rule wants one.
fn decide(scene: &Scene<'_>, rules: &[NameRule], hits: Vec<Hit>) -> Vec<Target> {
    hits.into_iter()
        .filter_map(|hit| {
            let mut decision = hit.decision;
            let counts = |at: &usize| {
                rules
                    .get(*at)
                    .is_some_and(|rule| concerns(scene, rule, &hit))
            };
            let content = decision.hide_if.filter(counts);
            decision.hide = decision.hide.filter(counts).or(content);
            let (kind, rule) = decision.strongest()?;
            Some(Target {
                path: hit.path,
                file_type: hit.file_type,
                kind,
                rule,
                freeze: decision.freeze,
            })
        })
        .collect()
}

fn concerns(scene: &Scene<'_>, rule: &NameRule, hit: &Hit) -> bool {
    let look = scene.walk.look;
    if let Some(what) = rule.holds {
        return hit.file_type == FileType::File
            && look
                .read(&hit.path, content::MOST)
                .is_some_and(|text| content::holds(what, &text));
    }
    // A Python environment that is called `.env` is no secret, and nothing would run without it.
    let is_venv = rule.is_builtin()
        && hit.file_type == FileType::Dir
        && look.lstat(&hit.path.join("pyvenv.cfg")).is_some();
    !is_venv
}

/// One for each path: the strongest kind, the later rule.
fn dedupe(mut targets: Vec<Target>) -> Vec<Target> {
    targets.sort_by(|a, b| {
        (
            a.path.as_os_str().as_bytes(),
            a.kind,
            std::cmp::Reverse(a.rule),
        )
            .cmp(&(
                b.path.as_os_str().as_bytes(),
                b.kind,
                std::cmp::Reverse(b.rule),
            ))
    });
    targets.dedup_by(|a, b| a.path == b.path);
    targets
}

fn cover(
    scene: &mut Scene<'_>,
    rules: &[NameRule],
    target: &Target,
    tracked: Tracked,
    named: &mut Named,
) {
    let Some(rule) = rules.get(target.rule) else {
        return;
    };
    let places = places(scene, &target.path);
    if places.is_empty() {
        return;
    }
    let kind = match target.file_type {
        FileType::Dir => Kind::Dir,
        _ => Kind::File,
    };
    let how = match (target.kind, tracked) {
        (NameKind::Track, _) => How::Tracked,
        (NameKind::Freeze, _) => How::ReadOnly,
        (NameKind::Hide, Tracked::Same) if rule.is_builtin() => {
            named.names.shown.push(target.path.as_path().into());
            if let Some(rule) = target.freeze {
                let frozen = Target {
                    path: target.path.clone(),
                    kind: NameKind::Freeze,
                    rule,
                    ..*target
                };
                cover(scene, rules, &frozen, Tracked::No, named);
            }
            return;
        }
        (NameKind::Hide, Tracked::No) => How::Empty,
        (NameKind::Hide, Tracked::Same | Tracked::Differs) => How::Refused,
    };
    if how == How::ReadOnly && places.iter().all(|(_, _, access)| *access == Access::Read) {
        // A grant for reading freezes it anyway.
        return;
    }
    let mut targets: Vec<OsText> = Vec::new();
    for (place, holder, access) in places {
        let again = |source: &Path, kind| Again {
            source: source.to_owned(),
            kind,
            of: holder.clone(),
        };
        let cover = match how {
            How::Empty => Cover::Empty(kind),
            How::Refused => Cover::Refused(kind),
            How::ReadOnly if access == Access::Read => continue,
            How::ReadOnly => Cover::Frozen(again(&target.path, kind)),
            How::Tracked | How::Cleaned => {
                targets.push(place.into());
                continue;
            }
        };
        if how == How::ReadOnly {
            pin(&place, &target.path, &holder, &mut named.covers);
        }
        targets.push(place.as_path().into());
        named.covers.push((place, cover));
    }
    let grant = match how {
        How::Tracked => None,
        How::ReadOnly => Some((GrantKind::Protected, None)),
        How::Refused => Some((
            GrantKind::Hidden,
            Some("git tracks it: opening it is refused".to_owned()),
        )),
        How::Empty | How::Cleaned => Some((GrantKind::Hidden, None)),
    };
    if let Some((grant, note)) = grant {
        for place in &targets {
            scene.grant(place.path(), grant, &rule.origin, note.clone());
        }
    }
    named.names.found.push(FoundName {
        host: target.path.as_path().into(),
        targets,
        dir: kind,
        kind: target.kind,
        how,
        rule: target.rule,
    });
}

/// Makes every directory between a frozen name and the mount that it lies in a mount point.
fn pin(place: &Path, source: &Path, holder: &Path, covers: &mut Vec<(PathBuf, Cover)>) {
    for (place, source) in upward(place).zip(upward(source)).skip(1) {
        if !within(place, holder) || same(place, holder) {
            return;
        }
        if covers.iter().any(|(known, _)| same(known, place)) {
            continue;
        }
        let again = Again {
            source: source.to_owned(),
            kind: Kind::Dir,
            of: holder.to_owned(),
        };
        covers.push((place.to_owned(), Cover::Pinned(again)));
    }
}

/// One line for the banner: what of the working copy reads as empty, and how to get at it.
fn summary(scene: &mut Scene<'_>, names: &Names) {
    let workspace = scene.workspace.real.clone();
    let hidden: Vec<String> = names
        .found
        .iter()
        .filter(|found| found.kind == NameKind::Hide)
        .filter_map(|found| below(found.host.path(), &workspace))
        .map(|name| OsText::from(std::ffi::OsStr::from_bytes(name)).to_string())
        .collect();
    if hidden.is_empty() {
        return;
    }
    scene.notices.push(format!(
        "hidden: {}  (--read PATH shows one, --hide '!PATTERN' several)",
        first_few(&hidden)
    ));
}

/// The first names, and how many more there are.
fn first_few(names: &[String]) -> String {
    const FEW: usize = 4;
    let (first, more) = names.split_at(names.len().min(FEW));
    match more.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
