//! [`Session`]: the session that this supervisor writes. Its name is taken
//! before anything is built and its record is begun whatever comes of the build, so that a refusal has a record too.

#![forbid(unsafe_code)]

use crate::outcome::{Evidence, Outcome};
use crate::plan::Plan;
use crate::record::{Appended, Event, EventLog, Timestamp};
use crate::session::record::{Head, State, Tail, VERSION};
use crate::session::store::{self, DIR, EVENTS, RECORD, RECORD_NEW, errno, failed};
use crate::session::{SessionError, SessionId, SessionRecord, Sessions};
use crate::sys::random;
use crate::sys::rename::{Taken, renameat2};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Room for the text of a plan: one that fits need not be moved while it is written.
const ROOM: usize = 96 * 1024;

/// The session that this process supervises. Its lock is held as long as this value, or a copy of its descriptor in a
/// forked child, lives.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    path: PathBuf,
    dir: OwnedFd,
    /// A second descriptor of the log's open file: the lock belongs to both.
    _lock: Flock<OwnedFd>,
    log: EventLog,
    started: Timestamp,
    /// Its text.
    plan: String,
    evidence: Vec<Evidence>,
    failing: Option<String>,
    /// The final `session.json`, as far as it is written: see [`Session::prepare_end`].
    prepared: Option<File>,
}

/// Another session: its name, its directory, and its record or why that cannot be read.
pub type OtherSession = (SessionId, OwnedFd);

/// A session that has a name and an empty directory, and no record yet. Whoever finds it takes it for a live one while it
/// is young, so the record must follow at once: it is written while init builds the box, which needs only the name.
#[derive(Debug)]
pub struct Reserved {
    id: SessionId,
    path: PathBuf,
    dir: OwnedFd,
    started: Timestamp,
}

impl Reserved {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A second one of the same name, as no two processes get it.
    #[cfg(test)]
    pub(super) fn twin(&self) -> std::io::Result<Reserved> {
        Ok(Reserved {
            id: self.id.clone(),
            path: self.path.clone(),
            dir: self.dir.try_clone()?,
            started: self.started,
        })
    }

    /// Takes the lock and writes `session.json` (open) and the event `planned`.
    ///
    /// # Errors
    /// The record cannot be written: the run must be refused.
    pub fn begin(self, plan: &Plan) -> Result<Session, SessionError> {
        let Reserved {
            id,
            path,
            dir,
            started,
        } = self;
        let flags = OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_CREAT
            | OFlag::O_EXCL
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC;
        let events = path.join(EVENTS);
        let file = openat(&dir, EVENTS, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(failed("open", &events))?;
        let copy = file
            .try_clone()
            .map_err(|error| failed("dup", &events)(errno(&error)))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| failed("flock", &events)(errno))?;
        let plan_text = plan.json(ROOM).map_err(|error| SessionError::Json {
            path: path.join(RECORD),
            why: error.to_string(),
        })?;
        let mut session = Session {
            id,
            path,
            dir,
            _lock: lock,
            log: EventLog::new(copy),
            started,
            plan: plan_text,
            evidence: Vec::new(),
            failing: None,
            prepared: None,
        };
        session.write(State::Open, None, None)?;
        let planned = Event::Planned {
            argv: plan.command.argv.clone(),
            workspace: plan.workspace.real.clone(),
            profile: plan.command.profiles.first().cloned(),
        };
        match session.log.append(&planned) {
            Appended::Yes => Ok(session),
            Appended::Last(why) => Err(SessionError::Json { path: events, why }),
            // The first event is the proof that the record can be written; later ones may be lost, this one not.
            Appended::LostFirst(why) => Err(SessionError::Json { path: events, why }),
            Appended::Lost => Err(failed("write", events)(Errno::EIO)),
        }
    }
}

impl Session {
    /// Makes the directory of a new session, and nothing in it. First half of [`Session::create`].
    ///
    /// # Errors
    /// The directory cannot be made: the run must be refused.
    pub fn reserve(sessions: &Sessions) -> Result<Reserved, SessionError> {
        let started = Timestamp::now();
        let (id, path) = name(sessions, started)?;
        let dir = openat(sessions.fd(), id.as_str(), DIR, Mode::empty())
            .map_err(failed("open", &path))?;
        Ok(Reserved {
            id,
            path,
            dir,
            started,
        })
    }

    /// Makes the directory of a new session with `session.json` (open) and the event `planned`.
    ///
    /// # Errors
    /// The directory cannot be made or written: the run must be refused.
    pub fn create(sessions: &Sessions, plan: &Plan) -> Result<Session, SessionError> {
        Session::reserve(sessions)?.begin(plan)
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of its plan.
    #[must_use]
    pub fn plan(&self) -> &str {
        &self.plan
    }

    /// When it began.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Its directory as a descriptor, for what else belongs to the session (sockets, quarantine).
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Files may change from now on and have to be compared in the end, by whoever is there then.
    ///
    /// # Errors
    /// The mark cannot be made.
    pub fn unsettled(&self) -> Result<(), SessionError> {
        let sessions = openat(&self.dir, "..", DIR, Mode::empty());
        sessions
            .and_then(|sessions| store::mark(sessions.as_fd(), &self.id))
            .map_err(failed("mark", &self.path))
    }

    /// The other sessions whose files have still to be compared, oldest first: each with its directory.
    #[must_use]
    pub fn other_unsettled(&self) -> Vec<OtherSession> {
        let Ok(sessions) = self.beside() else {
            return Vec::new();
        };
        let mut ids = sessions.unsettled();
        ids.retain(|id| *id != self.id);
        let with_directory = |id: SessionId| {
            let dir = sessions.directory(&id).ok()?;
            Some((id, dir))
        };
        ids.into_iter().filter_map(with_directory).collect()
    }

    /// The record of one of them.
    ///
    /// # Errors
    /// It is not there, or cannot be understood.
    pub fn other(&self, id: &SessionId) -> Result<SessionRecord, SessionError> {
        self.beside().map_err(failed("open", &self.path))?.read(id)
    }

    fn beside(&self) -> Result<Sessions, Errno> {
        let parent = self.path.parent().unwrap_or(&self.path);
        Sessions::beside(self.dir.as_fd(), parent)
    }

    /// The files were compared.
    pub fn settled(&self) {
        if let Ok(sessions) = openat(&self.dir, "..", DIR, Mode::empty()) {
            store::unmark(sessions.as_fd(), &self.id);
        }
    }

    /// Its log as an open file: what `events.jsonl` has to be as long as the session lives.
    #[must_use]
    pub fn log(&self) -> BorrowedFd<'_> {
        self.log.as_fd()
    }

    /// Records an event. `enforced` is remembered, so that `session.json` has the evidence at the end.
    pub fn record(&mut self, event: &Event) -> Appended {
        if let Event::Enforced { evidence } = event {
            self.evidence.clone_from(evidence);
            self.prepared = None;
        }
        let appended = self.log.append(event);
        if let Appended::Last(why) | Appended::LostFirst(why) = &appended {
            self.failing.get_or_insert_with(|| why.clone());
        }
        appended
    }

    /// From now on room for the record is kept in reserve.
    pub fn keep_in_reserve(&mut self) {
        if let Some(why) = self.log.keep_in_reserve() {
            self.failing.get_or_insert(why);
        }
    }

    /// Why the record is at its end: it cannot be written, or soon could not.
    #[must_use]
    pub fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// Writes all of the final `session.json` that is known already, so that the end, for which somebody waits, has little left
    /// to do. What cannot be written now is written, or said, then.
    pub fn prepare_end(&mut self) {
        self.prepared = self
            .head(State::Ended)
            .and_then(|(before, behind)| {
                let parts = [&before, self.plan.as_bytes(), &behind];
                new_file(self.dir.as_fd(), &self.path, &parts)
            })
            .ok();
    }

    /// Records the end: the event `ended` and the final `session.json`. The lock is given back.
    ///
    /// # Errors
    /// `session.json` cannot be written; the session is then found as lost.
    pub fn close(mut self, outcome: &Outcome) -> Result<(), SessionError> {
        let _said_by_the_error_below = self.log.append(&Event::Ended {
            outcome: outcome.clone(),
        });
        // First, since the record may need the room.
        self.log.finish();
        self.write(State::Ended, Some(Timestamp::now()), Some(outcome))
    }

    fn write(
        &mut self,
        state: State,
        ended: Option<Timestamp>,
        outcome: Option<&Outcome>,
    ) -> Result<(), SessionError> {
        let tail = Tail {
            ended,
            outcome,
            events_lost: self.log.lost(),
        };
        let tail = tail.text().map_err(|e| self.no_text(&e))?;
        if state == State::Ended
            && let Some(mut file) = self.prepared.take()
            && file.write_all(&tail).is_ok()
        {
            return exchange(self.dir.as_fd(), &self.path);
        }
        let (before, mut behind) = self.head(state)?;
        behind.extend(tail);
        let parts = [&before, self.plan.as_bytes(), &behind];
        replace(self.dir.as_fd(), &self.path, &parts)
    }

    fn head(&self, state: State) -> Result<(Vec<u8>, Vec<u8>), SessionError> {
        let head = Head {
            version: VERSION,
            id: &self.id,
            state,
            supervisor: std::process::id(),
            started: self.started,
            evidence: &self.evidence,
        };
        head.around().map_err(|e| self.no_text(&e))
    }

    fn no_text(&self, error: &serde_json::Error) -> SessionError {
        SessionError::Json {
            path: self.path.join(RECORD),
            why: error.to_string(),
        }
    }
}

/// Makes a directory with a free name. mkdir(2) is the one that decides, so two sessions never share one.
fn name(sessions: &Sessions, at: Timestamp) -> Result<(SessionId, PathBuf), SessionError> {
    for _ in 0..16 {
        let random = random::bytes().map_err(|error| failed("getrandom", "")(errno(&error)))?;
        let id = SessionId::new(at, random);
        let path = sessions.path().join(id.as_str());
        match mkdirat(sessions.fd(), id.as_str(), Mode::S_IRWXU) {
            Ok(()) => return Ok((id, path)),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed("mkdir", path)(errno)),
        }
    }
    Err(SessionError::NoFreeName {
        path: sessions.path().to_owned(),
    })
}

/// Writes `session.json` under its temporary name and gives it its own: a reader sees the old one or the new one.
pub(super) fn replace(
    dir: BorrowedFd<'_>,
    path: &Path,
    parts: &[&[u8]],
) -> Result<(), SessionError> {
    new_file(dir, path, parts).map(drop)?;
    exchange(dir, path)
}

/// Writes `session.json` under its temporary name.
fn new_file(dir: BorrowedFd<'_>, path: &Path, parts: &[&[u8]]) -> Result<File, SessionError> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let new = path.join(RECORD_NEW);
    let file = openat(dir, RECORD_NEW, flags, Mode::S_IRUSR | Mode::S_IWUSR)
        .map_err(failed("open", &new))?;
    let mut file = File::from(file);
    for part in parts {
        file.write_all(part)
            .map_err(|error| failed("write", &new)(errno(&error)))?;
    }
    Ok(file)
}

/// Gives it its own name.
fn exchange(dir: BorrowedFd<'_>, path: &Path) -> Result<(), SessionError> {
    let new = path.join(RECORD_NEW);
    // Exchanged and not renamed over: ext4 writes a file that replaces another to the disk first, which the end of a session
    // would wait for. Before there is a record to exchange with, and where a file system cannot (NFS), renamed.
    match renameat2(dir, RECORD_NEW, dir, RECORD, Taken::Exchange) {
        Ok(()) => {
            unlinkat(dir, RECORD_NEW, UnlinkatFlags::NoRemoveDir).map_err(failed("unlink", new))
        }
        Err(_) => renameat(dir, RECORD_NEW, dir, RECORD).map_err(failed("rename", new)),
    }
}
