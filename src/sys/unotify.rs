//! System calls that a filter hands to another process to answer (seccomp_unotify(2)).

#![allow(unsafe_code)]

use super::cvt;
use nix::errno::Errno;
use std::ffi::c_long;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `SECCOMP_IOWR(0, struct seccomp_notif)` and its kin: direction, size, `!`, number. The same on every machine of ours.
const RECV: libc::c_ulong = request(3, size_of::<libc::seccomp_notif>(), 0);
const SEND: libc::c_ulong = request(3, size_of::<libc::seccomp_notif_resp>(), 1);
const ADDFD: libc::c_ulong = request(1, size_of::<libc::seccomp_notif_addfd>(), 3);

const fn request(direction: libc::c_ulong, size: usize, number: libc::c_ulong) -> libc::c_ulong {
    direction << 30 | (size as libc::c_ulong) << 16 | (b'!' as libc::c_ulong) << 8 | number
}

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Names it. Of no use once the caller is dead.
    pub id: u64,
    /// The thread that calls, as this process's pid namespace numbers it.
    pub pid: u32,
    /// Its arguments. What they point to can change at any time.
    pub args: [u64; 6],
}

/// Takes the next call; waits for one.
///
/// # Errors
/// ENOENT when its caller died meanwhile; the errno of ioctl(2).
pub fn next(listener: BorrowedFd<'_>) -> Result<Asked, Errno> {
    // SAFETY: a plain C struct of integers; the kernel wants it zeroed, and writes it whole.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the request writes one such struct, which lives for the call.
    cvt(c_long::from(unsafe {
        libc::ioctl(listener.as_raw_fd(), RECV as _, &raw mut asked)
    }))?;
    Ok(Asked {
        id: asked.id,
        pid: asked.pid,
        args: asked.data.args,
    })
}

/// Answers: 0, or an errno. The kernel never goes on with the call itself.
///
/// # Errors
/// ENOENT when the caller died meanwhile.
pub fn answer(listener: BorrowedFd<'_>, id: u64, with: Result<(), Errno>) -> Result<(), Errno> {
    let error = with.err().map_or(0, |errno| -(errno as i32));
    let response = libc::seccomp_notif_resp {
        id,
        val: 0,
        error,
        flags: 0,
    };
    // SAFETY: the request reads one such struct, which lives for the call.
    cvt(c_long::from(unsafe {
        libc::ioctl(listener.as_raw_fd(), SEND as _, &raw const response)
    }))
    .map(drop)
}

/// Gives the caller a descriptor for the same open file as `what`, at that number of its table, in the place of what is there.
///
/// # Errors
/// ENOENT when the caller died meanwhile, EBADF when the number is beyond its limit.
pub fn put(
    listener: BorrowedFd<'_>,
    id: u64,
    what: BorrowedFd<'_>,
    at: u32,
    close_on_exec: bool,
) -> Result<(), Errno> {
    let added = libc::seccomp_notif_addfd {
        id,
        flags: u32::try_from(libc::SECCOMP_ADDFD_FLAG_SETFD).unwrap_or(1),
        srcfd: u32::try_from(what.as_raw_fd()).map_err(|_| Errno::EBADF)?,
        newfd: at,
        newfd_flags: match close_on_exec {
            true => libc::O_CLOEXEC.cast_unsigned(),
            false => 0,
        },
    };
    // SAFETY: the request reads one such struct, which lives for the call.
    cvt(c_long::from(unsafe {
        libc::ioctl(listener.as_raw_fd(), ADDFD as _, &raw const added)
    }))
    .map(drop)
}
