//! `--save` of `agentbox allow` and `deny`: the rule goes into a file of the caller's, so that it holds for the next session
//! as well.

#![forbid(unsafe_code)]

use super::args::RuleArgs;
use super::change::{ChangeError, change, directory};
use super::{CliError, places};
use crate::host::Host;
use crate::plan::OsText;
use crate::profile::ProfileError;
use crate::profile::edit::{EditError, Edited, List, add};
use crate::profile::schema::Role;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub(super) enum SaveError {
    /// The facts of this machine cannot be had.
    #[error(transparent)]
    Host(#[from] CliError),
    /// There is no HOME.
    #[error("you have no configuration directory: HOME is not set")]
    NoHome,
    /// The profile is none of the caller's files.
    #[error(
        "{} does not exist; a built-in profile is not changed: make that file with `extends`, or leave --profile out and the rule goes into config.toml, which counts for every profile",
        OsText::from(.0.as_path())
    )]
    NoFile(PathBuf),
    /// Not a name.
    #[error("`{}` is not the name of a profile", OsText::from(.0.as_os_str()))]
    NoName(std::ffi::OsString),
    /// It lies where a box could be allowed to write.
    #[error(
        "{} is really {}, which is none of agentbox's own directories: a box may be given it to write, so nothing is added there; add {} = [\"{}\"] to [network] by hand",
        OsText::from(.file.as_path()), OsText::from(.real.as_path()), .list.name(), .rule
    )]
    Elsewhere {
        file: PathBuf,
        real: PathBuf,
        list: List,
        rule: String,
    },
    /// It is not a profile that can be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// It cannot be read or written.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A rule of the same file is stronger.
    #[error("{}:{line} denies {rule}, and that is stronger than what the same file allows: take it out there", OsText::from(.file.as_path()))]
    Denied {
        file: PathBuf,
        line: u32,
        rule: String,
    },
    /// The file is written in a way that is not changed.
    #[error("{} has [network] as an inline table or dotted keys, which is not changed: add {} = [\"{rule}\"] to it by hand", OsText::from(.file.as_path()), .list.name())]
    ByHand {
        file: PathBuf,
        list: List,
        rule: String,
    },
}

/// What was done, for people.
pub(super) fn save(args: &RuleArgs, list: List) -> Result<String, SaveError> {
    let host = Host::gather().map_err(CliError::from)?;
    let dir = places(&host).user.ok_or(SaveError::NoHome)?;
    let (file, role) = match &args.profile {
        None => (dir.join("config.toml"), Role::Config),
        Some(name) => (of_profile(&dir, name)?, Role::Profile),
    };
    let parent = file.parent().unwrap_or(&dir);
    if role == Role::Profile && file.symlink_metadata().is_err() {
        return Err(SaveError::NoFile(file));
    }
    directory(parent)?;
    own(&dir, &file, list, &args.rule)?;
    change(&file, || {
        // Under the lock, and with the eyes of the next start: what that would refuse is not added to.
        let text = crate::profile::trusted_text(&file, host.uid)?.unwrap_or_default();
        let rule = args.rule.as_str();
        let label = file.display().to_string();
        let said = |line, word: &str| {
            let list = list.name();
            format!("{label}:{line}: {list} has \"{rule}\"{word}\n")
        };
        match add(&text, &label, role, list, rule) {
            Ok(Edited::Known { line }) => Ok((None, said(line, " already"))),
            Ok(Edited::Added { text, line }) => Ok((Some(text), said(line, ""))),
            Err(EditError::Invalid(diagnostics)) => Err(ProfileError::Invalid(diagnostics).into()),
            Err(EditError::Denied { rule, line }) => Err(SaveError::Denied {
                file: file.clone(),
                line,
                rule,
            }),
            Err(EditError::ByHand) => Err(SaveError::ByHand {
                file: file.clone(),
                list,
                rule: rule.to_owned(),
            }),
        }
    })
}

fn of_profile(dir: &Path, name: &OsStr) -> Result<PathBuf, SaveError> {
    let text = name.to_str().filter(|name| crate::profile::is_name(name));
    let text = text.ok_or_else(|| SaveError::NoName(name.to_owned()))?;
    Ok(dir.join("profiles").join(format!("{text}.toml")))
}

/// The file must be in agentbox's own directory by its real path, which no box is ever given.
fn own(dir: &Path, file: &Path, list: List, rule: &str) -> Result<(), SaveError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| SaveError::Change(ChangeError::Directory { path, error })
    };
    let real_dir = dir.canonicalize().map_err(failed(dir))?;
    let parent = file.parent().unwrap_or(dir);
    let real = match file.symlink_metadata() {
        Ok(_) => file.canonicalize().map_err(failed(file))?,
        Err(_) => {
            let parent = parent.canonicalize().map_err(failed(parent))?;
            parent.join(file.file_name().unwrap_or_default())
        }
    };
    if real.starts_with(&real_dir) {
        return Ok(());
    }
    Err(SaveError::Elsewhere {
        file: file.to_owned(),
        real,
        list,
        rule: rule.to_owned(),
    })
}
