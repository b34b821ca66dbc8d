//! Links of the session in those directories of a git directory that git itself writes to all the time, most of which are never
//! searched. It writes through them: a link `logs/HEAD -> ~/.bashrc` gets a line of the reflog with each commit, in the words of whoever
//! named the branch or wrote the message.

#![forbid(unsafe_code)]

use super::baseline::Baseline;
use super::objects::Moment;
use super::unlocked::Unlocked;
use super::{files, strayed};
use crate::plan::names::Names;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The most directories that are looked through in one git directory.
const DIRECTORIES: usize = 20_000;

/// What was found in one.
#[derive(Debug, Default)]
pub(super) struct Outward {
    /// Links of the session that lead out of it.
    pub(super) links: Vec<PathBuf>,
    /// What could not be looked at, and why.
    pub(super) unseen: Option<(PathBuf, String)>,
}

impl Outward {
    fn is_empty(&self) -> bool {
        self.links.is_empty() && self.unseen.is_none()
    }
}

/// Is there such a link in a repository of the baseline?
pub(super) fn any(baseline: &Baseline, names: &Names) -> bool {
    let Ok(root) = openat(AT_FDCWD, "/", files::DIR, Mode::empty()) else {
        return true;
    };
    let look = |dir| outward(root.as_fd(), names, baseline.taken, dir);
    let mut all = baseline.repositories.iter();
    all.any(|repository| !look(repository.dir.path()).is_empty())
}

/// Those of one git directory.
pub(super) fn outward(root: BorrowedFd<'_>, names: &Names, taken: Moment, git: &Path) -> Outward {
    let mut found = Outward::default();
    let (mut left, mut rest) = (DIRECTORIES, Vec::new());
    rest.extend(["logs", "refs", "lfs", "objects"].map(|name| git.join(name)));
    while let Some(path) = rest.pop() {
        left -= 1;
        if left == 0 {
            let why = format!("more than {DIRECTORIES} directories");
            found.unseen = Some((git.to_owned(), why));
            break;
        }
        // The modes that the box gave it are no reason to leave it, and git needs no list of it.
        let mut unlocked = Unlocked::default();
        let listed = unlocked.open(root, &path).and_then(|dir| {
            let names = files::names(dir.as_fd())?;
            Ok((dir, names))
        });
        let (dir, entries) = match listed {
            Ok(listed) => listed,
            // A link in the git directory itself is a name that the rules know.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
            Err(errno) => {
                found.unseen = Some((path, errno.desc().to_owned()));
                continue;
            }
        };
        for name in entries {
            let at = path.join(&name);
            // The store's own directories, whose files git makes under another name and moves.
            let rel = at.strip_prefix(git).unwrap_or(&at);
            let in_store = rel.starts_with("objects");
            if in_store && is_fan(&name) || rel == Path::new("lfs/objects") {
                continue;
            }
            let Ok(stat) = files::stat(dir.as_fd(), &name) else {
                continue;
            };
            if files::is(&stat, SFlag::S_IFDIR) {
                rest.push(at);
            } else if files::is(&stat, SFlag::S_IFLNK)
                && leads_out(dir.as_fd(), &name)
                // A user may have put the packs elsewhere, and the store changes with each commit.
                && (is_young(&stat, taken) || !in_store && strayed::goes(names, &at, taken))
            {
                found.links.push(at);
            }
        }
    }
    found
}

fn is_young(stat: &FileStat, taken: Moment) -> bool {
    (stat.st_ctime, stat.st_ctime_nsec) >= taken
}

/// Is it `ab` of `objects/ab/cdef...`?
fn is_fan(name: &OsStr) -> bool {
    name.len() == 2 && name.as_bytes().iter().all(u8::is_ascii_hexdigit)
}

/// Could a link lead out of the git directory? What git itself makes (`core.preferSymlinkRefs`) names something beside it or below.
fn leads_out(dir: BorrowedFd<'_>, name: &OsStr) -> bool {
    readlinkat(dir, Path::new(name)).is_ok_and(|to| {
        let to = Path::new(&to);
        to.is_absolute() || to.iter().any(|part| part == "..")
    })
}
