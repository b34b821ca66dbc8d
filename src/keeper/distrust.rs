//! References that a session has moved to commits which nobody has looked at: their protected files were told in the end, or could
//! not all be read. In the next session they are no reason to leave such a file alone, else two sessions would do what one cannot:
//! commit it by git's plumbing, and check it out. They are as good as others again once somebody outside has moved the reference
//! (a pull, a push, a commit on top of it), or has the file in the working copy.
//!
//! One small file for each repository, beside the sessions' directories, which no box sees.

#![forbid(unsafe_code)]

use super::baseline::Baseline;
use super::history::refs::{self, Repository};
use super::history::{self, Back, How};
use super::settle::{Act, Did};
use super::{files, git};
use crate::sys;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The directory of these files.
const DIR: &str = ".distrust";
/// The most bytes of one.
const MOST: u64 = 4 << 20;

/// What is not trusted of a repository, and what stands for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Distrust {
    /// References, by name, that named this commit when a session ended, and had not when it began.
    pub(super) made: BTreeMap<String, String>,
    /// What the references named before the first of these sessions.
    pub(super) before: BTreeSet<String>,
}

impl Distrust {
    /// What is known of a repository with these references. What somebody has moved since is trusted.
    pub(super) fn of(
        session: BorrowedFd<'_>,
        dir: &Path,
        refs: &BTreeMap<String, String>,
    ) -> Distrust {
        let mut found = open(session)
            .and_then(|at| files::read_most(at.as_fd(), OsStr::new(&file_of(dir)), MOST))
            .ok()
            .flatten()
            .and_then(|(text, _)| serde_json::from_slice::<Distrust>(&text).ok())
            .unwrap_or_default();
        found.made.retain(|name, id| refs.get(name) == Some(id));
        if found.made.is_empty() {
            found.before.clear();
        }
        found
    }

    fn write(&self, session: BorrowedFd<'_>, dir: &Path) -> Result<(), Errno> {
        let at = open(session)?;
        let name = file_of(dir);
        let new = format!("{name}.{}", std::process::id());
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_TRUNC
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC;
        let file = openat(&at, new.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let text = serde_json::to_vec(self).map_err(|_| Errno::EINVAL)?;
        File::from(file)
            .write_all(&text)
            .map_err(|e| sys::errno_of(&e))?;
        renameat(&at, new.as_str(), &at, name.as_str())
    }
}

fn open(session: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let sessions = openat(session, "..", files::DIR, Mode::empty())?;
    match mkdirat(&sessions, DIR, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => openat(&sessions, DIR, files::DIR, Mode::empty()),
        Err(errno) => Err(errno),
    }
}

fn file_of(dir: &Path) -> String {
    let id = Sha1::digest(dir.as_os_str().as_bytes());
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A session is over: what it has moved is not trusted, where the commits behind that were told or could not be read, or where such
/// ones were in the repository already. Returns what could not be written.
#[must_use]
pub fn remember(
    session: BorrowedFd<'_>,
    baseline: &Baseline,
    report: Result<&[Act], &str>,
) -> Vec<String> {
    let Ok(root) = openat(AT_FDCWD, "/", files::DIR, Mode::empty()) else {
        return Vec::new();
    };
    let told = report.map_or(true, |acts| {
        acts.iter().any(|act| match &act.did {
            Did::Unread { .. } => true,
            Did::Committed { commit, how, .. } => {
                *how == How::Made && !is_as_it_was(root.as_fd(), baseline, act.file.path(), commit)
            }
            _ => false,
        })
    });
    let mut failed = Vec::new();
    for repository in &baseline.repositories {
        let dir = repository.dir.path();
        let now = refs::read(root.as_fd(), dir);
        if now == repository.refs {
            continue;
        }
        // Another session may have ended meanwhile.
        let mut known = Distrust::of(session, dir, &now);
        if !told && known.made.is_empty() && repository.distrust.made.is_empty() {
            continue;
        }
        if known.made.is_empty() {
            known.before = repository.trusted();
        }
        let moved = now
            .into_iter()
            .filter(|(name, id)| repository.refs.get(name) != Some(id));
        known.made.extend(moved);
        if let Err(errno) = known.write(session, dir) {
            failed.push(format!("{}: {errno}", dir.display()));
        }
    }
    failed
}

/// Has a commit what the working copy had under that name when the session began? Then it is the user's own work, committed.
fn is_as_it_was(root: BorrowedFd<'_>, baseline: &Baseline, file: &Path, commit: &str) -> bool {
    let Some(bytes) = baseline.of(file).and_then(|kept| baseline.bytes(kept)) else {
        return false;
    };
    let one = ("commit".to_owned(), commit.to_owned());
    baseline.repositories.iter().any(|repository| {
        let dir = repository.dir.path();
        let only = Repository {
            dir: repository.dir.clone(),
            refs: BTreeMap::from([one.clone()]),
            head: None,
            indexes: Vec::new(),
            distrust: Distrust::default(),
            beside: BTreeMap::new(),
        };
        file.strip_prefix(git::work_tree_of(dir))
            .is_ok_and(|rel| history::named(root, &only, rel, Some(bytes), Back::Tips))
    })
}

impl Repository {
    /// What the references named, as far as that is trusted, and what they named before.
    pub(super) fn trusted(&self) -> BTreeSet<String> {
        let is_trusted = |(name, id): &(&String, &String)| {
            let of = |made: &BTreeMap<String, String>| made.get(*name) == Some(*id);
            !of(&self.distrust.made) && !of(&self.beside)
        };
        let refs = self.refs.iter().filter(is_trusted);
        refs.map(|(_, id)| id)
            .chain(&self.distrust.before)
            .cloned()
            .collect()
    }
}
