//! The command line: clap, and from there one `Fragment` with `Origin::Cli` (`plan`). From there on flags and profile files
//! are one kind of input. Values that were given (`--env NAME=VALUE`) are kept apart: no secret may enter policy or plan.
//! One file for each group of subcommands.

#![forbid(unsafe_code)]

mod demo;
mod drill;
mod examples;
pub mod init;
mod live;
mod name;
mod network;
mod own;
#[cfg(feature = "pages")]
mod pages;
mod plan;
mod restore;
mod run;
mod show;
mod stop;
mod trust;
mod why;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
pub use demo::DemoArgs;
pub use drill::DrillArgs;
pub use live::{ExecArgs, IdArgs, IdsArgs, KillArgs, LogsArgs, PsArgs};
pub use network::{AskArgs, PublishArgs, RuleArgs};
pub use own::{OwnArgs, OwnCommand};
#[cfg(feature = "pages")]
pub use pages::{CompletionsArgs, ManArgs, ShellName};
pub use plan::{CliLimit, GivenValues, PlanArgs, UsageError};
pub use restore::RestoreArgs;
pub use run::RunArgs;
pub use show::{CheckArgs, ExplainArgs, ImportFrom, ProfilesArgs, ProfilesCommand};
use std::ffi::{OsStr, OsString};
pub use stop::{StartArgs, StatusArgs, StopArgs, WhichArgs};
pub use trust::TrustArgs;
pub use why::{Verb, WhyArgs};

/// agentbox.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "agentbox",
    version,
    about = "Runs a coding agent in a box: of your files it sees and changes only what its profile grants",
    after_help = examples::AGENTBOX,
    disable_help_subcommand = true,
    subcommand_required = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run COMMAND in the box; the profile is chosen by COMMAND's name
    #[command(after_help = examples::RUN)]
    Run(RunArgs),
    /// List the live sessions, with what they cost
    #[command(after_help = examples::PS)]
    Ps(PsArgs),
    /// Run another command in a session's box, under all its layers
    #[command(after_help = examples::EXEC)]
    Exec(ExecArgs),
    /// Show a session's terminal, also beside others that do
    #[command(after_help = examples::ATTACH)]
    Attach(IdArgs),
    /// Make the terminals of a session leave; it goes on
    #[command(after_help = examples::DETACH)]
    Detach(IdArgs),
    /// Kill everything in a session's box, at once
    #[command(after_help = examples::KILL)]
    Kill(KillArgs),
    /// Stop everything in a session's box where it is
    #[command(after_help = examples::PAUSE)]
    Pause(IdsArgs),
    /// Let a paused session go on
    #[command(after_help = examples::RESUME)]
    Resume(IdsArgs),
    /// Let a live session reach a host
    #[command(after_help = examples::ALLOW)]
    Allow(RuleArgs),
    /// Let a live session reach a host no more
    #[command(after_help = examples::DENY)]
    Deny(RuleArgs),
    /// Let the host reach a port of a live session's box
    #[command(after_help = examples::PUBLISH)]
    Publish(PublishArgs),
    /// Ask you, in this terminal, about each host that a live session is refused
    #[command(after_help = examples::ASK)]
    Ask(AskArgs),
    /// Show what happened in a session
    #[command(after_help = examples::LOGS)]
    Logs(LogsArgs),
    /// Show what a run would be allowed, and who says so
    #[command(after_help = examples::EXPLAIN)]
    Explain(ExplainArgs),
    /// Would the box allow it, by which rule, and what would change that
    #[command(after_help = examples::WHY)]
    Why(WhyArgs),
    /// Find out by trying what this host can enforce
    #[command(after_help = examples::CHECK)]
    Check(CheckArgs),
    /// Replay an incident in a scratch world, without the box and in it, and see what is stopped
    #[command(after_help = examples::DEMO)]
    Demo(DemoArgs),
    /// List, show, validate, begin, compare and import profiles
    #[command(after_help = examples::PROFILES)]
    Profiles(ProfilesArgs),
    /// Let a project's .agentbox.toml grant, as it is now
    #[command(after_help = examples::TRUST)]
    Trust(TrustArgs),
    /// Kill sessions and let none start
    #[command(after_help = examples::STOP)]
    Stop(StopArgs),
    /// Take back what `stop` did
    #[command(after_help = examples::START)]
    Start(StartArgs),
    /// Show the kill switch: what is on, how it is watched, whom it stops
    #[command(after_help = examples::STATUS)]
    Status(StatusArgs),
    /// Trip each kill switch for a box of its own, and measure until that is dead
    #[command(after_help = examples::DRILL)]
    Drill(DrillArgs),
    /// List what sessions moved away because its name is protected, and give it back
    #[command(after_help = examples::RESTORE)]
    Restore(RestoreArgs),
    /// Begin a configuration of your own, or write what a CI runner or a development container needs
    #[command(after_help = examples::INIT)]
    Init(init::InitArgs),
    /// Look at this installation itself
    #[command(name = "self", after_help = examples::OWN)]
    Own(OwnArgs),
    /// Print what makes a shell complete agentbox's flags, profiles and sessions
    #[cfg(feature = "pages")]
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them
    #[cfg(feature = "pages")]
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
}

/// Parses argv (the program first).
///
/// # Errors
/// What clap says, with a line of help for flags that this version does not have yet. `--help` and `--version` are "errors"
/// of clap, too.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let argv: Vec<OsString> = argv.into_iter().collect();
    if let Some(run) = parse_run(&argv) {
        return Ok(run);
    }
    let first = argv.get(1).cloned().unwrap_or_default();
    let mut command = Cli::command();
    command
        .try_get_matches_from_mut(argv)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| not_yet(error, &first))
}

/// `run` alone: what clap builds for the flags of twenty other subcommands was half of what parsing costs a start.
#[derive(Debug, Parser)]
#[command(
    name = "agentbox",
    disable_help_subcommand = true,
    subcommand_required = true
)]
struct RunCli {
    #[command(subcommand)]
    command: RunCommand,
}

#[derive(Debug, Subcommand)]
enum RunCommand {
    Run(RunArgs),
}

/// Parses a `run` that is right. Everything else is parsed by all rules, and so every error and help is theirs.
fn parse_run(argv: &[OsString]) -> Option<Cli> {
    argv.get(1).filter(|first| *first == "run")?;
    let RunCommand::Run(args) = RunCli::try_parse_from(argv).ok()?.command;
    Some(Cli {
        command: Command::Run(args),
    })
}

/// What is said to a flag that there is not, beside what is similar: one of a later version (leaving it out is safe only if the
/// human knows), and one that is somewhere else.
const NO_FLAGS: [(&str, &str); 3] = [
    (
        "--review",
        "--review is not enforced by this version of agentbox",
    ),
    (
        "--ssh",
        "servers to log in to by ssh are named in a profile: [ssh] hosts",
    ),
    ("--detach", "only `agentbox run` has it"),
];

/// What other programs call what is another word here.
const OTHER_WORDS: [(&str, &str); 5] = [
    ("help", "agentbox --help, or agentbox COMMAND --help"),
    ("version", "agentbox --version"),
    ("list", "the live sessions: agentbox ps"),
    (
        "ls",
        "the live sessions: agentbox ps; to run it in the box: agentbox run ls",
    ),
    ("sessions", "the live sessions: agentbox ps"),
];

fn not_yet(mut error: clap::Error, first: &OsStr) -> clap::Error {
    // `agentbox claude`, as with sudo or env.
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand)
        && first == name.as_str()
        // What clap finds similar (`pause` for `claude`) is more than what a slip of the finger makes.
        && (OTHER_WORDS.iter().any(|(word, _)| word == name)
            || crate::profile::closest(name, Cli::command().get_subcommands().map(clap::Command::get_name)).is_none())
    {
        let other = OTHER_WORDS.iter().find(|(word, _)| word == name);
        let line = match other {
            Some((_, line)) => (*line).to_owned(),
            None => format!("to run it in the box: agentbox run {name}"),
        };
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![line.into()]),
        );
    }
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
    {
        let name = flag.split('=').next().unwrap_or(flag);
        if let Some((_, line)) = NO_FLAGS.iter().find(|(flag, _)| *flag == name) {
            error.remove(ContextKind::SuggestedArg);
            error.insert(
                ContextKind::Suggested,
                ContextValue::StyledStrs(vec![(*line).into()]),
            );
        }
    }
    error
}
