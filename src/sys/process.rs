//! Processes: clone(2) into namespaces, pidfds, prctl(2), the session keyring, and wiping what a process shows of
//! how it was started.

use super::cvt;
use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::ffi::{CStr, c_char, c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Who returns from a fork.
#[derive(Debug)]
pub enum Fork {
    /// The parent, with the child's pid and a pidfd.
    Parent(Pid, OwnedFd),
    /// The child.
    Child,
}

/// Forks into new namespaces (`CLONE_NEW*` in `namespaces`; 0 for a plain fork). The memory is copied, never shared: a
/// resident child must not be able to change the parent's dumpability.
///
/// # Errors
/// EAGAIN when the process has more than one thread (the child could inherit a held lock), else the errno of clone3(2).
pub fn fork_into(namespaces: c_int) -> Result<Fork, Errno> {
    if !single_threaded()? {
        return Err(Errno::EAGAIN);
    }
    let mut pidfd: RawFd = -1;
    let flags = u64::from((namespaces | libc::CLONE_PIDFD).cast_unsigned());
    // SAFETY: an all-zero clone_args is valid; every pointer in it is null or set below.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags;
    args.pidfd = (&raw mut pidfd).addr() as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    // SAFETY: no CLONE_VM and no stack, so the child runs on a copy of this stack like after fork(2); the process has one
    // thread (checked above), so no lock is held by a thread that does not exist in the child. `pidfd` outlives the call.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    };
    let ret = match cvt(ret) {
        // What container engines answer, so that libraries fall back: their filters cannot look into clone3's structure.
        // SAFETY: clone(2) without CLONE_VM and with a null stack runs on a copy of this stack as well, and CLONE_PIDFD makes
        // it store the descriptor where the third argument (`parent_tid`) points, which is the same place on both machines.
        Err(Errno::ENOSYS) => cvt(unsafe {
            libc::syscall(
                libc::SYS_clone,
                c_long::from(namespaces | libc::CLONE_PIDFD | libc::SIGCHLD),
                0,
                &raw mut pidfd,
                0,
                0,
            )
        }),
        other => other,
    };
    match ret? {
        0 => {
            super::heap::forked();
            Ok(Fork::Child)
        }
        pid => {
            let pid = i32::try_from(pid).map_err(|_| Errno::ESRCH)?;
            // SAFETY: CLONE_PIDFD made the kernel store a new descriptor there, and nobody else knows it.
            Ok(Fork::Parent(Pid::from_raw(pid), unsafe {
                OwnedFd::from_raw_fd(pidfd)
            }))
        }
    }
}

/// The kernel sends this signal when the parent of this process is gone.
///
/// # Errors
/// The errno of prctl(2).
pub fn signal_when_parent_dies(signal: c_int) -> Result<(), Errno> {
    // SAFETY: PR_SET_PDEATHSIG takes the number of a signal.
    cvt(c_long::from(unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, c_long::from(signal), 0, 0, 0)
    }))
    .map(|_| ())
}

/// Orphans below this process become its children and not init's (PR_SET_CHILD_SUBREAPER).
///
/// # Errors
/// The errno of prctl(2).
pub fn set_subreaper() -> Result<(), Errno> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes a flag.
    cvt(c_long::from(unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    }))
    .map(|_| ())
}

/// Lets a process start no further one (RLIMIT_NPROC of prlimit(2)), where its user is not the kernel's uid 0.
///
/// # Errors
/// The errno of prlimit(2).
pub fn forbid_forks(pid: i32) -> Result<(), Errno> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `none` is read during the call, and no old value is asked for.
    cvt(c_long::from(unsafe {
        libc::prlimit(
            pid,
            libc::RLIMIT_NPROC,
            &raw const none,
            std::ptr::null_mut(),
        )
    }))
    .map(|_| ())
}

/// dup2(2) onto a descriptor number that this process may be using as 0, 1 or 2; the new one is not close-on-exec.
///
/// # Errors
/// The errno of dup2(2).
pub fn dup_to(from: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
    // SAFETY: dup2(2) takes integers. Callers use it for descriptors 0 to 2 only, which no `OwnedFd` of this process owns.
    cvt(c_long::from(unsafe {
        libc::dup2(from.as_raw_fd(), number)
    }))
    .map(|_| ())
}

/// Takes a descriptor that the caller named on the command line and makes it close-on-exec.
///
/// # Errors
/// EBADF when it is not open for writing or is one of 0 to 2.
pub fn take_descriptor(number: RawFd) -> Result<OwnedFd, Errno> {
    use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
    if number <= 2 {
        return Err(Errno::EBADF);
    }
    // SAFETY: borrowed for two fcntl(2) calls, which fail with EBADF when it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = OFlag::from_bits_truncate(fcntl(borrowed, FcntlArg::F_GETFL)?);
    if flags & OFlag::O_ACCMODE == OFlag::O_RDONLY {
        return Err(Errno::EBADF);
    }
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, above 2, and was given to this program for this one use: nobody else in the process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A close-on-exec duplicate of one of the descriptors 0 to 2, which nothing in this process owns.
///
/// # Errors
/// EBADF when it is closed.
pub fn duplicate(number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: fcntl(2) takes integers and fails with EBADF when `number` is not open.
    let ret = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    let fd = RawFd::try_from(cvt(c_long::from(ret))?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel returned a new descriptor to this call alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// sigaction(2) to a default or ignoring disposition.
///
/// # Errors
/// EINVAL for SIGKILL and SIGSTOP; EINVAL when `action` is a handler, which is not this function's to install.
pub fn set_handler(
    signal: nix::sys::signal::Signal,
    action: &nix::sys::signal::SigAction,
) -> Result<(), Errno> {
    use nix::sys::signal::{SigHandler, sigaction};
    match action.handler() {
        SigHandler::SigDfl | SigHandler::SigIgn => {
            // SAFETY: neither disposition runs code of this process.
            unsafe { sigaction(signal, action) }.map(|_| ())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Has this process only one thread? Asked of unshare(2): CLONE_THREAD changes nothing and is EINVAL where there are more.
/// What an outer filter does not let through is counted in /proc, which costs ten times as much.
pub(super) fn single_threaded() -> Result<bool, Errno> {
    match nix::sched::unshare(nix::sched::CloneFlags::CLONE_THREAD) {
        Ok(()) => Ok(true),
        Err(Errno::EINVAL) => Ok(false),
        Err(_) => Ok(thread_count()? == 1),
    }
}

/// How many threads this process has. Without /proc (a chroot) the answer is 1: agentbox starts none itself.
fn thread_count() -> Result<u64, Errno> {
    use std::os::unix::fs::MetadataExt as _;
    match std::fs::metadata("/proc/self/task") {
        // Directories have one link per subdirectory, plus "." and the entry in the parent.
        Ok(meta) => Ok(meta.nlink().saturating_sub(2).max(1)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(1),
        Err(e) => Err(super::errno_of(&e)),
    }
}

/// A descriptor of a process (pidfd_open(2)): a number may become another process's, this may not.
///
/// # Errors
/// ESRCH when there is no such process.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_open(2) takes integers.
    let fd = cvt(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel returned a new descriptor to this call alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to the process of a pidfd (pidfd_send_signal(2)).
///
/// # Errors
/// ESRCH when it is gone.
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> Result<(), Errno> {
    // SAFETY: integers and a null siginfo, which pidfd_send_signal(2) takes for "as kill(2)".
    let ret = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    cvt(ret).map(|_| ())
}

/// As [`pidfd_signal`], for a child that nobody may have waited for yet: where a filter around this process has no
/// pidfd_send_signal(2), its number serves as well, since it is nobody else's until somebody has.
///
/// # Errors
/// ESRCH or ECHILD when it is gone.
pub fn signal_child(child: Pid, pidfd: BorrowedFd<'_>, signal: c_int) -> Result<(), Errno> {
    match pidfd_signal(pidfd, signal) {
        Err(errno) if errno != Errno::ESRCH => {
            let there = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            waitid(Id::Pid(child), there)?;
            // SAFETY: kill(2) takes integers.
            cvt(c_long::from(unsafe { libc::kill(child.as_raw(), signal) })).map(|_| ())
        }
        done => done,
    }
}

/// How long a child that was killed may take to be gone.
const GONE: Duration = Duration::from_millis(200);

/// Reaps a child that was killed; `None` if it is not dead yet. SIGKILL does not end a call of a file system that does not answer
/// (FUSE, NFS): who waits for that stands as still as the child. It dies when the file system lets it.
pub fn reap_killed(child: Pid) -> Option<WaitStatus> {
    let until = Instant::now() + GONE;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() < until => {
                std::thread::sleep(Duration::from_micros(500));
            }
            Ok(WaitStatus::StillAlive) => return None,
            Err(Errno::EINTR) => {}
            done => return done.ok(),
        }
    }
}

/// Ends this process at once: no destructors, no atexit handlers, no flushing of a parent's buffers.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory of this process.
    unsafe { libc::_exit(c_int::from(status)) }
}

fn prctl(op: c_int, a: c_long, b: c_long) -> Result<c_long, Errno> {
    // SAFETY: only operations with integer arguments are used through this function; unused arguments are 0 as prctl(2)
    // asks.
    cvt(c_long::from(unsafe { libc::prctl(op, a, b, 0, 0) }))
}

/// The kernel sends SIGKILL to this process when the thread that made it ends (PR_SET_PDEATHSIG). Cleared by a change of
/// uid, so set again after one.
///
/// # Errors
/// The errno of prctl(2).
pub fn die_with_parent() -> Result<(), Errno> {
    prctl(libc::PR_SET_PDEATHSIG, c_long::from(libc::SIGKILL), 0).map(|_| ())
}

/// Undoes [`die_with_parent`]: whoever calls it ends by itself.
///
/// # Errors
/// The errno of prctl(2).
pub fn outlive_parent() -> Result<(), Errno> {
    prctl(libc::PR_SET_PDEATHSIG, 0, 0).map(|_| ())
}

/// No core dumps, no ptrace, no /proc/PID/{mem,environ,fd,...} for processes of the same uid (PR_SET_DUMPABLE).
///
/// # Errors
/// The errno of prctl(2).
pub fn set_undumpable() -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, 0, 0).map(|_| ())
}

/// PR_GET_DUMPABLE.
///
/// # Errors
/// The errno of prctl(2).
pub fn dumpable() -> Result<c_long, Errno> {
    prctl(libc::PR_GET_DUMPABLE, 0, 0)
}

/// Locks the securebits: root gains nothing by being root, and nothing can be raised as ambient (capabilities(7)).
/// Needs CAP_SETPCAP, so it comes before the capabilities go.
///
/// # Errors
/// The errno of prctl(2).
pub fn lock_securebits() -> Result<(), Errno> {
    prctl(libc::PR_SET_SECUREBITS, SECUREBITS, 0).map(|_| ())
}

/// SECBIT_NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE and KEEP_CAPS' lock, each with its lock.
const SECUREBITS: c_long = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80;

/// Are the securebits what [`lock_securebits`] sets?
///
/// # Errors
/// The errno of prctl(2).
pub fn securebits_locked() -> Result<bool, Errno> {
    Ok(prctl(libc::PR_GET_SECUREBITS, 0, 0)? == SECUREBITS)
}

/// Empties the capability bounding set (PR_CAPBSET_DROP of every number that the kernel knows). Needs CAP_SETPCAP.
///
/// # Errors
/// The errno of prctl(2).
pub fn empty_bounding_set() -> Result<(), Errno> {
    for capability in 0.. {
        match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Ok(_) => {}
            // The first number above CAP_LAST_CAP.
            Err(Errno::EINVAL) if capability > 0 => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// PR_SET_NO_NEW_PRIVS.
///
/// # Errors
/// The errno of prctl(2).
pub fn set_no_new_privs() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(|_| ())
}

/// PR_GET_NO_NEW_PRIVS.
///
/// # Errors
/// The errno of prctl(2).
pub fn no_new_privs() -> Result<bool, Errno> {
    Ok(prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0)? == 1)
}

/// Gives up real-time scheduling (sched_setscheduler(2)), for this process and what it starts from now on; nothing else is changed.
///
/// # Errors
/// The errno of sched_setscheduler(2).
pub fn ordinary_turns() -> Result<(), Errno> {
    // SAFETY: integers; 0 is this process.
    let policy = unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
    if ![libc::SCHED_FIFO, libc::SCHED_RR].contains(&policy) {
        return Ok(());
    }
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: a structure that lives for the call; 0 is this process.
    cvt(c_long::from(unsafe {
        libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const none)
    }))
    .map(|_| ())
}

/// Asks the scheduler for short turns (sched_setattr(2), Linux 6.12): this process gets no more of the processor than before, and
/// gets it sooner when it wakes. What it starts has turns as usual (SCHED_FLAG_RESET_ON_FORK).
///
/// # Errors
/// The errno of sched_setattr(2); EINVAL or E2BIG where the kernel knows no slices.
pub fn short_turns() -> Result<(), Errno> {
    #[repr(C)]
    struct SchedAttr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    const SCHED_FLAG_RESET_ON_FORK: u64 = 0x01;
    // SAFETY: no pointers; 0 is this process.
    let (nice, policy) = unsafe {
        (
            libc::getpriority(libc::PRIO_PROCESS, 0),
            libc::sched_getscheduler(0),
        )
    };
    // With the flag, what it starts would lose a negative one; other policies know no turns. SCHED_FLAG_KEEP_POLICY would keep the
    // flag as it is, too.
    if nice < 0 || ![libc::SCHED_OTHER, libc::SCHED_BATCH].contains(&policy) {
        return Err(Errno::EINVAL);
    }
    let attributes = SchedAttr {
        size: 48,
        policy: policy.cast_unsigned(),
        flags: SCHED_FLAG_RESET_ON_FORK,
        nice,
        priority: 0,
        // The shortest that the kernel takes.
        runtime: 100_000,
        deadline: 0,
        period: 0,
    };
    // SAFETY: `attributes` has the layout of the first version of `struct sched_attr` and says its size; the kernel only reads.
    let ret = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    cvt(ret).map(|_| ())
}

/// The name of this thread as `ps` shows it (at most 15 bytes).
///
/// # Errors
/// The errno of prctl(2).
pub fn set_name(name: &CStr) -> Result<(), Errno> {
    // SAFETY: PR_SET_NAME reads at most 16 bytes of a C string.
    let ret = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
    cvt(c_long::from(ret)).map(|_| ())
}

/// A new, empty, anonymous session keyring (KEYCTL_JOIN_SESSION_KEYRING), so that the keys of the caller's are out of
/// reach.
///
/// # Errors
/// EDQUOT when the user's key quota is used up, ENOSYS on a kernel without keyrings.
pub fn join_session_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<c_char>(),
        )
    };
    cvt(ret).map(|_| ())
}

/// What close_range(2) does with the descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseRange {
    /// Closes them now.
    Now,
    /// Marks them close-on-exec.
    OnExec,
}

/// Closes descriptors `first..=last`.
///
/// # Errors
/// The errno of close_range(2).
pub fn close_range(first: RawFd, last: RawFd, how: CloseRange) -> Result<(), Errno> {
    if first > last {
        return Ok(());
    }
    let flags: c_int = match how {
        CloseRange::Now => 0,
        CloseRange::OnExec => 4,
    };
    // SAFETY: the caller owns no Rust descriptor in the range that it uses again (OnExec closes nothing now); the call
    // takes integers.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    cvt(ret).map(|_| ())
}

static ARGV: AtomicPtr<*mut c_char> = AtomicPtr::new(std::ptr::null_mut());
static ARGC: AtomicUsize = AtomicUsize::new(0);
static ENVP: AtomicPtr<*mut c_char> = AtomicPtr::new(std::ptr::null_mut());

/// glibc calls the functions of `.init_array` with the arguments of `main`; std takes its own copy the same way.
#[cfg(target_env = "gnu")]
extern "C" fn remember(argc: c_int, argv: *mut *mut c_char, envp: *mut *mut c_char) {
    ARGC.store(usize::try_from(argc).unwrap_or(0), Ordering::Relaxed);
    ARGV.store(argv, Ordering::Relaxed);
    ENVP.store(envp, Ordering::Relaxed);
}

// SAFETY: glibc's `.init_array` holds pointers to functions of exactly this type; the function only stores into atomics, so
// it may run before main.
#[cfg(target_env = "gnu")]
#[unsafe(link_section = ".init_array")]
#[used]
static REMEMBER: extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) = remember;

/// musl calls them without arguments, but has set `environ` to where the kernel put it: behind argc, argv and a null pointer.
#[cfg(not(target_env = "gnu"))]
extern "C" fn remember() {
    unsafe extern "C" {
        static mut environ: *mut *mut c_char;
    }
    // SAFETY: before main nobody has changed `environ`. The words below it are, downwards, the null pointer, the pointers of
    // argv and their number (the ABI's initial process stack), so the first word that equals the count of those passed is
    // argc: a pointer to a string is no such small number. It is there, so nothing below it is read.
    unsafe {
        let envp = environ;
        if envp.is_null() {
            return;
        }
        let mut count = 0;
        while envp.sub(2 + count).read() as usize != count {
            count += 1;
        }
        ARGC.store(count, Ordering::Relaxed);
        ARGV.store(envp.sub(1 + count), Ordering::Relaxed);
        ENVP.store(envp, Ordering::Relaxed);
    }
}

// SAFETY: musl's `.init_array` holds pointers to functions of exactly this type, which run after `environ` is set; it only
// reads the stack of the start and stores into atomics.
#[cfg(not(target_env = "gnu"))]
#[unsafe(link_section = ".init_array")]
#[used]
static REMEMBER: extern "C" fn() = remember;

/// Overwrites the argument and environment strings that the kernel put on the stack, and shows `title` in
/// /proc/PID/cmdline instead. /proc/PID/environ shows zeros. To be called in a forked child that has copied what it needs.
///
/// # Errors
/// ENODATA when the start-up block is not known, so that nothing was wiped.
pub fn wipe_startup_block(title: &CStr) -> Result<(), Errno> {
    let (argv, envp) = (ARGV.load(Ordering::Relaxed), ENVP.load(Ordering::Relaxed));
    let argc = ARGC.load(Ordering::Relaxed);
    if argv.is_null() || envp.is_null() || argc == 0 {
        return Err(Errno::ENODATA);
    }
    let wipe = |string: *mut c_char| {
        // SAFETY: `string` is an element of argv or envp, as the kernel laid them out at exec: writable memory of this
        // process that ends with a NUL. The process is single-threaded here, so nobody reads it meanwhile.
        unsafe {
            let length = libc::strlen(string);
            libc::explicit_bzero(string.cast(), length);
            length
        }
    };
    let mut room = 0;
    for i in 0..argc {
        // SAFETY: the kernel's argv has `argc` elements.
        let argument = unsafe { *argv.add(i) };
        if argument.is_null() {
            break;
        }
        room += wipe(argument) + 1;
    }
    let mut i = 0;
    loop {
        // SAFETY: envp is terminated by a null pointer, and the loop stops there.
        let variable = unsafe { *envp.add(i) };
        if variable.is_null() {
            break;
        }
        wipe(variable);
        i += 1;
    }
    // SAFETY: the arguments lie one behind the other, `room` bytes in all, starting at argv[0]; at most that many bytes are
    // written, the last of them the NUL that is already there. envp[0] becomes null, so that getenv(3) finds nothing.
    unsafe {
        let first = *argv;
        let length = title.to_bytes().len().min(room.saturating_sub(1));
        std::ptr::copy_nonoverlapping(title.as_ptr(), first, length);
        *envp = std::ptr::null_mut();
    }
    Ok(())
}

/// Brings a network interface up (SIOCSIFFLAGS); used for `lo` of a new namespace.
///
/// # Errors
/// The errno of socket(2) or ioctl(2).
pub fn interface_up(name: &CStr) -> Result<(), Errno> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(name.to_bytes().iter().take(15))
    {
        // Signed on x86_64, unsigned on aarch64.
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let up =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(|_| Errno::EINVAL)?;
    request.ifr_ifru.ifru_flags = up;
    // SAFETY: SIOCSIFFLAGS reads a `struct ifreq`, which `request` is.
    let ret = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    cvt(c_long::from(ret)).map(|_| ())
}
