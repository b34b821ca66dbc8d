//! Why a box cannot be built here, from what the host says of itself: never from an error text of another program.

#![forbid(unsafe_code)]

use crate::host::Place;
use crate::plan::refused::PLAN;
use crate::plan::rung::Rung;
use std::path::Path;

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
        (
            "EMFILE: ",
            "the caller may open too few files: `ulimit -n 256`, or more",
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
    known.map_or_else(restrictions, |(_, hint)| vec![(*hint).to_owned()])
}

/// Why there is no box in a box, and what to do.
pub const NESTED: &str = "this is a box of agentbox already: start the command itself, without `agentbox run`; it has the limits \
                          of this box (`agentbox why` says which)";

/// Is this a box?
#[must_use]
pub fn is_box() -> bool {
    Path::new(PLAN).exists()
}

/// Settings of this host that forbid what a box needs, each with the remedy. Empty when none is known.
#[must_use]
pub fn restrictions() -> Vec<String> {
    let mut found = Vec::new();
    if is_box() {
        found.push(NESTED.to_owned());
        return found;
    }
    if !Path::new("/proc/self/status").exists() {
        found.push("/proc is not mounted here: `mount -t proc proc /proc` (in a chroot: bind it from outside)".to_owned());
        return found;
    }
    if read("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        found.push(
            "user.max_user_namespaces is 0: `sysctl user.max_user_namespaces=10000`".to_owned(),
        );
    }
    if read("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        found.push(
            "kernel.unprivileged_userns_clone is 0: `sysctl kernel.unprivileged_userns_clone=1`"
                .to_owned(),
        );
    }
    if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        found.push(
            "AppArmor takes the capabilities from user namespaces here (Ubuntu 24.04 and later): give agentbox a profile with \
             `userns,` in /etc/apparmor.d, or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
                .to_owned(),
        );
    }
    if !Path::new("/proc/self/ns/user").exists() {
        found.push("this kernel has no user namespaces (CONFIG_USER_NS)".to_owned());
    }
    let lower = match super::place::look() {
        Place::Untried | Place::Whole => None,
        Place::NoProc(_) => Some(Rung::ContainerProc),
        Place::Nothing(_) => Some(Rung::Landlock),
    };
    if let Some(rung) = lower {
        found.push(format!(
            "what this place allows is the rung `{rung}` ({}): `--rung {rung}` accepts it, `agentbox check --rungs` says what \
             it guarantees",
            rung.what()
        ));
    }
    if Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists() {
        found.push("this is a container: its engine may forbid namespaces and mounts (docker's default seccomp profile does)".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn a_low_limit_of_the_caller_is_not_the_hosts_fault() {
        for (errno, word) in [
            (Errno::EMFILE, "ulimit -n"),
            (Errno::ENFILE, "fs.file-max"),
            (Errno::ETOOMANYREFS, "agentbox kill"),
        ] {
            let hints = hints(&format!("step `view`: open /etc: {errno}")).join("\n");
            assert!(
                hints.contains(word) && !hints.contains("container"),
                "{hints}"
            );
        }
        assert_eq!(hints(&format!("clone3: {}", Errno::EPERM)), restrictions());
    }
}
