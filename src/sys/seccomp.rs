//! seccomp(2) and prctl(PR_GET_SECCOMP), which nix does not wrap.

#![allow(unsafe_code)]

use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// Gives the calling thread, and everything it starts, a filter for ever: seccomp(SECCOMP_SET_MODE_FILTER, 0).
///
/// # Errors
///
/// EACCES when the caller has set neither no_new_privs nor holds CAP_SYS_ADMIN, EINVAL when the kernel finds the program
/// malformed or too long, ENOMEM, ENOSYS where the kernel has no seccomp. See seccomp(2).
pub fn set_filter(program: &[libc::sock_filter]) -> Result<(), Errno> {
    install(program, 0).map(drop)
}

/// The same with a filter that hands calls to a listener (seccomp_unotify(2)), which is returned, close-on-exec. Who waits for
/// an answer that was begun is interrupted by nothing but its death.
///
/// # Errors
///
/// As [`set_filter`]; EBUSY where an older filter of this process has a listener.
pub fn set_filter_that_asks(program: &[libc::sock_filter]) -> Result<OwnedFd, Errno> {
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let fd = install(program, flags)?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: with NEW_LISTENER the result is a new descriptor that only we know.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn install(program: &[libc::sock_filter], flags: libc::c_ulong) -> Result<libc::c_long, Errno> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let prog = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `prog.filter` points to `prog.len` initialised instructions that live through the call (a borrowed slice of
    // just that length), and `prog` itself is a live local. The kernel only reads both and keeps a copy.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const prog,
        )
    };
    Errno::result(result)
}

/// The seccomp mode of the calling thread (2 is "filter"): prctl(PR_GET_SECCOMP).
///
/// # Errors
///
/// EINVAL where the kernel has no seccomp. In mode 1 the call kills the caller, as prctl(2) says.
pub fn mode() -> Result<i32, Errno> {
    // SAFETY: PR_GET_SECCOMP takes no further argument and touches no memory of the caller.
    let result = unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) };
    Errno::result(result)
}

/// The errno of a system call with a number that no kernel knows, all arguments 0. A filter can answer it in words of its
/// own, so that its presence can be proven by use. `None` if the call succeeded, or if `number` is not between 2^29 and
/// 2^30 (below are the real calls, above is x32) and was not tried. The errno is a plain number because it need not be
/// one that has a name.
#[must_use]
pub fn unknown_call(number: u32) -> Option<i32> {
    if !(0x2000_0000..0x4000_0000).contains(&number) {
        return None;
    }
    // SAFETY: no Linux has a call with such a number (checked above), so the kernel or a filter answers it without
    // looking at the arguments, which are no addresses.
    let result = unsafe { libc::syscall(libc::c_long::from(number), 0, 0, 0, 0, 0, 0) };
    if result == -1 {
        std::io::Error::last_os_error().raw_os_error()
    } else {
        None
    }
}
