//! Raw system calls by name or number, and the small language of their arguments.

use crate::{Answer, Refused, last, usage};
use serde_json::json;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The words after the operation.
pub(crate) struct Args<'a>(&'a [OsString]);

impl<'a> Args<'a> {
    pub(crate) fn new(words: &'a [OsString]) -> Self {
        Args(words)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn rest(&self, from: usize) -> &'a [OsString] {
        self.0.get(from..).unwrap_or_default()
    }

    pub(crate) fn os(&self, index: usize) -> &'a OsStr {
        match self.0.get(index) {
            Some(word) => word,
            None => usage("too few arguments"),
        }
    }

    pub(crate) fn text(&self, index: usize) -> &'a str {
        match self.os(index).to_str() {
            Some(text) => text,
            None => usage("argument is not UTF-8"),
        }
    }

    /// A path or another C string.
    pub(crate) fn c(&self, index: usize) -> CString {
        CString::new(self.os(index).as_bytes()).unwrap()
    }

    pub(crate) fn num(&self, index: usize) -> i64 {
        number(self.text(index))
    }

    /// A number that may be left out.
    pub(crate) fn num_or(&self, index: usize, default: i64) -> i64 {
        if index < self.len() {
            self.num(index)
        } else {
            default
        }
    }
}

/// Decimal, 0x hexadecimal, 0o octal, negative.
pub(crate) fn number(text: &str) -> i64 {
    let parsed = if let Some(hex) = text.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).map(u64::cast_signed).ok()
    } else if let Some(octal) = text.strip_prefix("0o") {
        i64::from_str_radix(octal, 8).ok()
    } else {
        text.parse().ok()
    };
    match parsed {
        Some(number) => number,
        None => usage(&format!("{text:?} is not a number")),
    }
}

/// One system call.
pub(crate) fn sys(nr: i64, args: [usize; 6]) -> Result<i64, Refused> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: a probe asks the kernel for what it must refuse; pointers among the arguments point into buffers that the
    // caller keeps alive for the call, and the kernel checks all of them.
    let result = unsafe { libc::syscall(nr, a, b, c, d, e, f) };
    if result == -1 {
        return last(&format!("syscall {nr}"));
    }
    Ok(result)
}

/// `syscall NAME|NR ARG...` with ARG one of: a number, `s:TEXT` (C string), `z:N` (N zero bytes), `h:HEX` (bytes),
/// `q:N,N,...` (64-bit numbers).
pub(crate) fn syscall(args: &Args<'_>) -> Answer {
    let name = args.text(0);
    let nr = number_of(name).unwrap_or_else(|| number(name));
    let mut buffers: Vec<Vec<u8>> = Vec::new();
    let words = value_words(args.rest(1), &mut buffers);
    let result = sys(nr, words)?;
    Ok(json!({"result": result}))
}

/// The same by `int $0x80`, with the numbers of i386.
#[cfg(target_arch = "x86_64")]
pub(crate) fn int80(args: &Args<'_>) -> Answer {
    let nr = args.num(0);
    let a = args.num_or(1, 0);
    let b = args.num_or(2, 0);
    let result: i64;
    // SAFETY: rbx is reserved by LLVM and is therefore saved and put back by hand; the kernel changes only rax.
    unsafe {
        std::arch::asm!(
            "push rbx", "mov rbx, {a}", "int 0x80", "pop rbx",
            a = in(reg) a, inlateout("rax") nr => result, in("rcx") b, in("rdx") 0, in("rsi") 0, in("rdi") 0,
        );
    }
    if (-4095..0).contains(&result) {
        return crate::refused(i32::try_from(-result).unwrap(), "int80");
    }
    Ok(json!({"result": result}))
}

fn value_words(words: &[OsString], buffers: &mut Vec<Vec<u8>>) -> [usize; 6] {
    let mut values = [0usize; 6];
    if words.len() > values.len() {
        usage("more than six arguments of a system call");
    }
    for (value, word) in values.iter_mut().zip(words) {
        let bytes = word.as_bytes();
        let buffer = match bytes.split_at_checked(2) {
            Some((b"s:", text)) => [text, b"\0"].concat(),
            Some((b"z:", size)) => {
                let size = number(std::str::from_utf8(size).unwrap());
                vec![0; usize::try_from(size).unwrap()]
            }
            Some((b"h:", hex)) => hex
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect(),
            Some((b"q:", list)) => std::str::from_utf8(list)
                .unwrap()
                .split(',')
                .flat_map(|n| number(n).to_ne_bytes())
                .collect(),
            _ => {
                let number = number(word.to_str().unwrap_or("?"));
                *value = usize::from_ne_bytes(number.to_ne_bytes());
                continue;
            }
        };
        buffers.push(buffer);
        // A Vec's bytes do not move when the Vec itself does.
        *value = buffers.last().map_or(0, |b| b.as_ptr() as usize);
    }
    values
}

/// The same on every architecture; not in every one's libc.
pub(crate) const FCHMODAT2: libc::c_long = 452;

macro_rules! numbers {
    ($($name:ident)*) => {
        /// The number of a system call.
        fn number_of(name: &str) -> Option<i64> {
            $(if name == &stringify!($name)[4..] { return Some(libc::$name); })*
            (name == "fchmodat2").then_some(FCHMODAT2)
        }
    };
}

#[rustfmt::skip]
numbers! {
    SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_unshare SYS_setns SYS_clone SYS_clone3 SYS_fsopen SYS_fsconfig
    SYS_fsmount SYS_fspick SYS_open_tree SYS_move_mount SYS_mount_setattr SYS_io_uring_setup SYS_io_uring_enter
    SYS_io_uring_register SYS_userfaultfd SYS_bpf SYS_perf_event_open SYS_keyctl SYS_add_key SYS_request_key SYS_ptrace
    SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise SYS_pidfd_open SYS_pidfd_getfd SYS_pidfd_send_signal
    SYS_kill SYS_tgkill SYS_prlimit64 SYS_kexec_load SYS_kexec_file_load SYS_init_module SYS_finit_module
    SYS_delete_module SYS_syslog SYS_swapon SYS_swapoff SYS_reboot SYS_settimeofday SYS_clock_settime SYS_clock_adjtime
    SYS_adjtimex SYS_acct SYS_quotactl SYS_quotactl_fd SYS_personality SYS_sethostname SYS_setdomainname SYS_setuid
    SYS_setgid SYS_setgroups SYS_setresuid SYS_capset SYS_open_by_handle_at SYS_name_to_handle_at SYS_openat SYS_openat2
    SYS_mknodat SYS_fchmodat SYS_fchmod SYS_fchownat SYS_vhangup SYS_lookup_dcookie SYS_nfsservctl
    SYS_fanotify_init SYS_fanotify_mark SYS_kcmp SYS_seccomp SYS_prctl SYS_memfd_create SYS_memfd_secret SYS_execveat
    SYS_socket SYS_socketpair SYS_shmget SYS_semget SYS_msgget SYS_mq_open SYS_mq_unlink SYS_inotify_init1 SYS_getpid
    SYS_getuid SYS_ioctl SYS_setpriority SYS_sched_setaffinity SYS_sched_setscheduler SYS_sched_setattr SYS_sched_setparam SYS_ioprio_set SYS_migrate_pages
    SYS_move_pages SYS_mbind SYS_set_mempolicy SYS_rseq SYS_landlock_create_ruleset
    SYS_epoll_create1 SYS_eventfd2 SYS_signalfd4 SYS_timerfd_create SYS_sync SYS_syncfs SYS_vmsplice SYS_splice
    SYS_membarrier SYS_futex SYS_getrandom SYS_statx SYS_copy_file_range SYS_utimensat SYS_truncate SYS_setxattr
}
