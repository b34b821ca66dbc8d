//! A box whose stdin is no terminal: its programs read the keyboard by /dev/tty, as outside, once they ask for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::TestBox;
use common::pty::Terminal;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between the first line of a command and the key: dash loses a SIGINT that comes while it forks its next command (outside, too:
/// 11 of 60).
const SETTLE: Duration = Duration::from_millis(500);

/// A line of the caller's shell on a terminal; `"$@"` is a box with this script.
fn pipeline(b: &TestBox, line: &str, script: &str) -> Terminal {
    let inner = b.command(["/bin/sh", "-c", &b.fill(script)]);
    Terminal::start(b.through(line, &inner), 24, 80)
}

#[test]
fn a_command_behind_a_pipe_has_the_keyboard() {
    let b = TestBox::new();
    let script = "echo asks >&2; read x </dev/tty; echo got=$x; tail -n1";
    for (name, line) in [
        ("stdin is a pipe", "seq 50 | \"$@\""),
        ("stdout, too", "seq 50 | \"$@\" | cat"),
        ("stdin is a file", "seq 50 >in; \"$@\" <in"),
    ] {
        let mut terminal = pipeline(&b, line, script);
        terminal.expect("asks");
        terminal.send("hello\r");
        terminal.expect("got=hello");
        assert_eq!(terminal.end().code(), Some(0), "{name}");
        assert!(terminal.text().contains("50"), "{name}: the pipe, too");
        assert_eq!(
            terminal.settings(),
            terminal.settings_before(),
            "{name}: given back"
        );
    }
    // What is no terminal of the caller's gives none: nobody can type there.
    let mut terminal = pipeline(
        &b,
        "\"$@\" </dev/null 2>/dev/null | cat",
        "true </dev/tty && echo opened; echo end",
    );
    terminal.end();
    assert!(!terminal.text().contains("opened"), "{:?}", terminal.text());
}

#[test]
fn raw_keys_arrive_one_by_one() {
    let b = TestBox::new();
    let script = "stty raw -echo </dev/tty; echo asks >&2; head -c1 </dev/tty | od -An -tx1";
    let mut terminal = pipeline(&b, "seq 50 | \"$@\"", script);
    terminal.expect("asks");
    // Where the program switched signals off, Ctrl-C is a key like others.
    terminal.send("\x03");
    terminal.expect("03");
    assert_eq!(terminal.end().code(), Some(0), "{:?}", terminal.text());
}

/// A Ctrl-C between the program's stty(1) and the client's own ended the pipeline, or was lost in a shell that was forking.
#[test]
fn who_asks_for_the_keyboard_goes_on_once_the_terminal_is_raw() {
    let b = TestBox::new();
    let script = "echo ready >&2; while [ ! -e asks ]; do sleep 0.02; done
        stty raw -echo </dev/tty; : >raw; head -c1 </dev/tty | od -An -tx1";
    let line = "seq 50 | /bin/sh -c 'echo $$ >client; exec \"$@\"' - \"$@\"";
    let mut terminal = pipeline(&b, line, script);
    terminal.expect("ready");
    let client = std::fs::read_to_string(b.ws().join("client")).unwrap();
    let client = Pid::from_raw(client.trim().parse().unwrap());
    kill(client, Signal::SIGSTOP).unwrap();
    std::fs::write(b.ws().join("asks"), "").unwrap();
    sleep(Duration::from_millis(500));
    assert!(!b.ws().join("raw").exists(), "nobody made it raw");
    kill(client, Signal::SIGCONT).unwrap();
    common::until("raw", || b.ws().join("raw").exists());
    assert_ne!(terminal.settings(), terminal.settings_before());
    terminal.send("\x03");
    terminal.expect("03");
    assert_eq!(terminal.end().code(), Some(0), "{:?}", terminal.text());
}

#[test]
fn the_keyboard_is_left_alone_until_it_is_asked_for() {
    let b = TestBox::new();
    let line = "(echo waits >&2; head -n1 </dev/tty >/dev/null; echo data) | \"$@\"; read y; echo shell=$y";
    let mut terminal = pipeline(&b, line, "echo runs >&2; cat");
    terminal.expect("runs");
    terminal.expect("waits");
    assert_eq!(
        terminal.settings(),
        terminal.settings_before(),
        "not raw: nobody asked"
    );
    // The pipeline's first program and the shell read what is typed, and not the box.
    terminal.send("first\r");
    terminal.expect("data");
    terminal.send("second\r");
    terminal.expect("shell=second");
    assert_eq!(terminal.end().code(), Some(0), "{:?}", terminal.text());
}

#[test]
fn ctrl_c_reaches_the_whole_pipeline() {
    let b = TestBox::new();
    for script in [
        "echo ready >&2; sleep 600",
        "stty -echo </dev/tty; echo ready >&2; sleep 600",
    ] {
        let begun = Instant::now();
        let mut terminal = pipeline(&b, "sleep 300 | \"$@\"", script);
        terminal.expect("ready");
        sleep(SETTLE);
        terminal.send("\x03");
        terminal.end();
        assert!(
            begun.elapsed() < Duration::from_secs(100),
            "{script}: sleep(1) outside went on"
        );
    }
    // The box cannot make one: it ends by SIGINT and nobody typed it.
    let line = "(trap 'echo told >&2' INT; sleep 2; echo slept >&2) | \"$@\"";
    let mut terminal = pipeline(&b, line, "stty -echo </dev/tty; kill -INT $$");
    terminal.expect("slept");
    terminal.end();
    assert!(!terminal.text().contains("told"), "{:?}", terminal.text());
}

/// Ctrl-C at `for f in *; do agentbox run ...; done`: one is enough, as outside.
#[test]
fn ctrl_c_ends_the_loop_around_it() {
    let b = TestBox::new();
    let line = "for i in 1 2 3; do echo n=$i; \"$@\"; done; echo end=$?";
    for line in [
        line,
        &line.replace("\"$@\"", "\"$@\" </dev/null"),
        &line.replace("\"$@\"", "\"$@\" </dev/null 2>&1 | cat"),
    ] {
        // bash goes on where a command exits with 130, and ends where SIGINT ended it.
        let line = format!("exec /bin/bash -c '{line}' - \"$@\"");
        let mut terminal = pipeline(&b, &line, "echo ready; sleep 600");
        terminal.expect("ready");
        sleep(SETTLE);
        terminal.send("\x03");
        assert_eq!(common::shell_status(terminal.end()), 130, "{line}");
        assert!(!terminal.text().contains("n=2"), "{:?}", terminal.text());
    }
    // Who handles it goes on, and so does the loop.
    let script = "trap 'echo handled; exit 7' INT; echo ready; while :; do sleep 0.1; done";
    let mut terminal = pipeline(&b, line, script);
    for count in 1..=3 {
        terminal.expect_count("ready", count);
        terminal.send("\x03");
        terminal.expect_count("handled", count);
    }
    terminal.expect("end=7");
    assert_eq!(terminal.end().code(), Some(0), "{:?}", terminal.text());
    // So does it where no key was pressed.
    let mut terminal = pipeline(&b, line, "kill -INT $$");
    terminal.expect("end=130");
    assert_eq!(terminal.end().code(), Some(0), "{:?}", terminal.text());
}

#[test]
fn a_new_size_reaches_who_has_not_asked() {
    let b = TestBox::new();
    let script = "trap 'stty size <&2; exit 7' WINCH; echo ready >&2; while :; do sleep 0.1; done";
    let mut terminal = pipeline(&b, "sleep 1 | \"$@\"", script);
    terminal.expect("ready");
    terminal.resize(33, 101);
    terminal.expect("33 101");
    assert_eq!(terminal.end().code(), Some(7), "{:?}", terminal.text());
}
