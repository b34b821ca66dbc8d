//! From a plan to a running box: [`Spawned`] (init builds) -> [`Ready`] (it stands and was proven from inside) -> handed to the supervisor.

#![forbid(unsafe_code)]

pub mod channel;
pub mod command;
mod connector;
pub mod diagnose;
mod hangup;
pub mod init;
pub mod join;
mod keyboard;
pub mod message;
pub mod nursery;
pub mod place;
mod sockets;
pub mod stage;
pub mod stdio;
mod still;
mod warden;

use crate::enforce::cgroup::{BoxCgroup, CgroupError};
use crate::enforce::identity::Maps;
use crate::enforce::prepare::Prepare;
pub use crate::enforce::pty;
use crate::enforce::{Act, STEPS, StepError, identity};
use crate::outcome::Evidence;
use crate::plan::net::listen::{Listener, Pass};
use crate::plan::rung::Rung;
use crate::plan::{IdentityMode, MountOp, NetworkMode, OsText, Plan, View};
use crate::sys::joined::fork_joined;
use crate::sys::process::{self, Fork};
use crate::sys::{errno_of, random};
use channel::{Channel, ChannelError};
use message::{FromInit, ToInit};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;
use nursery::Namespaces;
use pty::HostTerminal;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// Everything that a launch needs besides the plan. Holds secrets: never serialised.
pub struct Inputs {
    /// The caller's environment.
    pub caller_env: Vec<(OsString, OsString)>,
    /// Values of `--env NAME=VALUE`.
    pub given: BTreeMap<OsText, OsText>,
    /// The session's identifier.
    pub session: String,
    /// The session's directory: exists outside, must not exist inside.
    pub outside: PathBuf,
    /// The caller's terminal, if the box gets a pseudo-terminal.
    pub terminal: Option<HostTerminal>,
    /// What the command's descriptors 0 to 2 become.
    pub stdio: command::Stdio,
    /// Copies of state files: path inside and content.
    pub state: Vec<(OsText, Vec<u8>)>,
    /// The socket on which the stubs of refused programs report; init gives it its name in the box.
    pub report: Option<OwnedFd>,
    /// The socket of the box's ssh agent, if it has one; likewise.
    pub agent: Option<OwnedFd>,
    /// The supervisor's ends of what it relays, with the caller's own: init lets go of them before anything else.
    pub relayed: Vec<RawFd>,
    /// What the supervisor found to hold of the limits.
    pub limits: Evidence,
    /// The signal mask, ignored signals and umask that the caller gave agentbox: the command gets them.
    pub inherited: command::Inherited,
}

/// Why there is no box.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A step failed, in the supervisor or in init.
    #[error("the box could not be built: step `{step}`: {why}")]
    Step {
        /// The name of the step.
        step: String,
        /// What was tried and what the kernel said.
        why: String,
        /// The errno.
        errno: i32,
    },
    /// Init ended without a word.
    #[error("init of the box ended before the box stood")]
    InitLost,
    /// The socket to init failed.
    #[error("the socket to init: {0}")]
    Channel(#[from] ChannelError),
}

impl LaunchError {
    fn step(name: &str, e: &StepError) -> Self {
        LaunchError::Step {
            step: name.to_owned(),
            why: e.to_string(),
            errno: e.errno as i32,
        }
    }
}

/// Init was started and builds.
#[derive(Debug)]
pub struct Spawned {
    /// Its pid, as the supervisor sees it; the warden's where there is no pid namespace.
    pub init: Pid,
    /// Readable when it is gone.
    pub pidfd: OwnedFd,
    /// To init.
    pub channel: Channel,
    /// The signal that ends it, and with it everything in the box.
    pub ends_by: i32,
    /// The session's directory, where there is no view: it goes with a box that comes to nothing.
    pub place: Option<PathBuf>,
    /// What the next start may foresee of its view, where that is not known yet.
    pub forecast: Option<String>,
    /// What the connector begins its connections to the gate with, where there is one.
    pub pass: Option<Pass>,
}

/// The box stands.
#[derive(Debug)]
pub struct Ready {
    /// Init.
    pub spawned: Spawned,
    /// What was found to hold.
    pub evidence: Vec<Evidence>,
    /// The namespaces, in the order of `enforce::build::NAMESPACES`.
    pub namespaces: Vec<OwnedFd>,
    /// What the kernel says of init (proc_pid_status(5)), opened by init itself.
    pub status: Option<File>,
    /// The file of the plan in the box, empty.
    pub extract: Option<File>,
    /// The pseudo-terminal's master.
    pub pty: Option<OwnedFd>,
    /// HOME of the box, if there are state files.
    pub home: Option<OwnedFd>,
    /// The listeners of a filtered network.
    pub listeners: Vec<(Listener, OwnedFd)>,
}

/// Carries out the supervisor's steps and starts init, which carries out the rest.
///
/// # Errors
/// The step that failed. Nothing is left then.
pub fn spawn(
    plan: &Plan,
    inputs: Inputs,
    group: Option<&BoxCgroup>,
    early: Option<Namespaces>,
) -> Result<Spawned, LaunchError> {
    let mut prepare = Prepare::new(plan);
    for step in STEPS {
        if let Act::Supervisor(act) = step.act {
            act(&mut prepare).map_err(|e| LaunchError::step(step.name, &e))?;
        }
    }
    let (ours, theirs) = channel::pair().map_err(|e| {
        LaunchError::step("channel", &StepError::new("socketpair", e, Errno::EMFILE))
    })?;
    let is_bare = plan.standing.rung == Rung::Landlock;
    let mut flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if plan.network.mode != NetworkMode::Host {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    if group.is_none() {
        flags |= CloneFlags::CLONE_NEWCGROUP;
    }
    // What was made early fits if init has such namespaces.
    let mut early = early
        .filter(|_| plan.standing.rung == Rung::Full && flags.contains(nursery::FLAGS))
        .map(|early| early.fit(plan))
        .transpose()
        .map_err(|e| LaunchError::step("identity", &e))?;
    let maps = match &early {
        Some(_) => Maps::Written,
        None if is_bare => Maps::Written,
        None if plan.identity.mode == IdentityMode::Same => Maps::Mine,
        None => Maps::Supervisors,
    };
    let mut doors = match group {
        Some(group) => group.doors().map_err(|e| limits(&e))?,
        None => Vec::new(),
    };
    let group_waits = group.filter(|_| doors.is_empty());
    let waits = group_waits.is_some() || maps == Maps::Supervisors;
    let (mut nest, forecast) = match &mut early {
        Some(early) => (early.nest.take(), early.forecast.take()),
        None => (None, None),
    };
    // In the child these are copies: what it takes, the supervisor still has.
    let ours = Cell::new(Some(ours));
    let mut work = Some((inputs, prepare));
    let connector = Cell::new(None);
    let pass = connected_by(plan)
        .then(|| random::bytes().map(Pass::new))
        .transpose()
        .map_err(|e| {
            let e = StepError::new("getrandom", "for the connector", errno_of(&e));
            LaunchError::step("network", &e)
        })?;
    let mut child = || -> ! {
        drop(ours.take());
        let Some((inputs, prepare)) = work.take() else {
            process::exit_now(1)
        };
        let start = init::Start {
            waits,
            own_cgroup: group.is_some() && !is_bare,
            maps,
            nest: nest.take(),
            doors: std::mem::take(&mut doors),
            connector: connector.take(),
        };
        init::main(plan, inputs, prepare, &theirs, start)
    };
    let forked = match &early {
        _ if is_bare => warden::spawn(plan.standing.bare.as_ref(), pass, |door| {
            connector.set(door);
            child()
        }),
        Some(early) => {
            let mut rest = flags;
            let joins = early.joins();
            joins.iter().for_each(|(_, flag)| rest.remove(*flag));
            let joins: Vec<_> = joins
                .into_iter()
                .map(|(fd, flag)| (fd, flag.bits()))
                .collect();
            fork_joined(&joins, rest.bits(), &mut || child())
        }
        None => match process::fork_into(flags.bits()) {
            Ok(Fork::Child) => child(),
            Ok(Fork::Parent(init, pidfd)) => Ok((init, pidfd)),
            Err(errno) => Err(errno),
        },
    };
    let (init, pidfd) = forked.map_err(|errno| {
        let call = if early.is_some() {
            "setns, pidfd_open, clone3"
        } else {
            "clone3"
        };
        let e = StepError::new(call, "with new namespaces", errno);
        // Of EAGAIN the supervisor says what it means.
        let e = match errno {
            Errno::EAGAIN => e,
            _ => e.remedy("user namespaces must be allowed: see `agentbox check`"),
        };
        LaunchError::step("namespaces", &e)
    })?;
    let spawned = Spawned {
        init,
        pidfd,
        channel: ours.take().ok_or(LaunchError::InitLost)?,
        place: bare_place(plan),
        ends_by: if is_bare { warden::END } else { libc::SIGKILL },
        forecast,
        pass,
    };
    if waits && let Err(e) = spawned.let_go(plan, group_waits, maps) {
        spawned.destroy();
        return Err(e);
    }
    Ok(spawned)
}

/// Whether a connector makes the box's connections to the gate.
fn connected_by(plan: &Plan) -> bool {
    let bare = plan.standing.bare.as_ref();
    bare.is_some_and(|bare| bare.port.is_some())
}

fn bare_place(plan: &Plan) -> Option<PathBuf> {
    let bare = plan.standing.bare.as_ref()?;
    Some(bare.place.path().to_owned())
}

fn limits(e: &CgroupError) -> LaunchError {
    LaunchError::step("limits", &StepError::new("join", e, e.errno))
}

impl Spawned {
    /// Writes the maps, moves init into its cgroup and tells it.
    fn let_go(
        &self,
        plan: &Plan,
        group: Option<&BoxCgroup>,
        maps: Maps,
    ) -> Result<(), LaunchError> {
        if let Some(group) = group {
            group.join(self.init).map_err(|e| limits(&e))?;
        }
        if maps == Maps::Supervisors {
            identity::write_maps(&plan.identity, self.init)
                .map_err(|e| LaunchError::step("identity", &e))?;
        }
        Ok(self.channel.send(&ToInit::Mapped, &[])?)
    }

    /// Waits until the box stands or a step of init failed. When it has its root, `rooted` gets its namespaces and the pidfd
    /// of init, which goes on meanwhile.
    ///
    /// # Errors
    /// The step that failed, or what `rooted` says; init is gone then.
    pub fn ready(
        self,
        plan: &Plan,
        mut rooted: impl FnMut(&[OwnedFd], BorrowedFd<'_>) -> Result<(), LaunchError>,
    ) -> Result<Ready, LaunchError> {
        let mut listeners = Vec::new();
        let mut namespaces = Vec::new();
        let mut status = None;
        let word = loop {
            match self.channel.recv::<FromInit>() {
                Ok(Some((FromInit::Rooted, mut fds))) if namespaces.is_empty() => {
                    status = fds.pop().map(File::from);
                    if let Err(e) = rooted(&fds, self.pidfd.as_fd()) {
                        self.destroy();
                        return Err(e);
                    }
                    namespaces = fds;
                }
                Ok(Some((FromInit::Listeners { list }, fds))) if list.len() == fds.len() => {
                    listeners.extend(list.into_iter().zip(fds));
                }
                word => break word,
            }
        };
        match word {
            Ok(Some((FromInit::Ready { evidence }, fds))) => {
                let mut rest = fds.into_iter();
                let extract = rest.next();
                let has_pty = rest.len() > usize::from(!plan.state.is_empty());
                let pty = if has_pty { rest.next() } else { None };
                Ok(Ready {
                    spawned: self,
                    evidence,
                    namespaces,
                    status,
                    extract: extract.map(File::from),
                    pty,
                    home: rest.next(),
                    listeners,
                })
            }
            Ok(Some((FromInit::Failed { step, why, errno }, _))) => {
                self.destroy();
                Err(LaunchError::Step { step, why, errno })
            }
            Ok(_) => {
                self.destroy();
                Err(LaunchError::InitLost)
            }
            Err(e) => {
                self.destroy();
                Err(e.into())
            }
        }
    }

    /// Kills init, and with it everything in its pid namespace, and waits until it is gone.
    pub fn destroy(&self) {
        let _ = process::signal_child(self.init, self.pidfd.as_fd(), self.ends_by);
        let _ = nix::sys::wait::waitpid(self.init, None);
        if let Some(place) = &self.place {
            let _ = std::fs::remove_dir_all(place);
        }
    }
}

/// Can the grants of this plan be id-mapped (root callers)? Tried by doing.
///
/// # Errors
/// Which grant cannot, and why.
pub fn idmap_works(plan: &Plan) -> Result<(), StepError> {
    let maps = identity::mount_userns(&plan.identity)?;
    // Only what is to be mapped and is there: what the launch makes first says nothing of the file system.
    let mapped = |op: &MountOp| match op {
        MountOp::Bind { source, idmap, .. } => *idmap && source.path().exists(),
        _ => false,
    };
    let view = View {
        ops: plan
            .view
            .ops
            .iter()
            .filter(|op| mapped(op))
            .cloned()
            .collect(),
    };
    let only = Plan {
        view,
        ..plan.clone()
    };
    crate::enforce::sources::clone_sources(&only, maps.as_ref()).map(drop)
}
