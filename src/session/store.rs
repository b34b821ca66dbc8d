//! [`Sessions`]: the directory that holds every session, found and guarded. From `agentbox` downwards it is opened by
//! descriptors, never through a symlink, and refused when another user could write in it.

#![forbid(unsafe_code)]

use crate::record::Timestamp;
use crate::session::{SessionId, SessionRecord};
use crate::sys::own;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The file of the events, whose lock says that the session lives.
pub const EVENTS: &str = "events.jsonl";
/// The file of the record.
pub(super) const RECORD: &str = "session.json";
/// Its temporary name. Only the holder of the lock writes it, so one name is enough.
pub(super) const RECORD_NEW: &str = "session.json.new";
/// The socket by which others reach the supervisor of a live session.
pub const CONTROL: &str = "control";
/// The most bytes of a `session.json` that are read.
const RECORD_MAX: u64 = 64 * 1024 * 1024;

/// What can be done about a place that takes no record.
fn way_out(errno: Errno) -> &'static str {
    match errno {
        Errno::EACCES | Errno::EPERM | Errno::EROFS => {
            "; set HOME to your own, or XDG_STATE_HOME to a directory that you can write"
        }
        Errno::ENOSPC | Errno::EDQUOT => {
            "; make room, or set XDG_STATE_HOME to a directory elsewhere"
        }
        Errno::EEXIST | Errno::ENOTDIR => {
            "; a file, or a link that leads nowhere, is in the way: remove it, or set XDG_STATE_HOME to a directory elsewhere"
        }
        Errno::EFBIG => "; the caller's limit of a file's size is too small: `ulimit -f unlimited`",
        _ => "",
    }
}

/// What to do about a directory of somebody else's. What root meets, by `sudo` with the HOME of its user, are that user's
/// records: not to be removed.
fn whose(uid: u32) -> &'static str {
    match uid {
        0 => "start agentbox as that user, without sudo",
        _ => "remove it",
    }
}

/// Why the sessions cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A system call failed.
    #[error("{call} of {}: {errno}{}", path.display(), way_out(*.errno))]
    Call {
        /// The call.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// A directory belongs to another user.
    #[error("{} belongs to uid {owner}, not to you (uid {uid}); {}, or set XDG_STATE_HOME to a directory of your own", path.display(), whose(*.uid))]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The caller.
        uid: u32,
    },
    /// Others may write in a directory.
    #[error("{} may be written by others (mode {mode:04o}); chmod go-w it", path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// HOME is not absolute.
    #[error(
        "no place for the record of the session: {}; set HOME to your home directory",
        no_home(home)
    )]
    NoHome {
        /// HOME.
        home: PathBuf,
    },
    /// Sixteen names in a row were taken.
    #[error("no free name for a session in {}", path.display())]
    NoFreeName {
        /// The directory.
        path: PathBuf,
    },
    /// A record cannot be read or written as JSON.
    #[error("{}: {why}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A record is larger than agentbox ever writes one.
    #[error("{} has {bytes} bytes: not a record of agentbox", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

/// Names the call and the path of an errno.
pub(super) fn failed(
    call: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(Errno) -> SessionError {
    let path = path.into();
    move |errno| SessionError::Call { call, path, errno }
}

/// The errno of an `io::Error`.
pub(super) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

pub(super) const DIR: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// The directory that holds every session.
#[derive(Debug)]
pub struct Sessions {
    dir: OwnedFd,
    path: PathBuf,
}

/// Whether a session has a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It has.
    Live,
    /// It has none.
    Gone,
}

/// One session as found on disk.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub id: SessionId,
    /// Whether it has a supervisor.
    pub liveness: Liveness,
    /// What it says; an error is one of this session only.
    pub record: Result<SessionRecord, SessionError>,
}

/// What is wrong with HOME, as a start says it.
fn no_home(home: &Path) -> String {
    match home.as_os_str().is_empty() {
        true => "HOME is not set and the user has no entry in /etc/passwd".to_owned(),
        false => format!("HOME ({}) is not an absolute path", home.display()),
    }
}

impl Sessions {
    /// Where the sessions of a user are: `$XDG_STATE_HOME/agentbox/sessions` when that variable is absolute (the XDG base
    /// directory specification says to ignore it otherwise), else `HOME/.local/state/agentbox/sessions`.
    ///
    /// # Errors
    /// [`SessionError::NoHome`].
    pub fn locate(home: &Path, state_home: Option<&OsStr>) -> Result<PathBuf, SessionError> {
        let base = match state_home.map(Path::new) {
            Some(path) if path.is_absolute() => path.to_owned(),
            _ if home.is_absolute() => home.join(".local/state"),
            _ => {
                return Err(SessionError::NoHome {
                    home: home.to_owned(),
                });
            }
        };
        Ok(base.join("agentbox/sessions"))
    }

    /// Opens the directory, making what is missing of it (0700).
    ///
    /// # Errors
    /// Whatever keeps it from being the caller's own: the run must be refused, since a session without a record is not
    /// one that can be answered for.
    pub fn open(home: &Path, state_home: Option<&OsStr>) -> Result<Sessions, SessionError> {
        let path = Sessions::locate(home, state_home)?;
        let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
        let base = parent.parent().unwrap_or(Path::new("/"));
        // The base may be reached by symlinks: people move ~/.local to another disk. What is ours below it may not.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = match open(base, flags, Mode::empty()) {
            Err(Errno::ENOENT) => {
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(base)
                    .map_err(|error| failed("mkdir", base)(errno(&error)))?;
                open(base, flags, Mode::empty())
            }
            other => other,
        }
        .map_err(failed("open", base))?;
        let fd = own_directory(fd.as_fd(), "agentbox", &parent)?;
        let dir = own_directory(fd.as_fd(), "sessions", &path)?;
        Ok(Sessions { dir, path })
    }

    /// The directory that holds a session's own.
    pub(super) fn beside(session: BorrowedFd<'_>, path: &Path) -> Result<Sessions, Errno> {
        Ok(Sessions {
            dir: openat(session, "..", DIR, Mode::empty())?,
            path: path.to_owned(),
        })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The names of all sessions, oldest first. Anything else in the directory is not ours and is left alone.
    ///
    /// # Errors
    /// The errno of reading the directory.
    pub fn ids(&self) -> Result<Vec<SessionId>, SessionError> {
        let mut dir =
            Dir::openat(&self.dir, ".", DIR, Mode::empty()).map_err(failed("open", &self.path))?;
        let mut ids = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(failed("getdents", &self.path))?;
            let name = entry.file_name().to_str().ok();
            ids.extend(name.and_then(|name| SessionId::try_from(name).ok()));
        }
        ids.sort();
        Ok(ids)
    }

    /// Every session, oldest first.
    ///
    /// # Errors
    /// The errno of reading the directory; what is wrong with one session is in its own entry.
    pub fn list(&self) -> Result<Vec<Found>, SessionError> {
        Ok(self
            .ids()?
            .into_iter()
            .map(|id| Found {
                liveness: self.liveness(&id),
                record: self.read(&id),
                id,
            })
            .collect())
    }

    /// The record of one session.
    ///
    /// # Errors
    /// It is missing or is not a record of this version.
    pub fn read(&self, id: &SessionId) -> Result<SessionRecord, SessionError> {
        let path = self.path.join(id.as_str()).join(RECORD);
        let session = self.open_session(id)?;
        let file = openat(
            &session,
            RECORD,
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(failed("open", &path))?;
        let bytes =
            u64::try_from(fstat(&file).map_err(failed("fstat", &path))?.st_size).unwrap_or(0);
        if bytes > RECORD_MAX {
            return Err(SessionError::TooLarge { path, bytes });
        }
        let mut text = Vec::new();
        File::from(file)
            .take(RECORD_MAX)
            .read_to_end(&mut text)
            .map_err(|error| failed("read", &path)(errno(&error)))?;
        serde_json::from_slice(&text).map_err(|error| SessionError::Json {
            path,
            why: error.to_string(),
        })
    }

    /// Whether the record of a session was written since then.
    #[must_use]
    pub fn written_since(&self, id: &SessionId, since: Timestamp) -> bool {
        let record = self.path.join(id.as_str()).join(RECORD);
        let written = record.symlink_metadata().and_then(|meta| meta.modified());
        // The times of inodes are up to a tick (10 ms) behind.
        let limit = Duration::from_millis(since.millis().saturating_sub(20));
        written.is_ok_and(|at| at >= SystemTime::UNIX_EPOCH + limit)
    }

    /// Whether a session has a supervisor. What cannot be told counts as live, so that nothing is taken from it.
    #[must_use]
    pub fn liveness(&self, id: &SessionId) -> Liveness {
        let Ok(session) = self.open_session(id) else {
            return Liveness::Live;
        };
        match lock(session.as_fd()) {
            Locked::Ours(_) => Liveness::Gone,
            // A session is made by mkdir, then its lock: in between it is a moment old.
            Locked::NoFile if id.began().until(Timestamp::now()).as_secs() > 60 => Liveness::Gone,
            Locked::NoFile | Locked::Theirs => Liveness::Live,
        }
    }

    /// Sessions whose files nobody has compared yet with what they were: those that live, and those whose supervisor is gone. As a
    /// rule there are none, and this is one open(2).
    #[must_use]
    pub fn unsettled(&self) -> Vec<SessionId> {
        let Ok(mut dir) = Dir::openat(&self.dir, UNSETTLED, DIR, Mode::empty()) else {
            return Vec::new();
        };
        let names = dir.iter().map_while(Result::ok);
        let mut ids: Vec<SessionId> = names
            .filter_map(|entry| SessionId::try_from(entry.file_name().to_str().ok()?).ok())
            .collect();
        ids.sort();
        ids
    }

    /// Takes a session whose supervisor is gone; nobody else can until this is dropped.
    #[must_use]
    pub fn adopt(&self, id: &SessionId) -> Option<Adopted<'_>> {
        let Ok(dir) = self.open_session(id) else {
            // Removed as a whole.
            unmark(self.dir.as_fd(), id);
            return None;
        };
        match lock(dir.as_fd()) {
            Locked::Ours(lock) => Some(Adopted {
                sessions: self,
                id: id.clone(),
                dir,
                _lock: lock,
            }),
            Locked::Theirs | Locked::NoFile => None,
        }
    }

    /// Has it a supervisor? Unlike [`liveness`](Sessions::liveness), what cannot be told counts as gone: for lists.
    #[must_use]
    pub fn is_live(&self, id: &SessionId) -> bool {
        self.open_session(id)
            .is_ok_and(|session| matches!(lock(session.as_fd()), Locked::Theirs))
    }

    /// The directory of one session.
    ///
    /// # Errors
    /// The errno of openat(2).
    pub fn directory(&self, id: &SessionId) -> Result<OwnedFd, SessionError> {
        self.open_session(id)
    }

    pub(super) fn open_session(&self, id: &SessionId) -> Result<OwnedFd, SessionError> {
        let open = || openat(&self.dir, id.as_str(), DIR, Mode::empty());
        open()
            .or_else(|errno| {
                let closed = errno == Errno::EACCES;
                if closed && own::open_up(self.dir.as_fd(), Path::new(id.as_str())) {
                    open()
                } else {
                    Err(errno)
                }
            })
            .map_err(failed("open", self.path.join(id.as_str())))
    }
}

/// The directory of marks of sessions whose files have to be compared with what they were.
const UNSETTLED: &str = ".unsettled";

/// Marks a session, before anything in it can change a file.
pub(super) fn mark(sessions: BorrowedFd<'_>, id: &SessionId) -> Result<(), Errno> {
    match mkdirat(sessions, UNSETTLED, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let dir = openat(sessions, UNSETTLED, DIR, Mode::empty())?;
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(&dir, id.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR).map(drop)
}

/// Takes the mark away.
pub(super) fn unmark(sessions: BorrowedFd<'_>, id: &SessionId) {
    if let Ok(dir) = openat(sessions, UNSETTLED, DIR, Mode::empty()) {
        let _ = unlinkat(&dir, id.as_str(), UnlinkatFlags::NoRemoveDir);
    }
}

/// A session whose supervisor is gone, in the hands of this process.
#[derive(Debug)]
pub struct Adopted<'a> {
    sessions: &'a Sessions,
    id: SessionId,
    dir: OwnedFd,
    _lock: Flock<OwnedFd>,
}

impl Adopted<'_> {
    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Its files were compared.
    pub fn settled(self) {
        unmark(self.sessions.fd(), &self.id);
    }
}

/// What came of the try to lock a session.
pub(super) enum Locked {
    /// It is ours until this is dropped: its supervisor is gone.
    Ours(Flock<OwnedFd>),
    /// Its supervisor has it.
    Theirs,
    /// There is no file to lock.
    NoFile,
}

/// Tries to lock `events.jsonl` of a session. Opened for writing, since flock(2) on NFS needs that for an exclusive lock.
pub(super) fn lock(session: BorrowedFd<'_>) -> Locked {
    let flags = OFlag::O_WRONLY
        | OFlag::O_APPEND
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC;
    match openat(session, EVENTS, flags, Mode::empty()) {
        Err(Errno::ENOENT) => Locked::NoFile,
        Err(_) => Locked::Theirs,
        Ok(file) => match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Locked::Ours(lock),
            Err(_) => Locked::Theirs,
        },
    }
}

/// Opens a directory of our own, making it when it is missing, and refuses one that another user owns or may write in.
fn own_directory(parent: BorrowedFd<'_>, name: &str, path: &Path) -> Result<OwnedFd, SessionError> {
    let fd = match openat(parent, name, DIR, Mode::empty()) {
        // On the rung `landlock` an agent can chmod it: that keeps nobody from ending the agent.
        Err(Errno::EACCES) if own::open_up(parent, Path::new(name)) => {
            openat(parent, name, DIR, Mode::empty())
        }
        Err(Errno::ENOENT) => {
            match mkdirat(parent, name, Mode::S_IRWXU) {
                // Two first sessions at once.
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(failed("mkdir", path)(errno)),
            }
            openat(parent, name, DIR, Mode::empty())
        }
        other => other,
    }
    .map_err(failed("open", path))?;
    let stat = fstat(&fd).map_err(failed("fstat", path))?;
    let uid = geteuid().as_raw();
    if stat.st_mode & 0o700 != 0o700 {
        own::open_up(parent, Path::new(name));
    }
    if stat.st_uid != uid {
        return Err(SessionError::Owner {
            path: path.to_owned(),
            owner: stat.st_uid,
            uid,
        });
    }
    let mode = stat.st_mode & !SFlag::S_IFMT.bits();
    if mode & 0o022 != 0 {
        return Err(SessionError::Writable {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(fd)
}

/// For messages: a name of the system as text.
pub(super) fn shown(name: &std::ffi::CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}
