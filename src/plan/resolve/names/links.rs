//! Files that the box may write and that have names outside of what it may write. The kernel counts the names of an inode
//! (`st_nlink`) and does not say where they are: those that are found here are counted, and where some are missing they are
//! elsewhere.

#![forbid(unsafe_code)]

use super::super::expand::{same, within};
use super::super::scene::{Scene, show};
use super::linked::{Begun, Found, Linked, Trust, search, too_deep};
use super::search::ENTRIES;
use super::{Searched, places};
use crate::plan::names::matcher::heavy;
use crate::plan::names::{NameKind, Names};
use crate::plan::{Access, HardLinks, Links, OsText};
use crate::policy::Origin;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many directories are named.
const NAMED: usize = 4;

/// Looks for them, and says what happens to them. The view is settled, and what is hidden or frozen is known.
pub(in super::super) fn links(
    scene: &mut Scene<'_>,
    names: &Names,
    mut searched: Searched,
) -> Links {
    let wish = scene.policy.wishes.hard_links.clone();
    let (rule, origin) = wish.map_or_else(
        || {
            (
                HardLinks::default(),
                Origin::agentbox("unless a profile says otherwise"),
            )
        },
        |wish| (wish.value, wish.origin),
    );
    let mut out = Links::none(rule, origin);
    let begun = searched.begun.take();
    let begun = begun.unwrap_or_else(|| Begun::new(scene));
    let mut found = search(scene, begun, &searched);
    let mut outside = outside(scene, names, &found);
    if found.believed && rule != HardLinks::Allow && !outside.is_empty() {
        // A name that was made in a directory which is known may be the one that is missing: nothing is done on hearsay.
        // Nor is anybody asking for the files of what was listed then.
        let begun = Begun::of(scene, Trust::Nothing);
        found = search(scene, begun, &Searched::default());
        outside = self::outside(scene, names, &found);
    }
    out.stale = found.stale.iter().map(|p| p.as_path().into()).collect();
    if let Some(shut) = found.shut.as_ref().filter(|_| rule != HardLinks::Allow) {
        let (why, remedy) = if too_deep(shut) {
            (
                "is too deep to be looked into",
                "remove what is in it (rm -r); `--hard-links allow` starts without a look",
            )
        } else {
            (
                "cannot be looked into",
                "make it readable or remove it; `--hard-links allow` starts without a look",
            )
        };
        scene.problem(
            format!(
                "{} {why}: it may hold files with hard links outside",
                shortened(shut, &found.roots)
            ),
            remedy,
            Some(&out.origin),
        );
    }
    if found.bounded {
        scene.notices.push(format!(
            "files with hard links outside were looked for among {ENTRIES} entries only"
        ));
    }
    if outside.is_empty() && out.stale.is_empty() {
        return Links::default();
    }
    if outside.is_empty() {
        return out;
    }
    let mut inodes: BTreeSet<(u64, u64)> = BTreeSet::new();
    let mut trees: BTreeSet<PathBuf> = BTreeSet::new();
    for linked in &outside {
        if inodes.insert((linked.stat.dev, linked.stat.ino))
            && let Some(id) = scene.walk.look.identity(&linked.path)
        {
            out.bytes = out.bytes.saturating_add(id.size);
        }
        trees.insert(tree_of(&linked.path, &found.roots));
    }
    out.count = u64::try_from(outside.len()).unwrap_or(u64::MAX);
    out.trees = trees.iter().map(|dir| dir.as_path().into()).collect();
    out.files = outside.iter().map(|l| l.path.as_path().into()).collect();
    say(scene, &out);
    out
}

/// A path for people: of one that nobody could read to its end, what is four directories below the root that was searched.
fn shortened(path: &Path, roots: &[PathBuf]) -> String {
    const LONG: usize = 400;
    const SHOWN: usize = 4;
    if path.as_os_str().len() <= LONG {
        return show(path).to_string();
    }
    let root = roots.iter().find(|root| within(path, root));
    let above = root.map_or(0, |root| root.components().count());
    let short: PathBuf = path.components().take(above + SHOWN).collect();
    format!("{}/...", show(&short))
}

/// What was found, for people.
fn say(scene: &mut Scene<'_>, links: &Links) {
    let work = scene.workspace.real.clone();
    let name = |dir: &OsText| {
        let below = dir.path().strip_prefix(&work).unwrap_or(dir.path());
        if below.as_os_str().is_empty() {
            "the working copy".to_owned()
        } else {
            OsText::from(below).to_string()
        }
    };
    let mut trees: Vec<String> = links.trees.iter().take(NAMED).map(name).collect();
    let more = links.trees.len().saturating_sub(NAMED);
    if more > 0 {
        trees.push(format!("{more} more"));
    }
    let (has, each) = match links.count {
        1 => (
            "1 file has a hard link".to_owned(),
            "it becomes a copy of its own",
        ),
        many => (
            format!("{many} files have hard links"),
            "each becomes a copy of its own",
        ),
    };
    let what = format!(
        "{has} outside of what the box may write ({}; {})",
        trees.join(", "),
        size(links.bytes)
    );
    match links.rule {
        HardLinks::Copy => scene
            .notices
            .push(format!("{what}: {each}  (--hard-links allow leaves them)")),
        HardLinks::Allow => scene.notices.push(format!(
            "{what}: what the box writes there in place is changed outside, too"
        )),
        HardLinks::Refuse => scene.problem(
            format!("{what}: writing them in place would change what others use"),
            "`--hard-links copy` gives each a copy of its own, `--hard-links allow` leaves them",
            Some(&links.origin),
        ),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1024 / 1024),
    }
}

/// Those that have more names than were found, and that the box could write.
fn outside<'f>(scene: &Scene<'_>, names: &Names, found: &'f Found) -> Vec<&'f Linked> {
    let of_kind = |kind: NameKind| -> Vec<&Path> {
        let found = names.found.iter().filter(|name| name.kind == kind);
        found.map(|name| name.host.path()).collect()
    };
    let (frozen, hidden) = (of_kind(NameKind::Freeze), of_kind(NameKind::Hide));
    let below = |path: &Path, names: &[&Path]| names.iter().any(|name| within(path, name));
    let mut counts: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for linked in &found.linked {
        // The box may write no frozen name, by no other name either: a hook that is a link to a file of the project.
        if !below(&linked.path, &frozen) {
            *counts
                .entry((linked.stat.dev, linked.stat.ino))
                .or_default() += 1;
        }
    }
    let closed = |path: &Path| below(path, &hidden) || below(path, &frozen);
    let uid = scene.host.uid;
    let missing = found.linked.iter().filter(|linked| {
        let seen = counts.get(&(linked.stat.dev, linked.stat.ino));
        seen.is_none_or(|seen| *seen < linked.stat.nlink)
    });
    missing
        .filter(|linked| {
            // Another user's file that nobody else may write is the kernel's to refuse.
            let stat = &linked.stat;
            (uid == 0 || stat.uid == uid || stat.mode & 0o022 != 0) && !closed(&linked.path)
        })
        .filter(|linked| {
            places(scene, &linked.path)
                .iter()
                .any(|(_, _, access)| *access == Access::Write)
        })
        .collect()
}

/// The directory that stands for a file: the one that is usually full of them, else the first below the root.
fn tree_of(file: &Path, roots: &[PathBuf]) -> PathBuf {
    let Some(root) = roots.iter().find(|root| within(file, root)) else {
        return file.to_owned();
    };
    let mut dir = file.parent().unwrap_or(file);
    let mut out = root.clone();
    while !same(dir, root) {
        let Some(above) = dir.parent() else { break };
        let name = |dir: &Path| dir.file_name().unwrap_or_default().as_bytes().to_vec();
        if heavy(&name(above), &name(dir)) || same(&out, root) && same(above, root) {
            dir.clone_into(&mut out);
        }
        dir = above;
    }
    out
}
