//! Killing a supervisor that cannot even be connected to: it is stopped, and others have asked in vain until its queue was full.

#![forbid(unsafe_code)]

use super::client::{CallError, END, Killed, wait_for_init};
use crate::session::store::EVENTS;
use crate::session::{SessionId, Sessions};
use crate::sys::{process, procfs};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How often it is looked whether it is gone.
const PAUSE: Duration = Duration::from_millis(2);

/// SIGKILL for the supervisor, and with it the kernel kills init and the box; returns when nothing is left.
pub(super) fn kill(sessions: &Sessions, id: &SessionId) -> Result<Killed, CallError> {
    let failed = |call| {
        move |errno| CallError::Call {
            id: id.clone(),
            call,
            errno,
        }
    };
    let until = Instant::now() + END;
    let Some(pid) = supervisor(sessions, id) else {
        return Err(CallError::Silent(id.clone()));
    };
    let pidfd = process::pidfd_open(pid).map_err(failed("pidfd_open"))?;
    // Looked at again: while it holds the lock the number is its own.
    if supervisor(sessions, id) == Some(pid) {
        match process::pidfd_signal(pidfd.as_fd(), libc::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(failed("kill")(errno)),
        }
    }
    while sessions.is_live(id) {
        if Instant::now() > until {
            return Err(CallError::Stuck(id.clone()));
        }
        std::thread::sleep(PAUSE);
    }
    if wait_for_init(sessions, id) {
        Ok(Killed::Forced)
    } else {
        Err(CallError::Stuck(id.clone()))
    }
}

/// Whom the record names, if the kernel says that this process has the session's lock: the record's number is that of the pid
/// namespace in which the session began, and may be another process's here.
fn supervisor(sessions: &Sessions, id: &SessionId) -> Option<i32> {
    let dir = sessions.directory(id).ok()?;
    let log = fstatat(&dir, EVENTS, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    let pid = i32::try_from(sessions.read(id).ok()?.supervisor).ok()?;
    (pid > 1 && procfs::has_locked(pid, log.st_ino)).then_some(pid)
}
