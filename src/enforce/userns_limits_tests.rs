#![allow(clippy::unwrap_used)]

use super::*;
use crate::outcome::Status;
use crate::sys::testing::{forked, new_user_namespace, skip};
use nix::sys::inotify::{InitFlags, Inotify};
use nix::sys::wait::WaitStatus;
use std::os::fd::AsFd;

#[test]
fn limits_bind_in_a_user_namespace() {
    let status = forked(|| {
        if new_user_namespace().is_err() {
            return 77;
        }
        let before: Vec<_> = std::iter::from_fn(|| Inotify::init(InitFlags::IN_CLOEXEC).ok())
            .take(65)
            .collect();
        // The allowed twin: the host lets us have more than the limit.
        if before.len() != 65 {
            return 77;
        }
        drop(before);
        let dir = File::open("/proc/sys/user").unwrap();
        let evidence = apply(dir.as_fd(), Further::No);
        if evidence.status != Status::Full {
            return 1;
        }
        if !evidence
            .proof
            .contains(&"max_user_namespaces = 0".to_owned())
        {
            return 2;
        }
        let after: Vec<_> = std::iter::from_fn(|| Inotify::init(InitFlags::IN_CLOEXEC).ok())
            .take(100)
            .collect();
        if after.len() != 64 {
            return 3;
        }
        // ENOSPC is how the kernel says that the limit of namespaces is reached.
        if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER) != Err(Errno::ENOSPC) {
            return 4;
        }
        0
    });
    match status {
        WaitStatus::Exited(_, 77) => skip("userns"),
        status => assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}"),
    }
}

#[test]
fn values_are_lowered_and_never_raised() {
    let dir = crate::sys::testing::scratch("userns");
    for (name, value) in [
        ("max_user_namespaces", "95000"),
        ("max_inotify_instances", "10\n"),
        ("max_inotify_watches", "1000000\n"),
    ] {
        std::fs::write(dir.path().join(name), value).unwrap();
    }
    let fd = File::open(dir.path()).unwrap();
    // A plain file keeps what follows the bytes written, so reading back finds another number: that must be noticed.
    let evidence = apply(fd.as_fd(), Further::No);
    let Status::Partial { why } = &evidence.status else {
        unreachable!("{evidence:?}")
    };
    assert!(why.contains("max_user_namespaces is 5000"), "{why}");
    assert_eq!(
        evidence.proof,
        ["max_inotify_instances = 10"],
        "{evidence:?}"
    );
}

#[test]
fn an_empty_directory_is_absent() {
    let dir = crate::sys::testing::scratch("userns");
    let fd = File::open(dir.path()).unwrap();
    assert!(matches!(
        apply(fd.as_fd(), Further::No).status,
        Status::Absent { .. }
    ));
}
