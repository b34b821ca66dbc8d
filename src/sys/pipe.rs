//! What waits in a pipe (pipe(7)).

use super::cvt;
use nix::errno::Errno;
use std::ffi::{c_int, c_long};
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// How many bytes wait in it (FIONREAD), asked at either end.
///
/// # Errors
/// The errno of ioctl(2).
pub fn waiting(pipe: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut count: c_int = 0;
    // SAFETY: this request writes one int to the place that is given, which outlives the call.
    let ret = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    cvt(c_long::from(ret))?;
    Ok(usize::try_from(count).unwrap_or(0))
}
