//! [`Build`]: what init has in hand while it carries out its steps, and the steps that are only a few calls.

#![forbid(unsafe_code)]

use super::limits::OpenFiles;
use super::newroot::LateFile;
use super::pty::{self, HostTerminal, Pty};
use super::seccomp::SeccompError;
use super::{StepError, bare, limits, prove, seccomp, userns_limits};
use crate::outcome::{Evidence, Layer, Status};
use crate::plan::net::listen::Listener;
use crate::plan::rung::Rung;
use crate::plan::{OsText, Plan};
use crate::sys::process::{self, CloseRange};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

/// What init has in hand.
pub struct Build<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Waits until the supervisor has written the maps and moved this process into its cgroup, where it has to.
    pub wait_for_supervisor: &'a dyn Fn() -> Result<(), StepError>,
    /// Hands the namespaces to the supervisor when the new root is the root.
    pub rooted: &'a dyn Fn(&[OwnedFd]) -> Result<(), StepError>,
    /// Hands the filter's listener to who answers in its name.
    pub hand_over: &'a dyn Fn(OwnedFd) -> Result<(), StepError>,
    /// Who writes the id maps.
    pub maps: super::identity::Maps,
    /// A cgroup was joined after the clone, so its namespace is made now.
    pub own_cgroup: bool,
    /// What the supervisor found to hold of the limits.
    pub limits: Evidence,
    /// Clones of the host's trees, where the supervisor made them.
    pub sources: Option<Vec<Option<super::newroot::Source>>>,
    /// The new root, where the nursery has begun it.
    pub nest: Option<super::nest::Nest>,
    /// Copies of state files: path inside and content.
    pub state: Vec<(OsText, Vec<u8>)>,
    /// The socket on which the stubs of refused programs report, without a name yet.
    pub report: Option<OwnedFd>,
    /// The socket of the box's ssh agent, likewise.
    pub agent: Option<OwnedFd>,
    /// The compiled filter.
    pub filter: seccomp::Program,
    /// Bytes of each private place.
    pub disk: u64,
    /// The caller's terminal, if the box gets a pseudo-terminal.
    pub terminal: Option<HostTerminal>,
    /// A path that exists outside and must not exist inside.
    pub outside: &'a Path,
    /// The environment of the command, built.
    pub envp: &'a [CString],
    /// The caller's environment, to be wiped.
    pub caller_env: Vec<(OsString, OsString)>,
    /// Descriptors above 2 that must stay open: the socket to the supervisor, pipes of the command.
    pub keep: Vec<RawFd>,
    /// The file of the plan in the box, which the supervisor writes when there is time.
    pub extract: Option<LateFile>,
    /// The pseudo-terminal.
    pub pty: Option<Pty>,
    /// HOME of the box, where state files are.
    pub home: Option<OwnedFd>,
    /// Namespace descriptors, for the supervisor, until it has them.
    pub namespaces: Vec<OwnedFd>,
    /// The listeners of a filtered network, for the gate.
    pub listeners: Vec<(Listener, OwnedFd)>,
    /// Raised until the box stands.
    pub open_files: OpenFiles,
    /// What was found so far.
    pub evidence: Vec<Evidence>,
}

impl Build<'_> {
    /// The layer was switched off on purpose.
    fn is_off(&self, layer: Layer) -> bool {
        self.plan.off.iter().any(|off| off.layer == layer)
    }
}

/// Bounds what the box may take of namespaces and watches, and takes descriptors of its namespaces out while this process is
/// still dumpable.
pub(super) fn namespaces(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    if is_bare(b) {
        return Ok(Some(bare::namespaces()));
    }
    if b.own_cgroup {
        nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP)
            .map_err(|errno| StepError::new("unshare", "CLONE_NEWCGROUP", errno))?;
    }
    let evidence = match b.plan.standing.rung {
        Rung::Nested => userns_limits::apply_here(userns_limits::Further::Some)?,
        Rung::Full | Rung::ContainerProc | Rung::Landlock => {
            userns_limits::apply_here(userns_limits::Further::No)?
        }
    };
    for name in NAMESPACES {
        let path = Path::new("/proc/self/ns").join(name);
        let fd = open(&path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| StepError::new("open", path.display(), errno))?;
        b.namespaces.push(fd);
    }
    // Last, what the kernel says of init: where /proc hides it (hidepid), the supervisor could not open that by its number.
    let path = Path::new("/proc/self/status");
    let status = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| StepError::new("open", path.display(), errno))?;
    b.namespaces.push(status);
    Ok(Some(evidence))
}

/// The namespaces whose descriptors go to the supervisor, in this order.
pub const NAMESPACES: [&str; 3] = ["user", "mnt", "net"];

/// Where the mount namespace is among them.
pub const MNT: usize = 1;

/// rlimits; what the cgroup does was found by the supervisor.
pub(super) fn limits(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    // What a limit of the plan replaces is the caller's own.
    b.open_files.put_back();
    let mine = limits::apply(&b.plan.limits, b.plan.identity.outer_uid);
    b.open_files.raise();
    let all = limits::combine(b.limits.clone(), mine);
    Ok(Some(match (b.plan.standing.rung, &all.status) {
        (Rung::Nested, Status::Full) => {
            all.but("an inner sandbox makes file systems in memory without a limit of their size")
        }
        _ => all,
    }))
}

/// The pseudo-terminal, in the box's own devpts so that its name exists inside.
pub(super) fn terminal(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    let failed = |call, on: &'static str| move |errno| StepError::new(call, on, errno);
    // Init leads the session, the command is a process group in it: then Ctrl-Z stops the command and init sees it.
    nix::unistd::setsid().map_err(failed("setsid", ""))?;
    if let Some(host) = &b.terminal {
        let failed = |e: pty::PtyError| StepError::new("make the pseudo-terminal", e, Errno::EIO);
        let ptmx = if is_bare(b) {
            pty::OF_THE_PLACE
        } else {
            pty::OWN
        };
        let pty = pty::open_in(Path::new(ptmx), host).map_err(failed)?;
        pty::make_controlling(pty.slave.as_fd()).map_err(failed)?;
        b.pty = Some(pty);
    }
    if !b.plan.state.is_empty() {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let home = open(b.plan.identity.home.path(), flags, Mode::empty())
            .map_err(|errno| StepError::new("open", &b.plan.identity.home, errno))?;
        b.home = Some(home);
    }
    Ok(None)
}

/// A new session keyring. Where the user's quota of keys is used up (near 200 boxes) the filter alone carries it.
pub(super) fn keyring(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    match process::join_session_keyring() {
        Ok(()) => Ok(Some(Evidence::full(Layer::Keyring).proven("a new session keyring"))),
        Err(Errno::ENOSYS) => Ok(Some(Evidence::full(Layer::Keyring).proven("this kernel has no keyrings"))),
        Err(Errno::EDQUOT) if !b.is_off(Layer::Seccomp) => Ok(Some(
            Evidence::full(Layer::Keyring).proven("the quota of keys is used up: keyctl, add_key and request_key are denied by seccomp alone"),
        )),
        // An engine's filter refuses the call: nobody reaches a key, with this filter or without.
        Err(Errno::EPERM) if is_bare(b) => {
            Ok(Some(Evidence::full(Layer::Keyring).proven("keyctl is refused here already")))
        }
        Err(errno) => Err(StepError::new("keyctl", "JOIN_SESSION_KEYRING", errno)),
    }
}

/// Wipes what this process inherited of the caller's environment and arguments.
pub(super) fn environment(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    process::wipe_startup_block(c"agentbox: init")
        .map_err(|errno| StepError::new("wipe", "the environment block", errno))?;
    // Best effort for the copies on the heap; that nobody can read them is the non-dumpable bit's work.
    for (name, value) in std::mem::take(&mut b.caller_env) {
        for text in [name, value] {
            let mut bytes = text.into_vec();
            bytes.fill(0);
            std::hint::black_box(&bytes);
        }
    }
    let count = b.envp.len();
    Ok(Some(
        Evidence::full(Layer::Environment).proven(format!("{count} variables, built from nothing")),
    ))
}

/// Closes everything that this process inherited and does not need, and becomes non-dumpable.
pub(super) fn descriptors(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    process::set_undumpable().map_err(|errno| StepError::new("prctl", "DUMPABLE", errno))?;
    if process::dumpable() != Ok(0) {
        return Err(StepError::new(
            "prctl",
            "init is still dumpable",
            Errno::EPERM,
        ));
    }
    let mut keep = b.keep.clone();
    let listeners = b.listeners.iter().map(|(_, socket)| socket);
    let fds = b.home.iter().chain(listeners);
    keep.extend(fds.map(AsRawFd::as_raw_fd));
    keep.extend(b.extract.iter().flat_map(LateFile::descriptors));
    keep.extend(
        b.pty
            .iter()
            .flat_map(|pty| [pty.master.as_raw_fd(), pty.slave.as_raw_fd()]),
    );
    close_all_but(keep).map_err(|errno| StepError::new("close_range", "", errno))?;
    Ok(Some(
        Evidence::full(Layer::Descriptors).proven("close_range; init is not dumpable"),
    ))
}

/// Closes every descriptor above 2 that is not listed.
///
/// # Errors
/// The errno of close_range(2).
pub fn close_all_but(mut keep: Vec<RawFd>) -> Result<(), Errno> {
    keep.sort_unstable();
    keep.dedup();
    let mut next = 3;
    for fd in keep.into_iter().filter(|fd| *fd > 2) {
        process::close_range(next, fd - 1, CloseRange::Now)?;
        next = fd + 1;
    }
    process::close_range(next, RawFd::MAX, CloseRange::Now)
}

/// Landlock, unless the plan says off.
pub(super) fn landlock(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    if b.is_off(Layer::Landlock) {
        return Ok(Some(Evidence::absent(
            Layer::Landlock,
            "switched off by the profile",
        )));
    }
    if is_bare(b) {
        let rules = bare::rules(b)?;
        return super::landlock::apply_bare(&rules, bare::tcp(b)).map(Some);
    }
    if b.plan.standing.rung == Rung::Nested {
        return super::landlock::apply_scopes(b.plan.network.mode).map(Some);
    }
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let own = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    super::landlock::apply(&b.plan.landlock, b.plan.network.mode, &own).map(Some)
}

/// The kernel lets a process have one listener (seccomp(2), EBUSY).
const LISTENED: &str = "who runs this place listens to its system calls already (seccomp_unotify), and only one can: use --net none";

/// The system call filter, unless the plan says off.
pub(super) fn seccomp(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    if b.is_off(Layer::Seccomp) {
        return Ok(Some(Evidence::absent(
            Layer::Seccomp,
            "switched off by the profile",
        )));
    }
    let mut installed = b.filter.apply().map_err(|e| {
        let failed = StepError::new("install the seccomp filter", e, Errno::EINVAL);
        match e {
            SeccompError::Install {
                errno: Errno::EBUSY,
            } => failed.remedy(LISTENED),
            _ => failed,
        }
    })?;
    if let Some(listener) = installed.listener.take() {
        (b.hand_over)(listener)?;
    }
    let evidence = installed.evidence();
    Ok(Some(match b.plan.standing.rung {
        Rung::Nested => evidence.but(
            "an inner sandbox may be made: it has the kernel's calls for namespaces and mounts",
        ),
        Rung::Full | Rung::ContainerProc | Rung::Landlock => evidence,
    }))
}

/// There are no namespaces.
fn is_bare(b: &Build<'_>) -> bool {
    b.plan.standing.rung == Rung::Landlock
}

/// Runs every step of init in order.
///
/// # Errors
/// The name of the step that failed, and how.
pub fn run(b: &mut Build<'_>) -> Result<(), (&'static str, StepError)> {
    for step in super::STEPS {
        if let super::Act::Init(act) = step.act
            && let Some(evidence) = act(b).map_err(|e| (step.name, e))?
        {
            b.evidence.push(evidence);
        }
    }
    prove::check(b).map_err(|e| ("proof", e))
}
