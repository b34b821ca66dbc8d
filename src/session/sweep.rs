//! What happens to old and to crashed sessions, at the end of a session and never on the way of a start.

#![forbid(unsafe_code)]

use crate::record::{Entry, Event, Timestamp};
use crate::session::record::State;
use crate::session::store::{CONTROL, EVENTS, Found, Locked, RECORD, errno, failed, lock, shown};
use crate::session::{SessionError, SessionId, Sessions, live};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// What is kept: a session stays while it is among the newest `sessions` or younger than `age`, whichever keeps more, but
/// never more than `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How many of the newest stay in any case.
    pub sessions: usize,
    /// How young is young enough.
    pub age: Duration,
    /// How many stay at most, however young (a CI runner starts thousands a day).
    pub most: usize,
    /// How many one sweep removes or repairs at most: the end of a session must not take long.
    pub at_most: usize,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            sessions: 200,
            age: Duration::from_secs(30 * 86_400),
            most: 2000,
            at_most: 16,
        }
    }
}

/// How many of the newest sessions one sweep looks at for a supervisor that is gone.
const LOOK: usize = 4;

/// Its time is that of the last sweep.
const MARK: &str = ".swept";

/// What a sweep did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Removed.
    pub removed: Vec<SessionId>,
    /// Found without a supervisor and without an outcome: marked as lost.
    pub lost: Vec<SessionId>,
}

/// How deep and how wide a session's directory may be to be removed by a sweep. Ours are flat; what a later feature or a
/// hand put there is removed as well, but a sweep does not follow it without end.
const DEPTH: u32 = 16;

impl Sessions {
    /// Marks crashed sessions as lost and removes those that `keep` does not keep. A live session is never touched: its
    /// lock is asked for first and held while it is removed.
    ///
    /// # Errors
    /// The directory cannot be read. What fails for one session is tried again by the next sweep.
    pub fn sweep(&self, now: Timestamp, keep: &Retention) -> Result<Swept, SessionError> {
        let mut swept = Swept::default();
        let ids = self.ids()?;
        let surplus = ids.len().saturating_sub(keep.sessions);
        let excess = ids.len().saturating_sub(keep.most);
        let old =
            |(index, id): &(usize, &SessionId)| *index < excess || id.began().until(now) > keep.age;
        for (_, id) in ids.iter().take(surplus).enumerate().take_while(old) {
            if swept.removed.len() >= keep.at_most {
                // There is more: the next session goes on with it, not the one after a while.
                self.sweep_again();
                break;
            }
            // What a session moved away is its user's, however old.
            if !self.holds_files(id) && self.remove(id).is_ok_and(|outcome| outcome == Removed::Yes)
            {
                swept.removed.push(id.clone());
            }
        }
        // Newest first, and only as many as one sweep may look at: a crash is as a rule the last session but this one, and
        // reading 200 records at each end would cost more than the session.
        for id in ids.iter().rev().take(keep.at_most.min(LOOK)) {
            if self.mark_lost(id, now).unwrap_or(false) {
                swept.lost.push(id.clone());
            }
        }
        Ok(swept)
    }

    /// Marks every session as lost that has no supervisor and says that it is open: for commands that list sessions.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn mark_all_lost(&self, now: Timestamp) -> Result<Swept, SessionError> {
        let lost = |id: &SessionId| self.mark_lost(id, now).unwrap_or(false);
        Ok(Swept {
            removed: Vec::new(),
            lost: self.ids()?.into_iter().filter(lost).collect(),
        })
    }

    /// Has it a quarantine?
    fn holds_files(&self, id: &SessionId) -> bool {
        self.open_session(id)
            .and_then(|session| {
                fstatat(&session, "quarantine", AtFlags::AT_SYMLINK_NOFOLLOW)
                    .map_err(failed("stat", self.path()))
            })
            .is_ok()
    }

    /// True once in `every`, for whoever asks first: a sweep reads the whole directory, and a start is to stay cheap where
    /// there are thousands of sessions.
    #[must_use]
    pub fn due(&self, every: Duration) -> bool {
        let now = Timestamp::now().seconds();
        let last = fstatat(self.fd(), MARK, AtFlags::AT_SYMLINK_NOFOLLOW)
            .ok()
            .and_then(|stat| u64::try_from(stat.st_mtime).ok());
        // A time in the future is a clock that was set back.
        if last.is_some_and(|last| last <= now && now - last < every.as_secs()) {
            return false;
        }
        let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(self.fd(), MARK, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .and_then(|mark| futimens(&mark, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW))
            .is_ok()
    }

    /// The next one who asks [`due`](Sessions::due) hears yes.
    fn sweep_again(&self) {
        let _ = unlinkat(self.fd(), MARK, UnlinkatFlags::NoRemoveDir);
    }

    /// Removes one session that has no supervisor.
    ///
    /// # Errors
    /// The errno of what could not be removed.
    pub fn remove(&self, id: &SessionId) -> Result<Removed, SessionError> {
        let session = match self.open_session(id) {
            Err(SessionError::Call {
                errno: Errno::ENOENT,
                ..
            }) => return Ok(Removed::Yes),
            other => other?,
        };
        let _held_until_it_is_gone = match lock(session.as_fd()) {
            Locked::Ours(lock) => Some(lock),
            Locked::Theirs => return Ok(Removed::Lives),
            Locked::NoFile if id.began().until(Timestamp::now()).as_secs() <= 60 => {
                return Ok(Removed::Lives);
            }
            Locked::NoFile => None,
        };
        let path = self.path().join(id.as_str());
        empty(session.as_fd(), DEPTH).map_err(failed("unlink in", &path))?;
        unlinkat(self.fd(), id.as_str(), UnlinkatFlags::RemoveDir)
            .map_err(failed("rmdir", path))?;
        Ok(Removed::Yes)
    }

    /// Marks a session as lost if it is open and has no supervisor; says whether it did.
    fn mark_lost(&self, id: &SessionId, now: Timestamp) -> Result<bool, SessionError> {
        let session = self.open_session(id)?;
        if !says_open(session.as_fd())? {
            return Ok(false);
        }
        let Locked::Ours(log) = lock(session.as_fd()) else {
            return Ok(false);
        };
        crate::record::log::give_back(log.as_fd());
        let _ = unlinkat(session.as_fd(), CONTROL, UnlinkatFlags::NoRemoveDir);
        let mut record = self.read(id)?;
        if record.state != State::Open {
            return Ok(false);
        }
        // The outcome may have reached the log although the record did not (the disk was full at the end).
        let ended = events(session.as_fd(), self, id)?
            .into_iter()
            .rev()
            .find_map(|entry| match entry.event {
                Event::Ended { outcome } => Some((entry.at, outcome)),
                _ => None,
            });
        match ended {
            Some((at, outcome)) => {
                record.state = State::Ended;
                record.ended = Some(at);
                record.outcome = Some(outcome);
            }
            None => {
                record.state = State::Lost;
                record.ended = Some(now);
            }
        }
        let path = self.path().join(id.as_str());
        let text = serde_json::to_vec(&record).map_err(|error| SessionError::Json {
            path: path.clone(),
            why: error.to_string(),
        })?;
        live::replace(session.as_fd(), &path, &[&text])?;
        Ok(record.state == State::Lost)
    }

    /// The events of one session; lines that are not events are left out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn events(&self, id: &SessionId) -> Result<Vec<Entry>, SessionError> {
        let session = self.open_session(id)?;
        events(session.as_fd(), self, id)
    }

    /// `events.jsonl` of one session as it stands.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn events_text(&self, id: &SessionId) -> Result<Vec<u8>, SessionError> {
        let session = self.open_session(id)?;
        events_text(session.as_fd(), self, id)
    }

    /// The session whose name begins with `prefix`, if it is the only one.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn find(&self, prefix: &str) -> Result<Option<Found>, SessionError> {
        let mut matching = self
            .ids()?
            .into_iter()
            .filter(|id| id.as_str().starts_with(prefix));
        Ok(match (matching.next(), matching.next()) {
            (Some(id), None) => Some(Found {
                liveness: self.liveness(&id),
                record: self.read(&id),
                id,
            }),
            _ => None,
        })
    }
}

/// What came of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Yes,
    /// It has a supervisor and was not touched.
    Lives,
}

/// Does the record say that the session is open? Looks at its first bytes only: `state` is the third field, after two of
/// a fixed form, and reading a whole plan for each of the last sessions would cost milliseconds.
fn says_open(session: BorrowedFd<'_>) -> Result<bool, SessionError> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(session, RECORD, flags, Mode::empty()).map_err(failed("open", RECORD))?;
    let mut head = Vec::with_capacity(128);
    File::from(file)
        .take(128)
        .read_to_end(&mut head)
        .map_err(|error| failed("read", RECORD)(errno(&error)))?;
    let open = b"\"state\":\"open\"";
    Ok(head.windows(open.len()).any(|window| window == open))
}

fn events(
    session: BorrowedFd<'_>,
    sessions: &Sessions,
    id: &SessionId,
) -> Result<Vec<Entry>, SessionError> {
    let text = events_text(session, sessions, id)?;
    Ok(crate::record::log::parse(&text)
        .filter_map(Result::ok)
        .collect())
}

fn events_text(
    session: BorrowedFd<'_>,
    sessions: &Sessions,
    id: &SessionId,
) -> Result<Vec<u8>, SessionError> {
    let path = sessions.path().join(id.as_str()).join(EVENTS);
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(session, EVENTS, flags, Mode::empty()).map_err(failed("open", &path))?;
    let mut text = Vec::new();
    File::from(file)
        .read_to_end(&mut text)
        .map_err(|error| failed("read", &path)(errno(&error)))?;
    Ok(text)
}

/// Removes everything in a directory, by descriptors and without following a symlink.
fn empty(dir: BorrowedFd<'_>, depth: u32) -> Result<(), Errno> {
    if depth == 0 {
        return Err(Errno::ELOOP);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(dir, ".", flags, Mode::empty())?;
    // Collected first: removing while reading may skip entries on some file systems.
    let names: Vec<_> = listing
        .iter()
        .map(|entry| entry.map(|entry| entry.file_name().to_owned()))
        .collect::<Result<_, _>>()?;
    for name in names {
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            // Linux says EISDIR for a directory, POSIX EPERM.
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(errno) => return Err(errno),
        }
        let child = openat(dir, shown(&name), flags, Mode::empty())?;
        empty(child.as_fd(), depth - 1)?;
        unlinkat(dir, name.as_c_str(), UnlinkatFlags::RemoveDir)?;
    }
    Ok(())
}
