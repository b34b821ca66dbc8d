//! The helper that looks for stop files where events do not arrive: a process of its own, since a look at a network file
//! system may take for ever, and the supervisor must not.

#![forbid(unsafe_code)]

use super::look::{Look, look};
use crate::sys::job::{self, Stdio};
use crate::sys::own;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, pipe2};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often it looks.
pub(super) const EVERY: Duration = Duration::from_millis(200);
/// After how many looks it says that it is alive.
const BEAT: u32 = 5;
/// After this long without a word the switch counts as lost: a box does not go on unwatched.
const SILENCE: Duration = Duration::from_secs(30);
/// "I could look everywhere." Any other value is the number of a stop file that is there.
const ALIVE: u32 = u32::MAX;

/// The helper. Killed when dropped.
#[derive(Debug)]
pub(super) struct Poller {
    pid: Pid,
    pipe: OwnedFd,
    count: usize,
    /// When it was heard last.
    heard: Instant,
}

/// What the helper says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    Fine,
    /// The stop file of that number is there.
    There(usize),
    /// It is dead, or has not been able to look for too long.
    Blind(String),
}

impl Poller {
    /// Starts it for these files, each with its number.
    pub(super) fn start(files: Vec<(usize, PathBuf)>) -> Result<Poller, Errno> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let count = files.len();
        let pid = job::fork(write, Stdio::Close, move |pipe| work(&files, &pipe))
            .map_err(|error| crate::sys::errno_of(&error))?;
        Ok(Poller {
            pid,
            pipe: read,
            count,
            heard: Instant::now(),
        })
    }

    /// How many files it looks for.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// When its silence is too long.
    pub(super) fn deadline(&self) -> Instant {
        self.heard + SILENCE
    }

    #[cfg(test)]
    pub(super) fn kill_for_test(&self) {
        let _ = kill(self.pid, Signal::SIGKILL);
    }

    /// Reads what it said.
    pub(super) fn on_ready(&mut self) -> Report {
        let mut word = [0u8; 4];
        loop {
            match nix::unistd::read(&self.pipe, &mut word) {
                Ok(4) => match u32::from_ne_bytes(word) {
                    ALIVE => self.heard = Instant::now(),
                    number => return Report::There(usize::try_from(number).unwrap_or(0)),
                },
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if self.heard.elapsed() < SILENCE => return Report::Fine,
                Err(Errno::EAGAIN) => {
                    let seconds = SILENCE.as_secs();
                    return Report::Blind(format!(
                        "its file system has not answered for {seconds} s"
                    ));
                }
                _ => return Report::Blind("the helper that looks for it is gone".to_owned()),
            }
        }
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        // Not waited for: it may hang in the file system, and dies when that lets it.
        let _ = waitpid(self.pid, Some(WaitPidFlag::WNOHANG));
    }
}

/// The helper: ends when nobody reads any more.
fn work(files: &[(usize, PathBuf)], pipe: &OwnedFd) -> u8 {
    let say = |word: u32| nix::unistd::write(pipe, &word.to_ne_bytes());
    for round in 0u32.. {
        let mut sure = true;
        for (number, file) in files {
            let mut found = look(file);
            // The agent may have closed the working copy by its mode.
            if matches!(found, Look::Unknown(Errno::EACCES))
                && file.parent().is_some_and(own::open_up_path)
            {
                found = look(file);
            }
            match found {
                Look::Nothing => {}
                Look::There => {
                    let _gone = say(u32::try_from(*number).unwrap_or(0));
                    return 0;
                }
                Look::Unknown(_) => sure = false,
            }
        }
        // A full pipe is a supervisor that is stopped; it will find enough to read.
        if sure && round.is_multiple_of(BEAT) && say(ALIVE).is_err_and(|e| e != Errno::EAGAIN) {
            return 0;
        }
        std::thread::sleep(EVERY);
    }
    0
}
