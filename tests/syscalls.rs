//! Other system calls and other ABIs: every rule of the filter, and what must stay open.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::probed::errno_of;
use common::{Errno, Feature, Layer, TestBox, missing};
use serde_json::Value;

/// What is refused with EPERM. Arguments are such that the kernel would do nothing harmful if it let them through.
const EPERM: [&str; 71] = [
    // The mount API, old and new.
    "syscall mount s:none s:/tmp s:tmpfs 0 0",
    "syscall mount s:/ s:/tmp 0 4096 0",
    "syscall umount2 s:/tmp 2",
    "syscall pivot_root s:. s:.",
    "syscall chroot s:.",
    "syscall fsopen s:tmpfs 0",
    "syscall fsconfig -1 6 0 0 0",
    "syscall fsmount -1 0 0",
    "syscall fspick -100 s:/ 0",
    "syscall open_tree -100 s:/ 1",
    "syscall move_mount -1 s: -1 s: 4",
    "syscall mount_setattr -100 s:/ 0 z:32 32",
    // Namespaces: each flag of unshare and clone, and setns. 0x20000000 NEWPID 0x40000000 NEWNET 0x10000000 NEWUSER ...
    "syscall unshare 0x10000000",
    "syscall unshare 0x00020000",
    "syscall unshare 0x20000000",
    "syscall unshare 0x40000000",
    "syscall unshare 0x08000000",
    "syscall unshare 0x04000000",
    "syscall unshare 0x02000000",
    "syscall unshare 0x00000080",
    "clone 0x10000000",
    "clone 0x00020000",
    "clone 0x20000000",
    "clone 0x40000000",
    "clone 0x10020000",
    "syscall setns 0 0",
    "setns /proc/self/ns/uts",
    // Ways into the kernel.
    "syscall bpf 5 z:64 64",
    "syscall bpf 0 z:64 64",
    "syscall io_uring_setup 4 z:120",
    "syscall io_uring_enter -1 0 0 0 0 0",
    "syscall io_uring_register -1 0 0 0",
    "syscall userfaultfd 1",
    "syscall perf_event_open z:128 0 -1 -1 0",
    "syscall kexec_load 0 0 0 0",
    "syscall kexec_file_load -1 -1 0 0 0",
    "syscall init_module 0 0 s:",
    "syscall finit_module -1 s: 0",
    "syscall delete_module s:nothing 0",
    // Keys.
    "syscall keyctl 0 -3 0",
    "syscall keyctl 1 0",
    "syscall keyctl 11 -3 0 0",
    "syscall add_key s:user s:name s:payload 7 -3",
    "syscall request_key s:user s:name 0 -3",
    // Other processes and other views.
    "syscall process_vm_readv 1 0 0 0 0 0",
    "syscall process_vm_writev 1 0 0 0 0 0",
    "syscall pidfd_getfd -1 0 0",
    "syscall open_by_handle_at -1 z:136 0",
    "syscall kcmp 1 1 0 0 0",
    // The machine.
    "syscall syslog 3 z:64 64",
    "syscall swapon s:/nothing 0",
    "syscall swapoff s:/nothing",
    "syscall reboot 0 0 0 0",
    "syscall settimeofday z:16 0",
    "syscall clock_settime 0 z:16",
    "syscall acct s:/nothing",
    "syscall quotactl 0 0 0 0",
    "syscall quotactl_fd 0 0 0 0",
    "syscall sethostname s:evil 4",
    "syscall setdomainname s:evil 4",
    "syscall vhangup",
    // Execution domains other than Linux.
    "syscall personality 8",
    "syscall personality 0x0400000",
    // Sockets of families that lead to the hypervisor, the crypto API or the wire.
    "socket vsock stream",
    "socket alg seqpacket",
    "socket packet raw 3",
    "socket netlink raw 4",
    "socket netlink raw 16",
    "socket netlink raw 9",
    // Tracing what is not a child.
    "ptrace-attach 1",
    "ptrace-seize 1",
];

/// Refused with ENOSYS, so that libraries take their fall-back.
const ENOSYS: [&str; 4] = [
    "syscall clone3 z:64 64",
    "syscall openat2 -100 s:/etc/passwd z:24 24",
    // Above the newest known number, where tomorrow's kernels have calls that nobody judged.
    "syscall 900",
    "syscall 0x3fffffff",
];

/// The twins: what real programs need.
const ALLOWED: [&str; 38] = [
    "syscall getpid",
    "syscall unshare 0x00000200",
    "clone 0",
    "vfork",
    "syscall personality 0xffffffff",
    "syscall personality 0",
    "syscall personality 0x0040000",
    "socket unix stream",
    "socket unix dgram",
    "socket unix seqpacket",
    "socket inet stream",
    "socket inet dgram",
    "socket inet6 stream",
    "socket netlink raw 0",
    "socketpair",
    "sockopts",
    "serve-self 127.0.0.1:0",
    "serve-self [::1]:0",
    "sendfd-self /etc/passwd",
    "inotify-see /tmp",
    "inotify 8",
    "ptrace-child",
    "tsync-filter",
    "landlock-abi",
    "syscall memfd_create s:x 0",
    "memfd-exec /bin/true",
    "syscall eventfd2 0 0",
    "syscall timerfd_create 1 0",
    "syscall epoll_create1 0",
    "syscall membarrier 0 0 0",
    "syscall sched_setaffinity 0 8 q:1",
    "syscall prlimit64 0 7 0 z:16",
    "syscall getrandom z:16 16 0",
    "syscall statx -100 s:/etc/passwd 0 0xfff z:256",
    "syscall mknodat -100 s:fifo 0o10600 0",
    "kill 0 0",
    "threads 16",
    "fork-bomb 30",
];

fn names(answers: &[Value]) -> Vec<String> {
    let name = |a: &Value| match (&a["ok"], &a["signal"]) {
        (Value::Bool(true), _) => "ok".to_owned(),
        (_, Value::Number(n)) => format!("signal {n}"),
        _ => a["name"].as_str().unwrap_or("?").to_owned(),
    };
    answers.iter().map(name).collect()
}

#[test]
fn every_rule_refuses_with_its_errno() {
    let full = TestBox::new();
    let alone = TestBox::new().off(&[Layer::Landlock]);
    for (rows, errno) in [(&EPERM[..], "EPERM"), (&ENOSYS[..], "ENOSYS")] {
        for b in [&full, &alone] {
            for (row, name) in rows.iter().zip(names(&b.batch(rows))) {
                assert_eq!(name, errno, "{row}");
            }
        }
    }
}

/// What the filter adds: without it the answers of the kernel are others, wherever nothing but the filter refuses.
#[test]
fn without_the_filter_the_kernel_answers_otherwise() {
    let b = TestBox::new().off(&[Layer::Landlock, Layer::Seccomp]);
    let only_the_filter = [
        "syscall fsconfig -1 6 0 0 0",
        "syscall io_uring_setup 4 z:120",
        "syscall userfaultfd 1",
        "syscall bpf 5 z:64 64",
        "syscall keyctl 0 -3 0",
        "syscall add_key s:user s:name s:payload 7 -3",
        "syscall process_vm_readv 1 0 0 0 0 0",
        "syscall pidfd_getfd -1 0 0",
        "syscall personality 8",
        "socket alg seqpacket",
        "syscall kcmp 1 1 0 0 0",
        "syscall openat2 -100 s:/etc/passwd z:24 24",
        "syscall unshare 0x10000000",
    ];
    let answers = b.batch(&only_the_filter);
    let changed = only_the_filter.iter().zip(names(&answers));
    let same: Vec<_> = changed
        .filter(|(row, name)| match row.split(' ').nth(1) {
            Some("openat2") => name == "ENOSYS",
            _ => name == "EPERM",
        })
        .map(|(row, _)| row)
        .collect();
    // bpf and userfaultfd may be root's by sysctl, kcmp of pid 1 is judged as ptrace, the others are everybody's.
    assert!(same.len() <= 4, "refused without the filter too: {same:?}");
}

#[test]
fn what_programs_need_is_open() {
    for (row, name) in ALLOWED.iter().zip(names(&TestBox::new().batch(&ALLOWED))) {
        assert_eq!(name, "ok", "{row}");
    }
}

/// User namespaces have a second wall: the limit of the box's own namespace.
#[test]
fn user_namespaces_are_refused_twice() {
    let b = TestBox::new();
    b.probe("userns-mount /etc /mnt")
        .denied(Errno::EPERM, Layer::Seccomp);
    let without = TestBox::new().off(&[Layer::Landlock, Layer::Seccomp]);
    without
        .probe("syscall unshare 0x10000000")
        .refused(Errno::ENOSPC);
    without
        .probe("userns-mount /etc /mnt")
        .refused(Errno::ENOSPC);
    assert_eq!(TestBox::new().outside("true").json()["ok"], true);
}

/// A foreign architecture has other numbers: 21 is mount, 120 is clone and 20 getpid there.
#[cfg(target_arch = "x86_64")]
#[test]
fn int80_kills() {
    let b = TestBox::new();
    b.probe("syscall getpid").allowed();
    b.probe("int80 20").killed(libc::SIGSYS);
    b.probe("int80 21").killed(libc::SIGSYS);
    // The kernel itself may lack 32-bit calls (IA32_EMULATION off): then the twin says ENOSYS.
    let twin = TestBox::new()
        .off(&[Layer::Seccomp])
        .run(b.probe_words("int80 20"));
    assert!(twin.code() == 0 || twin.code() == 139, "{twin:?}");
}

/// agentsh C2: x32 numbers pass a filter that tests the architecture only (it is the same).
#[cfg(target_arch = "x86_64")]
#[test]
fn x32_is_unknown() {
    let b = TestBox::new();
    for number in [39, 165, 101, 272, 56, 59, 512, 520, 547] {
        b.probe(&format!("x32 {number}")).refused(Errno::ENOSYS);
    }
    b.probe("syscall 39").allowed();
}

/// A thread without namespaces is fine by clone; clone3 hides its flags in memory (sandlock#240).
#[test]
fn clone3_is_unknown_and_threads_work() {
    let b = TestBox::new();
    b.probe("syscall clone3 z:88 88")
        .denied(Errno::ENOSYS, Layer::Seccomp);
    b.probe("threads 50").allowed();
    if !missing(Feature::Tool("python3")) {
        let ran = b.run(["python3", "-c", "import threading; t=[threading.Thread(target=print, args=(i,)) for i in range(20)]; [x.start() for x in t]; [x.join() for x in t]"]);
        assert_eq!(ran.ok().lines().count(), 20);
    }
}

/// io_uring opens and connects without openat and connect (nono, CVE-2023-2598 and a dozen of its kind).
#[test]
fn io_uring_is_not_to_be_had() {
    TestBox::new()
        .probe("io-uring-open")
        .denied_deep(Errno::EPERM, Layer::Seccomp);
    TestBox::new()
        .probe("userfaultfd-dev")
        .refused(Errno::ENOENT);
}

/// The upper half of a register that the kernel does not look at (CVE-2019-10063, flatpak's TIOCSTI).
#[test]
fn upper_halves_do_not_help() {
    let b = TestBox::new();
    b.probe("syscall socket 0x100000001 1 0").allowed();
    let rows = [
        "syscall socket 0x100000028 1 0",
        "syscall socket 0x100000026 5 0",
        "syscall ioctl 0 0x100005412 s:x",
        "syscall ioctl 0 0xffffffff00005412 s:x",
        "syscall ioctl 0 0x10000541c s:x",
        "syscall unshare 0x110000000",
        "syscall fchmodat -100 s:f 0x1000009ed 0",
        "syscall personality 0x100000008",
    ];
    for (row, name) in rows.iter().zip(names(&b.batch(&rows))) {
        assert_eq!(name, "EPERM", "{row}");
    }
}

#[test]
fn answers_of_the_batch_are_those_of_single_runs() {
    let b = TestBox::new();
    for row in [
        "syscall mount s:none s:/tmp s:tmpfs 0 0",
        "socket vsock stream",
        "syscall bpf 0 z:64 64",
    ] {
        assert_eq!(errno_of(&b.probe(row).value()), Some(Errno::EPERM), "{row}");
    }
}
