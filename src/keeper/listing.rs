//! What is in a directory.

#![forbid(unsafe_code)]

use super::view::Inode;
use crate::plan::names::git::Shape;
use nix::dir::{Dir, Type};
use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstatat};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Dir,
    Link,
    Socket,
    Pipe,
    Other,
}

/// What a name is, if it is there.
pub(super) fn what(dir: BorrowedFd<'_>, name: &OsStr) -> Option<What> {
    let stat = fstatat(dir, Path::new(name), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    Some(kind(stat.st_mode))
}

fn kind(mode: u32) -> What {
    let kind = mode & SFlag::S_IFMT.bits();
    if kind == SFlag::S_IFDIR.bits() {
        What::Dir
    } else if kind == SFlag::S_IFLNK.bits() {
        What::Link
    } else if kind == SFlag::S_IFSOCK.bits() {
        What::Socket
    } else if kind == SFlag::S_IFIFO.bits() {
        What::Pipe
    } else {
        What::Other
    }
}

/// The same, with its inode where a file has more than one name.
pub(super) fn linked(dir: BorrowedFd<'_>, name: &OsStr) -> Option<(What, Option<Inode>)> {
    let stat = fstatat(dir, Path::new(name), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    let what = kind(stat.st_mode);
    let several = what == What::Other && stat.st_nlink > 1;
    Some((what, several.then_some((stat.st_dev, stat.st_ino))))
}

/// Is it a git directory by what is in it?
pub(super) fn is_git(dir: BorrowedFd<'_>) -> bool {
    let mut shape = Shape::default();
    for name in Shape::NAMES {
        if what(dir, OsStr::new(name)).is_some() {
            shape.see(name.as_bytes());
        }
    }
    shape.is_git()
}

pub(super) fn list(dir: OwnedFd) -> Vec<(OsString, What)> {
    let Ok(again) = dir.try_clone() else {
        return Vec::new();
    };
    let Ok(mut entries) = Dir::from_fd(dir) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.iter().map_while(Result::ok) {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let what = match entry.file_type() {
            Some(Type::Directory) => Some(What::Dir),
            Some(Type::Symlink) => Some(What::Link),
            Some(Type::Socket) => Some(What::Socket),
            Some(Type::Fifo) => Some(What::Pipe),
            Some(_) => Some(What::Other),
            None => what(again.as_fd(), name),
        };
        found.extend(what.map(|what| (name.to_owned(), what)));
    }
    found
}
