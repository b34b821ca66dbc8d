//! A stage: this very program, executed again under another name, with an empty environment and one channel.

#![forbid(unsafe_code)]

use super::channel::{self, Channel};
use crate::sys::process::{self, CloseRange, Fork};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::Pid;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

/// A stage that runs.
#[derive(Debug)]
pub struct Process {
    /// Its pid, a child of this process.
    pub pid: Pid,
    /// Readable when it is gone.
    pub pidfd: OwnedFd,
    /// To it.
    pub channel: Channel,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {errno}")]
pub struct StartError {
    /// The system call.
    pub call: &'static str,
    /// Why.
    pub errno: Errno,
}

/// Starts a stage by its name: forks, and executes this very program again. Does not wait for it; it dies with this process.
///
/// # Errors
/// The system call that failed.
pub fn start(name: &'static CStr) -> Result<Process, StartError> {
    let failed = |call| move |errno| StartError { call, errno };
    let (ours, theirs) = channel::pair().map_err(|e| StartError {
        call: "socketpair",
        errno: crate::sys::errno_of(&e),
    })?;
    let theirs = OwnedFd::from(theirs);
    let number = CString::new(theirs.as_raw_fd().to_string()).unwrap_or_default();
    match process::fork_into(0).map_err(failed("clone3"))? {
        Fork::Child => {
            let _ = execute(name, &theirs, &number);
            // Seen by the parent as the end of the channel.
            process::exit_now(1)
        }
        Fork::Parent(pid, pidfd) => Ok(Process {
            pid,
            pidfd,
            channel: ours,
        }),
    }
}

/// In the child: only the channel and three times /dev/null go along, and nothing of the environment.
fn execute(name: &CStr, channel: &OwnedFd, number: &CStr) -> Result<(), Errno> {
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    use std::os::fd::AsFd as _;
    process::die_with_parent()?;
    let null = open(
        c"/dev/null",
        OFlag::O_RDWR | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    for standard in 0..=2 {
        process::dup_to(null.as_fd(), standard)?;
    }
    process::close_range(3, RawFd::MAX, CloseRange::OnExec)?;
    fcntl(channel, FcntlArg::F_SETFD(FdFlag::empty()))?;
    nix::unistd::execve::<&CStr, &CStr>(c"/proc/self/exe", &[name, number], &[])?;
    Ok(())
}
