//! Where limits of a whole box can be enforced: cgroup v2 where a directory is delegated to the caller, cgroup v1 for root.
//! cgroups(7). Found by asking for permission, without making or changing anything.

#![forbid(unsafe_code)]

use super::Cgroup;
use super::lookup::small_file;
use nix::unistd::{AccessFlags, eaccess};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The controllers that a box can use.
const WANTED: [&str; 3] = ["memory", "pids", "cpu"];

/// Finds where a box's cgroup can be made.
pub(super) fn find(uid: u32) -> Cgroup {
    let Ok(own) = small_file("/proc/self/cgroup") else {
        return Cgroup::None;
    };
    let own = own_groups(&own);
    if let Some(v2) = own.iter().find(|group| group.controllers.is_empty()) {
        // The unified tree is at /sys/fs/cgroup (file-hierarchy of every distribution), in hybrid mode at unified below.
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            if let Some(found) = delegated(&below(Path::new(root), &v2.path)) {
                return found;
            }
        }
    }
    if uid == 0 {
        return v1(&own);
    }
    Cgroup::None
}

/// A directory in which children with controllers of use can be made: the caller's own cgroup, or its parent.
///
/// Children of a cgroup with processes in it cannot have domain controllers ("no internal processes"), and the caller's own
/// always has one; so what counts is a parent whose `cgroup.subtree_control` already has them: new siblings of the caller's
/// cgroup have them then. Moving the box's first process needs write access to the parent's `cgroup.procs` (the common
/// ancestor of both).
fn delegated(own: &Path) -> Option<Cgroup> {
    let mut dir = own;
    // The root of the tree has no cgroup.type and allows processes beside controllers; any other directory is left.
    if own.join("cgroup.type").exists() {
        dir = own.parent()?;
    }
    if !dir.join("cgroup.subtree_control").exists()
        || eaccess(&dir.join("cgroup.procs"), AccessFlags::W_OK).is_err()
        || eaccess(dir, AccessFlags::W_OK).is_err()
    {
        return None;
    }
    let has = words(dir, "cgroup.subtree_control");
    let may = if eaccess(&dir.join("cgroup.subtree_control"), AccessFlags::W_OK).is_ok()
        && is_empty(dir)
    {
        words(dir, "cgroup.controllers")
    } else {
        String::new()
    };
    let controllers: Vec<String> = WANTED
        .into_iter()
        .filter(|name| {
            has.split_whitespace()
                .chain(may.split_whitespace())
                .any(|c| c == *name)
        })
        .map(str::to_owned)
        .collect();
    (!controllers.is_empty()).then(|| Cgroup::V2 {
        dir: dir.to_owned(),
        controllers,
    })
}

/// The text of a file of a cgroup.
fn words(dir: &Path, file: &str) -> String {
    small_file(dir.join(file))
        .ok()
        .and_then(|text| String::from_utf8(text).ok())
        .unwrap_or_default()
}

/// No process is in it (or it is the root, where that does not matter).
fn is_empty(dir: &Path) -> bool {
    !dir.join("cgroup.type").exists()
        || fs::read(dir.join("cgroup.procs")).is_ok_and(|procs| procs.is_empty())
}

/// The directories of the v1 controllers that root can make children in.
fn v1(own: &[Own]) -> Cgroup {
    let mut controllers = Vec::new();
    for name in WANTED {
        let Some(group) = own
            .iter()
            .find(|group| group.controllers.iter().any(|c| c == name))
        else {
            continue;
        };
        let dir = below(&Path::new("/sys/fs/cgroup").join(name), &group.path);
        // A read-only mount of the tree (containers) says EROFS here, also to root.
        if eaccess(&dir.join("cgroup.procs"), AccessFlags::W_OK).is_ok() {
            controllers.push((name.to_owned(), dir));
        }
    }
    if controllers.is_empty() {
        Cgroup::None
    } else {
        Cgroup::V1 { controllers }
    }
}

/// One line of /proc/self/cgroup.
struct Own {
    controllers: Vec<String>,
    path: PathBuf,
}

fn own_groups(text: &[u8]) -> Vec<Own> {
    text.split(|b| *b == b'\n')
        .filter_map(|line| {
            let mut fields = line.splitn(3, |b| *b == b':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            Some(Own {
                controllers: controllers
                    .split(|b| *b == b',')
                    .filter(|c| !c.is_empty())
                    .map(|c| String::from_utf8_lossy(c).into_owned())
                    .collect(),
                path: PathBuf::from(OsString::from_vec(path.to_vec())),
            })
        })
        .collect()
}

/// `path` of the kernel is absolute within its tree.
fn below(root: &Path, path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let bytes = bytes.strip_prefix(b"/").unwrap_or(bytes);
    if bytes.is_empty() {
        root.to_owned()
    } else {
        root.join(OsStr::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_lines_of_proc_self_cgroup() {
        let own = own_groups(b"4:memory:/a/b\n1:cpu,cpuacct:/\n0::/user.slice/x:y\n\n");
        assert_eq!(own.len(), 3);
        assert_eq!(own[0].controllers, ["memory"]);
        assert_eq!(below(Path::new("/r"), &own[0].path), Path::new("/r/a/b"));
        assert_eq!(own[1].controllers, ["cpu", "cpuacct"]);
        assert_eq!(below(Path::new("/r"), &own[1].path), Path::new("/r"));
        assert!(own[2].controllers.is_empty());
        assert_eq!(own[2].path, Path::new("/user.slice/x:y"));
    }

    fn tree(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let dir =
            std::env::temp_dir().join(format!("agentbox-cgroup-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        for (path, content) in files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }

    #[test]
    fn the_parent_with_controllers_is_the_place() {
        let dir = tree(
            "parent",
            &[
                ("cgroup.type", "domain\n"),
                ("cgroup.procs", ""),
                ("cgroup.controllers", "cpu memory pids io\n"),
                ("cgroup.subtree_control", "memory pids\n"),
                ("own/cgroup.type", "domain\n"),
                ("own/cgroup.procs", "12\n"),
            ],
        );
        assert_eq!(
            delegated(&dir.join("own")),
            Some(Cgroup::V2 {
                dir: dir.clone(),
                controllers: vec!["memory".into(), "pids".into(), "cpu".into()],
            })
        );
        // With a process in it nothing more can be enabled.
        fs::write(dir.join("cgroup.procs"), "1\n").unwrap();
        assert_eq!(
            delegated(&dir.join("own")),
            Some(Cgroup::V2 {
                dir: dir.clone(),
                controllers: vec!["memory".into(), "pids".into()],
            })
        );
        fs::write(dir.join("cgroup.subtree_control"), "").unwrap();
        assert_eq!(delegated(&dir.join("own")), None);
        fs::remove_dir_all(dir).unwrap();
    }
}
