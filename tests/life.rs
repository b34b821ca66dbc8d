//! Life time: statuses, signals, and that nothing outlives its session.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{all_gone, find, gone, init_of, parent, state, with_token};
use common::world::token;
use common::{Live, TestBox};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

#[test]
fn every_exit_status_is_the_commands_own() {
    let b = TestBox::new();
    for status in 0..=255 {
        let ran = b.run(["/bin/sh", "-c", &format!("exit {status}")]);
        assert_eq!(ran.code(), status, "{ran:?}");
    }
}

#[test]
fn death_by_signal_is_128_and_the_number() {
    let b = TestBox::new();
    for signal in [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 31] {
        let ran = b.run(b.probe_words(&format!("die {signal}")));
        assert_eq!(ran.code(), 128 + signal, "{ran:?}");
    }
}

#[test]
fn agentboxs_own_failures_are_125() {
    let b = TestBox::new();
    for args in [
        &["run"][..],
        &["run", "--no-such-flag", "--", "true"],
        &["run", "--net", "nowhere", "--", "true"],
        &["run", "-C", "/no/such/dir", "--", "true"],
        &["run", "-p", "no-such-profile", "--", "true"],
        &["run", "--limit", "memory=lots", "--", "true"],
        &["run", "--limit", "beauty=1", "--", "true"],
        &["run", "--require", "no-such-layer", "--", "true"],
        &["run", "--read", "/no/such/path", "--", "true"],
    ] {
        let ran = common::run(b.agentbox(args));
        assert_eq!(ran.code(), 125, "{args:?}: {ran:?}");
        assert!(ran.stdout.is_empty(), "{args:?}: {ran:?}");
        assert!(!ran.stderr.is_empty(), "{args:?}");
    }
    b.run(["true"]).ok();
}

/// Finds every process of a live box: client, supervisor, init and agent.
struct Family {
    client: Pid,
    supervisor: Pid,
    init: Pid,
    agent: Pid,
}

fn family(live: &Live, token: &str) -> Family {
    let agent = with_token(token)
        .into_iter()
        .next()
        .unwrap_or_else(|| find(token));
    let init = init_of(agent);
    Family {
        client: live.pid(),
        supervisor: parent(init).unwrap(),
        init,
        agent,
    }
}

/// Trap 12: whatever of agentbox is killed, and however, nothing survives.
#[test]
fn nothing_survives_the_death_of_any_stage() {
    for victim in ["client", "supervisor", "init", "agent"] {
        let name = token();
        let b = TestBox::new();
        let mut live = b.start(b.probe_words(&format!("orphans 5 600 {name}")));
        live.wait_line("ready");
        let family = family(&live, &name);
        let everything = with_token(&name);
        assert!(everything.len() >= 6, "{everything:?}");
        let pid = match victim {
            "client" => family.client,
            "supervisor" => family.supervisor,
            "init" => family.init,
            _ => family.agent,
        };
        kill(pid, Signal::SIGKILL).unwrap();
        gone(&name);
        all_gone(&everything);
        all_gone(&[family.client, family.supervisor, family.init, family.agent]);
        let ran = live.end();
        assert_ne!(common::shell_status(ran.status), 0, "{victim}: {ran:?}");
    }
}

/// A stopped supervisor must not keep the box alive once it is killed, and a stopped agent dies too.
#[test]
fn stopped_processes_die_as_well() {
    let name = token();
    let b = TestBox::new();
    let live = b.start_probe(&format!("orphans 3 600 {name}"));
    let family = family(&live, &name);
    for pid in with_token(&name) {
        kill(pid, Signal::SIGSTOP).unwrap();
    }
    kill(family.supervisor, Signal::SIGSTOP).unwrap();
    kill(family.supervisor, Signal::SIGKILL).unwrap();
    gone(&name);
    all_gone(&[family.init, family.supervisor]);
}

/// The classic daemon: double fork, setsid, no descriptor left. It ends with the session.
#[test]
fn daemons_end_with_the_session() {
    let name = token();
    let b = TestBox::new();
    let begun = Instant::now();
    let ran = b.run(b.probe_words(&format!("daemon 600 {name}")));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.json()["daemon"].as_u64().unwrap() > 1);
    gone(&name);
    assert!(begun.elapsed() < Duration::from_secs(60));
    // By a shell, with its output kept open, ignoring every signal.
    let ran = b.sh(&format!(
        "trap '' HUP TERM INT; setsid {{probe}} sleep 600 {name} & exec true"
    ));
    assert_eq!(ran.code(), 0, "{ran:?}");
    gone(&name);
}

/// A background server survives the process that started it, as long as the session lives.
#[test]
fn background_servers_live_as_long_as_the_session() {
    let name = token();
    let b = TestBox::new();
    let script =
        "(setsid {probe} sleep 600 NAME >/dev/null 2>&1 &); echo started; read line; echo end";
    let mut command = b.command(["/bin/sh", "-c", &b.fill(script).replace("NAME", &name)]);
    command.stdin(std::process::Stdio::piped());
    let mut live = Live::start(command);
    live.wait_line("started");
    let server = find(&name);
    assert!(
        matches!(state(server), Some('S' | 'R')),
        "{:?}",
        state(server)
    );
    drop(live.stdin());
    assert_eq!(live.end().code(), 0);
    gone(&name);
}

#[test]
fn zombies_are_reaped() {
    let counted = TestBox::new().probe("zombies").allowed();
    assert_eq!(
        (&counted["made"], &counted["left"]),
        (&20.into(), &0.into())
    );
}

#[test]
fn signals_are_forwarded() {
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ] {
        let b = TestBox::new();
        let live = b.start_probe(&format!("on-signal {} 42", signal as i32));
        live.signal(signal);
        let ran = live.end();
        assert_eq!(ran.code(), 42, "{signal}: {ran:?}");
        assert_eq!(ran.json()["got"], signal as i32);
    }
}

#[test]
fn a_signal_with_its_default_action_is_the_status() {
    for (signal, status) in [
        (Signal::SIGTERM, 143),
        (Signal::SIGINT, 130),
        (Signal::SIGHUP, 129),
    ] {
        let name = token();
        // Kept until the end: a session whose directory goes is ended.
        let b = TestBox::new();
        let live = b.start_probe(&format!("sleep 600 {name}"));
        live.signal(signal);
        assert_eq!(common::shell_status(live.end().status), status, "{signal}");
        gone(&name);
    }
}

/// What ignores SIGTERM has three seconds; a second SIGTERM ends it at once.
#[test]
fn sigterm_has_a_grace() {
    let name = token();
    let b = TestBox::new();
    let live = b.start_probe(&format!("ignore 15,2,1 600 {name}"));
    live.signal(Signal::SIGTERM);
    let begun = Instant::now();
    let ran = live.end();
    assert_eq!(common::shell_status(ran.status), 143, "{ran:?}");
    assert!(
        begun.elapsed() > Duration::from_millis(2500),
        "killed after {:?}",
        begun.elapsed()
    );
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "killed after {:?}",
        begun.elapsed()
    );
    gone(&name);

    let text = "extends = [\"shell\"]\n[limits]\nstop-grace = \"300s\"\n";
    let b = TestBox::new().profile(text);
    let live = b.start_probe(&format!("ignore 15 600 {name}"));
    let begun = Instant::now();
    live.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(with_token(&name).len(), 1, "within the grace it lives");
    live.signal(Signal::SIGTERM);
    assert_eq!(common::shell_status(live.end().status), 143);
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "the second one kills at once"
    );
    gone(&name);
}

/// timeout(1) sends its signal to the command and once more to the group: that is one wish, and not a second SIGTERM.
#[test]
fn timeout_leaves_the_grace() {
    let b = TestBox::new();
    let script = "trap 'sleep 0.5; echo cleaned; exit 3' TERM; while :; do sleep 0.1; done";
    let mut outside = std::process::Command::new("timeout");
    outside.args(["2", "/bin/sh", "-c", script]);
    let inner = b.command(["/bin/sh", "-c", script]);
    for (name, mut command) in [
        ("outside", outside),
        ("inside", b.through("exec timeout 2 \"$@\"", &inner)),
    ] {
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert_eq!(said, "cleaned\n", "{name}: {ran:?}");
        assert_eq!(ran.status.code(), Some(124), "{name}");
    }
}

/// SIGINT and the others are forwarded only: an agent that handles Ctrl-C lives on.
#[test]
fn sigint_kills_nobody_who_handles_it() {
    let name = token();
    let b = TestBox::new();
    let live = b.start_probe(&format!("ignore 2,3,10,12 600 {name}"));
    for signal in [
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGINT,
    ] {
        live.signal(signal);
    }
    live.signal(Signal::SIGTERM);
    assert_eq!(
        common::shell_status(live.end().status),
        143,
        "only SIGTERM ended it"
    );
}

#[test]
fn the_time_limit_is_124() {
    let name = token();
    let b = TestBox::new().option("--limit").option("time=1s");
    let ran = b.run(b.probe_words(&format!("orphans 3 600 {name}")));
    assert_eq!(ran.code(), 124, "{ran:?}");
    assert!(
        ran.complaint().contains("agentbox: "),
        "it says why: {ran:?}"
    );
    gone(&name);
    let in_time = TestBox::new()
        .option("--limit")
        .option("time=60s")
        .run(["true"]);
    assert_eq!(in_time.code(), 0);
}

/// Nothing of agentbox is left when `run` returns: no process, no file in /tmp.
#[test]
fn nothing_is_left_behind() {
    let b = TestBox::new();
    let live = b.start_probe("on-signal 15 0");
    let children: Vec<Pid> = common::live::all()
        .into_iter()
        .filter(|p| parent(*p) == Some(live.pid()))
        .collect();
    live.signal(Signal::SIGTERM);
    assert_eq!(live.end().code(), 0);
    all_gone(&children);
    assert_eq!(
        std::fs::read_dir(b.ws()).unwrap().count(),
        0,
        "the workspace is as it was"
    );
}

/// 20 starts at the same time do not disturb each other.
#[test]
fn many_at_once() {
    let threads: Vec<_> = (0..20)
        .map(|n| {
            common::helper(move || {
                let b = TestBox::new();
                assert_eq!(
                    b.sh(&format!("echo {n} > f; cat f; exit {n}")).text(),
                    n.to_string()
                );
                assert_eq!(
                    std::fs::read_to_string(b.ws().join("f")).unwrap(),
                    format!("{n}\n")
                );
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn end_of_input_and_broken_pipes() {
    let b = TestBox::new();
    let ran = common::run_with(b.command(["/bin/cat"]), Some(b"last words".to_vec()));
    assert_eq!(ran.ok(), "last words");
    // The reader goes away: the command gets SIGPIPE as it would outside.
    let mut command = b.command(["yes"]);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut child = common::spawn(&mut command);
    drop(child.stdout.take());
    let status = common::wait(&mut child, common::PATIENCE).expect("ends");
    assert_eq!(status.code(), Some(128 + libc::SIGPIPE));
}
