//! `agentbox trust`: a human looks at a project's `.agentbox.toml` and lets it grant, as it is now.

#![forbid(unsafe_code)]

use super::args::TrustArgs;
use super::change::{ChangeError, change};
use super::say::{self, Said};
use super::{CliError, places};
use crate::exit;
use crate::host::{Host, RealLookup};
use crate::plan::OsText;
use crate::plan::resolve::workspace_of;
use crate::policy::{Request, merge};
use crate::profile::project::{self, Pin, Project};
use crate::profile::{self, Choice, Places, ProfileError};
use std::ffi::OsStr;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

/// Why nothing is trusted.
#[derive(Debug, thiserror::Error)]
enum TrustError {
    /// The facts of this machine cannot be had.
    #[error(transparent)]
    Host(#[from] CliError),
    /// There is no project.
    #[error("this is no directory that could be a workspace: name a project with DIR")]
    NoWorkspace,
    /// There is no file.
    #[error("{} does not exist", OsText::from(.0.as_path()))]
    NoFile(PathBuf),
    /// There is no HOME.
    #[error("you have no configuration directory: HOME is not set")]
    NoHome,
    /// It cannot be read, or is not what a start would use.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The list cannot be written.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Nobody can be asked.
    #[error("stdin is no terminal, so nobody can be asked: --yes says that it has been looked at")]
    NobodyThere,
}

/// Shows, asks and pins. Returns the exit status.
#[must_use]
pub fn trust(args: &TrustArgs) -> u8 {
    match run(args) {
        Ok(status) => status,
        Err(error) => {
            say::error(&error);
            match error {
                TrustError::NobodyThere => exit::USAGE,
                _ => exit::NO,
            }
        }
    }
}

fn run(args: &TrustArgs) -> Result<u8, TrustError> {
    let host = Host::gather().map_err(CliError::from)?;
    let places = places(&host);
    if args.list {
        return show_list(&places);
    }
    let request = Request {
        argv: Vec::new(),
        workspace: args.dir.clone(),
        drill: None,
    };
    let workspace = workspace_of(&request, &host, &RealLookup).ok_or(TrustError::NoWorkspace)?;
    let path = workspace.join(project::NAME);
    if args.revoke {
        return revoke(&path, &places);
    }
    let project = project::load(&workspace, &places)?.ok_or(TrustError::NoFile(path))?;
    if project::trusted(&places)?.contains(&Pin::of(&project)) {
        return said(&format!("{} is trusted as it is\n", name(&project)));
    }
    if say::out(&shown(&project, &places)?) == Said::Lost {
        return Ok(exit::NO);
    }
    if !args.yes && !asked()? {
        say::error("nothing was changed");
        return Ok(exit::NO);
    }
    edit(&places, |pins| {
        pins.retain(|pin| !pin.is_at(&project.path));
        pins.push(Pin::of(&project));
    })?;
    said(&format!("{} is trusted until it changes\n", name(&project)))
}

fn name(project: &Project) -> OsText {
    OsText::from(project.path.as_path())
}

fn said(text: &str) -> Result<u8, TrustError> {
    match say::out(text) {
        Said::Fine => Ok(0),
        Said::Lost => Ok(exit::NO),
    }
}

/// The whole file, and what of it counts only if it is trusted.
fn shown(project: &Project, places: &Places) -> Result<String, TrustError> {
    let mut out = format!("{}\n\n", name(project));
    for (number, line) in project.text.lines().enumerate() {
        // What a file says must not be able to hide what else it says.
        out.push_str(&format!("{:>5}  {}\n", number + 1, OsText::from(line)));
    }
    let choice = Choice::Named(OsStr::new(profile::builtin::FALLBACK));
    let mut loaded = profile::load(choice, places)?;
    let before = loaded.fragments.clone();
    loaded.fragments.push(project.fragment.clone());
    let notices = |fragments| {
        let policy = merge(Vec::new(), fragments, Request::default());
        policy.wishes.notices
    };
    let known = notices(before);
    let left: Vec<String> = notices(loaded.fragments)
        .into_iter()
        .filter(|notice| !known.contains(notice))
        .map(|notice| notice.value)
        .collect();
    out.push('\n');
    match left.as_slice() {
        [] => out.push_str("All of it makes the box narrower, so it counts without trust, too.\n"),
        lines => lines.iter().for_each(|line| {
            out.push_str(line);
            out.push('\n');
        }),
    }
    Ok(out)
}

fn asked() -> Result<bool, TrustError> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(TrustError::NobodyThere);
    }
    // A prompt is no line of a report.
    let _ = write!(
        std::io::stderr(),
        "agentbox: let it grant all of that? [y/N] "
    );
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn revoke(path: &Path, places: &Places) -> Result<u8, TrustError> {
    let mut found = false;
    edit(places, |pins| {
        let before = pins.len();
        pins.retain(|pin| !pin.is_at(path));
        found = pins.len() < before;
    })?;
    let name = OsText::from(path);
    match found {
        true => said(&format!("{name} is trusted no more\n")),
        false => {
            say::error(format!("{name} was not trusted"));
            Ok(exit::NO)
        }
    }
}

fn show_list(places: &Places) -> Result<u8, TrustError> {
    let trusted = project::trusted(places)?;
    if trusted.is_empty() {
        return said("no project is trusted\n");
    }
    said(&project::list_text(&trusted))
}

/// Writes the list anew, in one step, under a lock.
fn edit(places: &Places, edit: impl FnOnce(&mut Vec<Pin>)) -> Result<(), TrustError> {
    let file = project::list(places).ok_or(TrustError::NoHome)?;
    change(&file, || {
        let mut pins = project::trusted(places)?;
        edit(&mut pins);
        Ok((Some(project::list_text(&pins)), ()))
    })
}
