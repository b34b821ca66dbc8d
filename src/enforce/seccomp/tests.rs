//! The table is the test table: an interpreter runs the program over every number and the interesting arguments and
//! compares with a direct reading of the rules; then the kernel is asked.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::compile::{Arch, CompileError, compile};
use super::rules::*;
use libc::sock_filter;
use std::collections::BTreeSet;

pub(super) const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

/// A direct reading of the rules, without a program.
pub(super) fn judge(arch: Arch, number: u32, args: [u64; 6]) -> Action {
    if number == TELLTALE {
        return Action::Errno(TELLTALE_ERRNO);
    }
    if number > NEWEST {
        return Action::Errno(38);
    }
    let Some(rule) = RULES.iter().find(|r| arch.number(r) == Some(number)) else {
        return Action::Allow;
    };
    let holds = |cond: &Cond| {
        let arg = args[usize::from(cond.arg)];
        let half = match cond.half {
            Half::Low => arg & 0xffff_ffff,
            Half::High => arg >> 32,
        };
        match cond.test {
            Test::AnyBit(mask) => half & u64::from(mask) != 0,
            Test::OneOf(mask, values) => values
                .iter()
                .any(|v| half & u64::from(mask) == u64::from(*v)),
        }
    };
    let arm = rule.arms.iter().find(|arm| arm.when.iter().all(holds));
    arm.map_or(rule.otherwise, |arm| arm.then)
}

/// What a program answers, and how many instructions that took. Only what the kernel accepts is known here.
pub(super) fn run(program: &[sock_filter], audit: u32, number: u32, args: [u64; 6]) -> (u32, u32) {
    let mut data = Vec::with_capacity(64);
    data.extend(number.to_le_bytes());
    data.extend(audit.to_le_bytes());
    data.extend(0x1234_5678_9abc_def0_u64.to_le_bytes());
    args.iter().for_each(|arg| data.extend(arg.to_le_bytes()));
    let (mut a, mut pc, mut steps) = (0_u32, 0_usize, 0);
    loop {
        steps += 1;
        let i = program[pc];
        pc += 1;
        let mut branch = |yes: bool| pc += usize::from(if yes { i.jt } else { i.jf });
        match i.code {
            0x20 => {
                let at = usize::try_from(i.k).unwrap();
                assert!(at.is_multiple_of(4) && at < 64, "a load at {at}");
                a = u32::from_le_bytes(data[at..at + 4].try_into().unwrap());
            }
            0x54 => a &= i.k,
            0x05 => pc += usize::try_from(i.k).unwrap(),
            0x15 => branch(a == i.k),
            0x25 => branch(a > i.k),
            0x35 => branch(a >= i.k),
            0x45 => branch(a & i.k != 0),
            0x06 => return (i.k, steps),
            code => panic!("the operation {code:#x} at {}", pc - 1),
        }
    }
}

pub(super) fn answer(action: Action) -> u32 {
    match action {
        Action::Allow => 0x7fff_0000,
        Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
        Action::Kill => 0x8000_0000,
        Action::Ask => 0x7fc0_0000,
    }
}

/// Values that matter for one argument of one rule: each that is named, its neighbours, single bits of each mask, all with
/// and without garbage in the upper half.
fn values(rule: &Rule, index: u8) -> Vec<u64> {
    let mut low: BTreeSet<u32> = [0, 1, u32::MAX, 0o644, 0o100_644].into();
    let mut wide: BTreeSet<u64> = BTreeSet::new();
    for cond in rule.arms.iter().flat_map(|arm| arm.when) {
        if cond.arg != index {
            continue;
        }
        let (mask, named) = match cond.test {
            Test::AnyBit(mask) => (mask, &[][..]),
            Test::OneOf(mask, named) => (mask, named),
        };
        low.extend([mask, !mask]);
        for bit in (0..32).map(|n| 1_u32 << n) {
            // Every bit of a narrow mask; of a wide one those at its ends and each third.
            if mask.count_ones() < 8 && mask & bit != 0 || bit.trailing_zeros() % 3 == 0 {
                low.insert(bit);
            }
        }
        for value in named {
            low.extend([*value, value ^ 1, value.wrapping_add(1), value | !mask]);
        }
    }
    for value in low {
        let value = u64::from(value);
        wide.extend([value, value | 0xdead_beef_0000_0000, value << 32]);
    }
    wide.into_iter().collect()
}

/// Argument lists for a rule: every pair of interesting values of the arguments it asks for.
pub(super) fn cases(rule: &Rule) -> Vec<[u64; 6]> {
    let asked: BTreeSet<u8> = rule
        .arms
        .iter()
        .flat_map(|arm| arm.when)
        .map(|cond| cond.arg)
        .collect();
    let mut lists = vec![[0_u64; 6], [u64::MAX; 6], [0x5555_5555_5555_5555; 6]];
    for one in &asked {
        for two in asked.iter().filter(|two| *two >= one) {
            for x in values(rule, *one) {
                for y in values(rule, *two) {
                    // The arguments that are not varied hold what lets the most arms match.
                    for base in [
                        [0; 6],
                        [2, 1, 0, 0, 0, 0],
                        [10, 0o2_000_001, 6, 0, 0, 0],
                        [0, 0o101, 0o101, 0, 0, 0],
                    ] {
                        let mut list: [u64; 6] = base;
                        list[usize::from(*one)] = x;
                        list[usize::from(*two)] = y;
                        lists.push(list);
                    }
                }
            }
        }
    }
    lists.sort_unstable();
    lists.dedup();
    lists
}

#[test]
fn table_is_sorted_and_complete() {
    for pair in RULES.windows(2) {
        assert!(
            pair[0].name < pair[1].name,
            "{} is out of order",
            pair[1].name
        );
    }
    for rule in RULES {
        assert!(rule.why.len() > 10, "{} has no reason", rule.name);
        assert!(
            rule.x86_64.is_some() || rule.aarch64.is_some(),
            "{} has no number",
            rule.name
        );
        for arm in rule.arms {
            assert!(
                !arm.when.is_empty(),
                "{} has an arm without a condition",
                rule.name
            );
            for cond in arm.when {
                if let Test::OneOf(mask, values) = cond.test {
                    assert!(!values.is_empty(), "{} asks for nothing", rule.name);
                    for value in values {
                        assert_eq!(value & !mask, 0, "{}: {value:#x} can never be", rule.name);
                    }
                }
            }
        }
        // A rule that only allows is no rule.
        let answers: Vec<Action> = rule
            .arms
            .iter()
            .map(|a| a.then)
            .chain([rule.otherwise])
            .collect();
        assert!(
            answers.iter().any(|a| *a != Action::Allow),
            "{} denies nothing",
            rule.name
        );
    }
}

/// Everything the issue names has a rule.
#[test]
fn nothing_is_forgotten() {
    for name in [
        "mount",
        "umount2",
        "move_mount",
        "open_tree",
        "open_tree_attr",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "mount_setattr",
        "pivot_root",
        "chroot",
        "clone",
        "unshare",
        "setns",
        "bpf",
        "add_key",
        "request_key",
        "keyctl",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "userfaultfd",
        "perf_event_open",
        "kexec_load",
        "kexec_file_load",
        "init_module",
        "finit_module",
        "delete_module",
        "open_by_handle_at",
        "name_to_handle_at",
        "pidfd_getfd",
        "process_vm_readv",
        "process_vm_writev",
        "syslog",
        "swapon",
        "swapoff",
        "reboot",
        "settimeofday",
        "clock_settime",
        "adjtimex",
        "clock_adjtime",
        "acct",
        "iopl",
        "ioperm",
        "quotactl",
        "quotactl_fd",
        "modify_ldt",
        "personality",
        "ioctl",
        "socket",
        "socketpair",
        "chmod",
        "fchmod",
        "fchmodat",
        "fchmodat2",
        "open",
        "openat",
        "creat",
        "mknod",
        "mknodat",
        "clone3",
        "openat2",
        "fanotify_init",
        "vhangup",
        "sethostname",
        "setdomainname",
    ] {
        assert!(RULES.iter().any(|r| r.name == name), "{name} has no rule");
    }
}

#[test]
fn program_says_what_the_table_says() {
    for arch in ARCHES {
        let program = compile(RULES, arch).unwrap();
        let mut checked = 0_u64;
        let numbers = (0..=600)
            .chain([TELLTALE - 1, TELLTALE, TELLTALE + 1, 0x3fff_ffff, u32::MAX])
            // x32: every number again with its bit.
            .chain((0..=600).map(|n| n | 0x4000_0000));
        for number in numbers {
            let rule = RULES.iter().find(|r| arch.number(r) == Some(number));
            let lists = rule.map_or_else(|| vec![[0; 6], [u64::MAX; 6]], cases);
            for args in lists {
                let expected = answer(judge(arch, number, args));
                let (found, _) = run(&program, arch.audit(), number, args);
                assert_eq!(
                    found,
                    expected,
                    "{arch:?} {number:#x} {:?} {args:x?}",
                    rule.map(|r| r.name)
                );
                checked += 1;
            }
        }
        assert!(checked > 50_000, "only {checked} cases");
    }
}

#[test]
fn foreign_architectures_are_killed() {
    for arch in ARCHES {
        let program = compile(RULES, arch).unwrap();
        // i386, the other machine, arm, big-endian aarch64, none.
        for audit in [
            0x4000_0003,
            0x4000_0028,
            0xc000_003e,
            0xc000_00b7,
            0x8000_00b7,
            0,
        ] {
            for number in (0..600).chain([TELLTALE, u32::MAX]) {
                let (found, _) = run(&program, audit, number, [0; 6]);
                assert_eq!(
                    found == answer(Action::Kill),
                    audit != arch.audit(),
                    "{audit:#x} {number}"
                );
            }
        }
    }
}

/// The kernel remembers in a bitmap what is allowed without a look at the arguments. A load of an argument on the way to
/// such a call would cost every call of every program.
#[test]
fn plain_calls_load_no_argument() {
    for arch in ARCHES {
        let program = compile(RULES, arch).unwrap();
        let mut deepest = 0;
        for number in 0..=NEWEST {
            let plain = RULES
                .iter()
                .all(|r| arch.number(r) != Some(number) || r.arms.is_empty());
            let mut poisoned = program.clone();
            // Each load of an argument becomes an answer that nothing else gives.
            for i in poisoned.iter_mut().filter(|i| i.code == 0x20 && i.k >= 16) {
                (i.code, i.k) = (0x06, 77);
            }
            let (found, steps) = run(&poisoned, arch.audit(), number, [0; 6]);
            assert_eq!(found == 77, !plain, "{arch:?} {number}");
            deepest = deepest.max(steps);
        }
        assert!(
            deepest <= 14,
            "{arch:?}: {deepest} instructions to an answer, the tree is not balanced"
        );
        assert!(
            program.len() <= 224,
            "{arch:?}: {} instructions",
            program.len()
        );
    }
}

const fn bare(name: &'static str, number: u32, arms: &'static [Arm]) -> Rule {
    Rule {
        name,
        x86_64: Some(number),
        aarch64: None,
        arms,
        otherwise: Action::Errno(1),
        why: "",
    }
}

#[test]
fn wrong_tables_are_refused() {
    static TWICE: &[Rule] = &[bare("a", 7, &[]), bare("b", 7, &[])];
    static NEW: &[Rule] = &[bare("a", NEWEST + 1, &[])];
    static ARG: &[Rule] = &[bare(
        "a",
        7,
        &[Arm {
            when: &[Cond {
                arg: 6,
                half: Half::Low,
                test: Test::AnyBit(1),
            }],
            then: Action::Allow,
        }],
    )];
    let number = 7;
    assert_eq!(
        compile(TWICE, Arch::X86_64).err(),
        Some(CompileError::Twice {
            number,
            first: "a",
            second: "b"
        })
    );
    assert_eq!(
        compile(NEW, Arch::X86_64).err(),
        Some(CompileError::TooNew {
            name: "a",
            number: NEWEST + 1
        })
    );
    assert_eq!(
        compile(ARG, Arch::X86_64).err(),
        Some(CompileError::Argument { name: "a", arg: 6 })
    );
    // The same number is free on the other machine.
    assert!(compile(TWICE, Arch::Aarch64).is_ok());
}

/// Long tables need jumps that a conditional one cannot reach.
#[test]
fn far_jumps_arrive() {
    let many: &'static [u32] = Box::leak((0..300).map(|i| 7 * i + 3).collect());
    let one_of = |arg, values| Cond {
        arg,
        half: Half::Low,
        test: Test::OneOf(0xffff, values),
    };
    let arms: &'static [Arm] = Box::leak(Box::new([Arm {
        when: Box::leak(Box::new([one_of(0, many), one_of(1, many)])),
        then: Action::Kill,
    }]));
    let rules: &'static [Rule] = Box::leak(Box::new([
        bare("a", 3, arms),
        bare("b", 9, arms),
        bare("c", 400, &[]),
    ]));
    let program = compile(rules, Arch::X86_64).unwrap();
    assert!(program.len() > 1200);
    let audit = Arch::X86_64.audit();
    for number in [0, 3, 4, 9, 10, 400, 401, NEWEST, NEWEST + 1] {
        for x in [0, 3, 4, 10, 2096, 2097] {
            for y in [0, 3, 10, 11, 2096] {
                let hit = |v| many.iter().any(|m| u64::from(*m) == v);
                let expected = match number {
                    3 | 9 if hit(x) && hit(y) => Action::Kill,
                    3 | 9 | 400 => Action::Errno(1),
                    n if n > NEWEST => Action::Errno(38),
                    _ => Action::Allow,
                };
                let (found, _) = run(&program, audit, number, [x, y, 0, 0, 0, 0]);
                assert_eq!(found, answer(expected), "{number} {x} {y}");
            }
        }
    }
}

/// The column of this machine against libc's numbers. libc has no number yet for `open_tree_attr`.
#[test]
fn numbers_are_libcs() {
    macro_rules! numbers {
        ($($name:ident = $sys:ident),* $(,)?) => { vec![$((stringify!($name), libc::$sys)),*] };
    }
    let mut known = numbers![
        acct = SYS_acct,
        add_key = SYS_add_key,
        adjtimex = SYS_adjtimex,
        bpf = SYS_bpf,
        chroot = SYS_chroot,
        clock_adjtime = SYS_clock_adjtime,
        clock_settime = SYS_clock_settime,
        clone = SYS_clone,
        clone3 = SYS_clone3,
        delete_module = SYS_delete_module,
        fanotify_init = SYS_fanotify_init,
        fchmod = SYS_fchmod,
        fchmodat = SYS_fchmodat,
        fcntl = SYS_fcntl,
        finit_module = SYS_finit_module,
        fsconfig = SYS_fsconfig,
        fsmount = SYS_fsmount,
        fsopen = SYS_fsopen,
        fspick = SYS_fspick,
        init_module = SYS_init_module,
        io_setup = SYS_io_setup,
        io_uring_enter = SYS_io_uring_enter,
        io_uring_register = SYS_io_uring_register,
        io_uring_setup = SYS_io_uring_setup,
        ioctl = SYS_ioctl,
        kexec_file_load = SYS_kexec_file_load,
        kexec_load = SYS_kexec_load,
        keyctl = SYS_keyctl,
        lookup_dcookie = SYS_lookup_dcookie,
        mknodat = SYS_mknodat,
        mount = SYS_mount,
        mount_setattr = SYS_mount_setattr,
        move_mount = SYS_move_mount,
        name_to_handle_at = SYS_name_to_handle_at,
        nfsservctl = SYS_nfsservctl,
        open_by_handle_at = SYS_open_by_handle_at,
        open_tree = SYS_open_tree,
        openat = SYS_openat,
        openat2 = SYS_openat2,
        perf_event_open = SYS_perf_event_open,
        personality = SYS_personality,
        pidfd_getfd = SYS_pidfd_getfd,
        pivot_root = SYS_pivot_root,
        prlimit64 = SYS_prlimit64,
        process_vm_readv = SYS_process_vm_readv,
        process_vm_writev = SYS_process_vm_writev,
        quotactl = SYS_quotactl,
        quotactl_fd = SYS_quotactl_fd,
        reboot = SYS_reboot,
        renameat2 = SYS_renameat2,
        request_key = SYS_request_key,
        sched_setaffinity = SYS_sched_setaffinity,
        sched_setattr = SYS_sched_setattr,
        sched_setparam = SYS_sched_setparam,
        sched_setscheduler = SYS_sched_setscheduler,
        setdomainname = SYS_setdomainname,
        sethostname = SYS_sethostname,
        setns = SYS_setns,
        setpriority = SYS_setpriority,
        setrlimit = SYS_setrlimit,
        settimeofday = SYS_settimeofday,
        socket = SYS_socket,
        socketpair = SYS_socketpair,
        swapoff = SYS_swapoff,
        swapon = SYS_swapon,
        syslog = SYS_syslog,
        umount2 = SYS_umount2,
        unshare = SYS_unshare,
        userfaultfd = SYS_userfaultfd,
        vhangup = SYS_vhangup,
    ];
    #[cfg(target_arch = "x86_64")]
    known.extend(numbers![
        chmod = SYS_chmod,
        creat = SYS_creat,
        fchmodat2 = SYS_fchmodat2,
        ioperm = SYS_ioperm,
        iopl = SYS_iopl,
        mknod = SYS_mknod,
        modify_ldt = SYS_modify_ldt,
        open = SYS_open,
        uselib = SYS_uselib,
    ]);
    let mut compared = 0;
    for rule in RULES {
        let Some(number) = Arch::NATIVE.number(rule) else {
            continue;
        };
        let libcs = known.iter().find(|(name, _)| *name == rule.name);
        match libcs {
            Some((name, libcs)) => {
                assert_eq!(libc::c_long::from(number), *libcs, "{name}");
                compared += 1;
            }
            None => assert!(
                ["open_tree_attr", "fchmodat2"].contains(&rule.name),
                "{} is not compared",
                rule.name
            ),
        }
    }
    assert_eq!(compared, known.len());
    // From 424 on, every machine has the same numbers.
    for rule in RULES.iter().filter(|r| r.x86_64 >= Some(424)) {
        assert_eq!(rule.x86_64, rule.aarch64, "{}", rule.name);
    }
}
