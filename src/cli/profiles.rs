//! `agentbox profiles`.

#![forbid(unsafe_code)]

use super::args::{ImportFrom, ProfilesArgs, ProfilesCommand};
use super::authoring;
use super::inline;
use super::say::{self, Said};
use crate::exit;
use crate::host::Host;
use crate::profile::{self, Places};
use crate::profile::{Listed, schema::Place};
use crate::report::profiles::{Row, table};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Lists, shows or validates profiles. Returns the exit status.
#[must_use]
pub fn profiles(args: &ProfilesArgs) -> u8 {
    let host = match Host::gather() {
        Ok(host) => host,
        Err(error) => {
            say::error(error);
            return exit::NO;
        }
    };
    let places = super::places(&host);
    match &args.command {
        None | Some(ProfilesCommand::List) => list(&places),
        Some(ProfilesCommand::Show { name }) => show(name, &places),
        Some(ProfilesCommand::Validate { files }) => validate(files, &places),
        Some(ProfilesCommand::Schema) => ended(say::out(&profile::json_schema::schema()), true),
        Some(ProfilesCommand::New { name, agent }) => {
            authoring::new(name.as_deref(), agent.as_deref(), &host, &places)
        }
        Some(ProfilesCommand::Diff { first, second }) => authoring::diff(first, second, &places),
        Some(ProfilesCommand::Import {
            from: ImportFrom::Claude,
            files,
        }) => authoring::import(files, &host),
    }
}

fn list(places: &Places) -> u8 {
    let listed = profile::list(places);
    let said = say::out(&table(listed.iter().map(row)));
    for error in listed.iter().filter_map(|l| l.parsed.as_ref().err()) {
        say::error(error);
    }
    ended(said, listed.iter().all(|l| l.parsed.is_ok()))
}

fn row(profile: &Listed) -> Row {
    let from = match &profile.place {
        Place::Builtin(_) => "built in".to_owned(),
        Place::File(path) | Place::Project(path) | Place::Floor(path) => path.clone(),
    };
    let (commands, description) = match &profile.parsed {
        Ok(fragment) => (
            fragment.commands.join(" "),
            fragment.description.clone().unwrap_or_default(),
        ),
        Err(_) => (String::new(), "INVALID: see below".to_owned()),
    };
    Row {
        name: profile.name.clone(),
        commands,
        from: if profile.replaced {
            format!("{from} (replaced)")
        } else {
            from
        },
        description,
    }
}

fn show(name: &OsStr, places: &Places) -> u8 {
    match profile::text(name, places) {
        Ok(text) => ended(say::out(&text), true),
        Err(error) => {
            say::error(error);
            exit::NO
        }
    }
}

fn validate(files: &[PathBuf], places: &Places) -> u8 {
    let mut fine = true;
    for file in files {
        for complaint in complaints(file, places) {
            say::error(complaint);
            fine = false;
        }
    }
    ended(Said::Fine, fine)
}

/// What is wrong with one of them, and which of its tests do not hold.
fn complaints(file: &Path, places: &Places) -> Vec<String> {
    let by_name = file
        .to_str()
        .is_some_and(|name| profile::is_name(name.trim_start_matches("builtin:")));
    if !by_name && let Err(error) = profile::validate(file, places) {
        return vec![error.to_string()];
    }
    if profile::is_configuration(file) {
        return Vec::new();
    }
    match profile::tested(file.as_os_str(), places) {
        Ok(tested) => inline::failed(&tested)
            .iter()
            .map(ToString::to_string)
            .chain(inline::refused(&tested))
            .collect(),
        Err(error) => vec![error.to_string()],
    }
}

fn ended(said: Said, fine: bool) -> u8 {
    match said {
        Said::Fine if fine => 0,
        Said::Fine | Said::Lost => exit::NO,
    }
}
