//! A [`Job`]: one settling of files in a forked child, so that the supervisor, which is the kill path, never waits for a disk or
//! for the agent's bytes.

#![forbid(unsafe_code)]

use super::baseline::Baseline;
use super::files;
use super::settle::{Act, Scope, Settler};
use crate::enforce::cell::wait_readable;
use crate::plan::names::Names;
use crate::sys::job::{self, Stdio};
use crate::sys::process;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a job may take.
const TIME: Duration = Duration::from_secs(60);
/// The most bytes of its report.
const REPORT: usize = 16 << 20;

/// A job that runs.
#[derive(Debug)]
pub struct Job {
    pid: Pid,
    pipe: OwnedFd,
    answer: Vec<u8>,
    deadline: Instant,
}

impl Job {
    /// Starts settling files of the session in that directory.
    ///
    /// # Errors
    /// No pipe or no process can be had.
    pub fn start(
        names: &Names,
        baseline: &Baseline,
        session: &Path,
        scope: &Scope,
    ) -> io::Result<Job> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let pid = job::fork(write, Stdio::Keep, |pipe| {
            let Ok(text) = run(names, baseline, session, scope) else {
                return 1;
            };
            write_all(pipe, &text)
        })?;
        Ok(Job {
            pid,
            pipe: read,
            answer: Vec::new(),
            deadline: Instant::now() + TIME,
        })
    }

    /// When it is given up.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What was done; `None` while it still runs. Never waits.
    pub fn try_end(&mut self) -> Option<Result<Vec<Act>, String>> {
        let mut buffer = [0u8; 4096];
        loop {
            match nix::unistd::read(&self.pipe, &mut buffer) {
                Ok(0) => return Some(self.reap()),
                Ok(n) => {
                    self.answer
                        .extend_from_slice(buffer.get(..n).unwrap_or_default());
                    if self.answer.len() > REPORT {
                        return Some(self.give_up("it answered too much"));
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if Instant::now() >= self.deadline => {
                    return Some(self.give_up("it took too long"));
                }
                Err(Errno::EAGAIN) => return None,
                Err(errno) => return Some(self.give_up(errno.desc())),
            }
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Why it did not do all of its work.
    pub fn end(mut self) -> Result<Vec<Act>, String> {
        loop {
            if let Some(report) = self.try_end() {
                return report;
            }
            wait_readable(self.pipe.as_fd(), self.deadline);
        }
    }

    fn reap(&mut self) -> Result<Vec<Act>, String> {
        match waitpid(self.pid, None) {
            Ok(WaitStatus::Exited(_, 0)) => serde_json::from_slice(&self.answer)
                .map_err(|_| "the process that settles files did not say what it did".to_owned()),
            other => Err(format!("the process that settles files failed ({other:?})")),
        }
    }

    fn give_up(&mut self, why: &str) -> Result<Vec<Act>, String> {
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = process::reap_killed(self.pid);
        Err(format!("the process that settles files was ended: {why}"))
    }
}

impl AsFd for Job {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn run(
    names: &Names,
    baseline: &Baseline,
    session: &Path,
    scope: &Scope,
) -> Result<Vec<u8>, Errno> {
    let session = open(session, files::DIR, Mode::empty())?;
    let acts = Settler::new(names, baseline, session.as_fd())?.settle(scope);
    serde_json::to_vec(&acts).map_err(|_| Errno::EINVAL)
}

/// The pipe does not block for the sake of its reader, so a long report waits for room here.
fn write_all(pipe: OwnedFd, text: &[u8]) -> u8 {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut file = File::from(pipe);
    let mut rest = text;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let mut set = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut set, PollTimeout::NONE);
            }
            Err(_) => return 1,
        }
    }
    0
}
