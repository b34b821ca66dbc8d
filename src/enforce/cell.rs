//! A confined child that computes one answer: for bytes that the agent chose. It is forked, gives up everything but computing,
//! memory and the descriptors that it was given, and only then looks at a byte.

#![forbid(unsafe_code)]

use crate::sys::job::{self, Stdio};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// The exit status of a confined child that could not be confined.
pub(super) const NOT_CONFINED: u8 = 103;

/// What a child may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Who it is, for messages.
    pub who: &'static str,
    /// How long.
    pub time: Duration,
    /// The most bytes of its answer.
    pub answer: u64,
}

/// Waits until the descriptor is readable, at its end or the deadline is there.
pub fn wait_readable(fd: BorrowedFd<'_>, deadline: Instant) {
    let rest = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
    // EINTR is one more turn of the caller's loop.
    let _ = poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout);
}

/// Runs `work` in a confined child and returns its bytes. A crash, a forbidden system call, too much memory or time is an
/// error, and nothing of what it may have answered is used.
///
/// # Errors
/// Why there is no answer, in words.
pub fn compute(bounds: Bounds, work: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, String> {
    let who = bounds.who;
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| format!("pipe: {errno}"))?;
    let pid = job::fork(write, Stdio::Close, |pipe| {
        if confine().is_err() {
            return NOT_CONFINED;
        }
        let answer = work();
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            match nix::unistd::write(&pipe, rest) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(_) => return 1,
            }
        }
        // Not closed here: a debug build of the library asks fcntl(2) before it closes, which the filter does not know.
        std::mem::forget(pipe);
        0
    })
    .map_err(|error| format!("fork: {error}"))?;
    let answer = collect(read, bounds);
    reap(who, pid, answer)
}

/// The end of the child that gave this answer.
pub(super) fn reap(
    who: &str,
    pid: Pid,
    answer: Result<Vec<u8>, String>,
) -> Result<Vec<u8>, String> {
    if answer.is_err() {
        let _ = kill(pid, Signal::SIGKILL);
    }
    match waitpid(pid, None) {
        Ok(WaitStatus::Exited(_, 0)) => answer,
        Ok(WaitStatus::Exited(_, code)) if code == i32::from(NOT_CONFINED) => {
            Err(format!("{who} could not be confined"))
        }
        Ok(WaitStatus::Signaled(_, signal, _)) if answer.is_ok() => {
            Err(format!("{who} was killed by {signal}"))
        }
        Ok(status) => Err(answer.err().unwrap_or(format!("{who} failed ({status:?})"))),
        Err(errno) => Err(format!("waitpid: {errno}")),
    }
}

/// Reads to the end, but not beyond the bounds.
fn collect(pipe: OwnedFd, bounds: Bounds) -> Result<Vec<u8>, String> {
    let who = bounds.who;
    let deadline = Instant::now() + bounds.time;
    let mut answer = Vec::new();
    let mut pipe = File::from(pipe);
    let mut buffer = vec![0u8; 65_536];
    loop {
        wait_readable(pipe.as_fd(), deadline);
        if Instant::now() >= deadline {
            return Err(format!("{who} took too long"));
        }
        if !readable(pipe.as_fd()) {
            continue;
        }
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(n) => answer.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("read: {error}")),
        }
        if u64::try_from(answer.len()).unwrap_or(u64::MAX) > bounds.answer {
            return Err(format!("{who} answered too much"));
        }
    }
}

/// Is there something to read, or the end?
#[must_use]
pub fn readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
}

/// Gives up everything but computing, memory and the descriptors that are open: rlimits, Landlock without a rule,
/// no_new_privs and an allow-list of system calls that ends the process for anything else.
pub(super) fn confine() -> Result<(), String> {
    let errno = |errno: Errno| errno.to_string();
    for (resource, value) in [
        (Resource::RLIMIT_CPU, 2),
        // What is written to, not what is reserved: the heap of the program reserves far more than it uses.
        (Resource::RLIMIT_DATA, 1 << 30),
        (Resource::RLIMIT_AS, 16 << 30),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(resource, value, value).map_err(errno)?;
    }
    landlock_nothing()?;
    let filter = filter()?;
    seccompiler::apply_filter(&filter).map_err(|error| error.to_string())
}

/// Landlock without a single rule. Best effort by its nature (old kernels know less of it): the filter that follows does
/// not let a path into the kernel at all, and that one is not optional.
fn landlock_nothing() -> Result<(), String> {
    use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr};
    let all = ABI::V5;
    Ruleset::default()
        .handle_access(AccessFs::from_all(all))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(all)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// What an allocator, a hash map and a pipe need. `mmap` and `mprotect` only without PROT_EXEC.
fn filter() -> Result<seccompiler::BpfProgram, String> {
    use nix::libc;
    use seccompiler::{
        SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    };
    let failed = |error: seccompiler::BackendError| error.to_string();
    let exec = u64::try_from(libc::PROT_EXEC).unwrap_or(4);
    let not_executable = || -> Result<Vec<SeccompRule>, String> {
        let condition =
            SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(exec), 0)
                .map_err(failed)?;
        Ok(vec![SeccompRule::new(vec![condition]).map_err(failed)?])
    };
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ]
    .into_iter()
    .map(|number| (number, Vec::new()))
    .collect();
    rules.insert(libc::SYS_mmap, not_executable()?);
    rules.insert(libc::SYS_mprotect, not_executable()?);
    let arch = std::env::consts::ARCH.try_into().map_err(failed)?;
    SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        arch,
    )
    .and_then(TryInto::try_into)
    .map_err(failed)
}
