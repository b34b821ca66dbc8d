//! System calls that nix, caps, landlock and seccompiler do not wrap. The one place for `unsafe`; no decisions.

#![allow(unsafe_code)]

pub mod fanotify;
pub mod heap;
pub mod inotify;
pub mod job;
pub mod joined;
pub mod landlock;
pub mod listen;
pub mod mount;
pub mod netlink;
pub mod notify;
pub mod own;
pub mod parked;
pub mod pipe;
pub mod probe;
pub mod process;
pub mod procfs;
pub mod random;
pub mod rename;
pub mod seccomp;
pub mod sigaction;
pub mod sock_diag;
pub mod socket;
pub mod spawn;
#[cfg(test)]
pub(crate) mod testing;
pub mod tty;
pub mod unlock;
pub mod unotify;
pub mod wait;
pub mod xattr;

use nix::errno::Errno;
use std::ffi::c_long;

/// A system call's return value as a result.
fn cvt(ret: c_long) -> Result<c_long, Errno> {
    if ret == -1 {
        Err(Errno::last())
    } else {
        Ok(ret)
    }
}

/// The errno of an error of std; EIO where it has none.
#[must_use]
pub fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
