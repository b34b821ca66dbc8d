//! The wishes of `hide`, `protect` and `track` become rules about names below a directory of the host.

#![forbid(unsafe_code)]

mod bare;

use super::super::expand::{below, expand, from_cli, same, within};
use super::super::gitconfig;
use super::super::scene::Scene;
use crate::host::FileType;
use crate::plan::names::matcher::{Matcher, literal};
use crate::plan::names::{NameKind, NameRule, Verdict};
use crate::plan::{Access, Kind, OsText};
use crate::policy::{NameWish, Origin, PathWish, Wish};
pub(super) use bare::called;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The rules, weakest first: what is built in, what files say, what the command line says, what the floor says. A grant of exactly one name lifts
/// what weaker sources say of it; said by the same source the rule wins.
pub(super) fn rules(scene: &mut Scene<'_>, git: &gitconfig::Named) -> Vec<NameRule> {
    let files = &scene.policy.wishes.files;
    let mut out = Vec::new();
    for rank in [Rank::Builtin, Rank::File, Rank::Cli, Rank::Floor] {
        if rank != Rank::Builtin {
            lifts(scene, rank, &mut out);
        }
        for (kind, wishes) in [
            (NameKind::Hide, &files.hide),
            (NameKind::Freeze, &files.protect),
            (NameKind::Track, &files.track),
        ] {
            for wish in wishes.iter().filter(|wish| Rank::of(&wish.origin) == rank) {
                rule(scene, kind, wish, &mut out);
            }
        }
        if rank == Rank::Builtin {
            let more = bare::rules(scene, &out);
            out.extend(more);
            let more = of_git(&scene.workspace.real, git, &out);
            out.extend(more);
            own_program(scene, &mut out);
            let more = super::dotfiles::rules(scene, &out);
            out.extend(more);
            out.extend(super::shadows::rules(scene));
            out.extend(super::sourced::rules(scene));
            out.extend(super::pointed::rules(scene));
        }
    }
    repository(scene, &mut out);
    out
}

/// Who says something, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Builtin,
    File,
    Cli,
    Floor,
}

impl Rank {
    pub(super) fn of(origin: &Origin) -> Rank {
        match origin {
            Origin::Builtin { .. } | Origin::Agentbox { .. } => Rank::Builtin,
            Origin::File { .. } | Origin::Project { .. } => Rank::File,
            Origin::Cli { .. } => Rank::Cli,
            Origin::Floor { .. } => Rank::Floor,
        }
    }
}

/// Rules about the files that git's configuration includes or runs, and about the directories that `core.hooksPath` names; of these not
/// what `rules` track, so that a tool may make its hooks anew (husky).
pub(super) fn of_git(root: &Path, named: &gitconfig::Named, rules: &[NameRule]) -> Vec<NameRule> {
    let rule = |kind, way: &Path, why: &str| NameRule::about(kind, root, way, why);
    let mut out: Vec<NameRule> = named
        .included
        .iter()
        .map(|way| rule(NameKind::Track, way, "git's include.path"))
        .collect();
    let programs = named.programs.iter();
    out.extend(programs.map(|way| rule(NameKind::Track, way, "git's configuration runs it")));
    if named.hooks.is_empty() {
        return out;
    }
    let matcher = Matcher::new(rules, root);
    let is_tracked = |way: &Path| {
        let mut cursor = Some(matcher.start());
        way.iter().any(|name| {
            let Some(at) = cursor.take() else {
                return false;
            };
            cursor = matcher.enter(&at, name.as_bytes());
            let said = matcher.entry_of(&at, name.as_bytes(), Kind::Dir);
            said.track.is_some()
        })
    };
    let frozen = named.hooks.iter().filter(|way| !is_tracked(way));
    out.extend(frozen.map(|way| rule(NameKind::Freeze, way, "core.hooksPath")));
    out
}

/// This program, where the box may write it (`./bin/agentbox` of the work): the next command of that name runs outside.
fn own_program(scene: &Scene<'_>, out: &mut Vec<NameRule>) {
    let exe = &scene.host.exe;
    if scene.tree.access(exe) != Some(Access::Write) {
        return;
    }
    let (root, way) = anchor(scene, exe.parent().unwrap_or(Path::new("/")));
    let way = Path::new(OsStr::from_bytes(&way)).join(exe.file_name().unwrap_or_default());
    out.push(NameRule::about(
        NameKind::Freeze,
        &root,
        &way,
        "agentbox itself",
    ));
}

/// A pattern as it is written: the directory that its variable stands for, and the components.
fn rule(scene: &mut Scene<'_>, kind: NameKind, wish: &Wish<NameWish>, out: &mut Vec<NameRule>) {
    let text = wish.value.pattern.bytes();
    let (start, rest) = match text.first() {
        Some(b'~') => text.split_at(1),
        Some(b'$') => {
            let end = text.iter().position(|b| *b == b'}').map_or(0, |at| at + 1);
            text.split_at(end)
        }
        _ => (&b"/"[..], text),
    };
    let base = Wish {
        value: PathWish {
            path: OsStr::from_bytes(start).into(),
            optional: false,
            make_dir: false,
        },
        origin: wish.origin.clone(),
    };
    let Some(base) = expand(scene, &base) else {
        return;
    };
    rule_below(scene, kind, wish, base, rest, out);
    if start != b"${workspace}" {
        return;
    }
    let trees = scene.trees.iter();
    for tree in trees.filter(|tree| kind == NameKind::Hide || tree.access == Access::Write) {
        let from = out.len();
        rule_below(scene, kind, wish, tree.dir.clone(), rest, out);
        if let Some(way) = &tree.holds_work {
            let except = super::trees::except(way, &tree.dir, out.get(from..).unwrap_or_default());
            out.extend(except);
        }
    }
}

/// What is said of `rest` below `base`.
fn rule_below(
    scene: &Scene<'_>,
    kind: NameKind,
    wish: &Wish<NameWish>,
    base: PathBuf,
    rest: &[u8],
    out: &mut Vec<NameRule>,
) {
    let names: Vec<&[u8]> = rest
        .split(|b| *b == b'/')
        .filter(|n| !n.is_empty())
        .collect();
    // What leads to the first name that is a pattern, or to the last one: names that are followed.
    let fixed = names
        .iter()
        .take(names.len().saturating_sub(1))
        .take_while(|name| !has_star(name))
        .count();
    let (fixed, open) = names.split_at_checked(fixed).unwrap_or((&[], &[]));
    let mut typed = base.clone();
    for name in fixed {
        typed.push(plain_name(name));
    }
    let base = scene.real_of(&base);
    let mut written = base;
    for name in fixed {
        written.push(plain_name(name));
    }
    let real = scene.real_of(&typed);
    let mut add = |dir: &Path| {
        let (root, way) = anchor(scene, dir);
        let mut pattern: Vec<u8> = Vec::new();
        for name in way.split(|b| *b == b'/').filter(|n| !n.is_empty()) {
            pattern.extend(literal(name));
            pattern.push(b'/');
        }
        pattern.extend(open.join(&b'/'));
        out.push(NameRule {
            kind,
            root: root.into(),
            pattern: OsText::from(OsString::from_vec(pattern)),
            verdict: wish.value.verdict,
            holds: wish.value.holds,
            origin: wish.origin.clone(),
        });
    };
    // Where a link is on the way, both what is written and where it leads.
    if !same(&written, &real) {
        add(&written);
    }
    add(&real);
}

/// Is it a pattern? Of a directory that is called so, the `*` is escaped.
pub(super) fn has_star(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' => return true,
            _ => {}
        }
    }
    false
}

/// A component without its escapes.
fn plain_name(name: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        let byte = if *byte == b'\\' {
            bytes.next().unwrap_or(byte)
        } else {
            byte
        };
        out.push(*byte);
    }
    OsString::from_vec(out)
}

/// The directory that rules about `dir` belong to, and the way from there to `dir`: the workspace, another tree or HOME where it lies in
/// one of them, so that a directory on the way may come and go; else what exists of it.
pub(super) fn anchor(scene: &Scene<'_>, dir: &Path) -> (PathBuf, Vec<u8>) {
    let trees = scene.trees.iter().map(|tree| tree.dir.as_path());
    let places = std::iter::once(scene.workspace.real.as_path()).chain(trees);
    for place in places.chain([scene.home.real.as_path()]) {
        if let Some(way) = below(dir, place) {
            return (place.to_owned(), way.to_vec());
        }
    }
    let is_dir = |at: &Path| {
        scene
            .walk
            .lstat(at)
            .is_some_and(|stat| stat.file_type == FileType::Dir)
    };
    let root = dir
        .ancestors()
        .find(|at| is_dir(at))
        .unwrap_or(Path::new("/"));
    let way = below(dir, root).unwrap_or_default().to_vec();
    (root.to_owned(), way)
}

/// `--read X` shows what weaker rules hide, `--write X` also lets it be changed, and what is below it.
fn lifts(scene: &Scene<'_>, rank: Rank, out: &mut Vec<NameRule>) {
    let files = &scene.policy.wishes.files;
    let wishes = files
        .read
        .iter()
        .map(|wish| (wish, &[NameKind::Hide][..]))
        .chain(files.write.iter().map(|wish| {
            (
                wish,
                &[NameKind::Hide, NameKind::Freeze, NameKind::Track][..],
            )
        }));
    let mut roots: Vec<PathBuf> = Vec::new();
    for rule in out.iter() {
        if !roots.iter().any(|root| same(root, rule.root.path())) {
            roots.push(rule.root.path().to_owned());
        }
    }
    for (wish, kinds) in wishes.filter(|(wish, _)| Rank::of(&wish.origin) == rank) {
        let Some(path) = path_of(scene, wish) else {
            continue;
        };
        let mut places = vec![scene.real_of(&path)];
        // A link is also lifted by its own name.
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name()) {
            let place = scene.real_of(dir).join(name);
            if !same(&place, &places[0]) {
                places.push(place);
            }
        }
        for (root, place) in roots
            .iter()
            .flat_map(|r| places.iter().map(move |p| (r, p)))
        {
            // A root itself, or what holds it, is a place to work in and no name.
            let Some(way) = below(place, root).filter(|way| !way.is_empty()) else {
                continue;
            };
            let names: Vec<Vec<u8>> = way.split(|b| *b == b'/').map(literal).collect();
            let exact = names.join(&b'/');
            let mut deep = exact.clone();
            deep.extend(b"/**");
            for kind in kinds {
                for pattern in [&exact, &deep] {
                    // A directory that is shown as such still hides what is in it.
                    if *kind == NameKind::Hide && pattern == &deep {
                        continue;
                    }
                    out.push(NameRule {
                        kind: *kind,
                        root: root.as_path().into(),
                        pattern: OsText::from(OsString::from_vec(pattern.clone())),
                        verdict: Verdict::Lifted,
                        holds: None,
                        origin: wish.origin.clone(),
                    });
                }
            }
        }
    }
}

/// The path of a grant; a problem with it was said before.
pub(in super::super) fn path_of(scene: &Scene<'_>, wish: &Wish<PathWish>) -> Option<PathBuf> {
    let bytes = wish.value.path.bytes();
    let tail = |start: &str| bytes.strip_prefix(start.as_bytes());
    let (base, rest) = if let Some(rest) = tail("~/").or_else(|| tail("${home}/")) {
        (scene.home.path.clone(), rest)
    } else if let Some(rest) = tail("${workspace}/") {
        (scene.workspace.path.clone(), rest)
    } else if let Some(rest) = tail("${xdg_config}/") {
        (scene.xdg("XDG_CONFIG_HOME", ".config"), rest)
    } else if let Some(rest) = tail("${xdg_data}/") {
        (scene.xdg("XDG_DATA_HOME", ".local/share"), rest)
    } else if let Some(rest) = tail("${xdg_state}/") {
        (scene.xdg("XDG_STATE_HOME", ".local/state"), rest)
    } else if let Some(rest) = tail("${xdg_cache}/") {
        (scene.xdg("XDG_CACHE_HOME", ".cache"), rest)
    } else if bytes.starts_with(b"/") {
        (PathBuf::from("/"), bytes.get(1..).unwrap_or_default())
    } else {
        return None;
    };
    let path = base.join(OsStr::from_bytes(rest));
    Some(scene.name_of(super::super::workspace::tidy(&path)))
}

/// A work tree whose repository is elsewhere: what is said of `.git` in the workspace is said of that directory.
fn repository(scene: &Scene<'_>, out: &mut Vec<NameRule>) {
    let Some(common) = &scene.repository else {
        return;
    };
    if within(common, &scene.workspace.real) {
        return;
    }
    let derived: Vec<NameRule> = out
        .iter()
        .filter(|rule| same(rule.root.path(), &scene.workspace.real))
        .filter_map(|rule| {
            let rest = rule.pattern.bytes().strip_prefix(b"**/.git/")?;
            Some(NameRule {
                root: common.as_path().into(),
                pattern: OsStr::from_bytes(rest).into(),
                ..rule.clone()
            })
        })
        .collect();
    out.extend(derived);
}

/// Was it named by the user, and not by a profile that is part of the program?
pub(in super::super) fn asked_for(origin: &Origin) -> bool {
    from_cli(origin) || matches!(Rank::of(origin), Rank::File | Rank::Floor)
}
