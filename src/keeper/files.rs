//! Files of the host by descriptors: nothing here follows a symlink.

#![forbid(unsafe_code)]

use super::place::c_path;
use super::quarantine::rename;
use crate::plan::OsText;
use crate::sys::mount;
use crate::sys::rename::{Taken, renameat2};
use crate::sys::unlock::widen;
use crate::sys::xattr;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, UnlinkatFlags, fchown, symlinkat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

pub(super) const DIR: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// The most bytes of a file that are compared and put back.
pub(super) const MOST: u64 = 1 << 20;

/// How deep a tree is followed: each level of a copy holds two descriptors.
const DEPTH: u32 = 256;

/// What could not be done with a file.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call} {name}: {errno}")]
pub struct TreeError {
    call: &'static str,
    name: OsText,
    errno: Errno,
}

fn failed(call: &'static str, name: &OsStr) -> impl Fn(Errno) -> TreeError {
    let name = OsText::from(name);
    move |errno| TreeError {
        call,
        name: name.clone(),
        errno,
    }
}

pub(super) fn stat(dir: BorrowedFd<'_>, name: &OsStr) -> Result<FileStat, Errno> {
    fstatat(dir, Path::new(name), AtFlags::AT_SYMLINK_NOFOLLOW)
}

pub(super) fn exists(dir: BorrowedFd<'_>, name: &OsStr) -> bool {
    stat(dir, name).is_ok()
}

pub(super) fn is(stat: &FileStat, kind: SFlag) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

/// The names in a directory.
pub(super) fn names(dir: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut listing = Dir::openat(dir, ".", DIR, Mode::empty())?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The content of a regular file of at most [`MOST`] bytes, and what it is; `None` for anything else.
pub(super) fn read(
    dir: BorrowedFd<'_>,
    name: &OsStr,
) -> Result<Option<(Vec<u8>, FileStat)>, Errno> {
    read_most(dir, name, MOST)
}

/// The same, of at most so many bytes.
pub(super) fn read_most(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    most: u64,
) -> Result<Option<(Vec<u8>, FileStat)>, Errno> {
    let (bytes, stat) = match read_first(dir, name, most + 1)? {
        Some(read) => read,
        None => return Ok(None),
    };
    let fits = u64::try_from(bytes.len()).is_ok_and(|len| len <= most);
    Ok(fits.then_some((bytes, stat)))
}

/// The same, of a larger one so many bytes.
pub(super) fn read_first(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    most: u64,
) -> Result<Option<(Vec<u8>, FileStat)>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(dir, name, flags, Mode::empty()) {
        Ok(file) => file,
        // A link, a socket, a device without a driver.
        Err(Errno::ELOOP | Errno::ENXIO | Errno::ENODEV) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let stat = fstat(&file)?;
    if !is(&stat, SFlag::S_IFREG) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::from(file)
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|e| crate::sys::errno_of(&e))?;
    Ok(Some((bytes, stat)))
}

/// Writes a file under another name and renames it: a reader sees the old one or the new one.
pub(super) fn write(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    bytes: &[u8],
    mode: u32,
) -> Result<(), TreeError> {
    let new = written_beside(dir, name, bytes, mode)?;
    renameat(dir, Path::new(&new), dir, Path::new(name)).map_err(|errno| {
        let _ = unlinkat(dir, Path::new(&new), UnlinkatFlags::NoRemoveDir);
        failed("write", name)(errno)
    })
}

/// A new file beside that one: its name.
fn written_beside(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    bytes: &[u8],
    mode: u32,
) -> Result<OsString, TreeError> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let new = inert("", name)?;
    let file = openat(dir, new.as_os_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)
        .map_err(failed("create", name))?;
    let mut file = File::from(file);
    let written = file
        .write_all(bytes)
        .map_err(|e| crate::sys::errno_of(&e))
        .and_then(|()| fchmod(&file, Mode::from_bits_truncate(mode & 0o777)));
    match written {
        Ok(()) => Ok(new),
        Err(errno) => {
            let _ = unlinkat(dir, Path::new(&new), UnlinkatFlags::NoRemoveDir);
            Err(failed("write", name)(errno))
        }
    }
}

/// Replaces a file that git may write at the same time, if it still has these bytes. Without git's lock, for which git would
/// not wait: both files change places in one step, and what was taken out is compared then. Where it is something newer,
/// it comes back. A git that has read the old bytes and writes after that is seen again.
pub(super) fn replace(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    before: &[u8],
    bytes: &[u8],
    mode: u32,
) -> Result<Locked, TreeError> {
    replace_and(dir, name, before, bytes, mode, |_| {})
}

/// The same; what was replaced is handed over by the name that it has until then.
pub(super) fn replace_and(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    before: &[u8],
    bytes: &[u8],
    mode: u32,
    keep: impl FnOnce(&OsStr),
) -> Result<Locked, TreeError> {
    let new = written_beside(dir, name, bytes, mode)?;
    share_alike(dir, name, &new);
    let exchange = || {
        let flags = Taken::Exchange;
        renameat2(dir, Path::new(&new), dir, Path::new(name), flags)
    };
    let has =
        |name: &OsStr, bytes: &[u8]| matches!(read(dir, name), Ok(Some((now, _))) if now == bytes);
    let aside = |bytes: &[u8]| has(&new, bytes);
    // Once more in the last moment: a git that reads while newer bytes are aside goes on from the older ones, and the newer are lost.
    let exchanged = match has(name, before) {
        true => exchange(),
        false => Err(Errno::ENOENT),
    };
    let done = match exchanged {
        Ok(()) if aside(before) => {
            keep(&new);
            Ok(Locked::Written)
        }
        Ok(()) => {
            // Until what is aside is what was meant to be put in: git may have written between both steps.
            for _ in 0..EXCHANGES {
                // What is aside may be the only copy of it, so it stays where that fails.
                exchange().map_err(failed("write", name))?;
                if aside(bytes) {
                    break;
                }
            }
            Ok(Locked::Changed)
        }
        // It is not there, or not what it was.
        Err(Errno::ENOENT) => Ok(Locked::Changed),
        // A file system that cannot.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
            write_locked(dir, name, before, bytes, mode)
        }
        Err(errno) => Err(failed("write", name)(errno)),
    };
    let _ = unlinkat(dir, Path::new(&new), UnlinkatFlags::NoRemoveDir);
    done
}

/// Lets those who share a file go on to do so when this one takes its place: by its group (a directory without set-group-id does not
/// give that) and its access control list. What cannot be given is what git's own way of writing loses, too.
fn share_alike(dir: BorrowedFd<'_>, old: &OsStr, new: &OsStr) {
    let open = |name: &OsStr| {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(dir, name, flags, Mode::empty())?;
        fstat(&file).map(|stat| (file, stat))
    };
    let (Ok((old, theirs)), Ok((new, ours))) = (open(old), open(new)) else {
        return;
    };
    let mut mode = ours.st_mode & 0o777;
    if ours.st_gid != theirs.st_gid
        && fchown(&new, None, Some(Gid::from_raw(theirs.st_gid))).is_err()
    {
        // What the group might do is not for another one.
        mode &= 0o707 | (mode & 0o007) << 3;
    }
    let _ = xattr::copy(old.as_fd(), new.as_fd());
    let _ = fchmod(&new, Mode::from_bits_truncate(mode));
}

/// How often two files change places before it is left to the next look.
const EXCHANGES: u32 = 16;

/// What came of a write beside git.
pub(super) enum Locked {
    /// It was written.
    Written,
    /// The file is not what it was any more.
    Changed,
    /// Somebody holds the lock.
    Busy,
}

/// Replaces a file that git writes, if it still has these bytes, as git itself does: under `NAME.lock`, which becomes the file.
/// The lock is held for a few calls only, since git does not wait for it.
fn write_locked(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    before: &[u8],
    bytes: &[u8],
    mode: u32,
) -> Result<Locked, TreeError> {
    let mut lock = name.to_owned();
    lock.push(".lock");
    let lock = Path::new(&lock);
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = match openat(dir, lock, flags, Mode::from_bits_truncate(mode & 0o777)) {
        Ok(file) => file,
        Err(Errno::EEXIST) => return Ok(Locked::Busy),
        Err(errno) => return Err(failed("lock", name)(errno)),
    };
    let unlock = || {
        let _ = unlinkat(dir, lock, UnlinkatFlags::NoRemoveDir);
    };
    if !matches!(read(dir, name), Ok(Some((now, _))) if now == before) {
        unlock();
        return Ok(Locked::Changed);
    }
    let written = File::from(file)
        .write_all(bytes)
        .map_err(|e| crate::sys::errno_of(&e))
        .and_then(|()| renameat(dir, lock, dir, Path::new(name)));
    match written {
        Ok(()) => Ok(Locked::Written),
        Err(errno) => {
            unlock();
            Err(failed("write", name)(errno))
        }
    }
}

/// Opens an absolute path; a component that is a symlink is an error (ELOOP).
pub(super) fn open_path(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let below = path.strip_prefix("/").unwrap_or(path);
    if below.as_os_str().is_empty() {
        return mount::open(root, c".", flags);
    }
    mount::open(root, &c_path(below)?, flags)
}

/// The same, making what is missing of it below `tree`, which has to be there.
pub(super) fn make_path(
    root: BorrowedFd<'_>,
    tree: &Path,
    path: &Path,
) -> Result<OwnedFd, TreeError> {
    let mut dir = open_path(root, tree).map_err(failed("open", tree.as_os_str()))?;
    for part in path.strip_prefix(tree).unwrap_or(path).components() {
        let Component::Normal(name) = part else {
            continue;
        };
        let next = match openat(&dir, name, DIR, Mode::empty()) {
            Err(Errno::ENOENT) => {
                mkdirat(&dir, Path::new(name), Mode::from_bits_truncate(0o755))
                    .map_err(failed("mkdir", name))?;
                openat(&dir, name, DIR, Mode::empty())
            }
            other => other,
        };
        dir = next.map_err(failed("open", name))?;
    }
    Ok(dir)
}

/// Moves a file, link or directory; across file systems by copying it.
pub(super) fn move_tree(
    from: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
) -> Result<(), TreeError> {
    match rename(from, name, to, new) {
        Ok(()) => Ok(()),
        // A file system without RENAME_NOREPLACE says EINVAL.
        Err(Errno::EXDEV | Errno::EINVAL) => {
            if let Err(e) = copy(from, name, to, new, DEPTH) {
                // Half a copy would be taken for the thing itself.
                let _ = remove(to, new, DEPTH);
                return Err(e);
            }
            remove(from, name, DEPTH)
        }
        Err(errno) => Err(failed("rename", name)(errno)),
    }
}

fn copy(
    from: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
    depth: u32,
) -> Result<(), TreeError> {
    let deeper = depth
        .checked_sub(1)
        .ok_or(Errno::ELOOP)
        .map_err(failed("copy", name))?;
    let stat = stat(from, name).map_err(failed("stat", name))?;
    if is(&stat, SFlag::S_IFDIR) {
        mkdirat(to, Path::new(new), Mode::S_IRWXU).map_err(failed("mkdir", name))?;
        // Its mode may keep us out. It goes, so it needs no other one again.
        let _ = widen(from, name).map_err(failed("chmod", name))?;
        let source = openat(from, name, DIR, Mode::empty()).map_err(failed("open", name))?;
        let target = openat(to, new, DIR, Mode::empty()).map_err(failed("open", name))?;
        for inner in names(source.as_fd()).map_err(failed("list", name))? {
            copy(source.as_fd(), &inner, target.as_fd(), &inner, deeper)?;
        }
        return Ok(());
    }
    if is(&stat, SFlag::S_IFLNK) {
        let link = readlinkat(from, Path::new(name)).map_err(failed("readlink", name))?;
        return symlinkat(link.as_os_str(), to, Path::new(new)).map_err(failed("symlink", name));
    }
    if !is(&stat, SFlag::S_IFREG) {
        // A fifo, a socket: nothing that has a content.
        return Ok(());
    }
    let open = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let make =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let _ = widen(from, name).map_err(failed("chmod", name))?;
    let source = openat(from, name, open, Mode::empty()).map_err(failed("open", name))?;
    let mode = Mode::from_bits_truncate(stat.st_mode & 0o777) | Mode::S_IRUSR;
    let target = openat(to, new, make, mode).map_err(failed("create", name))?;
    copy_bytes(File::from(source), File::from(target))
        .map_err(|e| failed("copy", name)(crate::sys::errno_of(&e)))
}

/// Blocks of zeros become holes: a file of the box may be larger than the disk.
fn copy_bytes(mut source: File, mut target: File) -> std::io::Result<()> {
    let mut block = vec![0u8; 64 << 10];
    let mut length = 0u64;
    loop {
        let n = source.read(&mut block)?;
        let bytes = block.get(..n).unwrap_or_default();
        if bytes.is_empty() {
            return target.set_len(length);
        }
        if bytes.iter().all(|byte| *byte == 0) {
            target.seek(SeekFrom::Current(i64::try_from(n).unwrap_or(0)))?;
        } else {
            target.write_all(bytes)?;
        }
        length += u64::try_from(n).unwrap_or(0);
    }
}

fn remove(dir: BorrowedFd<'_>, name: &OsStr, depth: u32) -> Result<(), TreeError> {
    let deeper = depth
        .checked_sub(1)
        .ok_or(Errno::ELOOP)
        .map_err(failed("remove", name))?;
    match unlinkat(dir, Path::new(name), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(errno) => return Err(failed("unlink", name)(errno)),
    }
    let _ = widen(dir, name).map_err(failed("chmod", name))?;
    let inner = openat(dir, name, DIR, Mode::empty()).map_err(failed("open", name))?;
    for child in names(inner.as_fd()).map_err(failed("list", name))? {
        remove(inner.as_fd(), &child, deeper)?;
    }
    unlinkat(dir, Path::new(name), UnlinkatFlags::RemoveDir).map_err(failed("rmdir", name))
}

/// Gives a thing that cannot be moved away a name that means nothing, in its directory: which.
pub(super) fn put_aside(dir: BorrowedFd<'_>, name: &OsStr) -> Result<OsString, TreeError> {
    let new = inert("aside-", name)?;
    match rename(dir, name, dir, &new) {
        Err(Errno::EINVAL) => renameat(dir, Path::new(name), dir, Path::new(&new)),
        other => other,
    }
    .map_err(failed("rename", name))?;
    Ok(new)
}

/// A name that nobody has.
fn inert(what: &str, name: &OsStr) -> Result<OsString, TreeError> {
    let random = crate::sys::random::bytes::<8>()
        .map_err(|e| failed("getrandom", name)(crate::sys::errno_of(&e)))?;
    let mut new = OsString::from(format!(".agentbox-{what}"));
    for byte in random {
        new.push(format!("{byte:02x}"));
    }
    Ok(new)
}

/// Removes a directory if nothing is in it.
pub(super) fn remove_if_empty(dir: BorrowedFd<'_>, name: &OsStr) {
    let _ = unlinkat(dir, Path::new(name), UnlinkatFlags::RemoveDir);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use nix::fcntl::AT_FDCWD;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    /// As where the workspace is on another file system than the sessions.
    #[test]
    fn modes_depth_and_holes_keep_nothing_from_being_copied_away() {
        let top = std::env::temp_dir().join(format!("agentbox-copy-{}", std::process::id()));
        let _ = fs::remove_dir_all(&top);
        fs::create_dir_all(top.join("a").join("d/".repeat(70))).unwrap();
        fs::write(top.join("a/shut"), "evil").unwrap();
        fs::create_dir(top.join("a/dir")).unwrap();
        fs::write(top.join("a/dir/x"), "x").unwrap();
        for shut in ["a/shut", "a/dir"] {
            fs::set_permissions(top.join(shut), fs::Permissions::from_mode(0o0)).unwrap();
        }
        let hole = File::create(top.join("a/hole")).unwrap();
        hole.set_len(300 << 20).unwrap();
        let dir = openat(AT_FDCWD, top.as_path(), DIR, Mode::empty()).unwrap();
        let (a, b) = (OsStr::new("a"), OsStr::new("b"));
        copy(dir.as_fd(), a, dir.as_fd(), b, DEPTH).unwrap();
        remove(dir.as_fd(), a, DEPTH).unwrap();
        assert!(!top.join("a").exists());
        assert_eq!(fs::read(top.join("b/shut")).unwrap(), b"evil");
        assert_eq!(fs::read(top.join("b/dir/x")).unwrap(), b"x");
        assert!(top.join("b").join("d/".repeat(70)).exists());
        let hole = fs::metadata(top.join("b/hole")).unwrap();
        assert_eq!(hole.len(), 300 << 20);
        assert!(hole.blocks() < 1000, "{}", hole.blocks());
        fs::remove_dir_all(&top).unwrap();
    }
}
