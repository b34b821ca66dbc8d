//! Names that are links. What a hidden one leads to is hidden by its own name as well, so that it stays so when the host replaces it, or
//! makes it later (`.env -> conf/local`).

#![forbid(unsafe_code)]

use super::super::expand::within;
use super::super::scene::{Scene, show};
use super::aliases::is_lifted;
use super::search::{self, Hit, Search};
use super::{Found, left, ways};
use crate::host::FileType;
use crate::plan::Access;
use crate::plan::names::matcher::Matcher;
use crate::plan::names::{NameKind, NameRule};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The most such links.
const MOST: usize = 1_000;

/// What a search found, with the links followed.
pub(super) fn take(
    scene: &mut Scene<'_>,
    matcher: &Matcher,
    search: Search<'_>,
    found: &mut Found,
) {
    let mut searches = vec![search];
    let mut seen: Vec<PathBuf> = Vec::new();
    while let Some(search) = searches.pop() {
        found.entries += left(found).saturating_sub(search.left);
        if let Some(place) = &search.ended {
            let what = format!(
                "the search for hidden and protected names ended at {}: more than {} entries or too deep",
                show(place),
                search::ENTRIES
            );
            scene.notices.push(what.clone());
            found.skipped.push(what);
        }
        found.hits.extend(search.hits);
        for mut link in search.links {
            if scene.tree.access(&link.path) == Some(Access::Write) {
                found.links.push(link.path.as_path().into());
            }
            // What it leads to is what has the content; where that is not in the box there is nothing to cover.
            let Some(walked) = scene.walk.follow(&link.path) else {
                continue;
            };
            // And each link on the way: who replaces one has what is written to the first.
            if let Some(rule) = link.decision.hide {
                let names = ways::names(scene, &link.path).into_iter();
                let beside = names.filter(|name| !within(&link.path, name));
                found.led.extend(beside.map(|name| (rule, name)));
            }
            ways::of_link(scene, matcher, &link, found);
            let Some(stat) = walked.stat else { continue };
            // `.git` is tracked as a file, which says where the directory is. What git itself writes in that is no change.
            if stat.file_type == FileType::Dir && link.path.file_name() == Some(".git".as_ref()) {
                link.decision.track = None;
            }
            // `.cursor -> ..`, as a branch may have it, says nothing of everything that is beside it.
            let holds_itself = within(&link.path, &walked.real);
            if holds_itself && link.decision.is_any() {
                scene.notices.push(format!(
                    "{} is a link to a directory that it lies in: what rules say of that name is not said of the whole directory",
                    show(&link.path)
                ));
            } else if link.decision.is_any() {
                found.hits.push(Hit {
                    path: walked.real.clone(),
                    file_type: stat.file_type,
                    decision: link.decision,
                });
            }
            if let Some(cursor) = link.inside.filter(|_| stat.file_type == FileType::Dir)
                && seen.len() < 256
                && !seen.contains(&walked.real)
                && scene.tree.access(&walked.real).is_some()
            {
                seen.push(walked.real.clone());
                let mut next = Search::new(scene.walk.look, matcher, left(found));
                next.run(&walked.real, &cursor, None);
                searches.push(next);
            }
        }
    }
}

/// Adds a rule about each place that is hidden by a link only.
pub(super) fn add(rules: &mut Vec<NameRule>, found: &mut Found) {
    let mut added: Vec<NameRule> = Vec::new();
    let mut done: BTreeSet<PathBuf> = BTreeSet::new();
    let mut matchers: BTreeMap<PathBuf, Matcher> = BTreeMap::new();
    for (rule, place) in std::mem::take(&mut found.led) {
        let Some(of) = rules.get(rule) else { continue };
        let root = of.root.path();
        // `--read conf/local` means that file, by whatever names it is hidden.
        if is_lifted(rules, root, &place) && !of.origin.is_floor() {
            let hits = found.hits.iter_mut().filter(|hit| hit.path == place);
            for hit in hits.filter(|hit| hit.decision.hide == Some(rule)) {
                hit.decision.hide = None;
            }
            continue;
        }
        let Ok(way) = place.strip_prefix(root) else {
            continue;
        };
        if way.as_os_str().is_empty()
            || !done.insert(place.clone())
            || matchers
                .entry(root.to_owned())
                .or_insert_with(|| Matcher::new(rules, root))
                .strongest(way)
                .is_some_and(|(kind, _)| kind == NameKind::Hide)
        {
            continue;
        }
        if added.len() >= MOST {
            found.skipped.push(format!(
                "more than {MOST} hidden names are links to other names: what the rest leads to is hidden as it is at the start only"
            ));
            break;
        }
        let why = "a hidden name is a link to it";
        added.push(NameRule::about(NameKind::Hide, root, way, why));
    }
    rules.append(&mut added);
}
