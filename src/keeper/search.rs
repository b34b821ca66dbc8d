//! Looking through the trees of the rules for what nobody has watched: after a crash, or where events were lost.

#![forbid(unsafe_code)]

use super::baseline::Baseline;
use super::{files, git, tree};
use crate::plan::Kind;
use crate::plan::names::matcher::{Cursor, Matcher, heavy};
use crate::plan::names::{NameKind, Names};
use nix::dir::{Dir, Type};
use nix::fcntl::openat;
use nix::sys::stat::{Mode, SFlag};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The most directories of one search, and how deep.
const DIRECTORIES: usize = 200_000;
const DEPTH: usize = 128;

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Names of rules that the baseline does not have.
    pub(super) names: Vec<PathBuf>,
    /// Git directories that it does not have.
    pub(super) born: Vec<PathBuf>,
}

/// The strongest rule about a path, also one about a directory above it.
pub(super) fn kind_of(names: &Names, file: &Path) -> Option<NameKind> {
    Kinds::new(names).of(file)
}

/// The rules, by their roots: for many paths.
pub(super) struct Kinds(Vec<(PathBuf, Matcher)>);

impl Kinds {
    pub(super) fn new(names: &Names) -> Kinds {
        let roots: BTreeSet<&Path> = names.rules.iter().map(|rule| rule.root.path()).collect();
        let with_rules = |root: &Path| (root.to_owned(), Matcher::new(&names.rules, root));
        Kinds(roots.into_iter().map(with_rules).collect())
    }

    /// As [`kind_of`].
    pub(super) fn of(&self, file: &Path) -> Option<NameKind> {
        let rules = self.0.iter();
        rules
            .filter_map(|(root, matcher)| strongest(matcher, file.strip_prefix(root).ok()?))
            .min()
    }
}

fn strongest(matcher: &Matcher, rel: &Path) -> Option<NameKind> {
    let mut strongest: Option<NameKind> = None;
    {
        let mut cursor = Some(matcher.start());
        let mut at_last = rel.components().peekable();
        for part in rel.components() {
            let Some(at) = cursor else { break };
            let name = part.as_os_str().as_bytes();
            at_last.next();
            let kind = match at_last.peek() {
                Some(_) => Kind::Dir,
                None => Kind::File,
            };
            if let Some((kind, _)) = matcher.entry_of(&at, name, kind).strongest() {
                strongest = Some(strongest.map_or(kind, |known| known.min(kind)));
            }
            cursor = matcher.enter(&at, name);
        }
    }
    strongest
}

/// Searches every tree of the rules.
pub(super) fn search(root: BorrowedFd<'_>, names: &Names, baseline: &Baseline) -> Found {
    let mut found = Found::default();
    let roots: BTreeSet<&Path> = names.rules.iter().map(|rule| rule.root.path()).collect();
    let mut left = DIRECTORIES;
    for path in roots {
        let matcher = Matcher::new(&names.rules, path);
        let Ok(dir) = files::open_path(root, path) else {
            continue;
        };
        let mut stack = vec![At {
            dir,
            path: path.to_owned(),
            cursor: matcher.start(),
            tracked: Tracked::No,
            depth: 0,
        }];
        while let Some(at) = stack.pop() {
            left = left.saturating_sub(1);
            if left == 0 || at.depth > DEPTH {
                break;
            }
            stack.extend(look(at, &matcher, baseline, &mut found));
        }
    }
    found
}

/// A directory of a search.
struct At {
    dir: OwnedFd,
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

fn look(mut at: At, matcher: &Matcher, baseline: &Baseline, found: &mut Found) -> Vec<At> {
    let mut below = Vec::new();
    let again = at.dir.try_clone().ok();
    let Some(Ok(mut entries)) = again.map(Dir::from_fd) else {
        return below;
    };
    if tree::is_git(at.dir.as_fd()) {
        at.cursor = matcher.as_git(&at.cursor, &at.path);
        if at.depth > 0 && !git::is_git_dir(&at.path) && !has(baseline, &at.path) {
            found.born.push(at.path.clone());
        }
    }
    let above = at.path.file_name().unwrap_or_default().as_bytes();
    for entry in entries.iter().map_while(Result::ok) {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let full = at.path.join(name);
        let mut tracked = at.tracked;
        let is_dir = match entry.file_type() {
            Some(kind) => kind == Type::Directory,
            None => files::stat(at.dir.as_fd(), name).is_ok_and(|s| files::is(&s, SFlag::S_IFDIR)),
        };
        let kind = if is_dir { Kind::Dir } else { Kind::File };
        let said = matcher.entry_of(&at.cursor, name.as_bytes(), kind);
        match said.strongest() {
            Some((NameKind::Hide, _)) => continue,
            Some((NameKind::Freeze, _)) => {
                if !has(baseline, &full) {
                    found.names.push(full);
                }
                continue;
            }
            Some((NameKind::Track, _)) => tracked = Tracked::Yes,
            // Those of the session are told from the user's when each is looked at.
            None if entry.file_type() == Some(Type::Symlink) => found.names.push(full.clone()),
            None => {}
        }
        if tracked == Tracked::Yes && !is_dir && baseline.of(&full).is_none() {
            found.names.push(full.clone());
        }
        if !is_dir || heavy(above, name.as_bytes()) {
            continue;
        }
        if git::is_git_dir(&full) && !has(baseline, &full) {
            found.born.push(full.clone());
        }
        let cursor = match (matcher.enter(&at.cursor, name.as_bytes()), tracked) {
            (Some(cursor), _) => cursor,
            (None, Tracked::Yes) => Cursor::default(),
            (None, Tracked::No) => continue,
        };
        if let Ok(dir) = openat(&at.dir, name, files::DIR, Mode::empty()) {
            below.push(At {
                dir,
                path: full,
                cursor,
                tracked,
                depth: at.depth + 1,
            });
        }
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
