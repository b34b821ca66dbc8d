//! Names that are protected or lead on to such, and are links (`.claude -> agents`, `.mcp.json -> conf/mcp.json`, `.git/hooks/pre-commit ->
//! ../../tools/check`): rules about what they lead to. A rule knows the link's name only; what the box makes behind it
//! (`agents/settings.local.json`), puts in the place of a link on the way, or finds there when the host has replaced it, has another.

#![forbid(unsafe_code)]

use super::super::expand::{same, within};
use super::super::scene::Scene;
use super::dotfiles::summary;
use super::rules::Rank;
use super::search::{Hit, LinkHit};
use super::trees::{is_of, roots, short};
use super::{Found, written};
use crate::host::FileType;
use crate::plan::Access;
use crate::plan::OsText;
use crate::plan::names::matcher::{self, Matcher, literal};
use crate::plan::names::{Decision, NameKind, NameRule, Verdict, is_never_searched};
use crate::policy::Origin;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// The most rules that are made so.
const MOST: usize = 4_000;

/// The most entries of frozen and tracked directories that are looked at.
const ENTRIES: usize = 20_000;

/// What is read and not run: a link to it (`.cursor/rules/agents.mdc -> ../../AGENTS.md`) is no reason to keep anybody from writing it.
const TEXTS: &[&str] = &["md", "mdc"];

/// One name that a link leads to.
pub(super) struct Way {
    /// The link.
    link: PathBuf,
    /// Which rule is about the link, or goes on behind it.
    rule: usize,
    kind: NameKind,
    place: PathBuf,
    /// What is left of the rule's pattern behind that place.
    rest: Vec<u8>,
    /// It is to be as it was.
    remembered: bool,
}

/// The names that a link leads to, but for its own.
pub(super) fn names(scene: &Scene<'_>, link: &Path) -> Vec<PathBuf> {
    let mut names = written::names(scene, link);
    names.retain(|name| !same(name, link));
    names
}

/// A link that a rule is about, or behind which one goes on. Git directories are known by what is in them, wherever they are.
pub(super) fn of_link(scene: &Scene<'_>, matcher: &Matcher, link: &LinkHit, found: &mut Found) {
    if link.path.file_name() == Some(OsStr::new(".git"))
        || scene.tree.access(&link.path).is_none()
        || found.ways.len() > MOST
    {
        return;
    }
    let said = [
        (NameKind::Freeze, link.decision.freeze),
        (NameKind::Track, link.decision.track),
    ];
    let said: Vec<(NameKind, usize)> = said
        .into_iter()
        .filter_map(|(kind, rule)| Some((kind, rule?)))
        .collect();
    let rest = link.inside.as_ref().map(|at| matcher.rest(at));
    let rest = rest.unwrap_or_default();
    if said.is_empty() && rest.is_empty() {
        return;
    }
    let names = names(scene, &link.path);
    let way = |kind, rule, place: &PathBuf| Way {
        link: link.path.clone(),
        rule,
        kind,
        place: place.clone(),
        rest: Vec::new(),
        remembered: false,
    };
    for (number, place) in names.iter().enumerate() {
        let leads_on = number + 1 < names.len();
        let ways = said.iter().map(|(kind, rule)| Way {
            remembered: leads_on && *kind == NameKind::Track,
            ..way(*kind, *rule, place)
        });
        found.ways.extend(ways);
        for (rule, rest) in &rest {
            found.ways.push(Way {
                rest: rest.clone(),
                ..way(NameKind::Track, *rule, place)
            });
        }
        // A link on the way to a directory: as it was, or what is behind it is another one.
        if let (Some((rule, _)), true) = (rest.first(), leads_on) {
            found.ways.push(Way {
                remembered: true,
                ..way(NameKind::Track, *rule, place)
            });
        }
    }
}

/// Links in frozen and tracked directories: nobody leaves another one there, and what they lead to is a file of the work (a hook that the
/// project has). Like a program that git's configuration names it may follow its branch. In tracked ones there is more that is not run
/// (`.devcontainer/Dockerfile -> ../Dockerfile`), so that counts which may be.
fn in_directories(scene: &Scene<'_>, found: &mut Found) {
    let mut dirs: Vec<(PathBuf, usize, NameKind)> = Vec::new();
    for hit in found
        .hits
        .iter()
        .filter(|hit| hit.file_type == FileType::Dir)
    {
        let said = hit.decision.strongest();
        let said = said.filter(|(kind, _)| *kind != NameKind::Hide);
        dirs.extend(said.map(|(kind, rule)| (hit.path.clone(), rule, kind)));
    }
    let mut left = ENTRIES;
    while let Some((dir, rule, kind)) = dirs.pop() {
        let mut links: Vec<PathBuf> = Vec::new();
        scene.walk.look.scan(&dir, &mut |name, file_type, _| {
            left = left.saturating_sub(1);
            match file_type {
                FileType::Symlink => links.push(dir.join(name)),
                FileType::Dir if left > 0 => dirs.push((dir.join(name), rule, kind)),
                _ => {}
            }
        });
        for link in links {
            let counts = match scene.walk.stat(&link) {
                Some(stat) if stat.file_type == FileType::Dir => false,
                Some(stat) => kind == NameKind::Freeze || stat.mode & 0o111 != 0,
                None => kind == NameKind::Freeze,
            };
            let is_text = |name: &Path| {
                name.extension()
                    .is_some_and(|end| TEXTS.iter().any(|text| end == *text))
            };
            let names = names(scene, &link);
            if !counts || names.iter().any(|name| is_text(name)) {
                continue;
            }
            found.ways.extend(names.into_iter().map(|place| Way {
                link: link.clone(),
                rule,
                kind: NameKind::Track,
                place,
                rest: Vec::new(),
                remembered: true,
            }));
        }
    }
}

/// Adds the rules.
pub(super) fn add(scene: &mut Scene<'_>, rules: &mut Vec<NameRule>, found: &mut Found) {
    in_directories(scene, found);
    let mut matchers: BTreeMap<PathBuf, Matcher> = BTreeMap::new();
    let mut done: BTreeSet<(NameKind, PathBuf, Vec<u8>)> = BTreeSet::new();
    let (mut builtin, mut others): (Vec<NameRule>, Vec<NameRule>) = Default::default();
    let mut remembered: Vec<(PathBuf, FileType)> = Vec::new();
    let mut ways = std::mem::take(&mut found.ways);
    // As the rules that they come from: of those the later one wins.
    ways.sort_by_key(|way| way.rule);
    for way in ways {
        let Some(of) = rules.get(way.rule) else {
            continue;
        };
        let Some(made) = rule(scene, rules, of, &way, &mut matchers) else {
            continue;
        };
        let pattern = made.pattern.bytes().to_vec();
        if !done.insert((made.kind, made.root.path().to_owned(), pattern)) {
            continue;
        }
        if builtin.len() + others.len() >= MOST.min(matcher::MOST.saturating_sub(rules.len())) {
            let what = "too many protected names are links to other names: what the rest leads to is protected as it is at the start only";
            scene.notices.push(what.to_owned());
            found.skipped.push(what.to_owned());
            break;
        }
        if way.remembered
            && let Some(stat) = scene.walk.lstat(&way.place)
            && matches!(stat.file_type, FileType::File | FileType::Symlink)
        {
            remembered.push((way.place.clone(), stat.file_type));
        }
        match Rank::of(&of.origin) {
            Rank::Builtin => builtin.push(made),
            _ => others.push(made),
        }
    }
    insert(rules, &mut found.hits, builtin);
    rules.extend(others);
    for (path, file_type) in remembered {
        let about = |rule: &NameRule| rule.kind == NameKind::Track && names_exactly(rule, &path);
        let track = rules.iter().rposition(about);
        found.hits.push(Hit {
            path,
            file_type,
            decision: Decision {
                track,
                ..Decision::default()
            },
        });
    }
}

/// Adds rules of agentbox's own behind those of the profiles that are built in: what others say comes after them, and wins.
fn insert(rules: &mut Vec<NameRule>, hits: &mut [Hit], more: Vec<NameRule>) {
    let is_builtin = |rule: &NameRule| Rank::of(&rule.origin) == Rank::Builtin;
    let from = rules
        .iter()
        .position(|rule| !is_builtin(rule))
        .unwrap_or(rules.len());
    for hit in hits {
        hit.decision = hit.decision.shifted(from, more.len());
    }
    rules.splice(from..from, more);
}

/// Freezes names in the workspace and in other trees that the search was not about, unless somebody lifts them, and says why.
pub(super) fn freeze(
    scene: &mut Scene<'_>,
    names: &[PathBuf],
    why: &str,
    rules: &mut Vec<NameRule>,
    found: &mut Found,
) {
    let mut there: Vec<PathBuf> = Vec::new();
    for root in roots(scene) {
        let ways = names
            .iter()
            .filter(|name| is_of(scene, name, &root))
            .filter_map(|name| name.strip_prefix(&root).ok());
        let ways: Vec<&Path> = ways.filter(|way| !way.as_os_str().is_empty()).collect();
        there.extend(freeze_below(scene, &root, &ways, why, rules, found));
    }
    let said = short(scene, &there);
    summary(scene, why, &said);
}

/// Those of one tree; returns what is there.
fn freeze_below(
    scene: &Scene<'_>,
    root: &Path,
    ways: &[&Path],
    why: &str,
    rules: &mut Vec<NameRule>,
    found: &mut Found,
) -> Vec<PathBuf> {
    let matcher = Matcher::new(rules, root);
    let is_free = |way: &&&Path| {
        let said = matcher.strongest(way);
        said.is_none_or(|(kind, _)| kind > NameKind::Freeze)
    };
    let ways: Vec<&&Path> = ways.iter().filter(is_free).collect();
    if ways.is_empty() {
        return Vec::new();
    }
    let about = |way: &&&Path| NameRule::about(NameKind::Freeze, root, way, why);
    insert(rules, &mut found.hits, ways.iter().map(about).collect());
    let matcher = Matcher::new(rules, root);
    let mut there = Vec::new();
    for way in ways {
        let path = root.join(way);
        let Some(stat) = scene.walk.lstat(&path) else {
            continue;
        };
        // Unless it was lifted.
        if let Some((NameKind::Freeze, rule)) = matcher.strongest(way) {
            there.push(path.clone());
            found.hits.push(Hit {
                path,
                file_type: stat.file_type,
                decision: Decision {
                    freeze: Some(rule),
                    ..Decision::default()
                },
            });
        }
    }
    there
}

/// The rule about one such name; `None` where there is nothing to say.
fn rule(
    scene: &Scene<'_>,
    rules: &[NameRule],
    of: &NameRule,
    way: &Way,
    matchers: &mut BTreeMap<PathBuf, Matcher>,
) -> Option<NameRule> {
    let root = of.root.path();
    let rel = way.place.strip_prefix(root).ok()?;
    let access = scene.tree.access(&way.place)?;
    let hides = !way.rest.is_empty() && of.kind == NameKind::Hide;
    // What is installed there is replaced by whoever installs.
    if access != Access::Write && !hides || is_never_searched(root, rel) {
        return None;
    }
    let why = format!(
        "{} is a link to it",
        OsText::from(way.link.strip_prefix(root).unwrap_or(&way.link))
    );
    if way.rest.is_empty() {
        // Not what the link itself lies in.
        if within(&way.link, &way.place) {
            return None;
        }
        let matcher = matchers
            .entry(root.to_owned())
            .or_insert_with(|| Matcher::new(rules, root));
        let said = matcher.strongest(rel);
        let lifted = rules.iter().any(|rule| {
            rule.kind == way.kind
                && rule.verdict == Verdict::Lifted
                && names_exactly(rule, &way.place)
        });
        let is_known = said.is_some_and(|(kind, _)| kind <= way.kind) || lifted;
        return (!is_known || way.remembered && !lifted)
            .then(|| NameRule::about(way.kind, root, rel, &why));
    }
    // What is more than a profile that is built in says of behind the link is said of the link, and nothing is lifted for it.
    if of.verdict == Verdict::Lifted && Rank::of(&of.origin) != Rank::Builtin {
        return None;
    }
    let mut pattern: Vec<u8> = Vec::new();
    for name in rel {
        pattern.extend(literal(name.as_bytes()));
        pattern.push(b'/');
    }
    pattern.extend(&way.rest);
    Some(NameRule {
        pattern: OsText::from(OsString::from_vec(pattern)),
        origin: match Rank::of(&of.origin) {
            Rank::Builtin => Origin::agentbox(&why),
            _ => of.origin.clone(),
        },
        ..of.clone()
    })
}

/// Is it about exactly this path?
fn names_exactly(rule: &NameRule, path: &Path) -> bool {
    path.strip_prefix(rule.root.path()).is_ok_and(|rel| {
        let names: Vec<Vec<u8>> = rel.iter().map(|name| literal(name.as_bytes())).collect();
        rule.pattern.bytes() == names.join(&b'/')
    })
}
