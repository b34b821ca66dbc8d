//! [`Whereabouts`]: the session's directory is where it was. A session whose directory was removed or moved is in no list, and
//! neither `kill` nor `pause` reaches it: it ends. And its record has room, from its first moment on.

#![forbid(unsafe_code)]

use super::ear::Ear;
use super::part::{Part, PollSet, Ready};
use super::running::Running;
use crate::outcome::Trigger;
use crate::session::{CONTROL, EVENTS, Session};
use nix::sys::stat::{FileStat, fstat, lstat};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Of the directory: something in it goes, or itself.
const HERE: u32 = libc::IN_DELETE | libc::IN_MOVED_FROM | ABOVE;
/// Of those above it.
const ABOVE: u32 = libc::IN_MOVE_SELF | libc::IN_DELETE_SELF | libc::IN_ONLYDIR | libc::IN_MASK_ADD;
/// How many above it are watched: `sessions`, `agentbox` and the one for all programs (`~/.local/state`).
const LEVELS: usize = 3;
/// How often it is looked for where it cannot be watched.
const LOOK: Duration = Duration::from_secs(1);
/// After this time a session is no longer a short one, and room for its record is kept in reserve.
const MOMENT: Duration = Duration::from_millis(300);

/// The directory of the session that runs.
pub(super) struct Whereabouts {
    /// What has to be there, and what it was.
    files: Vec<(PathBuf, Inode)>,
    ear: Option<Ear>,
    next: Option<Instant>,
    reserve: Option<Instant>,
}

type Inode = (u64, u64);

fn inode(stat: &FileStat) -> Inode {
    (stat.st_dev, stat.st_ino)
}

impl Whereabouts {
    /// Watches, then looks.
    ///
    /// # Errors
    /// It is gone already.
    pub(super) fn watch(session: &Session, ear: Option<Ear>) -> Result<Whereabouts, String> {
        let dir = session.path();
        let mut ear = ear;
        if let Some(watched) = &ear {
            let mut each = dir
                .ancestors()
                .take(1 + LEVELS)
                .zip([HERE].into_iter().chain([ABOVE; LEVELS]));
            if each.any(|(dir, mask)| watched.watch(dir, mask).is_err()) {
                ear = None;
            }
        }
        let mut files = Vec::with_capacity(2);
        if let Ok(stat) = fstat(session.log()) {
            files.push((dir.join(EVENTS), inode(&stat)));
        }
        // A session without a socket has said so.
        if let Ok(stat) = lstat(&dir.join(CONTROL)) {
            files.push((dir.join(CONTROL), inode(&stat)));
        }
        let next = ear.is_none().then(|| Instant::now() + LOOK);
        let whereabouts = Whereabouts {
            files,
            ear,
            next,
            reserve: Some(Instant::now() + MOMENT),
        };
        whereabouts.still()
    }

    /// Looks once more.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn still(self) -> Result<Whereabouts, String> {
        match self.missing() {
            None => Ok(self),
            Some(what) => Err(what),
        }
    }

    /// What is not there any more.
    fn missing(&self) -> Option<String> {
        let gone = |(path, was): &&(PathBuf, Inode)| {
            lstat(path)
                .is_ok_and(|stat| inode(&stat) == *was)
                .then_some(())
                .is_none()
        };
        self.files.iter().find(gone).map(|(path, _)| {
            format!(
                "the session's directory: {} was removed or moved, and nobody could list or end the session any more",
                path.display()
            )
        })
    }
}

impl Part for Whereabouts {
    fn pollfds<'a>(&'a self, _: &mut PollSet<'a>) {}

    fn deadline(&self) -> Option<Instant> {
        self.next.into_iter().chain(self.reserve).min()
    }

    fn on_ready(&mut self, _: &Ready<'_>, running: &mut Running) {
        let now = Instant::now();
        if self.reserve.take_if(|at| *at <= now).is_some() {
            running.keep_in_reserve();
        }
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.next = Some(now + LOOK);
        }
        if !due && !self.ear.as_ref().is_some_and(Ear::take) {
            return;
        }
        if let Some(what) = self.missing() {
            self.next = None;
            self.ear = None;
            running.stop(Trigger::Lost { what });
        }
    }
}
