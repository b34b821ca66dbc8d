//! Other ways to a hidden file: the search of a root with what an earlier start remembers of it, names by another hard link,
//! and names that were moved away with their directory.

#![forbid(unsafe_code)]

use super::super::expand::{below, same, within};
use super::super::scene::{Scene, show};
use super::led::take;
use super::memory::{LARGEST, Memory, Secret};
use super::search::{self, Hit, Search, by_inode};
use super::{Found, Target, left, shown_dirs};
use crate::host::{FileType, Identity};
use crate::plan::names::matcher::{Matcher, literal};
use crate::plan::names::{Decision, NameKind, NameRule, Verdict};
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A tree of fewer directories is searched faster than it is remembered.
const REMEMBERED: usize = 256;

/// The most entries of hidden directories that are asked for their second names.
const INNER: u64 = 20_000;

/// More hidden files than that are not remembered.
const SECRETS: usize = 10_000;

/// Searches below a root that is shown.
pub(super) fn search(
    scene: &mut Scene<'_>,
    rules: &[NameRule],
    matcher: &Matcher,
    root: &Path,
    found: &mut Found,
) {
    let look = scene.walk.look;
    let place = memory_of(scene, "names", root);
    let hash = hash_of(rules, root);
    let memory = look
        .recall(&place)
        .filter(|bytes| bytes.len() <= LARGEST)
        .and_then(|bytes| Memory::read(&bytes))
        .filter(|memory| memory.root == root.as_os_str().as_bytes())
        .unwrap_or_default();
    let Memory {
        rules: known,
        secrets,
        tree,
        ..
    } = memory;
    let tree = tree.filter(|_| known == hash);
    let had_tree = tree.is_some();
    let first = found.hits.len();

    let mut search = Search::new(look, matcher, left(found));
    let begun = found.searched.begun.as_ref();
    search.ahead = begun.and_then(|begun| begun.ahead_of(root));
    let record = search.run(root, &matcher.start(), tree);
    let (read, dirs, complete) = (search.read, search.dirs, search.ended.is_none());
    take(scene, matcher, search, found);

    let now = remembered(
        scene,
        rules,
        root,
        found.hits.get(first..).unwrap_or_default(),
    );
    let (kept, lost) = compare(scene, rules, root, &secrets, &now);
    let mut all = now;
    all.extend(kept);
    if !lost.is_empty() {
        moved(scene, rules, root, &lost, found, &mut all);
    }
    all.truncate(SECRETS);
    // A few directories that changed are read again each time; to write the whole tree for them would cost more.
    let worth = dirs >= REMEMBERED && complete && (!had_tree || read > 16 && read * 32 > dirs);
    let mut record = Some(record);
    if worth || all != secrets {
        let mut memory = Memory {
            root: root.as_os_str().as_bytes().to_vec(),
            rules: hash,
            secrets: all,
            tree: record.take_if(|_| dirs >= REMEMBERED && complete),
        };
        look.remember(&place, &memory.bytes());
        record = record.or(memory.tree.take());
    }
    let trees = &mut found.searched.trees;
    trees.extend(record.map(|tree| (root.to_owned(), tree)));
}

/// Where the memory of a root is: agentbox's own directory, which no box can write.
pub(super) fn memory_of(scene: &Scene<'_>, what: &str, root: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    root.as_os_str().as_bytes().hash(&mut hasher);
    scene
        .xdg("XDG_STATE_HOME", ".local/state")
        .join(format!("agentbox/{what}/{:016x}", hasher.finish()))
}

fn hash_of(rules: &[NameRule], root: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    for rule in rules.iter().filter(|rule| rule.root.path() == root) {
        rule.kind.hash(&mut hasher);
        rule.pattern.hash(&mut hasher);
        (rule.verdict == Verdict::Lifted).hash(&mut hasher);
    }
    hasher.finish()
}

/// The identities of what is hidden now.
fn remembered(scene: &Scene<'_>, rules: &[NameRule], root: &Path, hits: &[Hit]) -> Vec<Secret> {
    let look = scene.walk.look;
    let mut out: Vec<Secret> = hits
        .iter()
        .filter(|hit| within(&hit.path, root))
        .filter_map(|hit| {
            let rule = rules.get(hit.decision.hide.or(hit.decision.hide_if)?)?;
            let id = look.identity(&hit.path)?;
            let parent = look.identity(hit.path.parent()?)?;
            Some(Secret {
                dev: id.dev,
                ino: id.ino,
                born: id.born,
                pattern: rule.pattern.bytes().to_vec(),
                path: hit.path.as_os_str().as_bytes().to_vec(),
                moved: false,
                parent: (parent.dev, parent.ino),
            })
        })
        .collect();
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out.dedup();
    out
}

/// Which of the earlier secrets no rule of this start is about (they are kept), and which are not where they were although
/// their directory is somewhere else, too.
fn compare(
    scene: &Scene<'_>,
    rules: &[NameRule],
    root: &Path,
    before: &[Secret],
    now: &[Secret],
) -> (Vec<Secret>, Vec<Secret>) {
    let active = |secret: &Secret| {
        rules.iter().any(|rule| {
            rule.kind == NameKind::Hide
                && rule.verdict == Verdict::Applies
                && rule.root.path() == root
                && rule.pattern.bytes() == secret.pattern
        })
    };
    let (mut kept, mut lost) = (Vec::new(), Vec::new());
    for secret in before {
        let same = |other: &Secret| (other.dev, other.ino) == (secret.dev, secret.ino);
        if now.iter().any(same) {
            continue;
        }
        if !active(secret) {
            kept.push(secret.clone());
            continue;
        }
        let path = Path::new(OsStr::from_bytes(&secret.path));
        let there = |path: &Path, id: (u64, u64)| {
            identity(scene, path).is_some_and(|found| (found.dev, found.ino) == id)
        };
        if there(path, (secret.dev, secret.ino)) {
            // Where a rule matches it, that it is not among what is hidden means that it was lifted.
            if secret.moved && !is_lifted(rules, root, path) {
                lost.push(secret.clone());
            } else {
                kept.push(secret.clone());
            }
            continue;
        }
        // A box cannot move a hidden file, only a directory that holds it. In its old directory it was the host that
        // removed, replaced or renamed it. Where it was moved to no rule says that what has taken its place is hidden, too.
        if path.parent().is_some_and(|dir| there(dir, secret.parent)) {
            let replaced = secret.moved && identity(scene, path).is_some();
            if replaced && !is_lifted(rules, root, path) {
                lost.push(secret.clone());
            }
            continue;
        }
        lost.push(secret.clone());
    }
    (kept, lost)
}

/// What has that very path. A directory that was moved away may have left a link to it in its place: what is behind that has
/// another one.
fn identity(scene: &Scene<'_>, path: &Path) -> Option<Identity> {
    let dir = path.parent()?;
    let found = scene.walk.look.identity(path)?;
    same(&scene.real_of(dir), dir).then_some(found)
}

/// Does a grant name exactly this path?
pub(super) fn is_lifted(rules: &[NameRule], root: &Path, path: &Path) -> bool {
    let way = below(path, root).unwrap_or_default();
    let names: Vec<Vec<u8>> = way.split(|b| *b == b'/').map(literal).collect();
    let exact = names.join(&b'/');
    rules.iter().any(|rule| {
        rule.kind == NameKind::Hide
            && rule.verdict == Verdict::Lifted
            && rule.root.path() == root
            && rule.pattern.bytes() == exact
    })
}

/// Looks for hidden files by their inodes, wherever they are now.
fn moved(
    scene: &mut Scene<'_>,
    rules: &[NameRule],
    root: &Path,
    lost: &[Secret],
    found: &mut Found,
    all: &mut Vec<Secret>,
) {
    let look = scene.walk.look;
    let dirs = shown_dirs(scene);
    let mut budget = search::ENTRIES;
    let mut places: Vec<(PathBuf, FileType, Secret)> = Vec::new();
    let mut unknown: Vec<Secret> = Vec::new();
    for secret in lost {
        let path = PathBuf::from(OsStr::from_bytes(&secret.path));
        match identity(scene, &path) {
            // Where an earlier start found it after it was moved.
            Some(id) if (id.dev, id.ino, id.born) == (secret.dev, secret.ino, secret.born) => {
                places.push((path, id.file_type, secret.clone()));
            }
            // Replaced there.
            Some(id) if secret.moved => places.push((path, id.file_type, secret.clone())),
            _ => unknown.push(secret.clone()),
        }
    }
    let wanted = |ino: u64| {
        let mut unknown = unknown.iter();
        unknown.any(|secret| secret.ino == ino || secret.parent.1 == ino)
    };
    let writable: Vec<PathBuf> = dirs
        .into_iter()
        .filter(|dir| scene.tree.access(dir) == Some(crate::plan::Access::Write))
        .collect();
    if !unknown.is_empty() {
        by_inode(
            look,
            &writable,
            &wanted,
            &mut budget,
            &mut |path, file_type| {
                let Some(id) = look.identity(&path) else {
                    return false;
                };
                let secret = unknown
                    .iter()
                    .find(|s| (s.dev, s.ino, s.born) == (id.dev, id.ino, id.born));
                if let Some(secret) = secret {
                    places.push((path, file_type, secret.clone()));
                    return false;
                }
                // Its directory, in which the host may have replaced it since.
                let inside = unknown.iter().filter(|s| s.parent == (id.dev, id.ino));
                for secret in inside {
                    let name = Path::new(OsStr::from_bytes(&secret.path)).file_name();
                    let file = path.join(name.unwrap_or_default());
                    if let Some(found) = look.identity(&file)
                        && (found.dev, found.ino) != (secret.dev, secret.ino)
                    {
                        places.push((file, found.file_type, secret.clone()));
                    }
                }
                false
            },
        );
    }
    if budget == 0 {
        bounded(scene, entries(), &mut found.skipped);
    }
    for (path, file_type, mut secret) in places {
        let rule = rules.iter().position(|rule| {
            rule.kind == NameKind::Hide
                && rule.verdict == Verdict::Applies
                && rule.root.path() == root
                && rule.pattern.bytes() == secret.pattern
        });
        let Some(rule) = rule else { continue };
        let known = found
            .hits
            .iter()
            .any(|hit| hit.path == path && hit.decision.hide.or(hit.decision.hide_if).is_some());
        if !known {
            let before = Path::new(OsStr::from_bytes(&secret.path));
            if before != path {
                scene.notices.push(format!(
                    "{} was hidden and is {} now: it stays hidden",
                    show(before),
                    show(&path)
                ));
            }
            found.hits.push(Hit {
                path: path.clone(),
                file_type,
                decision: Decision {
                    hide: Some(rule),
                    ..Decision::default()
                },
            });
        }
        // What the host saves there later is looked for by its path: no other rule may reach there.
        let way = path.strip_prefix(root).unwrap_or(&path);
        let why = "it was hidden where it was before";
        found
            .moved
            .push(NameRule::about(NameKind::Hide, root, way, why));
        if let Some(id) = look.identity(&path) {
            (secret.dev, secret.ino, secret.born) = (id.dev, id.ino, id.born);
        }
        secret.path = path.as_os_str().as_bytes().to_vec();
        secret.moved = true;
        if let Some(dir) = path.parent().and_then(|dir| look.identity(dir)) {
            secret.parent = (dir.dev, dir.ino);
        }
        all.push(secret);
    }
}

fn entries() -> String {
    format!(
        "other names of hidden files were looked for among {} entries only",
        search::ENTRIES
    )
}

fn bounded(scene: &mut Scene<'_>, what: String, skipped: &mut Vec<String>) {
    scene.notices.push(what.clone());
    skipped.push(what);
}

/// Adds every other name of a hidden file that has more than one. A tree of root's holds no link that a user could have made
/// to a file of their own: where no hidden file is root's, such trees are left out.
pub(super) fn hard_links(
    scene: &mut Scene<'_>,
    targets: &mut Vec<Target>,
    skipped: &mut Vec<String>,
) {
    let look = scene.walk.look;
    let mut linked: Vec<(Identity, usize)> = Vec::new();
    let mut inner = INNER;
    for target in targets.iter().filter(|t| t.kind == NameKind::Hide) {
        let mut add = |path: &Path| {
            let id = look.identity(path).filter(|id| id.links > 1);
            linked.extend(id.map(|id| (id, target.rule)));
        };
        match target.file_type {
            FileType::File => add(&target.path),
            // It is hidden with everything in it, by every name.
            FileType::Dir => by_inode(
                look,
                std::slice::from_ref(&target.path),
                &|_| true,
                &mut inner,
                &mut |path, file_type| {
                    if file_type == FileType::File {
                        add(&path);
                    }
                    false
                },
            ),
            _ => {}
        }
    }
    if inner == 0 {
        let what = format!(
            "of what is in hidden directories, {INNER} entries were asked for other names only"
        );
        bounded(scene, what, skipped);
    }
    if linked.is_empty() {
        return;
    }
    let only_roots = linked.iter().any(|(id, _)| id.uid == 0);
    let dirs: Vec<PathBuf> = shown_dirs(scene)
        .into_iter()
        .filter(|dir| only_roots || look.identity(dir).is_some_and(|id| id.uid != 0))
        .collect();
    let wanted = |ino: u64| linked.iter().any(|(id, _)| id.ino == ino);
    let mut budget = search::ENTRIES;
    let mut aliases: Vec<Target> = Vec::new();
    let mut add = |path: PathBuf| {
        let Some(id) = look.identity(&path) else {
            return;
        };
        let same = linked
            .iter()
            .find(|(l, _)| (l.dev, l.ino) == (id.dev, id.ino));
        if let Some((_, rule)) = same {
            aliases.push(Target {
                path,
                file_type: FileType::File,
                kind: NameKind::Hide,
                freeze: None,
                rule: *rule,
            });
        }
    };
    by_inode(look, &dirs, &wanted, &mut budget, &mut |path, _| {
        add(path);
        // More than one inode may be looked for: only all names of all of them are enough.
        false
    });
    let files: Vec<PathBuf> = scene
        .tree
        .binds()
        .iter()
        .filter(|(_, shown)| shown.kind == crate::plan::Kind::File)
        .map(|(_, shown)| shown.source.clone())
        .collect();
    for file in files {
        add(file);
    }
    if budget == 0 {
        bounded(scene, entries(), skipped);
    }
    // What lies in a hidden directory is covered with it.
    let covered = |path: &Path| {
        let mut dirs = targets
            .iter()
            .filter(|t| t.kind == NameKind::Hide && t.file_type == FileType::Dir);
        dirs.any(|dir| within(path, &dir.path))
    };
    aliases.retain(|alias| !covered(&alias.path));
    targets.retain(|t| !aliases.iter().any(|alias| alias.path == t.path));
    targets.extend(aliases);
    let all = std::mem::take(targets);
    *targets = super::dedupe(all);
}
