//! `/proc/sys/user/*` of the box's user namespace (namespaces(7)): a second wall beside seccomp against further
//! namespaces, and a bound on what the agent can take of the *user's* inotify and fanotify, which are charged to the owner
//! of each namespace up to the initial one. Without it an agent took all 128 instances and the user's editor failed.

#![forbid(unsafe_code)]

use super::StepError;
use crate::outcome::{Evidence, Layer, Status};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;

const NAMESPACES: &str = "max_user_namespaces";

/// What is set: the name, the value, and whether the box may not be without it.
///
/// A namespace that init already made counts as used and stays; 0 is "no further one".
pub const VALUES: [(&str, u64); 5] = [
    // Unless an inner sandbox is allowed ([`Further`]). A user namespace gives all capabilities in it, and with them most of the kernel's attack surface. Every other kind of
    // namespace needs a capability, which nobody in the box has or can get without this one; so their limits stay as they
    // are. (max_mnt_namespaces would even count the detached mounts that the view is made of.)
    (NAMESPACES, 0),
    // Half of the usual 128 per user: node, watchman, language servers and a build or two, and the user keeps the rest.
    ("max_inotify_instances", 64),
    // Each pins about 1 KiB of kernel memory; a repository of 50,000 directories can still be watched.
    ("max_inotify_watches", 65_536),
    ("max_fanotify_groups", 8),
    ("max_fanotify_marks", 8_192),
];

/// Whether further user namespaces may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Further {
    /// None.
    No,
    /// By an inner sandbox: bubblewrap takes two each, a browser some ten.
    Some,
}

impl Further {
    /// How many at a time. Each takes some kernel memory, and there are 32 levels.
    fn most(self) -> u64 {
        match self {
            Further::No => 0,
            Further::Some => 256,
        }
    }
}

/// The same in the user namespace of this process.
///
/// # Errors
/// There is no /proc/sys/user.
pub fn apply_here(further: Further) -> Result<Evidence, StepError> {
    let path = "/proc/sys/user";
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir =
        open(path, flags, Mode::empty()).map_err(|errno| StepError::new("open", path, errno))?;
    let evidence = apply(dir.as_fd(), further);
    Ok(match (further, &evidence.status) {
        (Further::Some, Status::Full) => {
            evidence.but("further ones may be made by an inner sandbox")
        }
        _ => evidence,
    })
}

/// Sets [`VALUES`] by init, in the box's user namespace and before its capabilities are dropped. `dir` is an open
/// `/proc/sys/user`; which namespace the files mean is decided by who opens them. No value is raised above what the kernel
/// has there, and a name that this kernel does not have is no namespace that could be made.
#[must_use]
pub fn apply(dir: BorrowedFd<'_>, further: Further) -> Evidence {
    let mut proof = Vec::new();
    let mut missing = Vec::new();
    for (name, wanted) in VALUES {
        let wanted = match name {
            NAMESPACES => further.most(),
            _ => wanted,
        };
        match lower(dir, name, wanted) {
            Ok(Some(now)) => proof.push(format!("{name} = {now}")),
            Ok(None) => {}
            Err(why) => missing.push(why),
        }
    }
    let mut evidence = match (proof.is_empty(), missing.is_empty()) {
        (_, true) if !proof.is_empty() => Evidence::full(Layer::Namespaces),
        (true, _) => Evidence::absent(
            Layer::Namespaces,
            format!("no limit of /proc/sys/user is set: {}", missing.join("; ")),
        ),
        (false, _) => Evidence::partial(Layer::Namespaces, missing.join("; ")),
    };
    evidence.proof = proof;
    evidence
}

/// Sets one value, if it is higher, and reads it back. `None`: this kernel has no such name.
fn lower(dir: BorrowedFd<'_>, name: &str, wanted: u64) -> Result<Option<u64>, String> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let file = match openat(dir, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(None),
        other => other.map_err(|errno| format!("open of {name}: {errno}"))?,
    };
    let file = File::from(file);
    // sysctl files take and give a whole value at offset 0 (Documentation/admin-guide/sysctl/kernel.rst,
    // sysctl_writes_strict).
    let read = || -> Result<u64, String> {
        let mut text = [0; 32];
        let length = file
            .read_at(&mut text, 0)
            .map_err(|error| format!("read of {name}: {error}"))?;
        let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
        text.trim()
            .parse()
            .map_err(|_| format!("{name} holds {text:?}"))
    };
    let before = read()?;
    if before <= wanted {
        return Ok(Some(before));
    }
    file.write_all_at(wanted.to_string().as_bytes(), 0)
        .map_err(|error| format!("write of {name}: {error}"))?;
    let now = read()?;
    if now == wanted {
        Ok(Some(now))
    } else {
        Err(format!("{name} is {now} after {wanted} was written"))
    }
}

#[cfg(test)]
#[path = "userns_limits_tests.rs"]
mod tests;
