#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
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
        let namespaces = CloneFlags::CLONE_NEWPID.bits();
        match fork_joined(user.as_fd(), net.as_fd(), namespaces).unwrap() {
            Fork::Child => {
                let first = nix::unistd::getpid().as_raw() == 1;
                // The middle process is gone or going; the caller's /proc still shows this one by its number outside.
                let elsewhere =
                    std::fs::read_link("/proc/thread-self/ns/net").map_or(true, |net| net != ours);
                exit_now(if first && elsewhere { 42 } else { 1 })
            }
            Fork::Parent(pid, pidfd) => {
                assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 42)));
                assert_eq!(
                    pidfd_signal(pidfd.as_fd(), libc::SIGKILL),
                    Err(Errno::ESRCH)
                );
            }
        }
        drop(hold);
        waitpid(holder, None).unwrap();
        assert_eq!(
            waitpid(None, None),
            Err(Errno::ECHILD),
            "the middle one was reaped"
        );
    });
}

#[test]
fn what_is_no_namespace_is_refused_and_no_child_is_left() {
    forked(|| {
        let none = File::open("/dev/null").unwrap();
        let error = fork_joined(none.as_fd(), none.as_fd(), 0);
        assert_eq!(error.err(), Some(Errno::EINVAL));
        assert_eq!(waitpid(None, None), Err(Errno::ECHILD));
    });
}
