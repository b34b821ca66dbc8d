//! The gate gives everything away that it does not need, for ever: it parses bytes that the agent chose.
//!
//! A boundary for the host's files and processes: no path can be opened (seccomp and Landlock), no process signalled or
//! traced, nothing executed. Not one for the network: the process has the host's, and a gate that was taken over could
//! connect anywhere.

#![forbid(unsafe_code)]

use crate::enforce::seccomp;
use crate::enforce::seccomp::rules::{Action, Arm, Cond, Half, Rule, Test};
use crate::outcome::{Evidence, Status};
use crate::plan::{LandlockRule, NetworkMode};
use crate::sys::process;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::ffi::CStr;

/// The most memory for data, in bytes: many times what the bounds on names and connections add up to, and far less than
/// what would hurt the host.
const DATA: u64 = 256 << 20;
/// The most descriptors.
const DESCRIPTORS: u64 = 16 * 1024;

const ALLOW: Action = Action::Allow;
const EPERM: Action = Action::Errno(1);

pub(crate) const fn call(
    name: &'static str,
    x86_64: u32,
    aarch64: Option<u32>,
    why: &'static str,
) -> Rule {
    Rule {
        name,
        x86_64: Some(x86_64),
        aarch64,
        arms: &[],
        otherwise: ALLOW,
        why,
    }
}

pub(crate) const fn only(
    name: &'static str,
    x86_64: u32,
    aarch64: u32,
    arms: &'static [Arm],
    why: &'static str,
) -> Rule {
    Rule {
        name,
        x86_64: Some(x86_64),
        aarch64: Some(aarch64),
        arms,
        otherwise: EPERM,
        why,
    }
}

pub(crate) const fn low(arg: u8, test: Test) -> Cond {
    Cond {
        arg,
        half: Half::Low,
        test,
    }
}

/// AF_INET and AF_INET6, streams and datagrams (with SOCK_NONBLOCK and SOCK_CLOEXEC): no netlink, no packet sockets, no unix
/// sockets of the host.
const SOCKET: &[Arm] = &[Arm {
    when: &[
        low(0, Test::OneOf(u32::MAX, &[2, 10])),
        low(1, Test::OneOf(0xf, &[1, 2])),
    ],
    then: ALLOW,
}];
/// PROT_EXEC.
const NO_EXEC: &[Arm] = &[Arm {
    when: &[low(2, Test::OneOf(4, &[0]))],
    then: ALLOW,
}];
/// FIONBIO.
const IOCTL: &[Arm] = &[Arm {
    when: &[low(1, Test::OneOf(u32::MAX, &[0x5421]))],
    then: ALLOW,
}];
/// F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC.
const FCNTL: &[Arm] = &[Arm {
    when: &[low(1, Test::OneOf(u32::MAX, &[1, 2, 3, 4, 1030]))],
    then: ALLOW,
}];

/// PR_GET_SECCOMP, by which the filter is proven to be there.
const PRCTL: &[Arm] = &[Arm {
    when: &[low(0, Test::OneOf(u32::MAX, &[21]))],
    then: ALLOW,
}];

const IO: &str = "sockets and files that it was given";
const MEMORY: &str = "the allocator";
const WAIT: &str = "the event loop";
const RUNTIME: &str = "the runtime, and its end";

/// Every call of the gate. Written down by what the code and its runtime do; the tests run under it.
pub(crate) const CALLS: &[Rule] = &[
    call("read", 0, Some(63), IO),
    call("write", 1, Some(64), IO),
    call("close", 3, Some(57), IO),
    call("fstat", 5, Some(80), IO),
    call("poll", 7, None, WAIT),
    call("lseek", 8, Some(62), IO),
    only("mmap", 9, 222, NO_EXEC, MEMORY),
    only("mprotect", 10, 226, NO_EXEC, MEMORY),
    call("munmap", 11, Some(215), MEMORY),
    call("brk", 12, Some(214), MEMORY),
    call("rt_sigaction", 13, Some(134), RUNTIME),
    call("rt_sigprocmask", 14, Some(135), RUNTIME),
    call("rt_sigreturn", 15, Some(139), RUNTIME),
    only("ioctl", 16, 29, IOCTL, "FIONBIO"),
    call("readv", 19, Some(65), IO),
    call("writev", 20, Some(66), IO),
    call("sched_yield", 24, Some(124), RUNTIME),
    call("mremap", 25, Some(216), MEMORY),
    call("madvise", 28, Some(233), MEMORY),
    call("getpid", 39, Some(172), RUNTIME),
    only(
        "socket",
        41,
        198,
        SOCKET,
        "connections and questions outside",
    ),
    call(
        "connect",
        42,
        Some(203),
        "connections and questions outside",
    ),
    call("sendto", 44, Some(206), IO),
    call("recvfrom", 45, Some(207), IO),
    call("sendmsg", 46, Some(211), IO),
    call("recvmsg", 47, Some(212), IO),
    call("shutdown", 48, Some(210), IO),
    // Without listen(2), so that nothing can be served from the host's addresses.
    call("bind", 49, Some(200), "a port for each question outside"),
    call("getsockname", 51, Some(204), IO),
    call("getpeername", 52, Some(205), IO),
    call("setsockopt", 54, Some(208), IO),
    call("getsockopt", 55, Some(209), IO),
    call("exit", 60, Some(93), RUNTIME),
    only("fcntl", 72, 25, FCNTL, "O_NONBLOCK and close-on-exec"),
    call("sigaltstack", 131, Some(132), RUNTIME),
    only("prctl", 157, 167, PRCTL, "the proof of this filter"),
    call("gettid", 186, Some(178), RUNTIME),
    call("futex", 202, Some(98), RUNTIME),
    call("restart_syscall", 219, Some(128), WAIT),
    call("clock_gettime", 228, Some(113), WAIT),
    call("exit_group", 231, Some(94), RUNTIME),
    call("epoll_wait", 232, None, WAIT),
    call("epoll_ctl", 233, Some(21), WAIT),
    call("ppoll", 271, Some(73), WAIT),
    call("epoll_pwait", 281, Some(22), WAIT),
    call("accept4", 288, Some(242), IO),
    call(
        "getrandom",
        318,
        Some(278),
        "numbers of questions, hash tables",
    ),
    call("epoll_pwait2", 441, Some(441), WAIT),
];

/// Confines this process. After it nothing can be opened any more; how many connections its descriptors are enough for.
///
/// # Errors
/// What could not be given away: the gate must not run then.
pub fn confine() -> Result<usize, String> {
    let descriptors = confine_to(c"agentbox-gate", CALLS, &[])?;
    // Two for a connection; some for listeners and questions outside.
    Ok((descriptors.saturating_sub(descriptors / 4) / 2).clamp(16, 4096))
}

/// The same for another process between the box and something: with its name, its calls and the paths that it may open. How
/// many descriptors it may have.
///
/// # Errors
/// What could not be given away: the process must not go on then.
pub fn confine_to(
    name: &CStr,
    calls: &'static [Rule],
    paths: &[LandlockRule],
) -> Result<usize, String> {
    let failed = |what: &'static str| move |errno: nix::Error| format!("{what}: {errno}");
    process::set_undumpable().map_err(failed("PR_SET_DUMPABLE"))?;
    let _ = process::set_name(name);
    for (resource, most) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_DATA, DATA),
        (Resource::RLIMIT_NPROC, 0),
    ] {
        let (_, hard) = getrlimit(resource).map_err(failed("getrlimit"))?;
        let most = most.min(hard);
        setrlimit(resource, most, most).map_err(failed("setrlimit"))?;
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed("getrlimit"))?;
    let descriptors = hard.min(DESCRIPTORS);
    setrlimit(Resource::RLIMIT_NOFILE, descriptors, descriptors).map_err(failed("setrlimit"))?;

    capabilities()?;
    process::set_no_new_privs().map_err(failed("PR_SET_NO_NEW_PRIVS"))?;
    // Without a rule: no path at all, no signal, no abstract socket. Without Landlock the filter alone holds these.
    let landlock: Evidence = crate::enforce::landlock::apply(paths, NetworkMode::None, &[])
        .map_err(|e| format!("Landlock: {e}"))?;
    if let Status::Partial { why } = &landlock.status {
        return Err(format!("Landlock: {why}"));
    }
    let filter = seccomp::prepare_only(calls).map_err(|e| e.to_string())?;
    let _installed = filter.apply().map_err(|e| e.to_string())?;

    Ok(usize::try_from(descriptors).unwrap_or(usize::MAX))
}

fn capabilities() -> Result<(), String> {
    use ::caps::{CapSet, clear, read};
    let failed = |e: ::caps::errors::CapsError| format!("capabilities: {e}");
    if !read(None, CapSet::Permitted).map_err(failed)?.is_empty() {
        process::empty_bounding_set().map_err(|e| format!("PR_CAPBSET_DROP: {e}"))?;
    }
    let sets = [
        CapSet::Ambient,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ];
    for set in sets {
        clear(None, set).map_err(failed)?;
    }
    for set in [CapSet::Effective, CapSet::Permitted] {
        if !read(None, set).map_err(failed)?.is_empty() {
            return Err(format!("capabilities: {set:?} is not empty"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enforce::seccomp::compile::{Arch, compile_with};

    #[test]
    fn the_list_compiles_for_both_machines() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            assert!(compile_with(CALLS, arch, EPERM).is_ok(), "{arch:?}");
        }
    }

    #[test]
    fn numbers_are_libcs() {
        for (name, number) in [
            ("read", libc::SYS_read),
            ("recvmsg", libc::SYS_recvmsg),
            ("accept4", libc::SYS_accept4),
            ("getrandom", libc::SYS_getrandom),
            ("epoll_ctl", libc::SYS_epoll_ctl),
            ("epoll_pwait", libc::SYS_epoll_pwait),
            ("fcntl", libc::SYS_fcntl),
            ("futex", libc::SYS_futex),
            ("mmap", libc::SYS_mmap),
            ("mprotect", libc::SYS_mprotect),
            ("socket", libc::SYS_socket),
            ("shutdown", libc::SYS_shutdown),
            ("setsockopt", libc::SYS_setsockopt),
            ("getsockname", libc::SYS_getsockname),
            ("clock_gettime", libc::SYS_clock_gettime),
            ("exit_group", libc::SYS_exit_group),
        ] {
            let rule = CALLS.iter().find(|rule| rule.name == name);
            let ours = rule.and_then(|rule| Arch::NATIVE.number(rule));
            assert_eq!(ours.map(i64::from), Some(number), "{name}");
        }
    }

    #[test]
    fn nothing_that_opens_executes_or_listens_is_on_the_list() {
        for name in [
            "open",
            "openat",
            "openat2",
            "execve",
            "execveat",
            "fork",
            "vfork",
            "clone",
            "clone3",
            "kill",
            "tgkill",
            "ptrace",
            "listen",
            "statx",
            "newfstatat",
            "setns",
            "unshare",
            "mount",
            "io_uring_setup",
            "bpf",
            "memfd_create",
            "pidfd_open",
        ] {
            assert!(CALLS.iter().all(|rule| rule.name != name), "{name}");
        }
    }
}
