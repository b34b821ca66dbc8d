//! `agentbox run`: arguments -> plan -> supervisor and terminal client.

#![forbid(unsafe_code)]

use super::args::RunArgs;
use super::{CliError, Planned, plan_for, say};
use crate::host::{Host, Idmap, RealLookup};
use crate::launch::channel;
use crate::launch::command::{Descriptor, Inherited};
use crate::launch::{self, Inputs, stdio};
use crate::outcome::{Evidence, Layer};
use crate::report;
use crate::session::Sessions;
use crate::supervise::client::{self, ClientEnd, ClientLink, Signals};
use crate::supervise::relay::{Direction, RelayPipe};
use crate::supervise::{self, Job};
use crate::sys::process::{self, Fork};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use std::os::fd::RawFd;
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
    let mut host = Host::gather()?;
    let mut planned = plan_for(&args.plan, &host, &RealLookup)?;
    if host.uid == 0
        && args.plan.may_be_missing(Layer::Identity)
        && let Err(e) = launch::idmap_works(&planned.plan)
    {
        host.idmap = Idmap::Refused(e.to_string());
        planned = plan_for(&args.plan, &host, &RealLookup)?;
    }
    if args.dry_run {
        let _ = say::out(&report::plan::text(&planned.plan, &super::steps()));
        return Ok(0);
    }
    start(args.quiet, status, host, planned)
}

fn start(
    quiet: bool,
    status: Option<std::fs::File>,
    host: Host,
    planned: Planned,
) -> Result<u8, CliError> {
    let Planned { plan, given } = planned;
    let stdio = stdio::classify().map_err(CliError::Stdio)?;
    let terminal = stdio::wants_pty(&stdio)
        .then(crate::launch::pty::HostTerminal::capture)
        .flatten();
    let mut pipes = Vec::new();
    let descriptors = descriptors(&stdio, &mut pipes)?;
    let signals = Signals::block().map_err(|errno| CliError::Call("sigprocmask", errno))?;
    let inherited = inherited(signals.before());
    // A caller may have it ignored: then nobody is told of a child's end, and the kernel reaps it unasked.
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    process::set_handler(Signal::SIGCHLD, &default)
        .map_err(|errno| CliError::Call("sigaction", errno))?;
    let (client, control) = channel::pair().map_err(CliError::io("socketpair"))?;
    let (data, client_data) = match terminal {
        Some(_) => {
            let (a, b) = channel::stream_pair().map_err(CliError::io("socketpair"))?;
            (Some(a), Some(b))
        }
        None => (None, None),
    };
    let sessions = Sessions::open(
        &host.home,
        host.var("XDG_STATE_HOME").map(|v| v.as_os_str()),
    )
    .map_err(CliError::Session)?;
    let job = Job {
        banner: if quiet {
            Vec::new()
        } else {
            report::plan::banner(&plan)
        },
        inputs: Inputs {
            caller_env: host.env,
            given,
            session: String::new(),
            outside: PathBuf::new(),
            terminal: terminal.clone(),
            stdio: descriptors,
            state: Vec::new(),
            report: None,
            inherited,
            limits: Evidence::full(Layer::Limits),
        },
        plan,
        cgroup: host.cgroup,
        sessions,
        status,
        client: control,
        data,
        pipes,
    };
    match process::fork_into(0).map_err(|errno| CliError::Call("clone3", errno))? {
        Fork::Child => {
            drop((client, client_data));
            // The supervisor reads its signals from a descriptor; nothing may interrupt or stop it.
            let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
            let _ = nix::unistd::setsid();
            let _ = process::set_name(c"agentbox-super");
            let _ = process::wipe_startup_block(c"agentbox: supervisor");
            let status = supervise::run(job);
            process::exit_now(status)
        }
        Fork::Parent(supervisor, _pidfd) => {
            let kept = job.kept_by_client();
            let end = client::run(ClientLink {
                control: client,
                data: client_data,
                signals,
                terminal,
            });
            // Nothing of agentbox is left when `run` returns.
            let _ = nix::sys::wait::waitpid(supervisor, None);
            if end == ClientEnd::Lost {
                kept.supervisor_lost();
            }
            Ok(end.status())
        }
    }
}

/// What each descriptor of the command becomes; for a relayed one a pipe is made, and the supervisor gets its other end.
fn descriptors(
    stdio: &[stdio::Stdio; 3],
    pipes: &mut Vec<RelayPipe>,
) -> Result<[Descriptor; 3], CliError> {
    let mut out = [const { Descriptor::Inherit }; 3];
    for (number, found) in (0u8..).zip(stdio) {
        let becomes = match found {
            stdio::Stdio::Pty => Descriptor::Pty,
            stdio::Stdio::Inherit => Descriptor::Inherit,
            stdio::Stdio::Null => Descriptor::Null,
            // stdout and stderr that are one socket share one pipe, so that their order is kept.
            stdio::Stdio::Relay { first } => match out.get(usize::from(*first)) {
                Some(Descriptor::Pipe(shared)) if *first != number => {
                    Descriptor::Pipe(shared.try_clone().map_err(CliError::io("dup"))?)
                }
                _ => {
                    let direction = if number == 0 {
                        Direction::In
                    } else {
                        Direction::Out
                    };
                    let socket = process::duplicate(RawFd::from(number))
                        .map_err(|e| CliError::Call("dup", e))?;
                    let (relay, theirs) = RelayPipe::new(direction, socket)
                        .map_err(|e| CliError::Call(e.call, e.errno))?;
                    pipes.push(relay);
                    Descriptor::Pipe(theirs)
                }
            },
        };
        if let Some(slot) = out.get_mut(usize::from(number)) {
            *slot = becomes;
        }
    }
    Ok(out)
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
