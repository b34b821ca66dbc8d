//! What this place allows of namespaces and mounts, found by doing what a launch does: a child makes the namespaces, a tmpfs, a
//! new root and a procfs, says how far it came, and ends. Asked only where the policy accepts less than everything, by
//! `agentbox check`, and when a launch has failed.

#![forbid(unsafe_code)]

use crate::enforce::identity;
use crate::host::{Cause, Cgroup, Host, Place};
use crate::plan::rung::Rung;
use crate::sys::mount::{self, attr};
use crate::sys::process::{self, Fork};
use crate::sys::procfs;
use crate::sys::random;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// What is tried, in this order; the number is what the child says.
const STEPS: [&str; 5] = [
    "write the maps of a user namespace",
    "mount a tmpfs",
    "move a mount",
    "pivot_root",
    "mount a procfs",
];

/// Where the procfs is among them.
const PROC: usize = 4;

/// Tries, and finds a place for what a session without namespaces has of its own.
pub fn settle(host: &mut Host) {
    host.place = look();
    if !matches!(host.place, Place::Nothing(_)) {
        return;
    }
    // Whom a cgroup holds is decided when it is joined, and the warden must not be in the one that it ends.
    host.cgroup = Cgroup::None;
    let base = host.var("TMPDIR").map(std::path::PathBuf::from);
    let base = base.filter(|dir| dir.is_absolute() && dir.is_dir());
    let base = base.unwrap_or_else(|| "/tmp".into());
    let base = base.canonicalize().unwrap_or(base);
    let bytes: [u8; 8] = random::bytes().unwrap_or_default();
    let number = u64::from_le_bytes(bytes);
    host.scratch = base.join(format!("agentbox-box-{number:016x}"));
    // Below the range that the kernel takes ports of its own from.
    host.port = 20_000 + u16::try_from(number % 12_000).unwrap_or(0);
}

/// The highest rung below the full one that is left, if the full one is not.
#[must_use]
pub fn lower(place: &Place) -> Option<Rung> {
    match place {
        Place::Untried | Place::Whole | Place::Unfit(_) => None,
        Place::NoProc(_) => Some(Rung::ContainerProc),
        Place::Nothing(_) => Some(Rung::Landlock),
    }
}

/// Tries.
#[must_use]
pub fn look() -> Place {
    if !Path::new("/proc/self/status").exists() {
        return Place::Unfit(Cause::NoProc);
    }
    if !has_dev_null() {
        return Place::Unfit(Cause::NoDevNull);
    }
    match tried() {
        // Init with namespaces of its own hands out what the kernel says of it; who stands in the caller's would have to be found.
        Place::Nothing(_) if is_hidden() => Place::Unfit(Cause::HiddenProc),
        place => place,
    }
}

fn tried() -> Place {
    let Ok((read, write)) = nix::unistd::pipe2(OFlag::O_CLOEXEC) else {
        return Place::Untried;
    };
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWNET;
    let ids = (
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    );
    match process::fork_into(flags.bits()) {
        Ok(Fork::Child) => {
            drop(read);
            let said = match attempt(ids) {
                Ok(()) => [u8::MAX, 0],
                Err((step, errno)) => [step, u8::try_from(errno as i32).unwrap_or(0)],
            };
            let _ = std::fs::File::from(write).write_all(&said);
            process::exit_now(0)
        }
        Ok(Fork::Parent(child, _pidfd)) => {
            drop(write);
            let mut said = [0; 2];
            let heard = std::fs::File::from(read).read_exact(&mut said);
            let _ = nix::sys::wait::waitpid(child, None);
            match (heard, said) {
                (Ok(()), [u8::MAX, _]) => Place::Whole,
                (Ok(()), [step, errno]) => {
                    let what = STEPS.get(usize::from(step)).copied().unwrap_or("try");
                    let why = format!("{what}: {}", Errno::from_raw(i32::from(errno)));
                    if usize::from(step) == PROC {
                        Place::NoProc(why)
                    } else {
                        Place::Nothing(why)
                    }
                }
                (Err(_), _) => Place::Nothing("the namespaces ended at once".to_owned()),
            }
        }
        Err(errno) => Place::Nothing(format!("clone with new namespaces: {errno}")),
    }
}

/// Whether a filter around agentbox keeps what joins a box from outside: `exec`, the keeper, and the start of most.
///
/// # Errors
/// The call that it keeps, with a remedy.
pub fn joins() -> Result<(), String> {
    let kept = |call: &str, errno: Errno| {
        let way =
            "a filter around agentbox keeps it, and nothing could join the box: allow it there";
        format!("{call}: {errno}: {way}")
    };
    process::pidfd_open(nix::unistd::getpid().as_raw()).map_err(|e| kept("pidfd_open", e))?;
    let null = std::fs::File::open("/dev/null").map_err(|e| format!("/dev/null: {e}"))?;
    // No namespace (setns(2)): the kernel says so where it is asked.
    match nix::sched::setns(&null, CloneFlags::empty()) {
        Ok(()) | Err(Errno::EINVAL) => Ok(()),
        Err(errno) => Err(kept("setns", errno)),
    }
}

/// Whether /dev/null is the device: what writes to it may have made a file there, while it was gone.
#[must_use]
pub fn has_dev_null() -> bool {
    std::fs::metadata("/dev/null").is_ok_and(|found| found.file_type().is_char_device())
}

/// Whether /proc hides from this user what it may not trace: then the supervisor finds no init that has no namespaces. The option alone
/// does not say so: who may trace everything, and who is in the group of `gid=`, sees all.
fn is_hidden() -> bool {
    if !procfs::has_hidepid() {
        return false;
    }
    let Ok((read, write)) = nix::unistd::pipe2(OFlag::O_CLOEXEC) else {
        return false;
    };
    match process::fork_into(0) {
        Ok(Fork::Child) => {
            let is_as_init =
                process::die_with_parent().is_ok() && process::set_undumpable().is_ok();
            let _ = std::fs::File::from(write).write_all(&[u8::from(is_as_init)]);
            loop {
                nix::unistd::pause();
            }
        }
        Ok(Fork::Parent(child, _pidfd)) => {
            drop(write);
            let mut said = [0; 1];
            let heard = std::fs::File::from(read).read_exact(&mut said);
            let seen = std::fs::File::open(format!("/proc/{child}/status"));
            let _ = nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(child, None);
            heard.is_ok() && said == [1] && seen.is_err()
        }
        Err(_) => false,
    }
}

fn attempt(ids: (u32, u32)) -> Result<(), (u8, Errno)> {
    let at = |step: u8| move |errno: Errno| (step, errno);
    process::die_with_parent().map_err(at(0))?;
    identity::write_own_maps((ids.0, ids.0), (ids.1, ids.1)).map_err(|e| (0, e.errno))?;
    let none = attr::NOSUID | attr::NODEV | attr::NOEXEC;
    let root = mount::new_filesystem(c"tmpfs", &[], none).map_err(at(1))?;
    // Before the old root is gone: the kernel shows no more of processes than what is visible already.
    let proc = mount::new_filesystem(c"proc", &[], none);
    crate::enforce::mounts::pivot_into(&root).map_err(|(moved, errno)| {
        let step = if moved { 3 } else { 2 };
        (step, errno)
    })?;
    proc.map(drop).map_err(at(4))
}
