//! [`HostFile`]: the host's side of a state file. Locked as its own program locks it (a directory `NAME.lock`, as npm's
//! proper-lockfile makes it), read again under the lock, replaced by rename.

#![forbid(unsafe_code)]

use crate::sys::random;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, geteuid, unlinkat};
use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// The most bytes of a state file.
pub const MAX: u64 = 16 * 1024 * 1024;
/// A lock whose holder has not touched it for so long is dead: proper-lockfile's default.
const STALE: Duration = Duration::from_secs(10);

/// Why the host's file cannot be read, locked or replaced.
#[derive(Debug, thiserror::Error)]
pub enum HostFileError {
    /// A system call failed.
    #[error("{call} of {}: {errno}", path.display())]
    Call {
        /// The call.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// It is a directory, a device, ...
    #[error("{} is not a regular file", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// It has more than [`MAX`] bytes.
    #[error("{} is larger than 16 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Its program holds the lock.
    #[error("{} is held by another program", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
}

fn failed(call: &'static str, path: &Path) -> impl FnOnce(Errno) -> HostFileError {
    let path = path.to_owned();
    move |errno| HostFileError::Call { call, path, errno }
}

fn io_failed(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HostFileError {
    let path = path.to_owned();
    move |error| HostFileError::Call {
        call,
        path,
        errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
    }
}

/// The content of the file and what its successor has to keep.
#[derive(Debug)]
pub struct Content {
    /// Its bytes.
    pub bytes: Vec<u8>,
    mode: Mode,
    owner: (u32, u32),
}

/// A state file of the host.
#[derive(Debug, Clone)]
pub struct HostFile {
    typed: PathBuf,
    real: PathBuf,
}

impl HostFile {
    /// Finds what the path means: a symlinked file is written through to its target.
    ///
    /// # Errors
    /// Its directory does not exist, or it is a symlink to nothing.
    pub fn find(path: &Path) -> Result<HostFile, HostFileError> {
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() =>
            {
                let parent = path.parent().unwrap_or(Path::new("/"));
                let parent = parent
                    .canonicalize()
                    .map_err(io_failed("realpath", parent))?;
                parent.join(path.file_name().unwrap_or_default())
            }
            Err(error) => return Err(io_failed("realpath", path)(error)),
        };
        Ok(HostFile {
            typed: path.to_owned(),
            real,
        })
    }

    /// As [`find`](HostFile::find), for writing: a directory that is missing is made, for its owner only. A program that never ran
    /// outside has none yet. What is made is never behind a link that leads nowhere.
    ///
    /// # Errors
    /// The directory cannot be made, or it is a symlink to nothing.
    pub fn find_or_make_room(path: &Path) -> Result<HostFile, HostFileError> {
        if let Some(parent) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(io_failed("mkdir", parent))?;
        }
        HostFile::find(path)
    }

    /// Its content; `None` if there is no file.
    ///
    /// # Errors
    /// It is not a regular file, too large, or cannot be read.
    pub fn read(&self) -> Result<Option<Content>, HostFileError> {
        // O_NONBLOCK: a FIFO in its place must not block the session.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match open(&self.real, flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            other => other.map_err(failed("open", &self.real))?,
        };
        let stat = fstat(&file).map_err(failed("fstat", &self.real))?;
        let bytes = read_regular(file, &stat).map_err(|error| match error {
            ReadError::Kind => HostFileError::Kind {
                path: self.real.clone(),
            },
            ReadError::TooLarge => HostFileError::TooLarge {
                path: self.real.clone(),
            },
            ReadError::Io(error) => io_failed("read", &self.real)(error),
        })?;
        Ok(Some(Content {
            bytes,
            mode: Mode::from_bits_truncate(stat.st_mode & 0o777),
            owner: (stat.st_uid, stat.st_gid),
        }))
    }

    /// Takes the program's own lock, waiting for at most `patience`. By the name as typed, as the program does, and where
    /// that is a symlink also by the name that is written, since two programs may come by different names.
    ///
    /// # Errors
    /// [`HostFileError::Busy`], or the errno of mkdir(2).
    pub fn lock(&self, patience: Duration) -> Result<Vec<Lock>, HostFileError> {
        let until = Instant::now() + patience;
        let mut locks = vec![Lock::take(&self.typed, until)?];
        let canonical =
            HostFile::directory(&self.typed).join(self.typed.file_name().unwrap_or_default());
        if canonical != self.real {
            locks.push(Lock::take(&self.real, until)?);
        }
        Ok(locks)
    }

    /// The directory of a path, canonical where it can be.
    fn directory(path: &Path) -> PathBuf {
        let parent = path.parent().unwrap_or(Path::new("/"));
        parent.canonicalize().unwrap_or_else(|_| parent.to_owned())
    }

    /// Replaces the file by rename, under the lock. It keeps mode and owner of what was there; a new one is 0600. No fsync:
    /// its program does none either, and file systems order the data of a file before a rename over another.
    ///
    /// # Errors
    /// The call that failed; the old file is still there.
    pub fn replace(&self, text: &[u8], before: Option<&Content>) -> Result<(), HostFileError> {
        let parent = self.real.parent().unwrap_or(Path::new("/"));
        let name = self.real.file_name().unwrap_or_default();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = open(parent, flags, Mode::empty()).map_err(failed("open", parent))?;
        let random = random::bytes().map_err(io_failed("getrandom", parent))?;
        let mut new = OsString::from(".");
        new.push(name);
        new.push(format!(".agentbox-{:016x}", u64::from_le_bytes(random)));
        let path = parent.join(&new);
        let done = self
            .write_new(&dir, &new, &path, text, before)
            .and_then(|()| {
                renameat(&dir, new.as_os_str(), &dir, name).map_err(failed("rename", &path))
            });
        if done.is_err() {
            // It may not have come into being; the first error is the one that counts.
            let _ = unlinkat(&dir, new.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
        done
    }

    fn write_new(
        &self,
        dir: &OwnedFd,
        new: &OsString,
        path: &Path,
        text: &[u8],
        before: Option<&Content>,
    ) -> Result<(), HostFileError> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(dir, new.as_os_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(failed("open", path))?;
        // A root caller must not take the user's file away from him.
        if geteuid().is_root() {
            let (uid, gid) = match before {
                Some(content) => content.owner,
                None => {
                    let stat = fstat(dir).map_err(failed("fstat", path))?;
                    (stat.st_uid, stat.st_gid)
                }
            };
            fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(failed("fchown", path))?;
        }
        if let Some(content) = before {
            fchmod(&file, content.mode).map_err(failed("fchmod", path))?;
        }
        File::from(file)
            .write_all(text)
            .map_err(io_failed("write", path))
    }
}

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// Not a regular file.
    Kind,
    /// More than [`MAX`] bytes.
    TooLarge,
    /// read(2) failed.
    Io(io::Error),
}

/// Reads an open file that must be regular and not larger than [`MAX`], whatever happens to it meanwhile.
pub(super) fn read_regular(file: OwnedFd, stat: &FileStat) -> Result<Vec<u8>, ReadError> {
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        return Err(ReadError::Kind);
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size > MAX {
        return Err(ReadError::TooLarge);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    File::from(file)
        .take(MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(ReadError::Io)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX {
        return Err(ReadError::TooLarge);
    }
    Ok(bytes)
}

/// A lock directory that is ours until this is dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    identity: (u64, u64),
}

impl Lock {
    fn take(file: &Path, until: Instant) -> Result<Lock, HostFileError> {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let path = file.with_file_name(name);
        let mut pause = Duration::from_millis(1);
        loop {
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    let made = path.symlink_metadata().map_err(io_failed("stat", &path))?;
                    return Ok(Lock {
                        path,
                        identity: (made.dev(), made.ino()),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => break_stale(&path),
                Err(error) => return Err(io_failed("mkdir", &path)(error)),
            }
            if Instant::now() >= until {
                return Err(HostFileError::Busy { path });
            }
            // Not all waiters in step.
            let jitter = random::bytes::<1>().map_or(0, |[byte]| u64::from(byte % 4));
            sleep(pause + Duration::from_millis(jitter));
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

/// Removes a lock that nobody has touched for [`STALE`]. Looked at twice: between the first look and rmdir(2) another
/// waiter may have removed it and taken its own.
fn break_stale(path: &Path) {
    let stale = || {
        let meta = path.symlink_metadata().ok()?;
        let age = SystemTime::now()
            .duration_since(meta.modified().ok()?)
            .ok()?;
        (meta.is_dir() && age > STALE).then(|| (meta.dev(), meta.ino(), meta.mtime_nsec()))
    };
    if let Some(first) = stale()
        && stale() == Some(first)
    {
        // Not empty, or gone: the next mkdir says it.
        let _ = std::fs::remove_dir(path);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Another program may have taken ours for stale and made its own.
        let ours = self
            .path
            .symlink_metadata()
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity);
        if ours {
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

#[cfg(test)]
#[path = "hostfile_tests.rs"]
mod tests;
