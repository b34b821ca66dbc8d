//! Terminals that come and go: `run --detach`, `attach`, `detach`, and the limits that count what passes a terminal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{find, gone, with_token};
use common::pty::Terminal;
use common::world::token;
use common::{TestBox, run, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::Command;

/// `agentbox run --detach -- sh -c SCRIPT`; the name of the session.
fn detached(b: &TestBox, options: &[&str], script: &str) -> String {
    let mut args = vec!["run", "--net", "none", "--read"];
    let bin = b.root().join("bin");
    args.push(bin.to_str().unwrap());
    args.extend(options);
    let script = b.fill(script);
    args.extend(["--detach", "--", "/bin/sh", "-c", &script]);
    let ran = run(b.agentbox(&args));
    let text = ran.ok();
    assert_eq!(text.trim().len(), 10, "{ran:?}");
    text.trim().to_owned()
}

fn attach(b: &TestBox, id: &str) -> Terminal {
    Terminal::start(b.agentbox(["attach", id]), 24, 80)
}

fn state(b: &TestBox, id: &str) -> String {
    let rows: serde_json::Value =
        serde_json::from_str(&run(b.agentbox(["ps", "--json"])).ok()).unwrap();
    let row = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["session"] == id);
    row.map_or("gone".to_owned(), |row| {
        row["state"].as_str().unwrap().to_owned()
    })
}

const ECHO: &str =
    "echo started; while read line; do echo \"got $line\"; [ \"$line\" = end ] && exit 4; done";

#[test]
fn a_session_without_a_window_is_attached_left_and_attached_again() {
    let b = TestBox::new();
    let id = detached(&b, &[], ECHO);
    assert_eq!(state(&b, &id), "running");
    let mut first = attach(&b, &id);
    let before = first.settings_before();
    // What was written before somebody looked.
    first.expect("started");
    first.send("one\n");
    first.expect("got one");
    // The keys that leave; other keys behind the prefix are keys.
    first.send("\x1cd");
    assert_eq!(first.end().code(), Some(0), "{}", first.text());
    assert_eq!(first.settings(), before, "the terminal is as it was");
    assert_eq!(state(&b, &id), "running");
    let mut second = attach(&b, &id);
    second.expect("got one");
    // Two look at once, and both see everything.
    let mut third = attach(&b, &id);
    third.expect("got one");
    second.send("two\n");
    second.expect("got two");
    third.expect("got two");
    // A window that is closed ends nothing.
    second.child.kill().unwrap();
    drop(second);
    third.send("three\n");
    third.expect("got three");
    third.send("end\n");
    assert_eq!(
        third.end().code(),
        Some(4),
        "the session's status: {}",
        third.text()
    );
    assert_eq!(state(&b, &id), "gone");
    let text = run(b.agentbox(["logs", &id])).ok();
    assert_eq!(text.matches("attached").count(), 3, "{text}");
    assert!(text.contains("exited with 4"), "{text}");
}

/// The terminal of each who attached answered what an editor had asked long ago, and the shell took that for something typed.
#[test]
fn who_attaches_is_not_asked_what_was_asked_before() {
    let b = TestBox::new();
    let ask = |name: &str| format!("printf '\\033[31m{name}\\033[6n\\033]11;?\\007-{name}\\n'");
    let (early, late) = (ask("early"), ask("late"));
    let id = detached(&b, &[], &format!("{early}; read line; {late}; read line"));
    // Nobody has answered it yet.
    let mut first = attach(&b, &id);
    first.expect("\x1b[31mearly\x1b[6n\x1b]11;?\x07-early");
    first.send("go\n");
    first.expect("\x1b[31mlate\x1b[6n\x1b]11;?\x07-late");
    let second = attach(&b, &id);
    second.expect("\x1b[31mearly-early");
    second.expect("\x1b[31mlate-late");
    first.send("end\n");
    assert_eq!(first.end().code(), Some(0), "{}", first.text());
}

#[test]
fn the_window_has_the_size_of_who_came_last() {
    let b = TestBox::new();
    let id = detached(
        &b,
        &[],
        "trap 'stty size' WINCH; echo started; while :; do sleep 0.05; done",
    );
    let small = Terminal::start(b.agentbox(["attach", &id]), 20, 70);
    small.expect("20 70");
    let large = Terminal::start(b.agentbox(["attach", &id]), 50, 120);
    large.expect("50 120");
    small.expect("50 120");
    small.resize(21, 71);
    large.expect("21 71");
    // The same size again: the program is made to draw itself all the same. (By one line less for a moment, which a shell that has no
    // turn meanwhile does not see.)
    let same = Terminal::start(b.agentbox(["attach", &id]), 21, 71);
    same.expect_count("21 71", 2);
    assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
}

#[test]
fn a_session_with_a_window_is_detached_from_elsewhere() {
    let b = TestBox::new();
    let name = token();
    let script = b.fill(&format!(
        "echo started; {{probe}} sleep 600 {name} & read line; echo got $line; wait"
    ));
    let mut window = Terminal::start(b.command(["/bin/sh", "-c", &script]), 24, 80);
    let before = window.settings_before();
    window.expect("started");
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    assert_eq!(run(b.agentbox(["detach", &id])).code(), 0);
    assert_eq!(window.end().code(), Some(0), "{}", window.text());
    assert!(
        window.text().contains("agentbox attach"),
        "{}",
        window.text()
    );
    assert_eq!(window.settings(), before);
    assert_eq!(state(&b, &id), "running");
    find(&name);
    let mut elsewhere = attach(&b, &id);
    elsewhere.send("hello\n");
    elsewhere.expect("got hello");
    assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
    assert_eq!(elsewhere.end().code(), Some(137), "{}", elsewhere.text());
    gone(&name);
}

/// What ended a session was said on the screen that goes away with it (opencode, vim), or in the midst of what was drawn, and to who had
/// attached it was not said at all: the agent was gone, and nobody knew why.
#[test]
fn why_it_is_over_is_read_on_the_screen_that_stays() {
    let b = TestBox::new().env("NO_COLOR", "1");
    // Drawn on a screen of its own, on the usual one with lines below the cursor, and line by line.
    for (draws, ends) in [
        ("\\033[?1049h\\033[Hdrawn", "\u{1b}[?1049l\u{1b}[0m"),
        ("drawn\\n| box\\n\\033[2A> ", "> \r\n\u{1b}[J"),
        ("a line\\ndrawn\\n", "drawn\r\n"),
    ] {
        let script = format!("printf '{draws}'; while :; do sleep 600; done");
        let mut window = Terminal::start(b.command(["/bin/sh", "-c", &script]), 24, 80);
        window.expect("drawn");
        let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
        let mut viewer = attach(&b, &id);
        viewer.expect("drawn");
        assert_eq!(run(b.agentbox(["detach", &id])).code(), 0);
        for left in [&mut window, &mut viewer] {
            assert_eq!(left.end().code(), Some(0), "{}", left.text());
            let line = format!("{ends}agentbox: left session {id}");
            assert!(left.text().contains(&line), "{draws}: {:?}", left.text());
        }
        let mut viewer = attach(&b, &id);
        viewer.expect("drawn");
        // In one step: the switch acts on the name, and does not wait for what somebody still writes there.
        std::fs::write(b.ws().join("why"), "the bill").unwrap();
        std::fs::rename(b.ws().join("why"), b.ws().join(".claude-stop")).unwrap();
        assert_eq!(viewer.end().code(), Some(137), "{}", viewer.text());
        let (text, line) = (viewer.text(), format!("{ends}agentbox: killed: "));
        assert!(
            text.contains(&line) && text.contains("the bill"),
            "{text:?}"
        );
        std::fs::remove_file(b.ws().join(".claude-stop")).unwrap();
        // The twin: who started it.
        let mut window = Terminal::start(b.command(["/bin/sh", "-c", &script]), 24, 80);
        window.expect("drawn");
        let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
        assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
        assert_eq!(window.end().code(), Some(137), "{}", window.text());
        let line = format!("{ends}agentbox: killed by `agentbox kill`");
        assert!(
            window.text().contains(&line),
            "{draws}: {:?}",
            window.text()
        );
    }
}

/// The twin of the above: whoever did not ask for it loses the session with its window.
#[test]
fn a_closed_window_ends_the_session() {
    let b = TestBox::new();
    let name = token();
    let mut window = Terminal::start(
        b.command(b.probe_words(&format!("sleep 600 {name}"))),
        24,
        80,
    );
    find(&name);
    window.child.kill().unwrap();
    drop(window);
    gone(&name);
    until("no session is left", || {
        run(b.agentbox(["ps", "-q"])).ok().is_empty()
    });
}

/// A window with a shell and a program in front of it that is closed when that says `editing`.
const WINDOW: &str = "import os,pty,sys
also = sys.argv.pop(1).encode()
pid, fd = pty.fork()
if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
os.write(fd, b'trap \"test -e saved && echo told > told\" EXIT; %s\\n./edit\\n' % also)
seen = b''
while b'editing' not in seen: seen += os.read(fd, 4096)
os.close(fd)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";

/// A shell with an editor in front of it heard nothing and was killed after the grace, without its traps and its history. The editor
/// comes first: with the shell its box ends. A shell that the signal reached between two commands slept on, and so does one that
/// makes nothing of it: its terminal is gone as well.
#[test]
fn a_closed_window_is_told_to_the_shell_behind_the_editor() {
    let saves = "sleep 0.3; echo saved > saved; exit";
    // (what the shell does, what the editor does, whether the shell sees that it has saved, what it may end with)
    for (shell_at_hup, at_hup, saved, ends) in [
        (":", saves, true, ["129"].as_slice()),
        ("trap : HUP", saves, true, &["129", "0"]),
        (":", "", false, &["129"]),
    ] {
        let b = TestBox::new()
            .profile("extends = [\"shell\"]\n[limits]\nstop-grace = \"8s\"\n")
            .script(
                "{ws}/edit",
                &format!(
                    "#!/bin/sh\ntrap '{at_hup}' HUP\necho editing\nwhile :; do sleep 0.05; done\n"
                ),
            )
            .file("{t}/window.py", WINDOW);
        let shell = b.command(["/bin/bash", "--norc", "--noprofile", "-i"]);
        let window = format!("/usr/bin/python3 {{t}}/window.py '{shell_at_hup}' \"$@\"");
        let ran = run(b.through(&window, &shell));
        let logs = run(b.agentbox(["logs"])).ok();
        assert!(ends.contains(&ran.text().as_str()), "{ran:?}\n{logs}");
        let told = std::fs::read_to_string(b.ws().join("told")).unwrap_or_default();
        assert_eq!(told, if saved { "told\n" } else { "" }, "{logs}");
        assert!(!logs.contains("not obeyed"), "{logs}");
    }
}

/// Closed by the kernel (SIGHUP) or killed without a word: with `hangup = "detach"`, of a flag or of a profile, the session goes
/// on and is attached to again.
#[test]
fn a_closed_window_detaches_where_that_was_asked_for() {
    let profile = "extends = [\"shell\"]\n[session]\nhangup = \"detach\"\n";
    for (by_flag, signal) in [
        (true, Signal::SIGHUP),
        (true, Signal::SIGKILL),
        (false, Signal::SIGHUP),
    ] {
        let b = if by_flag {
            TestBox::new().option("--hangup").option("detach")
        } else {
            TestBox::new().profile(profile)
        };
        let what = format!("by flag {by_flag}, {signal}");
        let window = Terminal::start(b.command(["/bin/sh", "-c", ECHO]), 24, 80);
        window.expect("started");
        let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
        let client = Pid::from_raw(window.child.id().cast_signed());
        kill(client, signal).unwrap();
        until(&format!("{what}: it has left"), || {
            run(b.agentbox(["logs", &id])).ok().contains("detached")
        });
        assert_eq!(state(&b, &id), "running", "{what}");
        let mut second = attach(&b, &id);
        second.expect("started");
        second.send("end\n");
        assert_eq!(second.end().code(), Some(4), "{what}: {}", second.text());
    }
}

/// Who has no terminal leaves nothing that anybody could come back to.
#[test]
fn without_a_terminal_a_hang_up_ends_the_session_all_the_same() {
    let b = TestBox::new().option("--hangup").option("detach");
    let live = b.start_probe("sleep 600");
    live.signal(Signal::SIGHUP);
    assert_eq!(live.end().code(), 129);
}

/// A command that was over before the supervisor looked again had no name, and `run` its status.
#[test]
fn a_short_command_sent_away_has_a_name_all_the_same() {
    let b = TestBox::new();
    for command in ["true", "false"] {
        for _ in 0..6 {
            let ran = run(b.agentbox(["run", "-q", "--net", "none", "--detach", "--", command]));
            let text = ran.ok();
            assert_eq!(text.trim().len(), 10, "{command}: {ran:?}");
        }
    }
}

#[test]
fn what_ends_at_once_or_cannot_start_says_so() {
    let b = TestBox::new();
    let ran = run(b.agentbox(["run", "--net", "none", "--detach", "--", "/no/such/program"]));
    assert_eq!(ran.code(), 127, "{ran:?}");
    assert!(ran.stdout.is_empty(), "{ran:?}");
    let ran = run(b.agentbox([
        "run", "--net", "none", "--detach", "--read", "/no/such", "--", "true",
    ]));
    assert_eq!(ran.code(), 125, "{ran:?}");
    // Without a terminal there is nothing to attach to.
    let live = b.start_probe("on-signal 15 3");
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    let mut refused = attach(&b, &id);
    assert_eq!(refused.end().code(), Some(1));
    assert!(
        refused.text().contains("has no terminal"),
        "{}",
        refused.text()
    );
    assert_eq!(
        run(b.agentbox(["attach", &id])).code(),
        1,
        "and no terminal to show it on"
    );
    drop(live);
}

#[test]
fn limits_that_count_what_passes_the_terminal() {
    let b = TestBox::new();
    let name = token();
    let id = detached(
        &b,
        &["--limit", "idle=3s"],
        &format!("echo started; {{probe}} sleep 600 {name}"),
    );
    gone(&name);
    until("it ended", || state(&b, &id) == "gone");
    let logs = run(b.agentbox(["logs", &id])).ok();
    assert!(logs.contains("idle limit (status 124)"), "{logs}");
    let id = detached(&b, &["--limit", "output=100KiB"], "echo started; exec yes");
    until("it ended", || state(&b, &id) == "gone");
    assert!(
        run(b.agentbox(["logs", &id]))
            .ok()
            .contains("output limit (status 137)")
    );
    // The twins: what writes is not idle, and what writes little is let go on.
    let id = detached(
        &b,
        &["--limit", "idle=1s", "--limit", "output=100KiB"],
        "n=0; while [ $n -lt 20 ]; do echo x; sleep 0.1; n=$((n+1)); done; exit 6",
    );
    until("it ended", || state(&b, &id) == "gone");
    assert!(
        run(b.agentbox(["logs", &id]))
            .ok()
            .contains("exited with 6")
    );
    // Asked for and not to be had: nothing is executed.
    for limit in ["idle=1h", "output=1GiB"] {
        let ran = run(b.agentbox([
            "run", "--net", "none", "--limit", limit, "--", "touch", "ran",
        ]));
        assert_eq!(ran.code(), 125, "{ran:?}");
        assert!(ran.complaint().contains("--detach"), "{ran:?}");
    }
    assert!(!b.ws().join("ran").exists());
    assert!(with_token(&name).is_empty());
}

/// A slow reader of several holds nobody up, and sees the end of what it missed.
#[test]
fn who_does_not_read_is_left_behind() {
    let b = TestBox::new();
    let id = detached(&b, &[], "read line; seq 1 200000; echo the-end; read line");
    let mut stopped = attach(&b, &id);
    let mut reads = attach(&b, &id);
    until("both look", || {
        run(b.agentbox(["logs", &id]))
            .ok()
            .matches("attached")
            .count()
            == 2
    });
    let pid = nix::unistd::Pid::from_raw(i32::try_from(stopped.child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    reads.send("go\n");
    reads.expect("the-end");
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    stopped.expect("the-end");
    stopped.send("\x1c\x04");
    assert_eq!(stopped.end().code(), Some(0));
    assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
}

/// A real terminal emulator with a real shell: Ctrl-C, Ctrl-Z, fg, resize, detach, attach from another window, exec beside it,
/// kill.
#[test]
fn a_shell_in_tmux() {
    if common::missing(common::Feature::Tool("tmux")) {
        return;
    }
    let b = TestBox::new();
    let socket = b.root().join("tmux");
    let tmux = |args: &[&str]| {
        let mut command = Command::new("tmux");
        command
            .arg("-S")
            .arg(&socket)
            .args(["-f", "/dev/null"])
            .args(args);
        b.around(&mut command, &b.agentbox(["ps"]));
        run(command)
    };
    let screen = |window: &str| tmux(&["capture-pane", "-p", "-S", "-200", "-t", window]).text();
    let shows = |window: &str, text: &str| {
        let mut last = String::new();
        let come = common::until_within(common::PATIENCE, || {
            last = screen(window);
            last.contains(text)
        });
        assert!(come, "{window} does not show {text:?}: {last}");
    };
    let keys = |window: &str, keys: &[&str]| {
        let mut args = vec!["send-keys", "-t", window];
        args.extend(keys);
        assert_eq!(tmux(&args).code(), 0);
    };
    let size = |window: &str| {
        tmux(&[
            "display-message",
            "-p",
            "-t",
            window,
            "#{pane_height} #{pane_width}",
        ])
        .text()
    };
    let line = |command: &Command| {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words
            .map(|w| format!("'{}'", w.to_str().unwrap()))
            .collect();
        words.join(" ")
    };
    let env = "PS1='outside> '";
    assert_eq!(
        tmux(&[
            "new-session",
            "-d",
            "-s",
            "one",
            "-x",
            "100",
            "-y",
            "30",
            &format!("{env} exec bash --norc --noprofile")
        ])
        .code(),
        0
    );
    assert_eq!(
        tmux(&[
            "new-window",
            "-d",
            "-t",
            "one:1",
            "-n",
            "two",
            &format!("{env} exec bash --norc --noprofile")
        ])
        .code(),
        0
    );
    let (first, second) = ("one:0", "one:1");
    shows(first, "outside>");
    shows(second, "outside>");
    let command = b.command(["bash", "--norc", "--noprofile"]);
    keys(first, &[&line(&command), "Enter"]);
    shows(first, "$");
    keys(first, &["PS1='inside> '", "Enter"]);
    shows(first, "inside>");
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    // Ctrl-C ends the job and not the shell.
    keys(first, &["sleep 1000", "Enter"]);
    let sleeps = || {
        common::live::all().iter().any(|p| {
            std::fs::read(format!("/proc/{p}/cmdline")).unwrap_or_default() == b"sleep\x001000\x00"
        })
    };
    until("the job runs", sleeps);
    keys(first, &["C-c"]);
    keys(first, &["echo after-int=$?", "Enter"]);
    shows(first, "after-int=130");
    // Ctrl-Z and fg of the shell inside.
    let cat = |wanted: char| {
        let all = common::live::all();
        let mut cats = all.iter().filter(|p| {
            std::fs::read(format!("/proc/{p}/cmdline")).unwrap_or_default() == b"cat\0--\0-\0"
        });
        cats.any(|p| common::live::state(*p) == Some(wanted))
    };
    keys(first, &["cat -- -", "Enter"]);
    until("cat waits", || cat('S'));
    keys(first, &["C-z"]);
    shows(first, "Stopped");
    keys(first, &["fg", "Enter"]);
    until("cat waits again", || cat('S'));
    keys(first, &["typed-to-cat", "Enter"]);
    until("what was typed and what cat says of it", || {
        screen(first).matches("typed-to-cat").count() >= 2
    });
    keys(first, &["C-d"]);
    until("cat has ended", || !cat('S') && !cat('T'));
    // The whole box stopped for the shell outside, and on again.
    keys(first, &["kill -STOP $$", "Enter"]);
    until("the prompt of the shell outside", || {
        let screen = screen(first);
        screen.matches("Stopped").count() >= 2 && screen.trim_end().ends_with("outside>")
    });
    keys(first, &["fg", "Enter"]);
    keys(first, &["echo back-again", "Enter"]);
    shows(first, "\nback-again");
    // Detached from another window, attached there, with the window's size.
    let detach = b.agentbox(["detach", &id]);
    keys(second, &[&line(&detach), "Enter"]);
    shows(first, "which goes on");
    let attach = b.agentbox(["attach", &id]);
    keys(second, &[&line(&attach), "Enter"]);
    shows(second, "back-again");
    keys(second, &["sleep 0.3; stty size", "Enter"]);
    shows(second, &size(second));
    assert_eq!(
        tmux(&["resize-window", "-t", second, "-x", "90", "-y", "25"]).code(),
        0
    );
    keys(second, &["sleep 0.3; stty size", "Enter"]);
    shows(second, &size(second));
    // Beside it, from the first window.
    let exec = b.agentbox([
        "exec",
        &id,
        "--",
        "bash",
        "--norc",
        "--noprofile",
        "-c",
        "echo beside; tty",
    ]);
    keys(first, &[&line(&exec), "Enter"]);
    shows(first, "beside");
    shows(first, "/dev/pts/1");
    // The keys that leave.
    keys(second, &["C-\\", "d"]);
    shows(second, "left session");
    let kill = b.agentbox(["kill", &id]);
    keys(second, &[&line(&kill), "Enter", "echo killed=$?", "Enter"]);
    shows(second, "killed=0");
    // Both terminals are usable.
    for window in [first, second] {
        keys(
            window,
            &["stty -a | grep -o -w -- '-*echo' ; echo usable", "Enter"],
        );
        shows(window, "\nusable");
    }
    // A window that is closed for good: the kernel hangs up, and the session goes on where that was asked for.
    let stays = b.agentbox([
        "run",
        "-q",
        "--net",
        "none",
        "--hangup",
        "detach",
        "--",
        "sh",
        "-c",
        "printf still-%s here; exec cat",
    ]);
    keys(first, &[&line(&stays), "Enter"]);
    shows(first, "still-here");
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    assert_eq!(tmux(&["kill-window", "-t", first]).code(), 0);
    until("it was detached", || {
        run(b.agentbox(["logs", &id])).ok().contains("detached")
    });
    assert_eq!(state(&b, &id), "running");
    let attach = b.agentbox(["attach", &id]);
    keys(second, &["clear", "Enter", &line(&attach), "Enter"]);
    shows(second, "still-here");
    assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
    assert_eq!(tmux(&["kill-server"]).code(), 0);
}
