//! At the end of a session: symlinks that the box made in an agent's own directories (sessions, histories) and that lead out
//! of them. They mean nothing in the box, where their ends do not exist; outside the agent's program writes its files there,
//! and would write a text that the box chose over whatever such a link names. FIFOs and sockets, too: whoever opens one hangs.
//!
//! Not in the working copy, nor in what a human granted: links are part of the work there.

#![forbid(unsafe_code)]

use crate::plan::{Access, GrantKind, MountOp, OsText, Plan};
use crate::sys::unlock::widen;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// Directories deeper than this are not looked at, which is said: each level holds a descriptor.
const DEPTH: usize = 384;

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
        let granted: HashSet<PathBuf> = (plan.grants.iter())
            .filter(|grant| grant.kind == GrantKind::Write && grant.is_built_in())
            .map(|grant| through_links(plan, grant.path.path()))
            .collect();
        let workspace = plan.workspace.real.path();
        let roots = plan.view.ops.iter().filter_map(|op| match op {
            MountOp::Bind {
                source,
                target,
                access: Access::Write,
                ..
            } if source.path() != workspace && granted.contains(target.path()) => {
                Some(source.path().to_owned())
            }
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

/// Where a name of the box leads by the links of its view: a grant can lie behind one (`~/.claude` of a repository of dotfiles,
/// a place of the box's own), and then it is mounted there.
fn through_links(plan: &Plan, path: &Path) -> PathBuf {
    let mut at = path.to_owned();
    // As many as the kernel follows (path_resolution(7)).
    for _ in 0..40 {
        let next = plan.view.ops.iter().find_map(|op| match op {
            MountOp::Symlink { target, to } => {
                let rest = at.strip_prefix(target.path()).ok()?;
                let leads = target.path().parent()?.join(to.path());
                Some(plain(&leads.join(rest)))
            }
            _ => None,
        });
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    at
}

/// Without `.` and `..`, by words: what is above a link of the view is a directory.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Left {
    /// What was removed, or why it could not be.
    pub removed: Vec<(OsText, Result<(), Errno>)>,
    /// The first directory that was not looked at, and why.
    pub unseen: Option<(OsText, String)>,
}

/// Removes them, and says which. `since` is the start of the session by the inodes' clock (seconds and nanoseconds): what was
/// there before is the human's. After the box is dead, by descriptors, never through a symlink.
#[must_use]
pub fn remove(places: &Places, since: (i64, i64), patience: Duration) -> Left {
    let mut walk = Walk {
        places,
        since,
        until: Instant::now() + patience,
        left: Left::default(),
    };
    for root in &places.roots {
        match open(root, DIR, Mode::empty()) {
            Ok(dir) => walk.directory(&dir, root, Path::new(""), 0),
            // It was never made, or is a file.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(errno) => walk.unseen(root, errno.desc()),
        }
    }
    walk.left
}

struct Walk<'a> {
    places: &'a Places,
    since: (i64, i64),
    until: Instant,
    left: Left,
}

impl Walk<'_> {
    fn unseen(&mut self, dir: &Path, why: &str) {
        self.left
            .unseen
            .get_or_insert_with(|| (OsText::from(dir), why.to_owned()));
    }

    /// Looks into a directory, whatever mode the box gave it: it is the user's.
    fn below(&mut self, dir: &OwnedFd, name: &OsStr, root: &Path, here: &Path, depth: usize) {
        // One that may be listed and not searched opens, and nothing in it does.
        let searched = |child: OwnedFd| openat(&child, ".", DIR, Mode::empty()).map(|_| child);
        let opened = || openat(dir, name, DIR, Mode::empty()).and_then(searched);
        let mut widened = None;
        let mut child = opened();
        if matches!(child, Err(Errno::EACCES)) {
            widened = widen(dir.as_fd(), name).ok().flatten();
            child = opened();
        }
        match child {
            Ok(child) => self.directory(&child, root, here, depth),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(errno) => self.unseen(&root.join(here), errno.desc()),
        }
        if let Some(widened) = widened {
            widened.narrow();
        }
    }

    fn directory(&mut self, dir: &OwnedFd, root: &Path, below: &Path, depth: usize) {
        if depth == DEPTH {
            return self.unseen(&root.join(below), "it is too deep");
        }
        if Instant::now() >= self.until {
            return self.unseen(&root.join(below), "it took too long");
        }
        let mut listing = match Dir::openat(dir, ".", DIR, Mode::empty()) {
            Ok(listing) => listing,
            // One that may be listed and not searched.
            Err(errno) => return self.unseen(&root.join(below), errno.desc()),
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
                Some(Type::Directory) if self.places.apart.contains(&root.join(&here)) => {}
                Some(Type::Directory) => self.below(dir, name, root, &here, depth + 1),
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
            let unlink = || unlinkat(dir, name, UnlinkatFlags::NoRemoveDir);
            let mut gone = unlink();
            if gone == Err(Errno::EACCES)
                && let Ok(Some(widened)) = widen(dir.as_fd(), OsStr::new("."))
            {
                gone = unlink();
                widened.narrow();
            }
            self.left.removed.push((OsText::from(path), gone));
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Not root, who needs no modes: as whom tests of the real binary go the same ways.
    #[test]
    fn modes_and_depth_keep_no_link_from_being_removed_or_said() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt as _;
        let top = std::env::temp_dir().join(format!("agentbox-leavings-{}", std::process::id()));
        let _ = fs::remove_dir_all(&top);
        for (dir, mode) in [
            ("listed", 0o444),
            ("fixed", 0o555),
            ("blind", 0o311),
            ("shut", 0),
        ] {
            fs::create_dir_all(top.join(dir)).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", top.join(dir).join("x")).unwrap();
            std::os::unix::fs::symlink("y", top.join(dir).join("twin")).unwrap();
            fs::set_permissions(top.join(dir), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir_all(top.join("d/".repeat(DEPTH - 1))).unwrap();
        let places = Places {
            roots: vec![top.clone()],
            apart: HashSet::new(),
        };
        let left = remove(&places, (0, 0), Duration::from_secs(9));
        assert!(left.unseen.is_none(), "{left:?}");
        assert_eq!(left.removed.len(), 4, "{left:?}");
        assert!(
            left.removed.iter().all(|(_, gone)| gone.is_ok()),
            "{left:?}"
        );
        for (dir, mode) in [
            ("listed", 0o444),
            ("fixed", 0o555),
            ("blind", 0o311),
            ("shut", 0),
        ] {
            let now = fs::metadata(top.join(dir)).unwrap().permissions().mode();
            assert_eq!(now & 0o777, mode, "{dir} has its mode again");
            fs::set_permissions(top.join(dir), fs::Permissions::from_mode(0o755)).unwrap();
            assert!(
                fs::symlink_metadata(top.join(dir).join("twin")).is_ok(),
                "{dir}"
            );
        }
        fs::create_dir_all(top.join("d/".repeat(DEPTH))).unwrap();
        let left = remove(&places, (0, 0), Duration::from_secs(9));
        assert!(left.unseen.is_some(), "{left:?}");
        fs::remove_dir_all(&top).unwrap();
    }

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
