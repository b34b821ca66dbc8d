//! One file of cgroupfs: read, write, and what to say when that fails.

#![forbid(unsafe_code)]

use nix::errno::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a control group does not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call} of {}{}: {errno}", path.display(), if wrote.is_empty() { String::new() } else { format!(" ({wrote})") })]
pub struct CgroupError {
    /// The call.
    pub call: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What was written, if anything was.
    pub wrote: String,
    /// Why.
    pub errno: Errno,
}

pub(super) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

pub(super) fn failed(call: &'static str, path: &Path, error: &io::Error) -> CgroupError {
    CgroupError {
        call,
        path: path.to_owned(),
        wrote: String::new(),
        errno: errno(error),
    }
}

/// Writes one value into a file of cgroupfs. Never creates it: what is missing is a missing controller.
pub(super) fn put(path: &Path, value: &str) -> Result<(), CgroupError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|error| CgroupError {
            wrote: value.to_owned(),
            ..failed("write", path, &error)
        })
}

/// Makes a group's directory, readable whatever the caller's umask is: the agent, of another uid where root called, sizes
/// itself by the limits in it.
pub(super) fn make(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))
}

/// Opens one for [`go_in`].
pub(super) fn open(path: &Path) -> Result<File, CgroupError> {
    let file = OpenOptions::new().write(true).open(path);
    file.map_err(|error| failed("open", path, &error))
}

/// Moves the calling thread in by what [`BoxCgroup::doors`](super::cgroup::BoxCgroup::doors) opened.
///
/// # Errors
/// The errno of write(2).
pub fn go_in(doors: Vec<File>) -> Result<(), Errno> {
    let mut doors = doors.into_iter();
    doors.try_for_each(|mut door| door.write_all(b"0").map_err(|error| errno(&error)))
}

pub(super) fn get(path: &Path) -> Result<String, CgroupError> {
    std::fs::read_to_string(path)
        .map(|text| text.trim_end().to_owned())
        .map_err(|error| failed("read", path, &error))
}
