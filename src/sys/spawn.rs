//! Starting a program without a copy of this process: clone(2) with CLONE_VM and CLONE_VFORK, as posix_spawn(3) does it. A
//! plain fork copies the page tables and then every page that either side writes, to throw it all away at execve(2).

use super::cvt;
use nix::errno::Errno;
use nix::unistd::Pid;
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::marker::PhantomData;

/// Bytes of the stack that the child runs on until it executes. What it does there is a few dozen system calls.
const STACK: usize = 64 * 1024;

/// argv or envp as execve(2) wants it, made beforehand: what the child allocates in the shared memory would be lost.
#[derive(Debug)]
pub struct Strings<'a> {
    /// Ends with a null pointer.
    pointers: Vec<*const c_char>,
    strings: PhantomData<&'a [CString]>,
}

impl<'a> Strings<'a> {
    /// The same of owned ones.
    #[must_use]
    pub fn of(strings: &'a [CString]) -> Strings<'a> {
        Strings::new(strings.iter().map(CString::as_c_str))
    }

    /// Of these strings, in this order.
    #[must_use]
    pub fn new(strings: impl IntoIterator<Item = &'a CStr>) -> Strings<'a> {
        let pointers = strings.into_iter().map(CStr::as_ptr);
        Strings {
            pointers: pointers.chain([std::ptr::null()]).collect(),
            strings: PhantomData,
        }
    }
}

/// execve(2). Returns only if it fails.
pub fn execute(program: &CStr, argv: &Strings<'_>, envp: &Strings<'_>) -> Errno {
    // SAFETY: three C strings or null-terminated arrays of such, which the borrows keep alive; execve(2) only reads them.
    unsafe {
        libc::execve(
            program.as_ptr(),
            argv.pointers.as_ptr(),
            envp.pointers.as_ptr(),
        );
    }
    Errno::last()
}

struct Child<'a> {
    work: &'a mut dyn FnMut() -> Errno,
    failed: Option<Errno>,
}

extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a `Child` of its own frame and is suspended until this process has executed or ended, so nobody
    // else uses it. A panic in an `extern "C"` function aborts and never unwinds into that frame.
    let child = unsafe { &mut *argument.cast::<Child<'_>>() };
    child.failed = Some((child.work)());
    127
}

/// Starts a child that runs `work` in this process's memory while this process waits. `work` executes a program, or returns
/// why it could not; then the child ends, is reaped, and the reason is returned. Descriptors, working directory, umask and
/// dispositions of signals are the child's own copies; memory, and with it the dumpability, is not.
///
/// # Errors
/// EAGAIN when the process has more than one thread or a limit is reached, ENOMEM, and what `work` says.
pub fn spawn(work: &mut dyn FnMut() -> Errno) -> Result<Pid, Errno> {
    if !super::process::single_threaded()? {
        return Err(Errno::EAGAIN);
    }
    let mut stack: Vec<u128> = Vec::with_capacity(STACK / size_of::<u128>());
    let mut shared = Child { work, failed: None };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack grows down from its aligned end, belongs to the child alone and is freed after CLONE_VFORK has given
    // this thread back, when the child no longer runs on it; the only other thread that could see half-written memory does
    // not exist (checked above). No signal handler of this process can run in the child: init has none.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity());
        libc::clone(child, top.cast(), flags, (&raw mut shared).cast())
    };
    let pid = Pid::from_raw(i32::try_from(cvt(c_long::from(pid))?).map_err(|_| Errno::ESRCH)?);
    match shared.failed {
        None => Ok(pid),
        Some(errno) => {
            let _ = nix::sys::wait::waitpid(pid, None);
            Err(errno)
        }
    }
}

#[cfg(test)]
#[path = "spawn_tests.rs"]
mod tests;
