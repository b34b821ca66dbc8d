#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::enforce::limits::tests::limits;
use crate::sys::testing::{scratch, skip, spawn};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// The v1 hierarchies of this host in which this process may make groups.
fn host_v1() -> Option<Cgroup> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut controllers = Vec::new();
    for name in ["memory", "pids", "cpu"] {
        let path = own.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (names, path) = rest.split_once(':')?;
            names.split(',').any(|n| n == name).then(|| path.to_owned())
        })?;
        let dir = Path::new("/sys/fs/cgroup")
            .join(name)
            .join(path.trim_start_matches('/'));
        let probe = dir.join(format!("agentbox-probe-{}", unique()));
        std::fs::create_dir(&probe).ok()?;
        std::fs::remove_dir(&probe).ok()?;
        controllers.push((name.to_owned(), dir));
    }
    Some(Cgroup::V1 { controllers })
}

fn unique() -> String {
    format!(
        "{:016x}",
        u64::from_le_bytes(crate::sys::random::bytes().unwrap())
    )
}

/// A group of this host with these limits.
fn group(list: &[(LimitName, f64)]) -> Option<BoxCgroup> {
    let Some(host) = host_v1() else {
        skip("cgroup");
        return None;
    };
    let list: Vec<_> = list
        .iter()
        .map(|(name, value)| (*name, *value, LimitBy::CgroupV1))
        .collect();
    Some(
        BoxCgroup::create(&host, &limits(&list), &unique())
            .unwrap()
            .unwrap(),
    )
}

/// A child that waits until it is in the group before it does its work.
fn member(group: &BoxCgroup, work: impl FnOnce() -> u8) -> Pid {
    let dir = scratch("member");
    let go = dir.path().join("go");
    let wait = go.clone();
    let pid = spawn(move || {
        while !wait.exists() {
            sleep(Duration::from_millis(1));
        }
        work()
    });
    group.join(pid).unwrap();
    std::fs::write(&go, "").unwrap();
    // Seen by the child before the directory goes.
    sleep(Duration::from_millis(50));
    pid
}

#[test]
fn a_memory_hog_is_killed_and_counted() {
    let hog = |bytes: usize| {
        move || {
            let mut memory = vec![0u8; bytes];
            memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
            u8::from(memory.iter().step_by(4096).any(|byte| *byte == 0))
        }
    };
    let Some(group) = group(&[(LimitName::Memory, 64_000_001.0)]) else {
        return;
    };
    assert!(
        group
            .held()
            .iter()
            .any(|held| held.starts_with("memory.limit_in_bytes = 64000000")),
        "{:?}",
        group.held()
    );
    // The allowed twin first.
    let small = member(&group, hog(16 << 20));
    assert!(matches!(
        waitpid(small, None).unwrap(),
        WaitStatus::Exited(_, 0)
    ));
    assert_eq!(group.oom_kills(), 0);
    let large = member(&group, hog(256 << 20));
    let status = waitpid(large, None).unwrap();
    assert!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
        "{status:?}"
    );
    assert_eq!(group.oom_kills(), 1);
    group.remove(Duration::from_secs(1)).unwrap();
    assert!(group.paths().all(|path| !path.exists()));
    group.remove(Duration::ZERO).unwrap();
}

#[test]
fn a_fork_bomb_is_bounded_and_dies() {
    let Some(group) = group(&[(LimitName::Processes, 20.0)]) else {
        return;
    };
    let bomb = member(&group, || {
        let mut forked = 0;
        loop {
            let Ok((_, keep)) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC) else {
                return 250;
            };
            let child = crate::sys::job::fork(keep, crate::sys::job::Stdio::Keep, |_| {
                sleep(Duration::from_secs(60));
                0
            });
            match child {
                Ok(_) => forked += 1,
                Err(error) if error.raw_os_error() == Some(nix::libc::EAGAIN) => return forked,
                Err(_) => return 251,
            }
        }
    });
    let status = waitpid(bomb, None).unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 19)), "{status:?}");
    let dir = group.paths().next().unwrap().to_owned();
    assert_eq!(members(&dir).unwrap().len(), 19);
    let busy = group.remove(Duration::from_millis(5)).unwrap_err();
    assert_eq!(busy.errno, Errno::EBUSY);
    group.kill().unwrap();
    group.remove(Duration::from_secs(2)).unwrap();
    assert!(!dir.exists());
}

#[test]
fn processor_time_is_cut() {
    let Some(group) = group(&[(LimitName::Cpu, 0.2)]) else {
        return;
    };
    let spin = member(&group, || {
        let used = || {
            let usage =
                nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
            let time = usage.user_time();
            time.tv_sec() * 1000
                + i64::from(u8::try_from(time.tv_usec() / 4000).unwrap_or(u8::MAX)) * 4
        };
        let (start, before) = (Instant::now(), used());
        while start.elapsed() < Duration::from_millis(1000) {
            std::hint::black_box((0..1000u64).sum::<u64>());
        }
        u8::try_from((used() - before) / 10).unwrap_or(u8::MAX)
    });
    // A fifth of a processor for a second is 200 ms; it takes turns with other work, so only the upper bound is firm.
    let status = waitpid(spin, None).unwrap();
    assert!(
        matches!(status, WaitStatus::Exited(_, 1..=40)),
        "{status:?}"
    );
    group.remove(Duration::from_secs(1)).unwrap();
}

#[test]
fn what_a_crash_left_is_cleaned() {
    let Some(host) = host_v1() else {
        return skip("cgroup");
    };
    let wanted = limits(&[(LimitName::Processes, 10.0, LimitBy::CgroupV1)]);
    let (dead, live) = (unique(), unique());
    let left = BoxCgroup::create(&host, &wanted, &dead).unwrap().unwrap();
    let stays = BoxCgroup::create(&host, &wanted, &live).unwrap().unwrap();
    let orphan = member(&left, || {
        sleep(Duration::from_secs(60));
        0
    });
    // Reaped at once, as an orphan is by the host's init; a zombie of ours would stay a member.
    let reaper = std::thread::spawn(move || waitpid(orphan, None).unwrap());
    // Other tests have groups of their own here.
    assert_eq!(
        clean_up_after_crash(&host, &|id| id != dead),
        std::slice::from_ref(&dead)
    );
    let status = reaper.join().unwrap();
    assert!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
        "{status:?}"
    );
    assert!(left.paths().all(|path| !path.exists()));
    assert!(stays.paths().all(Path::exists));
}

#[test]
fn groups_without_a_process_are_removed_and_no_others() {
    let Some(host) = host_v1() else {
        return skip("cgroup");
    };
    let wanted = limits(&[(LimitName::Processes, 10.0, LimitBy::CgroupV1)]);
    let ids = [(); 3].map(|()| unique());
    let made = ids
        .each_ref()
        .map(|id| BoxCgroup::create(&host, &wanted, id));
    let [empty, full, young] = made.map(|group| group.unwrap().unwrap());
    let member = member(&full, || {
        sleep(Duration::from_secs(60));
        0
    });
    remove_empty(&host, &|id| id == ids[0] || id == ids[1]);
    assert!(empty.paths().all(|path| !path.exists()));
    assert!(full.paths().chain(young.paths()).all(Path::exists));
    kill(member, Signal::SIGKILL).unwrap();
    waitpid(member, None).unwrap();
    remove_empty(&host, &|id| id == ids[1]);
    assert!(full.paths().all(|path| !path.exists()));
}

#[test]
fn freeze_and_kill_of_v2() {
    let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    let Some(parent) = root
        .into_iter()
        .find(|dir| dir.join("cgroup.controllers").exists())
    else {
        return skip("cgroup2");
    };
    let Ok(group) = BoxCgroup::v2(parent, &format!("{PREFIX}{}", unique()), &[]) else {
        return skip("cgroup2");
    };
    let pid = member(&group, || {
        loop {
            std::hint::black_box(1);
        }
    });
    let dir = group.paths().next().unwrap().to_owned();
    let events = || get(&dir.join("cgroup.events")).unwrap();
    group.freeze().unwrap();
    assert!((0..1000).any(|_| {
        sleep(Duration::from_millis(1));
        events().contains("frozen 1")
    }));
    group.thaw().unwrap();
    assert!((0..1000).any(|_| {
        sleep(Duration::from_millis(1));
        events().contains("frozen 0")
    }));
    // Killed while frozen: v2 does not make SIGKILL wait.
    group.freeze().unwrap();
    assert_eq!(
        waitpid(pid, Some(WaitPidFlag::WNOHANG)).unwrap(),
        WaitStatus::StillAlive
    );
    group.kill().unwrap();
    let status = waitpid(pid, None).unwrap();
    assert!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
        "{status:?}"
    );
    group.remove(Duration::from_secs(1)).unwrap();
    assert!(!dir.exists());
}

#[test]
fn what_is_written_for_each_limit() {
    let table = |by| {
        settings(
            &limits(&[
                (LimitName::Memory, 8_589_934_592.0, by),
                (LimitName::Processes, 4096.0, by),
                (LimitName::Cpu, 1.5, by),
                (LimitName::Cpu, 0.0001, by),
                (LimitName::Time, 60.0, LimitBy::Timer),
            ]),
            by,
        )
        .into_iter()
        .map(|s| format!("{}:{}={}", s.controller, s.file, s.value))
        .collect::<Vec<_>>()
    };
    assert_eq!(
        table(LimitBy::CgroupV2),
        [
            "memory:memory.max=8589934592",
            "memory:memory.swap.max=0",
            "memory:memory.oom.group=1",
            "pids:pids.max=4096",
            "cpu:cpu.max=150000 100000",
            "cpu:cpu.max=1000 100000",
        ]
    );
    assert_eq!(
        table(LimitBy::CgroupV1),
        [
            "memory:memory.limit_in_bytes=8589934592",
            "memory:memory.memsw.limit_in_bytes=8589934592",
            "pids:pids.max=4096",
            "cpu:cpu.cfs_period_us=100000",
            "cpu:cpu.cfs_quota_us=150000",
            "cpu:cpu.cfs_period_us=100000",
            "cpu:cpu.cfs_quota_us=1000",
        ]
    );
}

#[test]
fn a_value_that_did_not_take_is_noticed() {
    for (now, wrote, holds) in [
        ("4096", "4096", true),
        ("8192", "8200", true),
        ("0", "100", false),
        ("max", "4096", false),
        ("8192", "4096", false),
        ("4096", "1048576", false),
        ("150000 100000", "150000 100000", true),
        ("max 100000", "150000 100000", false),
    ] {
        assert_eq!(same(now, wrote), holds, "{now} after {wrote}");
    }
}

#[test]
fn a_missing_controller_is_an_error_and_leaves_nothing() {
    // A directory that is no cgroupfs: the group is made, the files are not there.
    let dir = scratch("cgroup");
    std::fs::write(dir.path().join("cgroup.subtree_control"), "memory pids").unwrap();
    let host = Cgroup::V2 {
        dir: dir.path().to_owned(),
        controllers: vec!["memory".into()],
    };
    let error = BoxCgroup::create(
        &host,
        &limits(&[(LimitName::Memory, 1e9, LimitBy::CgroupV2)]),
        "x",
    )
    .unwrap_err();
    assert_eq!((error.call, error.errno), ("write", Errno::ENOENT));
    assert!(error.path.ends_with("agentbox-x/memory.max"));
    assert!(!dir.path().join("agentbox-x").exists());
    let plan_of_another_host = limits(&[(LimitName::Memory, 1e9, LimitBy::CgroupV1)]);
    assert!(BoxCgroup::create(&host, &plan_of_another_host, "x").is_err());
    assert!(
        BoxCgroup::create(&host, &limits(&[]), "x")
            .unwrap()
            .is_none()
    );
}
