//! The nursery: a short-lived child of the client that makes namespaces of the box while the supervisor still plans, and hands
//! their descriptors over. A network namespace takes the kernel longer than all the rest of a start's clones together
//! (0.4 ms). Then, where an earlier start left a [`Forecast`], it begins the view in a mount namespace of its own, which init
//! takes over if what is there is what the plan says. On a second processor all of it costs nobody anything.
//!
//! The ids of a root caller's box depend on the plan, so that its view is not begun early, and the supervisor writes the maps
//! when it knows them. Where the nursery fails nothing is said: the supervisor finds the channel closed and init makes
//! everything itself, and that says why it cannot.

#![forbid(unsafe_code)]

use super::channel::Channel;
use crate::enforce::forecast::{self, Early, Forecast};
use crate::enforce::nest::{self, Nest};
use crate::enforce::{StepError, build, identity, network, userns_limits};
use crate::plan::{IdentityMode, Plan};
use crate::sys::process::{self, Fork};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The namespaces that exist before init does.
#[derive(Debug)]
pub struct Namespaces {
    made: Made,
    /// The nursery, for as long as the channel to it is open.
    pid: Pid,
    /// A view that was begun.
    view: Option<View>,
}

/// What comes with the descriptors.
#[derive(Serialize, Deserialize)]
struct Handed {
    pid: i32,
    /// The forecast by which a view was begun.
    view: Option<Box<RawValue>>,
}

/// In the order of [`MADE`]; the user namespace has its maps, and the others belong to it.
type Made = [OwnedFd; MADE.len()];

#[derive(Debug)]
struct View {
    namespace: OwnedFd,
    root: OwnedFd,
    /// The forecast that it was made by.
    text: Box<RawValue>,
}

/// What the nursery always makes.
const MADE: [(&str, CloneFlags); 4] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("net", CloneFlags::CLONE_NEWNET),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
];

/// The same as one.
pub const FLAGS: CloneFlags = CloneFlags::CLONE_NEWUSER
    .union(CloneFlags::CLONE_NEWNET)
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS);

/// A nursery that works. It has ended when the command runs, and is gone when this is dropped.
#[derive(Debug)]
pub struct Raised {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Drop for Raised {
    fn drop(&mut self) {
        let _ = process::signal_child(self.pid, self.pidfd.as_fd(), libc::SIGKILL);
        let _ = nix::sys::wait::waitpid(self.pid, None);
    }
}

/// Starts it, for the supervisor at the other end of the channel. The maps are of this process's own ids. `forecast` is where
/// an earlier start may have left one.
#[must_use]
pub fn raise(supervisor: Channel, forecast: impl FnOnce() -> Option<PathBuf>) -> Option<Raised> {
    let (uid, gid) = (
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    );
    match process::fork_into(FLAGS.bits()) {
        Ok(Fork::Child) => {
            let forecast = forecast();
            // Nothing of the caller's is left to be read here, should the box see processes of this place.
            let _ = process::wipe_startup_block(c"agentbox: nursery");
            let made = make(&supervisor, uid, gid, forecast);
            process::exit_now(u8::from(made.is_err()));
        }
        Ok(Fork::Parent(pid, pidfd)) => Some(Raised { pid, pidfd }),
        Err(_) => None,
    }
}

fn namespace(name: &str) -> Result<OwnedFd, StepError> {
    let path = Path::new("/proc/self/ns").join(name);
    open(&path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| StepError::new("open", path.display(), errno))
}

fn make(
    supervisor: &Channel,
    uid: u32,
    gid: u32,
    forecast: Option<PathBuf>,
) -> Result<(), StepError> {
    let failed = |call: &'static str| move |errno| StepError::new(call, "", errno);
    process::die_with_parent().map_err(failed("prctl PDEATHSIG"))?;
    let _ = process::set_name(c"agentbox-ns");
    // Among what was inherited is the client's end of its channel, which only the client may hold.
    build::close_all_but(vec![supervisor.as_fd().as_raw_fd()]).map_err(failed("close_range"))?;
    let pid = nix::unistd::getpid().as_raw();
    if uid == 0 {
        let fds = MADE.iter().map(|(name, _)| namespace(name));
        let fds = fds.collect::<Result<Vec<_>, _>>()?;
        let handed: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
        send(supervisor, &Handed { pid, view: None }, &handed)?;
        // The maps are written by way of this process.
        let _end = supervisor.recv::<()>();
        return Ok(());
    }
    identity::write_own_maps((uid, uid), (gid, gid))?;
    let mut fds = Vec::with_capacity(MADE.len() + 2);
    for (name, _) in MADE {
        fds.push(namespace(name)?);
    }
    // Init does these again, finds them done, and tells what holds.
    let _ = network::loopback();
    let _ = userns_limits::apply_here(userns_limits::Further::No);
    // A view that could not be begun as foreseen is none: the file system has changed since.
    let text = forecast.and_then(|place| forecast::read(&place));
    let view = text.and_then(|text| begin(&text).ok());
    let text = view.map(|(text, namespace, root)| {
        fds.extend([namespace, root]);
        text
    });
    let handed: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
    send(supervisor, &Handed { pid, view: text }, &handed)
}

fn send(supervisor: &Channel, what: &Handed, fds: &[BorrowedFd<'_>]) -> Result<(), StepError> {
    supervisor
        .send(what, fds)
        .map_err(|e| StepError::new("send", e, Errno::EPIPE))
}

/// Begins the view in a new mount namespace.
fn begin(text: &str) -> Result<(Box<RawValue>, OwnedFd, OwnedFd), StepError> {
    let unusable = |e| StepError::new("read the forecast", e, Errno::EINVAL);
    let forecast: Forecast = serde_json::from_str(text).map_err(unusable)?;
    unshare(CloneFlags::CLONE_NEWNS)
        .map_err(|errno| StepError::new("unshare", "CLONE_NEWNS", errno))?;
    let namespace = namespace("mnt")?;
    // As in init: modes are meant as they are written.
    umask(Mode::empty());
    let root = nest::build_early(&forecast)?;
    let text = RawValue::from_string(text.to_owned()).map_err(unusable)?;
    Ok((text, namespace, root))
}

/// Waits for the namespaces. `None` if there are none.
#[must_use]
pub fn take(nursery: &Channel) -> Option<Namespaces> {
    let (Handed { pid, view }, fds) = nursery.recv::<Handed>().ok()??;
    let mut fds = fds.into_iter();
    let mut next = || fds.next();
    let made = [next()?, next()?, next()?, next()?];
    let view = view.and_then(|text| {
        let (namespace, root) = (next()?, next()?);
        Some(View {
            namespace,
            root,
            text,
        })
    });
    let pid = Pid::from_raw(pid);
    Some(Namespaces { made, pid, view })
}

/// What init gets of it.
pub(super) struct Fitting {
    made: Made,
    /// The mount namespace with the view that was begun.
    view: Option<OwnedFd>,
    /// What is done of that.
    pub(super) nest: Option<Nest>,
    /// The forecast for the next start, where this one had none or another one.
    pub(super) forecast: Option<String>,
}

impl Namespaces {
    /// Compares what was begun with the plan: it is taken as it is, or not at all. Writes the maps of a root caller's box.
    pub(super) fn fit(self, plan: &Plan) -> Result<Fitting, StepError> {
        let Namespaces { made, pid, view } = self;
        if plan.identity.mode != IdentityMode::Same {
            identity::write_maps(&plan.identity, pid)?;
            return Ok(Fitting {
                made,
                view: None,
                nest: None,
                forecast: None,
            });
        }
        let early = Early::of(plan);
        let right = forecast::text(plan, &early);
        Ok(match view {
            Some(view) if right.as_deref() == Some(view.text.get()) => Fitting {
                made,
                view: Some(view.namespace),
                nest: Some(Nest {
                    root: view.root,
                    early,
                }),
                forecast: None,
            },
            _ => Fitting {
                made,
                view: None,
                nest: None,
                forecast: right,
            },
        })
    }
}

impl Fitting {
    /// What the new process enters, each by its `CLONE_NEW*`.
    pub(super) fn joins(&self) -> Vec<(BorrowedFd<'_>, CloneFlags)> {
        let made = self.made.iter().zip(MADE);
        let made = made.map(|(fd, (_, flag))| (fd.as_fd(), flag));
        let view = self.view.iter();
        made.chain(view.map(|view| (view.as_fd(), CloneFlags::CLONE_NEWNS)))
            .collect()
    }
}
