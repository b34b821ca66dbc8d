//! Starting a command in the box: init makes a child, which takes its descriptors and its place in the session, and
//! executes. What confines init (Landlock, seccomp, no capabilities) confines the child.

#![forbid(unsafe_code)]

use super::keyboard::BoxTerminal;
use super::message::FromInit;
use crate::outcome::How;
use crate::plan::Command;
use crate::sys::process::{self, CloseRange};
use crate::sys::spawn::{self, Strings};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::Mode;
use nix::sys::time::{TimeVal, TimeValLike as _};
use nix::unistd::Pid;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;

/// What one descriptor of the command becomes.
#[derive(Debug)]
pub enum Descriptor {
    /// The pseudo-terminal.
    Pty,
    /// The caller's own, as it is.
    Inherit,
    /// A pipe that the supervisor relays.
    Pipe(OwnedFd),
    /// /dev/null.
    Null,
}

/// Descriptors 0 to 2 of the command.
pub type Stdio = [Descriptor; 3];

/// What the caller gave agentbox and the command gets: the signal mask, ignored signals, umask.
#[derive(Debug, Clone)]
pub struct Inherited {
    /// The signal mask.
    pub mask: SigSet,
    /// Signals that were ignored (nohup).
    pub ignored: Vec<Signal>,
    /// The umask.
    pub umask: Mode,
}

/// argv, program and working directory as C strings, made before the box is built.
pub struct Exec {
    program: CString,
    argv: Vec<CString>,
    cwd: CString,
}

impl Exec {
    /// From the plan.
    ///
    /// # Errors
    /// EINVAL for a NUL byte, ENOENT when the plan has no program.
    pub fn new(command: &Command) -> Result<Exec, Errno> {
        let c = |text: &OsStr| CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL);
        let program = command.program.as_ref().ok_or(Errno::ENOENT)?;
        Ok(Exec {
            program: c(program.os())?,
            argv: command
                .argv
                .iter()
                .map(|a| c(a.os()))
                .collect::<Result<_, _>>()?,
            cwd: c(command.cwd.os())?,
        })
    }

    /// Starts the command. This process stands still until it is executed.
    ///
    /// # Errors
    /// The errno of clone(2), of taking the descriptors, or of execve(2).
    pub(super) fn start(
        &self,
        envp: &[CString],
        stdio: &Stdio,
        pty: Option<&BoxTerminal>,
        inherited: &Inherited,
    ) -> Result<Pid, Errno> {
        let (argv, envp) = (Strings::of(&self.argv), Strings::of(envp));
        let rest = self.argv.iter().skip(1).map(CString::as_c_str);
        let script = Strings::new(
            [c"/bin/sh", self.program.as_c_str()]
                .into_iter()
                .chain(rest),
        );
        spawn::spawn(&mut || {
            if let Err(errno) = self.take_place(stdio, pty, inherited) {
                return errno;
            }
            match spawn::execute(&self.program, &argv, &envp) {
                Errno::ENOEXEC => as_script(&self.program, &script, &envp),
                errno => errno,
            }
        })
    }

    /// Its working directory.
    pub(super) fn cwd(&self) -> &CStr {
        &self.cwd
    }

    /// The child's own: its process group, descriptors, working directory, umask and signals.
    fn take_place(
        &self,
        stdio: &Stdio,
        pty: Option<&BoxTerminal>,
        inherited: &Inherited,
    ) -> Result<(), Errno> {
        let me = nix::unistd::getpid();
        nix::unistd::setpgid(me, me)?;
        if let Some(pty) = pty {
            pty.take_turn(me)?;
        }
        for (number, descriptor) in (0..).zip(stdio) {
            let from = match descriptor {
                Descriptor::Inherit => continue,
                Descriptor::Pty => pty.ok_or(Errno::ENOTTY)?.slave(),
                Descriptor::Pipe(fd) => fd.as_fd(),
                Descriptor::Null => {
                    let null = nix::fcntl::open(
                        "/dev/null",
                        OFlag::O_RDWR | OFlag::O_CLOEXEC,
                        Mode::empty(),
                    )?;
                    take(null.as_fd(), number)?;
                    continue;
                }
            };
            take(from, number)?;
        }
        process::close_range(3, RawFd::MAX, CloseRange::OnExec)?;
        nix::unistd::chdir(self.cwd.as_c_str())?;
        nix::sys::stat::umask(inherited.umask);
        own_signals(&inherited.ignored);
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&inherited.mask), None)
    }
}

/// What is said of a command that ended so, with what it and its children have used.
pub(super) fn ended(how: How) -> FromInit {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
    let ms = |t: TimeVal| u64::try_from(t.num_milliseconds()).unwrap_or(0);
    FromInit::Ended {
        how,
        cpu_ms: usage.map_or(0, |u| ms(u.user_time()) + ms(u.system_time())),
        max_rss_kib: usage.map_or(0, |u| u64::try_from(u.max_rss()).unwrap_or(0)),
    }
}

/// What shells make of a failed execve(2).
pub(super) fn failed_exec(errno: Errno) -> How {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => How::NotFound {
            errno: errno as i32,
        },
        _ => How::CannotExecute {
            errno: errno as i32,
        },
    }
}

/// A script without `#!`: shells, and execvp(3), hand it to /bin/sh. What has a NUL byte in its first line is none, as shells see
/// it: of a program for another machine sh would say `1: ELF: not found`. Returns only if it fails, and allocates nothing.
pub(super) fn as_script(program: &CStr, script: &Strings<'_>, envp: &Strings<'_>) -> Errno {
    let mut head = [0; 80];
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    // What cannot be read sh cannot read either, and says so.
    let read = nix::fcntl::open(program, flags, Mode::empty())
        .and_then(|file| nix::unistd::read(&file, &mut head))
        .unwrap_or(0);
    let mut line = head.iter().take(read).take_while(|byte| **byte != b'\n');
    match line.any(|byte| *byte == 0) {
        true => Errno::ENOEXEC,
        false => spawn::execute(c"/bin/sh", script, envp),
    }
}

/// Init's own descriptors 0 to 2 become /dev/null.
pub(super) fn let_go_of_stdio() {
    if let Ok(null) = nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
    {
        for number in 0..3 {
            let _ = process::dup_to(null.as_fd(), number);
        }
    }
}

/// dup2(2) that also clears close-on-exec where source and target are the same.
fn take(from: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
    if from.as_raw_fd() == number {
        nix::fcntl::fcntl(
            from,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
        )?;
        return Ok(());
    }
    process::dup_to(from, number)
}

/// Signals as the caller had them. execve(2) itself puts what has a handler to its default, and what is ignored stays so: only
/// what agentbox has changed of that is changed back. Rust's runtime ignores SIGPIPE, and the client lets SIGCHLD be told.
pub(super) fn own_signals(ignored: &[Signal]) {
    let set = |signal, handler| {
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // Both can be set: only SIGKILL and SIGSTOP refuse.
        let _ = process::set_handler(signal, &action);
    };
    set(Signal::SIGPIPE, SigHandler::SigDfl);
    if ignored.contains(&Signal::SIGCHLD) {
        set(Signal::SIGCHLD, SigHandler::SigIgn);
    }
}
