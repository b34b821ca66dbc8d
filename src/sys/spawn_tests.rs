#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::sys::testing::in_child;
use nix::sys::wait::{WaitStatus, waitpid};

fn forked(body: impl FnOnce()) {
    let (status, message) = in_child(body);
    assert!(
        matches!(status, WaitStatus::Exited(_, 0)),
        "{status:?}: {message}"
    );
}

fn sh(script: &CStr) -> Vec<&CStr> {
    vec![c"sh", c"-c", script]
}

// In a forked child each: the test runner has threads.
#[test]
fn a_program_is_started_and_reaped() {
    forked(|| {
        let argv = Strings::new(sh(c"test $X = y && exit 7"));
        let envp = Strings::new([c"X=y"]);
        let pid = spawn(&mut || execute(c"/bin/sh", &argv, &envp)).unwrap();
        assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 7)));
    });
}

#[test]
fn why_it_was_not_started_is_told_and_no_child_is_left() {
    forked(|| {
        let (argv, envp) = (Strings::new([c"x"]), Strings::new([]));
        let mut calls = 0;
        let error = spawn(&mut || {
            calls += 1;
            execute(c"/does/not/exist", &argv, &envp)
        });
        assert_eq!(error, Err(Errno::ENOENT));
        assert_eq!(calls, 1, "the child works in this memory");
        assert_eq!(waitpid(None, None), Err(Errno::ECHILD));
    });
}

#[test]
fn what_the_child_changes_of_itself_is_its_own() {
    forked(|| {
        let (argv, envp) = (
            Strings::new(sh(c"test $PWD = / && test ! -e /proc/self/fd/0")),
            Strings::new([]),
        );
        let here = std::env::current_dir().unwrap();
        let pid = spawn(&mut || {
            if let Err(errno) = nix::unistd::chdir("/") {
                return errno;
            }
            if let Err(errno) =
                crate::sys::process::close_range(0, 0, crate::sys::process::CloseRange::Now)
            {
                return errno;
            }
            execute(c"/bin/sh", &argv, &envp)
        })
        .unwrap();
        assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 0)));
        assert_eq!(std::env::current_dir().unwrap(), here);
        nix::fcntl::fcntl(std::io::stdin(), nix::fcntl::FcntlArg::F_GETFD).expect("stdin is open");
    });
}

#[test]
fn a_process_with_threads_is_refused() {
    forked(|| {
        let (hold, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        assert_eq!(spawn(&mut || Errno::EIO), Err(Errno::EAGAIN));
        drop(hold);
        let _ = other.join();
    });
}
