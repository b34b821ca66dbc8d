//! [`RealLookup`]: what the running kernel says of files.

#![forbid(unsafe_code)]

use super::{FileType, Identity, Lookup, Stat, Want, several};
use nix::dir::{Dir, Type};
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, Mode, SFlag};
use nix::unistd::{AccessFlags, eaccess};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Most of what is read is smaller.
const PAGE: usize = 4096;

/// Reads a small file, as those of the kernel are, with one read(2) that fills and one that says the end. `std::fs::read`
/// asks for its size first, is told 0 in /proc and /sys, and then reads 32 bytes at a time.
pub(super) fn small_file(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(PAGE);
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Asks the kernel.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealLookup;

/// Opens a regular file for reading, and never waits.
///
/// # Errors
/// Of open(2) and fstat(2); `InvalidInput` for what is none.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // O_NONBLOCK: a fifo must not hold the start up; what is not a regular file is refused after the open.
    let file = File::options()
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "no regular file",
    ))
}

impl Lookup for RealLookup {
    // By stat(2) and not by statx(2) as std does: a plan asks a few hundred times, and statx fills twice as much, the time of
    // birth included.
    fn stat(&self, path: &Path) -> Option<Stat> {
        nix::sys::stat::stat(path).ok().map(|s| from_raw(&s))
    }

    fn lstat(&self, path: &Path) -> Option<Stat> {
        nix::sys::stat::lstat(path).ok().map(|s| from_raw(&s))
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        fs::read_link(path).ok()
    }

    fn canonicalize(&self, path: &Path) -> Option<PathBuf> {
        fs::canonicalize(path).ok()
    }

    fn read_dir(&self, path: &Path) -> Vec<OsString> {
        let Ok(entries) = fs::read_dir(path) else {
            return Vec::new();
        };
        let mut names: Vec<OsString> = entries.flatten().map(|e| e.file_name()).collect();
        names.sort();
        names
    }

    fn read(&self, path: &Path, max: usize) -> Option<Vec<u8>> {
        let file = open_regular(path).ok()?;
        // Without a buffer to begin with, std reads 32 bytes, then 64, and so on.
        let mut bytes = Vec::with_capacity(max.min(PAGE));
        file.take(u64::try_from(max).ok()?)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(bytes)
    }

    fn lstat_each(&self, dir: &Path, names: &[&OsStr]) -> Vec<(usize, Stat)> {
        several::lstat_each(dir, names)
    }

    fn lstat_listed(&self, dir: &Path, names: &[&OsStr]) -> Vec<(usize, Stat)> {
        several::lstat_listed(dir, names)
    }

    fn shared(&self) -> Option<Arc<dyn Lookup + Send + Sync>> {
        Some(Arc::new(*self))
    }

    fn permits(&self, path: &Path, want: Want) -> bool {
        let flags = match want {
            Want::Read => AccessFlags::R_OK,
            Want::Write => AccessFlags::W_OK,
            Want::Search => AccessFlags::X_OK,
        };
        eaccess(path, flags).is_ok()
    }

    fn executable(&self, path: &Path) -> bool {
        eaccess(path, AccessFlags::X_OK).is_ok()
    }

    // Not by std, which makes two copies of each name.
    fn scan(&self, path: &Path, each: &mut dyn FnMut(&OsStr, FileType, u64)) -> bool {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let Ok(mut dir) = Dir::open(path, flags, Mode::empty()) else {
            return false;
        };
        for entry in dir.iter().flatten() {
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            // The type comes with the name, but for file systems that do not know it.
            let file_type = match entry.file_type() {
                Some(Type::Directory) => Some(FileType::Dir),
                Some(Type::File) => Some(FileType::File),
                Some(Type::Symlink) => Some(FileType::Symlink),
                Some(Type::Socket) => Some(FileType::Socket),
                Some(Type::Fifo | Type::CharacterDevice | Type::BlockDevice) => {
                    Some(FileType::Other)
                }
                None => self.lstat(&path.join(name)).map(|stat| stat.file_type),
            };
            if let Some(file_type) = file_type {
                each(name, file_type, entry.ino());
            }
        }
        true
    }

    fn identity(&self, path: &Path) -> Option<Identity> {
        let m = fs::symlink_metadata(path).ok()?;
        let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        let since = |t: SystemTime| {
            t.duration_since(UNIX_EPOCH)
                .ok()?
                .as_nanos()
                .try_into()
                .ok()
        };
        Some(Identity {
            file_type: type_of(m.file_type()),
            dev: m.dev(),
            ino: m.ino(),
            uid: m.uid(),
            links: m.nlink(),
            size: m.size(),
            modified: nanoseconds(m.mtime(), m.mtime_nsec()),
            changed: nanoseconds(m.ctime(), m.ctime_nsec()),
            born: m.created().ok().and_then(since).unwrap_or(0),
        })
    }

    fn times(&self, path: &Path) -> Option<Identity> {
        let raw = nix::sys::stat::lstat(path).ok()?;
        let stat = from_raw(&raw);
        let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Some(Identity {
            file_type: stat.file_type,
            dev: stat.dev,
            ino: stat.ino,
            uid: stat.uid,
            links: stat.nlink,
            size: u64::try_from(raw.st_size).unwrap_or(0),
            modified: nanoseconds(raw.st_mtime, raw.st_mtime_nsec),
            changed: nanoseconds(raw.st_ctime, raw.st_ctime_nsec),
            born: 0,
        })
    }

    fn now(&self) -> i128 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.ok()
            .and_then(|t| t.as_nanos().try_into().ok())
            .unwrap_or(0)
    }

    fn recall(&self, path: &Path) -> Option<Vec<u8>> {
        fs::read(path).ok()
    }

    fn remember(&self, path: &Path, bytes: &[u8]) {
        // Replaced in one step, so that two starts at once leave the one or the other. Failing costs a later search time.
        let write = || -> io::Result<()> {
            if let Some(dir) = path.parent() {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(dir)?;
            }
            let new = path.with_extension(format!("new.{}", std::process::id()));
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(bytes)?;
            fs::rename(&new, path)
        };
        let _ = write();
    }
}

pub(super) fn from_raw(s: &FileStat) -> Stat {
    let file_type = match SFlag::from_bits_truncate(s.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFDIR => FileType::Dir,
        SFlag::S_IFREG => FileType::File,
        SFlag::S_IFLNK => FileType::Symlink,
        SFlag::S_IFSOCK => FileType::Socket,
        _ => FileType::Other,
    };
    // A u32 on aarch64.
    #[allow(clippy::useless_conversion)]
    let nlink = u64::from(s.st_nlink);
    Stat {
        file_type,
        mode: s.st_mode & 0o7777,
        uid: s.st_uid,
        gid: s.st_gid,
        dev: s.st_dev,
        ino: s.st_ino,
        nlink,
    }
}

fn type_of(t: fs::FileType) -> FileType {
    if t.is_dir() {
        FileType::Dir
    } else if t.is_file() {
        FileType::File
    } else if t.is_symlink() {
        FileType::Symlink
    } else if t.is_socket() {
        FileType::Socket
    } else {
        FileType::Other
    }
}
