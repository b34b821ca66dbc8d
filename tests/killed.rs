//! Killed and stopped at awkward moments: during the start, while frozen, by the one that should have waited.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{all, all_gone, find, gone, init_of, parent};
use common::world::token;
use common::{Feature, TestBox, missing, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// Every process that knows of this world: by its command line, its environment, its working directory or its mounts.
fn of_world(b: &TestBox) -> Vec<Pid> {
    let needle = b.root().as_os_str().as_bytes();
    let knows = |pid: &Pid| {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        ["cmdline", "environ", "mountinfo"]
            .iter()
            .any(|name| common::has_bytes(&read(name), needle))
            || cwd.starts_with(b.root())
    };
    all().into_iter().filter(knows).collect()
}

/// SIGKILL of the client at any moment of the start: before the fork, between namespaces and mounts, before the command.
#[test]
fn the_client_is_killed_during_the_start() {
    if missing(Feature::HostRoot) {
        return;
    }
    let b = TestBox::new();
    // The twin: a box that runs is found.
    let name = token();
    let live = b.start_probe(&format!("sleep 600 {name}"));
    assert!(
        of_world(&b).len() >= 3,
        "client, init and agent at least: {:?}",
        of_world(&b)
    );
    drop(live);
    until("nothing of this world is left", || of_world(&b).is_empty());
    for step in 0..40u64 {
        let mut child = common::spawn(&mut quiet(
            b.command(b.probe_words(&format!("sleep 600 {name}"))),
        ));
        std::thread::sleep(Duration::from_micros(step * 500));
        child.kill().unwrap();
        child.wait().unwrap();
        until(
            &format!("nothing is left after {step} half milliseconds"),
            || of_world(&b).is_empty(),
        );
    }
    gone(&name);
}

/// What makes the namespaces ahead of the supervisor, and what brings init into them, is gone when the command runs; init is
/// the supervisor's own child, so that the box dies with it (`killed_supervisor` in life.rs).
#[test]
fn helpers_of_the_start_are_gone() {
    for net in ["none", "host"] {
        let b = TestBox::new().net(net);
        let name = token();
        let live = b.start_probe(&format!("sleep 600 {name}"));
        let init = init_of(find(&name));
        let supervisor = parent(init).unwrap();
        assert_eq!(
            parent(supervisor),
            Some(live.pid()),
            "--net {net}: the supervisor is the client's child"
        );
        let children = |of: Pid| -> Vec<Pid> {
            all()
                .into_iter()
                .filter(|pid| parent(*pid) == Some(of))
                .collect()
        };
        assert_eq!(children(live.pid()), [supervisor], "--net {net}");
        assert!(children(supervisor).contains(&init), "--net {net}");
        for pid in children(supervisor) {
            assert_ne!(common::live::state(pid), Some('Z'), "--net {net}: {pid}");
        }
        drop(live);
        gone(&name);
    }
}

fn quiet(mut command: std::process::Command) -> std::process::Command {
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    command
}

/// The same for init, at moments of its life; the client must end and say so.
#[test]
fn signals_during_the_start() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        for step in 0..15u64 {
            let name = token();
            let b = TestBox::new();
            let mut child = common::spawn(&mut quiet(
                b.command(b.probe_words(&format!("sleep 600 {name}"))),
            ));
            std::thread::sleep(Duration::from_micros(step * 1000));
            kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
            let status = common::wait(&mut child, common::PATIENCE)
                .unwrap_or_else(|| panic!("{signal} after {step} ms: still there"));
            let status = common::shell_status(status);
            assert!(
                status == 128 + signal as i32 || status == 125,
                "{signal} after {step} ms: {status}"
            );
            gone(&name);
        }
    }
}

/// Trap 12: a stopped client must not outrun a limit. The supervisor is another process.
#[test]
fn limits_hold_while_the_client_is_stopped() {
    let name = token();
    let b = TestBox::new().option("--limit").option("time=1s");
    let live = b.start_probe(&format!("orphans 2 600 {name}"));
    kill(live.pid(), Signal::SIGSTOP).unwrap();
    gone(&name);
    kill(live.pid(), Signal::SIGCONT).unwrap();
    assert_eq!(live.end().code(), 124);
}

/// A stopped client stops nobody else: the command goes on, and its end is told afterwards.
#[test]
fn the_command_goes_on_while_the_client_is_stopped() {
    let b = TestBox::new();
    let mut live = b.start([
        "/bin/sh",
        "-c",
        "echo first; while ! test -e go; do sleep 0.01; done; echo x > went; exit 6",
    ]);
    live.wait_line("first");
    kill(live.pid(), Signal::SIGSTOP).unwrap();
    fs::write(b.ws().join("go"), "").unwrap();
    until("the command went on", || b.ws().join("went").exists());
    kill(live.pid(), Signal::SIGCONT).unwrap();
    assert_eq!(live.end().code(), 6);
}

/// An agent that takes init's limits away, or its priority, harms itself only.
#[test]
fn harm_done_to_init_is_the_boxs_own() {
    for line in [
        "syscall prlimit64 1 7 q:0,0 0",
        "syscall prlimit64 1 9 q:4096,4096 0",
        "syscall prlimit64 1 6 q:0,0 0",
        "syscall prlimit64 1 0 q:1,1 0",
        "syscall setpriority 0 1 19",
        "syscall sched_setaffinity 1 8 q:1",
    ] {
        let name = token();
        let b = TestBox::new();
        let script = b.fill(&format!(
            "{{probe}} {line}; {{probe}} sleep 600 {name} & echo said; exit 5"
        ));
        let ran = b.run(["/bin/sh", "-c", &script]);
        assert!(
            [5, 125, 137].contains(&common::shell_status(ran.status)),
            "{line}: {ran:?}"
        );
        gone(&name);
    }
    assert_eq!(TestBox::new().sh("exit 5").code(), 5);
}

/// The whole family at once, in every order of two.
#[test]
fn two_of_the_family_at_once() {
    for (first, second) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        let name = token();
        let b = TestBox::new();
        let mut live = b.start(b.probe_words(&format!("orphans 3 600 {name}")));
        live.wait_line("ready");
        let agent = find(&name);
        let init = init_of(agent);
        let family = [live.pid(), parent(init).unwrap(), init];
        let _ = kill(family[first], Signal::SIGKILL);
        let _ = kill(family[second], Signal::SIGKILL);
        gone(&name);
        all_gone(&family);
    }
}

/// The group of the client is killed, as a shell's `kill -9 -PGID` and CI runners do.
#[test]
fn the_group_is_killed() {
    let name = token();
    let b = TestBox::new();
    let mut live = b.start(b.probe_words(&format!("orphans 3 600 {name}")));
    live.wait_line("ready");
    kill(Pid::from_raw(-live.pid().as_raw()), Signal::SIGKILL).unwrap();
    gone(&name);
}
