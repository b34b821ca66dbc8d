//! `agentbox exec`: a command that joins a box is in it as the first one is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{find, gone, init_of, parent, status_field, with_token};
use common::pty::Terminal;
use common::world::token;
use common::{Live, Ran, TestBox, run, run_with, until};
use nix::sys::signal::{Signal, kill};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

/// A box that lives, and its name.
fn live(b: &TestBox) -> (Live, String) {
    let live = b.start_probe("on-signal 15 3");
    let ran = run(b.agentbox(["ps", "-q"]));
    let id = ran.ok().trim().to_owned();
    (live, id)
}

/// The program was blamed for a directory that is not there, and a command that nobody has for its interpreter.
#[test]
fn what_cannot_start_says_which_of_both_is_missing() {
    let b = TestBox::new();
    let (_live, id) = live(&b);
    for dir in ["nosuch", "/etc/passwd"] {
        let ran = run(b.agentbox(["exec", "-C", dir, &id, "--", "pwd"]));
        assert_eq!(ran.code(), 125, "{ran:?}");
        let line = format!("-C {dir}: no such directory in the box");
        assert!(ran.complaint().contains(&line), "{ran:?}");
    }
    let ran = run(b.agentbox(["exec", "-C", "/etc", &id, "--", "pwd"]));
    assert_eq!(ran.ok().trim(), "/etc");
    let ran = run(b.agentbox(["exec", &id, "--", "nosuch"]));
    assert_eq!(ran.code(), 127, "{ran:?}");
    let line = "nosuch: command not found in PATH";
    assert!(ran.complaint().contains(line), "{ran:?}");
    let ran = run(b.agentbox(["exec", &id, "--", "/no/such"]));
    assert_eq!(ran.code(), 127, "{ran:?}");
    assert!(ran.complaint().contains("/no/such: "), "{ran:?}");
}

/// The 65th was told of limits of processes, which had nothing to do with it.
#[test]
fn the_command_that_is_one_too_many_is_told_so() {
    let b = TestBox::new();
    let (_live, id) = live(&b);
    let mut sleepers: Vec<Live> = (0..64)
        .map(|_| {
            let said = "echo up; exec sleep 600";
            let mut one = Live::start(b.agentbox(["exec", &id, "--", "/bin/sh", "-c", said]));
            one.wait_line("up");
            one
        })
        .collect();
    let ran = run(b.agentbox(["exec", &id, "--", "/bin/true"]));
    ran.refused(&["64 commands", "wait until one has ended"]);
    assert!(!ran.complaint().contains("ulimit"), "{ran:?}");
    let one = sleepers.pop().unwrap();
    one.signal(Signal::SIGTERM);
    one.end();
    until("there is room again", || {
        run(b.agentbox(["exec", &id, "--", "/bin/true"])).code() == 0
    });
}

fn sh(b: &TestBox, id: &str, script: &str) -> Ran {
    run(b.agentbox(["exec", id, "--", "/bin/sh", "-c", &b.fill(script)]))
}

#[test]
fn it_is_under_every_layer_with_the_plans_environment() {
    let b = TestBox::new()
        .env("SECRET_TOKEN", "x")
        .option("--env")
        .option("GIVEN=y");
    let name = token();
    let first = b.start_probe(&format!("sleep 600 {name}"));
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    // The same as the first command's, read from outside.
    let other = token();
    let joined = Live::start(b.agentbox([
        "exec",
        &id,
        "--",
        b.probe_program().to_str().unwrap(),
        "sleep",
        "600",
        &other,
    ]));
    let a = find(&name);
    // Not the calling process, which has the same words.
    let boxed = || {
        with_token(&other)
            .into_iter()
            .find(|pid| parent(*pid) == Some(init_of(a)))
    };
    until("a child of init with the token", || boxed().is_some());
    let j = boxed().unwrap();
    for field in [
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "CapEff",
        "CapBnd",
        "CapPrm",
        "CapInh",
        "CapAmb",
        "Uid",
        "Gid",
        "Groups",
    ] {
        assert_eq!(status_field(a, field), status_field(j, field), "{field}");
    }
    assert_eq!(status_field(j, "Seccomp").as_deref(), Some("2"));
    if common::world::as_root() || nix::unistd::geteuid().is_root() {
        for ns in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            let link = |pid| std::fs::read_link(format!("/proc/{pid}/ns/{ns}")).unwrap();
            assert_eq!(link(a), link(j), "{ns}");
        }
        let limits = |pid| std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        assert_eq!(limits(a), limits(j));
    }
    let env = sh(&b, &id, "env").text();
    assert!(
        env.contains("GIVEN=y") && env.contains("AGENTBOX=1"),
        "{env}"
    );
    assert!(!env.contains("SECRET_TOKEN"), "{env}");
    // What the box refuses, and beside it what it allows.
    assert_eq!(sh(&b, &id, "cat /etc/shadow").code(), 1);
    assert_eq!(
        sh(&b, &id, "cat /etc/passwd > copy && cat copy >/dev/null").code(),
        0
    );
    assert!(b.ws().join("copy").exists(), "the workspace is the host's");
    assert_ne!(sh(&b, &id, "unshare -U true").code(), 0);
    assert_eq!(
        sh(&b, &id, "kill -9 1; kill -0 $$").code(),
        0,
        "init does not hear it"
    );
    drop(joined);
    gone(&other);
    drop(first);
    gone(&name);
}

#[test]
fn statuses_are_those_of_run() {
    let b = TestBox::new();
    let (live, id) = live(&b);
    for status in [0, 1, 7, 126, 255] {
        assert_eq!(sh(&b, &id, &format!("exit {status}")).code(), status);
    }
    assert_eq!(sh(&b, &id, "kill -9 $$").code(), 137);
    assert_eq!(sh(&b, &id, "kill -15 $$").code(), 143);
    let none = run(b.agentbox(["exec", &id, "--", "no-such-program"]));
    assert_eq!(none.code(), 127, "{none:?}");
    assert!(none.complaint().contains("no-such-program"), "{none:?}");
    assert_eq!(
        run(b.agentbox(["exec", &id, "--", "/etc/passwd"])).code(),
        126
    );
    assert_eq!(
        run(b.agentbox(["exec", &id, "-C", "/no/such", "--", "true"])).code(),
        125
    );
    // A script without an interpreter's line, found on no PATH but by its place.
    std::fs::write(b.ws().join("s"), "echo script $1").unwrap();
    b.chown(&b.ws().join("s"));
    std::fs::set_permissions(
        b.ws().join("s"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    assert_eq!(
        run(b.agentbox(["exec", &id, "--", "./s", "x"])).ok(),
        "script x"
    );
    // Bad usage, sessions that are not there, descriptors that would give a way out: nothing was executed.
    for args in [
        &["exec"][..],
        &["exec", &id],
        &["exec", "zzz", "--", "true"],
        &["exec", "--bogus", &id, "--", "true"],
        &["exec", "-t", &id, "--", "true"],
    ] {
        assert_eq!(run(b.agentbox(args)).code(), 125, "{args:?}");
    }
    let mut command = b.agentbox(["exec", &id, "--", "true"]);
    command.stdin(Stdio::from(std::fs::File::open("/").unwrap()));
    let refused = run(command);
    assert_eq!(refused.code(), 125, "{refused:?}");
    assert!(refused.complaint().contains("directory"), "{refused:?}");
    live.signal(Signal::SIGTERM);
    assert_eq!(live.end().code(), 3);
    assert_eq!(
        run(b.agentbox(["exec", &id, "--", "true"])).code(),
        125,
        "it has ended"
    );
}

#[test]
fn input_and_output_pass_whole() {
    let b = TestBox::new();
    let (_live, id) = live(&b);
    let bytes: Vec<u8> = (0..3_000_000u32)
        .map(|i| u8::try_from(i * 7 % 253).unwrap())
        .collect();
    let ran = run_with(b.agentbox(["exec", &id, "--", "cat"]), Some(bytes.clone()));
    assert_eq!(ran.code(), 0);
    assert!(ran.stdout == bytes, "bytes were lost or changed");
    let ran = sh(&b, &id, "echo out; echo err >&2");
    assert_eq!(
        (ran.text().trim(), ran.stderr.as_slice()),
        ("out", &b"err\n"[..])
    );
    // Through sockets, which never enter the box.
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut command = b.agentbox([
        "exec",
        &id,
        "--",
        "/bin/sh",
        "-c",
        "cat; test -p /dev/stdout && echo pipe",
    ]);
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(
        theirs.try_clone().unwrap(),
    )));
    command.stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    let mut child = common::spawn(&mut command);
    drop(command);
    std::io::Write::write_all(&mut &ours, b"through\n").unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut &ours, &mut text).unwrap();
    assert_eq!(text, "through\npipe\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn several_at_once_and_bounded() {
    let b = TestBox::new();
    let (_live, id) = live(&b);
    let ids: Vec<_> = (0..12)
        .map(|n| {
            Live::start(b.agentbox([
                "exec",
                &id,
                "--",
                "/bin/sh",
                "-c",
                &format!("echo ready {n}; sleep 0.3; exit {n}"),
            ]))
        })
        .collect();
    for (n, live) in (0..).zip(ids) {
        assert_eq!(live.end().code(), n);
    }
    // A long argv within a message, and one that is longer than any.
    let long = "x".repeat(60_000);
    let ran = run(b.agentbox([
        "exec",
        &id,
        "--",
        "/bin/sh",
        "-c",
        "echo ${#1}",
        "sh",
        &long,
    ]));
    assert_eq!(ran.ok(), "60000");
    let longer = "x".repeat(129_000);
    let ran = run(b.agentbox(["exec", &id, "--", "/bin/true", &longer, &longer]));
    assert_eq!(ran.code(), 125, "{ran:?}");
    assert_eq!(sh(&b, &id, "true").code(), 0, "nothing is hurt");
}

#[test]
fn signals_are_forwarded_and_the_end_of_the_caller_is_a_hang_up() {
    let b = TestBox::new();
    let (live, id) = live(&b);
    let probe = b.probe_program();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1] {
        let number = (signal as i32).to_string();
        let mut joined = Live::start(b.agentbox([
            "exec",
            &id,
            "--",
            probe.to_str().unwrap(),
            "on-signal",
            &number,
            "42",
        ]));
        joined.wait_line("ready");
        joined.signal(signal);
        assert_eq!(joined.end().code(), 42, "{signal}");
    }
    let name = token();
    let mut joined = Live::start(b.agentbox([
        "exec",
        &id,
        "--",
        "/bin/sh",
        "-c",
        &b.fill(&format!("echo ready; {{probe}} sleep 600 {name}")),
    ]));
    joined.wait_line("ready");
    until("it runs", || !with_token(&name).is_empty());
    joined.child.kill().unwrap();
    gone(&name);
    // The session does not mind.
    live.signal(Signal::SIGTERM);
    assert_eq!(live.end().code(), 3);
}

#[test]
fn a_terminal_of_its_own() {
    let b = TestBox::new();
    let (live, id) = live(&b);
    let script = "tty; stty size; test -t 0 -a -t 1 -a -t 2 && echo all; trap 'stty size; echo resized' WINCH; echo go; while :; do sleep 0.05; done";
    let mut terminal = Terminal::start(
        b.agentbox(["exec", &id, "--", "/bin/sh", "-c", script]),
        31,
        99,
    );
    let before = terminal.settings_before();
    terminal.expect("/dev/pts/");
    terminal.expect("31 99");
    terminal.expect("all");
    terminal.expect("go");
    terminal.resize(20, 77);
    terminal.expect("resized");
    terminal.expect("20 77");
    terminal.send("\x03");
    // By the signal, as outside: to a shell that is 130.
    assert_eq!(terminal.end().signal(), Some(2), "{}", terminal.text());
    assert_eq!(
        terminal.settings(),
        before,
        "the caller's terminal is as it was"
    );
    // A shell with job control, whose terminal is its own.
    let mut shell = Terminal::start(
        b.agentbox(["exec", &id, "--", "bash", "--norc", "-i"]),
        24,
        80,
    );
    shell.send("sleep 77\n");
    until("the foreground job runs", || {
        common::live::all().iter().any(|p| {
            std::fs::read(format!("/proc/{p}/cmdline")).unwrap_or_default() == b"sleep\x0077\x00"
        })
    });
    shell.send("\x1a");
    shell.expect("Stopped");
    shell.send("kill -9 %1; sleep 0.2; exit 5\n");
    assert_eq!(shell.end().code(), Some(5), "{}", shell.text());
    // Its window is closed: what is in it ends, and the session goes on.
    let name = token();
    let mut closed = Terminal::start(
        b.agentbox([
            "exec",
            &id,
            "--",
            "/bin/sh",
            "-c",
            &b.fill(&format!("echo go; {{probe}} sleep 600 {name}")),
        ]),
        24,
        80,
    );
    closed.expect("go");
    find(&name);
    closed.child.kill().unwrap();
    drop(closed);
    gone(&name);
    live.signal(Signal::SIGTERM);
    assert_eq!(live.end().code(), 3);
}

#[test]
fn it_ends_with_the_session_and_not_while_it_is_paused() {
    let b = TestBox::new();
    let (_live, id) = live(&b);
    let name = token();
    let mut joined = Live::start(b.agentbox([
        "exec",
        &id,
        "--",
        "/bin/sh",
        "-c",
        &b.fill(&format!("echo ready; {{probe}} sleep 600 {name}")),
    ]));
    joined.wait_line("ready");
    find(&name);
    assert_eq!(run(b.agentbox(["pause", &id])).code(), 0);
    let ran = run(b.agentbox(["exec", &id, "--", "true"]));
    assert_eq!(ran.code(), 125, "{ran:?}");
    assert!(ran.complaint().contains("paused"), "{ran:?}");
    assert_eq!(run(b.agentbox(["resume", &id])).code(), 0);
    assert_eq!(sh(&b, &id, "true").code(), 0);
    assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
    gone(&name);
    assert_eq!(joined.end().code(), 137);
}

/// They count against the same limit as everything else.
#[test]
fn joined_commands_count_against_the_limits() {
    let b = TestBox::new().option("--limit").option("processes=40");
    let (_live, id) = live(&b);
    let ran = sh(
        &b,
        &id,
        "n=0; while [ $n -lt 60 ]; do sleep 5 & n=$((n+1)); done; echo all",
    );
    assert!(
        !ran.text().contains("all") || !ran.stderr.is_empty(),
        "60 processes within 40: {ran:?}"
    );
}

/// What runs in the box may stop the command, which then never heard of a SIGTERM: who waited for it waited for ever.
#[test]
fn a_command_that_the_box_stops_does_not_keep_its_client() {
    let b = TestBox::new();
    let (_live, id) = live(&b);
    let joined = |script: &str| {
        let mut joined = Live::start(b.agentbox(["exec", &id, "--", "/bin/sh", "-c", script]));
        joined.wait_line("up");
        joined
    };
    let once = joined("echo up; kill -STOP $$; sleep 600");
    once.signal(Signal::SIGTERM);
    assert_eq!(once.end().code(), 143);
    // It does not want to end, and is stopped again whenever it goes on.
    let again = joined("trap '' TERM; echo up; while :; do kill -STOP $$; done");
    again.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(200));
    again.signal(Signal::SIGTERM);
    assert_eq!(again.end().code(), 137);
    // The twin: what answers SIGTERM is left the time, and timeout(1)'s second one of the same moment is none.
    let answers = joined("trap 'sleep 1; exit 7' TERM; echo up; while :; do sleep 0.1; done");
    answers.signal(Signal::SIGTERM);
    answers.signal(Signal::SIGTERM);
    assert_eq!(answers.end().code(), 7);
    assert_eq!(sh(&b, &id, "true").code(), 0, "the session goes on");
}

/// Nobody answers where the supervisor is stopped: the second SIGTERM ends the client all the same, which says so.
#[test]
fn a_supervisor_that_is_stopped_does_not_keep_the_client_of_exec() {
    let b = TestBox::new();
    let (_live, id) = live(&b);
    let name = token();
    let script = b.fill(&format!("echo up; exec {{probe}} sleep 600 {name}"));
    let mut joined = Live::start(b.agentbox(["exec", &id, "--", "/bin/sh", "-c", &script]));
    joined.wait_line("up");
    let supervisor = parent(init_of(find(&name))).unwrap();
    kill(supervisor, Signal::SIGSTOP).unwrap();
    joined.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(200));
    joined.signal(Signal::SIGTERM);
    let ran = joined.end();
    kill(supervisor, Signal::SIGCONT).unwrap();
    assert_eq!(ran.code(), 143, "{ran:?}");
    assert!(ran.complaint().contains("agentbox kill ID"), "{ran:?}");
    gone(&name);
    assert_eq!(sh(&b, &id, "true").code(), 0, "the session goes on");
}
