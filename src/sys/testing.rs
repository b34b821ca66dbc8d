//! For tests only: a forked child for what cannot be undone, and bare system calls.

#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set in a child of [`in_child`].
static CHILD: AtomicBool = AtomicBool::new(false);

/// The panic hook prints, and printing takes locks that another thread of the test runner may hold while this one forks:
/// the child would wait for ever. So the hook is silent there; it is set once and before a fork, because setting it
/// takes such a lock, too.
fn quiet_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !CHILD.load(Ordering::Relaxed) {
                usual(info);
            }
        }));
    });
}

/// Runs `body` in a child and says how that ended. A panic of it becomes status 101 and its message is returned; it never
/// unwinds into the test runner, and the child never returns from here. A child that hangs dies by SIGALRM after a minute.
pub(crate) fn in_child(body: impl FnOnce()) -> (WaitStatus, String) {
    quiet_hook();
    let (mut reader, writer) = std::io::pipe().expect("pipe");
    // SAFETY: the child is a copy of this thread alone. glibc makes its allocator usable after fork (atfork handlers), the
    // child takes no other lock (its panic hook prints nothing: the message is taken from the payload), and it leaves by
    // _exit.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => {
            drop(writer);
            let mut message = String::new();
            reader.read_to_string(&mut message).expect("read");
            (waitpid(child, None).expect("waitpid"), message)
        }
        ForkResult::Child => {
            drop(reader);
            CHILD.store(true, Ordering::Relaxed);
            nix::unistd::alarm::set(60);
            let status = match catch_unwind(AssertUnwindSafe(body)) {
                Ok(()) => 0,
                Err(payload) => {
                    let text = payload
                        .downcast_ref::<String>()
                        .map(String::as_str)
                        .or_else(|| payload.downcast_ref::<&str>().copied())
                        .unwrap_or("a panic without a message");
                    let _ = nix::unistd::write(&writer, text.as_bytes());
                    101
                }
            };
            // SAFETY: _exit ends the process; nothing of it runs afterwards, no destructor and no atexit handler.
            unsafe { libc::_exit(status) }
        }
    }
}

/// Like [`in_child`]; a child that does not end with status 0 fails the test with its message.
#[track_caller]
pub(crate) fn child_ok(body: impl FnOnce()) {
    let (status, message) = in_child(body);
    assert!(
        matches!(status, WaitStatus::Exited(_, 0)),
        "the child ended with {status:?}: {message}"
    );
}

/// A bare system call: its result or its errno. Only in a child that is thrown away.
pub(crate) fn call(number: u32, args: [u64; 6]) -> Result<i64, i32> {
    // SAFETY: the tests pass only numbers, null pointers and addresses outside of user space, which the kernel answers
    // with an errno without touching memory of this process, or pointers to live values of their own.
    let result = unsafe {
        libc::syscall(
            libc::c_long::from(number),
            args[0],
            args[1],
            args[2],
            args[3],
            args[4],
            args[5],
        )
    };
    if result == -1 {
        Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        Ok(result)
    }
}

/// getpid by the i386 entry of an x86_64 kernel.
#[cfg(target_arch = "x86_64")]
pub(crate) fn i386_getpid() -> u32 {
    let result: u32;
    // SAFETY: int 0x80 with eax = 20 (getpid) takes no argument and touches no memory; the kernel keeps every register
    // but rax, and r8 to r11, which are named as clobbered.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inout("eax") 20_u32 => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            options(nostack)
        );
    }
    result
}

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
