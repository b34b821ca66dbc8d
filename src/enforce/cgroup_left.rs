//! Groups that sessions left behind.

#![forbid(unsafe_code)]

use super::{BoxCgroup, Cgroup, Dirs, PREFIX};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Kills and removes the groups of sessions that are not `live` any more: their supervisor was killed before it could.
/// Returns the ids.
pub fn clean_up_after_crash(host: &Cgroup, live: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut cleaned = Vec::new();
    for (id, path) in groups(host) {
        if live(&id) {
            continue;
        }
        let dirs = match host {
            Cgroup::V2 { .. } => Dirs::V2(path),
            _ => Dirs::V1(vec![(String::new(), path)]),
        };
        let left = BoxCgroup {
            dirs,
            held: Vec::new(),
        };
        if left
            .kill()
            .and_then(|()| left.remove(Duration::from_millis(200)))
            .is_ok()
            && !cleaned.contains(&id)
        {
            cleaned.push(id);
        }
    }
    cleaned
}

/// Removes the groups, of whichever session and user, in which no process is: those of a session all of whose processes were
/// killed, supervisor included, and which nobody asked about again. `old` says which sessions began long enough ago to have
/// their init in it; the kernel refuses to remove a group with a member (EBUSY).
pub fn remove_empty(host: &Cgroup, old: &dyn Fn(&str) -> bool) {
    for (id, path) in groups(host) {
        if old(&id) {
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// The groups of sessions, each hierarchy's: the session's name and the directory.
fn groups(host: &Cgroup) -> impl Iterator<Item = (String, PathBuf)> {
    let parents: Vec<&Path> = match host {
        Cgroup::None => Vec::new(),
        Cgroup::V2 { dir, .. } => vec![dir],
        Cgroup::V1 { controllers } => controllers.iter().map(|(_, dir)| dir.as_path()).collect(),
    };
    let entries = parents.into_iter().flat_map(std::fs::read_dir).flatten();
    entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let id = name.to_str()?.strip_prefix(PREFIX)?;
        Some((id.to_owned(), entry.path()))
    })
}
