//! What a rule of the filter is made of, and the conditions on arguments that the table of [`rules`](super::rules) uses.

#![forbid(unsafe_code)]

/// What the filter answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The call goes on to the kernel's own checks.
    Allow,
    /// The call fails with this errno, without having been looked at.
    Errno(u16),
    /// The whole process dies by SIGSYS.
    Kill,
    /// The call waits, and who listens to the filter answers it (seccomp_unotify(2)); nobody there is ENOSYS.
    Ask,
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy)]
pub struct Cond {
    /// The index of the argument, 0 to 5.
    pub arg: u8,
    /// Which half of it. Nearly always the low one: the kernel takes `int`, `unsigned int` or `umode_t` and ignores the
    /// upper half, so a comparison of 64 bits could be evaded by garbage there (CVE-2019-10063, TIOCSTI).
    pub half: Half,
    /// What is asked of it.
    pub test: Test,
}

/// A half of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Bits 0 to 31.
    Low,
    /// Bits 32 to 63.
    High,
}

/// What is asked of a half of an argument.
#[derive(Debug, Clone, Copy)]
pub enum Test {
    /// `(value & mask) != 0`.
    AnyBit(u32),
    /// `(value & mask)` is one of these.
    OneOf(u32, &'static [u32]),
}

/// If all of `when` hold, then `then`.
#[derive(Debug, Clone, Copy)]
pub struct Arm {
    /// All must hold.
    pub when: &'static [Cond],
    /// The answer.
    pub then: Action,
}

/// What happens to one system call.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The call's name as in the manual.
    pub name: &'static str,
    /// Its number on x86_64.
    pub x86_64: Option<u32>,
    /// Its number on aarch64.
    pub aarch64: Option<u32>,
    /// The first one that holds decides.
    pub arms: &'static [Arm],
    /// The answer if none holds.
    pub otherwise: Action,
    /// Why.
    pub why: &'static str,
}

/// The call does nothing and succeeds.
pub(super) const DONE: Action = Action::Errno(0);
pub(super) const EPERM: Action = Action::Errno(1);
pub(super) const EINVAL: Action = Action::Errno(22);
pub(super) const ENOSYS: Action = Action::Errno(38);
pub(super) const EPROTONOSUPPORT: Action = Action::Errno(93);

pub(super) const S_ISUID: u32 = 0o4000;
pub(super) const S_ISGID: u32 = 0o2000;
pub(super) const S_IFMT: u32 = 0o170_000;
pub(super) const S_IFCHR: u32 = 0o020_000;
pub(super) const S_IFBLK: u32 = 0o060_000;
pub(super) const O_CREAT: u32 = 0o100;
/// The bit of O_TMPFILE that is not O_DIRECTORY.
pub(super) const O_TMPFILE: u32 = 0o20_000_000;

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. CLONE_NEWTIME (0x80) lies in the byte that is the exit
/// signal for clone(2): it cannot be given there.
pub(super) const CLONE_NEW: u32 =
    0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;
/// CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM: what unshare(2) takes besides namespaces.
pub(super) const UNSHARE_HARMLESS: u32 =
    0x0000_0100 | 0x0000_0200 | 0x0000_0400 | 0x0000_0800 | 0x0001_0000 | 0x0004_0000;

pub(super) const fn low(arg: u8, test: Test) -> Cond {
    Cond {
        arg,
        half: Half::Low,
        test,
    }
}

pub(super) const fn high(arg: u8, test: Test) -> Cond {
    Cond {
        arg,
        half: Half::High,
        test,
    }
}

/// chmod: set-uid only. Set-gid is what `git init --shared`, `cp -a` and chmod(1) itself keep on directories, and the type
/// is not known here; a set-gid *file* is left to the sweep at the end.
pub(super) const CHMOD_1: &[Arm] = &[Arm {
    when: &[low(1, Test::AnyBit(S_ISUID))],
    then: EPERM,
}];
pub(super) const CHMOD_2: &[Arm] = &[Arm {
    when: &[low(2, Test::AnyBit(S_ISUID))],
    then: EPERM,
}];
pub(super) const MKNOD_1: &[Arm] = &[
    Arm {
        when: &[low(1, Test::AnyBit(S_ISUID | S_ISGID))],
        then: EPERM,
    },
    Arm {
        when: &[low(1, Test::OneOf(S_IFMT, &[S_IFCHR, S_IFBLK]))],
        then: EPERM,
    },
];
pub(super) const MKNOD_2: &[Arm] = &[
    Arm {
        when: &[low(2, Test::AnyBit(S_ISUID | S_ISGID))],
        then: EPERM,
    },
    Arm {
        when: &[low(2, Test::OneOf(S_IFMT, &[S_IFCHR, S_IFBLK]))],
        then: EPERM,
    },
];
/// The mode is garbage unless the call may create a file.
pub(super) const OPEN: &[Arm] = &[Arm {
    when: &[
        low(1, Test::AnyBit(O_CREAT | O_TMPFILE)),
        low(2, Test::AnyBit(S_ISUID | S_ISGID)),
    ],
    then: EPERM,
}];
pub(super) const OPENAT: &[Arm] = &[Arm {
    when: &[
        low(2, Test::AnyBit(O_CREAT | O_TMPFILE)),
        low(3, Test::AnyBit(S_ISUID | S_ISGID)),
    ],
    then: EPERM,
}];
/// AF_UNIX; AF_INET and AF_INET6 as SOCK_STREAM or SOCK_DGRAM with the protocols that programs use (default, ICMP, TCP,
/// UDP, ICMPv6, MPTCP: Go listens with it); AF_NETLINK as NETLINK_ROUTE.
/// SCTP, DCCP, SMC, L2TP and UDP-Lite are modules that a bare socket(2) loads: they answer as on a kernel without them.
pub(super) const SOCKET: &[Arm] = &[
    Arm {
        when: &[low(0, Test::OneOf(!0, &[1]))],
        then: Action::Allow,
    },
    Arm {
        when: &[
            low(0, Test::OneOf(!0, &[2, 10])),
            low(1, Test::OneOf(0xf, &[1, 2])),
            low(2, Test::OneOf(!0, &[0, 1, 6, 17, 58, 262])),
        ],
        then: Action::Allow,
    },
    Arm {
        when: &[
            low(0, Test::OneOf(!0, &[2, 10])),
            low(1, Test::OneOf(0xf, &[1, 2])),
        ],
        then: EPROTONOSUPPORT,
    },
    Arm {
        when: &[
            low(0, Test::OneOf(!0, &[16])),
            low(2, Test::OneOf(!0, &[0])),
        ],
        then: Action::Allow,
    },
];
