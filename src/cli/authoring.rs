//! `agentbox profiles new`, `diff` and `import`: for who writes a profile.

#![forbid(unsafe_code)]

use super::change::{ChangeError, change};
use super::import::{Settings, claude};
use super::say::{self, Said};
use super::starter;
use crate::exit;
use crate::host::{Host, RealLookup};
use crate::plan::OsText;
use crate::plan::resolve::workspace_of;
use crate::policy::{Fragment, Request, merge};
use crate::profile::{self, Choice, Places, builtin, json_schema};
use crate::report::wishes::difference;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Why there is no new profile.
#[derive(Debug, thiserror::Error)]
enum NewError {
    /// Not a name.
    #[error("`{0}` is not the name of a profile: letters, digits, `-`, `_` and `.`")]
    NoName(OsText),
    /// No such agent.
    #[error("there is no built-in profile `{0}`; there are: {list}", list = builtin::agents().chain(["shell"]).collect::<Vec<_>>().join(", "))]
    NoAgent(String),
    /// There is no HOME.
    #[error("you have no configuration directory: HOME is not set")]
    NoHome,
    /// There is one.
    #[error("{} exists already", OsText::from(.0.as_path()))]
    Exists(PathBuf),
    /// It cannot be written.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Prints a profile to begin with, or writes it under a name. Returns the exit status.
pub(super) fn new(name: Option<&OsStr>, agent: Option<&str>, host: &Host, places: &Places) -> u8 {
    match begin(name, agent, host, places) {
        Ok(said) => ended(&said),
        Err(error) => {
            say::error(&error);
            match error {
                NewError::NoName(_) | NewError::NoAgent(_) => exit::USAGE,
                _ => exit::NO,
            }
        }
    }
}

fn begin(
    name: Option<&OsStr>,
    agent: Option<&str>,
    host: &Host,
    places: &Places,
) -> Result<String, NewError> {
    let installed = |agent: &&str| super::check::on_path(host, agent).is_some();
    let agent = match agent {
        Some(agent) => {
            builtin::get(agent)
                .ok_or_else(|| NewError::NoAgent(agent.to_owned()))?
                .name
        }
        // Of its own name, if there is one: the file takes its place, and every run of that command would go without what it grants.
        None => match name.and_then(OsStr::to_str).and_then(builtin::get) {
            Some(replaced) => replaced.name,
            None => builtin::agents()
                .find(installed)
                .unwrap_or(builtin::FALLBACK),
        },
    };
    let request = Request {
        argv: Vec::new(),
        workspace: None,
        drill: None,
    };
    let project = workspace_of(&request, host, &RealLookup).unwrap_or_else(|| host.cwd.clone());
    let Some(name) = name else {
        return Ok(starter::text(&project, agent, None));
    };
    let valid = name.to_str().filter(|name| profile::is_name(name));
    let valid = valid.ok_or_else(|| NewError::NoName(OsText::from(name)))?;
    let dir = places.user.as_ref().ok_or(NewError::NoHome)?;
    let file = dir.join("profiles").join(format!("{valid}.toml"));
    let exists = || file.symlink_metadata().is_ok_and(|meta| meta.len() > 0);
    if exists() {
        return Err(NewError::Exists(file));
    }
    change::<_, NewError>(&dir.join("schema.json"), || {
        Ok((Some(json_schema::schema()), ()))
    })?;
    let text = starter::text(&project, agent, Some("../schema.json"));
    change(&file, || {
        // Under the lock: of two, one writes.
        if exists() {
            return Err(NewError::Exists(file.clone()));
        }
        Ok((Some(text), ()))
    })?;
    let replaces = match builtin::get(valid) {
        Some(_) => format!(": from now on `{valid}` is this one, and no longer the built-in one"),
        None => String::new(),
    };
    let agent = starter::command_of(agent);
    Ok(format!(
        "{}{replaces}\nlook at it, then: agentbox profiles validate {valid} && agentbox explain -p {valid} -- {agent}\n",
        OsText::from(file.as_path())
    ))
}

/// What two profiles wish differently, with all that they extend. Returns the exit status: 1 if there is something.
pub(super) fn diff(first: &OsStr, second: &OsStr, places: &Places) -> u8 {
    let wishes = |name: &OsStr| -> Result<Fragment, profile::ProfileError> {
        let loaded = profile::load(Choice::Named(name), places)?;
        Ok(merge(loaded.profiles, loaded.fragments, Request::default()).wishes)
    };
    match wishes(first).and_then(|first| Ok((first, wishes(second)?))) {
        Ok((first, second)) => {
            let text = difference(&first, &second);
            match say::out(&text) {
                Said::Fine if text.is_empty() => 0,
                _ => exit::NO,
            }
        }
        Err(error) => {
            // 1 is an answer.
            say::error(error);
            exit::USAGE
        }
    }
}

/// Prints Claude Code's settings as a profile. Without files: the user's and the project's, as Claude Code finds them.
pub(super) fn import(files: &[PathBuf], host: &Host) -> u8 {
    let request = Request {
        argv: Vec::new(),
        workspace: None,
        drill: None,
    };
    let project = workspace_of(&request, host, &RealLookup).unwrap_or_else(|| host.cwd.clone());
    let users = host.home.join(".claude");
    let found = [
        users.join("settings.json"),
        project.join(".claude/settings.json"),
        project.join(".claude/settings.local.json"),
    ];
    let named: Vec<PathBuf> = if files.is_empty() {
        found.into_iter().filter(|file| file.exists()).collect()
    } else {
        files.to_vec()
    };
    if named.is_empty() {
        say::error(
            "no settings of Claude Code are here: neither ~/.claude/settings.json nor .claude/settings.json; name a file",
        );
        return exit::NO;
    }
    let read = named.iter().map(|file| settings(file, &users));
    let settings: Result<Vec<Settings>, String> = read.collect();
    match settings.and_then(|settings| claude(&settings)) {
        Ok(imported) => {
            let status = ended(&imported.text);
            if !imported.left.is_empty() {
                say::error(format!(
                    "{} settings were not translated: see the end of the text",
                    imported.left.len()
                ));
            }
            status
        }
        Err(error) => {
            say::error(error);
            exit::NO
        }
    }
}

/// The most bytes of a settings file.
const MOST: u64 = 1 << 20;

fn settings(file: &Path, users: &Path) -> Result<Settings, String> {
    let label = OsText::from(file).to_string();
    let size = file
        .metadata()
        .map_err(|error| format!("{label}: {error}"))?;
    if !size.is_file() || size.len() > MOST {
        return Err(format!("{label}: not a regular file of at most 1 MiB"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| format!("{label}: {error}"))?;
    let base = if file.starts_with(users) {
        "~/.claude"
    } else {
        "${workspace}"
    };
    Ok(Settings { label, text, base })
}

fn ended(text: &str) -> u8 {
    match say::out(text) {
        Said::Fine => 0,
        Said::Lost => exit::NO,
    }
}
