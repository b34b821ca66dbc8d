//! What the box sees of /sys/fs/cgroup: its own cgroups, as the root of each hierarchy, and nothing of the host's others.

#![forbid(unsafe_code)]

use super::scene::Scene;
use crate::plan::{GrantKind, MountOp, OsText};
use crate::policy::Origin;
use std::path::Path;

/// Where every runtime looks.
pub(super) const ROOT: &str = "/sys/fs/cgroup";

/// The controllers of cgroup v1 that runtimes size themselves by (JVM, .NET, Go's automaxprocs, Node, Claude Code).
const V1: [&str; 5] = ["memory", "cpu", "cpuacct", "cpuset", "pids"];

/// The operations: a fresh mount each, never a clone of the host's. A clone still has the host's root as its own, and
/// `/proc/self/mountinfo` then names that root as `/../..`, seen from the box's cgroup namespace: the JVM throws a
/// NullPointerException at it (JDK 17, `OperatingSystemMXBean`), and others read the limits of the wrong group.
pub(super) fn mounts(scene: &mut Scene<'_>) -> Vec<MountOp> {
    let root = Path::new(ROOT);
    let mut ops = Vec::new();
    if scene.walk.lstat(&root.join("cgroup.controllers")).is_some() {
        ops.push(MountOp::Cgroup {
            target: root.into(),
            controllers: Vec::new(),
        });
    } else {
        for name in V1 {
            let at = root.join(name);
            let Some(walked) = scene.walk.follow(&at) else {
                continue;
            };
            if walked.stat.is_none() {
                continue;
            }
            // `cpu` is a link to `cpu,cpuacct` where the two are one hierarchy, which is mounted once.
            if walked.real != at {
                ops.push(MountOp::Symlink {
                    target: at.into(),
                    to: walked.real.as_path().into(),
                });
            }
            if !ops.iter().any(|op| is_at(op, &walked.real)) {
                let names = walked.real.file_name().and_then(|name| name.to_str());
                ops.push(MountOp::Cgroup {
                    controllers: names
                        .unwrap_or(name)
                        .split(',')
                        .map(str::to_owned)
                        .collect(),
                    target: walked.real.as_path().into(),
                });
            }
        }
    }
    if !ops.is_empty() {
        let origin = Origin::agentbox("runtimes size themselves by it");
        scene.grant(root, GrantKind::Read, &origin, None);
    }
    ops
}

fn is_at(op: &MountOp, path: &Path) -> bool {
    matches!(op, MountOp::Cgroup { target, .. } if *target == OsText::from(path))
}
