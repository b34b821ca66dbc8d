//! Directories and files of the caller's own that somebody has closed by their mode: the owner may always change it back.

#![forbid(unsafe_code)]

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstatat};
use nix::unistd::geteuid;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Read, write and search, for the owner.
const ALL: u32 = 0o700;

/// Gives the owner of a directory its bits back, if that is this process's user and one is missing. A symlink is not followed.
/// Whether something was changed.
pub fn open_up(parent: BorrowedFd<'_>, name: &Path) -> bool {
    fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| kind(&stat) == SFlag::S_IFDIR && grant(parent, name, &stat, ALL))
}

/// The same of a path.
pub fn open_up_path(path: &Path) -> bool {
    open_up(AT_FDCWD, path)
}

/// Gives the owner these bits of a path back, if it still is what `was` says and one is missing. Whether something was changed.
pub fn give_back(path: &Path, was: (u64, u64), bits: u32) -> bool {
    fstatat(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        (stat.st_dev, stat.st_ino) == was
            && kind(&stat) != SFlag::S_IFLNK
            && grant(AT_FDCWD, path, &stat, bits)
    })
}

/// Removes a directory and what is in it, also in directories that cannot be written (a module cache of Go's, the output of
/// Bazel). No link is followed.
///
/// # Errors
/// What could not be removed.
pub fn remove_tree(top: &Path) -> io::Result<()> {
    match fs::remove_dir_all(top) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
        done => return done,
    }
    let mut rest = vec![top.to_owned()];
    while let Some(dir) = rest.pop() {
        open_up_path(&dir);
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        rest.extend(dirs.map(|entry| entry.path()));
    }
    fs::remove_dir_all(top)
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn grant(parent: BorrowedFd<'_>, name: &Path, stat: &FileStat, bits: u32) -> bool {
    if stat.st_uid != geteuid().as_raw() || stat.st_mode & bits == bits {
        return false;
    }
    let mode = Mode::from_bits_truncate((stat.st_mode & 0o7777) | bits);
    fchmodat(parent, name, mode, FchmodatFlags::FollowSymlink).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs::{Permissions, create_dir_all, metadata, remove_dir_all, set_permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_closed_directory_is_opened_and_a_link_is_not_followed() {
        let base = std::env::temp_dir().join(format!("agentbox-own-{}", std::process::id()));
        let (dir, link) = (base.join("dir"), base.join("link"));
        create_dir_all(&dir).unwrap();
        symlink(&dir, &link).unwrap();
        let mode = |path: &Path| metadata(path).unwrap().permissions().mode() & 0o7777;
        set_permissions(&dir, Permissions::from_mode(0o050)).unwrap();
        assert!(!open_up_path(&link));
        assert_eq!(mode(&dir), 0o050);
        assert!(open_up_path(&dir));
        assert_eq!(mode(&dir), 0o750);
        assert!(!open_up_path(&dir));
        remove_dir_all(&base).unwrap();
    }
}
