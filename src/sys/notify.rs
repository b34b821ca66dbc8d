//! [`Notify`]: events of files, by inotify, and by fanotify for a user who has no inotify instance left.

#![forbid(unsafe_code)]

use super::fanotify::Fanotify;
use super::inotify::{Inotify, Read, Seen};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Where events come from. Masks and events are inotify's.
#[derive(Debug)]
pub enum Notify {
    /// As a rule.
    Inotify(Inotify),
    /// When the user has used those up. Not first: on some file systems it has no events.
    Fanotify(Fanotify),
}

impl Notify {
    /// A new one, close-on-exec and non-blocking.
    ///
    /// # Errors
    /// EMFILE: neither is left. Else the errno of inotify_init1(2).
    pub fn new() -> Result<Notify, Errno> {
        match Inotify::new() {
            Ok(inotify) => Ok(Notify::Inotify(inotify)),
            Err(errno) => Fanotify::new().map(Notify::Fanotify).map_err(|_| errno),
        }
    }

    /// Watches what the path names; with `IN_MASK_ADD` beside what is watched of it already. The same inode has the same number.
    ///
    /// # Errors
    /// Those of [`Inotify::watch`] and [`Fanotify::watch`].
    pub fn watch(&self, path: &Path, mask: u32) -> Result<i32, Errno> {
        match self {
            Notify::Inotify(inotify) => inotify.watch(path, mask),
            Notify::Fanotify(fanotify) => fanotify.watch(path, mask),
        }
    }

    /// Watches no longer. A number that is gone already is no harm.
    pub fn unwatch(&self, watch: i32) {
        match self {
            Notify::Inotify(inotify) => inotify.unwatch(watch),
            Notify::Fanotify(fanotify) => fanotify.unwatch(watch),
        }
    }

    /// Reads as much as the buffer holds (4 KiB at least) and hands it out, event by event.
    ///
    /// # Errors
    /// The errno of read(2) but EAGAIN.
    pub fn read(&self, buffer: &mut [u8], seen: impl FnMut(Seen<'_>)) -> Result<Read, Errno> {
        match self {
            Notify::Inotify(inotify) => inotify.read(buffer, seen),
            Notify::Fanotify(fanotify) => fanotify.read(buffer, seen),
        }
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Notify::Inotify(inotify) => inotify.as_fd(),
            Notify::Fanotify(fanotify) => fanotify.as_fd(),
        }
    }
}
