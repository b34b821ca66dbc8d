//! What could not be settled when a session ended, and when that was. It is tried again by whoever comes next; but the user has
//! gone on working meanwhile, and what he has made since is not the session's: its processes were dead by then.

#![forbid(unsafe_code)]

use super::{Did, Settler};
use crate::keeper::files;
use crate::keeper::objects::Moment;
use crate::plan::OsText;
use crate::plan::names::NameKind;
use crate::record::Timestamp;
use crate::sys::mount;
use nix::errno::Errno;
use nix::sys::stat::{SFlag, lstat};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

/// Its name in the session's directory.
const FILE: &str = "rest";
const MOST: u64 = 16 << 20;

/// What is left of a session that was looked at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Rest {
    /// When it was first looked at to its end. No call sets a ctime: what changed after that is somebody else's work.
    until: Moment,
    /// What could not be settled.
    failed: Vec<OsText>,
}

impl Rest {
    pub(super) fn read(session: BorrowedFd<'_>) -> Option<Rest> {
        let (text, _) = files::read_most(session, OsStr::new(FILE), MOST).ok()??;
        serde_json::from_slice(&text).ok()
    }
}

/// Was the session of that directory looked at to its end before?
#[must_use]
pub fn was_looked_at(session: BorrowedFd<'_>) -> bool {
    Rest::read(session).is_some()
}

impl Settler<'_> {
    /// Writes down what is left, for the next one. Where that cannot be, all of it is looked at again.
    pub(super) fn leave_rest(&self) {
        let failed = self.acts.iter();
        let failed: Vec<OsText> = failed
            .filter(|act| matches!(act.did, Did::Failed { .. }))
            .map(|act| act.file.clone())
            .collect();
        if failed.is_empty() {
            return;
        }
        let now = Timestamp::now().millis();
        let until = self.rest.as_ref().map_or(
            (
                i64::try_from(now / 1000).unwrap_or(0),
                i64::try_from(now % 1000).unwrap_or(0) * 1_000_000,
            ),
            |rest| rest.until,
        );
        if let Ok(text) = serde_json::to_vec(&Rest { until, failed }) {
            let _ = files::write(self.session, OsStr::new(FILE), &text, 0o600);
        }
    }

    /// Is a name as somebody made it after the session was looked at?
    pub(super) fn is_later(&self, file: &Path) -> bool {
        let Some(rest) = &self.rest else { return false };
        if rest.failed.iter().any(|left| file.starts_with(left.path())) {
            return false;
        }
        match lstat(file) {
            // What is in it has times of its own.
            Ok(stat) if files::is(&stat, SFlag::S_IFDIR) => {
                self.kinds.of(file) != Some(NameKind::Track) && later(rest, &stat)
            }
            Ok(stat) => later(rest, &stat),
            // It was there, or was put back.
            Err(errno) => matches!(errno, Errno::ENOENT | Errno::ENOTDIR),
        }
    }

    /// Was a git directory born after that?
    pub(super) fn is_born_later(&self, dir: &Path) -> bool {
        let Some(rest) = &self.rest else { return false };
        let birth =
            files::open_path(self.root.as_fd(), dir).and_then(|dir| mount::birth(dir.as_fd()));
        birth.ok().flatten().is_some_and(|at| at > rest.until)
    }
}

fn later(rest: &Rest, stat: &nix::sys::stat::FileStat) -> bool {
    (stat.st_ctime, stat.st_ctime_nsec) > rest.until
}
