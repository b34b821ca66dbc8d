//! At the end of a session: work trees that the box made with `git worktree add ../x`, beside the working copy. They were in the
//! box's own directories and are gone with these, and git outside would only say "prunable". Told, not mended: what was
//! committed there is on its branch.

#![forbid(unsafe_code)]

use crate::plan::Plan;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// No repository has so many; the box may have made more.
const MOST: usize = 256;

/// More than a path has.
const LONGEST: u64 = 4200;

const DIR: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// Those that are gone. `since` is the start of the session by the inodes' clock: what a repository knew before is not the box's.
pub(super) fn gone(plan: &Plan, since: (i64, i64)) -> Vec<PathBuf> {
    let written = plan.view.written().map(|(source, _)| source.path());
    let written: Vec<&Path> = written.collect();
    let mut all = Vec::new();
    for dir in &written {
        // The working copy, or the repository of a linked one.
        for git in [".git", "."] {
            all.extend(known(dir, git, since).unwrap_or_default());
        }
    }
    let work = plan.workspace.real.path();
    let bases = [
        work.parent(),
        Some(plan.identity.real_home().path()),
        Some(Path::new("/tmp")),
        Some(Path::new("/var/tmp")),
    ];
    all.retain(|tree| {
        !written.iter().any(|dir| tree.starts_with(dir))
            && bases.iter().flatten().any(|base| is_missing(base, tree))
    });
    all.sort();
    all.dedup();
    all
}

/// The work trees that a repository has learned of: gitrepository-layout(5), `worktrees/NAME/gitdir`. The box wrote all of it.
fn known(dir: &Path, git: &str, since: (i64, i64)) -> Result<Vec<PathBuf>, Errno> {
    let dir = open(dir, DIR, Mode::empty())?;
    let git = openat(&dir, git, DIR, Mode::empty())?;
    let trees = openat(&git, "worktrees", DIR, Mode::empty())?;
    let mut listing = Dir::openat(&trees, ".", DIR, Mode::empty())?;
    let names: Vec<_> = listing
        .iter()
        .flatten()
        .map(|entry| entry.file_name().to_owned())
        .filter(|name| !name.to_bytes().starts_with(b"."))
        .take(MOST)
        .collect();
    Ok(names
        .iter()
        .filter_map(|name| {
            let own = openat(&trees, name.as_c_str(), DIR, Mode::empty()).ok()?;
            tree_of(&own, since)
        })
        .collect())
}

/// What `gitdir` names, if it is of this session: an absolute path that ends in `/.git`.
fn tree_of(own: &OwnedFd, since: (i64, i64)) -> Option<PathBuf> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(own, "gitdir", flags, Mode::empty()).ok()?;
    let stat = fstat(&file).ok()?;
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits()
        || (stat.st_ctime, stat.st_ctime_nsec) < since
    {
        return None;
    }
    let mut text = Vec::new();
    let mut file = File::from(file).take(LONGEST);
    file.read_to_end(&mut text).ok()?;
    let path = Path::new(OsStr::from_bytes(text.trim_ascii_end()));
    let tree = path.strip_prefix("/").ok()?.parent()?;
    (path.file_name() == Some(OsStr::new(".git"))).then(|| Path::new("/").join(tree))
}

/// Is there no such thing below this directory of the host's? The path is the agent's word: nothing that a look could set in motion
/// is entered (an automounter, a file system of a server that is gone), and whatever is not plainly missing is not called so.
fn is_missing(base: &Path, tree: &Path) -> bool {
    let Ok(below) = tree.strip_prefix(base) else {
        return false;
    };
    let Ok(base) = open(base, DIR, Mode::empty()) else {
        return false;
    };
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
    openat2(&base, below, how).err() == Some(Errno::ENOENT)
}
