#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::policy::Origin;
use crate::sys::testing::forked;
use nix::sys::wait::WaitStatus;

pub(crate) fn limits(list: &[(LimitName, f64, LimitBy)]) -> Limits {
    Limits {
        list: list
            .iter()
            .map(|(name, value, by)| Limit {
                name: *name,
                value: *value,
                by: *by,
                meaning: String::new(),
                origin: Origin::agentbox("test"),
            })
            .collect(),
        stop_grace: 3.0,
    }
}

/// Runs in a child and wants it to answer 0; the number of the check that failed otherwise.
fn holds(work: impl FnOnce() -> u8) {
    let status = forked(work);
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
}

#[test]
fn rlimits_are_set_and_bind() {
    let dir = crate::sys::testing::scratch("limits");
    let path = dir.path().join("file");
    holds(|| {
        let wanted = limits(&[
            (LimitName::FileSize, 4096.0, LimitBy::Rlimit),
            (LimitName::OpenFiles, 32.0, LimitBy::Rlimit),
            (LimitName::Memory, 64e6, LimitBy::Rlimit),
        ]);
        let evidence = apply(&wanted, 1000);
        if evidence.status != Status::Full {
            return 1;
        }
        let expected = [
            "RLIMIT_CORE = 1",
            "RLIMIT_FSIZE = 4096",
            "RLIMIT_NOFILE = 32",
            "RLIMIT_DATA = 64000000",
        ];
        let shared = |proof: &String| {
            let halved = ["RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_MEMLOCK"];
            halved.iter().any(|name| proof.starts_with(name))
        };
        if evidence
            .proof
            .iter()
            .filter(|proof| !shared(proof))
            .ne(expected.iter())
        {
            return 2;
        }
        // One byte less is allowed, one more is not (EFBIG; the signal would end this child).
        let ignore = nix::sys::signal::SigAction::new(
            nix::sys::signal::SigHandler::SigIgn,
            nix::sys::signal::SaFlags::empty(),
            nix::sys::signal::SigSet::empty(),
        );
        crate::sys::testing::ignore_signal(nix::sys::signal::Signal::SIGXFSZ, &ignore);
        if std::fs::write(&path, vec![0u8; 4096]).is_err() {
            return 3;
        }
        if std::fs::write(&path, vec![0u8; 4097]).is_ok() {
            return 4;
        }
        let open: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok())
            .take(100)
            .collect();
        if open.len() >= 32 || open.is_empty() {
            return 5;
        }
        drop(open);
        let mut small = Vec::<u8>::new();
        let mut large = Vec::<u8>::new();
        if small.try_reserve_exact(8 << 20).is_err() || large.try_reserve_exact(256 << 20).is_ok() {
            return 6;
        }
        // What was taken cannot be had back without a capability; a root test process has that one.
        u8::from(
            !nix::unistd::geteuid().is_root() && setrlimit(Resource::RLIMIT_NOFILE, 64, 64).is_ok(),
        ) * 7
    });
}

#[test]
fn a_limit_above_the_hard_one_is_cut_to_it() {
    holds(|| {
        setrlimit(Resource::RLIMIT_NOFILE, 50, 100).unwrap();
        let wanted = limits(&[(LimitName::OpenFiles, 1e6, LimitBy::Rlimit)]);
        let evidence = apply(&wanted, 1000);
        u8::from(!evidence.proof.contains(&"RLIMIT_NOFILE = 100".to_owned()))
    });
}

#[test]
fn processes_of_kernel_root_are_said_to_be_unlimited() {
    holds(|| {
        let wanted = limits(&[(LimitName::Processes, 5000.0, LimitBy::Rlimit)]);
        let root = apply(&wanted, 0);
        let user = apply(&wanted, 1000);
        match (root.status, user.status) {
            (Status::Partial { why }, Status::Full) if why.contains("uid 0") => 0,
            _ => 1,
        }
    });
}

#[test]
fn affinity_is_rounded_up() {
    holds(|| {
        let count = |set: CpuSet| {
            (0..CpuSet::count())
                .filter(|cpu| set.is_set(*cpu).unwrap())
                .count()
        };
        let before = count(sched_getaffinity(Pid::from_raw(0)).unwrap());
        let evidence = apply(&limits(&[(LimitName::Cpu, 1e3, LimitBy::Affinity)]), 1000);
        if evidence.status != Status::Full
            || count(sched_getaffinity(Pid::from_raw(0)).unwrap()) != before
        {
            return 1;
        }
        let evidence = apply(&limits(&[(LimitName::Cpu, 0.3, LimitBy::Affinity)]), 1000);
        if evidence.status != Status::Full
            || count(sched_getaffinity(Pid::from_raw(0)).unwrap()) != 1
        {
            return 2;
        }
        0
    });
}

#[test]
fn what_no_rlimit_can_do_is_said() {
    holds(|| {
        let evidence = apply(&limits(&[(LimitName::Disk, 1e9, LimitBy::Rlimit)]), 1000);
        u8::from(!matches!(evidence.status, Status::Partial { why } if why.contains("Disk")))
    });
}

#[test]
fn a_control_group_that_cannot_be_had_is_absent() {
    let wanted = limits(&[(LimitName::Memory, 1e9, LimitBy::CgroupV2)]);
    let (group, evidence) = prepare(&wanted, &Cgroup::None, "x");
    assert!(group.is_none());
    assert!(
        matches!(evidence.status, Status::Absent { .. }),
        "{evidence:?}"
    );
    let (group, evidence) = prepare(&limits(&[]), &Cgroup::None, "x");
    assert!(group.is_none() && evidence.status == Status::Full);
}

#[test]
fn two_halves_make_one() {
    let full = || Evidence::full(Layer::Limits).proven("a = 1");
    let partial = || Evidence::partial(Layer::Limits, "p");
    let absent = || Evidence::absent(Layer::Limits, "q");
    let why = |e: Evidence| match e.status {
        Status::Full => "full".to_owned(),
        Status::Partial { why } => format!("partial {why}"),
        Status::Absent { why } => format!("absent {why}"),
    };
    assert_eq!(why(combine(full(), full())), "full");
    assert_eq!(why(combine(full(), partial())), "partial p");
    assert_eq!(
        why(combine(absent(), full())),
        "partial q",
        "one half holds"
    );
    assert_eq!(why(combine(absent(), partial())), "partial q; p");
    assert_eq!(why(combine(absent(), absent())), "absent q; q");
    assert_eq!(combine(full(), full()).proof, ["a = 1", "a = 1"]);
}

#[test]
fn the_first_to_be_killed_for_memory() {
    holds(|| {
        if volunteer_for_oom().is_err() {
            return 1;
        }
        u8::from(
            std::fs::read_to_string("/proc/self/oom_score_adj")
                .unwrap()
                .trim()
                != "1000",
        ) * 2
    });
}
