//! Grants of what the floor hides or freezes: they would mean nothing, so a flag is refused and a file's line is said.

#![forbid(unsafe_code)]

use super::super::expand::below;
use super::super::scene::{Scene, show};
use super::path_of;
use crate::plan::Kind;
use crate::plan::names::matcher::Matcher;
use crate::plan::names::{NameKind, NameRule, Verdict};
use crate::policy::{NameWish, Origin, PathWish, Wish};
use std::path::{Path, PathBuf};

/// What would be lifted, of which kinds, by whom.
struct Lift {
    /// Under each of its names.
    paths: Vec<PathBuf>,
    kinds: &'static [NameKind],
    what: String,
    origin: Origin,
}

/// Refuses them, or says them.
pub(super) fn conflicts(scene: &mut Scene<'_>, rules: &[NameRule]) {
    let floor: Vec<NameRule> = rules
        .iter()
        .filter(|r| r.origin.is_floor())
        .cloned()
        .collect();
    if floor.is_empty() {
        return;
    }
    for lift in lifts(scene) {
        let mut hits = lift
            .paths
            .iter()
            .map(|path| (path, hit(&floor, path, lift.kinds)));
        let Some((path, rule)) = hits.find_map(|(path, rule)| Some((path, rule?))) else {
            continue;
        };
        let word = match rule.kind {
            NameKind::Hide => "hides",
            NameKind::Freeze | NameKind::Track => "protects",
        };
        let by = format!("{} {word} {}", rule.origin, show(path));
        match lift.origin {
            Origin::Cli { .. } => scene.problem(
                format!("{}: {by}", lift.what),
                "only who administers this machine can change that: leave the flag out",
                None,
            ),
            Origin::File { .. } | Origin::Project { .. } => {
                let notice = format!("left out of {}: {by}", lift.origin);
                scene.notices.push(notice);
            }
            // Written for everybody: that something of it is forbidden here is no news.
            Origin::Builtin { .. } | Origin::Agentbox { .. } | Origin::Floor { .. } => {}
        }
    }
}

fn lifts(scene: &Scene<'_>) -> Vec<Lift> {
    let files = &scene.policy.wishes.files;
    let mut out = Vec::new();
    let mut granted = |wishes: &[Wish<PathWish>], flag: &str, kinds: &'static [NameKind]| {
        for wish in wishes {
            if let Some(typed) = path_of(scene, wish) {
                let real = scene.real_of(&typed);
                out.push(Lift {
                    what: format!("{flag} {}", show(&typed)),
                    paths: vec![typed, real],
                    kinds,
                    origin: wish.origin.clone(),
                });
            }
        }
    };
    granted(&files.read, "--read", &[NameKind::Hide]);
    granted(&files.write, "--write", &[NameKind::Hide, NameKind::Freeze]);
    for (wishes, flag, kinds) in [
        (&files.hide, "--hide", &[NameKind::Hide][..]),
        (&files.protect, "--protect", &[NameKind::Freeze][..]),
    ] {
        let lifted = wishes.iter().filter(|w| w.value.verdict == Verdict::Lifted);
        for wish in lifted {
            if let Some(path) = plain(scene, wish) {
                out.push(Lift {
                    what: format!("{flag} \"!{}\"", wish.value.pattern),
                    paths: vec![path],
                    kinds,
                    origin: wish.origin.clone(),
                });
            }
        }
    }
    out
}

/// Where a pattern is, taken as a path: a `*` in it is a name that other patterns may cover as well.
fn plain(scene: &Scene<'_>, wish: &Wish<NameWish>) -> Option<PathBuf> {
    let path = PathWish {
        path: wish.value.pattern.clone(),
        optional: true,
        make_dir: false,
    };
    path_of(
        scene,
        &Wish {
            value: path,
            origin: wish.origin.clone(),
        },
    )
}

/// The first rule that is about the path or a directory above it.
fn hit<'r>(floor: &'r [NameRule], path: &Path, kinds: &[NameKind]) -> Option<&'r NameRule> {
    let mut roots: Vec<&Path> = floor.iter().map(|rule| rule.root.path()).collect();
    roots.sort_unstable();
    roots.dedup();
    roots.into_iter().find_map(|root| {
        let matcher = Matcher::new(floor, root);
        let way = below(path, root).filter(|way| !way.is_empty())?;
        let mut cursor = Some(matcher.start());
        for name in way.split(|b| *b == b'/') {
            let at = cursor?;
            let found = matcher.entry_of(&at, name, Kind::Dir);
            let rule = [
                (NameKind::Hide, found.hide),
                (NameKind::Freeze, found.freeze),
            ]
            .into_iter()
            .filter(|(kind, _)| kinds.contains(kind))
            .find_map(|(_, rule)| floor.get(rule?));
            if rule.is_some() {
                return rule;
            }
            cursor = matcher.enter(&at, name);
        }
        None
    })
}
