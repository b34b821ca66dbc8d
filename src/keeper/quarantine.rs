//! [`Quarantine`]: what was taken away during a session, in its directory. Nothing is ever lost: everything is listed and can
//! be given back. A line of the index is written before its item is moved, so a crash between the two leaves a line
//! without an item, never an item without a line.

#![forbid(unsafe_code)]

use super::files::{self, TreeError};
use crate::plan::OsText;
use crate::record::Timestamp;
use crate::sys::rename::{Taken, renameat2};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

/// Its name in the session's directory.
pub const DIR: &str = "quarantine";
const INDEX: &str = "index.jsonl";
/// The most bytes of an index that are read: some million lines.
const INDEX_MAX: u64 = 256 << 20;

/// Why something was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It was made in the session under a name that runs things or is protected.
    Made,
    /// It was made in the session under a hidden name, and what is written to it would be read in the box.
    Lure,
    /// It is a link of the session under a name that git writes: what git writes would go where it leads.
    Diverts,
    /// It was made in the session under a hidden name, and the box had it open: a copy of it has the name.
    Held,
    /// It was changed; what was there at the start was put back.
    Changed,
    /// It is a copy of a git configuration from which entries were taken.
    Undone,
    /// It was in the way of what a human restored.
    Replaced,
}

impl Why {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Why::Made => "made in the session",
            Why::Lure => "would hand over what is written to it",
            Why::Diverts => "git would write through it",
            Why::Held => "was open in the box",
            Why::Changed => "changed in the session",
            Why::Undone => "entries that run things",
            Why::Replaced => "replaced by a restore",
        }
    }
}

/// One thing in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Item {
    /// Its number, and its name in the quarantine.
    pub n: u32,
    /// Where it was, on the host.
    pub file: OsText,
    /// Why it is here.
    pub why: Why,
    /// When.
    pub at: Timestamp,
    /// It was given back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
}

/// The quarantine of one session.
#[derive(Debug)]
pub struct Quarantine {
    dir: OwnedFd,
    items: Vec<Item>,
    /// The last number that was given.
    last: u32,
}

/// What went wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QuarantineError {
    /// A call on the quarantine itself.
    #[error("the quarantine: {call}: {errno}")]
    Call {
        /// The call.
        call: &'static str,
        /// Why.
        errno: Errno,
    },
    /// The thing could not be moved.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

fn failed(call: &'static str) -> impl Fn(Errno) -> QuarantineError {
    move |errno| QuarantineError::Call { call, errno }
}

impl Quarantine {
    /// Opens the quarantine of the session whose directory this is; `None` if it has none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn find(session: BorrowedFd<'_>) -> Result<Option<Quarantine>, QuarantineError> {
        match openat(session, DIR, files::DIR, Mode::empty()) {
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(failed("open")(errno)),
            Ok(dir) => {
                let items = read_index(dir.as_fd())?;
                // Also by what is there: an index can be cut.
                let there = files::names(dir.as_fd()).map_err(failed("list"))?;
                let there = there.iter().filter_map(|name| name.to_str()?.parse().ok());
                let last = items.iter().map(|item| item.n).chain(there).max();
                Ok(Some(Quarantine {
                    dir,
                    items,
                    last: last.unwrap_or(0),
                }))
            }
        }
    }

    /// Opens it, making it where there is none.
    ///
    /// # Errors
    /// It cannot be made or read.
    pub fn open(session: BorrowedFd<'_>) -> Result<Quarantine, QuarantineError> {
        match mkdirat(session, DIR, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed("mkdir")(errno)),
        }
        Quarantine::find(session)?.ok_or(QuarantineError::Call {
            call: "open",
            errno: Errno::ENOENT,
        })
    }

    /// What is in it, and what was given back.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether the item itself is there.
    #[must_use]
    pub fn holds(&self, item: &Item) -> bool {
        !item.restored && files::exists(self.dir.as_fd(), OsStr::new(&item.n.to_string()))
    }

    /// Moves `name` of `parent` here; `file` is its path.
    ///
    /// # Errors
    /// It stays where it is, at least in part.
    pub fn take(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        file: &Path,
        why: Why,
    ) -> Result<u32, QuarantineError> {
        let n = self.announce(file, why)?;
        files::move_tree(parent, name, self.dir.as_fd(), OsStr::new(&n.to_string()))?;
        Ok(n)
    }

    /// Keeps a copy of these bytes.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&mut self, bytes: &[u8], file: &Path, why: Why) -> Result<u32, QuarantineError> {
        let n = self.announce(file, why)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let copy = openat(
            &self.dir,
            n.to_string().as_str(),
            flags,
            Mode::S_IRUSR | Mode::S_IWUSR,
        )
        .map_err(failed("create"))?;
        File::from(copy)
            .write_all(bytes)
            .map_err(|e| failed("write")(crate::sys::errno_of(&e)))?;
        Ok(n)
    }

    /// Gives an item back. What stands in its place comes here instead, and its number is returned.
    ///
    /// # Errors
    /// It stays here.
    pub fn restore(&mut self, n: u32) -> Result<Option<u32>, QuarantineError> {
        let item = self.items.iter().find(|item| item.n == n && !item.restored);
        let Some(item) = item.cloned() else {
            return Err(failed("restore")(Errno::ENOENT));
        };
        let (parent, name) = (item.file.path().parent(), item.file.path().file_name());
        let (Some(parent), Some(name)) = (parent, name) else {
            return Err(failed("restore")(Errno::EINVAL));
        };
        let root = openat(AT_FDCWD, "/", files::DIR, Mode::empty()).map_err(failed("open /"))?;
        let parent = files::make_path(root.as_fd(), Path::new("/"), parent)?;
        let instead = if files::exists(parent.as_fd(), name) {
            Some(self.take(parent.as_fd(), name, item.file.path(), Why::Replaced)?)
        } else {
            None
        };
        files::move_tree(
            self.dir.as_fd(),
            OsStr::new(&n.to_string()),
            parent.as_fd(),
            name,
        )?;
        let restored = Item {
            restored: true,
            ..item
        };
        self.append(&restored)?;
        for item in &mut self.items {
            if item.n == n {
                item.restored = true;
            }
        }
        Ok(instead)
    }

    fn announce(&mut self, file: &Path, why: Why) -> Result<u32, QuarantineError> {
        let next = self
            .last
            .checked_add(1)
            .ok_or_else(|| failed("number")(Errno::EOVERFLOW))?;
        // Two jobs of one session never run at once; a line whose item never came keeps its number.
        let item = Item {
            n: next,
            file: OsText::from(file.to_owned()),
            why,
            at: Timestamp::now(),
            restored: false,
        };
        self.append(&item)?;
        self.items.push(item);
        self.last = next;
        Ok(next)
    }

    fn append(&self, item: &Item) -> Result<(), QuarantineError> {
        let flags = OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_CREAT
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC;
        let file = openat(&self.dir, INDEX, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(failed("open the index"))?;
        let mut line = serde_json::to_vec(item).map_err(|_| failed("encode")(Errno::EINVAL))?;
        line.push(b'\n');
        File::from(file)
            .write_all(&line)
            .map_err(|e| failed("write the index")(crate::sys::errno_of(&e)))
    }
}

/// Moves within one file system, never over something.
pub(super) fn rename(
    from: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
) -> Result<(), Errno> {
    renameat2(from, Path::new(name), to, Path::new(new), Taken::Keep)
}

fn read_index(dir: BorrowedFd<'_>) -> Result<Vec<Item>, QuarantineError> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(dir, INDEX, flags, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(Vec::new()),
        other => other.map_err(failed("open the index"))?,
    };
    let mut text = Vec::new();
    File::from(file)
        .take(INDEX_MAX)
        .read_to_end(&mut text)
        .map_err(|e| failed("read the index")(crate::sys::errno_of(&e)))?;
    let mut items: Vec<Item> = Vec::new();
    let mut known = HashMap::new();
    // A line that a crash cut off is none.
    for item in text
        .split(|b| *b == b'\n')
        .filter_map(|line| serde_json::from_slice::<Item>(line).ok())
    {
        let at = *known.entry(item.n).or_insert(items.len());
        match items.get_mut(at) {
            Some(known) => *known = item,
            None => items.push(item),
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn opened(what: &str) -> (std::path::PathBuf, OwnedFd) {
        let name = format!("agentbox-quarantine-{what}-{}", std::process::id());
        let top = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&top);
        fs::create_dir_all(&top).unwrap();
        let dir = openat(AT_FDCWD, top.as_path(), files::DIR, Mode::empty()).unwrap();
        (top, dir)
    }

    #[test]
    fn a_number_that_is_taken_is_not_given_again_where_the_index_is_cut() {
        let (top, dir) = opened("cut");
        for _ in 0..3 {
            fs::write(top.join("evil"), "evil").unwrap();
            let mut quarantine = Quarantine::open(dir.as_fd()).unwrap();
            quarantine
                .take(
                    dir.as_fd(),
                    OsStr::new("evil"),
                    &top.join("evil"),
                    Why::Made,
                )
                .unwrap();
        }
        fs::write(top.join(DIR).join(INDEX), "").unwrap();
        fs::write(top.join("evil"), "evil").unwrap();
        let mut quarantine = Quarantine::open(dir.as_fd()).unwrap();
        let file = top.join("evil");
        let n = quarantine.take(dir.as_fd(), OsStr::new("evil"), &file, Why::Made);
        assert_eq!(n.ok(), Some(4));
        assert!(!file.exists());
        fs::remove_dir_all(&top).unwrap();
    }
}
