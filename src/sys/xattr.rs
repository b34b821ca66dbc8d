//! Extended attributes (xattr(7)).

#![allow(unsafe_code)]

use super::cvt;
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

/// The most bytes of a list of names, and of one value (XATTR_LIST_MAX, XATTR_SIZE_MAX).
const MOST: usize = 64 * 1024;

/// Has the file an attribute of that name? No where it cannot be told.
#[must_use]
pub fn has(file: BorrowedFd<'_>, name: &CStr) -> bool {
    // SAFETY: `file` is an open descriptor and `name` ends with a NUL byte, both for the call; with a size of 0 the kernel writes
    // nothing.
    let size = unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), ptr::null_mut(), 0) };
    size >= 0
}

/// Gives `to` the attributes of `from` that its owner may set: those of the user, and access control lists. Where the file
/// system knows none there are none.
///
/// # Errors
/// One that could not be read or set.
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: `from` is an open descriptor for the call; with a size of 0 the kernel writes nothing and answers the size.
    let has = unsafe { libc::flistxattr(from.as_raw_fd(), ptr::null_mut(), 0) };
    match has {
        0 => return Ok(()),
        -1 if Errno::last() == Errno::EOPNOTSUPP => return Ok(()),
        _ => {}
    }
    let mut names = vec![0u8; MOST];
    // SAFETY: `names` is an exclusive borrow of `names.len()` writable bytes that lives across the call.
    let length =
        unsafe { libc::flistxattr(from.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
    let length = usize::try_from(cvt(length as _)?).map_err(|_| Errno::EIO)?;
    let mut value = vec![0u8; MOST];
    for name in names.get(..length).unwrap_or_default().split(|b| *b == 0) {
        if !name.starts_with(b"user.") && name != b"system.posix_acl_access" {
            continue;
        }
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        // SAFETY: `name` ends with a NUL byte, `value` is an exclusive borrow of `value.len()` writable bytes; both live
        // across the call.
        let size = unsafe {
            libc::fgetxattr(
                from.as_raw_fd(),
                name.as_ptr(),
                value.as_mut_ptr().cast(),
                value.len(),
            )
        };
        let size = usize::try_from(cvt(size as _)?).map_err(|_| Errno::EIO)?;
        let value = value.get(..size).unwrap_or_default();
        // SAFETY: `name` ends with a NUL byte and `value` is `value.len()` readable bytes; both live across the call.
        let set = unsafe {
            libc::fsetxattr(
                to.as_raw_fd(),
                name.as_ptr(),
                value.as_ptr().cast(),
                value.len(),
                0,
            )
        };
        cvt(set.into())?;
    }
    Ok(())
}
