//! Did git have this content before the session? Then the agent did not make it, and a tracked file that has it has followed
//! its branch. Answered by what the kernel says of git's own files: the time of the last change of an inode (ctime) is set
//! by nobody. What a session has written, or packed anew, does not count.

#![forbid(unsafe_code)]

use super::{files, git};
use crate::plan::names::Names;
use crate::plan::names::id::Id;
use crate::plan::text::hex;
use nix::fcntl::openat;
use nix::sys::stat::{FileStat, Mode, SFlag};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// A moment: seconds and nanoseconds.
pub(super) type Moment = (i64, i64);

/// Where the repository of a file is.
pub(super) struct Home {
    /// Its git directory: for a linked worktree that of what it is a worktree of.
    pub(super) git: PathBuf,
    /// The file, from the top of its working copy.
    pub(super) rel: PathBuf,
}

/// The repository that a file is in: of the nearest directory above it with a git directory, or with a `.git` file that leads
/// to one.
pub(super) fn home(root: BorrowedFd<'_>, names: &Names, file: &Path) -> Option<Home> {
    let mut above = file.ancestors().skip(1);
    above.find_map(|dir| {
        let dot_git = dir.join(".git");
        let rel = file.strip_prefix(dir).ok()?.to_owned();
        if files::open_path(root, &dot_git.join("objects")).is_ok() {
            return Some(Home { git: dot_git, rel });
        }
        let parent = files::open_path(root, dir).ok()?;
        let (text, _) = files::read(parent.as_fd(), OsStr::new(".git")).ok()??;
        let to = git::target(&dot_git, &text)?;
        let common = to.parent().filter(|up| up.ends_with("worktrees"));
        let git = common.and_then(Path::parent).unwrap_or(&to).to_owned();
        let there = files::open_path(root, &git.join("objects")).is_ok();
        (there && git::is_looked_at(names, &git)).then_some(Home { git, rel })
    })
}

/// Its object store.
pub(super) fn store(root: BorrowedFd<'_>, home: &Home) -> Option<OwnedFd> {
    files::open_path(root, &home.git.join("objects")).ok()
}

/// Was there an object of that id in the store before that moment?
pub(super) fn had(store: BorrowedFd<'_>, id: &Id, before: Moment) -> bool {
    loose(store, id, before) || packed(store, id, before).unwrap_or(false)
}

/// Does the store have an object of that id, since whenever? Who can read the store can read it there.
pub(super) fn has(store: BorrowedFd<'_>, id: &Id) -> bool {
    had(store, id, (i64::MAX, 0))
}

/// The file of a loose object, as it is.
pub(super) fn loose_file(store: BorrowedFd<'_>, id: &Id, most: u64) -> Option<Vec<u8>> {
    let hex = hex(id.bytes());
    let (dir, name) = hex.split_at(2);
    let dir = openat(store, dir, files::DIR, Mode::empty()).ok()?;
    let read = files::read_most(dir.as_fd(), OsStr::new(name), most);
    Some(read.ok()??.0)
}

fn is_old(stat: &FileStat, before: Moment) -> bool {
    files::is(stat, SFlag::S_IFREG) && (stat.st_ctime, stat.st_ctime_nsec) < before
}

fn loose(store: BorrowedFd<'_>, id: &Id, before: Moment) -> bool {
    let hex = hex(id.bytes());
    let (dir, name) = hex.split_at(2);
    openat(store, dir, files::DIR, Mode::empty())
        .and_then(|dir| files::stat(dir.as_fd(), OsStr::new(name)))
        .is_ok_and(|stat| is_old(&stat, before))
}

fn packed(store: BorrowedFd<'_>, id: &Id, before: Moment) -> Option<bool> {
    use nix::fcntl::OFlag;
    let packs = openat(store, "pack", files::DIR, Mode::empty()).ok()?;
    for name in files::names(packs.as_fd()).ok()? {
        if !name.as_encoded_bytes().ends_with(b".idx") {
            continue;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let Ok(index) = openat(&packs, name.as_os_str(), flags, Mode::empty()) else {
            continue;
        };
        let old = nix::sys::stat::fstat(&index).is_ok_and(|stat| is_old(&stat, before));
        if old && lists(&File::from(index), id) == Some(true) {
            return Some(true);
        }
    }
    Some(false)
}

/// Does the index of a pack (version 2, gitformat-pack(5)) list this object? A table of how many objects begin with at most
/// each byte, then the sorted ids.
fn lists(index: &File, id: &Id) -> Option<bool> {
    const IDS: u64 = 8 + 256 * 4;
    let mut head = [0; 8];
    index.read_exact_at(&mut head, 0).ok()?;
    if head != [0xff, b't', b'O', b'c', 0, 0, 0, 2] {
        return None;
    }
    let count = |byte: u64| {
        let mut number = [0; 4];
        index.read_exact_at(&mut number, 8 + byte * 4).ok()?;
        Some(u64::from(u32::from_be_bytes(number)))
    };
    let id = id.bytes();
    let length = u64::try_from(id.len()).ok()?;
    let first = u64::from(*id.first()?);
    let mut low = match first.checked_sub(1) {
        Some(before) => count(before)?,
        None => 0,
    };
    let mut high = count(first)?;
    while low < high {
        let middle = low + (high - low) / 2;
        let mut found = vec![0; id.len()];
        let at = IDS + middle * length;
        index.read_exact_at(&mut found, at).ok()?;
        match found.as_slice().cmp(id) {
            std::cmp::Ordering::Equal => return Some(true),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Some(false)
}
