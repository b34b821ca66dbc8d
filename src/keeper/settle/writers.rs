//! Files that run something by what is in them, and that somebody has open for writing: what is written through a mapping is no
//! event before its end, so that what was harmless when it was read is no more.

#![forbid(unsafe_code)]

use super::{Did, Settler};
use crate::keeper::files::{self, Locked};
use crate::keeper::git;
use crate::keeper::quarantine::Why;
use crate::plan::names::NameKind;
use crate::sys::mount::has_writer;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, lstat};
use nix::unistd::{AccessFlags, faccessat, geteuid};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// How many pauses a writer has to end: git, editors and shells have such a file open for less than one.
const PATIENCE: u32 = 20;

/// The same of one who makes a file: on a busy machine git may wait for a processor before it writes.
const MAKING: u32 = 60;

/// May this user write that file?
fn may_write(dir: BorrowedFd<'_>, name: &OsStr) -> bool {
    let flags = AtFlags::AT_EACCESS | AtFlags::AT_SYMLINK_NOFOLLOW;
    let asked = faccessat(dir, Path::new(name), AccessFlags::W_OK, flags);
    asked != Err(Errno::EACCES)
}

impl Settler<'_> {
    /// Has somebody had this file open for writing for a while? In the end only the host can.
    pub(super) fn is_being_written(&mut self, dir: BorrowedFd<'_>, name: &OsStr) -> bool {
        !self.at_end && self.writer_stays(dir, name, PATIENCE)
    }

    /// Lets a git that has just made the file write it to its end: before that it is empty, which nobody has committed.
    pub(super) fn let_write(&mut self, dir: BorrowedFd<'_>, name: &OsStr) {
        let _ = self.writer_stays(dir, name, MAKING);
    }

    /// What the writer of a file that was made a moment ago has written, after a pause if that is nothing yet: not every file system
    /// says who writes.
    pub(super) fn written(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
    ) -> Option<(Vec<u8>, FileStat)> {
        self.let_write(dir, name);
        for _ in 0..4 {
            let (bytes, stat) = files::read(dir, name).ok()??;
            if !bytes.is_empty() {
                return Some((bytes, stat));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    fn writer_stays(&mut self, dir: BorrowedFd<'_>, name: &OsStr, most: u32) -> bool {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        for _ in 0..most {
            // Another one may have the name by now.
            let asked =
                openat(dir, name, flags, Mode::empty()).and_then(|it| has_writer(it.as_fd()));
            match asked {
                Ok(true) => {}
                // EINVAL: no file, or a file system that has no leases.
                Ok(false) | Err(Errno::EINVAL | Errno::ENOENT | Errno::ELOOP) => return false,
                // Somebody else's file: the box is refused what this user is. Who had it open before is not known.
                Err(Errno::EACCES) => return may_write(dir, name),
                // Nobody knows.
                Err(_) => return true,
            }
            if !self.paused() {
                break;
            }
        }
        true
    }

    /// What a file has for good: nobody writes into it, and by no other name.
    pub(super) fn is_still(&mut self, dir: BorrowedFd<'_>, name: &OsStr, stat: &FileStat) -> bool {
        stat.st_nlink == 1 && !self.is_being_written(dir, name)
    }

    /// Gives the name another file with the same content, of which nobody has a descriptor. Whose the descriptor is that the old
    /// one has nobody knows: that goes to the quarantine, with what is still written into it.
    pub(super) fn detach(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        file: &Path,
        now: &[u8],
        stat: &FileStat,
    ) {
        let keep = |old: &OsStr| {
            let taken = self.quarantine().and_then(|quarantine| {
                let taken = quarantine.take(dir, old, file, Why::Held);
                taken.map_err(|e| e.to_string())
            });
            if let Err(why) = taken {
                self.failed(file, why);
            }
        };
        match files::replace_and(dir, name, now, now, stat.st_mode, keep) {
            Ok(Locked::Written) => {
                let foreign = stat.st_uid != geteuid().as_raw();
                self.say(file, Did::Detached { foreign });
            }
            // Whatever was written is an event, and looked at.
            Ok(Locked::Changed | Locked::Busy) => {}
            Err(why) => self.failed(file, why),
        }
    }

    /// Gives a name whose file has got a second one in the session a file of its own. Who writes into the other one after the session
    /// would write into this one: git its message into `.git/COMMIT_EDITMSG`, which was linked to `.git/config`.
    pub(super) fn part(&mut self, file: &Path) {
        let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
            return;
        };
        let ours = match self.kinds.of(file) {
            Some(kind) => kind != NameKind::Hide,
            None => git::is_gits(file),
        };
        // Before anything is opened: nearly all have one name.
        let is_one = |stat: &FileStat| stat.st_nlink < 2 || !files::is(stat, SFlag::S_IFREG);
        if !ours || lstat(file).is_ok_and(|stat| is_one(&stat)) {
            return;
        }
        let Ok(dir) = files::open_path(self.root.as_fd(), parent) else {
            return;
        };
        let was = self.baseline.of(file);
        let Ok(stat) = files::stat(dir.as_fd(), name) else {
            return;
        };
        if is_one(&stat)
            || was.is_some_and(|kept| kept.is_untouched(&stat))
            || self.is_out_of_reach(file)
        {
            return;
        }
        let parted = match files::read(dir.as_fd(), name) {
            Ok(Some((now, stat))) => files::replace(dir.as_fd(), name, &now, &now, stat.st_mode)
                .map_err(|e| e.to_string()),
            Ok(None) => {
                let why = "it was given a second name, and is too large to be copied".to_owned();
                return self.say(file, Did::Beyond { why });
            }
            Err(errno) => Err(errno.desc().to_owned()),
        };
        match parted {
            Ok(Locked::Written) => self.say(file, Did::Parted),
            // Whatever was written is an event, and looked at.
            Ok(Locked::Changed | Locked::Busy) => {}
            Err(why) => self.failed(file, why),
        }
    }

    /// The same of a file of the start that was not written so far.
    pub(super) fn detach_writers(&mut self, dir: BorrowedFd<'_>, name: &OsStr, file: &Path) {
        if let Ok(Some((now, stat))) = files::read(dir, name) {
            self.detach(dir, name, file, &now, &stat);
        } else {
            self.take(dir, name, file, Why::Changed);
        }
    }
}
