//! The keeper gives up every system call that it does not need. It keeps its power over the box's mounts, and nothing with which
//! it could write a file, start a program or reach a network.

#![forbid(unsafe_code)]

use crate::enforce::seccomp::compile::{Arch, allow_list};
use crate::sys::{process, seccomp as sys};

/// The calls, by their numbers on this machine.
const ALLOWED: &[libc::c_long] = &[
    // What happens, and the supervisor.
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    // Names.
    libc::SYS_openat2,
    libc::SYS_close,
    libc::SYS_fchdir,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_fstatfs,
    libc::SYS_statx,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    // Mounts.
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_umount2,
    // Memory and the end.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// For ever.
pub(super) fn apply() -> Result<(), String> {
    process::set_no_new_privs().map_err(|errno| format!("no_new_privs: {errno}"))?;
    let numbers: Vec<u32> = ALLOWED
        .iter()
        .filter_map(|n| u32::try_from(*n).ok())
        .collect();
    let program = allow_list(&numbers, Arch::NATIVE).map_err(|e| format!("the filter: {e}"))?;
    sys::set_filter(&program).map_err(|errno| format!("seccomp: {errno}"))
}
