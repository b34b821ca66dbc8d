//! The other end of the control socket: what `agentbox ps`, `kill` and the like use.

#![forbid(unsafe_code)]

use super::deaf;
use super::message::{Change, Reply, Request, Status};
use super::peer::Peer;
use super::socket;
use crate::launch::channel::{Channel, ChannelError};
use crate::plan::net::Network;
use crate::record::Event;
use crate::session::{SessionError, SessionId, Sessions};
use crate::sys::process;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a supervisor may take to answer. It answers within a millisecond; who was stopped, or is traced, does not.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the end of a box may take. The teardown of thousands of processes is the kernel's.
pub(super) const END: Duration = Duration::from_secs(60);

/// Why a live session could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No live session has that name.
    #[error("there is no live session `{0}` (`agentbox ps` lists them)")]
    None(String),
    /// Several have it.
    #[error("`{text}` fits several live sessions: {}", ids.join(", "))]
    Several {
        /// What was typed.
        text: String,
        /// Those that it fits.
        ids: Vec<String>,
    },
    /// It ended meanwhile.
    #[error("session {0} has ended")]
    Ended(SessionId),
    /// Its supervisor does not answer.
    #[error(
        "session {0}: its supervisor does not answer; `agentbox kill {0}` ends it all the same"
    )]
    Silent(SessionId),
    /// It said no.
    #[error("session {id}: {why}")]
    Refused {
        /// The session.
        id: SessionId,
        /// Why.
        why: String,
    },
    /// A system call failed.
    #[error("session {id}: {call}: {errno}")]
    Call {
        /// The session.
        id: SessionId,
        /// The call.
        call: &'static str,
        /// Why.
        errno: Errno,
    },
    /// Something of it is still there.
    #[error("session {0} was killed and is not gone after a minute")]
    Stuck(SessionId),
    /// The sessions cannot be read.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The connection failed.
    #[error("session {id}: {error}")]
    Channel {
        /// The session.
        id: SessionId,
        /// Why.
        error: ChannelError,
    },
}

/// The live sessions, oldest first.
///
/// # Errors
/// The directory of the sessions cannot be read.
pub fn live(sessions: &Sessions) -> Result<Vec<SessionId>, CallError> {
    let ids = sessions.ids()?;
    Ok(ids.into_iter().filter(|id| sessions.is_live(id)).collect())
}

/// The live session whose name begins or ends like that, if it is the only one. The first characters of a name are its time and
/// the last are random, so the end is the short way to say it.
///
/// # Errors
/// There is none, or there are several.
pub fn find(sessions: &Sessions, text: &str) -> Result<SessionId, CallError> {
    // Its name first: whether one of thousands lives is a look into its directory.
    let ids = sessions.ids()?.into_iter().filter(|id| id.fits(text));
    let mut ids: Vec<_> = ids.filter(|id| sessions.is_live(id)).collect();
    match (ids.pop(), ids.is_empty(), text.is_empty()) {
        (Some(id), true, false) => Ok(id),
        (Some(id), false, false) => Err(CallError::Several {
            text: text.to_owned(),
            ids: ids.iter().chain([&id]).map(ToString::to_string).collect(),
        }),
        _ => Err(CallError::None(text.to_owned())),
    }
}

/// A connection to a live session.
#[derive(Debug)]
pub struct Line {
    id: SessionId,
    channel: Channel,
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(sessions: &Sessions, id: &SessionId) -> Result<Line, CallError> {
        let until = Instant::now() + PATIENCE;
        let dir = sessions.directory(id)?;
        loop {
            match socket::call(dir.as_fd()) {
                Ok(channel) => {
                    return Ok(Line {
                        id: id.clone(),
                        channel,
                    });
                }
                Err(Errno::ENOENT | Errno::ECONNREFUSED) => {
                    return Err(CallError::Ended(id.clone()));
                }
                // Its queue is full: it is stopped, or others are faster.
                Err(Errno::EAGAIN) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(Errno::EAGAIN) => return Err(CallError::Silent(id.clone())),
                Err(errno) => {
                    return Err(CallError::Call {
                        id: id.clone(),
                        call: "connect",
                        errno,
                    });
                }
            }
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// No answer, or a no.
    pub fn ask(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<Reply, CallError> {
        self.channel
            .send(request, fds)
            .map_err(|error| self.failed(error))?;
        if !self.readable(PATIENCE) {
            return Err(CallError::Silent(self.id.clone()));
        }
        match self.channel.recv::<Reply>() {
            Ok(Some((Reply::Refused { why }, _))) => Err(CallError::Refused {
                id: self.id.clone(),
                why,
            }),
            Ok(Some((reply, _))) => Ok(reply),
            Ok(None) => Err(CallError::Ended(self.id.clone())),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The connection, for what speaks on.
    #[must_use]
    pub fn into_channel(self) -> Channel {
        self.channel
    }

    fn failed(&self, error: ChannelError) -> CallError {
        match error {
            ChannelError::Closed => CallError::Ended(self.id.clone()),
            error => CallError::Channel {
                id: self.id.clone(),
                error,
            },
        }
    }

    fn readable(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut set = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
            match poll(&mut set, timeout) {
                Err(Errno::EINTR) => {}
                found => return found.is_ok_and(|count| count > 0),
            }
        }
    }

    /// Waits for the end of the connection, which is that of the supervisor.
    fn wait_for_end(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.readable(until.saturating_duration_since(Instant::now())) {
            // What it still says is of no interest.
            if !matches!(self.channel.recv::<Reply>(), Ok(Some(_))) {
                return true;
            }
        }
        false
    }

    /// SIGKILL for a supervisor that does not answer: the kernel kills init with it, and with init the box.
    fn kill_supervisor(&self) -> Result<(), CallError> {
        let failed = |call| {
            move |errno| CallError::Call {
                id: self.id.clone(),
                call,
                errno,
            }
        };
        let Ok(peer) = Peer::of(self.channel.as_fd()) else {
            return Err(failed("SO_PEERCRED")(Errno::ESRCH));
        };
        let pidfd = process::pidfd_open(peer.pid).map_err(failed("pidfd_open"))?;
        // While the connection stands, the number is the supervisor's.
        if self.wait_for_end(Duration::ZERO) {
            return Ok(());
        }
        match process::pidfd_signal(pidfd.as_fd(), libc::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(failed("kill")(errno)),
        }
    }
}

/// How a session was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killed {
    /// By its supervisor, whose record tells it.
    Asked,
    /// With its supervisor, which did not answer. Its record will say `lost`.
    Forced,
}

/// Kills a session and waits until nothing of it is left. Also where its supervisor is stopped.
///
/// # Errors
/// It could not be reached, it belongs to another user, or it did not end.
pub fn kill(sessions: &Sessions, id: &SessionId) -> Result<Killed, CallError> {
    let line = match Line::open(sessions, id) {
        // Its queue is full, by others who asked in vain: there is nobody to ask, and all the more to kill.
        Err(CallError::Silent(_)) => return deaf::kill(sessions, id),
        line => line?,
    };
    let how = match line.ask(&Request::Kill, &[]) {
        Ok(_) | Err(CallError::Ended(_)) => Killed::Asked,
        Err(CallError::Silent(_)) => {
            line.kill_supervisor()?;
            Killed::Forced
        }
        Err(e) => return Err(e),
    };
    if !line.wait_for_end(END) || !wait_for_init(sessions, id) {
        return Err(CallError::Stuck(id.clone()));
    }
    Ok(how)
}

/// Init of a supervisor that was killed dies a moment after it.
pub(super) fn wait_for_init(sessions: &Sessions, id: &SessionId) -> bool {
    let init = sessions.events(id).ok().and_then(|events| {
        events.into_iter().find_map(|entry| match entry.event {
            Event::Started { init } => Some(init),
            _ => None,
        })
    });
    let Some(init) = init else { return true };
    let until = Instant::now() + END;
    while Path::new(&format!("/proc/{init}/ns")).exists() && is_init(init) {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Is that still an init of a box, and not another process of the same number?
fn is_init(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    own.is_some_and(|own| own.split_whitespace().skip(1).last() == Some("1"))
}

/// How it is.
///
/// # Errors
/// It could not be asked.
pub fn status(sessions: &Sessions, id: &SessionId) -> Result<Status, CallError> {
    match Line::open(sessions, id)?.ask(&Request::Status, &[])? {
        Reply::Status(status) => Ok(*status),
        _ => Err(CallError::Silent(id.clone())),
    }
}

/// Stops everything in it; returns when it is still.
///
/// # Errors
/// It could not be asked.
pub fn pause(sessions: &Sessions, id: &SessionId) -> Result<(), CallError> {
    match Line::open(sessions, id)?.ask(&Request::Pause, &[]) {
        // Where no cgroup freezes the box, its init stops it, which may be stopped itself or wait for its turn.
        Err(CallError::Silent(_)) if status(sessions, id).is_ok() => Err(CallError::Refused {
            id: id.clone(),
            why: "not everything stands still yet: init of the box has not had its turn; ask again, or `agentbox kill` it".to_owned(),
        }),
        answer => answer.map(drop),
    }
}

/// The rules of its network, as they are now.
///
/// # Errors
/// It could not be asked.
pub fn rules(sessions: &Sessions, id: &SessionId) -> Result<Network, CallError> {
    match Line::open(sessions, id)?.ask(&Request::Rules, &[])? {
        Reply::Network(network) => Ok(*network),
        _ => Err(CallError::Silent(id.clone())),
    }
}

/// Changes the rules of its network.
///
/// # Errors
/// It could not be asked, or it said no.
pub fn network(sessions: &Sessions, id: &SessionId, change: &Change) -> Result<(), CallError> {
    Line::open(sessions, id)?
        .ask(&Request::Network(change.clone()), &[])
        .map(drop)
}

/// Lets it go on.
///
/// # Errors
/// It could not be asked.
pub fn resume(sessions: &Sessions, id: &SessionId) -> Result<(), CallError> {
    Line::open(sessions, id)?
        .ask(&Request::Resume, &[])
        .map(drop)
}
