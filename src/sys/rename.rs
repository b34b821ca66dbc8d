//! renameat2(2) with flags, which nix has for glibc alone.

use super::cvt;
use nix::NixPath;
use nix::errno::Errno;
use std::ffi::{c_long, c_uint};
use std::os::fd::{AsFd, AsRawFd as _};

/// What a rename does where the new name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// EEXIST (RENAME_NOREPLACE).
    Keep,
    /// Both names stand, each for what the other stood for (RENAME_EXCHANGE).
    Exchange,
}

impl Taken {
    /// Of linux/fs.h.
    fn flag(self) -> c_uint {
        match self {
            Taken::Keep => 1,
            Taken::Exchange => 2,
        }
    }
}

/// renameat2(2), from a name in a directory to a name in a directory.
///
/// # Errors
/// The errno of renameat2(2); EINVAL on file systems that do not know the flag, or for a name with a NUL.
pub fn renameat2<A: NixPath + ?Sized, B: NixPath + ?Sized>(
    from_dir: impl AsFd,
    from: &A,
    to_dir: impl AsFd,
    to: &B,
    taken: Taken,
) -> Result<(), Errno> {
    let done = from.with_nix_path(|from| {
        to.with_nix_path(|to| {
            // SAFETY: two descriptors that are borrowed for the call, and two C strings, which the kernel only reads.
            let ret: c_long = unsafe {
                libc::syscall(
                    libc::SYS_renameat2,
                    from_dir.as_fd().as_raw_fd(),
                    from.as_ptr(),
                    to_dir.as_fd().as_raw_fd(),
                    to.as_ptr(),
                    taken.flag(),
                )
            };
            cvt(ret).map(|_| ())
        })
    });
    done??
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs::{File, read_to_string, write};

    #[test]
    fn it_keeps_or_exchanges() {
        let dir = crate::sys::testing::scratch("rename");
        for name in ["a", "b"] {
            write(dir.path().join(name), name).unwrap();
        }
        let at = File::open(dir.path()).unwrap();
        assert_eq!(
            renameat2(&at, "a", &at, "b", Taken::Keep),
            Err(Errno::EEXIST)
        );
        assert_eq!(renameat2(&at, "a", &at, "b", Taken::Exchange), Ok(()));
        assert_eq!(read_to_string(dir.path().join("a")).unwrap(), "b");
        assert_eq!(renameat2(&at, "a", &at, "c", Taken::Keep), Ok(()));
        assert!(!dir.path().join("a").exists());
    }
}
