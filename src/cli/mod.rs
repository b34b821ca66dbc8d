//! The subcommands: one line each.

#![forbid(unsafe_code)]

pub mod args;
pub mod ask;
pub mod attach;
mod authoring;
mod change;
pub mod check;
#[cfg(feature = "pages")]
pub mod completions;
pub mod demo;
pub mod drill;
pub mod exec;
pub mod explain;
mod import;
mod init;
mod inline;
mod inside;
pub mod kill;
mod left;
mod live;
pub mod logs;
mod machine;
#[cfg(feature = "pages")]
pub mod man;
pub mod network;
pub mod own;
pub mod pause;
pub mod profiles;
pub mod ps;
mod refused;
mod relays;
mod remote;
pub mod restore;
pub mod run;
mod save;
pub mod say;
mod starter;
pub mod status;
pub mod stop;
pub mod trust;
pub mod why;
mod why_live;

use crate::exit;
use crate::host::{Host, HostError, Lookup, RealLookup};
use crate::launch::stdio::Refusal;
use crate::paint;
use crate::plan::Plan;
use crate::plan::net::BadRule;
use crate::plan::problem::{Problem, ProblemKind};
use crate::plan::resolve::{decide, resolve, workspace_of};
use crate::policy::{Breach, Policy, merge, merge_floor};
use crate::profile::project::Project;
use crate::profile::{self, Choice, Places, ProfileError};
use crate::session::SessionError;
use crate::supervise::control::client::CallError;
use args::{Command, GivenValues, PlanArgs, UsageError};
use nix::errno::Errno;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::Path;
use std::process::ExitCode;

/// Parses argv and runs the subcommand.
#[must_use]
pub fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    // Now: some of the processes that come of this one wipe their environment.
    let _known = paint::stderr();
    // A stub of a refused program: not a subcommand, since what stands behind it is anybody's.
    if argv.get(1).is_some_and(|first| first == "refused") {
        return ExitCode::from(refused::refused(argv.get(2..).unwrap_or_default()));
    }
    #[cfg(feature = "pages")]
    if let Some(status) = completions::answer(&argv) {
        return ExitCode::from(status);
    }
    let usage = usage_status(&argv);
    let cli = match args::parse(argv) {
        Ok(cli) => cli,
        Err(error) => return bad_usage(&error, usage),
    };
    if let Some(status) = inside::refused(&cli.command) {
        return ExitCode::from(status);
    }
    ExitCode::from(match cli.command {
        Command::Run(args) => run::run(args),
        Command::Ps(args) => ps::ps(&args),
        Command::Exec(args) => exec::exec(&args),
        Command::Attach(args) => attach::attach(&args),
        Command::Detach(args) => attach::detach(&args),
        Command::Kill(args) => kill::kill(&args),
        Command::Pause(args) => pause::pause(&args),
        Command::Resume(args) => pause::resume(&args),
        Command::Allow(args) => network::allow(&args),
        Command::Deny(args) => network::deny(&args),
        Command::Publish(args) => network::publish(&args),
        Command::Ask(args) => ask::ask(&args),
        Command::Logs(args) => logs::logs(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Why(args) => why::why(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Profiles(args) => profiles::profiles(&args),
        Command::Trust(args) => trust::trust(&args),
        Command::Stop(args) => stop::stop(&args),
        Command::Start(args) => stop::start(&args),
        Command::Status(args) => status::status(&args),
        Command::Drill(args) => drill::drill(&args),
        Command::Restore(args) => restore::restore(&args),
        Command::Init(args) => init::init(&args),
        Command::Own(args) => own::own(&args),
        #[cfg(feature = "pages")]
        Command::Completions(args) => completions::completions(&args),
        #[cfg(feature = "pages")]
        Command::Man(args) => man::man(&args),
    })
}

/// The exit status of bad usage: `run` has one status for everything that is agentbox's own.
fn usage_status(argv: &[OsString]) -> u8 {
    match argv.get(1) {
        Some(first) if first == "run" || first == "exec" => exit::REFUSED,
        _ => exit::USAGE,
    }
}

/// `--help` and `--version` go to stdout and end with 0; everything else is said on stderr.
fn bad_usage(error: &clap::Error, status: u8) -> ExitCode {
    let text = error.render();
    if !error.use_stderr() {
        return match say::painted(&text.ansi().to_string()) {
            say::Said::Fine => ExitCode::SUCCESS,
            say::Said::Lost => ExitCode::from(status),
        };
    }
    // Who types nothing asks what there is.
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        say::help(&text.ansi().to_string());
        return ExitCode::from(status);
    }
    let text = text.to_string();
    say::error(text.strip_prefix("error: ").unwrap_or(&text));
    ExitCode::from(status)
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The flags contradict themselves.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// A profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The command line asks for what the floor forbids; never empty.
    #[error("{}", joined(.0))]
    Floor(Vec<Breach>),
    /// The policy does not fit this host; never empty.
    #[error("{}", joined(.0))]
    Problems(Vec<Problem>),
    /// The facts of this machine cannot be had.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A system call of agentbox itself failed.
    #[error("{0}: {1}")]
    Call(&'static str, Errno),
    /// The plan cannot be written as JSON.
    #[error("the plan cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// Descriptors 0 to 2 are nothing that may reach the box; never empty.
    #[error("{}", joined(.0))]
    Stdio(Vec<Refusal>),
    /// Options that say what a box shall be, in a box.
    #[error(
        "this is a box already, and it is asked about as it is: leave the options and COMMAND out"
    )]
    Fixed,
    /// Options that say what a box shall be, of one that runs.
    #[error("a live session is asked about as it is: leave the options and COMMAND out")]
    Settled,
    /// Not even the supervisor could be forked.
    #[error("{}", crate::launch::diagnose::NO_PROCESS)]
    NoProcess,
    /// A host that is none.
    #[error("{}; {}", .0.what, .0.help)]
    NoHost(BadRule),
    /// A question about nothing that there could be.
    #[error("{0}")]
    NoThing(String),
    /// There is no place for the session's record.
    #[error("the session's record cannot be written: {0}")]
    Session(#[from] SessionError),
    /// No session fits what was typed.
    #[error("{0}")]
    NoSession(String),
    /// A live session could not be asked.
    #[error(transparent)]
    Live(#[from] CallError),
    /// A limit that counts what passes a terminal, and there is none.
    #[error(
        "the limit `{0}` counts what passes the terminal of the box, and this run has none; start it with --detach, or lift it with --limit {0}=none"
    )]
    Unmetered(&'static str),
    /// No remote switch has that name.
    #[error("no remote switch is called `{0}`; configured are: {list}", list = if .1.is_empty() { "none" } else { .1 })]
    NoRemote(String, String),
    /// The policy wants a drill.
    #[error(
        "the remote switch `{0}` has not been drilled within its drill-max-age, or failed: agentbox drill {0}"
    )]
    NotDrilled(String),
    /// A terminal is needed and there is none.
    #[error("none of stdin, stdout and stderr is a terminal")]
    NoTerminal,
    /// `--status-fd` names a descriptor that cannot be written.
    #[error("--status-fd {0}: {why}; open one in the shell, as in `--status-fd 3 3>FILE`", why = if *.0 < 3 { "0, 1 and 2 are the command's" } else { .1.desc() })]
    StatusFd(RawFd, Errno),
}

/// What a run would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Without a secret value.
    pub plan: Plan,
    /// The values of `--env NAME=VALUE`: for the environment of the command and nothing else.
    pub given: GivenValues,
}

/// The names of the steps, in their order, for what prints a plan.
fn steps() -> Vec<&'static str> {
    crate::enforce::STEPS.iter().map(|step| step.name).collect()
}

fn joined<T: ToString>(problems: &[T]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

impl CliError {
    /// For `map_err` of what gives an `io::Error`.
    pub fn io(call: &'static str) -> impl Fn(std::io::Error) -> CliError {
        move |error| CliError::Call(call, Errno::from_raw(error.raw_os_error().unwrap_or(0)))
    }

    /// For `map_err` of what gives an errno.
    pub fn call(call: &'static str) -> impl Fn(Errno) -> CliError {
        move |errno| CliError::Call(call, errno)
    }

    /// What is said, line by line, without the prefix.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.to_string().lines().map(str::to_owned).collect()
    }

    /// The exit status of `run`: a command that cannot be found or executed ends as shells say it, but only where nothing
    /// else is wrong.
    #[must_use]
    pub fn run_status(&self) -> u8 {
        let CliError::Problems(problems) = self else {
            return exit::REFUSED;
        };
        let all = |kind| problems.iter().all(|problem| problem.kind == kind);
        if problems.is_empty() {
            exit::REFUSED
        } else if all(ProblemKind::CommandNotFound) {
            exit::NOT_FOUND
        } else if all(ProblemKind::NotExecutable) {
            exit::CANNOT_EXECUTE
        } else {
            exit::REFUSED
        }
    }

    /// The exit status of the other subcommands.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            CliError::Usage(_)
            | CliError::Fixed
            | CliError::Settled
            | CliError::NoHost(_)
            | CliError::NoThing(_)
            | CliError::StatusFd(..) => exit::USAGE,
            CliError::Profile(_)
            | CliError::Floor(_)
            | CliError::Problems(_)
            | CliError::Host(_)
            | CliError::Json(_)
            | CliError::Stdio(_)
            | CliError::Session(_)
            | CliError::NoSession(_)
            | CliError::Live(_)
            | CliError::NoTerminal
            | CliError::NoRemote(..)
            | CliError::NotDrilled(_)
            | CliError::NoProcess
            | CliError::Unmetered(_)
            | CliError::Call(..) => exit::NO,
        }
    }
}

/// Where this caller's profiles are.
#[must_use]
pub fn places(host: &Host) -> Places {
    let xdg = host.var("XDG_CONFIG_HOME").map(OsString::as_os_str);
    Places::of(host.uid, &host.home, xdg)
}

/// Load and merge: what is wished for a run with these arguments, and the values that are not policy.
///
/// # Errors
/// Bad flags, a profile or a floor that cannot be used, or a flag that the floor forbids.
pub fn policy_for(
    args: &PlanArgs,
    host: &Host,
    places: &Places,
) -> Result<(Policy, GivenValues), CliError> {
    let (flags, given) = args.wishes(&host.cwd)?;
    let choice = match (&args.profile, args.command.first()) {
        (Some(name), _) => Choice::Named(name),
        (None, Some(command)) => Choice::ByCommand(command),
        // clap requires COMMAND; without one the profile of any command is the right one.
        (None, None) => Choice::Named(profile::builtin::FALLBACK.as_ref()),
    };
    let mut loaded = profile::load(choice, places)?;
    if let Some(project) = project(args, host, places)? {
        loaded.fragments.push(project.fragment);
    }
    loaded.fragments.push(flags);
    let fragments = decide(loaded.fragments, &args.request(), host, &RealLookup);
    let mut policy = merge(loaded.profiles, fragments, args.request());
    if let Some(floor) = profile::floor::load(places)? {
        // Memory is below 2^53 bytes: the conversion is exact.
        #[allow(clippy::cast_precision_loss)]
        let memory = (host.memory > 0).then_some(host.memory as f64);
        merge_floor(&mut policy, floor, memory).map_err(CliError::Floor)?;
    }
    Ok((policy, given))
}

/// The file of the project that a run with these arguments would work on.
fn project(args: &PlanArgs, host: &Host, places: &Places) -> Result<Option<Project>, ProfileError> {
    let dir = args.workspace.as_deref().unwrap_or(Path::new(""));
    // A workspace is a directory above the one that is named, by its canonical path. Most have no such file, and then
    // nothing has to be known of it yet.
    let Ok(real) = host.cwd.join(dir).canonicalize() else {
        return Ok(None);
    };
    let is_there = |dir: &Path| dir.join(profile::project::NAME).symlink_metadata().is_ok();
    if !real.ancestors().any(is_there) {
        return Ok(None);
    }
    match workspace_of(&args.request(), host, &RealLookup) {
        Some(workspace) => profile::project::load(&workspace, places),
        // Resolving says what is wrong with it.
        None => Ok(None),
    }
}

/// Load, merge, resolve: what a run with these arguments would be.
///
/// # Errors
/// Bad flags, a profile that cannot be used, or a policy that does not fit this host.
pub fn plan_for(args: &PlanArgs, host: &Host, look: &dyn Lookup) -> Result<Planned, CliError> {
    let (policy, given) = policy_for(args, host, &places(host))?;
    let plan = resolve(&policy, host, look).map_err(CliError::Problems)?;
    Ok(Planned { plan, given })
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
