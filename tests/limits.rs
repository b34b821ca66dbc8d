//! Limits: what misbehaves inside leaves the host alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, TestBox, missing, run, until};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by what fills the table of processes, and by what must find room in it under a low RLIMIT_NPROC: that counts all
/// processes of the user, those of the test beside it as well.
static TABLE: Mutex<()> = Mutex::new(());

fn table() -> MutexGuard<'static, ()> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(value: &Value) -> u64 {
    value["count"].as_u64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn a_fork_bomb_ends_at_the_limit() {
    let _table = table();
    let b = TestBox::new();
    let many = b.probe("fork-bomb 200").allowed();
    assert_eq!(
        (count(&many), &many["errno"]),
        (200, &0.into()),
        "the default is generous: {many}"
    );
    let b = TestBox::new().option("--limit").option("processes=60");
    let few = b.probe("fork-bomb 400").allowed();
    assert_eq!(few["errno"], libc::EAGAIN, "{few}");
    assert!(count(&few) < 60, "{few}");
    // The same machine, at the same time, still forks for everybody else.
    b.outside("fork-bomb 100").ok();
}

/// Where the user may have 400 processes, a box that had all of them left him none.
#[test]
fn half_of_the_users_processes_stay_outside() {
    // A root caller's box has another uid, and a control group.
    if missing(Feature::User) {
        return;
    }
    let _table = table();
    let lower = "exec /bin/bash -c 'ulimit -Su 400; exec \"$@\"' bash \"$@\"";
    let b = TestBox::new();
    let inner = b.command(["/bin/bash", "-c", "ulimit -u; ulimit -Hu"]);
    let ran = run(b.through(lower, &inner));
    assert_eq!(ran.ok(), "200\n200", "{ran:?}");
    let b = b.option("--limit").option("processes=100");
    let inner = b.command(["/bin/bash", "-c", "ulimit -u"]);
    let ran = run(b.through(lower, &inner));
    assert_eq!(ran.ok(), "100", "{ran:?}");
}

/// Whichever of our processes is the first that may not be: it is said what is missing, and no weaker box is offered. Tried in a
/// user namespace of its own, where the kernel counts from nothing (user_namespaces(7)).
#[test]
fn a_user_without_processes_left_is_told_so() {
    // Root of the first user namespace is above the limit.
    if missing(Feature::User) {
        return;
    }
    let _table = table();
    let mut started = 0;
    let mut told = Vec::new();
    for most in 1..=20 {
        let lower = format!(
            "exec unshare --user --map-current-user /bin/bash -c 'ulimit -Su {most}; exec \"$@\"' bash \"$@\""
        );
        let b = TestBox::new();
        let inner = b.command(["/bin/echo", "started"]);
        let ran = run(b.through(&lower, &inner));
        if ran.code() == 0 {
            assert_eq!(ran.text().trim(), "started", "{most}: {ran:?}");
            started += 1;
            continue;
        }
        // How many live at once is a matter of who is ahead of whom: at the edge the one that had room may be followed by one
        // that has none, but not far beyond it.
        assert!(most <= 12, "{most} are too few: {ran:?}");
        assert!([125, 126].contains(&ran.code()), "{most}: {ran:?}");
        let said = ran.complaint();
        assert!(said.contains("`ulimit -u`"), "{most}: {ran:?}");
        for untrue in ["container", "--rung", "user namespaces must"] {
            assert!(!said.contains(untrue), "{most}: {untrue}: {ran:?}");
        }
        told.push(ran.code());
    }
    // Both kinds were seen: no box, and a box whose command has no process.
    assert!(
        started > 0 && told.contains(&125) && told.contains(&126),
        "{told:?}"
    );
}

/// `--limit memory=8`, where 8GiB was meant: init of the box died, and so said its language.
#[test]
fn a_limit_of_memory_that_is_too_small_is_refused() {
    let limited = |value: &str| {
        TestBox::new()
            .option("--limit")
            .option(&format!("memory={value}"))
    };
    for small in ["8", "64KiB", "4095KiB"] {
        limited(small)
            .run(["/bin/true"])
            .refused(&["memory = ", "512MiB"]);
    }
    limited("4MiB").run(["/bin/true"]).ok();
}

/// A box that could not be built of so small files was told to be in a container.
#[test]
fn a_limit_of_a_files_size_that_is_too_small_is_named() {
    let small = TestBox::new().option("--limit").option("file-size=1KiB");
    let ran = small.run(["/bin/true"]);
    ran.refused(&["`--limit file-size`", "1MiB is enough"]);
    for untrue in ["container", "--rung"] {
        assert!(!ran.complaint().contains(untrue), "{untrue}: {ran:?}");
    }
    let enough = TestBox::new().option("--limit").option("file-size=1MiB");
    enough.run(["/bin/true"]).ok();
}

/// The default alone must stop an endless one.
#[test]
fn an_endless_fork_bomb_ends_by_default() {
    let _table = table();
    let b = TestBox::new();
    let ran = b.probe("fork-bomb 20000").allowed();
    assert_eq!(ran["errno"], libc::EAGAIN, "{ran}");
    assert!(count(&ran) < 10_000, "{ran}");
}

#[test]
fn a_fork_bomb_that_spreads_dies_with_the_session() {
    let _table = table();
    let name = common::world::token();
    let b = TestBox::new()
        .option("--limit")
        .option("processes=100")
        .option("--limit")
        .option("time=3s");
    let script = format!(
        "bomb() {{ bomb | bomb & }}; {{probe}} sleep 600 {name} & bomb 2>/dev/null; sleep 600"
    );
    let ran = b.sh(&script);
    assert!([124, 254, 2, 0].contains(&ran.code()), "{ran:?}");
    common::live::gone(&name);
}

#[test]
fn a_memory_hog_ends_at_the_limit() {
    let b = TestBox::new();
    let some = b.probe("memory 134217728").allowed();
    assert_eq!(some["errno"], 0, "{some}");
    let b = TestBox::new().option("--limit").option("memory=256MiB");
    let ran = b.run(b.probe_words("memory 2147483648"));
    // By cgroup the kernel kills, by rlimit mmap says ENOMEM.
    if ran.code() == 0 {
        let value = ran.json();
        assert_eq!(value["errno"], libc::ENOMEM, "{ran:?}");
        assert!(value["bytes"].as_u64().unwrap() <= 256 << 20, "{ran:?}");
    } else {
        assert_eq!(ran.code(), 137, "{ran:?}");
        // Told apart from a SIGKILL of its own.
        assert!(ran.complaint().contains("killed: out of memory"), "{ran:?}");
    }
}

#[test]
fn the_agent_is_the_first_to_go_when_memory_ends() {
    let b = TestBox::new();
    let limits = b.probe("limits").allowed();
    let score: i32 = limits["oom-score-adj"].as_str().unwrap().parse().unwrap();
    assert!(score > 0, "{limits}");
}

#[test]
fn a_disk_filler_ends_at_the_limit() {
    let b = TestBox::new().option("--limit").option("disk=32MiB");
    for place in ["/tmp/fill", "{home}/fill", "/dev/shm/fill"] {
        b.probe(&format!("flood-file {place} 1048576")).allowed();
        let full = b.probe(&format!("flood-file {place} 268435456")).allowed();
        assert_eq!(full["errno"], libc::ENOSPC, "{place}: {full}");
        assert!(
            full["written"].as_u64().unwrap() <= 32 << 20,
            "{place}: {full}"
        );
    }
    // The root of the view is no place to fill either.
    let answer = b.probe("flood-file /fill 1048576").value();
    assert!(answer["ok"] != true, "{answer}");
}

/// Names and inodes take memory as well: of empty files a box could make as many as the machine's memory allows, in a few places.
#[test]
fn empty_files_end_at_the_limit_of_the_disk() {
    let b = TestBox::new().option("--limit").option("disk=16MiB");
    for place in ["/tmp", "$HOME", "/dev/shm"] {
        let make = format!(
            "cd {place} && n=0; while [ $n -lt 20000 ] && true >f$n; do n=$((n+1)); done 2>said; echo $n; cat said; rm -rf f* said; true >again && echo again"
        );
        let ran = b.sh(&make);
        let said = ran.text();
        let made: u64 = said.lines().next().unwrap().parse().unwrap();
        assert!((7_000..=8_192).contains(&made), "{place}: {ran:?}");
        assert_eq!(said.lines().last(), Some("again"), "{place}: {ran:?}");
    }
}

/// The kernel counts memory that is locked for all of a user's namespaces together: with all of it taken in a box, nothing of
/// the user's could lock any.
#[test]
fn half_of_the_memory_that_can_be_locked_stays_outside() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    let b = TestBox::new();
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap();
    let mut live = b.start([
        "/bin/sh",
        "-c",
        &b.fill("{probe} shm-lock 300 keep; echo ready; read line"),
    ]);
    let inside: Value = serde_json::from_str(&live.wait_line("count")).unwrap();
    live.wait_line("ready");
    let inside = count(&inside) * (64 << 10);
    assert!(inside > 0);
    if hard != RLIM_INFINITY {
        assert!(inside <= hard / 2, "{inside} of {hard}");
    }
    let outside = b.outside("shm-lock 8").json();
    assert_eq!(outside["count"], 8, "{outside}");
    drop(live);
}

/// An agent in its own user namespace took all 128 inotify instances of the *user*; editors broke.
#[test]
fn inotify_instances_are_the_boxs_own() {
    let b = TestBox::new();
    let inside = b.probe("inotify 500").allowed();
    assert!(count(&inside) >= 8, "watchers must work: {inside}");
    assert!(count(&inside) < 128, "{inside}");
    let raised = b
        .probe("write /proc/sys/user/max_inotify_instances 1000")
        .value();
    assert!(raised["ok"] != true, "{raised}");
    // While a box holds all it can get, the caller still gets one.
    let live = b.start([
        "/bin/sh",
        "-c",
        &b.fill("{probe} inotify 500; echo ready; read line"),
    ]);
    assert_eq!(b.outside("inotify 1").json()["count"], 1);
    drop(live);
}

/// The kernel has one pot of them for all boxes and containers of a machine: one box that took them all let no other start.
#[test]
fn one_box_does_not_take_all_pseudo_terminals() {
    let b = TestBox::new();
    let take = "n=0; while exec {fd}<>/dev/ptmx; do n=$((n+1)); done 2>said; echo $n; cat said";
    let ran = run(b.command(["/bin/bash", "-c", take]));
    let said = ran.text();
    let mut lines = said.lines();
    // `agentbox` has none of its own here.
    assert_eq!(lines.next(), Some("512"), "{ran:?}");
    assert!(said.contains("No space left on device"), "{ran:?}");
}

#[test]
fn file_size_and_open_files() {
    let b = TestBox::new()
        .option("--limit")
        .option("file-size=1MiB")
        .option("--limit")
        .option("open-files=128");
    let opened = b.probe("open-files 1000").allowed();
    assert_eq!(opened["errno"], libc::EMFILE, "{opened}");
    assert!(count(&opened) <= 128, "{opened}");
    let ran = b.run(b.probe_words("flood-file big 10485760"));
    assert!(
        ran.code() == 128 + libc::SIGXFSZ || ran.json()["errno"] == libc::EFBIG,
        "{ran:?}"
    );
    assert!(std::fs::metadata(b.ws().join("big")).unwrap().len() <= 1 << 20);
    TestBox::new().probe("open-files 500").allowed();
}

/// The advice names what can be changed: the limit of the box, and not the caller's alone.
#[test]
fn too_small_a_limit_of_open_files_is_named() {
    let few = TestBox::new().option("--limit").option("open-files=12");
    let ran = few.run(["/bin/true"]);
    assert_eq!(ran.code(), 125, "{ran:?}");
    assert!(ran.complaint().contains("`--limit open-files`"), "{ran:?}");
    TestBox::new()
        .option("--limit")
        .option("open-files=256")
        .run(["/bin/true"])
        .ok();
}

#[test]
fn limits_cannot_be_raised() {
    let b = TestBox::new()
        .option("--limit")
        .option("open-files=128")
        .option("--limit")
        .option("processes=60");
    let ran = b.sh("ulimit -n 256 2>/dev/null && echo raised; ulimit -u 1000 2>/dev/null && echo raised; ulimit -Hn");
    assert_eq!(ran.ok().lines().last(), Some("128"), "{ran:?}");
    assert!(
        !ran.text().contains("raised")
            || ran.text().lines().filter(|l| *l == "raised").count() == 0,
        "{ran:?}"
    );
    for path in [
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/pids/cgroup.procs",
        "/sys/fs/cgroup/memory/cgroup.procs",
    ] {
        let answer = b.probe(&format!("write {path} 0")).value();
        assert!(answer["ok"] != true, "{path}: {answer}");
    }
}

/// A real-time caller's box kept the supervisor from the processor that both were on: a limit of one second took ten. And who may
/// have real-time turns or a high priority himself (`ulimit -r`, `ulimit -e`) does not give that to the box.
#[test]
fn no_box_takes_turns_before_those_that_end_it() {
    let b = TestBox::new().option("--limit").option("time=1s");
    let ask = "read -r line </proc/self/stat; line=${line##*) }; set -- $line; echo policy ${39}; \
               grep -E 'Max (realtime|nice) priority' /proc/self/limits";
    let script = "ulimit -r $(ulimit -Hr); ulimit -e $(ulimit -He); \
                  chrt -f 1 true 2>/dev/null && exec chrt -f 1 \"$@\"; exec \"$@\"";
    let ran = common::run(b.through(
        &format!("exec bash -c '{script}' bash \"$@\""),
        &b.command(["bash", "-c", ask]),
    ));
    let text = ran.ok();
    assert_eq!(text.lines().next(), Some("policy 0"), "{ran:?}");
    for line in text.lines().skip(1) {
        let limits: Vec<&str> = line.split_whitespace().skip(3).collect();
        assert_eq!(limits, ["0", "0"], "{ran:?}");
    }
    let spin = "end=$((SECONDS+8)); while [ $SECONDS -lt $end ]; do :; done";
    let begun = std::time::Instant::now();
    let script = "cpu=$(taskset -pc $$); cpu=${cpu##*[ ,-]}; \
                  chrt -f 1 true 2>/dev/null && exec taskset -c $cpu chrt -f 1 \"$@\"; exec taskset -c $cpu \"$@\"";
    let inner = b.command(["bash", "-c", &format!("({spin}) & {spin}")]);
    let ran = common::run(b.through(&format!("exec bash -c '{script}' bash \"$@\""), &inner));
    assert_eq!(ran.code(), 124, "{ran:?}");
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(6),
        "{ran:?}"
    );
}

/// Turns go to sessions first (sched(7), autogroup): a box that gave those of init's session away, and computed in hundreds of
/// others, lived on for many seconds after its end.
#[test]
fn a_box_that_gives_its_turns_away_dies_all_the_same() {
    let _table = table();
    let took = |first: &str| {
        let b = TestBox::new().option("--limit").option("time=5s");
        let script = format!(
            "{first}; setsid sh -c 'n=0; while [ $n -lt 300 ]; do setsid sh -c \"while :; do :; done\" & n=$((n+1)); done' & sleep 600"
        );
        let begun = std::time::Instant::now();
        let ran = b.sh(&script);
        assert_eq!(ran.code(), 124, "{ran:?}");
        begun.elapsed()
    };
    // The same work with as many turns as others have.
    let fair = took("true");
    let given = took("echo 19 >/proc/self/autogroup");
    assert!(given < fair * 2, "{given:?}, and {fair:?}");
}

/// Left by sessions whose every process was killed, in whatever home: nobody would ask about those again.
#[test]
fn empty_groups_of_other_homes_are_removed() {
    if missing(Feature::CgroupPids) {
        return;
    }
    let lives = TestBox::new();
    let name = common::world::token();
    let live = lives.start_probe(&format!("sleep 600 {name}"));
    let agent = common::live::find(&name);
    let groups = std::fs::read_to_string(format!("/proc/{agent}/cgroup")).unwrap();
    let groups: Vec<PathBuf> = groups
        .lines()
        .filter(|line| line.contains("/agentbox-"))
        .map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next().unwrap(), parts.next().unwrap());
            let below = path.trim_start_matches('/');
            let root = Path::new("/sys/fs/cgroup");
            // An entry without controllers is the second version's.
            match controllers.split(',').next() {
                Some("") if root.join("unified").exists() => root.join("unified").join(below),
                Some("") | None => root.join(below),
                Some(controller) => root.join(controller).join(below),
            }
        })
        .collect();
    assert!(!groups.is_empty() && groups.iter().all(|dir| dir.exists()));
    // A session of the year in which the numbering of sessions begins, and what is not one.
    let beside = |name: &str| -> Vec<PathBuf> {
        groups.iter().map(|dir| dir.with_file_name(name)).collect()
    };
    let (old, other) = (
        beside("agentbox-0000000000"),
        beside(&format!("agentbox-{name}")),
    );
    for dir in old.iter().chain(&other) {
        std::fs::create_dir(dir).unwrap();
    }
    // Once a minute it is looked for, and in a new home at once.
    assert_eq!(TestBox::new().sh("echo there").ok(), "there");
    until("they are gone", || old.iter().all(|dir| !dir.exists()));
    assert!(groups.iter().chain(&other).all(|dir| dir.exists()));
    for dir in &other {
        std::fs::remove_dir(dir).unwrap();
    }
    live.signal(nix::sys::signal::Signal::SIGTERM);
    live.end();
    assert!(groups.iter().all(|dir| !dir.exists()));
}

/// Kernel uid 0 is exempt from RLIMIT_NPROC: a root caller needs a cgroup or, as here, another kernel uid.
#[test]
fn a_root_callers_box_is_limited_too() {
    if missing(Feature::Root) {
        return;
    }
    let few = TestBox::new()
        .option("--limit")
        .option("processes=50")
        .probe("fork-bomb 300")
        .allowed();
    assert_eq!(few["errno"], libc::EAGAIN, "{few}");
}

#[test]
fn unlimited_and_wrong_values() {
    TestBox::new()
        .option("--limit")
        .option("memory=none")
        .run(["true"])
        .ok();
    for value in [
        "memory=",
        "memory=-1",
        "processes=0",
        "memory=8ZiB",
        "time=soon",
        "=5",
        "processes=1e99",
    ] {
        let ran = TestBox::new().option("--limit").option(value).run(["true"]);
        assert_eq!(ran.code(), 125, "{value}: {ran:?}");
        assert!(
            ran.complaint().contains("limit") || ran.complaint().contains(value),
            "{value}: {ran:?}"
        );
    }
}

#[test]
fn cpu_and_time_are_counted() {
    let b = TestBox::new().option("--limit").option("cpu=1");
    assert_eq!(
        b.sh("nproc 2>/dev/null || getconf _NPROCESSORS_ONLN")
            .ok()
            .lines()
            .count(),
        1
    );
}
