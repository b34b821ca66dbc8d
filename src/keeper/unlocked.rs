//! [`Unlocked`]: directories that the box has closed by their modes are opened all the same, since they are the user's, and
//! have their modes again after that.

#![forbid(unsafe_code)]

use super::files;
use super::place::c_path;
use crate::sys::mount;
use crate::sys::unlock::{self, Widened};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

/// What was opened so.
#[derive(Debug, Default)]
pub(super) struct Unlocked(Vec<Widened>);

impl Unlocked {
    /// Opens a directory by its absolute path, through no link, to be listed and searched.
    pub(super) fn open(&mut self, root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
        // One that may be listed and not searched opens, and nothing in it does.
        let searched = |dir: OwnedFd| openat(&dir, ".", files::DIR, Mode::empty()).map(|_| dir);
        match files::open_path(root, path).and_then(searched) {
            Err(Errno::EACCES) => self.walk(root, path),
            other => other,
        }
    }

    /// The same, also to be written.
    pub(super) fn open_to_write(
        &mut self,
        root: BorrowedFd<'_>,
        path: &Path,
    ) -> Result<OwnedFd, Errno> {
        let dir = self.open(root, path)?;
        self.write(dir.as_fd());
        Ok(dir)
    }

    /// An open directory may be written from now on. Where that is not to be had, the write says so.
    pub(super) fn write(&mut self, dir: BorrowedFd<'_>) {
        if let Ok(widened) = unlock::widen(dir, OsStr::new(".")) {
            self.0.extend(widened);
        }
    }

    fn walk(&mut self, root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut at = openat(root, ".", flags, Mode::empty())?;
        for part in path.components() {
            let Component::Normal(name) = part else {
                continue;
            };
            let next = openat(&at, name, flags, Mode::empty())?;
            // Each below it needs this one to be searched; the last one is listed.
            let listed = openat(&next, ".", files::DIR, Mode::empty());
            if matches!(listed, Err(Errno::EACCES)) {
                self.0.extend(unlock::widen(at.as_fd(), name)?);
            }
            at = next;
        }
        openat(&at, ".", files::DIR, Mode::empty())
    }

    /// All have their modes again.
    pub(super) fn lock(&mut self) {
        // The last one first: the one above it may be what lets it be reached.
        while let Some(widened) = self.0.pop() {
            widened.narrow();
        }
    }
}

/// Is a directory another user's, and may this one not enter it? Nothing in it can be reached, nor can anything be made there.
pub(super) fn is_shut(root: BorrowedFd<'_>, path: &Path) -> bool {
    let place = c_path(path.strip_prefix("/").unwrap_or(path));
    let dir = place.and_then(|path| mount::open(root, &path, libc::O_PATH | libc::O_DIRECTORY));
    dir.is_ok_and(|dir| unlock::is_shut(dir.as_fd()))
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        self.lock();
    }
}
