//! The stop files of a session: a name that appears kills the box, whatever it names and whoever made it.
//!
//! [`Switches::arm`] watches, then looks; from then on every creation is an event that is queued in the kernel before the
//! call that made the file returns, so a file that is unlinked again at once has stopped the box all the same. The path to a
//! file is watched as well, step by step (`walk`): a working copy that is renamed and replaced is watched under both
//! identities. Where no events can be had (a network file system, neither inotify nor fanotify left) a helper looks five times a second
//! (`poller`), and that is said.

#![forbid(unsafe_code)]

mod again;
pub mod file;
mod look;
mod part;
mod poller;
mod walk;

pub use look::{Cause, Tripped, sentence, state, trigger};
pub(crate) use part::StopFiles;

use crate::plan::stop::StopFile;
use crate::sys::inotify::{Read, Seen};
use crate::sys::notify::Notify;
use again::Walk;
use nix::errno::Errno;
use nix::poll::PollFlags;
use poller::{Poller, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;
use walk::Identity;

/// The bytes of events that are read at once: some two thousand events.
const BUFFER: usize = 64 * 1024;
/// How many of these are read in one turn of the loop; what is left wakes it again.
const BATCHES: usize = 16;
/// How a directory is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// By events.
    Events,
    /// By looking five times a second; a file that is gone again within that time is missed.
    Polled {
        /// Why not by events.
        why: String,
    },
}

/// A directory with stop files.
#[derive(Debug)]
struct Place {
    dir: PathBuf,
    /// Name and number of the stop file.
    names: Vec<(OsString, usize)>,
    watched: Watched,
    /// The watch of the directory as it was at the start: the box works there, whatever the path leads to later.
    original: Option<i32>,
    /// The watch of the directory that the path leads to.
    current: Option<i32>,
    /// What that directory is.
    now: Option<Identity>,
    /// Something happened in it since `now` was taken.
    stale: bool,
    replaced: (u32, Instant),
}

/// What a watched inode means to which places.
#[derive(Debug, Default)]
struct Roles {
    /// It is the directory of these.
    stops: Vec<usize>,
    /// A new entry of that name changes where the path of these leads.
    entries: Vec<(OsString, usize)>,
    /// It is a step of the path of these: when it moves, the path leads elsewhere.
    steps: Vec<usize>,
}

impl Roles {
    fn is_empty(&self) -> bool {
        self.stops.is_empty() && self.entries.is_empty() && self.steps.is_empty()
    }
}

/// The watch of a session's stop files. Idle, it asks for no wake-up.
#[derive(Debug)]
pub struct Switches {
    files: Vec<StopFile>,
    places: Vec<Place>,
    inotify: Option<Rc<Notify>>,
    roles: BTreeMap<i32, Roles>,
    /// /proc/self/mountinfo: readable by priority when something is mounted, which no event tells of.
    mounts: Option<File>,
    poller: Option<Poller>,
    buffer: Vec<u8>,
}

/// Whether poll(2) has said that something was mounted or unmounted. It says so once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounts {
    /// It has.
    Changed,
    /// It has not.
    Same,
    /// It was not asked.
    Ask,
}

/// An event of the shared instance that is not about stop files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other<'a> {
    /// Of a watch that somebody else has made.
    Event(Seen<'a>),
    /// Events were lost.
    Lost,
}

impl Switches {
    /// Watches. What is there already is found by [`found`](Switches::found), which has to be asked afterwards.
    #[must_use]
    pub fn arm(files: &[StopFile]) -> Switches {
        Switches::arm_with(files, Notify::new())
    }

    fn arm_with(files: &[StopFile], inotify: Result<Notify, Errno>) -> Switches {
        let mut places: Vec<Place> = Vec::new();
        for (number, stop) in files.iter().enumerate() {
            let path = stop.file.path();
            let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
                continue;
            };
            let name = (name.to_owned(), number);
            match places.iter_mut().find(|place| place.dir == dir) {
                Some(place) => place.names.push(name),
                None => places.push(Place {
                    dir: dir.to_owned(),
                    names: vec![name],
                    watched: Watched::Events,
                    original: None,
                    current: None,
                    now: None,
                    stale: false,
                    replaced: (0, Instant::now()),
                }),
            }
        }
        let mut switches = Switches {
            files: files.to_vec(),
            places,
            inotify: None,
            roles: BTreeMap::new(),
            mounts: None,
            poller: None,
            buffer: Vec::new(),
        };
        match inotify {
            Ok(inotify) => {
                switches.inotify = Some(Rc::new(inotify));
                switches.buffer = vec![0; BUFFER];
                // Before the first step is taken: what is mounted afterwards is told.
                switches.mounts = File::open("/proc/self/mountinfo").ok();
                for place in 0..switches.places.len() {
                    let end = switches.walk(place);
                    switches.settle(place, end, Walk::First);
                }
            }
            Err(errno) => {
                let why = match errno {
                    Errno::EMFILE => {
                        "no inotify instance is left (fs.inotify.max_user_instances), nor a fanotify group (fs.fanotify.max_user_groups)".to_owned()
                    }
                    errno => format!("inotify: {}", errno.desc()),
                };
                for place in &mut switches.places {
                    place.watched = Watched::Polled { why: why.clone() };
                }
            }
        }
        switches
    }

    /// The stop file that is there already, or one that nobody can say of whether it is. Starts the helper that polls, where
    /// one is needed.
    ///
    /// # Errors
    /// The helper cannot be started.
    pub fn found(&mut self) -> Result<Option<Tripped>, Errno> {
        if let Some(tripped) = self.events(|_| {}) {
            return Ok(Some(tripped));
        }
        for place in 0..self.places.len() {
            if let Some(tripped) = self.look(place) {
                return Ok(Some(tripped));
            }
        }
        self.poll_what_must_be()?;
        Ok(None)
    }

    /// How each stop file is watched.
    pub fn watched(&self) -> impl Iterator<Item = (&StopFile, &Watched)> {
        self.places.iter().flat_map(|place| {
            let files = place.names.iter().filter_map(|(_, n)| self.files.get(*n));
            files.map(|file| (file, &place.watched))
        })
    }

    /// The instance, for what else the session watches: a user has few of them.
    #[must_use]
    pub fn inotify(&self) -> Option<Rc<Notify>> {
        self.inotify.clone()
    }

    /// What to poll(2), and for what: the events, the mounts, the helper.
    #[must_use]
    pub fn descriptors(&self) -> [Option<(BorrowedFd<'_>, PollFlags)>; 3] {
        [
            self.inotify
                .as_ref()
                .map(|i| (i.as_fd(), PollFlags::POLLIN)),
            self.mounts
                .as_ref()
                .map(|m| (m.as_fd(), PollFlags::POLLPRI)),
            self.poller.as_ref().map(|p| (p.as_fd(), PollFlags::POLLIN)),
        ]
    }

    /// When to call [`on_ready`](Switches::on_ready) at the latest; `None`, as a rule, for "not without a descriptor".
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.poller.as_ref().map(Poller::deadline)
    }

    /// Reads what happened. `other` gets the events of the shared instance that are not about stop files.
    pub fn on_ready(&mut self, mounts: Mounts, other: impl FnMut(Other<'_>)) -> Option<Tripped> {
        if let Some(tripped) = self.events(other) {
            return Some(tripped);
        }
        if mounts == Mounts::Changed || (mounts == Mounts::Ask && self.something_was_mounted()) {
            // What the helper looks for it looks for by its path, whatever is mounted there; this process does not go to a file
            // system that may not answer.
            let watched = |place: &Place| !matches!(place.watched, Watched::Polled { .. });
            for place in 0..self.places.len() {
                if self.places.get(place).is_some_and(watched)
                    && let Some(tripped) = self.walk_again(place)
                {
                    return Some(tripped);
                }
            }
        }
        if let Err(errno) = self.poll_what_must_be() {
            let why = format!("the helper that looks for stop files cannot be started: {errno}");
            return Some(Tripped::blind(self.files.first(), why));
        }
        match self.poller.as_mut()?.on_ready() {
            Report::Fine => None,
            Report::There(number) => Some(Tripped::new(self.files.get(number), Cause::Made)),
            Report::Blind(why) => Some(Tripped::blind(self.files.first(), why)),
        }
    }

    fn something_was_mounted(&self) -> bool {
        let Some(mounts) = &self.mounts else {
            return false;
        };
        let mut set = [nix::poll::PollFd::new(mounts.as_fd(), PollFlags::POLLPRI)];
        matches!(
            nix::poll::poll(&mut set, nix::poll::PollTimeout::ZERO),
            Ok(1..)
        )
    }

    /// Reads the events. An event decides by itself: what is there by now is not asked.
    fn events(&mut self, mut other: impl FnMut(Other<'_>)) -> Option<Tripped> {
        let inotify = self.inotify.clone()?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut found = None;
        for _ in 0..BATCHES {
            let mut lost = false;
            let mut again = BTreeSet::new();
            let read = inotify.read(&mut buffer, |seen| {
                if found.is_some() {
                } else if seen.mask & libc::IN_ATTRIB != 0 {
                    // Of who watches the session's directory: no step has moved.
                    other(Other::Event(seen));
                } else if seen.mask & libc::IN_Q_OVERFLOW != 0 {
                    lost = true;
                } else if self.roles.contains_key(&seen.watch) {
                    found = self.event(seen, &mut again);
                    // A step of a path is one of others', too.
                    if seen.mask & libc::IN_MOVE_SELF != 0 {
                        other(Other::Event(seen));
                    }
                } else {
                    other(Other::Event(seen));
                }
            });
            if found.is_none() && lost {
                other(Other::Lost);
                found = self.overflow();
            }
            for place in again {
                found = found.or_else(|| self.walk_again(place));
            }
            if found.is_some() {
                break;
            }
            match read {
                Ok(Read::Some) => {}
                Ok(Read::Nothing) => {
                    self.calm();
                    break;
                }
                Err(errno) => {
                    let why = format!("the watch of stop files: {errno}");
                    found = Some(Tripped::blind(self.files.first(), why));
                    break;
                }
            }
        }
        self.buffer = buffer;
        found
    }

    /// One event of a watch of ours; the places whose path has to be walked again are added to `again`.
    fn event(&mut self, seen: Seen<'_>, again: &mut BTreeSet<usize>) -> Option<Tripped> {
        let roles = self.roles.get(&seen.watch)?;
        if seen.mask & (libc::IN_CREATE | libc::IN_MOVED_TO) != 0 {
            for place in &roles.stops {
                let Some(place) = self.places.get_mut(*place) else {
                    continue;
                };
                if let Some(number) = number(&place.names, seen.name) {
                    return Some(Tripped::new(self.files.get(number), Cause::Made));
                }
                place.stale = true;
            }
            let entries = roles.entries.iter();
            again.extend(
                entries
                    .filter(|(name, _)| name == seen.name)
                    .map(|(_, p)| *p),
            );
            return None;
        }
        again.extend(roles.steps.iter().chain(&roles.stops));
        if seen.mask & libc::IN_IGNORED != 0 {
            for place in &mut self.places {
                place.original = place.original.filter(|watch| *watch != seen.watch);
            }
            self.roles.remove(&seen.watch);
        }
        None
    }

    /// Starts the helper, or starts it anew when more places need it than it knows.
    fn poll_what_must_be(&mut self) -> Result<(), Errno> {
        let mut files: Vec<(usize, PathBuf)> = Vec::new();
        for place in &self.places {
            if matches!(place.watched, Watched::Polled { .. }) {
                let of = place
                    .names
                    .iter()
                    .map(|(name, n)| (*n, place.dir.join(name)));
                files.extend(of);
            }
        }
        if files.len() > self.poller.as_ref().map_or(0, Poller::count) {
            self.poller = Some(Poller::start(files)?);
        }
        Ok(())
    }

    /// Watches what the path names, in that role.
    fn watch(
        &mut self,
        path: &Path,
        mask: u32,
        role: impl FnOnce(&mut Roles),
    ) -> Result<i32, Errno> {
        let inotify = self.inotify.as_ref().ok_or(Errno::EMFILE)?;
        let watch = inotify.watch(path, mask | libc::IN_MASK_ADD)?;
        role(self.roles.entry(watch).or_default());
        Ok(watch)
    }
}

/// The number of the stop file of that name.
fn number(names: &[(OsString, usize)], name: &OsStr) -> Option<usize> {
    names
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, n)| *n)
}

#[cfg(test)]
mod tests;
