//! `agentbox run`: arguments -> policy -> supervisor, which plans, and terminal client.

#![forbid(unsafe_code)]

use super::args::GivenValues;
use super::args::RunArgs;
use super::relays::descriptors;
use super::{CliError, attach, drill, places, policy_for, say};
use crate::host::{Host, Idmap, RealLookup};
use crate::launch::channel::{self, Channel};
use crate::launch::command::{Descriptor, Inherited};
use crate::launch::pty::HostTerminal;
use crate::launch::{self, Inputs, nursery, stdio};
use crate::outcome::{Evidence, Layer};
use crate::plan::resolve::resolve;
use crate::plan::rung::Rung;
use crate::plan::{Limit, LimitBy, NetworkMode, Plan};
use crate::policy::Policy;
use crate::report;
use crate::session::{SessionError, Sessions};
use crate::supervise::client::{self, ClientEnd, ClientLink, Signals};
use crate::supervise::relay::RelayPipe;
use crate::supervise::{self, Attendance, Job};
use crate::sys::process::{self, Fork};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use std::env;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::path::PathBuf;

/// Runs a command in a box. Returns the exit status.
#[must_use]
pub fn run(args: RunArgs) -> u8 {
    match flow(args) {
        Ok(status) => status,
        Err(e) => {
            for line in e.lines() {
                say::error(&line);
            }
            e.run_status()
        }
    }
}

fn flow(args: RunArgs) -> Result<u8, CliError> {
    // First of all: what the caller left open is not the box's, nor ours (traps: an open directory, a connected socket).
    close_inherited(args.status_fd)?;
    let status = args.status_fd.map(status_file).transpose()?;
    if args.dry_run {
        let (plan, _host) = Wanted::of(args)?.plan()?;
        let _ = say::painted(&report::plan::text(&plan, &super::steps()));
        return Ok(0);
    }
    start(args, status)
}

/// What is wished, and of whom.
struct Wanted {
    args: RunArgs,
    host: Host,
    policy: Policy,
    given: GivenValues,
}

impl Wanted {
    /// Reads the profiles.
    fn of(args: RunArgs) -> Result<Wanted, CliError> {
        let host = Host::gather()?;
        let (mut policy, given) = policy_for(&args.plan, &host, &places(&host))?;
        policy.request.drill.clone_from(&args.drill);
        Ok(Wanted {
            args,
            host,
            policy,
            given,
        })
    }

    /// The plan, the sessions and the host of a run whose terminal is that.
    fn ready(&self, terminal: Option<&HostTerminal>) -> Result<(Plan, Sessions, Host), CliError> {
        let (plan, host) = self.plan()?;
        drill::recent(&plan, &host)?;
        let counted = |limit: &&Limit| limit.by == LimitBy::Terminal;
        if terminal.is_none()
            && let Some(limit) = plan.limits.list.iter().find(counted)
        {
            return Err(CliError::Unmetered(limit.name.word()));
        }
        Ok((plan, sessions(&host)?, host))
    }

    /// Makes the plan. What was found out about the host on the way is in the host that is returned.
    fn plan(&self) -> Result<(Plan, Host), CliError> {
        let mut host = self.host.clone();
        if self.accepts_less() {
            launch::place::settle(&mut host);
        }
        let resolve =
            |host: &Host| resolve(&self.policy, host, &RealLookup).map_err(CliError::Problems);
        let plan = resolve(&host)?;
        if host.uid == 0
            && (self.args.plan.may_be_missing(Layer::Identity)
                || plan.standing.rung == Rung::ContainerProc)
            && plan.standing.rung != Rung::Landlock
            && let Err(e) = launch::idmap_works(&plan)
        {
            host.idmap = Idmap::Refused(e.to_string());
            return Ok((resolve(&host)?, host));
        }
        Ok((plan, host))
    }

    /// A rung below the full one is accepted: then it has to be known which one this place allows.
    fn accepts_less(&self) -> bool {
        let rung = self.policy.wishes.rung.as_ref().map(|wish| wish.value);
        rung.unwrap_or_default() > Rung::Nested
    }
}

/// What the client still needs of its environment when that is wiped.
struct Kept {
    home: Option<OsString>,
    state: Option<OsString>,
}

impl Kept {
    fn new() -> Kept {
        Kept {
            home: env::var_os("HOME").filter(|home| !home.is_empty()),
            state: env::var_os("XDG_STATE_HOME"),
        }
    }

    /// The supervisor was killed.
    fn clean_up(self) {
        let Ok(mut host) = Host::gather() else { return };
        if let Some(home) = self.home {
            host.home = PathBuf::from(home);
        }
        if let Ok(sessions) = Sessions::open(&host.home, self.state.as_deref()) {
            supervise::lost(&sessions, &host.cgroup);
        }
    }
}

/// Where a start leaves what the next one of this command with these options in this directory may foresee.
fn forecast(args: &RunArgs) -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|at| at.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    let mut hasher = DefaultHasher::new();
    // What is wished, and the command without what is its own business.
    let own = args.plan.command.len().saturating_sub(1);
    let words = env::args_os().len().saturating_sub(own);
    env::args_os()
        .take(words)
        .skip(1)
        .for_each(|word| word.hash(&mut hasher));
    env::current_dir().ok()?.hash(&mut hasher);
    Some(state.join(format!("agentbox/forecast/{:016x}", hasher.finish())))
}

/// The namespaces are the same whatever the plan will be, and the network has its own unless a profile says otherwise.
fn has_nursery(args: &RunArgs) -> bool {
    args.plan.net != Some(NetworkMode::Host)
}

/// Descriptors that the supervisor has and the client must not keep.
struct Handed {
    control: Channel,
    attendance: Attendance,
    data: Option<OwnedFd>,
    stdio: [Descriptor; 3],
    pipes: Vec<RelayPipe>,
    status: Option<std::fs::File>,
    nursery: Option<Channel>,
}

/// The supervisor is forked off before anything is read, while this process is small; it plans, and meanwhile this process
/// makes namespaces for it.
fn start(args: RunArgs, status: Option<std::fs::File>) -> Result<u8, CliError> {
    let attendance = if args.detach {
        Attendance::Leaves
    } else {
        Attendance::Stays
    };
    let (stdio, terminal) = match attendance {
        Attendance::Stays => {
            let stdio = stdio::classify().map_err(CliError::Stdio)?;
            let has = stdio::wants_pty(&stdio);
            (stdio, has.then(HostTerminal::capture).flatten())
        }
        // Nothing of the caller's: it goes, and the session stays.
        Attendance::Leaves => {
            let terminal = HostTerminal::capture_or_default().map_err(CliError::call("openpty"))?;
            ([stdio::Stdio::Pty; 3], Some(terminal))
        }
    };
    let mut pipes = Vec::new();
    let descriptors = descriptors(&stdio, &mut pipes)?;
    let signals = Signals::block().map_err(|errno| CliError::Call("sigprocmask", errno))?;
    let inherited = inherited(signals.before());
    // A caller may have it ignored: then nobody is told of a child's end, and the kernel reaps it unasked.
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    process::set_handler(Signal::SIGCHLD, &default)
        .map_err(|errno| CliError::Call("sigaction", errno))?;
    let (client, control) = channel::pair().map_err(CliError::io("socketpair"))?;
    let (data, client_data) = match (&terminal, attendance) {
        (Some(_), Attendance::Stays) => {
            let (a, b) = channel::stream_pair().map_err(CliError::io("socketpair"))?;
            (Some(a), Some(b))
        }
        _ => (None, None),
    };
    let (nursery, theirs) = if has_nursery(&args) {
        let (a, b) = channel::pair().map_err(CliError::io("socketpair"))?;
        (Some(a), Some(b))
    } else {
        (None, None)
    };
    let handed = Handed {
        control,
        attendance,
        data,
        stdio: descriptors,
        pipes,
        status,
        nursery: theirs,
    };
    match process::fork_into(0).map_err(|errno| match errno {
        nix::errno::Errno::EAGAIN => CliError::NoProcess,
        errno => CliError::Call("clone3", errno),
    })? {
        Fork::Child => {
            drop((client, client_data, nursery));
            // The supervisor reads its signals from a descriptor; nothing may interrupt or stop it.
            let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
            let _ = nix::unistd::setsid();
            let _ = process::set_name(c"agentbox-super");
            // A box full of processes that compute must not make those wait that end it: this one, init, the warden, a watch.
            let _ = process::short_turns();
            process::exit_now(supervisor(args, handed, terminal, inherited))
        }
        Fork::Parent(supervisor, pidfd) => {
            drop(handed);
            let _ = process::short_turns();
            let nursery = nursery.and_then(|nursery| nursery::raise(nursery, || forecast(&args)));
            // Where the box sees processes of this place, and this may even be PID 1 of a container, its environment, arguments
            // (`--env NAME=VALUE`) and memory are nobody's. Whether this box will is only known to the supervisor.
            let kept = Kept::new();
            let _ = process::set_undumpable();
            let _ = process::wipe_startup_block(c"agentbox: client");
            reap_unasked();
            if attendance == Attendance::Leaves {
                drop(signals);
                return Ok(attach::sent_away(&client).unwrap_or_else(|| {
                    let _ = nix::sys::wait::waitpid(supervisor, None);
                    kept.clean_up();
                    ClientEnd::Lost.status()
                }));
            }
            let end = client::run(ClientLink {
                control: client,
                data: client_data,
                role: client::Role::Owner,
                signals,
                terminal,
                nursery,
                supervisor: Some(pidfd),
            });
            if end == ClientEnd::Detached {
                return Ok(end.status());
            }
            // Nothing of agentbox is left when `run` returns.
            let _ = nix::sys::wait::waitpid(supervisor, None);
            match end {
                ClientEnd::Lost => kept.clean_up(),
                ClientEnd::CalledOff(_, typed) => {
                    kept.clean_up();
                    if let Some(scope) = typed {
                        client::end_by_it(scope);
                    }
                }
                ClientEnd::Interrupted(scope) => client::end_by_it(scope),
                ClientEnd::Ended { .. } | ClientEnd::Detached => {}
            }
            Ok(end.status())
        }
    }
}

/// As PID 1 of a container this process is given what other processes there leave behind (`docker exec`, the editor of a
/// development container). It waits for none of it, so the kernel reaps it; else each took a place of the engine's limit of
/// processes for as long as the container lives. A wait for the supervisor still ends with it.
fn reap_unasked() {
    if nix::unistd::getpid().as_raw() == 1 {
        let ignored = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        let _ = process::set_handler(Signal::SIGCHLD, &ignored);
    }
}

fn sessions(host: &Host) -> Result<Sessions, SessionError> {
    let state = host.var("XDG_STATE_HOME").map(OsString::as_os_str);
    Sessions::open(&host.home, state)
}

/// The supervisor's life: plan, and run. Returns the exit status of `agentbox run`.
fn supervisor(
    args: RunArgs,
    handed: Handed,
    terminal: Option<HostTerminal>,
    inherited: Inherited,
) -> u8 {
    let forecast = forecast(&args);
    let planned =
        Wanted::of(args).and_then(|wanted| Ok((wanted.ready(terminal.as_ref())?, wanted)));
    let ((plan, sessions, host), wanted) = match planned {
        Ok(planned) => planned,
        Err(e) => {
            for line in e.lines() {
                say::error(&line);
            }
            let (client, lines) = (&handed.control, handed.status);
            return supervise::status_lines::not_begun(
                client,
                lines,
                &e.to_string(),
                e.run_status(),
            );
        }
    };
    let _ = process::wipe_startup_block(c"agentbox: supervisor");
    if plan.standing.rung == Rung::Landlock {
        // With a user namespace it is the kernel that keeps the box from it, and init has to write its maps while it can.
        let _ = process::set_undumpable();
    }
    lend(&handed.stdio, plan.identity.outer_uid);
    supervise::run(Job {
        banner: match wanted.args.quiet {
            true => None,
            false => Some(report::banner::banner),
        },
        inputs: Inputs {
            caller_env: host.env,
            given: wanted.given,
            session: String::new(),
            outside: PathBuf::new(),
            terminal,
            stdio: handed.stdio,
            state: Vec::new(),
            report: None,
            agent: None,
            inherited,
            relayed: handed
                .pipes
                .iter()
                .flat_map(RelayPipe::descriptors)
                .collect(),
            limits: Evidence::full(Layer::Limits),
        },
        plan,
        cgroup: host.cgroup,
        sessions,
        status: handed.status,
        client: handed.control,
        attendance: handed.attendance,
        data: handed.data,
        pipes: handed.pipes,
        nursery: handed.nursery,
        forecast,
    })
}

/// The command can open its pipes again.
fn lend(descriptors: &[Descriptor; 3], uid: u32) {
    for descriptor in descriptors {
        if let Descriptor::Pipe(pipe) = descriptor {
            stdio::lend(pipe.as_fd(), uid);
        }
    }
}

/// What the command inherits of the caller's signals and umask.
fn inherited(mask: SigSet) -> Inherited {
    let ignored = Signal::iterator()
        // Rust's runtime ignores SIGPIPE at the start of main, so what the caller wanted of it is not known.
        .filter(|signal| *signal != Signal::SIGPIPE && crate::sys::sigaction::is_ignored(*signal))
        .collect();
    Inherited {
        mask,
        ignored,
        umask: umask(Mode::from_bits_truncate(0o077)),
    }
}

fn close_inherited(status_fd: Option<RawFd>) -> Result<(), CliError> {
    crate::enforce::build::close_all_but(status_fd.into_iter().collect())
        .map_err(|errno| CliError::Call("close_range", errno))
}

fn status_file(fd: RawFd) -> Result<std::fs::File, CliError> {
    let file = process::take_descriptor(fd).map_err(|errno| CliError::StatusFd(fd, errno))?;
    Ok(std::fs::File::from(file))
}
