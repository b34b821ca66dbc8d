//! At the end of a session: symlinks that the box made in an agent's own directories (sessions, histories) and that lead out
//! of them. They mean nothing in the box, where their ends do not exist; outside the agent's program writes its files there,
//! and would write a text that the box chose over whatever such a link names. FIFOs and sockets, too: whoever opens one hangs.
//!
//! Not in the working copy, nor in what a human granted: links are part of the work there.

#![forbid(unsafe_code)]

use crate::plan::{Access, GrantKind, MountOp, OsText, Plan};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// Directories deeper than this are not looked at: each level holds a descriptor.
const DEPTH: usize = 64;

const DIR: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// Where to look: what built-in profiles let the box write, without the working copy.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Places {
    roots: Vec<PathBuf>,
    /// What the box saw something else of.
    apart: HashSet<PathBuf>,
}

impl Places {
    /// Of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Places {
        let built_in = |target: &OsText| {
            plan.grants.iter().any(|grant| {
                grant.path == *target && grant.kind == GrantKind::Write && grant.is_built_in()
            })
        };
        let workspace = plan.workspace.real.path();
        let roots = plan.view.ops.iter().filter_map(|op| match op {
            MountOp::Bind {
                source,
                target,
                access: Access::Write,
                ..
            } if source.path() != workspace && built_in(target) => Some(source.path().to_owned()),
            _ => None,
        });
        Places {
            roots: roots.collect(),
            apart: plan
                .view
                .ops
                .iter()
                .map(|op| op.target().to_owned())
                .collect(),
        }
    }
}

/// Removes them, and says which. `since` is the start of the session by the inodes' clock (seconds and nanoseconds): what was
/// there before is the human's. After the box is dead, by descriptors, never through a symlink.
#[must_use]
pub fn remove(
    places: &Places,
    since: (i64, i64),
    patience: Duration,
) -> Vec<(OsText, Result<(), Errno>)> {
    let mut walk = Walk {
        places,
        since,
        until: Instant::now() + patience,
        removed: Vec::new(),
    };
    for root in &places.roots {
        if let Ok(dir) = open(root, DIR, Mode::empty()) {
            walk.directory(&dir, root, Path::new(""), 0);
        }
    }
    walk.removed
}

struct Walk<'a> {
    places: &'a Places,
    since: (i64, i64),
    until: Instant,
    removed: Vec<(OsText, Result<(), Errno>)>,
}

impl Walk<'_> {
    fn directory(&mut self, dir: &OwnedFd, root: &Path, below: &Path, depth: usize) {
        if depth == DEPTH || Instant::now() >= self.until {
            return;
        }
        let Ok(mut listing) = Dir::openat(dir, ".", DIR, Mode::empty()) else {
            return;
        };
        let entries: Vec<_> = listing.iter().flatten().collect();
        drop(listing);
        for entry in entries {
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let here = below.join(name);
            match entry.file_type() {
                Some(Type::Directory) => {
                    if !self.places.apart.contains(&root.join(&here))
                        && let Ok(child) = openat(dir, name, DIR, Mode::empty())
                    {
                        self.directory(&child, root, &here, depth + 1);
                    }
                }
                Some(Type::Symlink) => {
                    let leads = |target: OsString| leads_out(root, depth, Path::new(&target));
                    if readlinkat(dir, name).is_ok_and(leads) {
                        self.take(dir, name, &root.join(&here));
                    }
                }
                Some(Type::Fifo | Type::Socket) => self.take(dir, name, &root.join(&here)),
                _ => {}
            }
        }
    }

    /// Removes it, if it is of this session.
    fn take(&mut self, dir: &OwnedFd, name: &OsStr, path: &Path) {
        let new = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| (stat.st_ctime, stat.st_ctime_nsec) >= self.since);
        if new {
            let gone = unlinkat(dir, name, UnlinkatFlags::NoRemoveDir);
            self.removed.push((OsText::from(path), gone));
        }
    }
}

/// Does a link that is `depth` directories below `root` lead out of it?
fn leads_out(root: &Path, depth: usize, target: &Path) -> bool {
    if target.is_absolute() {
        return !target.starts_with(root)
            || target.components().any(|part| part == Component::ParentDir);
    }
    let mut at = depth;
    for part in target.components() {
        match part {
            Component::ParentDir => match at.checked_sub(1) {
                Some(up) => at = up,
                None => return true,
            },
            Component::Normal(_) => at += 1,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_out() {
        let root = Path::new("/home/a/.claude/projects");
        for (depth, target, out) in [
            (0, "/home/a/.bashrc", true),
            (0, "/home/a/.claude/projects/x", false),
            (0, "/home/a/.claude/projects/../settings.json", true),
            (0, "/home/a/.claude/projects2", true),
            (0, "x", false),
            (0, "..", true),
            (1, "..", false),
            (1, "../x/../../y", true),
            (2, "../../x", false),
            (2, "../../../x", true),
            (1, "x/../..", false),
            (1, "x/../../..", true),
        ] {
            assert_eq!(
                leads_out(root, depth, Path::new(target)),
                out,
                "{depth} {target}"
            );
        }
    }
}
