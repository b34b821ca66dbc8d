//! Gathers the facts of [`Host`]. A fact that cannot be had is missing, never an error: only what nothing can do without is.

#![forbid(unsafe_code)]

use super::lookup::small_file;
use super::{Host, Idmap, cgroup};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::sysinfo::sysinfo;
use nix::unistd::{Pid, getegid, geteuid};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What nothing can do without.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is no current directory.
    #[error(
        "cannot tell the current directory (getcwd: {errno}); change to a directory that exists"
    )]
    Cwd {
        /// The errno of getcwd(3).
        errno: Errno,
    },
}

impl Host {
    /// Gathers the facts. Reads /etc/passwd, some files below /proc and /sys/fs/cgroup; starts nothing.
    ///
    /// # Errors
    /// Only when there is no current directory.
    pub fn gather() -> Result<Host, HostError> {
        let env: Vec<(OsString, OsString)> = env::vars_os().collect();
        let uid = geteuid().as_raw();
        let gid = getegid().as_raw();
        let mut host = Host {
            uid,
            gid,
            env,
            exe: env::current_exe().unwrap_or_default(),
            cwd: cwd()?,
            name: nix::unistd::gethostname().map_or_else(
                |_| String::new(),
                |name| name.to_string_lossy().into_owned(),
            ),
            memory: sysinfo().map_or(0, |info| info.ram_total()),
            cpus: cpus(),
            cgroup: cgroup::find(uid),
            idmap: Idmap::Untried,
            ..Host::default()
        };
        let entry = small_file("/etc/passwd")
            .ok()
            .and_then(|text| passwd_entry(&text, uid));
        let var = |name: &str| {
            host.var(name)
                .filter(|value| !value.is_empty())
                .map(OsString::as_os_str)
        };
        let user = entry
            .as_ref()
            .map(|e| e.name.clone())
            .or_else(|| var("USER").map(|u| u.to_string_lossy().into_owned()))
            .unwrap_or_else(|| uid.to_string());
        let home = var("HOME")
            .map(PathBuf::from)
            .or_else(|| entry.as_ref().map(|e| e.home.clone()))
            .unwrap_or_default();
        let shell = entry
            .as_ref()
            .map(|e| e.shell.clone())
            .filter(|shell| !shell.as_os_str().is_empty())
            .or_else(|| var("SHELL").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("/bin/sh"));
        host.user = user;
        host.home = home;
        host.shell = shell;
        if uid == 0 {
            host.uids = id_map("/proc/self/uid_map");
            host.gids = id_map("/proc/self/gid_map");
        }
        Ok(host)
    }
}

/// PWD if it is the same directory as "." (as pwd(1) -L decides it), else getcwd(3).
fn cwd() -> Result<PathBuf, HostError> {
    if let Some(pwd) = env::var_os("PWD").map(PathBuf::from)
        && pwd.is_absolute()
        && !pwd
            .components()
            .any(|c| matches!(c, std::path::Component::ParentDir))
        && let (Ok(there), Ok(here)) = (fs::metadata(&pwd), fs::metadata("."))
        && (there.dev(), there.ino()) == (here.dev(), here.ino())
    {
        return Ok(pwd);
    }
    env::current_dir().map_err(|error| HostError::Cwd {
        errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
    })
}

/// How many processors this process may use. Not `available_parallelism`: that one parses cgroup files as well, and a quota
/// of the caller's is not what the limit is about.
fn cpus() -> u32 {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return 1;
    };
    let count = (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .count();
    u32::try_from(count).unwrap_or(1).max(1)
}

/// One line of passwd(5).
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) home: PathBuf,
    pub(super) shell: PathBuf,
}

/// The entry of `uid`: the first one, as getpwuid(3) finds it.
pub(super) fn passwd_entry(text: &[u8], uid: u32) -> Option<Entry> {
    text.split(|b| *b == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
        let [name, _, id, _, _, home, shell] = fields.as_slice() else {
            return None;
        };
        if std::str::from_utf8(id).ok()?.parse::<u32>().ok()? != uid {
            return None;
        }
        Some(Entry {
            name: std::str::from_utf8(name).ok()?.to_owned(),
            home: Path::new(OsStr::from_bytes(home)).to_owned(),
            shell: Path::new(OsStr::from_bytes(shell)).to_owned(),
        })
    })
}

/// The ids that exist in this user namespace: (first, count) of each line of user_namespaces(7)'s map.
fn id_map(path: &str) -> Vec<(u32, u32)> {
    let text = small_file(path).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let first = fields.next()?.parse().ok()?;
            let count = fields.nth(1)?.parse().ok()?;
            Some((first, count))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_first_entry_of_a_uid_counts() {
        let text = b"root:x:0:0:root:/root:/bin/bash\nbroken\na:x:7:7:::\nme:x:1000:1000:Me,,,:/home/me:/bin/zsh\nalias:x:1000:1000::/x:/y\n";
        let entry = passwd_entry(text, 1000).unwrap();
        assert_eq!(entry.name, "me");
        assert_eq!(entry.home, Path::new("/home/me"));
        assert_eq!(entry.shell, Path::new("/bin/zsh"));
        assert!(passwd_entry(text, 1001).is_none());
        assert_eq!(passwd_entry(text, 7).unwrap().shell, Path::new(""));
    }

    #[test]
    fn this_process_is_a_host() {
        let host = Host::gather().unwrap();
        assert_eq!(host.uid, geteuid().as_raw());
        assert!(host.cpus >= 1);
        assert!(host.memory > 0);
        assert!(host.cwd.is_absolute());
        assert_eq!(
            fs::metadata(&host.cwd).unwrap().ino(),
            fs::metadata(".").unwrap().ino()
        );
    }
}
