//! Working copies of repositories that were born in the session: their files are as good as what they were cloned from.

#![forbid(unsafe_code)]

use super::Settler;
use crate::keeper::git::{self, Pointer};
use crate::keeper::history::refs::Repository;
use crate::keeper::listing;
use crate::keeper::search::Kinds;
use crate::keeper::unlocked::Unlocked;
use crate::keeper::{history, objects};
use crate::plan::names::NameKind;
use crate::sys::mount;
use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

impl Settler<'_> {
    /// The working copies that came with these git directories. Not the one of the session itself, none that was there
    /// before, and none of what is called `.git` and is no repository: each would be a way to keep what is in it from
    /// being looked at.
    pub(super) fn clones(&self, born: &[PathBuf]) -> Vec<PathBuf> {
        let roots: BTreeSet<&Path> = self.names.rules.iter().map(|r| r.root.path()).collect();
        let root = self.root.as_fd();
        let is_new = |copy: &Path| {
            let mut unlocked = Unlocked::default();
            let git = unlocked.open(root, &copy.join(".git"));
            let dir = unlocked.open(root, copy);
            let (Ok(git), Ok(dir)) = (git, dir) else {
                return false;
            };
            // No call sets the time of birth. A file system that has none tells no clone from what was there.
            let birth = mount::birth(dir.as_fd()).ok().flatten();
            listing::is_git(git.as_fd()) && birth.is_some_and(|at| at >= self.baseline.taken)
        };
        born.iter()
            .filter(|dir| dir.ends_with(".git"))
            .filter_map(|dir| dir.parent())
            .filter(|copy| !roots.contains(copy) && is_new(copy) && !self.stood(copy))
            .map(Path::to_owned)
            .collect()
    }

    /// Was there something under that name when the session began? A new directory that has come into the place of one that the
    /// user knows (`mv app old; git clone ... app`) is no clone that nobody has opened yet: its editor is open there.
    pub(super) fn stood(&self, copy: &Path) -> bool {
        let is_known = self.baseline.knows_below(copy)
            || (self.names.found.iter()).any(|found| found.host.path().starts_with(copy));
        is_known || self.stood_in_git(copy)
    }

    /// Had a branch of the start a directory there?
    pub(super) fn stood_in_git(&self, copy: &Path) -> bool {
        let root = self.root.as_fd();
        // Not only what is a repository now: the box can take `.git` away.
        let mut above: Vec<(&Repository, PathBuf)> = (self.baseline.repositories.iter())
            .filter_map(|repository| {
                let top = repository.dir.path();
                let top = top.parent().filter(|_| top.ends_with(".git"))?;
                Some((repository, copy.strip_prefix(top).ok()?.to_owned()))
            })
            .collect();
        // A linked work tree has its repository elsewhere.
        if let Some(home) = objects::home(root, &self.names, copy) {
            let known = self.baseline.repository(&home.git);
            above.extend(known.map(|repository| (repository, home.rel)));
        }
        above
            .into_iter()
            .filter(|(_, rel)| !rel.as_os_str().is_empty())
            .any(|(repository, rel)| history::stood(root, repository, &rel))
    }
}

/// What is settled with the repositories of the session. There may be tens of thousands of either.
pub(super) struct Theirs {
    born: BTreeSet<PathBuf>,
    clones: BTreeSet<PathBuf>,
}

impl Theirs {
    pub(super) fn new(born: &[PathBuf], clones: &[PathBuf]) -> Theirs {
        Theirs {
            born: born.iter().cloned().collect(),
            clones: clones.iter().cloned().collect(),
        }
    }

    /// Is it settled with a repository of the session, or a file of its working copy that is only tracked? What would be frozen
    /// is looked at everywhere.
    pub(super) fn has(&self, kinds: &Kinds, file: &Path) -> bool {
        let inside = |dir: &Path| file.strip_prefix(dir).is_ok_and(git::is_gits);
        if file
            .ancestors()
            .any(|dir| self.born.contains(dir) && inside(dir))
        {
            return true;
        }
        file.ancestors().any(|dir| self.clones.contains(dir))
            && Pointer::of(file).is_none()
            && !file.is_symlink()
            && kinds.of(file) == Some(NameKind::Track)
            && !kinds.is_frozen(file)
    }
}
