//! User namespace and id maps (user_namespaces(7)). An ordinary caller keeps uid and gid; a root caller's agent runs under a
//! kernel uid that is not 0: mapping root to another number inside changes nothing, since the kernel judges by the outer uid.

#![forbid(unsafe_code)]

use super::build::Build;
use super::{StepError, bare};
use crate::outcome::{Evidence, Layer};
use crate::plan::rung::Rung;
use crate::plan::{Identity, IdentityMode};
use crate::sys::errno_of;
use crate::sys::process::{self, Fork};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Pid, Uid};
use std::io::Read as _;
use std::os::fd::OwnedFd;

const USERNS: &str = "user namespaces must be allowed: see `agentbox check`";

fn write(path: &str, content: &str) -> Result<(), StepError> {
    std::fs::write(path, content)
        .map_err(|e| StepError::new("write", path, errno_of(&e)).remedy(USERNS))
}

/// Who writes the maps of the box's user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maps {
    /// Init: the namespace was made with it, and an ordinary caller's ids are its own.
    Mine,
    /// The supervisor of a root caller: the namespace was made with init, which waits for them.
    Supervisors,
    /// They are: the namespace is older than init.
    Written,
}

/// Maps one uid and one gid, each given as (inside, outside), in the user namespace that this process was cloned into.
///
/// # Errors
/// The write that failed.
pub fn write_own_maps(uid: (u32, u32), gid: (u32, u32)) -> Result<(), StepError> {
    // Without CAP_SETGID over the parent namespace gid_map may only be written once setgroups(2) is given up.
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("{} {} 1", uid.0, uid.1))?;
    write("/proc/self/gid_map", &format!("{} {} 1", gid.0, gid.1))
}

/// The child's half: an ordinary caller writes its own maps, a root caller waits for the supervisor's and takes the uid.
pub(super) fn apply(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    let id = &b.plan.identity;
    if b.plan.standing.rung == Rung::Landlock {
        (b.wait_for_supervisor)()?;
        return Ok(Some(bare::identity(b)));
    }
    if b.maps == Maps::Mine {
        write_own_maps((id.inner_uid, id.outer_uid), (id.inner_gid, id.outer_gid))?;
    }
    (b.wait_for_supervisor)()?;
    if id.mode != IdentityMode::Same {
        if b.sources.is_none() {
            super::sources::open_as_root(b)?;
        }
        let (uid, gid) = (Uid::from_raw(id.inner_uid), Gid::from_raw(id.inner_gid));
        nix::unistd::setresgid(gid, gid, gid)
            .map_err(|errno| StepError::new("setresgid", gid, errno))?;
        nix::unistd::setresuid(uid, uid, uid)
            .map_err(|errno| StepError::new("setresuid", uid, errno))?;
        // A change of uid clears it.
        process::die_with_parent().map_err(|errno| StepError::new("prctl", "PDEATHSIG", errno))?;
    }
    let (uid, gid) = (nix::unistd::getresuid(), nix::unistd::getresgid());
    let uids = uid.map_err(|errno| StepError::new("getresuid", "", errno))?;
    let gids = gid.map_err(|errno| StepError::new("getresgid", "", errno))?;
    let held = [uids.real, uids.effective, uids.saved] == [Uid::from_raw(id.inner_uid); 3]
        && [gids.real, gids.effective, gids.saved] == [Gid::from_raw(id.inner_gid); 3];
    if !held {
        return Err(StepError::new(
            "getresuid",
            "not the uid of the plan",
            Errno::EPERM,
        ));
    }
    Ok(Some(if id.outer_uid == 0 {
        Evidence::absent(
            Layer::Identity,
            "the kernel's uid is 0: id-mapped mounts are refused here",
        )
    } else {
        Evidence::full(Layer::Identity).proven(format!("uid {} inside", id.inner_uid))
    }))
}

/// The supervisor's half for a root caller: the maps of the user namespace of that process.
///
/// # Errors
/// The write that failed.
pub fn write_maps(id: &Identity, init: Pid) -> Result<(), StepError> {
    write(&format!("/proc/{init}/setgroups"), "deny")?;
    write(
        &format!("/proc/{init}/gid_map"),
        &format!("{} {} 1", id.inner_gid, id.outer_gid),
    )?;
    write(
        &format!("/proc/{init}/uid_map"),
        &format!("{} {} 1", id.inner_uid, id.outer_uid),
    )
}

/// A user namespace that says how an id-mapped mount shows owners: what root owns on disk belongs to the agent's kernel uid,
/// everybody else stays who they are. `None` where nothing is id-mapped.
///
/// # Errors
/// The step that failed.
pub fn mount_userns(id: &Identity) -> Result<Option<OwnedFd>, StepError> {
    if id.mode == IdentityMode::KernelRoot || id.mode == IdentityMode::Same {
        return Ok(None);
    }
    // The namespace lives in a child that does nothing but wait for the end of this pipe; a descriptor keeps it alive after.
    let (read, hold) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map_err(|errno| StepError::new("pipe2", "", errno))?;
    let forked = process::fork_into(CloneFlags::CLONE_NEWUSER.bits());
    match forked.map_err(|errno| StepError::new("clone3", "CLONE_NEWUSER", errno).remedy(USERNS))? {
        Fork::Child => {
            drop(hold);
            let _ = std::fs::File::from(read).read(&mut [0]);
            process::exit_now(0);
        }
        Fork::Parent(pid, _pidfd) => {
            let made = map_and_open(id, pid);
            drop(hold);
            let _ = waitpid(pid, None);
            made.map(Some)
        }
    }
}

fn map_and_open(id: &Identity, pid: Pid) -> Result<OwnedFd, StepError> {
    write(&format!("/proc/{pid}/uid_map"), &shift(id.outer_uid))?;
    write(&format!("/proc/{pid}/gid_map"), &shift(id.outer_gid))?;
    let path = format!("/proc/{pid}/ns/user");
    let file =
        std::fs::File::open(&path).map_err(|e| StepError::new("open", &path, errno_of(&e)))?;
    Ok(file.into())
}

/// `0 -> outer`, and every id below `outer` to itself (an extent may not be empty). What `outer` itself owns on disk has no
/// owner in such a mount.
fn shift(outer: u32) -> String {
    let mut map = format!("0 {outer} 1\n");
    if outer > 1 {
        map.push_str(&format!("1 1 {}\n", outer - 1));
    }
    map
}
