//! One write-back of one state file, in a forked child: it takes the lock, reads the host's file, has both merged by a
//! second child that is confined before it looks at a byte of the box, and replaces the host's file. The supervisor only
//! waits for a pipe, so that the kill path never waits for a lock or for hostile JSON.

#![forbid(unsafe_code)]

use crate::enforce::cell::{self, wait_readable};
use crate::supervise::hostfile::{HostFile, HostFileError, MAX};
use crate::supervise::merge::{MergeError, merge};
use crate::supervise::never::{Holds, travels_not};
use crate::sys::job::{self, Stdio};
use crate::sys::process;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long the confined child may take.
const MERGE_TIME: Duration = Duration::from_secs(2);
/// The most bytes of its answer: both files, indented anew.
const ANSWER_MAX: u64 = 4 * MAX;
/// What is to be written back.
#[derive(Debug)]
pub struct Job {
    /// The host's path.
    pub file: PathBuf,
    /// The box's copy when it was last in step.
    pub base: Option<Vec<u8>>,
    /// The box's copy now: hostile.
    pub boxed: Vec<u8>,
    /// How long to wait for the program's lock.
    pub patience: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The host's file was replaced.
    Written {
        /// Names of the never-list that the box had changed.
        withheld: Vec<String>,
    },
    /// The host's file has everything already.
    Unchanged {
        /// Names of the never-list that the box had changed.
        withheld: Vec<String>,
    },
    /// The host's file was left as it is.
    Kept {
        /// Why.
        why: String,
        /// Whether another try may end otherwise.
        again: Again,
    },
}

/// Whether another try may end otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Again {
    /// By itself, soon: somebody held the lock.
    Soon,
    /// When the box writes its file again: it was half written, or is not JSON.
    BoxWrites,
    /// Only if something changes on the host.
    HostChanges,
}

/// A job that runs.
#[derive(Debug)]
pub struct Running {
    pid: Pid,
    pipe: OwnedFd,
    answer: Vec<u8>,
    deadline: Instant,
}

/// Starts a job.
///
/// # Errors
/// No pipe or no process can be had.
pub fn start(job: Job) -> io::Result<Running> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let deadline = Instant::now() + job.patience * 2 + MERGE_TIME + Duration::from_secs(3);
    let pid = job::fork(write, Stdio::Keep, move |pipe| {
        let report = run(&job);
        match serde_json::to_vec(&report) {
            // A report is far smaller than a pipe, so that O_NONBLOCK does not cut it.
            Ok(text) => u8::from(File::from(pipe).write_all(&text).is_err()),
            Err(_) => 1,
        }
    })?;
    Ok(Running {
        pid,
        pipe: read,
        answer: Vec::new(),
        deadline,
    })
}

impl Running {
    /// When it is given up.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What came of it; `None` while it still runs. Never waits.
    pub fn try_end(&mut self) -> Option<Report> {
        let mut buffer = [0u8; 4096];
        loop {
            match nix::unistd::read(&self.pipe, &mut buffer) {
                Ok(0) => return Some(self.reap()),
                Ok(n) => {
                    if self.answer.len() > 65_536 {
                        return Some(self.give_up("it answered too much"));
                    }
                    self.answer
                        .extend_from_slice(buffer.get(..n).unwrap_or_default());
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

    /// Waits for its end, at most until its deadline.
    pub fn end(mut self) -> Report {
        loop {
            if let Some(report) = self.try_end() {
                return report;
            }
            wait_readable(self.pipe.as_fd(), self.deadline);
        }
    }

    fn reap(&mut self) -> Report {
        match waitpid(self.pid, None) {
            Ok(WaitStatus::Exited(_, 0)) | Err(Errno::ECHILD) => {}
            other => {
                return broken(&format!(
                    "the writing process ended unexpectedly ({other:?})"
                ));
            }
        }
        serde_json::from_slice(&self.answer)
            .unwrap_or_else(|_| broken("the writing process did not say what it did"))
    }

    fn give_up(&mut self, why: &str) -> Report {
        // The lock it may hold is stale in ten seconds, and known to be by everybody who uses it.
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = process::reap_killed(self.pid);
        broken(&format!("the writing process was ended: {why}"))
    }
}

impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn broken(why: &str) -> Report {
    Report::Kept {
        why: why.to_owned(),
        again: Again::BoxWrites,
    }
}

/// The whole job, in its own process.
fn run(job: &Job) -> Report {
    match try_run(job) {
        Ok(report) => report,
        Err(error) => Report::Kept {
            again: match error {
                HostFileError::Busy { .. } => Again::Soon,
                _ => Again::HostChanges,
            },
            why: error.to_string(),
        },
    }
}

fn try_run(job: &Job) -> Result<Report, HostFileError> {
    let file = HostFile::find_or_make_room(&job.file)?;
    let _locks = file.lock(job.patience)?;
    let host = file.read()?;
    let bytes = host.as_ref().map(|content| content.bytes.as_slice());
    let holds = Holds::of(&job.file);
    let answer = match confined(job.base.as_deref(), &job.boxed, bytes, holds) {
        Ok(answer) => answer,
        Err(why) => {
            return Ok(Report::Kept {
                why,
                again: Again::BoxWrites,
            });
        }
    };
    if let Some(why) = answer.head.host {
        return Ok(Report::Kept {
            why,
            again: Again::HostChanges,
        });
    }
    if let Some(why) = answer.head.boxed {
        return Ok(Report::Kept {
            why,
            again: Again::BoxWrites,
        });
    }
    // Words of the list only: the answer comes from a process that read hostile bytes.
    let withheld = answer
        .head
        .withheld
        .iter()
        .filter_map(|name| travels_not(name.as_bytes(), holds));
    let withheld = withheld.map(str::to_owned).collect();
    match answer.text {
        // A file that no session could read again.
        Some(text) if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX => Ok(Report::Kept {
            why: "the merged file would be larger than 16 MiB".to_owned(),
            again: Again::BoxWrites,
        }),
        Some(text) => {
            file.replace(&text, host.as_ref())?;
            Ok(Report::Written { withheld })
        }
        None => Ok(Report::Unchanged { withheld }),
    }
}

/// The first line of the confined child's answer; the new text follows it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    /// A text follows.
    text: bool,
    withheld: Vec<String>,
    /// What is wrong with the box's file.
    boxed: Option<String>,
    /// What is wrong with the host's file.
    host: Option<String>,
}

struct Answer {
    head: Head,
    text: Option<Vec<u8>>,
}

/// Merges in a child that can do nothing but compute and write its answer.
fn confined(
    base: Option<&[u8]>,
    boxed: &[u8],
    host: Option<&[u8]>,
    holds: Holds,
) -> Result<Answer, String> {
    let bytes = in_confinement(|| {
        let (head, text) = merged(base, boxed, host, holds);
        let mut out = serde_json::to_vec(&head).unwrap_or_default();
        out.push(b'\n');
        out.extend_from_slice(text.unwrap_or_default().as_bytes());
        out
    })?;
    let line = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .filter(|at| *at < 65_536);
    let head = line
        .and_then(|at| bytes.get(..at))
        .and_then(|line| serde_json::from_slice::<Head>(line).ok());
    let (Some(at), Some(head)) = (line, head) else {
        return Err("the merging process gave no answer that can be read".to_owned());
    };
    let text = head
        .text
        .then(|| bytes.get(at + 1..).unwrap_or_default().to_vec());
    Ok(Answer { head, text })
}

fn merged(
    base: Option<&[u8]>,
    boxed: &[u8],
    host: Option<&[u8]>,
    holds: Holds,
) -> (Head, Option<String>) {
    let mut head = Head::default();
    let Ok(boxed) = std::str::from_utf8(boxed) else {
        head.boxed = Some("the box's copy is not UTF-8".to_owned());
        return (head, None);
    };
    let Ok(host) = host.map(std::str::from_utf8).transpose() else {
        head.host = Some("the host's file is not UTF-8".to_owned());
        return (head, None);
    };
    match merge(
        base.and_then(|base| std::str::from_utf8(base).ok()),
        boxed,
        host,
        holds,
    ) {
        Ok(merged) => {
            head.withheld = merged.withheld.into_iter().map(str::to_owned).collect();
            head.text = merged.text.is_some();
            (head, merged.text)
        }
        Err(error) => {
            match error {
                MergeError::Box(_) | MergeError::BoxKind => head.boxed = Some(error.to_string()),
                MergeError::Host(_) | MergeError::HostKind => head.host = Some(error.to_string()),
            }
            (head, None)
        }
    }
}

/// Runs `work` in a confined child and returns its bytes.
fn in_confinement(work: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, String> {
    let bounds = cell::Bounds {
        who: "the merging process",
        time: MERGE_TIME,
        answer: ANSWER_MAX,
    };
    cell::compute(bounds, work)
}

#[cfg(test)]
#[path = "syncjob_tests.rs"]
mod tests;
