//! [`Inodes`]: files of which it matters who writes them, by whatever name. An event of a directory has the name by which a file
//! was opened: a second name (`ln .git/config .git/x`), one that is gone since, or a descriptor that is opened anew
//! (`/proc/self/fd`) is not the name that a rule is about. A watch of the inode tells of all of them.

#![forbid(unsafe_code)]

use super::files;
use super::place::{Place, c_path};
use super::tree::{Happened, Spot};
use crate::sys::inotify::Inotify;
use crate::sys::mount;
use nix::errno::Errno;
use nix::sys::inotify::AddWatchFlags;
use nix::sys::stat::{SFlag, fstat};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// How often a name that is exchanged meanwhile is looked at again.
const TRIES: u32 = 16;

/// The most files that are held open to ask for their writers. Any other is watched anew to be asked ([`Inodes::unheld`]).
const MOST_OPEN: usize = 400;

/// What is told of an inode. Of what is written through a mapping only the open and the end, of a second name that it changed.
const WRITTEN: AddWatchFlags = AddWatchFlags::IN_OPEN
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_MODIFY)
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_DONT_FOLLOW);

/// A place, and the path below it.
pub(super) type At = (usize, PathBuf);

/// A watched file.
struct Watched {
    /// Opened before it was watched: to open it once more to ask who writes it would be an event, and that would be without end.
    file: Option<OwnedFd>,
    /// The names of rules that it has.
    names: Vec<At>,
    /// It was looked at once although nobody knows who writes it. To look is to open it, which would be without end.
    in_doubt: bool,
}

/// What was found of a file when it was watched, by what happened until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nobody has it open for writing, as far as the kernel says.
    Still {
        /// When it was changed.
        changed: (i64, i64),
    },
    /// Somebody has it open for writing, or mapped.
    Open,
    /// Nothing that is watched.
    NoFile,
}

/// The watched files.
#[derive(Default)]
pub(super) struct Inodes {
    watched: HashMap<i32, Watched>,
    /// The number of the file that has a name.
    by_name: HashMap<At, i32>,
}

impl Inodes {
    /// Watches the file that has this name now, instead of the one that had it before. Nothing is told of what happened until then,
    /// and nothing at all of what is no regular file.
    ///
    /// # Errors
    /// It cannot be opened or watched; EAGAIN where it was exchanged again and again.
    pub(super) fn watch(
        &mut self,
        inotify: &Inotify,
        place: &Place,
        spot: &Spot,
        name: &OsStr,
    ) -> Result<Found, Errno> {
        let dir = place.open_dir(&spot.rel)?;
        let path = c_path(Path::new(name))?;
        let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        for _ in 0..TRIES {
            let file = mount::open_beneath(dir.as_fd(), &path, flags)?;
            let stat = fstat(&file)?;
            if !files::is(&stat, SFlag::S_IFREG) {
                return Ok(Found::NoFile);
            }
            // The one way to name a file of the host's from within the box's mount namespace.
            nix::unistd::fchdir(&dir)?;
            let mask = WRITTEN.bits() | libc::IN_MASK_ADD;
            let wd = inotify.watch(Path::new(name), mask)?;
            let now = files::stat(dir.as_fd(), name)?;
            // Else it was exchanged meanwhile, and the watch is of no name's.
            if (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino) {
                let at = (spot.place, spot.rel.join(name));
                // What was opened before is no event.
                let found = match mount::has_writer(file.as_fd()) {
                    Ok(true) => Found::Open,
                    Ok(false) | Err(_) => Found::Still {
                        changed: fstat(&file).map(|stat| (stat.st_ctime, stat.st_ctime_nsec))?,
                    },
                };
                self.drop_name(inotify, Some(wd), &at);
                self.add(wd, file, at);
                return Ok(found);
            }
            if !self.has(wd) {
                inotify.unwatch(wd);
            }
        }
        Err(Errno::EAGAIN)
    }

    fn add(&mut self, wd: i32, file: OwnedFd, at: At) {
        let room = self.watched.len() < MOST_OPEN;
        let known = self.watched.entry(wd).or_insert_with(|| Watched {
            file: room.then_some(file),
            names: Vec::new(),
            in_doubt: false,
        });
        if !known.names.contains(&at) {
            known.names.push(at.clone());
        }
        self.by_name.insert(at, wd);
    }

    /// The name is gone, or its file no matter any more.
    pub(super) fn remove(&mut self, inotify: &Inotify, place: usize, rel: &Path) {
        self.drop_name(inotify, None, &(place, rel.to_owned()));
    }

    fn drop_name(&mut self, inotify: &Inotify, but: Option<i32>, at: &At) {
        if let Some(wd) = self.without(but, at) {
            inotify.unwatch(wd);
        }
    }

    /// Takes the name off the file that has it, unless that is the one with this number; a number whose file has none now.
    fn without(&mut self, but: Option<i32>, at: &At) -> Option<i32> {
        let wd = self
            .by_name
            .get(at)
            .copied()
            .filter(|wd| Some(*wd) != but)?;
        self.by_name.remove(at);
        let watched = self.watched.get_mut(&wd)?;
        watched.names.retain(|name| name != at);
        let is_last = watched.names.is_empty();
        if is_last {
            self.watched.remove(&wd);
        }
        is_last.then_some(wd)
    }

    /// The kernel has removed the watch.
    pub(super) fn forget(&mut self, wd: i32) {
        self.names_of(wd);
    }

    /// Takes a file out: the names that it had.
    fn names_of(&mut self, wd: i32) -> Vec<At> {
        let names = self.watched.remove(&wd).map(|watched| watched.names);
        let names = names.unwrap_or_default();
        for at in &names {
            self.by_name.remove(at);
        }
        names
    }

    /// Is the number one of a file?
    pub(super) fn has(&self, wd: i32) -> bool {
        self.watched.contains_key(&wd)
    }

    /// The names of the file that somebody has written, has open to do so, or has given another name.
    pub(super) fn written(&mut self, event: &Happened) -> Vec<At> {
        let Some(watched) = self.watched.get_mut(&event.wd) else {
            return Vec::new();
        };
        let several = |file: &OwnedFd| fstat(file).is_ok_and(|stat| stat.st_nlink > 1);
        let is_written = event.has(AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE)
            || event.has(AddWatchFlags::IN_ATTRIB) && watched.file.as_ref().is_some_and(several)
            || watched.file.as_ref().is_some_and(|file| {
                match mount::has_writer(file.as_fd()) {
                    Ok(is) => is,
                    // Somebody else's file, or a file system that has no leases.
                    Err(_) => !std::mem::replace(&mut watched.in_doubt, true),
                }
            });
        if is_written {
            watched.names.clone()
        } else {
            Vec::new()
        }
    }

    /// The names of a file that was opened and is not held open. It is watched no longer: to ask who writes it is to open it,
    /// and that would be an event again. Who watches it anew has the answer.
    pub(super) fn unheld(&mut self, inotify: &Inotify, event: &Happened) -> Vec<At> {
        let watched = self.watched.get(&event.wd);
        if !event.has(AddWatchFlags::IN_OPEN) || watched.is_none_or(|it| it.file.is_some()) {
            return Vec::new();
        }
        inotify.unwatch(event.wd);
        self.names_of(event.wd)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    fn at(name: &str) -> At {
        (0, PathBuf::from(name))
    }

    #[test]
    fn a_name_has_one_inode_and_an_inode_may_have_two() {
        let mut inodes = Inodes::default();
        let mut is = |wd, name| {
            let gone = inodes.without(Some(wd), &at(name));
            inodes.add(wd, file(), at(name));
            gone
        };
        assert_eq!(is(1, "config"), None);
        assert_eq!(is(1, "other"), None);
        // Replaced: the old one still has a name.
        assert_eq!(is(2, "config"), None);
        assert_eq!(is(3, "other"), Some(1));
        assert!(!inodes.has(1) && inodes.has(2) && inodes.has(3));
        assert_eq!(inodes.without(None, &at("config")), Some(2));
        assert_eq!(inodes.without(None, &at("config")), None);
        assert_eq!(inodes.without(None, &(1, PathBuf::from("other"))), None);
    }
}
