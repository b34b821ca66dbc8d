//! [`Whereabouts`]: the session's directory is where it was. A session whose directory was removed or moved is in no list, and
//! neither `kill` nor `pause` reaches it: it ends. So does one whose directory, or that of the stop file, was closed by its mode,
//! which an agent on the rung `landlock` can do; the mode is put back. And its record has room, from its first moment on.

#![forbid(unsafe_code)]

use super::ear::Ear;
use super::part::{Part, PollSet, Ready};
use super::running::Running;
use crate::outcome::Trigger;
use crate::plan::Plan;
use crate::plan::rung::Rung;
use crate::plan::stop::StopScope;
use crate::session::{CONTROL, EVENTS, Session};
use crate::sys::own;
use nix::sys::stat::{FileStat, fstat, lstat};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Of the directory: something in it goes, or itself.
const HERE: u32 = libc::IN_DELETE | libc::IN_MOVED_FROM | ABOVE;
/// Of those above it.
const ABOVE: u32 = libc::IN_MOVE_SELF | libc::IN_DELETE_SELF | MODE;
/// Of what has to let its owner through.
const MODE: u32 = libc::IN_ATTRIB | libc::IN_ONLYDIR | libc::IN_MASK_ADD;
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
    /// What its owner has to get at, from the top down: what it was, and which bits the owner has.
    modes: Vec<(PathBuf, Inode, u32)>,
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
    pub(super) fn watch(
        plan: &Plan,
        session: &Session,
        ear: Option<Ear>,
    ) -> Result<Whereabouts, String> {
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
        let modes = modes(plan, session);
        if let Some(watched) = &ear {
            // One that cannot be watched is looked at with the others; those of other users are none of them.
            for (path, ..) in &modes {
                let _ = watched.watch(path, MODE);
            }
        }
        // Where the agent can change modes it is looked for as well: not everything of that need be watched.
        let looks = ear.is_none() || plan.standing.rung == Rung::Landlock;
        let next = looks.then(|| Instant::now() + LOOK);
        let whereabouts = Whereabouts {
            files,
            modes,
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

    /// Gives the owner back what was taken by a change of modes; the first path of which that was so.
    fn open_up(&self) -> Option<String> {
        let mut changed = None;
        for (path, was, bits) in &self.modes {
            if own::give_back(path, *was, *bits) {
                changed.get_or_insert_with(|| {
                    format!(
                        "the hold on the session: {} was closed by its mode (which is as it was again), and nobody could list or \
                         end the session any more",
                        path.display()
                    )
                });
            }
        }
        changed
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
        // In this order: what was closed is missing as well.
        if let Some(what) = self.open_up().or_else(|| self.missing()) {
            self.next = None;
            self.ear = None;
            running.stop(Trigger::Lost { what });
        }
    }

    /// The command may have done it last: what comes now has to find its files.
    fn finish(&mut self, _: &mut Running) {
        let _ = self.open_up();
    }
}

/// What the owner has to get at to list and end the session: its directory, the ones above it, what is in it, and the directory
/// of the user's stop file.
fn modes(plan: &Plan, session: &Session) -> Vec<(PathBuf, Inode, u32)> {
    let dir = session.path();
    let stop = plan.stop_files.iter();
    let stop = stop.filter(|stop| stop.scope == StopScope::User);
    let mut paths: Vec<&Path> = dir.ancestors().collect();
    for stop in stop {
        paths.extend(stop.file.path().ancestors().skip(1));
    }
    let mut paths: Vec<PathBuf> = paths.into_iter().map(Path::to_owned).collect();
    paths.extend([EVENTS, CONTROL].map(|name| dir.join(name)));
    paths.sort_by_key(|path| path.components().count());
    paths.dedup();
    let uid = nix::unistd::geteuid().as_raw();
    let own = |path: PathBuf| {
        // A directory that is reached by a link is not ours to keep, and the link has no mode.
        let stat = lstat(&path).ok().filter(|stat| stat.st_uid == uid)?;
        Some((path, inode(&stat), stat.st_mode & 0o700))
    };
    paths.into_iter().filter_map(own).collect()
}
