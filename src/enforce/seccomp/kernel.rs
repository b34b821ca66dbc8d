//! The kernel is asked. A refusal that the kernel would give by itself (EPERM for want of a capability) proves nothing,
//! so each case runs twice: under the real filter, for the exact errno, and under one whose errnos are moved to numbers
//! that no kernel gives, for who answered.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::compile::{Arch, compile};
use super::rules::*;
use super::{SeccompError, prepare};
use crate::sys::seccomp::{set_filter, unknown_call};
use crate::sys::testing::{call, child_ok, in_child};
use nix::errno::Errno;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

const MARK: u16 = 2000;

/// The filter, with every errno moved up by [`MARK`].
fn marked() -> Vec<libc::sock_filter> {
    let mut program = compile(RULES, Arch::NATIVE).unwrap();
    for i in &mut program {
        if i.code == 0x06 && i.k & 0xffff_0000 == libc::SECCOMP_RET_ERRNO {
            i.k += u32::from(MARK);
        }
    }
    program
}

fn number(name: &str) -> Option<u32> {
    let rule = RULES.iter().find(|r| r.name == name);
    Arch::NATIVE.number(rule.unwrap_or_else(|| panic!("{name} has no rule")))
}

/// Runs the cases under both filters: (call, arguments, the filter's errno or `None` if it lets the call through).
fn check(cases: &[(String, u32, [u64; 6], Option<u16>)]) {
    assert!(!cases.is_empty());
    child_ok(|| {
        set_no_new_privs().unwrap();
        let _ = prepare().unwrap().apply().unwrap();
        for (name, number, args, denied) in cases {
            let result = call(*number, *args);
            let wanted = match denied {
                // Nothing happens, and it succeeds.
                Some(0) => Ok(0),
                Some(errno) => Err(i32::from(*errno)),
                None => continue,
            };
            assert_eq!(result, wanted, "{name} {args:x?}");
        }
    });
    child_ok(|| {
        set_no_new_privs().unwrap();
        let program = marked();
        set_filter(&program).unwrap();
        for (name, number, args, denied) in cases {
            let result = call(*number, *args);
            match denied {
                Some(errno) => {
                    assert_eq!(
                        result,
                        Err(i32::from(MARK + errno)),
                        "{name} {args:x?}: not by the filter"
                    );
                }
                None => assert!(
                    result.is_ok_and(|r| r >= 0) || result.is_err_and(|e| e < i32::from(MARK)),
                    "{name} {args:x?}: the filter denies it, {result:?}"
                ),
            }
        }
    });
}

fn case(
    name: &str,
    args: &[u64],
    denied: Option<u16>,
) -> Option<(String, u32, [u64; 6], Option<u16>)> {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    Some((name.to_owned(), number(name)?, all, denied))
}

const DONE: Option<u16> = Some(0);
const EPERM: Option<u16> = Some(1);
const EINVAL: Option<u16> = Some(22);
const ENOSYS: Option<u16> = Some(38);
const EPROTONOSUPPORT: Option<u16> = Some(93);
/// Where the kernel does not look.
const HIGH: u64 = 0xdead_beef_0000_0000;

/// All arguments -1: without the filter none of these calls would do anything (EFAULT, EBADF, EINVAL), also for root.
#[test]
fn every_unconditional_rule_is_in_force() {
    let cases: Vec<_> = RULES
        .iter()
        .filter(|r| r.arms.is_empty())
        .filter_map(|rule| {
            let Action::Errno(errno) = rule.otherwise else {
                panic!("{} has another answer", rule.name);
            };
            Some((
                rule.name.to_owned(),
                Arch::NATIVE.number(rule)?,
                [u64::MAX; 6],
                Some(errno),
            ))
        })
        .collect();
    assert!(cases.len() > 45, "{}", cases.len());
    check(&cases);
}

/// Each rule with conditions: denied arguments, and next to them an allowed twin.
#[test]
fn conditional_rules_are_in_force() {
    let at = u64::MAX;
    let table: &[(&str, &[u64], Option<u16>)] = &[
        ("chmod", &[0, 0o4755], EPERM),
        ("chmod", &[0, 0o104_755 | HIGH], EPERM),
        ("chmod", &[0, 0o2755], None),
        ("chmod", &[0, 0o755], None),
        ("chmod", &[0, 0o755 | HIGH], None),
        ("fchmod", &[at, 0o6755], EPERM),
        ("fchmod", &[at, 0o1777], None),
        ("fchmodat", &[at, 0, 0o4000], EPERM),
        ("fchmodat", &[at, 0, 0o2777], None),
        ("fchmodat2", &[at, 0, 0o4000, 0], EPERM),
        ("fchmodat2", &[at, 0, 0o2777, 0], None),
        ("fcntl", &[at, 1024, 0], EINVAL),
        ("fcntl", &[at, 1040, 0], EINVAL),
        ("fcntl", &[at, 1024 | HIGH, 1], EINVAL),
        ("fcntl", &[at, 1, 0], None),
        ("fcntl", &[at, 6, 0], None),
        ("setrlimit", &[4, 0], DONE),
        ("setrlimit", &[4 | HIGH, 1], DONE),
        ("setrlimit", &[7, 0], None),
        ("prlimit64", &[0, 4, 1, 0], DONE),
        ("prlimit64", &[2, 4 | HIGH, HIGH, 0], DONE),
        ("prlimit64", &[1, 7, 1, 0], EPERM),
        ("sched_setaffinity", &[1, 8, 1], EPERM),
        ("sched_setaffinity", &[0, 8, 1], None),
        ("sched_setattr", &[1 | HIGH, 1, 0], EPERM),
        ("sched_setattr", &[2, 1, 0], None),
        ("sched_setparam", &[1, 1], EPERM),
        ("sched_setparam", &[0, 1], None),
        ("sched_setscheduler", &[1, 5, 1], EPERM),
        ("sched_setscheduler", &[7, 5, 1], None),
        ("setpriority", &[0, 1, 19], EPERM),
        ("setpriority", &[1, 0, 19], EPERM),
        ("setpriority", &[2, 1000, 19], EPERM),
        ("setpriority", &[0, 0, 19], None),
        ("setpriority", &[0, 11, 19], None),
        ("prlimit64", &[0, 4, 0, 0], None),
        ("prlimit64", &[0, 7, 1, 0], None),
        ("renameat2", &[at, 0, at, 0, 4], EPERM),
        ("renameat2", &[at, 0, at, 0, 5 | HIGH], EPERM),
        ("renameat2", &[at, 0, at, 0, 1], None),
        ("renameat2", &[at, 0, at, 0, 2], None),
        ("creat", &[0, 0o4755], EPERM),
        ("creat", &[0, 0o2755], EPERM),
        ("creat", &[0, 0o755], None),
        ("open", &[0, 0o101, 0o4755], EPERM),
        ("open", &[0, 0o101, 0o2755], EPERM),
        ("open", &[0, 0o20_200_002, 0o4755], EPERM),
        ("open", &[0, 0o101 | HIGH, 0o4755 | HIGH], EPERM),
        ("open", &[0, 0o101, 0o644], None),
        ("open", &[0, 0, 0o7777], None),
        ("openat", &[at, 0, 0o101, 0o4755], EPERM),
        ("openat", &[at, 0, 0o101, 0o2755], EPERM),
        ("openat", &[at, 0, 0o20_200_002, 0o6755], EPERM),
        ("openat", &[at, 0, 0o101, 0o666], None),
        ("openat", &[at, 0, 0o2_200_000, 0o7777], None),
        ("mknod", &[0, 0o020_666, 0x103], EPERM),
        ("mknod", &[0, 0o060_666, 0x800], EPERM),
        ("mknod", &[0, 0o104_755, 0], EPERM),
        ("mknod", &[0, 0o002_755, 0], EPERM),
        ("mknod", &[0, 0o010_644, 0], None),
        ("mknod", &[0, 0o140_644, 0], None),
        ("mknod", &[0, 0o100_644, 0], None),
        ("mknodat", &[at, 0, 0o020_666, 0x103], EPERM),
        ("mknodat", &[at, 0, 0o060_666, 0x800], EPERM),
        ("mknodat", &[at, 0, 0o104_755, 0], EPERM),
        ("mknodat", &[at, 0, 0o010_644, 0], None),
        ("ioctl", &[at, 0x5412, 0], EPERM),
        ("ioctl", &[at, 0x5000_9401, 0], EPERM),
        ("ioctl", &[at, 0x5000_9417 | HIGH, 0], EPERM),
        ("ioctl", &[at, 0x5000_943f, 0], EPERM),
        ("ioctl", &[at, 0xc050_6617, 0], EPERM),
        ("ioctl", &[at, 0xc040_6618, 0], EPERM),
        ("ioctl", &[at, 0xc040_6619 | HIGH, 0], EPERM),
        ("ioctl", &[at, 0x5412 | HIGH, 0], EPERM),
        ("ioctl", &[at, 0x5412 | 1 << 32, 0], EPERM),
        ("ioctl", &[at, 0x541c, 0], EPERM),
        ("ioctl", &[at, 0x541c | HIGH, 0], EPERM),
        ("ioctl", &[at, 0x541d, 0], EPERM),
        ("ioctl", &[at, 0x5423, 0], EPERM),
        ("ioctl", &[at, 0x5413, 0], None),
        ("ioctl", &[at, 0x5401, 0], None),
        ("clone", &[0x1000_0000 | 17], EPERM),
        ("clone", &[0x0002_0000 | 17], EPERM),
        ("clone", &[0x0200_0000 | 17], EPERM),
        ("clone", &[0x0400_0000 | 17], EPERM),
        ("clone", &[0x0800_0000 | 17], EPERM),
        ("clone", &[0x2000_0000 | 17], EPERM),
        ("clone", &[0x4000_0000 | 17], EPERM),
        // CLONE_SIGHAND without CLONE_VM is EINVAL: a twin that makes no process.
        ("clone", &[0x0000_0800 | 17], None),
        ("unshare", &[0x1000_0000], EPERM),
        ("unshare", &[0x0000_0080], EPERM),
        ("unshare", &[0x4002_0000], EPERM),
        ("unshare", &[0x0010_0000], EPERM),
        ("unshare", &[1 << 37], EPERM),
        ("unshare", &[0x0000_0200], None),
        ("unshare", &[0], None),
        ("personality", &[0x0040_0000], EPERM),
        ("personality", &[0x0044_0000], EPERM),
        ("personality", &[8], EPERM),
        ("personality", &[0xffff_ffff], None),
        ("personality", &[0x0004_0000], None),
        ("personality", &[HIGH], None),
        ("socket", &[40, 1, 0], EPERM),
        ("socket", &[40 | HIGH, 1, 0], EPERM),
        ("socket", &[38, 5, 0], EPERM),
        ("socket", &[17, 3, 0x300], EPERM),
        ("socket", &[15, 3, 2], EPERM),
        ("socket", &[30, 1, 0], EPERM),
        ("socket", &[44, 3, 0], EPERM),
        ("socket", &[16, 3, 15], EPERM),
        ("socket", &[16, 3, 9], EPERM),
        ("socket", &[16, 3, 12], EPERM),
        ("socket", &[16, 3, 16], EPERM),
        ("socket", &[2, 3, 1], EPERM),
        ("socket", &[2, 10, 0x300], EPERM),
        ("socket", &[2, 5, 0], EPERM),
        ("socket", &[2, 6, 0], EPERM),
        ("socket", &[2, 1, 132], EPROTONOSUPPORT),
        ("socket", &[10, 2, 136], EPROTONOSUPPORT),
        ("socket", &[2, 1, 256], EPROTONOSUPPORT),
        ("socket", &[1, 1, 0], None),
        ("socket", &[1, 5 | 0o2_004_000, 0], None),
        ("socket", &[2, 1, 0], None),
        ("socket", &[2, 2 | 0o2_004_000, 17], None),
        ("socket", &[10, 1, 6], None),
        ("socket", &[2, 1, 262], None),
        ("socket", &[16, 3, 0], None),
        ("socket", &[16, 2 | 0o2_000_000, HIGH], None),
        ("socketpair", &[30, 1, 0, 0], EPERM),
        ("socketpair", &[40, 1, 0, 0], EPERM),
        ("socketpair", &[1, 1, 0, 0], None),
        ("socketpair", &[2, 1, 0, 0], None),
    ];
    for rule in RULES.iter().filter(|r| !r.arms.is_empty()) {
        for wanted in [true, false] {
            assert!(
                table
                    .iter()
                    .any(|(n, _, d)| *n == rule.name && d.is_some() == wanted),
                "{} has no case with denied = {wanted}",
                rule.name
            );
        }
    }
    let cases: Vec<_> = table
        .iter()
        .filter_map(|(n, args, denied)| case(n, args, *denied))
        .collect();
    check(&cases);
}

/// x32 has the architecture of x86_64, so its numbers must not be a way around the rules; what is newer than the table
/// does not exist.
#[test]
fn unknown_numbers_do_not_exist() {
    let x32 = (0..560).map(|n| 0x4000_0000 | n);
    let cases: Vec<_> = (NEWEST + 1..700)
        .chain(x32)
        .chain([TELLTALE - 1, TELLTALE + 1, 0x3fff_ffff, 0x7fff_ffff])
        .map(|n| ("a number".to_owned(), n, [0; 6], ENOSYS))
        .collect();
    check(&cases);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_i386_entry_is_killed() {
    use crate::sys::testing::i386_getpid;
    // Without the filter it works, so that the death below is the filter's.
    child_ok(|| assert_eq!(i386_getpid(), std::process::id()));
    let (status, message) = in_child(|| {
        set_no_new_privs().unwrap();
        let _ = prepare().unwrap().apply().unwrap();
        panic!("alive, pid {}", i386_getpid());
    });
    assert!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGSYS, _)),
        "{status:?} {message}"
    );
}

#[test]
fn apply_proves_that_the_filter_answers() {
    child_ok(|| {
        // No filter, no answer: the proof can fail.
        assert_eq!(unknown_call(TELLTALE), Some(38));
        set_no_new_privs().unwrap();
        let program = prepare().unwrap();
        let installed = program.apply().unwrap();
        assert_eq!(installed.instructions, program.instructions.len());
        assert_eq!(unknown_call(TELLTALE), Some(i32::from(TELLTALE_ERRNO)));
        let evidence = installed.evidence();
        assert_eq!(evidence.status, crate::outcome::Status::Full);
        assert_eq!(evidence.proof.len(), 2);
    });
    // A filter that is not this one does not pass for it, and a program that the kernel refuses is an error.
    child_ok(|| {
        set_no_new_privs().unwrap();
        let mut program = prepare().unwrap();
        let allow = libc::sock_filter {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: libc::SECCOMP_RET_ALLOW,
        };
        program.instructions = vec![allow];
        assert_eq!(
            program.apply().err(),
            Some(SeccompError::Silent { answer: Some(38) })
        );
        program.instructions = vec![];
        assert_eq!(
            program.apply().err(),
            Some(SeccompError::Install {
                errno: Errno::EINVAL
            })
        );
    });
}

/// What real tools do keeps working under the filter: threads (clone3 falls back), fork and exec, ptrace of an own child,
/// sockets on localhost, inotify, a filter of their own.
#[test]
fn honest_work_goes_on() {
    child_ok(|| {
        set_no_new_privs().unwrap();
        let _ = prepare().unwrap().apply().unwrap();

        assert_eq!(std::thread::spawn(|| 42).join().unwrap(), 42);

        let status = std::process::Command::new("/bin/true").status().unwrap();
        assert!(status.success(), "{status}");

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nodelay(true).unwrap();
        let _ = std::os::unix::net::UnixStream::pair().unwrap();
        let _ = nix::sys::inotify::Inotify::init(nix::sys::inotify::InitFlags::IN_CLOEXEC).unwrap();

        let dir = std::env::temp_dir().join(format!("agentbox-seccomp-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = dir.join("f");
        let open = |mode: u32| {
            std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(&file)
        };
        assert_eq!(open(0o4755).unwrap_err().raw_os_error(), Some(1));
        assert!(!file.exists());
        open(0o755).unwrap();
        let mode = |m| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(m));
        assert_eq!(mode(0o4755).unwrap_err().raw_os_error(), Some(1));
        mode(0o700).unwrap();
        // git init --shared
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o2770)).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();

        // PTRACE_SEIZE of an own child, as strace and gdb do it.
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("20")
            .spawn()
            .unwrap();
        let ptrace = u32::try_from(libc::SYS_ptrace).unwrap();
        let pid = u64::from(child.id());
        assert_eq!(call(ptrace, [0x4206, pid, 0, 0, 0, 0]), Ok(0));
        child.kill().unwrap();
        child.wait().unwrap();

        // A further filter of the program's own.
        let allow = libc::sock_filter {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: libc::SECCOMP_RET_ALLOW,
        };
        set_filter(&[allow]).unwrap();
    });
}

/// Not a test of a fact: prints what the filter costs. `cargo test --release --lib seccomp::kernel::cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
fn cost() {
    use std::time::Instant;
    let mut install = Vec::new();
    for _ in 0..300 {
        let (_, text) = in_child(|| {
            set_no_new_privs().unwrap();
            let program = prepare().unwrap();
            let start = Instant::now();
            let _ = program.apply().unwrap();
            panic!("{}", start.elapsed().as_nanos());
        });
        install.push(text.parse::<u64>().unwrap());
    }
    install.sort_unstable();
    let start = Instant::now();
    for _ in 0..100 {
        std::hint::black_box(prepare().unwrap());
    }
    println!(
        "{} instructions (x86_64 {}, aarch64 {}); compile {} ns; apply median {} ns, best {} ns",
        prepare().unwrap().instructions.len(),
        compile(RULES, Arch::X86_64).unwrap().len(),
        compile(RULES, Arch::Aarch64).unwrap().len(),
        start.elapsed().as_nanos() / 100,
        install[150],
        install[0]
    );
}
