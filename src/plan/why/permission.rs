//! What Landlock, the kernel's own files and the files' permissions let the agent do.

#![forbid(unsafe_code)]

use super::decide::Asker;
use super::place::{Hosts, Node, Seen};
use super::{Answer, Side, Verdict, no, remedy};
use crate::host::Want;
use crate::plan::rung::Rung;
use crate::plan::{IdentityMode, LandlockAccess, OsText};
use std::ffi::OsString;
use std::path::Path;

/// What is mounted over such names: `enforce` makes them.
const MASKS: &str = "/run/agentbox/masks";
const EMPTY_FILE: &str = "/run/agentbox/masks/file";
const SHUT_FILE: &str = "/run/agentbox/masks/refused";
const SHUT_DIR: &str = "/run/agentbox/masks/refused.d";

impl Asker<'_> {
    /// Does a rule at the path or above allow this? Landlock joins the rules of the whole way.
    pub(super) fn landlock(&self, path: &Path, needs: LandlockAccess) -> bool {
        let off = self.plan.standing.rung == Rung::Nested
            || (self.plan.off.iter()).any(|off| off.layer == crate::outcome::Layer::Landlock);
        off || self
            .plan
            .landlock
            .iter()
            .any(|rule| rule.access >= needs && path.starts_with(rule.path.path()))
    }

    pub(super) fn searchable(&self, node: &Node<'_>, source: &Path) -> bool {
        match node {
            Node::Host(hosts) => self.permits(hosts, source, Want::Search),
            _ => true,
        }
    }

    /// Of the kernel's own files: those of the box's processes and devices, by their modes; settings of the machine never.
    pub(super) fn kernel_lets(&self, path: &Path) -> bool {
        if self.side == Side::Inside {
            return self.look.permits(path, Want::Write);
        }
        let settings = ["/proc/sys", "/sys"]
            .iter()
            .any(|dir| path.starts_with(dir));
        let writable = self
            .look
            .stat(path)
            .is_some_and(|stat| stat.mode & 0o222 != 0);
        // Right below /proc are files of the machine, which are root's.
        let machine = path.parent() == Some(Path::new("/proc"));
        writable && !settings && !machine
    }

    /// The files' own permissions. Who is the caller itself asks the kernel, which knows groups and lists; a root caller's
    /// agent is somebody else, whose rights are read off the permission bits.
    pub(super) fn permits(&self, hosts: &Hosts, source: &Path, want: Want) -> bool {
        let id = &self.plan.identity;
        if self.side == Side::Inside || id.mode == IdentityMode::Same {
            return self.look.permits(source, want);
        }
        let stat = &hosts.stat;
        let mapped = |outside: u32, agent: u32| {
            // An id-mapped mount shows root's files as the agent's and everybody else's as nobody's.
            if hosts.idmap {
                outside == 0
            } else {
                outside == agent
            }
        };
        let bit = match want {
            Want::Read => 4,
            Want::Write => 2,
            Want::Search => 1,
        };
        let shift = if mapped(stat.uid, id.outer_uid) {
            6
        } else if mapped(stat.gid, id.outer_gid) {
            3
        } else {
            0
        };
        stat.mode >> shift & bit != 0
    }
}

impl Asker<'_> {
    /// Was it covered while the box ran, so that nobody can open it? The plan knows nothing of that.
    pub(super) fn is_shut(&self, path: &Path) -> bool {
        let same = |mask: &str| {
            let (mask, there) = (self.look.stat(Path::new(mask)), self.look.stat(path));
            mask.zip(there)
                .is_some_and(|(mask, there)| (mask.dev, mask.ino) == (there.dev, there.ino))
        };
        self.side == Side::Inside && [SHUT_FILE, SHUT_DIR].into_iter().any(same)
    }

    /// Does a copy lie over it since the box runs: git's configuration that came to hold a credential?
    pub(super) fn is_later_copy(&self, path: &Path) -> bool {
        let stat = |path: &str| self.look.stat(Path::new(path));
        let (masks, empty) = (stat(MASKS), stat(EMPTY_FILE));
        let there = self.look.stat(path);
        let own = masks.zip(there).is_some_and(|(masks, there)| {
            masks.dev == there.dev && empty.is_none_or(|empty| empty.ino != there.ino)
        });
        self.side == Side::Inside && own
    }

    /// A hidden name that appeared in the session. `--read` is for what is there at the start.
    pub(super) fn appeared(&self, seen: &Seen<'_>) -> Answer {
        let mut lifting = OsString::from("!");
        lifting.push(&*seen.path);
        let remedy = || remedy("--hide", "files", "hide", &OsText::from(lifting));
        no(
            &*seen.path,
            "it is a hidden name that appeared in the session: nothing in the box can open it, since it may be the human's; other \
             names and /tmp are free",
            None,
            (!self.plan.names.floor_hides()).then(remedy),
        )
        .which(Verdict::Hidden)
    }
}

pub(super) fn permissions(hosts: &Hosts) -> String {
    let stat = &hosts.stat;
    format!(
        "its own permissions: mode {:04o}, owner {}, group {}",
        stat.mode, stat.uid, stat.gid
    )
}
