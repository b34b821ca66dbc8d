//! The project's own `.agentbox.toml`. Whoever can write the working copy can write it, an agent too: its word counts only
//! where it makes the box narrower, until a human has looked at it and pinned its content (`agentbox trust`).

#![forbid(unsafe_code)]

use super::Places;
use super::error::ProfileError;
use super::file::{Links, Trust, read, read_with};
use super::schema::{Place, Role, parse};
use crate::plan::text::hex;
use crate::policy::{Authority, Fragment, Origin, Wish};
use sha2::{Digest as _, Sha256};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Its name, in the root of the workspace.
pub const NAME: &str = ".agentbox.toml";
/// Which files are trusted, in the user's configuration directory. Lines as of sha256sum(1): hash, two blanks, path.
pub const TRUSTED: &str = "trusted";

/// A project's file.
#[derive(Debug, Clone)]
pub struct Project {
    /// Where it is: canonical directory, and [`NAME`].
    pub path: PathBuf,
    /// What it says.
    pub text: String,
    /// Its wishes, with the authority that it has.
    pub fragment: Fragment,
    /// SHA-256 of the text, in hexadecimal digits.
    pub hash: String,
}

/// The file of a workspace (by its canonical path), if there is one.
///
/// # Errors
/// It is no plain file, or everything that is wrong with it: what it forbids must not be lost.
pub fn load(workspace: &Path, places: &Places) -> Result<Option<Project>, ProfileError> {
    let path = workspace.join(NAME);
    // A link could name any file of the host, whose lines an error would show.
    let Some(text) = read_with(&path, Trust::Anybody, Links::Refused)? else {
        return Ok(None);
    };
    let label = path.display().to_string();
    let parsed = parse(&text.text, NAME, &Place::Project(label), Role::Config)
        .map_err(ProfileError::Invalid)?;
    let hash = hash(&text.text);
    let mut fragment = parsed.fragment;
    fragment.authority = match trusted(places)?.iter().any(|pin| pin.is_of(&path, &hash)) {
        true => Authority::Full,
        false => Authority::Tighten,
    };
    if fragment.authority == Authority::Full {
        no_switches(&mut fragment);
    }
    Ok(Some(Project {
        path,
        text: text.text,
        fragment,
        hash,
    }))
}

/// Not even one that is trusted says which switch stops it: that is for who stops it to say.
fn no_switches(fragment: &mut Fragment) {
    if fragment.remotes.is_empty() && fragment.team.is_none() {
        return;
    }
    fragment.remotes.clear();
    fragment.team = None;
    fragment.notices.push(Wish {
        value: format!("{NAME}: remote kill switches and `team` are left out: they belong into config.toml or a profile"),
        origin: Origin::agentbox("what a project's file may say"),
    });
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// A content that is trusted at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// SHA-256 in hexadecimal digits.
    hash: String,
    /// The file, as [`escaped`] writes it.
    path: String,
}

impl Pin {
    /// A file as it is.
    #[must_use]
    pub fn of(project: &Project) -> Pin {
        Pin {
            hash: project.hash.clone(),
            path: escaped(&project.path),
        }
    }

    /// Whether it is about that place.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        self.path == escaped(path)
    }

    fn is_of(&self, path: &Path, hash: &str) -> bool {
        self.hash == hash && self.is_at(path)
    }

    fn line(&self) -> String {
        format!("{}  {}\n", self.hash, self.path)
    }
}

/// One line of printable letters, whatever is in a path; two paths never give the same.
fn escaped(path: &Path) -> String {
    path.as_os_str().as_bytes().escape_ascii().to_string()
}

/// What is trusted.
///
/// # Errors
/// The list is one that somebody else could have written.
pub fn trusted(places: &Places) -> Result<Vec<Pin>, ProfileError> {
    let Some(path) = list(places) else {
        return Ok(Vec::new());
    };
    let text = read(&path, Trust::Searched { uid: places.uid })?;
    let text = text.map(|text| text.text).unwrap_or_default();
    let pin = |line: &str| {
        let (hash, path) = line.split_once("  ")?;
        Some(Pin {
            hash: hash.to_owned(),
            path: path.to_owned(),
        })
    };
    Ok(text.lines().filter_map(pin).collect())
}

/// The file with the list; `None` for a caller without a configuration directory.
#[must_use]
pub fn list(places: &Places) -> Option<PathBuf> {
    places.user.as_ref().map(|dir| dir.join(TRUSTED))
}

/// The text of a list.
#[must_use]
pub fn list_text(pins: &[Pin]) -> String {
    pins.iter().map(Pin::line).collect()
}

#[cfg(test)]
#[path = "project_tests.rs"]
mod tests;
