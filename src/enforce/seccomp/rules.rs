//! The rules of the filter: one table, which is also the test table. A call that is not named here is allowed as far as
//! it is known ([`NEWEST`]); a newer one does not exist (ENOSYS), because nobody has judged it yet.
//!
//! Left alone on purpose, with the reason:
//!
//! - `ptrace`: strace, gdb, rr and LeakSanitizer attach to children, siblings and even parents, and the filter cannot see
//!   whose pid a number is. Processes outside the box have no pid in it, init is not dumpable, and Landlock lets a process
//!   trace only what is in its own domain or below. A tracee's changed call is still judged by the tracee's filter.
//! - `seccomp`, `prctl`, `landlock_*`: a program may confine itself further (Chromium, agents' own sandboxes). A filter
//!   that is added can only take away.
//! - `statmount`, `listmount`: they show what /proc/self/mountinfo shows.
//! - `kcmp`, `move_pages`, `migrate_pages`, `process_madvise`, `process_mrelease`, `pidfd_open`, `pidfd_send_signal`: they
//!   ask the kernel's ptrace or kill check, which ends at the box; the JVM, Mesa and agents use them.
//! - `mkdir`: the kernel drops set-id bits from its mode.

#![forbid(unsafe_code)]

pub use super::arms::{Action, Arm, Cond, Half, Rule, Test};
use super::arms::{
    CHMOD_1, CHMOD_2, CLONE_NEW, DONE, EINVAL, ENOSYS, EPERM, MKNOD_1, MKNOD_2, OPEN, OPENAT,
    S_ISGID, S_ISUID, SOCKET, UNSHARE_HARMLESS, high, low,
};

/// The newest system call that was judged when this table was written (`file_setattr`, Linux 6.17), on both machines.
pub const NEWEST: u32 = 469;

/// A number that is no system call. The filter answers it with [`TELLTALE_ERRNO`], so that init can prove by use that
/// this very filter is in force, and not one that a container has put around everything.
pub const TELLTALE: u32 = 0x2a6e_7b0c;

/// No kernel call fails with it.
pub const TELLTALE_ERRNO: u16 = 1502;

/// A call that is refused whatever its arguments are. 0 = the machine does not have it (call 0 is read or io_setup).
const fn never(name: &'static str, x86_64: u32, aarch64: u32, why: &'static str) -> Rule {
    with(name, x86_64, aarch64, &[], EPERM, why)
}

/// A call that does not exist.
const fn absent(name: &'static str, x86_64: u32, aarch64: u32, why: &'static str) -> Rule {
    with(name, x86_64, aarch64, &[], ENOSYS, why)
}

const fn with(
    name: &'static str,
    x86_64: u32,
    aarch64: u32,
    arms: &'static [Arm],
    otherwise: Action,
    why: &'static str,
) -> Rule {
    const fn number(n: u32) -> Option<u32> {
        if n == 0 { None } else { Some(n) }
    }
    Rule {
        name,
        x86_64: number(x86_64),
        aarch64: number(aarch64),
        arms,
        otherwise,
        why,
    }
}

/// getrlimit(2), on both machines.
const RLIMIT_CORE: u32 = 4;
const CORE: &str = "at a core limit of 0 a crash starts the host's core_pattern program as root, at the box's 1 it does not; who asks for no core has none";

const INIT: &str = "init's death is the end of the box, and has to wait for its turn: idle and behind thousands of others that is minutes";
/// The process of the first argument is init.
const OF_INIT: Arm = Arm {
    when: &[low(0, Test::OneOf(!0, &[1]))],
    then: EPERM,
};

const MOUNT: &str = "mount API: the view is built, nothing in the box may change it";
const KEYS: &str = "kernel keyrings are shared beyond namespaces and hold the user's keys";
const URING: &str =
    "io_uring makes calls that no filter sees, and is the kernel's largest attack surface";
const MODULE: &str = "kernel modules";
const CLOCK: &str = "sets the clock of the machine (reading it this way is for NTP daemons only)";
const SETID: &str = "a set-uid file in the workspace outlives the box and gives its owner's rights to whoever runs it";
const DEVICE: &str =
    "a set-id file outlives the box; a device node in the workspace is a way to the disk";
const HANDLE: &str =
    "opens by handle go past every path: mounts, masks, Landlock (the shocker escape)";
const MEMORY: &str = "reaches into another process without a trace stop; debuggers fall back to ptrace or /proc/PID/mem";
const KEXEC: &str = "starts another kernel";
const SWAP: &str = "swap areas of the machine";
const PORTS: &str = "I/O ports of the machine";
const OLD: &str = "removed from the kernel or privileged; no program of today calls it";
const QUOTA: &str = "quotas of the host's file systems";
const NAMES: &str = "the host name belongs to who built the box";

/// The rules, sorted by name.
pub const RULES: &[Rule] = &[
    never(
        "acct",
        163,
        89,
        "writes a record of every process of the machine to a file",
    ),
    never("add_key", 248, 217, KEYS),
    never("adjtimex", 159, 171, CLOCK),
    never("bpf", 321, 280, "loads programs into the kernel"),
    with("chmod", 90, 0, CHMOD_1, Action::Allow, SETID),
    never(
        "chroot",
        161,
        51,
        "changes the view; needs a capability that nothing in the box has",
    ),
    never("clock_adjtime", 305, 266, CLOCK),
    never("clock_settime", 227, 112, CLOCK),
    with(
        "clone",
        56,
        220,
        &[Arm {
            when: &[low(0, Test::AnyBit(CLONE_NEW))],
            then: EPERM,
        }],
        Action::Allow,
        "a new user namespace has every capability in itself, and with it most of the kernel's attack surface",
    ),
    absent(
        "clone3",
        435,
        435,
        "its flags lie in memory, where no filter can read them; ENOSYS makes libc, Go and Chromium use clone",
    ),
    with(
        "creat",
        85,
        0,
        &[Arm {
            when: &[low(1, Test::AnyBit(S_ISUID | S_ISGID))],
            then: EPERM,
        }],
        Action::Allow,
        SETID,
    ),
    never("delete_module", 176, 106, MODULE),
    never(
        "fanotify_init",
        300,
        262,
        "its events carry open descriptors, and its listeners are a limit of the user's",
    ),
    with("fchmod", 91, 52, CHMOD_1, Action::Allow, SETID),
    with("fchmodat", 268, 53, CHMOD_2, Action::Allow, SETID),
    with("fchmodat2", 452, 452, CHMOD_2, Action::Allow, SETID),
    with(
        "fcntl",
        72,
        25,
        &[Arm {
            // F_SETLEASE, F_SETDELEG: as on a file system that has neither.
            when: &[low(1, Test::OneOf(!0, &[1024, 1040]))],
            then: EINVAL,
        }],
        Action::Allow,
        "a lease holds every program of the host that opens the file, for 45 s as a rule and as often as it likes",
    ),
    never("finit_module", 313, 273, MODULE),
    never("fsconfig", 431, 431, MOUNT),
    never("fsmount", 432, 432, MOUNT),
    never("fsopen", 430, 430, MOUNT),
    never("fspick", 433, 433, MOUNT),
    never("init_module", 175, 105, MODULE),
    // Not by `absent`: on aarch64 it is call 0.
    Rule {
        name: "io_setup",
        x86_64: Some(206),
        aarch64: Some(0),
        arms: &[],
        otherwise: ENOSYS,
        why: "its events come out of one pot for the whole machine (fs.aio-max-nr); databases and nginx go on without",
    },
    never("io_uring_enter", 426, 426, URING),
    never("io_uring_register", 427, 427, URING),
    never("io_uring_setup", 425, 425, URING),
    with(
        "ioctl",
        16,
        29,
        &[Arm {
            // TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD; BTRFS_IOC_SNAP_CREATE and its second version,
            // BTRFS_IOC_SNAP_DESTROY_V2; FS_IOC_ADD_ENCRYPTION_KEY,
            // FS_IOC_REMOVE_ENCRYPTION_KEY and the same for all users.
            when: &[low(
                1,
                Test::OneOf(
                    !0,
                    &[
                        0x5412,
                        0x541c,
                        0x541d,
                        0x5423,
                        0x5000_9401,
                        0x5000_9417,
                        0x5000_943f,
                        0xc040_6618,
                        0xc040_6619,
                        0xc050_6617,
                    ],
                ),
            )],
            then: EPERM,
        }],
        Action::Allow,
        "types into the terminal of who started the box, takes the console, loads line disciplines; a btrfs snapshot of a subvolume shows what no mount of the box does, and one is deleted by its number wherever it is; the key of an encrypted home belongs to the file system and not to a mount",
    ),
    never("ioperm", 173, 0, PORTS),
    never("iopl", 172, 0, PORTS),
    never("kexec_file_load", 320, 294, KEXEC),
    never("kexec_load", 246, 104, KEXEC),
    never("keyctl", 250, 219, KEYS),
    never("lookup_dcookie", 212, 18, OLD),
    with("mknod", 133, 0, MKNOD_1, Action::Allow, DEVICE),
    with("mknodat", 259, 33, MKNOD_2, Action::Allow, DEVICE),
    never(
        "modify_ldt",
        154,
        0,
        "a rich source of kernel bugs, used by 16-bit programs",
    ),
    never("mount", 165, 40, MOUNT),
    never("mount_setattr", 442, 442, MOUNT),
    never("move_mount", 429, 429, MOUNT),
    never("name_to_handle_at", 303, 264, HANDLE),
    never("nfsservctl", 180, 42, OLD),
    with("open", 2, 0, OPEN, Action::Allow, SETID),
    never("open_by_handle_at", 304, 265, HANDLE),
    never("open_tree", 428, 428, MOUNT),
    never("open_tree_attr", 467, 467, MOUNT),
    with("openat", 257, 56, OPENAT, Action::Allow, SETID),
    absent(
        "openat2",
        437,
        437,
        "its mode lies in memory, where no filter can read it; ENOSYS makes programs use openat (systemd's RestrictSUIDSGID= does the same)",
    ),
    never(
        "perf_event_open",
        298,
        241,
        "samples the kernel and the processes of the machine",
    ),
    with(
        "personality",
        135,
        92,
        &[Arm {
            // PER_LINUX, ADDR_NO_RANDOMIZE (gdb, setarch -R, sanitizers), the query.
            when: &[low(0, Test::OneOf(!0, &[0, 0x0004_0000, 0xffff_ffff]))],
            then: Action::Allow,
        }],
        EPERM,
        "other personalities weaken memory protection (READ_IMPLIES_EXEC, MMAP_PAGE_ZERO)",
    ),
    never(
        "pidfd_getfd",
        438,
        438,
        "takes a descriptor out of another process",
    ),
    never("pivot_root", 155, 41, MOUNT),
    with(
        "prlimit64",
        302,
        261,
        &[
            OF_INIT,
            // With a new limit: the address of one is not null.
            Arm {
                when: &[
                    low(1, Test::OneOf(!0, &[RLIMIT_CORE])),
                    low(2, Test::AnyBit(!0)),
                ],
                then: DONE,
            },
            Arm {
                when: &[
                    low(1, Test::OneOf(!0, &[RLIMIT_CORE])),
                    high(2, Test::AnyBit(!0)),
                ],
                then: DONE,
            },
        ],
        Action::Allow,
        CORE,
    ),
    never("process_vm_readv", 310, 270, MEMORY),
    never("process_vm_writev", 311, 271, MEMORY),
    never("quotactl", 179, 60, QUOTA),
    never("quotactl_fd", 443, 443, QUOTA),
    never("reboot", 169, 142, "stops the machine"),
    with(
        "renameat2",
        316,
        276,
        &[Arm {
            // RENAME_WHITEOUT.
            when: &[low(4, Test::AnyBit(4))],
            then: EPERM,
        }],
        Action::Allow,
        "a whiteout is a character device, and stays in the working copy",
    ),
    never("request_key", 249, 218, KEYS),
    with(
        "sched_setaffinity",
        203,
        122,
        &[OF_INIT],
        Action::Allow,
        INIT,
    ),
    with("sched_setattr", 314, 274, &[OF_INIT], Action::Allow, INIT),
    with("sched_setparam", 142, 118, &[OF_INIT], Action::Allow, INIT),
    with(
        "sched_setscheduler",
        144,
        119,
        &[OF_INIT],
        Action::Allow,
        INIT,
    ),
    never("setdomainname", 171, 162, NAMES),
    never("sethostname", 170, 161, NAMES),
    never("setns", 308, 268, "joins another namespace"),
    with(
        "setpriority",
        141,
        140,
        &[
            Arm {
                when: &[low(0, Test::OneOf(!0, &[0])), low(1, Test::OneOf(!0, &[1]))],
                then: EPERM,
            },
            // PRIO_PROCESS: groups can be joined, and all processes of the user are init, too.
            Arm {
                when: &[low(0, Test::OneOf(!0, &[0]))],
                then: Action::Allow,
            },
        ],
        EPERM,
        INIT,
    ),
    with(
        "setrlimit",
        160,
        164,
        &[Arm {
            when: &[low(0, Test::OneOf(!0, &[RLIMIT_CORE]))],
            then: DONE,
        }],
        Action::Allow,
        CORE,
    ),
    never("settimeofday", 164, 170, CLOCK),
    with(
        "socket",
        41,
        198,
        SOCKET,
        EPERM,
        "AF_VSOCK is a channel to the hypervisor past every namespace; AF_ALG, AF_PACKET, AF_KEY and the other families are attack surface",
    ),
    with(
        "socketpair",
        53,
        199,
        &[Arm {
            // AF_INET and AF_INET6 get the kernel's own EOPNOTSUPP.
            when: &[low(0, Test::OneOf(!0, &[1, 2, 10]))],
            then: Action::Allow,
        }],
        EPERM,
        "the other families are loaded as modules even when they have no pairs",
    ),
    never("swapoff", 168, 225, SWAP),
    never("swapon", 167, 224, SWAP),
    never(
        "syslog",
        103,
        116,
        "the kernel's log shows addresses and what the host does",
    ),
    never("umount2", 166, 39, MOUNT),
    with(
        "unshare",
        272,
        97,
        &[Arm {
            // A list of what is harmless and not of what is not: new kernels put new flags here.
            when: &[
                low(0, Test::OneOf(!UNSHARE_HARMLESS, &[0])),
                high(0, Test::OneOf(!0, &[0])),
            ],
            then: Action::Allow,
        }],
        EPERM,
        "a new user namespace has every capability in itself, and with it most of the kernel's attack surface",
    ),
    never("uselib", 134, 0, OLD),
    never(
        "userfaultfd",
        323,
        282,
        "holds the kernel inside a copy from user memory: the tool of race exploits",
    ),
    never("vhangup", 153, 58, "hangs up the terminal"),
];
