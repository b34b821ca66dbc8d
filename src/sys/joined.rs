//! A child in namespaces that exist already. Only a process that enters a user or network namespace is in it, so another
//! one does, makes the new process a child of the caller (CLONE_PARENT), and ends. That other one shares the caller's memory
//! while the caller waits, as in `spawn`: a copy of the page tables for three system calls costs more than they do.

use super::cvt;
use super::process::{exit_now, pidfd_open, single_threaded};
use nix::errno::Errno;
use nix::unistd::Pid;
use std::ffi::{c_int, c_long, c_void};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::ptr::null_mut;

/// Bytes of the stack that the new process lives on, with a page below that nobody may touch. Only what is used is there.
const STACK: usize = 1 << 20;
const GUARD: usize = 64 << 10;

/// Memory for a stack.
struct Stack(*mut c_void);

impl Stack {
    fn new() -> Result<Stack, Errno> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        let rw = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice, and the protection of its lower end.
        unsafe {
            let at = libc::mmap(null_mut(), STACK, rw, flags, -1, 0);
            if at == libc::MAP_FAILED {
                return Err(Errno::last());
            }
            let stack = Stack(at);
            cvt(c_long::from(libc::mprotect(at, GUARD, libc::PROT_NONE)))?;
            Ok(stack)
        }
    }

    fn top(&self) -> *mut c_void {
        self.0.wrapping_byte_add(STACK)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and whoever ran on it in this memory has ended.
        unsafe { libc::munmap(self.0, STACK) };
    }
}

struct Middle<'a> {
    joins: &'a [(RawFd, c_int)],
    namespaces: c_int,
    child: &'a mut dyn FnMut(),
    made: Result<i32, Errno>,
}

extern "C" fn middle(argument: *mut c_void) -> c_int {
    // SAFETY: `fork_joined` passes a `Middle` of its own frame and is suspended until this process has ended, so nobody else
    // uses it. The process made here works on a copy.
    let middle = unsafe { &mut *argument.cast::<Middle<'_>>() };
    match enter_and_clone(middle.joins, middle.namespaces) {
        Ok(0) => {
            (middle.child)();
            exit_now(0)
        }
        made => middle.made = made,
    }
    0
}

/// Enters the namespaces and makes a sibling of this process. Returns its pid, and 0 in it.
fn enter_and_clone(joins: &[(RawFd, c_int)], namespaces: c_int) -> Result<i32, Errno> {
    let call = |ret: c_int| cvt(c_long::from(ret));
    // SAFETY: the calls take integers. An all-zero clone_args is valid, and no pointer in it is set; without CLONE_VM the new
    // process has a copy of this memory, this stack included, and nobody waits for a lock in it: the caller has one thread.
    let pid = unsafe {
        for (namespace, kind) in joins {
            call(libc::setns(*namespace, *kind))?;
            if *kind == libc::CLONE_NEWUSER {
                // The new capabilities made this memory undumpable, and its files of /proc root's (user_namespaces(7),
                // proc(5)).
                call(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0))?;
            }
        }
        let mut args: libc::clone_args = std::mem::zeroed();
        // CLONE_PARENT wants no exit signal: the new process has that of this one.
        args.flags = u64::from((namespaces | libc::CLONE_PARENT).cast_unsigned());
        let size = size_of::<libc::clone_args>();
        match cvt(libc::syscall(libc::SYS_clone3, &raw mut args, size)) {
            // As in `fork_into`: filters that cannot look into the structure say so.
            Err(Errno::ENOSYS) => {
                let flags = c_long::from(namespaces | libc::CLONE_PARENT);
                cvt(libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0))?
            }
            made => made?,
        }
    };
    if pid == 0 {
        super::heap::forked();
    }
    i32::try_from(pid).map_err(|_| Errno::ESRCH)
}

/// Makes a child with new namespaces (`CLONE_NEW*` in `namespaces`) in namespaces that exist already: `joins` has each with its
/// `CLONE_NEW*`, the user namespace first, since it gives the right to enter the others. It has a copy of this memory, in which it runs `child`, on a stack of its own. Returns its pid and a pidfd.
///
/// # Errors
/// EAGAIN when the process has more than one thread (the child could inherit a held lock), the errno of setns(2), clone3(2)
/// and pidfd_open(2).
pub fn fork_joined(
    joins: &[(BorrowedFd<'_>, c_int)],
    namespaces: c_int,
    child: &mut dyn FnMut(),
) -> Result<(Pid, OwnedFd), Errno> {
    if !single_threaded()? {
        return Err(Errno::EAGAIN);
    }
    let stack = Stack::new()?;
    let dumpable = super::process::dumpable();
    let joins: Vec<(RawFd, c_int)> = (joins.iter())
        .map(|(namespace, kind)| (namespace.as_raw_fd(), *kind))
        .collect();
    let mut shared = Middle {
        joins: &joins,
        namespaces,
        child,
        made: Err(Errno::ESRCH),
    };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack grows down from its aligned end and is freed after CLONE_VFORK has given this thread back, when the
    // middle process no longer runs on it; there is no other thread that could see half-written memory (checked above).
    // Signals are blocked in the supervisor, so no handler runs in the middle process.
    let pid = unsafe { libc::clone(middle, stack.top(), flags, (&raw mut shared).cast()) };
    let pid = cvt(c_long::from(pid)).and_then(|pid| i32::try_from(pid).map_err(|_| Errno::ESRCH));
    let made = shared.made;
    // What the middle process did to the memory that it shared: less than 1 is never made more.
    if dumpable != Ok(1) {
        let _ = super::process::set_undumpable();
    }
    let _ = nix::sys::wait::waitpid(Pid::from_raw(pid?), None);
    let pid = Pid::from_raw(made?);
    match pidfd_open(pid.as_raw()) {
        Ok(pidfd) => Ok((pid, pidfd)),
        Err(errno) => {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(pid, None);
            Err(errno)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::sys::process::{Fork, dumpable, fork_into, pidfd_signal};
    use crate::sys::testing::in_child;
    use nix::sched::CloneFlags;
    use nix::sys::wait::{WaitStatus, waitpid};
    use std::fs::File;
    use std::os::fd::AsFd as _;

    // In a forked child each: the test runner has threads.
    fn forked(body: impl FnOnce()) {
        let (status, message) = in_child(body);
        assert!(
            matches!(status, WaitStatus::Exited(_, 0)),
            "{status:?}: {message}"
        );
    }

    #[test]
    fn a_fork_into_given_namespaces_is_this_process_own_child() {
        forked(|| {
            let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET;
            let (read, hold) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
            let holder = match fork_into(flags.bits()).unwrap() {
                Fork::Child => {
                    drop(hold);
                    let _ = nix::unistd::read(&read, &mut [0]);
                    exit_now(0)
                }
                Fork::Parent(pid, _) => pid,
            };
            let namespace = |name| File::open(format!("/proc/{holder}/ns/{name}")).unwrap();
            let (user, net) = (namespace("user"), namespace("net"));
            let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
            let mut here = 1;
            let mut child = || {
                let first = nix::unistd::getpid().as_raw() == 1;
                // The caller's /proc still shows this one by its number outside.
                let elsewhere =
                    std::fs::read_link("/proc/thread-self/ns/net").map_or(true, |net| net != ours);
                // As deep as a frame of init may be, and not into the caller's memory.
                let deep = std::hint::black_box([1u8; 256 << 10]);
                here += usize::from(deep[1000]);
                exit_now(if first && elsewhere && here == 2 {
                    42
                } else {
                    1
                })
            };
            let namespaces = CloneFlags::CLONE_NEWPID.bits();
            let joins = [
                (user.as_fd(), libc::CLONE_NEWUSER),
                (net.as_fd(), libc::CLONE_NEWNET),
            ];
            let made = fork_joined(&joins, namespaces, &mut child);
            let (pid, pidfd) = made.unwrap();
            assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 42)));
            assert_eq!(here, 1, "the child has a copy of the memory");
            assert_eq!(dumpable(), Ok(1));
            assert_eq!(
                pidfd_signal(pidfd.as_fd(), libc::SIGKILL),
                Err(Errno::ESRCH)
            );
            drop(hold);
            waitpid(holder, None).unwrap();
            assert_eq!(
                waitpid(None, None),
                Err(Errno::ECHILD),
                "the middle one was reaped"
            );
        });
    }

    /// A place whose filter answers clone3(2) with ENOSYS (systemd's RestrictNamespaces=, container engines) had a box by
    /// `agentbox check` and none by `agentbox run`.
    #[test]
    fn without_clone3_clone_makes_the_child() {
        forked(|| {
            let mut program = Vec::new();
            for (code, jt, jf, k) in [
                (0x20, 0, 0, 0),
                (0x15, 0, 1, u32::try_from(libc::SYS_clone3).unwrap()),
                (0x06, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
                (0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
            ] {
                program.push(libc::sock_filter { code, jt, jf, k });
            }
            nix::sys::prctl::set_no_new_privs().unwrap();
            crate::sys::seccomp::set_filter(&program).unwrap();
            let (pid, _) = fork_joined(&[], 0, &mut || exit_now(42)).unwrap();
            assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 42)));
            assert_eq!(waitpid(None, None), Err(Errno::ECHILD));
        });
    }

    #[test]
    fn what_is_no_namespace_is_refused_and_no_child_is_left() {
        forked(|| {
            let none = File::open("/dev/null").unwrap();
            let joins = [(none.as_fd(), libc::CLONE_NEWUSER)];
            let error = fork_joined(&joins, 0, &mut || exit_now(1));
            assert_eq!(error.err(), Some(Errno::EINVAL));
            assert_eq!(waitpid(None, None), Err(Errno::ECHILD));
            crate::sys::process::set_undumpable().unwrap();
            let error = fork_joined(&joins, 0, &mut || exit_now(1));
            assert_eq!(error.err(), Some(Errno::EINVAL));
            assert_eq!(dumpable(), Ok(0), "what was not dumpable stays so");
        });
    }
}
