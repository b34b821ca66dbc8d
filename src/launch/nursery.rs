//! The nursery: a short-lived child of the client that makes the box's user and network namespace while the supervisor still
//! plans, and hands their descriptors over. A network namespace takes the kernel longer than all the rest of a start's
//! clones together (0.4 ms), and on a second processor it costs nobody anything.
//!
//! Only for ordinary callers: the maps of a root caller's namespace depend on the plan. Where it fails nothing is said: the
//! supervisor finds the channel closed and makes the namespaces itself, and that says why it cannot.

#![forbid(unsafe_code)]

use super::channel::Channel;
use crate::enforce::{StepError, build, identity, network, userns_limits};
use crate::sys::process::{self, Fork};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

/// The namespaces that exist before init does.
#[derive(Debug)]
pub struct Namespaces {
    /// The user namespace, with its maps.
    pub user: OwnedFd,
    /// The network namespace, which belongs to it.
    pub net: OwnedFd,
}

/// What the nursery makes.
pub const FLAGS: CloneFlags = CloneFlags::CLONE_NEWUSER.union(CloneFlags::CLONE_NEWNET);

/// Makes the namespaces for the supervisor at the other end of the channel, and waits until that is done. The maps are of
/// this process's own ids.
pub fn raise(supervisor: Channel) {
    let (uid, gid) = (
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    );
    match process::fork_into(FLAGS.bits()) {
        Ok(Fork::Child) => {
            let made = make(&supervisor, uid, gid);
            process::exit_now(u8::from(made.is_err()));
        }
        Ok(Fork::Parent(child, _pidfd)) => {
            drop(supervisor);
            let _ = nix::sys::wait::waitpid(child, None);
        }
        Err(_) => {}
    }
}

fn make(supervisor: &Channel, uid: u32, gid: u32) -> Result<(), StepError> {
    let failed = |call: &'static str| move |errno| StepError::new(call, "", errno);
    process::die_with_parent().map_err(failed("prctl PDEATHSIG"))?;
    let _ = process::set_name(c"agentbox-ns");
    // Among what was inherited is the client's end of its channel, which only the client may hold.
    build::close_all_but(vec![supervisor.as_fd().as_raw_fd()]).map_err(failed("close_range"))?;
    identity::write_own_maps((uid, uid), (gid, gid))?;
    let namespace = |path: &'static str| {
        open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| StepError::new("open", path, errno))
    };
    let fds = [
        namespace("/proc/self/ns/user")?,
        namespace("/proc/self/ns/net")?,
    ];
    // Init does these again, finds them done, and tells what holds.
    let _ = network::loopback();
    let _ = userns_limits::apply_here();
    supervisor
        .send(&(), &fds.each_ref().map(OwnedFd::as_fd))
        .map_err(|e| StepError::new("send", e, Errno::EPIPE))
}

/// Waits for the namespaces. `None` if there are none.
#[must_use]
pub fn take(nursery: &Channel) -> Option<Namespaces> {
    let ((), fds) = nursery.recv::<()>().ok()??;
    let [user, net] = <[OwnedFd; 2]>::try_from(fds).ok()?;
    Some(Namespaces { user, net })
}
