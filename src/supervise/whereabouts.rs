//! [`Whereabouts`]: the session's directory is where it was. A session whose directory was removed or moved is in no list, and
//! neither `kill` nor `pause` reaches it: it ends. So does one whose directory, or that of the user's stop file, was closed by
//! its mode, which an agent on the rung `landlock` can do; the mode is put back. The working copy, where a stop file may be made as
//! well, an agent can close on every rung: it is opened again, and the session ends where that does not help. And its record has
//! room, from its first moment on.

#![forbid(unsafe_code)]

use super::ear::Ear;
use super::part::{Part, PollSet, Ready};
use super::running::Running;
use super::switch::StopFiles;
use crate::outcome::Trigger;
use crate::plan::rung::Rung;
use crate::plan::stop::StopScope;
use crate::plan::{Grant, GrantKind, OsText, Plan};
use crate::session::{CONTROL, EVENTS, Session};
use crate::sys::own;
use nix::sys::stat::{FileStat, fstat, lstat};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Of the directory: something in it goes, or itself.
const HERE: u32 = libc::IN_DELETE | libc::IN_MOVED_FROM | ABOVE;
/// Of those above it.
const ABOVE: u32 = libc::IN_MOVE_SELF | libc::IN_DELETE_SELF | libc::IN_ONLYDIR | libc::IN_MASK_ADD;
/// Of what has to let its owner through. The kernel marks every name that it remembers below a directory of which it is to tell this
/// (`fsnotify_set_children_dentry_flags`): in HOME, and where thousands of sessions were, that is a good part of a start.
const MODE: u32 = libc::IN_ATTRIB | libc::IN_ONLYDIR | libc::IN_MASK_ADD;
/// How many above it are watched: `sessions`, `agentbox` and the one for all programs (`~/.local/state`).
const LEVELS: usize = 3;
/// How often it is looked for where it cannot be watched.
const LOOK: Duration = Duration::from_secs(1);
/// After this time a session is no longer a short one, and room for its record is kept in reserve.
const MOMENT: Duration = Duration::from_millis(300);
/// How often the working copy is opened again. Programs close a directory once; more is an agent that fights for it.
const PATIENT: u32 = 16;

/// The directory of the session that runs.
pub(super) struct Whereabouts {
    /// What has to be there, and what it was.
    files: Vec<(PathBuf, Inode)>,
    /// What its owner has to get at, from the top down.
    modes: Vec<Door>,
    /// How often a directory of [`Whose::Work`] was opened again.
    reopened: u32,
    ear: Option<Ear>,
    next: Option<Instant>,
    reserve: Option<Instant>,
}

type Inode = (u64, u64);

/// A directory or file that lets its owner through.
struct Door {
    path: PathBuf,
    was: Inode,
    /// Which bits the owner has.
    bits: u32,
    whose: Whose,
}

/// What is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The session, or the user's stop file: none of the agent's.
    Session,
    /// The stop files of the working copy and of its repository: the agent works there.
    Work,
}

fn inode(stat: &FileStat) -> Inode {
    (stat.st_dev, stat.st_ino)
}

impl Whereabouts {
    /// Watches, then looks. Where stop files are looked for by another process, the directories are left to that one: their file
    /// system may not answer.
    ///
    /// # Errors
    /// It is gone already.
    pub(super) fn watch(
        plan: &Plan,
        session: &Session,
        stop_files: &mut StopFiles,
    ) -> Result<Whereabouts, String> {
        let dir = session.path();
        let mut ear = stop_files.ear();
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
        let modes = modes(plan, session, &stop_files.asked_for());
        if let Some(watched) = &ear {
            // One that cannot be watched is looked at with the others; those of other users are none of them.
            for door in modes.iter().filter(|door| in_reach(plan, door)) {
                let _ = watched.watch(&door.path, MODE);
            }
        }
        // Where the agent can change modes it is looked for as well: not everything of that need be watched.
        let looks = ear.is_none() || plan.standing.rung == Rung::Landlock;
        let next = looks.then(|| Instant::now() + LOOK);
        let whereabouts = Whereabouts {
            files,
            modes,
            reopened: 0,
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

    /// Gives the owner back what was taken by a change of modes; the first path of each kind of which that was so.
    fn open_up(&self) -> Opened {
        let mut opened = Opened::default();
        for door in &self.modes {
            if own::give_back(&door.path, door.was, door.bits) {
                let first = match door.whose {
                    Whose::Session => &mut opened.session,
                    Whose::Work => &mut opened.work,
                };
                first.get_or_insert_with(|| OsText::from(door.path.as_path()));
            }
        }
        opened
    }

    /// Why the session has to end, if a change of modes is a reason.
    fn closed(&mut self, running: &Running) -> Option<String> {
        let opened = self.open_up();
        if let Some(path) = opened.session {
            return Some(format!(
                "the hold on the session: {path} was closed by its mode (which is as it was again), and nobody could list or \
                 end the session any more"
            ));
        }
        let path = opened.work?;
        self.reopened += 1;
        if self.reopened == 1 {
            running.say(&format!(
                "{path} was closed by its mode and is open again: a stop file has to find room there"
            ));
        }
        (self.reopened > PATIENT).then(|| {
            format!(
                "the hold on the session: {path} was closed by its mode again and again (which is as it was), and nobody could \
                 make a stop file there"
            )
        })
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

/// What was closed and is open again.
#[derive(Default)]
struct Opened {
    session: Option<OsText>,
    work: Option<OsText>,
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
        if let Some(what) = self.closed(running).or_else(|| self.missing()) {
            self.next = None;
            self.ear = None;
            running.stop(Trigger::Lost { what });
        }
    }

    /// The command may have done it last: what comes now has to find its files.
    fn finish(&mut self, running: &mut Running) {
        if running.silent {
            return;
        }
        let _ = self.open_up();
    }
}

/// May the agent change its mode? Where it has a view of its own, only in what it writes.
fn in_reach(plan: &Plan, door: &Door) -> bool {
    let written = |grant: &&Grant| grant.kind == GrantKind::Write;
    plan.standing.rung == Rung::Landlock
        || door.whose == Whose::Work
        || (plan.grants.iter().filter(written))
            .any(|grant| door.path.starts_with(grant.path.path()))
}

/// What the owner has to get at to list and end the session: its directory, the ones above it, what is in it, and the directories
/// of the stop files.
fn modes(plan: &Plan, session: &Session, asked_for: &[PathBuf]) -> Vec<Door> {
    let dir = session.path();
    let above = |wanted: fn(StopScope) -> bool| {
        let stop = plan.stop_files.iter().filter(move |stop| {
            wanted(stop.scope) && !asked_for.iter().any(|path| stop.file.path() == path)
        });
        stop.flat_map(|stop| stop.file.path().ancestors().skip(1))
    };
    let user = above(|scope| scope == StopScope::User);
    let work = above(|scope| matches!(scope, StopScope::Workspace | StopScope::Repository));
    let mut paths: Vec<(PathBuf, Whose)> = dir
        .ancestors()
        .chain(user)
        .map(|path| (path.to_owned(), Whose::Session))
        .collect();
    paths.extend([EVENTS, CONTROL].map(|name| (dir.join(name), Whose::Session)));
    paths.extend(work.map(|path| (path.to_owned(), Whose::Work)));
    // Of what is above both, the first one stays.
    paths.sort_by(|(a, of_a), (b, of_b)| {
        let depth = |path: &Path| path.components().count();
        (depth(a), a, *of_a == Whose::Work).cmp(&(depth(b), b, *of_b == Whose::Work))
    });
    paths.dedup_by(|(a, _), (b, _)| a == b);
    let uid = nix::unistd::geteuid().as_raw();
    let own = |(path, whose): (PathBuf, Whose)| {
        // A directory that is reached by a link is not ours to keep, and the link has no mode.
        let stat = lstat(&path).ok().filter(|stat| stat.st_uid == uid)?;
        Some(Door {
            was: inode(&stat),
            bits: stat.st_mode & 0o700,
            path,
            whose,
        })
    };
    paths.into_iter().filter_map(own).collect()
}
