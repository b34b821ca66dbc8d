//! What a watch gives away before it asks for the first time. One that speaks to the network has no path at all and the list of
//! calls of the gate; one that looks at a share has no socket and opens for reading only. One that runs a program has the
//! rights of that program, which are the user's.

#![forbid(unsafe_code)]

use crate::enforce::seccomp::rules::{Action, Arm, Rule, Test};
use crate::gate::confine::{CALLS, call, confine_to, low, only};
use crate::plan::remote::Target;
use crate::plan::{LandlockAccess, LandlockRule, OsText};
use crate::sys::process;
use std::ffi::CStr;

/// O_ACCMODE, O_CREAT, O_TRUNC.
const READ_ONLY: &[Arm] = &[Arm {
    when: &[low(2, Test::OneOf(0o1103, &[0]))],
    then: Action::Allow,
}];

const LOOK: &str = "the share";

/// The calls of one that looks at a share.
const FILE_CALLS: &[Rule] = &[
    only("openat", 257, 56, READ_ONLY, LOOK),
    call("newfstatat", 262, Some(79), LOOK),
    call("statx", 332, Some(291), LOOK),
    call("read", 0, Some(63), LOOK),
    call("close", 3, Some(57), LOOK),
    call("fstat", 5, Some(80), LOOK),
    call("poll", 7, None, "waiting"),
    call("ppoll", 271, Some(73), "waiting"),
    call("mmap", 9, Some(222), "the allocator"),
    call("munmap", 11, Some(215), "the allocator"),
    call("mremap", 25, Some(216), "the allocator"),
    call("madvise", 28, Some(233), "the allocator"),
    call("brk", 12, Some(214), "the allocator"),
    call("lseek", 8, Some(62), LOOK),
    only("prctl", 157, 167, PRCTL, "the proof of this filter"),
    call("recvmsg", 47, Some(212), "the channel"),
    call("sendmsg", 46, Some(211), "the channel"),
    call("recvfrom", 45, Some(207), "the channel"),
    call("sendto", 44, Some(206), "the channel"),
    call("rt_sigprocmask", 14, Some(135), "the runtime"),
    call("rt_sigaction", 13, Some(134), "the runtime"),
    call("rt_sigreturn", 15, Some(139), "the runtime"),
    call("sigaltstack", 131, Some(132), "the runtime"),
    call("restart_syscall", 219, Some(128), "waiting"),
    call("clock_gettime", 228, Some(113), "waiting"),
    call("getrandom", 318, Some(278), "the next question"),
    call("futex", 202, Some(98), "the runtime"),
    call("exit", 60, Some(93), "the end"),
    call("exit_group", 231, Some(94), "the end"),
];

/// PR_GET_SECCOMP.
const PRCTL: &[Arm] = &[Arm {
    when: &[low(0, Test::OneOf(u32::MAX, &[21]))],
    then: Action::Allow,
}];

/// Gives it away, and takes that name.
///
/// # Errors
/// What could not be given away: the watch must not go on then.
pub fn confine(target: &Target, name: &CStr) -> Result<(), String> {
    let _ = process::short_turns();
    match target {
        Target::File { .. } => {
            let all = LandlockRule {
                path: OsText::from("/"),
                access: LandlockAccess::Read,
            };
            confine_to(name, FILE_CALLS, &[all]).map(drop)
        }
        Target::Exec { .. } => {
            let _ = process::set_name(name);
            process::set_undumpable().map_err(|e| format!("PR_SET_DUMPABLE: {e}"))
        }
        Target::Https { .. } | Target::Redis { .. } | Target::S3 { .. } => {
            confine_to(name, CALLS, &[]).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enforce::seccomp::compile::{Arch, compile_with};

    #[test]
    fn the_list_compiles_for_both_machines_and_is_short_of_power() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            assert!(
                compile_with(FILE_CALLS, arch, Action::Errno(1)).is_ok(),
                "{arch:?}"
            );
        }
        for name in [
            "socket", "connect", "execve", "clone", "clone3", "kill", "write", "unlinkat",
        ] {
            assert!(FILE_CALLS.iter().all(|rule| rule.name != name), "{name}");
        }
    }
}
