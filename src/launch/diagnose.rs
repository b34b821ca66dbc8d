//! Why a box cannot be built here, from what the host says of itself: never from an error text of another program.

#![forbid(unsafe_code)]

use crate::host::{Cause, Cgroup, Cgroups, Host, Limit};
use crate::plan::refused::{BARE_PLAN, PLAN};
use crate::sys::inotify::Inotify;
use crate::sys::landlock;
use nix::errno::Errno;
use std::path::{Path, PathBuf};

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// What may be the reason of this failure of ours: the caller's own limits where it names their errno, else what the host
/// forbids.
#[must_use]
pub fn hints(failure: &str) -> Vec<String> {
    let own = [
        ("EAGAIN: ", NO_PROCESS),
        (
            "EMFILE: ",
            "too few files may be open: by `--limit open-files` (`[limits]`) or by the caller's own hard limit (`ulimit -Hn`, limits.conf(5)); 256 are enough, and ten more for each nested repository",
        ),
        (
            "EFBIG: ",
            "files may be too small for what the box is built of: by `--limit file-size` (`[limits]`) or by the caller's own limit; 1MiB is enough: `ulimit -f unlimited`",
        ),
        (
            "ENFILE: ",
            "the whole machine has too many open files (fs.file-max)",
        ),
        (
            "ETOOMANYREFS: ",
            "processes of this user hold too many descriptors in sockets; if a box does it, `agentbox kill` ends that",
        ),
    ];
    let known = own.iter().find(|(errno, _)| failure.contains(errno));
    if let Some((_, hint)) = known {
        return vec![(*hint).to_owned()];
    }
    // Directories of the caller's, and what a file system is not made for, are nobody's rule; nor is a full disk. clone3(2) says ENOSPC
    // of a bound on namespaces.
    let full = ["ENOSPC: ", "EDQUOT: ", "EROFS: "];
    let full = full.iter().any(|errno| failure.contains(errno)) && !failure.contains("clone3");
    let unmapped = failure.contains("MOUNT_ATTR_IDMAP") && failure.contains("EINVAL: ");
    if full || unmapped || failure.contains("step `directories`") {
        return Vec::new();
    }
    restrictions()
}

/// What fork(2) and clone3(2) mean by EAGAIN.
pub const NO_PROCESS: &str = "no further process is allowed: by this user's limit (RLIMIT_NPROC, `ulimit -u`), by the control \
                              group's (pids.max) or by `--limit processes`; end some, or raise it";

/// Why there is no box in a box, and what to do.
pub const NESTED: &str = "this is a box of agentbox already: start the command itself, without `agentbox run`; it has the limits \
                          of this box (`agentbox why` says which)";

/// Is this a box?
#[must_use]
pub fn is_box() -> bool {
    own_plan_file().is_some()
}

/// Where the plan of this box is, if this is one. Where there is no view, beside its HOME: who changes that variable in a box is
/// answered as outside.
#[must_use]
pub fn own_plan_file() -> Option<PathBuf> {
    let fixed = PathBuf::from(PLAN);
    if fixed.exists() {
        return Some(fixed);
    }
    std::env::var_os("AGENTBOX")?;
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let file = home.parent()?.join(BARE_PLAN);
    file.exists().then_some(file)
}

/// Settings of this host that forbid what a box needs, each with the remedy. Empty when none is known.
#[must_use]
pub fn restrictions() -> Vec<String> {
    let causes = forbidden();
    let mut found: Vec<String> = causes.iter().map(hint).collect();
    if causes.contains(&Cause::NoProc) || causes.contains(&Cause::NoDevNull) {
        return found;
    }
    if let Some(rung) = super::place::lower(&super::place::look()) {
        found.push(format!(
            "what this place allows is the rung `{rung}` ({}): `--rung {rung}` accepts it, `agentbox check --rungs` says what \
             it guarantees",
            rung.what()
        ));
    }
    found
}

/// What this host says of itself that can forbid a box its namespaces.
#[must_use]
pub fn forbidden() -> Vec<Cause> {
    if !Path::new("/proc/self/status").exists() {
        return vec![Cause::NoProc];
    }
    let says = |path: &str, value: &str| read(path).as_deref() == Some(value);
    let there = |path: &str| Path::new(path).exists();
    let sysctl = "/proc/sys/kernel";
    let all = [
        (!super::place::has_dev_null(), Cause::NoDevNull),
        (
            says("/proc/sys/user/max_user_namespaces", "0"),
            Cause::MaxUserNamespaces,
        ),
        (
            says(&format!("{sysctl}/unprivileged_userns_clone"), "0"),
            Cause::UnprivilegedClone,
        ),
        (
            says(
                &format!("{sysctl}/apparmor_restrict_unprivileged_userns"),
                "1",
            ),
            Cause::AppArmor,
        ),
        (!there("/proc/self/ns/user"), Cause::NoUserNamespaces),
        (
            there("/.dockerenv") || there("/run/.containerenv"),
            Cause::Container,
        ),
    ];
    all.into_iter()
        .filter_map(|(is_so, cause)| is_so.then_some(cause))
        .collect()
}

/// In one line, with the shortest remedy.
fn hint(cause: &Cause) -> String {
    let what = cause.what();
    match cause.remedy() {
        Some(remedy) => format!("{what}: {remedy}"),
        None => what,
    }
}

/// What this host lacks, by trying: Landlock, inotify, a cgroup. [`forbidden`] has what only counts where a box cannot be built.
#[must_use]
pub fn lacking(host: &Host) -> Vec<Cause> {
    let landlock = match landlock::abi_version() {
        Ok(_) => None,
        Err(Errno::EOPNOTSUPP) => Some(Cause::LandlockOff(read("/sys/kernel/security/lsm"))),
        Err(_) => Some(Cause::NoLandlock),
    };
    let cgroup = (host.cgroup == Cgroup::None).then(|| Cause::NoCgroup(cgroups()));
    landlock
        .into_iter()
        .chain(watches())
        .chain(cgroup)
        .collect()
}

/// What an instance and a watch of inotify say.
fn watches() -> Option<Cause> {
    let watched = Inotify::new().and_then(|inotify| inotify.watch(Path::new("/"), libc::IN_CREATE));
    match watched {
        Err(Errno::EMFILE) => lowest("instances").map(Cause::InotifyInstances),
        Err(Errno::ENOSPC) => lowest("watches").map(Cause::InotifyWatches),
        _ => None,
    }
}

/// Which of the two limits it is: that of the user namespace or, where that is not lower, the machine's.
fn lowest(what: &str) -> Option<Limit> {
    let number = |path: String| read(&path)?.parse::<u64>().ok();
    let namespace = number(format!("/proc/sys/user/max_inotify_{what}"));
    let machine = number(format!("/proc/sys/fs/inotify/max_user_{what}"));
    let names = match what {
        "instances" => [
            "user.max_inotify_instances",
            "fs.inotify.max_user_instances",
        ],
        _ => ["user.max_inotify_watches", "fs.inotify.max_user_watches"],
    };
    // The machine's file shows the first user namespace's limit, whose other name it is.
    match (namespace, machine) {
        (Some(namespace), Some(machine)) if namespace >= machine => Some((names[1], machine)),
        (Some(namespace), _) => Some((names[0], namespace)),
        (None, Some(machine)) => Some((names[1], machine)),
        (None, None) => None,
    }
    .map(|(sysctl, value)| Limit { sysctl, value })
}

fn cgroups() -> Cgroups {
    let there = |path: &str| Path::new(path).exists();
    if there("/sys/fs/cgroup/cgroup.controllers") {
        if there("/run/systemd/system") {
            Cgroups::Systemd
        } else {
            Cgroups::Unified
        }
    } else if read("/proc/self/cgroup").is_some_and(|text| !text.is_empty())
        && there("/sys/fs/cgroup")
    {
        Cgroups::Old
    } else {
        Cgroups::Missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_of_the_caller_is_not_the_hosts_fault() {
        for (errno, word) in [
            (Errno::EMFILE, "ulimit -Hn"),
            (Errno::ENFILE, "fs.file-max"),
            (Errno::ETOOMANYREFS, "agentbox kill"),
        ] {
            let hints = hints(&format!("step `view`: open /etc: {errno}")).join("\n");
            assert!(
                hints.contains(word) && !hints.contains("container"),
                "{hints}"
            );
        }
        let full = format!("step `keeper`: write of /s: {}", Errno::ENOSPC);
        assert_eq!(hints(&full), [""; 0]);
        let files = format!("step `directories`: mkdir /s: {}", Errno::EACCES);
        assert_eq!(hints(&files), [""; 0]);
        for errno in [Errno::EPERM, Errno::ENOSPC] {
            assert_eq!(hints(&format!("clone3: {errno}")), restrictions());
        }
    }
}
