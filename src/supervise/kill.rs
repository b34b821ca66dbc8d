//! The one way to stop a box. No dependency on anything that could fail, block or be slow; every trigger ends here.

#![forbid(unsafe_code)]

use crate::enforce::cgroup::BoxCgroup;
use crate::launch::Spawned;
use crate::sys::process;
use std::os::fd::AsFd as _;

/// Kills init and, with it, everything in its pid namespace (pid_namespaces(7)): nothing is asked, nothing can be caught.
/// Where the box has a cgroup of its own that can do it (cgroup.kill), all its processes die at once as well, and not only
/// when init gets around to dying. Where there is no pid namespace its warden does the same, told by a signal that it has
/// blocked and reads. Being called again, or too late, does no harm.
pub fn kill(spawned: &Spawned, group: Option<&BoxCgroup>) {
    let _ = process::signal_child(spawned.init, spawned.pidfd.as_fd(), spawned.ends_by);
    if let Some(group) = group {
        group.kill_at_once();
    }
}
