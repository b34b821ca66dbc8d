//! [`Home`]: the working copy, wherever it is. Who renames it while the box runs (`mv shop store`, or a directory above it) takes it
//! with all that the box writes, and what is settled by its old name finds nothing there: hooks and git's configuration stayed as
//! the box had made them, and an empty `.git` was made in the old place.

#![forbid(unsafe_code)]

use crate::plan::{OsText, Plan};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat, lstat};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// The working copy of a session.
pub(super) struct Home {
    /// Where it was at the start, as the keeper goes on saying.
    first: PathBuf,
    /// Where it was when it was last looked for.
    path: PathBuf,
    dir: OwnedFd,
}

impl Home {
    /// Takes hold of it.
    pub(super) fn of(plan: &Plan) -> Option<Home> {
        let path = plan.workspace.real.path().to_owned();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let dir = open(&path, flags, Mode::empty()).ok()?;
        Some(Home {
            first: path.clone(),
            path,
            dir,
        })
    }

    /// Where it is now, if that is another place. What was removed is nowhere.
    pub(super) fn moved(&self) -> Option<PathBuf> {
        let own = fstat(&self.dir).ok()?;
        let is_own = |path: &PathBuf| {
            lstat(path).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (own.st_dev, own.st_ino))
        };
        if is_own(&self.path) {
            return None;
        }
        let now = std::fs::read_link(format!("/proc/self/fd/{}", self.dir.as_raw_fd())).ok()?;
        is_own(&now).then_some(now)
    }

    /// It was found there, and everything follows it.
    pub(super) fn is_at(&mut self, now: PathBuf) {
        self.path = now;
    }

    /// Was it somewhere else at the start?
    pub(super) fn has_moved(&self) -> bool {
        self.path != self.first
    }

    /// Where a file is now that had this name at the start.
    pub(super) fn place(&self, file: &Path) -> PathBuf {
        match file.strip_prefix(&self.first) {
            Ok(below) if below.as_os_str().is_empty() => self.path.clone(),
            Ok(below) => self.path.join(below),
            Err(_) => file.to_owned(),
        }
    }

    /// The same with every path below the working copy as it is now. `None` where it cannot be said so.
    pub(super) fn followed<T: Serialize + DeserializeOwned>(
        &self,
        now: &Path,
        value: &T,
    ) -> Option<T> {
        let text = |path: &Path| match serde_json::to_value(OsText::from(path)) {
            Ok(Value::String(text)) => Some(text),
            _ => None,
        };
        let (from, to) = (text(&self.path)?, text(now)?);
        let mut json = serde_json::to_value(value).ok()?;
        follow(&mut json, &from, &to);
        serde_json::from_value(json).ok()
    }
}

/// Puts `to` in the place of `from` at the beginning of every path.
fn follow(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) => {
            let rest = text.strip_prefix(from);
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
                *text = format!("{to}{rest}");
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| follow(v, from, to)),
        Value::Object(map) => map.values_mut().for_each(|v| follow(v, from, to)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::follow;
    use serde_json::json;

    #[test]
    fn paths_below_it_follow_and_others_stay() {
        let mut all = json!({"a": ["/w/shop", "/w/shop/.git/**/x", "/w/shops", "x/w/shop"], "/w/shop": 1, "n": null});
        follow(&mut all, "/w/shop", "/w/store");
        assert_eq!(
            all,
            json!({"a": ["/w/store", "/w/store/.git/**/x", "/w/shops", "x/w/shop"], "/w/shop": 1, "n": null})
        );
    }
}
