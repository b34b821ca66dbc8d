//! A short-lived forked child that does one piece of work and ends: fork(2), close_range(2), `_exit`.

#![allow(unsafe_code)]

use nix::unistd::Pid;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the child keeps of descriptors 0 to 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// As they are.
    Keep,
    /// Closed: the child opens nothing afterwards that could become descriptor 2.
    Close,
}

/// The exit status of a child whose work panicked.
pub const PANICKED: u8 = 101;
/// The exit status of a child that could not close the descriptors it must not have.
pub const NOT_ISOLATED: u8 = 102;

/// Forks a child that closes every descriptor but `keep` (and 0 to 2 where asked), runs `work` and ends with what it
/// returns, by `_exit`: no destructor and no exit handler of the parent runs twice, and no panic unwinds into its stack.
///
/// The caller should have one thread. With more of them (the test runner), the child may only do what the C library
/// makes safe after fork: glibc resets its allocator's locks, other locks may be held for ever.
///
/// # Errors
/// The errno of fork(2).
pub fn fork(keep: OwnedFd, stdio: Stdio, work: impl FnOnce(OwnedFd) -> u8) -> io::Result<Pid> {
    // SAFETY: fork has no memory precondition of its own. The child shares no memory with the parent (no CLONE_VM), runs
    // only `work` and leaves by `_exit`, so that no state of the parent is torn down twice.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            super::heap::forked();
            keep_memory();
            let status = match close_all_but(&keep, stdio) {
                Ok(()) => catch_unwind(AssertUnwindSafe(|| work(keep))).unwrap_or(PANICKED),
                Err(_) => NOT_ISOLATED,
            };
            // SAFETY: `_exit` takes any status and does not return; nothing of this process is needed afterwards.
            unsafe { libc::_exit(i32::from(status)) }
        }
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// glibc asks /proc for the policy of overcommitment before it gives memory of a thread's heap back, and a confined child dies
/// of that question: it keeps what it has. Only a program with threads (the test runner) has such heaps.
fn keep_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt changes a setting of this process's allocator and touches no memory of ours; the process has one thread.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}

/// Closes every descriptor but `keep`. Only for a child that was just forked: objects that believe to own the others are
/// never dropped there.
fn close_all_but(keep: &OwnedFd, stdio: Stdio) -> io::Result<()> {
    let keep = u32::try_from(keep.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let first = match stdio {
        Stdio::Keep => 3,
        Stdio::Close => 0,
    };
    if keep > first {
        close_range(first, keep - 1)?;
    }
    close_range(first.max(keep.saturating_add(1)), u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: close_range takes three integers and touches no memory. Closing descriptors that other objects own is the
    // purpose: this runs in a forked child which never uses or drops those objects (see `fork`).
    let rc = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use std::fs::File;
    use std::io::{Read, Write};

    fn run(stdio: Stdio, work: impl FnOnce(OwnedFd) -> u8) -> (WaitStatus, Vec<u8>) {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let copy = write.try_clone().unwrap();
        let pid = fork(copy, stdio, work).unwrap();
        drop(write);
        let mut out = Vec::new();
        File::from(read).read_to_end(&mut out).unwrap();
        (waitpid(pid, None).unwrap(), out)
    }

    #[test]
    fn child_has_only_what_it_was_given() {
        let other = File::open("/dev/null").unwrap();
        let number = other.as_raw_fd();
        let (status, out) = run(Stdio::Close, move |pipe| {
            let open = |fd| nix::fcntl::fcntl(borrow(fd), nix::fcntl::FcntlArg::F_GETFD).is_ok();
            let seen = [0, 1, 2, number].iter().filter(|fd| open(**fd)).count();
            let kept = open(pipe.as_raw_fd());
            File::from(pipe)
                .write_all(format!("{seen} {kept}").as_bytes())
                .unwrap();
            7
        });
        assert!(matches!(status, WaitStatus::Exited(_, 7)), "{status:?}");
        assert_eq!(out, b"0 true");
        // The allowed twin: the parent still has it.
        assert!(other.metadata().is_ok());
    }

    #[test]
    fn a_panic_ends_the_child_alone() {
        let (status, out) = run(Stdio::Close, |_| panic!("on purpose"));
        assert!(matches!(status, WaitStatus::Exited(_, code) if code == i32::from(PANICKED)));
        assert!(out.is_empty());
    }

    fn borrow(fd: i32) -> std::os::fd::BorrowedFd<'static> {
        // SAFETY: only asks the kernel whether the number is open; nothing is read, written or closed through it.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }
    }
}
