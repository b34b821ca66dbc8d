//! Operations on other processes, namespaces and the kernel itself that need more than one raw call.

use crate::raw::{self, Args, sys};
use crate::{Answer, At, last, refused};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

pub(crate) fn run(op: &str, args: &Args<'_>) -> Option<Answer> {
    Some(match op {
        "syscall" => raw::syscall(args),
        #[cfg(target_arch = "x86_64")]
        "int80" => raw::int80(args),
        #[cfg(target_arch = "x86_64")]
        "x32" => sys(0x4000_0000 | args.num(0), [0; 6]).map(|r| json!({"result": r})),
        "clone" => clone(args),
        "vfork" => clone_flags(libc::CLONE_VFORK | libc::CLONE_VM),
        "setns" => setns(args),
        "userns-mount" => userns_mount(args),
        "ptrace-attach" => ptrace(libc::PTRACE_ATTACH, args),
        "ptrace-seize" => ptrace(libc::PTRACE_SEIZE, args),
        "ptrace-child" => ptrace_child(),
        "vm-read" => vm_read(args),
        "mem-read" => mem_read(args),
        "mem-write" => mem_write(args),
        "getfd" => getfd(args),
        "kill" => kill(args),
        "tsync-filter" => tsync_filter(),
        "io-uring-open" => io_uring(),
        "userfaultfd-dev" => none_open("/dev/userfaultfd"),
        "landlock-abi" => landlock_abi(),
        _ => return None,
    })
}

fn none_open(path: &str) -> Answer {
    File::open(path).at("open").map(|_| Value::Null)
}

fn word(number: i64) -> usize {
    usize::from_ne_bytes(number.to_ne_bytes())
}

/// `clone FLAGS`: clone(2) with SIGCHLD and these flags; the child exits at once.
fn clone(args: &Args<'_>) -> Answer {
    clone_flags(i32::try_from(args.num(0)).unwrap())
}

fn clone_flags(flags: i32) -> Answer {
    let mut stack = vec![0u8; 64 * 1024];
    let child = Box::new(|| 0);
    // SAFETY: the child runs on a stack of its own, does nothing and ends; the stack outlives it because it is reaped below.
    let pid = unsafe {
        nix::sched::clone(
            child,
            &mut stack,
            nix::sched::CloneFlags::from_bits_retain(flags),
            Some(libc::SIGCHLD),
        )
    }
    .at("clone")?;
    waitpid(pid, None).at("wait")?;
    Ok(Value::Null)
}

/// `setns PATH`: joins the namespace of that file.
fn setns(args: &Args<'_>) -> Answer {
    let file = File::open(args.os(0)).at("open")?;
    nix::sched::setns(file, nix::sched::CloneFlags::empty()).at("setns")?;
    Ok(Value::Null)
}

/// `userns-mount FROM TO`: makes user and mount namespaces of its own and binds FROM over TO (bind tricks in a nested
/// namespace; bubblewrap's and runc's classic).
fn userns_mount(args: &Args<'_>) -> Answer {
    let flags = nix::sched::CloneFlags::CLONE_NEWUSER | nix::sched::CloneFlags::CLONE_NEWNS;
    nix::sched::unshare(flags).at("unshare")?;
    let (from, to) = (args.c(0), args.c(1));
    let bind = usize::try_from(libc::MS_BIND | libc::MS_REC).unwrap();
    sys(
        libc::SYS_mount,
        [from.as_ptr() as usize, to.as_ptr() as usize, 0, bind, 0, 0],
    )?;
    Ok(Value::Null)
}

fn ptrace(request: libc::c_uint, args: &Args<'_>) -> Answer {
    sys(
        libc::SYS_ptrace,
        [request as usize, word(args.num(0)), 0, 0, 0, 0],
    )?;
    Ok(Value::Null)
}

/// A child asks to be traced, as strace and gdb have it, and the parent reads a word of it.
fn ptrace_child() -> Answer {
    // SAFETY: this process has one thread, and the child makes nothing but plain system calls.
    let pid = match unsafe { nix::unistd::fork() }.at("fork")? {
        nix::unistd::ForkResult::Child => {
            let code = match sys(
                libc::SYS_ptrace,
                [libc::PTRACE_TRACEME as usize, 0, 0, 0, 0, 0],
            ) {
                Ok(_) => {
                    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
                    0
                }
                Err(refused) => refused.errno,
            };
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(code) }
        }
        nix::unistd::ForkResult::Parent { child } => child,
    };
    match waitpid(pid, None).at("wait")? {
        WaitStatus::Stopped(..) => {}
        WaitStatus::Exited(_, errno) => return refused(errno, "PTRACE_TRACEME"),
        other => return Ok(json!({"unexpected": format!("{other:?}")})),
    }
    let (pid_word, mut regs) = (word(pid.as_raw().into()), vec![0u8; 1024]);
    let mut vector = [regs.as_mut_ptr() as usize, regs.len()];
    let vector_at = vector.as_mut_ptr() as usize;
    // NT_PRSTATUS
    let got = sys(
        libc::SYS_ptrace,
        [
            libc::PTRACE_GETREGSET as usize,
            pid_word,
            1,
            vector_at,
            0,
            0,
        ],
    );
    sys(
        libc::SYS_ptrace,
        [libc::PTRACE_DETACH as usize, pid_word, 0, 0, 0, 0],
    )?;
    waitpid(pid, None).at("wait")?;
    got.map(|_| json!({"bytes": vector[1]}))
}

/// The address of something readable in a process of our own binary: without relocation it is the same in every one.
static MARKER: [u8; 16] = *b"probe was here!!";

/// `vm-read PID`: process_vm_readv(2) of [`MARKER`].
fn vm_read(args: &Args<'_>) -> Answer {
    let mut bytes = [0u8; 16];
    let local = [bytes.as_mut_ptr() as usize, 16];
    let remote = [MARKER.as_ptr() as usize, 16];
    let pid = word(args.num(0));
    sys(
        libc::SYS_process_vm_readv,
        [
            pid,
            local.as_ptr() as usize,
            1,
            remote.as_ptr() as usize,
            1,
            0,
        ],
    )?;
    Ok(json!({"bytes": String::from_utf8_lossy(&bytes)}))
}

fn first_range(pid: &str) -> Result<u64, crate::Refused> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).at("open maps")?;
    let start = maps.split('-').next().unwrap_or("0");
    Ok(u64::from_str_radix(start, 16).unwrap_or(0))
}

/// `mem-read PID`: /proc/PID/mem at the first address of its maps; at 64 KiB when the maps are not to be had.
fn mem_read(args: &Args<'_>) -> Answer {
    let pid = args.text(0);
    let mem = File::open(format!("/proc/{pid}/mem")).at("open mem")?;
    let at = first_range(pid).unwrap_or(0x1_0000);
    let mut bytes = [0u8; 64];
    let count = mem.read_at(&mut bytes, at).at("read mem")?;
    Ok(json!({"count": count}))
}

/// `mem-write PID`: opens /proc/PID/mem for writing.
fn mem_write(args: &Args<'_>) -> Answer {
    File::options()
        .write(true)
        .open(format!("/proc/{}/mem", args.text(0)))
        .at("open mem")
        .map(|_| Value::Null)
}

/// `getfd PID FD`: pidfd_open(2) and pidfd_getfd(2).
fn getfd(args: &Args<'_>) -> Answer {
    let pidfd = sys(libc::SYS_pidfd_open, [word(args.num(0)), 0, 0, 0, 0, 0])?;
    let fd = sys(
        libc::SYS_pidfd_getfd,
        [word(pidfd), word(args.num(1)), 0, 0, 0, 0],
    )?;
    Ok(json!({"fd": fd}))
}

/// `kill PID SIGNAL`.
fn kill(args: &Args<'_>) -> Answer {
    sys(
        libc::SYS_kill,
        [word(args.num(0)), word(args.num(1)), 0, 0, 0, 0],
    )?;
    Ok(Value::Null)
}

/// Installs an allow-all filter of its own with TSYNC, as Chromium and codex do: a box must not break an inner sandbox.
fn tsync_filter() -> Answer {
    let thread = std::thread::spawn(std::thread::park);
    let allow = [libc::sock_filter {
        code: 6,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: allow.as_ptr().cast_mut(),
    };
    let at = (&raw const program) as usize;
    let result = sys(
        libc::SYS_seccomp,
        [
            libc::SECCOMP_SET_MODE_FILTER as usize,
            libc::SECCOMP_FILTER_FLAG_TSYNC as usize,
            at,
            0,
            0,
            0,
        ],
    );
    thread.thread().unpark();
    let _ = thread.join();
    result.map(|r| json!({"result": r}))
}

/// io_uring_setup(2) and what it could do: IORING_OP_OPENAT goes around a filter that looks at openat.
fn io_uring() -> Answer {
    let mut params = [0u8; 120];
    let fd = sys(
        libc::SYS_io_uring_setup,
        [4, params.as_mut_ptr() as usize, 0, 0, 0, 0],
    )?;
    // SAFETY: the descriptor is new and belongs to nobody else.
    let file = unsafe { File::from_raw_fd(i32::try_from(fd).unwrap()) };
    Ok(json!({"fd": file.as_raw_fd()}))
}

/// The ABI of Landlock, and whether a further domain can be made (an agent's own sandbox does).
fn landlock_abi() -> Answer {
    let abi = sys(libc::SYS_landlock_create_ruleset, [0, 0, 1, 0, 0, 0])?;
    Ok(json!({"abi": abi}))
}

/// Ends a child of ours, whatever it does.
pub(crate) fn reap(pid: i32) {
    let _ = nix::sys::signal::kill(Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    let _ = waitpid(Pid::from_raw(pid), None);
}

/// fork(2) with an errno.
pub(crate) fn fork() -> Result<i32, crate::Refused> {
    // SAFETY: the callers make only plain system calls in the child and end it by _exit.
    let pid = unsafe { libc::fork() };
    if pid < 0 { last("fork") } else { Ok(pid) }
}

/// _exit(2).
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: ends the process without running handlers that belong to its parent.
    unsafe { libc::_exit(code) }
}
