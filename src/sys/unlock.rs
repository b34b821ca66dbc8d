//! Modes that keep the owner out of his own directory or file: whoever made it can do that to hinder those who come after.

#![forbid(unsafe_code)]

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat};
use nix::unistd::{AccessFlags, faccessat};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

const OWNER: u32 = 0o700;
const OWNER_FILE: u32 = 0o600;

/// An inode whose mode was widened, and the mode that it had.
#[derive(Debug)]
pub struct Widened {
    inode: OwnedFd,
    mode: u32,
}

impl Widened {
    /// Gives it its mode back.
    pub fn narrow(self) {
        let _ = set(self.inode.as_fd(), self.mode);
    }
}

/// Lets the owner list, enter and change a directory, or read and write a file, which is not followed if it is a link.
/// `None` where he may already.
///
/// # Errors
/// It is gone, or not this user's.
pub fn widen(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Widened>, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let inode = openat(dir, name, flags, Mode::empty())?;
    let stat = fstat(&inode)?;
    let kind = stat.st_mode & SFlag::S_IFMT.bits();
    let (wanted, access) = if kind == SFlag::S_IFDIR.bits() {
        let all = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
        (OWNER, all)
    } else if kind == SFlag::S_IFREG.bits() {
        (OWNER_FILE, AccessFlags::R_OK | AccessFlags::W_OK)
    } else {
        return Ok(None);
    };
    // By what the kernel says, not by the mode: root needs none.
    match faccessat(
        AT_FDCWD,
        link(inode.as_fd()).as_str(),
        access,
        AtFlags::AT_EACCESS,
    ) {
        Err(Errno::EACCES) => {}
        Ok(()) | Err(_) => return Ok(None),
    }
    let mode = stat.st_mode & 0o7777;
    set(inode.as_fd(), mode | wanted)?;
    Ok(Some(Widened { inode, mode }))
}

/// Is a directory another user's, and may this one not enter it?
#[must_use]
pub fn is_shut(dir: BorrowedFd<'_>) -> bool {
    let is_ours = fstat(dir).is_ok_and(|stat| stat.st_uid == nix::unistd::geteuid().as_raw());
    let entered = faccessat(
        AT_FDCWD,
        link(dir).as_str(),
        AccessFlags::X_OK,
        AtFlags::AT_EACCESS,
    );
    !is_ours && entered == Err(Errno::EACCES)
}

/// By the descriptor's link in /proc, the one way to name an inode that may not be opened.
fn set(inode: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    let mode = Mode::from_bits_truncate(mode);
    fchmodat(
        AT_FDCWD,
        link(inode).as_str(),
        mode,
        FchmodatFlags::FollowSymlink,
    )
}

fn link(inode: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", inode.as_raw_fd())
}
