//! What several tests need.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// A directory that is removed with everything in it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A new empty directory (0700) with a canonical path.
pub(crate) fn scratch(name: &str) -> Scratch {
    use std::os::unix::fs::DirBuilderExt;
    let unique = u64::from_le_bytes(super::random::bytes().unwrap());
    let parent = std::env::temp_dir().canonicalize().unwrap();
    let path = parent.join(format!("agentbox-test-{name}-{unique:016x}"));
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .unwrap();
    Scratch(path)
}

/// Says that a test cannot run here, and fails it where `AGENTBOX_TEST_REQUIRE` names the feature: no silent skip.
#[allow(clippy::panic, clippy::print_stderr)]
pub(crate) fn skip(feature: &str) {
    let required = std::env::var("AGENTBOX_TEST_REQUIRE").unwrap_or_default();
    if required.split(',').any(|name| name == feature) {
        panic!("{feature} is required and missing");
    }
    eprintln!("SKIP {feature}");
}

/// Runs `work` in a forked child and returns how it ended.
pub(crate) fn forked(work: impl FnOnce() -> u8) -> nix::sys::wait::WaitStatus {
    let pid = spawn(work);
    nix::sys::wait::waitpid(pid, None).unwrap()
}

/// Runs `work` in a forked child.
pub(crate) fn spawn(work: impl FnOnce() -> u8) -> nix::unistd::Pid {
    let (_, keep) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    super::job::fork(keep, super::job::Stdio::Keep, |_| work()).unwrap()
}

/// sigaction(2) to ignore a signal, in a forked child.
#[allow(unsafe_code)]
pub(crate) fn ignore_signal(
    signal: nix::sys::signal::Signal,
    action: &nix::sys::signal::SigAction,
) {
    // SAFETY: the action is SIG_IGN, so no handler of ours can run in signal context.
    unsafe { nix::sys::signal::sigaction(signal, action) }.unwrap();
}

/// unshare(2), in a forked child.
pub(crate) fn new_user_namespace() -> nix::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER)
}

/// write(2) of one byte to a number, in a confined child: the name of the errno, or "ok".
#[allow(unsafe_code)]
pub(crate) fn write_to(number: i32) -> String {
    // SAFETY: one readable byte of a static; a number that is not open is answered by EBADF.
    let n = unsafe { libc::write(number, b"x".as_ptr().cast(), 1) };
    if n == 1 {
        "ok".to_owned()
    } else {
        format!("{:?}", nix::errno::Errno::last())
    }
}
