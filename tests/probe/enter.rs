//! `probe enter PLACE [ARGS] -- PROGRAM ARGS...`: runs a program in a place as container engines make them, without an engine:
//!
//! - `masked-proc`: a user, mount and pid namespace with a procfs that is covered in part, as podman and docker with an open
//!   seccomp profile have it: namespaces can be had in it, a fresh procfs cannot. PROGRAM is its PID 1.
//! - `docker`: docker's default seccomp profile as far as it matters here: no namespace, no mount, clone3 does not exist.
//! - `listened`: the same, and somebody listens to its system calls (seccomp_unotify(2)), of which a process can have one.
//! - `hidden-proc`: as `masked-proc`, but with a whole procfs that shows to everybody what he may trace (hidepid=invisible).
//! - `without CALL`: a filter that does not know the system call of that number, as older engines' do not know newer ones.
//! - `landlock-abi N`: a kernel whose Landlock says that its ABI is N. What it does stays what the running kernel does.
//! - `chroot DIR`: a chroot, in which the kernel makes no user namespaces.
//! - `root DIR`: DIR is the root of a mount and pid namespace (and, but for root, a user namespace), by pivot_root, as a container has it: with a
//!   procfs where DIR has a `proc`, and those of the host's devices that have a file in its `dev`. PROGRAM is its PID 1.
//! - `pod DIR`: a container of Kubernetes under the restricted Pod Security Standard: no root (a root caller becomes uid 1000), no
//!   capability, no_new_privs, docker's default filter (which RuntimeDefault is), everything read-only but DIR, and the service
//!   account's token where the kubelet projects it.
//! - `inner`: user, mount and ipc namespaces with every capability in them, as the root of a sandbox within the box has. PROGRAM
//!   stays in the pid namespace that it is in.
//! - `foreign`: the same, and none of the mounts is there any more: PROGRAM has the working directory that it was called in, by
//!   its descriptor alone, with /usr, /dev and /proc as they were.
//!
//! Ends as PROGRAM ends.

use crate::raw::Args;
use crate::usage;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

pub(crate) fn enter(args: &Args<'_>) -> ! {
    let words = args.rest(0);
    let Some(split) = words.iter().position(|word| word == "--") else {
        usage("enter PLACE -- PROGRAM");
    };
    let program = &words[split + 1..];
    match args.text(0) {
        "masked-proc" => {
            let furnish = || {
                masked_proc();
                drop_capabilities();
            };
            namespaces(Users::Own, furnish, program)
        }
        "docker" => {
            docker();
            exec(program)
        }
        "hidden-proc" => {
            let none: Option<&str> = None;
            let hide = Some("hidepid=invisible");
            let furnish = || {
                mount(none, "/proc", Some("proc"), MsFlags::empty(), hide).expect("proc");
            };
            namespaces(Users::OfTheHost, furnish, program)
        }
        "without" => {
            let number = u32::try_from(args.num(1)).expect("number");
            filter(&mut [
                op(LOAD, 0, 0, 0),
                op(EQUAL, 0, 1, number),
                op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
                op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
            ]);
            exec(program)
        }
        "landlock-abi" => {
            landlock_abi(args.num(1));
            exec(program)
        }
        "listened" => {
            docker();
            listened(program)
        }
        "root" => {
            let dir = std::path::PathBuf::from(&words[1]);
            namespaces(Users::OfTheHost, || own_root(&dir), program)
        }
        "pod" => {
            let dir = std::path::PathBuf::from(&words[1]);
            namespaces(Users::Own, || pod(&dir), program)
        }
        "inner" => {
            inner();
            exec(program)
        }
        "foreign" => {
            // In a mount of the namespace that is left, and not of its copy, whose mounts go.
            let here = fs::File::open(".").expect("open");
            inner();
            foreign(&here);
            exec(program)
        }
        "chroot" => {
            nix::unistd::chroot(args.c(1).as_c_str()).expect("chroot");
            std::env::set_current_dir("/").expect("chdir");
            exec(program)
        }
        _ => usage("no such place"),
    }
}

fn exec(program: &[OsString]) -> ! {
    let error = Command::new(&program[0]).args(&program[1..]).exec();
    panic!("{program:?}: {error}");
}

/// Whether root has a user namespace of its own. Others always do: they could make no other without it.
#[derive(PartialEq, Eq)]
enum Users {
    Own,
    OfTheHost,
}

/// PROGRAM in a user, mount and pid namespace of the caller's ids, after `furnish` in it.
fn namespaces(users: Users, furnish: impl FnOnce(), program: &[OsString]) -> ! {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    if uid.is_root() && users == Users::OfTheHost {
        unshare(flags & !CloneFlags::CLONE_NEWUSER).expect("unshare");
    } else if uid.is_root() {
        // As a container of root's has them: all ids there are. Only who stays in the parent namespace may say so.
        let (made, make) = std::io::pipe().expect("pipe");
        let me = std::process::id();
        // SAFETY: one thread, and the child only writes two files.
        let ForkResult::Parent { child } = unsafe { fork() }.expect("fork") else {
            drop(make);
            let _ = std::io::read_to_string(made);
            fs::write(format!("/proc/{me}/uid_map"), "0 0 4294967295").expect("uid_map");
            fs::write(format!("/proc/{me}/gid_map"), "0 0 4294967295").expect("gid_map");
            std::process::exit(0);
        };
        unshare(flags & !CloneFlags::CLONE_NEWPID).expect("unshare");
        drop((made, make));
        assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
        unshare(CloneFlags::CLONE_NEWPID).expect("unshare");
    } else {
        unshare(flags).expect("unshare");
        fs::write("/proc/self/setgroups", "deny").expect("setgroups");
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).expect("uid_map");
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).expect("gid_map");
    }
    // SAFETY: one thread, and the child only mounts and executes.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            let none: Option<&str> = None;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(none, "/", none, private, none).expect("private");
            furnish();
            exec(program)
        }
        ForkResult::Parent { child } => loop {
            match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, code)) => std::process::exit(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => std::process::exit(128 + signal as i32),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => panic!("waitpid: {errno}"),
            }
        },
    }
}

/// uid 0 of a user namespace within, which is the caller's uid outside.
fn inner() {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC)
        .expect("unshare");
    fs::write("/proc/self/setgroups", "deny").expect("setgroups");
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).expect("uid_map");
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).expect("gid_map");
}

/// A new root with nothing of the old one but programs, a procfs and the directory `empty` of `here`, which becomes the working
/// directory.
fn foreign(here: &fs::File) {
    let none: Option<&str> = None;
    let root = std::path::Path::new("/tmp/foreign");
    fs::create_dir_all(root).expect("mkdir");
    mount(Some("new"), root, Some("tmpfs"), MsFlags::empty(), none).expect("tmpfs");
    for dir in ["old", "usr", "dev", "proc", "e", "probe"] {
        fs::create_dir(root.join(dir)).expect("mkdir");
    }
    for (from, to) in [("/usr", "usr"), ("/dev", "dev"), ("/proc", "proc")] {
        let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(from), &root.join(to), none, bind, none).expect("bind");
    }
    let programs = std::env::current_exe().expect("exe");
    let programs = programs.parent().expect("directory");
    mount(
        Some(programs),
        &root.join("probe"),
        none,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        none,
    )
    .expect("bind");
    mount(Some("empty"), &root.join("e"), none, MsFlags::MS_BIND, none).expect("bind");
    for link in ["bin", "lib", "lib64"] {
        let _ = std::os::unix::fs::symlink(format!("usr/{link}"), root.join(link));
    }
    std::env::set_current_dir(root).expect("chdir");
    nix::unistd::pivot_root(".", "old").expect("pivot_root");
    nix::mount::umount2("/old", nix::mount::MntFlags::MNT_DETACH).expect("umount");
    nix::unistd::fchdir(here).expect("fchdir");
}

/// PROGRAM under a filter whose listener stays here. Nothing is ever asked of it.
fn listened(program: &[OsString]) -> ! {
    let mut allow = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    let filter = libc::sock_fprog {
        len: 1,
        filter: &raw mut allow,
    };
    // SAFETY: a program that lives for the call.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const filter,
        )
    };
    assert!(listener >= 0, "seccomp: {}", Errno::last());
    let status = Command::new(&program[0]).args(&program[1..]).status();
    std::process::exit(status.expect("start").code().unwrap_or(99))
}

fn own_root(dir: &std::path::Path) {
    let none: Option<&str> = None;
    let bind = MsFlags::MS_BIND;
    mount(Some(dir), dir, none, bind, none).expect("bind");
    if dir.join("proc").exists() {
        let at = dir.join("proc");
        mount(Some("proc"), &at, Some("proc"), MsFlags::empty(), none).expect("proc");
    }
    for device in ["null", "zero", "full", "random", "urandom", "tty"] {
        let at = dir.join("dev").join(device);
        if at.exists() {
            let from = std::path::Path::new("/dev").join(device);
            mount(Some(&from), &at, none, bind, none).expect("device");
        }
    }
    std::env::set_current_dir(dir).expect("chdir");
    nix::unistd::pivot_root(".", ".").expect("pivot_root");
    nix::mount::umount2(".", nix::mount::MntFlags::MNT_DETACH).expect("umount");
    std::env::set_current_dir("/").expect("chdir");
}

fn pod(writable: &std::path::Path) {
    let none: Option<&str> = None;
    let bind = MsFlags::MS_BIND;
    // Read-only with all that is mounted in it, but for a volume; /proc, /run and what else is mounted now are as they are given.
    mount(Some(writable), writable, none, bind, none).expect("volume");
    set_read_only(std::path::Path::new("/"), true);
    set_read_only(writable, false);
    masked_proc();
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).expect("run");
    let secrets = std::path::Path::new("/run/secrets/kubernetes.io/serviceaccount");
    fs::create_dir_all(secrets).expect("secrets");
    for (name, text) in [
        ("token", "TOKEN-OF-THE-POD"),
        ("namespace", "agents"),
        ("ca.crt", "CA"),
    ] {
        fs::write(secrets.join(name), text).expect("token");
    }
    fs::write("/run/secrets/database", "TOKEN-OF-A-DATABASE").expect("secret");
    set_read_only(std::path::Path::new("/run"), true);
    if nix::unistd::geteuid().is_root() {
        nix::unistd::setgroups(&[]).expect("setgroups");
        nix::unistd::setresgid(1000.into(), 1000.into(), 1000.into()).expect("gid");
        // SAFETY: integers. The capabilities stay until the bounding set is empty.
        unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) };
        nix::unistd::setresuid(1000.into(), 1000.into(), 1000.into()).expect("uid");
        caps::raise(None, caps::CapSet::Effective, caps::Capability::CAP_SETPCAP).expect("setpcap");
    }
    caps::clear(None, caps::CapSet::Bounding).expect("bounding");
    docker();
    for set in [
        caps::CapSet::Effective,
        caps::CapSet::Permitted,
        caps::CapSet::Inheritable,
    ] {
        caps::clear(None, set).expect("caps");
    }
}

fn set_read_only(path: &std::path::Path, read_only: bool) {
    let flag = libc::MOUNT_ATTR_RDONLY;
    let attr = libc::mount_attr {
        attr_set: if read_only { flag } else { 0 },
        attr_clr: if read_only { 0 } else { flag },
        propagation: 0,
        userns_fd: 0,
    };
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a C string and a struct of that size, both for the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            name.as_ptr(),
            libc::AT_RECURSIVE,
            &attr,
            std::mem::size_of::<libc::mount_attr>(),
        )
    };
    assert_eq!(done, 0, "{path:?}: {}", Errno::last());
}

fn masked_proc() {
    let none: Option<&str> = None;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).expect("proc");
    // What engines cover: a device over a file, an empty directory over one, and all sysctls read-only.
    let bind = MsFlags::MS_BIND;
    mount(Some("/dev/null"), "/proc/timer_list", none, bind, none).expect("timer_list");
    let read_only = MsFlags::MS_RDONLY;
    mount(Some("tmpfs"), "/proc/irq", Some("tmpfs"), read_only, none).expect("irq");
    mount(Some("/proc/sys"), "/proc/sys", none, bind, none).expect("sys");
    let again = bind | MsFlags::MS_REMOUNT | read_only;
    let again = again | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(none, "/proc/sys", none, again, none)
        .or_else(|_| {
            mount(
                none,
                "/proc/sys",
                none,
                bind | MsFlags::MS_REMOUNT | read_only,
                none,
            )
        })
        .expect("sys read-only");
}

/// What the default profile refuses, of all that agentbox might use; everything else passes.
const REFUSED: &[i64] = &[
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_vm_readv,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
];

/// What engines leave their root: nothing that could administrate. Holds from the next exec on.
fn drop_capabilities() {
    if nix::unistd::geteuid().is_root() {
        for cap in [21, 19, 12, 2, 16, 17, 22, 24, 25, 37, 38, 39, 40] {
            // SAFETY: integers.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, cap, 0, 0, 0) };
        }
    }
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

fn op(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn docker() {
    drop_capabilities();
    let errno = |errno: i32| op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32);
    let mut program = vec![op(LOAD, 0, 0, 0)];
    for number in REFUSED {
        program.push(op(EQUAL, 0, 1, *number as u32));
        program.push(errno(libc::EPERM));
    }
    program.push(op(EQUAL, 0, 1, libc::SYS_clone3 as u32));
    program.push(errno(libc::ENOSYS));
    program.push(op(EQUAL, 0, 3, libc::SYS_clone as u32));
    program.push(op(LOAD, 0, 0, 16));
    // Every CLONE_NEW* that clone(2) takes.
    program.push(op(ANY_BIT, 0, 1, 0x7e02_0000));
    program.push(errno(libc::EPERM));
    program.push(op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    filter(&mut program);
}

fn filter(program: &mut [libc::sock_filter]) {
    let filter = libc::sock_fprog {
        len: program.len().try_into().unwrap(),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: integers, and a program that lives for the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let done = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter);
        assert_eq!(done, 0, "seccomp: {}", Errno::last());
    }
}

/// Every landlock_create_ruleset(2) that asks for the version (flags is 1) of what is executed from now on is answered by a
/// process beside it, which ends when nobody is left who could ask.
fn landlock_abi(version: i64) {
    use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType};
    let (here, there) = nix::sys::socket::socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .expect("socketpair");
    // Before the filter, whose end it waits for; twice, so that the program has no child that it does not know of.
    // SAFETY: one thread, and the child only forks and answers.
    let ForkResult::Parent { child } = unsafe { fork() }.expect("fork") else {
        drop(here);
        // SAFETY: as above.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Child => answer(&there, version),
            ForkResult::Parent { .. } => std::process::exit(0),
        }
    };
    assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
    let mut program = [
        op(LOAD, 0, 0, 0),
        op(EQUAL, 0, 3, libc::SYS_landlock_create_ruleset as u32),
        // The third argument.
        op(LOAD, 0, 0, 32),
        op(EQUAL, 0, 1, 1),
        op(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len().try_into().unwrap(),
        filter: program.as_mut_ptr(),
    };
    let flag = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: integers, and a program that lives for the call; what it returns is a descriptor that only we know.
    let listener = unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let fd = libc::syscall(libc::SYS_seccomp, mode, flag, &filter);
        assert!(fd >= 0, "seccomp: {}", Errno::last());
        OwnedFd::from_raw_fd(i32::try_from(fd).unwrap())
    };
    let fds = [listener.as_raw_fd()];
    let sent = nix::sys::socket::sendmsg::<()>(
        here.as_raw_fd(),
        &[std::io::IoSlice::new(b"x")],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    );
    assert_eq!(sent, Ok(1));
}

/// Answers with that version until nobody has the filter any more.
fn answer(from: &OwnedFd, version: i64) -> ! {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut byte = [0];
    let mut into = [std::io::IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::empty();
    let got = recvmsg::<()>(from.as_raw_fd(), &mut into, Some(&mut space), flags).expect("recvmsg");
    let Some(ControlMessageOwned::ScmRights(fds)) = got.cmsgs().expect("cmsgs").next() else {
        panic!("no listener");
    };
    let listener = fds[0];
    let kept = u32::try_from(listener).unwrap();
    // Who reads the program's output to its end must not wait for this one.
    // SAFETY: no descriptor but the listener is used from here on.
    unsafe {
        libc::close_range(0, kept - 1, 0);
        libc::close_range(kept + 1, u32::MAX, 0);
        libc::setsid();
    }
    loop {
        let mut wake = libc::pollfd {
            fd: listener,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, for the call.
        let woken = unsafe { libc::poll(&mut wake, 1, -1) };
        if woken == 1 && wake.revents & libc::POLLIN == 0 {
            std::process::exit(0);
        }
        // SAFETY: plain data, for which zero is what the kernel asks for.
        let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes a seccomp_notif, and reads a seccomp_notif_resp.
        unsafe {
            if libc::ioctl(listener, NOTIF_RECV, &mut asked) == 0 {
                let mut answer = libc::seccomp_notif_resp {
                    id: asked.id,
                    val: version,
                    error: 0,
                    flags: 0,
                };
                libc::ioctl(listener, NOTIF_SEND, &mut answer);
            }
        }
    }
}

/// `SECCOMP_IOCTL_NOTIF_RECV` and `_SEND`.
const NOTIF_RECV: libc::c_ulong = 0xc050_2100;
const NOTIF_SEND: libc::c_ulong = 0xc018_2101;
