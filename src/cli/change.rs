//! Changes a file of the caller's configuration: its directory is made, it is read under a lock, and replaced in one step.

#![forbid(unsafe_code)]

use crate::plan::OsText;
use crate::supervise::hostfile::{HostFile, HostFileError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another agentbox that changes the file is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a file was not changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    /// It cannot be read, locked or written.
    #[error(transparent)]
    File(#[from] HostFileError),
    /// A directory cannot be made.
    #[error("{}: {error}", OsText::from(.path.as_path()))]
    Directory {
        path: PathBuf,
        error: std::io::Error,
    },
}

/// Makes a directory that only its owner may enter, with everything above it.
///
/// # Errors
/// It cannot be made.
pub(super) fn directory(path: &Path) -> Result<(), ChangeError> {
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(path);
    made.map_err(|error| ChangeError::Directory {
        path: path.to_owned(),
        error,
    })
}

/// Lets `edit` say, under the lock, what the file shall hold (`None`: what it holds), and replaces it in one step.
///
/// # Errors
/// What `edit` says, or the file cannot be changed.
pub(super) fn change<T, E: From<ChangeError>>(
    file: &Path,
    edit: impl FnOnce() -> Result<(Option<String>, T), E>,
) -> Result<T, E> {
    let failed = |error: HostFileError| E::from(ChangeError::File(error));
    directory(file.parent().unwrap_or(Path::new("/")))?;
    let hosts = HostFile::find(file).map_err(failed)?;
    let _locks = hosts.lock(PATIENCE).map_err(failed)?;
    let before = hosts.read().map_err(failed)?;
    let (text, out) = edit()?;
    if let Some(text) = text {
        let replaced = hosts.replace(text.as_bytes(), before.as_ref());
        replaced.map_err(failed)?;
    }
    Ok(out)
}
