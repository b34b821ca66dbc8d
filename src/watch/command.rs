//! Runs a program of the user's, by its absolute path, with an empty environment, and reads what it prints.

#![forbid(unsafe_code)]

use crate::sys::job::{self, Stdio};
use crate::sys::process::{self, CloseRange};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, killpg, sigprocmask,
};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The most bytes of output.
const MAX: usize = 64 * 1024;

const TOO_LONG: &str = "it takes too long";

/// What it printed, if it ended with 0 within that time.
///
/// # Errors
/// Why there is no output that counts.
pub fn output(program: &Path, timeout: Duration) -> Result<Vec<u8>, String> {
    let until = Instant::now() + timeout;
    let path = CString::new(program.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
    let failed = |call: &'static str| move |errno: Errno| format!("{call}: {}", errno.desc());
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(failed("pipe2"))?;
    // Not clone3, which a process with threads must not call here: `agentbox drill` has some.
    let work = |write| {
        let _ = execute(&path, &write);
        127
    };
    let pid = job::fork(write, Stdio::Keep, work).map_err(|e| format!("fork: {e}"))?;
    let done = read_all(read, until).and_then(|bytes| Ok((bytes, ended(pid, until)?)));
    let (bytes, status) = done.inspect_err(|_| {
        // It leads a session of its own: what it started goes with it.
        let _ = killpg(pid, Signal::SIGKILL);
        let _ = waitpid(pid, None);
    })?;
    match status {
        WaitStatus::Exited(_, 0) => Ok(bytes),
        WaitStatus::Exited(_, 127) => Err(format!("{} cannot be executed", program.display())),
        WaitStatus::Exited(_, code) => {
            Err(format!("{} ended with status {code}", program.display()))
        }
        _ => Err(format!("{} was killed", program.display())),
    }
}

fn execute(path: &CStr, write: &OwnedFd) -> Result<(), Errno> {
    process::die_with_parent()?;
    let _ = nix::unistd::setsid();
    let null = open(
        c"/dev/null",
        OFlag::O_RDWR | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    process::dup_to(null.as_fd(), 0)?;
    process::dup_to(write.as_fd(), 1)?;
    process::dup_to(null.as_fd(), 2)?;
    process::close_range(3, RawFd::MAX, CloseRange::OnExec)?;
    let _ = nix::unistd::chdir(c"/");
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    process::set_handler(Signal::SIGPIPE, &default)?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    nix::unistd::execve::<&CStr, &CStr>(path, &[path], &[])?;
    Ok(())
}

/// How it ended. It may close its output and stay.
fn ended(pid: Pid, until: Instant) -> Result<WaitStatus, String> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() >= until => {
                return Err(TOO_LONG.to_owned());
            }
            Ok(WaitStatus::StillAlive) => {
                let _ = poll(&mut [], PollTimeout::from(5u8));
            }
            Ok(status) => return Ok(status),
            Err(errno) => return Err(format!("waitpid: {}", errno.desc())),
        }
    }
}

fn read_all(pipe: OwnedFd, until: Instant) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut file = File::from(pipe);
    let mut buffer = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TOO_LONG.to_owned());
        }
        let timeout =
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let mut set = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut set, timeout) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(format!("poll: {}", errno.desc())),
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(out),
            Ok(count) => out.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(e) => return Err(e.to_string()),
        }
        if out.len() > MAX {
            return Err("it prints too much".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn output_status_silence_and_absence() {
        let dir = std::env::temp_dir().join(format!("agentbox-command.{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let script = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            path
        };
        let long = Duration::from_secs(20);
        // Nothing of the caller's environment; sh makes PWD itself.
        let got = output(&script("env", "/usr/bin/env; pwd"), long).unwrap();
        let got = String::from_utf8(got).unwrap();
        assert!(got.ends_with("/\n") && !got.contains("HOME="), "{got}");
        let why = output(&script("three", "echo x; exit 3"), long).unwrap_err();
        assert!(why.contains("status 3"), "{why}");
        let begun = Instant::now();
        let why = output(&script("slow", "sleep 60"), Duration::from_millis(200)).unwrap_err();
        assert!(why.contains("too long") && begun.elapsed() < long, "{why}");
        // It hung the watch: the output was over, and its end was waited for without a limit.
        let stays = script("stays", "echo x; exec >&- 2>&-; sleep 60");
        let why = output(&stays, Duration::from_millis(200)).unwrap_err();
        assert!(why.contains("too long") && begun.elapsed() < long, "{why}");
        let why = output(&dir.join("none"), long).unwrap_err();
        assert!(why.contains("cannot be executed"), "{why}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
