//! What Landlock, the kernel's own files and the files' permissions let the agent do.

#![forbid(unsafe_code)]

use super::Side;
use super::decide::Asker;
use super::place::{Hosts, Node};
use crate::host::Want;
use crate::plan::rung::Rung;
use crate::plan::{IdentityMode, LandlockAccess};
use std::path::Path;

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

pub(super) fn permissions(hosts: &Hosts) -> String {
    let stat = &hosts.stat;
    format!(
        "its own permissions: mode {:04o}, owner {}, group {}",
        stat.mode, stat.uid, stat.gid
    )
}
