//! `agentbox completions`: the shell asks this program at each Tab, so that it knows the profiles and sessions of the moment.

#![forbid(unsafe_code)]

use super::args::{Cli, CompletionsArgs, ShellName};
use super::say::{self, Said};
use crate::exit;
use crate::host::Host;
use crate::plan::text::is_plain;
use crate::profile::{self, builtin};
use crate::session::Sessions;
use clap::{Command, CommandFactory as _, ValueHint};
use clap_complete::engine::{
    ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter as _,
};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Zsh};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;

/// The variable by which a shell's function asks. It holds the shell's name.
const ASKED: &str = "AGENTBOX_COMPLETE";
/// The program, as it is called.
const NAME: &str = "agentbox";
/// Every shell.
const ALL: [ShellName; 4] = [
    ShellName::Bash,
    ShellName::Zsh,
    ShellName::Fish,
    ShellName::Elvish,
];
/// The most programs that are proposed.
const MOST: usize = 200;
/// The most sessions of the past that are proposed.
const LAST: usize = 20;

/// Prints what the shell has to source.
#[must_use]
pub fn completions(args: &CompletionsArgs) -> u8 {
    let mut script = Vec::new();
    let written = shell(args.shell).write_registration(ASKED, NAME, NAME, NAME, &mut script);
    match written {
        Ok(()) => printed(&script),
        Err(error) => {
            say::error(error);
            exit::NO
        }
    }
}

/// The name of every shell, and what it has to source.
pub(super) fn shells() -> Vec<(&'static str, Vec<u8>)> {
    ALL.map(shell)
        .into_iter()
        .map(|shell| {
            let mut script = Vec::new();
            // A Vec takes everything.
            let _ = shell.write_registration(ASKED, NAME, NAME, NAME, &mut script);
            (shell.name(), script)
        })
        .collect()
}

/// Answers a shell that asks; `None` if none does.
#[must_use]
pub fn answer(argv: &[OsString]) -> Option<u8> {
    let asked = std::env::var_os(ASKED).filter(|name| !name.is_empty())?;
    // Not a shell's name: somebody else's variable.
    let shell = ALL
        .map(shell)
        .into_iter()
        .find(|shell| asked == shell.name())?;
    // The words of the line stand behind `--`.
    let from = argv.iter().position(|word| word == "--")? + 1;
    let words = argv.get(from..).unwrap_or_default().to_vec();
    let fits = match shell.name() {
        "bash" => fits_bash,
        _ => fits_others,
    };
    let mut command = command(fits, has_command(&words));
    command.build();
    let mut answer = Vec::new();
    let cwd = std::env::current_dir().ok();
    // Whatever fails, a line of an error in the middle of what is typed helps nobody.
    Some(
        match shell.write_complete(&mut command, words, cwd.as_deref(), &mut answer) {
            Ok(()) => printed(&answer),
            Err(_) => exit::NO,
        },
    )
}

/// Is COMMAND there already, before the word that is typed? What follows is its arguments, which are files more often than programs.
fn has_command(words: &[OsString]) -> bool {
    // fish gives no number, and no words behind the one that is typed.
    let index = std::env::var("_CLAP_COMPLETE_INDEX").ok();
    let index = index.and_then(|index| index.parse().ok());
    let typed = index.unwrap_or_else(|| words.len().saturating_sub(1));
    let before = words.iter().take(typed);
    let found = Cli::command()
        .ignore_errors(true)
        .try_get_matches_from(before);
    found.is_ok_and(|found| {
        let sub = found.subcommand();
        sub.is_some_and(|(_, sub)| sub.try_contains_id("command").unwrap_or(false))
    })
}

fn printed(bytes: &[u8]) -> u8 {
    match say::out(&String::from_utf8_lossy(bytes)) {
        Said::Fine => 0,
        Said::Lost => exit::NO,
    }
}

fn shell(name: ShellName) -> &'static dyn EnvCompleter {
    match name {
        ShellName::Bash => &Bash,
        ShellName::Zsh => &Zsh,
        ShellName::Fish => &Fish,
        ShellName::Elvish => &Elvish,
    }
}

/// Whether a name can be proposed. Files of the working copy have the names that an agent gave them.
type Fits = fn(&OsStr) -> bool;

/// bash puts a word into the line as it is, where `a;b` is two commands: what it would have to quote is not proposed.
fn fits_bash(name: &OsStr) -> bool {
    name.as_encoded_bytes()
        .iter()
        .all(|byte| is_plain(byte) || !byte.is_ascii())
        && fits_others(name)
}

/// The others quote. A line of the answer is a proposal, and a terminal shows it.
fn fits_others(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| !name.chars().any(char::is_control))
}

/// The command line, with what can be proposed for values. Here and not at the flags: a run does not pay for it.
fn command(fits: Fits, has_command: bool) -> Command {
    let command = Cli::command();
    let pages = subcommands(&command);
    let command = proposing(command, fits, has_command);
    command.mut_subcommand("man", |man| {
        man.mut_arg("command", |arg| {
            arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                candidates(typed, pages.iter().map(|page| (page.clone(), None)))
            }))
        })
    })
}

fn subcommands(command: &Command) -> Vec<String> {
    let names = command.get_subcommands().map(Command::get_name);
    names.map(str::to_owned).collect()
}

fn proposing(command: Command, fits: Fits, has_command: bool) -> Command {
    let names = subcommands(&command);
    let ended = ["logs", "restore"].contains(&command.get_name());
    let command = command.mut_args(|arg| {
        let id = arg.get_id().as_str().to_owned();
        let value = arg.get_value_names().unwrap_or_default().first();
        let value = value.map(ToString::to_string).unwrap_or_default();
        match id.as_str() {
            "profile" | "agent" => arg.add(ArgValueCompleter::new(profiles)),
            "id" | "ids" | "session" => arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                sessions(typed, ended)
            })),
            "command" => arg.add(ArgValueCompleter::new(
                move |typed: &OsStr| match has_command {
                    true => files(PathCompleter::any(), typed, fits),
                    false => programs(typed, fits),
                },
            )),
            _ if value == "NAME|FILE" => arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                let mut found = profiles(typed);
                found.extend(files(PathCompleter::file(), typed, fits));
                found
            })),
            _ => match (words(&value), paths(arg.get_value_hint())) {
                (Some(words), _) => arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                    candidates(typed, words.iter().map(|word| (word.clone(), None)))
                })),
                (None, Some(made)) => arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                    files(made(), typed, fits)
                })),
                (None, None) => arg,
            },
        }
    });
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |sub| proposing(sub, fits, has_command))
    })
}

/// A value that is one of a few words is called by them: `none|filtered|host`.
fn words(value: &str) -> Option<Vec<String>> {
    let words: Vec<_> = value.split('|').map(str::to_owned).collect();
    let is_word = |word: &String| word.bytes().all(|byte| byte.is_ascii_lowercase());
    (words.len() > 1 && words.iter().all(is_word)).then_some(words)
}

fn profiles(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Ok(host) = Host::gather() else {
        return Vec::new();
    };
    let listed = profile::list(&super::places(&host)).into_iter();
    let names = listed.map(|listed| {
        let about = listed.parsed.ok().and_then(|fragment| fragment.description);
        (listed.name, about)
    });
    candidates(typed, names)
}

/// Those that live; also the last ones that have `ended`, where these are what is asked for.
fn sessions(typed: &OsStr, ended: bool) -> Vec<CompletionCandidate> {
    let Ok(host) = Host::gather() else {
        return Vec::new();
    };
    let state = host.var("XDG_STATE_HOME").map(OsString::as_os_str);
    // Nothing is cleaned up and nothing is made for a Tab.
    let sessions = Sessions::locate(&host.home, state)
        .ok()
        .filter(|path| path.is_dir())
        .and_then(|_| Sessions::open(&host.home, state).ok());
    let Some(sessions) = sessions else {
        return Vec::new();
    };
    // Newest first: names begin with the time.
    let ids = sessions.ids().unwrap_or_default().into_iter().rev();
    let newest = ids.enumerate();
    let fit = newest.filter(|(n, id)| ended && *n < LAST || sessions.is_live(id));
    candidates(typed, fit.map(|(_, id)| (id.as_str().to_owned(), None)))
}

/// What proposes paths, for values that are such.
fn paths(hint: ValueHint) -> Option<fn() -> PathCompleter> {
    match hint {
        ValueHint::AnyPath | ValueHint::ExecutablePath => Some(PathCompleter::any),
        ValueHint::FilePath => Some(PathCompleter::file),
        ValueHint::DirPath => Some(PathCompleter::dir),
        _ => None,
    }
}

fn files(paths: PathCompleter, typed: &OsStr, fits: Fits) -> Vec<CompletionCandidate> {
    let mut found = paths.complete(typed);
    found.retain(|candidate| fits(candidate.get_value()));
    found
}

/// Programs of PATH, agents first: the profiles know them.
fn programs(typed: &OsStr, fits: Fits) -> Vec<CompletionCandidate> {
    if typed.as_encoded_bytes().contains(&b'/') {
        return files(PathCompleter::file(), typed, fits);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = BTreeSet::new();
    for dir in std::env::split_paths(&path).filter(|dir| dir.is_absolute()) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let begins = name
                .as_encoded_bytes()
                .starts_with(typed.as_encoded_bytes());
            let runs = || {
                let is_program = |meta: std::fs::Metadata| {
                    meta.is_file() && meta.permissions().mode() & 0o111 != 0
                };
                std::fs::metadata(entry.path()).is_ok_and(is_program)
            };
            if begins && fits(&name) && runs() {
                found.extend(name.into_string());
            }
        }
    }
    let is_agent = |name: &String| {
        let mut commands = builtin::ALL.iter().flat_map(|profile| profile.commands);
        commands.any(|command| command == name)
    };
    let (agents, others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_agent);
    let names = agents.into_iter().chain(others).take(MOST);
    candidates(typed, names.map(|name| (name, None)))
}

fn candidates(
    typed: &OsStr,
    names: impl Iterator<Item = (String, Option<String>)>,
) -> Vec<CompletionCandidate> {
    let fits = |name: &str| name.as_bytes().starts_with(typed.as_encoded_bytes());
    names
        .filter(|(name, _)| fits(name))
        .map(|(name, about)| CompletionCandidate::new(name).help(about.map(Into::into)))
        .collect()
}
