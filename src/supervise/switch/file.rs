//! Making and removing a stop file, as `agentbox stop` and `agentbox start` do it. What others made is never removed.

#![forbid(unsafe_code)]

use crate::record::Timestamp;
use crate::sys::own;
use crate::sys::rename::{Taken, renameat2};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// What the last line of a file of `agentbox stop` begins with.
pub(super) const MARK: &str = "made by `agentbox stop`";
/// The most bytes of a file that is ours.
const MAX: u64 = 64 * 1024;
/// The most characters of a reason.
pub const REASON_MAX: usize = 400;

/// Why a stop file cannot be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// A system call failed.
    #[error("{call} of {}: {}", path.display(), errno.desc())]
    Call {
        /// The call.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
}

impl StopError {
    /// The errno, if a call failed.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            StopError::Call { errno, .. } => Some(*errno),
        }
    }
}

fn failed(call: &'static str, path: &Path) -> impl FnOnce(Errno) -> StopError {
    let path = path.to_owned();
    move |errno| StopError::Call { call, path, errno }
}

/// What came of making one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was made.
    New,
    /// There was something of that name already.
    Already,
}

/// What came of removing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmade {
    /// It was removed.
    Removed,
    /// There was nothing.
    Nothing,
    /// There is something, and `agentbox stop` did not make it.
    NotOurs,
}

/// Whose directory a stop file is made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// agentbox's own, of the user or of the machine: made with these bits where it is missing.
    Own(u32),
    /// A working copy. Its agent can have closed it, and it is the user's to open.
    Work,
    /// Any other: as it is.
    Other,
}

/// Makes a stop file. `reason` is one line.
///
/// # Errors
/// The call that failed. The file may be there all the same, empty (ENOSPC): it stops.
pub fn make(path: &Path, reason: &str, by: &str, holder: Holder) -> Result<Made, StopError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    if let Holder::Own(mode) = holder {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(dir)
            .map_err(|error| failed("mkdir", dir)(crate::sys::errno_of(&error)))?;
    }
    let name = path.file_name().unwrap_or_default();
    match holder {
        // The user's, which an agent on the rung `landlock` can have closed.
        Holder::Own(_) => _ = own::open_up_path(dir),
        Holder::Work => open_closed(dir),
        Holder::Other => {}
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let at = open(dir, flags, Mode::empty()).map_err(failed("open", dir))?;
    let now = Timestamp::now();
    let text = format!("{reason}\n{MARK} ({by}) at {now}; `agentbox start` removes it\n");
    // Where nobody else writes, whole at once, so that who is stopped can read why. In a working copy under its own name at
    // once: that is what stops, and a temporary one could be taken away before.
    let moved = match holder {
        Holder::Own(_) => move_in(&at, name, &text),
        Holder::Work | Holder::Other => Err(Errno::EINVAL),
    };
    match moved {
        Ok(()) => return Ok(Made::New),
        Err(Errno::EEXIST) => return Ok(Made::Already),
        // A file system without RENAME_NOREPLACE, a full disk, a remainder that cannot be replaced: the name is what counts.
        Err(_) => {}
    }
    let flags = WRITE | OFlag::O_EXCL;
    let file = match openat(&at, name, flags, Mode::from_bits_truncate(0o644)) {
        Err(Errno::EEXIST) => return Ok(Made::Already),
        other => other.map_err(failed("create", path))?,
    };
    File::from(file)
        .write_all(text.as_bytes())
        .map_err(|error| failed("write", path)(crate::sys::errno_of(&error)))?;
    Ok(Made::New)
}

/// Gives its owner the directory back, if no name can be made there.
fn open_closed(dir: &Path) {
    let all = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    if faccessat(AT_FDCWD, dir, all, AtFlags::AT_EACCESS) == Err(Errno::EACCES) {
        own::open_up_path(dir);
    }
}

const WRITE: OFlag = OFlag::O_WRONLY
    .union(OFlag::O_CREAT)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// Writes a file under a temporary name and renames it to a name that nothing has.
fn move_in(dir: &OwnedFd, name: &OsStr, text: &str) -> Result<(), Errno> {
    let temporary = OsString::from(format!(".stop-{}", std::process::id()));
    let temporary = temporary.as_os_str();
    let mode = Mode::from_bits_truncate(0o644);
    let file = openat(dir, temporary, WRITE | OFlag::O_TRUNC, mode)?;
    let done = File::from(file)
        .write_all(text.as_bytes())
        .map_err(|error| crate::sys::errno_of(&error))
        .and_then(|()| renameat2(dir, temporary, dir, name, Taken::Keep));
    if done.is_err() {
        let _ = unlinkat(dir, temporary, UnlinkatFlags::NoRemoveDir);
    }
    done
}

/// Removes a stop file that [`make`] made.
///
/// # Errors
/// The call that failed.
pub fn unmake(path: &Path) -> Result<Unmade, StopError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let at = match open(dir, flags, Mode::empty()) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Unmade::Nothing),
        other => other.map_err(failed("open", dir))?,
    };
    // What is no regular file is not opened: that has effects.
    let ours = match nix::sys::stat::fstatat(&at, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(Unmade::Nothing),
        Ok(stat) if regular(&stat) => {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let file = openat(&at, name, flags, Mode::empty()).map_err(failed("open", path))?;
            is_ours(File::from(file))
        }
        Ok(_) => false,
        Err(errno) => return Err(failed("lstat", path)(errno)),
    };
    if !ours {
        return Ok(Unmade::NotOurs);
    }
    match unlinkat(&at, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) => Ok(Unmade::Removed),
        Err(Errno::ENOENT) => Ok(Unmade::Nothing),
        Err(errno) => Err(failed("unlink", path)(errno)),
    }
}

fn regular(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits()
}

/// Has it the mark? A file that was made but could not be written (a full disk) is empty, and is ours to remove only by hand.
fn is_ours(file: File) -> bool {
    let mut bytes = Vec::new();
    let read = file.take(MAX).read_to_end(&mut bytes);
    let marked = |line: &[u8]| line.starts_with(MARK.as_bytes());
    read.is_ok() && bytes.split(|byte| *byte == b'\n').skip(1).any(marked)
}
