//! [`StateSync`]: state files of the box (`state = ["~/.claude.json"]`) written back to the host when the box changed them
//! and at the end.
//!
//! The box has a copy in its own HOME, which its program replaces by lock directory and rename there. The supervisor
//! watches the directory, waits until it is quiet for a moment, takes the bytes by descriptor and leaves the rest to a
//! [`syncjob`]. Nothing here parses a byte of the box, and nothing but [`StateSync::finish`] waits.

#![forbid(unsafe_code)]

use crate::plan::{OsText, StateFile};
use crate::record::Event;
use crate::supervise::ear::Ear;
use crate::supervise::hostfile::{HostFile, HostFileError, ReadError, read_regular};
use crate::supervise::syncjob::{self, Again, Job, Report, Running};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long after a change the file is read: a program writes several times in a row.
const SETTLE: Duration = Duration::from_millis(50);
/// The least time between two write-backs: a box that writes without end costs the host little.
const PACE: Duration = Duration::from_millis(250);
/// How long a write-back waits for the program's lock while the session runs.
const PATIENCE: Duration = Duration::from_secs(2);
/// And at the end: longer than the ten seconds after which a dead program's lock is stale.
const LAST_PATIENCE: Duration = Duration::from_secs(11);
/// The pause before another try where the lock was held.
const RETRY: Duration = Duration::from_millis(500);

/// A state file and what the box's copy begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initial {
    /// The file.
    pub file: StateFile,
    /// The host's bytes; `None` if it has no such file: then the box begins without one.
    pub bytes: Option<Vec<u8>>,
}

/// Why state files cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The host's file cannot be copied.
    #[error(transparent)]
    Host(#[from] HostFileError),
    /// The copy is not below HOME of the box, which is the only directory that the supervisor sees of it.
    #[error("state file {target} is not below HOME of the box ({home})")]
    Outside {
        /// Where the copy is to be.
        target: OsText,
        /// HOME inside.
        home: OsText,
    },
}

/// Reads the host's files for the copies in the box.
///
/// # Errors
/// A file that exists and cannot be copied: a box without the login that the plan promises would be a surprise.
pub fn initial(files: &[StateFile]) -> Result<Vec<Initial>, StateError> {
    files
        .iter()
        .map(|file| {
            // A directory that is missing is a file that is missing; it is made when there is something to write.
            let bytes = match HostFile::find(file.source.path()) {
                Err(HostFileError::Call {
                    errno: Errno::ENOENT,
                    ..
                }) => None,
                found => found?.read()?.map(|content| content.bytes),
            };
            Ok(Initial {
                file: file.clone(),
                bytes,
            })
        })
        .collect()
}

#[derive(Debug)]
struct Tracked {
    file: StateFile,
    /// Below HOME of the box.
    relative: PathBuf,
    watch: Option<i32>,
    /// The box's copy when it was last in step.
    base: Option<Vec<u8>>,
    /// What it was when it could not be written back for a reason that stays: not tried again until it is another, or the
    /// end.
    tried: Option<Vec<u8>>,
    changed: Changed,
    /// Said already; a box must not fill the record with the same line.
    said: Option<String>,
}

/// Whether the box's copy may differ from the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    No,
    Since(Instant),
}

/// The write-back of a session's state files. Poll [`job`](StateSync::job) for reading, with at most
/// [`timeout`](StateSync::timeout), and call [`on_ready`](StateSync::on_ready) after each wake-up, also of the instance
/// that its [`Ear`] listens to. Idle, it asks for none.
#[derive(Debug)]
pub struct StateSync {
    home: OwnedFd,
    ear: Option<Ear>,
    files: Vec<Tracked>,
    /// Something happened; the directories are watched again then, and everything is looked at. Until then they are not
    /// watched, so that a box which makes files without end wakes the supervisor twenty times a second and not more.
    settle: Option<Instant>,
    /// No write-back before that.
    pace: Instant,
    running: Option<(usize, Vec<u8>, Running)>,
}

impl StateSync {
    /// Begins to watch. `box_home` is an open directory: HOME of the box, whose path inside is `home`, without links; `files` is what
    /// [`initial`] gave and the copies hold.
    ///
    /// A directory that cannot be watched (the user's inotify instances are used up) is said as an event; the file is then
    /// written back at the end only.
    ///
    /// # Errors
    /// A copy outside of HOME.
    pub fn new(
        files: Vec<Initial>,
        box_home: OwnedFd,
        home: &OsText,
        ear: Option<Ear>,
    ) -> Result<(StateSync, Vec<Event>), StateError> {
        let mut events = Vec::new();
        let mut tracked = Vec::new();
        let travelling = files.into_iter().filter(|initial| initial.file.travels());
        for Initial { file, bytes } in travelling {
            let outside = || StateError::Outside {
                target: file.target.clone(),
                home: home.clone(),
            };
            let relative = file
                .target
                .path()
                .strip_prefix(home.path())
                .map_err(|_| outside())?
                .to_owned();
            if relative.file_name().is_none()
                || relative
                    .components()
                    .any(|part| !matches!(part, std::path::Component::Normal(_)))
            {
                return Err(outside());
            }
            let watch = ear
                .as_ref()
                .and_then(|ear| watch(ear, &box_home, &relative).ok());
            if watch.is_none() {
                events.push(Event::StateKept {
                    file: file.source.clone(),
                    why: "its directory cannot be watched; it is written back at the end only"
                        .to_owned(),
                });
            }
            // Changes between the copy and the watch are found by looking once.
            let changed = Changed::Since(Instant::now());
            tracked.push(Tracked {
                file,
                relative,
                watch,
                base: bytes,
                tried: None,
                changed,
                said: None,
            });
        }
        let sync = StateSync {
            home: box_home,
            ear,
            files: tracked,
            settle: None,
            pace: Instant::now(),
            running: None,
        };
        Ok((sync, events))
    }

    /// Becomes readable when the write-back that runs has ended; `None` when none runs.
    #[must_use]
    pub fn job(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|(_, _, running)| running.as_fd())
    }

    /// When to call [`on_ready`](StateSync::on_ready) at the latest; `None` for "not without a descriptor".
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        let next = match &self.running {
            Some((_, _, running)) => Some(running.deadline()),
            None => self
                .files
                .iter()
                .filter_map(Tracked::due)
                .min()
                .map(|due| due.max(self.pace)),
        };
        let at = [next, self.settle].into_iter().flatten().min()?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Does what is due and returns what is to be recorded. Never waits.
    pub fn on_ready(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let now = Instant::now();
        match self.settle {
            None if self.ear.as_ref().is_some_and(Ear::take) => {
                self.settle = Some(now + SETTLE);
                self.unwatch();
            }
            Some(at) if at <= now => {
                self.settle = None;
                self.watch_again(now);
            }
            _ => {}
        }
        if let Some((index, bytes, mut running)) = self.running.take() {
            match running.try_end() {
                None => self.running = Some((index, bytes, running)),
                Some(report) => {
                    let ended = self
                        .files
                        .get_mut(index)
                        .and_then(|file| file.ended(bytes, report, Said::WhatLasts));
                    events.extend(ended);
                }
            }
        }
        while self.running.is_none()
            && self.pace <= now
            && let Some(index) = self
                .files
                .iter()
                .position(|file| file.due().is_some_and(|due| due <= now))
        {
            events.extend(self.begin(index, PATIENCE, Said::WhatLasts));
        }
        events
    }

    /// After the box is dead: waits for the write-back that runs, writes back what is left and returns what is to be
    /// recorded. As a rule a millisecond or nothing; at most some 15 s where another program holds a lock.
    pub fn finish(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some((index, bytes, running)) = self.running.take() {
            let report = running.end();
            events.extend(
                self.files
                    .get_mut(index)
                    .and_then(|file| file.ended(bytes, report, Said::WhatLasts)),
            );
        }
        for index in 0..self.files.len() {
            events.extend(self.begin(index, LAST_PATIENCE, Said::Everything));
            if let Some((index, bytes, running)) = self.running.take() {
                let report = running.end();
                events.extend(
                    self.files
                        .get_mut(index)
                        .and_then(|file| file.ended(bytes, report, Said::Everything)),
                );
            }
        }
        events
    }

    fn unwatch(&mut self) {
        let Some(ear) = &self.ear else { return };
        for file in &self.files {
            if let Some(watch) = file.watch {
                ear.unwatch(watch);
            }
        }
    }

    /// Watches the directories again, and then looks at every file: what happened in between was no event.
    fn watch_again(&mut self, now: Instant) {
        let Some(ear) = &self.ear else { return };
        // What was heard of the watches that are gone.
        let _old = ear.take();
        for file in self.files.iter_mut().filter(|file| file.watch.is_some()) {
            file.watch = watch(ear, &self.home, &file.relative).ok();
            if file.changed == Changed::No {
                file.changed = Changed::Since(now);
            }
        }
    }

    /// Starts a write-back if the box's copy differs from the base.
    fn begin(&mut self, index: usize, patience: Duration, say: Said) -> Option<Event> {
        let file = self.files.get_mut(index)?;
        file.changed = Changed::No;
        let bytes = match read_copy(&self.home, &file.relative) {
            // No copy: the program deleted it, or is between unlink and rename. The host's stays; a log-out inside writes
            // the file without the login.
            Ok(None) => return None,
            Ok(bytes) if bytes == file.base => return None,
            Ok(bytes) if say == Said::WhatLasts && bytes == file.tried => return None,
            Ok(Some(bytes)) => bytes,
            Err(why) => return file.kept(why, say),
        };
        self.pace = Instant::now() + PACE;
        let job = Job {
            file: file.file.source.path().to_owned(),
            base: file.base.clone(),
            boxed: bytes.clone(),
            patience,
        };
        match syncjob::start(job) {
            Ok(running) => {
                self.running = Some((index, bytes, running));
                None
            }
            Err(error) => {
                file.changed = Changed::Since(Instant::now() + RETRY);
                file.kept(format!("no process for writing it back: {error}"), say)
            }
        }
    }
}

/// What is said of a file that is not written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// While the session runs: not what the next write of the box may mend.
    WhatLasts,
    /// At the end.
    Everything,
}

impl Tracked {
    fn due(&self) -> Option<Instant> {
        match self.changed {
            Changed::No => None,
            Changed::Since(at) => Some(at),
        }
    }

    fn ended(&mut self, bytes: Vec<u8>, report: Report, say: Said) -> Option<Event> {
        match report {
            Report::Written { withheld } => {
                self.base = Some(bytes);
                self.said = None;
                Some(Event::StateWritten {
                    file: self.file.source.clone(),
                    withheld,
                })
            }
            Report::Unchanged { .. } => {
                self.base = Some(bytes);
                None
            }
            Report::Kept {
                why,
                again: Again::Soon,
            } => {
                self.changed = Changed::Since(Instant::now() + RETRY);
                (say == Said::Everything)
                    .then(|| self.kept(why, say))
                    .flatten()
            }
            Report::Kept {
                why,
                again: Again::BoxWrites,
            } => {
                self.tried = Some(bytes);
                (say == Said::Everything)
                    .then(|| self.kept(why, say))
                    .flatten()
            }
            Report::Kept {
                why,
                again: Again::HostChanges,
            } => {
                self.tried = Some(bytes);
                self.kept(why, say)
            }
        }
    }

    fn kept(&mut self, why: String, say: Said) -> Option<Event> {
        if say == Said::WhatLasts && self.said.as_ref() == Some(&why) {
            return None;
        }
        self.said = Some(why.clone());
        Some(Event::StateKept {
            file: self.file.source.clone(),
            why,
        })
    }
}

/// Opens something below HOME of the box. The tree belongs to the agent: no symlink, no `..`, no other mount.
fn open_below(home: &OwnedFd, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS
            | ResolveFlag::RESOLVE_NO_XDEV,
    );
    // EAGAIN: a rename raced with the walk (openat2(2)). The agent can make that happen again and again.
    for _ in 0..16 {
        match openat2(home, path, how) {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::EAGAIN)
}

fn watch(ear: &Ear, home: &OwnedFd, relative: &Path) -> Result<i32, Errno> {
    let parent = relative
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let dir = open_below(home, parent, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    // By the descriptor's own link: the path inside means nothing outside.
    let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
    let mask = libc::IN_MOVED_TO | libc::IN_CLOSE_WRITE | libc::IN_ONLYDIR;
    ear.watch(Path::new(&path), mask)
}

/// The bytes of the box's copy; `None` if there is none.
fn read_copy(home: &OwnedFd, relative: &Path) -> Result<Option<Vec<u8>>, String> {
    // O_NONBLOCK: a FIFO must not hold the supervisor.
    let file = match open_below(
        home,
        relative,
        OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK,
    ) {
        Err(Errno::ENOENT) => return Ok(None),
        other => other.map_err(|errno| format!("the box's copy cannot be opened: {errno}"))?,
    };
    let stat = fstat(&file).map_err(|errno| format!("the box's copy: {errno}"))?;
    // A second name would be a file that is something else as well. A directory has one for each in it.
    let is_file = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    if is_file && stat.st_nlink != 1 {
        return Err("the box's copy has more than one name".to_owned());
    }
    read_regular(file, &stat)
        .map(Some)
        .map_err(|error| match error {
            ReadError::Kind => "the box's copy is not a regular file".to_owned(),
            ReadError::TooLarge => "the box's copy is larger than 16 MiB".to_owned(),
            ReadError::Io(error) => format!("the box's copy cannot be read: {error}"),
        })
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
