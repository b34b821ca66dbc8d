//! `/etc/agentbox/floor.toml`: what the organisation forbids on this machine. Nobody relaxes it: no profile, no configuration,
//! no trusted project, no flag, no variable says where else it might be. If it is there and cannot be used, nothing starts.

#![forbid(unsafe_code)]

use super::Places;
use super::error::ProfileError;
use super::file::{Trust, read};
use super::schema::{Place, Role, parse};
use crate::policy::Fragment;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Its name in the system's configuration directory.
pub const NAME: &str = "floor.toml";

/// Where it is.
#[must_use]
pub fn path(places: &Places) -> PathBuf {
    places.system.join(NAME)
}

/// What it says; `None` if there is none.
///
/// # Errors
/// It is there and cannot be read, somebody else than root could have written or can replace it, or everything that is wrong
/// in it.
pub fn load(places: &Places) -> Result<Option<Fragment>, ProfileError> {
    let path = path(places);
    let Some(text) = read(&path, Trust::Root)? else {
        // A link that leads nowhere is a floor that has been lost, not none.
        return match path.symlink_metadata() {
            Ok(_) => Err(ProfileError::Io {
                path,
                call: "open",
                errno: libc::ENOENT,
            }),
            Err(_) => Ok(None),
        };
    };
    only_roots(&places.system)?;
    understood(&text.text, &path).map(Some)
}

/// Reads a text as a floor.
///
/// # Errors
/// Everything that is wrong in it.
pub(super) fn understood(text: &str, path: &Path) -> Result<Fragment, ProfileError> {
    let label = path.display().to_string();
    parse(text, &label, &Place::Floor(label.clone()), Role::Floor)
        .map(|parsed| parsed.fragment)
        .map_err(ProfileError::Invalid)
}

/// Whoever may write its directory may take it away.
fn only_roots(dir: &Path) -> Result<(), ProfileError> {
    let meta = dir.metadata().map_err(|error| ProfileError::Io {
        path: dir.to_owned(),
        call: "stat",
        errno: error.raw_os_error().unwrap_or(0),
    })?;
    let why = match (meta.uid(), meta.mode() & 0o022) {
        (0, 0) => return Ok(()),
        (0, _) => "others than root may write this directory, and take the floor away".to_owned(),
        (uid, _) => format!("this directory belongs to uid {uid}, not to root"),
    };
    Err(ProfileError::NotTrusted {
        path: dir.to_owned(),
        why,
        remedy: "chown root it, and chmod go-w it".to_owned(),
    })
}

#[cfg(test)]
#[path = "floor_tests.rs"]
mod tests;
