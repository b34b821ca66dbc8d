//! The version of the kernel's Landlock, which the landlock crate keeps to itself.

use super::cvt;
use nix::errno::Errno;

/// landlock_create_ruleset(2) with LANDLOCK_CREATE_RULESET_VERSION.
///
/// # Errors
/// ENOSYS: not built in; EOPNOTSUPP: switched off at boot.
pub fn abi_version() -> Result<i32, Errno> {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the kernel takes no attribute: null and 0 are what landlock_create_ruleset(2) asks for.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    i32::try_from(cvt(ret)?).map_err(|_| Errno::EOVERFLOW)
}
