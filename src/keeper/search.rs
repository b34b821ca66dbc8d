//! Looking through the trees of the rules for what nobody has watched: after a crash, or where events were lost.

#![forbid(unsafe_code)]

use super::baseline::Baseline;
use super::unlocked::{self, Unlocked};
use super::{files, git, listing};
use crate::plan::Kind;
use crate::plan::names::matcher::{self, Cursor, Matcher, heavy};
use crate::plan::names::{Holds, NameKind, NameRule, Names, Verdict};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::sys::stat::SFlag;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The most directories of one search.
const DIRECTORIES: usize = 200_000;

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Names of rules that the baseline does not have.
    pub(super) names: Vec<PathBuf>,
    /// Git directories that it does not have.
    pub(super) born: Vec<PathBuf>,
    /// Directories that were not looked at, and why: the first few.
    pub(super) unseen: Vec<(PathBuf, String)>,
}

/// How many directories that were not looked at are named.
const UNSEEN: usize = 8;

impl Found {
    fn unseen(&mut self, path: &Path, why: impl ToString) {
        if self.unseen.len() < UNSEEN {
            self.unseen.push((path.to_owned(), why.to_string()));
        }
    }
}

/// Does the way to a name that a rule spells out, and that is frozen or tracked, lead through this one?
pub(super) fn is_on_the_way(rules: &[NameRule], file: &Path) -> bool {
    rules.iter().any(|rule| {
        let root = rule.root.path();
        let Ok(rel) = file.strip_prefix(root) else {
            return false;
        };
        if rule.verdict != Verdict::Applies || rule.pattern.bytes().contains(&b'*') {
            return false;
        }
        let whole = matcher::spelled(rule.pattern.bytes());
        let kind = || {
            Matcher::new(rules, root)
                .strongest(&whole)
                .map(|(kind, _)| kind)
        };
        rel != whole
            && whole.starts_with(rel)
            && matches!(kind(), Some(NameKind::Freeze | NameKind::Track))
    })
}

/// The rules, by their roots: for many paths.
pub(super) struct Kinds {
    rules: Vec<(PathBuf, Matcher)>,
    /// Those that would freeze, see [`Names::guarded`].
    guarded: Vec<(PathBuf, Matcher)>,
}

impl Kinds {
    pub(super) fn new(names: &Names) -> Kinds {
        let guarded = names
            .guarded
            .iter()
            .filter_map(|rule| names.rules.get(*rule));
        Kinds {
            rules: matchers(&names.rules),
            guarded: matchers(&guarded.cloned().collect::<Vec<_>>()),
        }
    }

    /// Is it frozen, or would be, if it could?
    pub(super) fn is_frozen(&self, file: &Path) -> bool {
        self.of(file) == Some(NameKind::Freeze) || self.is_guarded(file)
    }

    /// Would it be frozen, if it could?
    fn is_guarded(&self, file: &Path) -> bool {
        let kind =
            |(root, matcher): &(PathBuf, Matcher)| matcher.strongest(file.strip_prefix(root).ok()?);
        self.guarded.iter().any(|rules| kind(rules).is_some())
    }

    /// Is it hidden, or would be with another content?
    pub(super) fn is_hidden(&self, file: &Path) -> bool {
        let may = |(root, matcher): &(PathBuf, Matcher)| {
            let rel = file.strip_prefix(root);
            rel.is_ok_and(|rel| matcher.may_hide(rel).is_some())
        };
        self.of(file) == Some(NameKind::Hide) || self.rules.iter().any(may)
    }

    /// What a file has to hold to be hidden by a rule about that.
    pub(super) fn content(&self, rules: &[NameRule], file: &Path) -> Option<Holds> {
        let rule =
            |(root, matcher): &(PathBuf, Matcher)| matcher.may_hide(file.strip_prefix(root).ok()?);
        let rule = self.rules.iter().find_map(rule)?;
        rules.get(rule)?.holds
    }

    /// The strongest rule about a path, also one about a directory above it.
    pub(super) fn of(&self, file: &Path) -> Option<NameKind> {
        let rules = self.rules.iter();
        rules
            .filter_map(|(root, matcher)| matcher.strongest(file.strip_prefix(root).ok()?))
            .map(|(kind, _)| kind)
            .min()
    }
}

fn matchers(rules: &[NameRule]) -> Vec<(PathBuf, Matcher)> {
    let roots: BTreeSet<&Path> = rules.iter().map(|rule| rule.root.path()).collect();
    let with_rules = |root: &Path| (root.to_owned(), Matcher::new(rules, root));
    roots.into_iter().map(with_rules).collect()
}

/// Searches every tree of the rules.
pub(super) fn search(root: BorrowedFd<'_>, names: &Names, baseline: &Baseline) -> Found {
    let mut found = Found::default();
    let roots: BTreeSet<&Path> = names.rules.iter().map(|rule| rule.root.path()).collect();
    let hidden: BTreeSet<&Path> = names
        .found
        .iter()
        .filter(|found| found.kind == NameKind::Hide)
        .map(|found| found.host.path())
        .collect();
    let mut left = DIRECTORIES;
    for path in roots {
        let matcher = Matcher::new(&names.rules, path);
        // By their paths: a directory with thousands in it must not use up the descriptors.
        let mut stack = vec![At {
            path: path.to_owned(),
            cursor: matcher.start(),
            tracked: Tracked::No,
            depth: 0,
        }];
        while let Some(at) = stack.pop() {
            let Some(rest) = left.checked_sub(1) else {
                found.unseen(&at.path, format!("more than {DIRECTORIES} directories"));
                break;
            };
            left = rest;
            let mut unlocked = Unlocked::default();
            match unlocked.open(root, &at.path) {
                Ok(dir) => stack.extend(look(at, dir, &matcher, baseline, &hidden, &mut found)),
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                // A database's, of a container: the box could not enter it either.
                Err(Errno::EPERM) if unlocked::is_shut(root, &at.path) => {}
                // One of them must not be the end of the search.
                Err(errno) => found.unseen(&at.path, errno.desc()),
            }
        }
    }
    found
}

/// A directory of a search.
struct At {
    path: PathBuf,
    cursor: Cursor,
    tracked: Tracked,
    depth: usize,
}

/// Whether everything in a directory is tracked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tracked {
    Yes,
    No,
}

fn look(
    mut at: At,
    dir: OwnedFd,
    matcher: &Matcher,
    baseline: &Baseline,
    hidden: &BTreeSet<&Path>,
    found: &mut Found,
) -> Vec<At> {
    let mut below = Vec::new();
    let listing = dir.try_clone().map_err(|e| crate::sys::errno_of(&e));
    let mut entries = match listing.and_then(Dir::from_fd) {
        Ok(entries) => entries,
        Err(errno) => {
            found.unseen(&at.path, errno.desc());
            return below;
        }
    };
    if !at.cursor.is_spelled() && listing::is_git(dir.as_fd()) {
        at.cursor = matcher.as_git(&at.cursor, &at.path);
        if at.depth > 0 && !git::is_git_dir(&at.path) && !has(baseline, &at.path) {
            found.born.push(at.path.clone());
        }
    }
    let above = at.path.file_name().unwrap_or_default().as_bytes();
    for entry in entries.iter() {
        let Ok(entry) = entry else {
            found.unseen(&at.path, "its names cannot be read");
            break;
        };
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let full = at.path.join(name);
        let mut tracked = at.tracked;
        let is_dir = match entry.file_type() {
            Some(kind) => kind == Type::Directory,
            None => files::stat(dir.as_fd(), name).is_ok_and(|s| files::is(&s, SFlag::S_IFDIR)),
        };
        let kind = if is_dir { Kind::Dir } else { Kind::File };
        let said = matcher.entry_of(&at.cursor, name.as_bytes(), kind);
        match said.strongest() {
            // Also what is hidden for its content: the box could not change it.
            _ if hidden.contains(full.as_path()) => continue,
            Some((NameKind::Hide, _)) => {
                // What is behind it, and under which other names, may be open.
                if !is_dir {
                    found.names.push(full);
                }
                continue;
            }
            Some((NameKind::Freeze, _)) => {
                if !has(baseline, &full) {
                    found.names.push(full);
                }
                continue;
            }
            Some((NameKind::Track, _)) => tracked = Tracked::Yes,
            // Those of the session are told from the user's when each is looked at.
            None if entry.file_type() == Some(Type::Symlink)
                && (!at.cursor.is_spelled()
                    || matcher.enter(&at.cursor, name.as_bytes()).is_some()) =>
            {
                found.names.push(full.clone());
            }
            None => {}
        }
        if tracked == Tracked::Yes && !is_dir && baseline.of(&full).is_none() {
            found.names.push(full.clone());
        }
        if !is_dir {
            continue;
        }
        let entered = matcher.search(&at.cursor, above, name.as_bytes());
        if entered.is_none() && heavy(above, name.as_bytes()) {
            continue;
        }
        if !at.cursor.is_spelled() && git::is_git_dir(&full) && !has(baseline, &full) {
            found.born.push(full.clone());
        }
        let cursor = match (entered, tracked) {
            (Some(cursor), _) => cursor,
            (None, Tracked::Yes) => Cursor::default(),
            (None, Tracked::No) => continue,
        };
        below.push(At {
            path: full,
            cursor,
            tracked,
            depth: at.depth + 1,
        });
    }
    below
}

/// Is it, or something below it, in the baseline?
fn has(baseline: &Baseline, path: &Path) -> bool {
    baseline
        .files
        .iter()
        .any(|kept| kept.file.path().starts_with(path))
        || baseline
            .frozen
            .iter()
            .any(|dir| dir.path().starts_with(path))
}
