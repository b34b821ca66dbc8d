//! Does the file system of the working copy answer? One that is far away (FUSE, NFS) may not any more. The box is dead then, and
//! what is left to do there would never come to an end: who waits for the session would wait with it.

#![forbid(unsafe_code)]

use crate::enforce::cell::wait_readable;
use crate::sys::job::{self, Stdio};
use crate::sys::process;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::pipe2;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asked by another process, which may stand still for ever. Yes where none can be had.
pub(super) fn does(dir: &Path) -> bool {
    let Ok((read, write)) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK) else {
        return true;
    };
    // To list it asks the file system itself; what the kernel remembers of an inode would not.
    let list =
        |_told_by_its_end| u8::from(std::fs::read_dir(dir).is_ok_and(|mut d| d.next().is_none()));
    let Ok(pid) = job::fork(write, Stdio::Close, list) else {
        return true;
    };
    wait_readable(read.as_fd(), Instant::now() + PATIENCE);
    let ended = nix::unistd::read(&read, &mut [0]) == Ok(0);
    let _ = kill(pid, Signal::SIGKILL);
    let _ = process::reap_killed(pid);
    ended
}
