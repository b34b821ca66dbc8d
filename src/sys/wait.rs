//! Waiting for children by the numbers of all signals: nix's `Signal` has none of the real-time ones, and its waitpid reaps a
//! child that died of one without saying which child it was.

use super::cvt;
use nix::errno::Errno;
use nix::unistd::Pid;
use std::ffi::{c_int, c_long};

/// What happened to a child (wait(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It exited with this status.
    Exited(Pid, u8),
    /// This signal ended it.
    Signaled(Pid, u8),
    /// This signal stopped it.
    Stopped(Pid, c_int),
    /// Anything else (a stop of a traced process).
    Other(Pid),
}

/// The next child that changed, without waiting; `None` if none has.
///
/// # Errors
/// ECHILD without children, EINTR.
pub fn next_change() -> Result<Option<Change>, Errno> {
    let mut status: c_int = 0;
    // SAFETY: `status` is a valid place for the result and outlives the call.
    let ret = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
    let pid = match cvt(c_long::from(ret))? {
        0 => return Ok(None),
        _ => Pid::from_raw(ret),
    };
    let byte = |number: c_int| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
    Ok(Some(if libc::WIFEXITED(status) {
        Change::Exited(pid, byte(libc::WEXITSTATUS(status)))
    } else if libc::WIFSIGNALED(status) {
        Change::Signaled(pid, byte(libc::WTERMSIG(status)))
    } else if libc::WIFSTOPPED(status) {
        Change::Stopped(pid, libc::WSTOPSIG(status))
    } else {
        Change::Other(pid)
    }))
}
