//! The terminal: the box has one of its own, and is a good citizen of the caller's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::state;
use common::pty::Terminal;
use common::{Errno, Feature, Layer, TestBox, missing, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn on_terminal(b: &TestBox, words: &[&str]) -> Terminal {
    Terminal::start(b.command(words.iter().map(|w| b.fill(w))), 33, 101)
}

/// The first JSON object on the terminal.
fn answer(terminal: &Terminal) -> Value {
    let text = terminal.text();
    let line = text
        .lines()
        .find(|l| l.trim_start().starts_with('{'))
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    serde_json::from_str(line.trim()).unwrap()
}

fn probe_on_terminal(b: &TestBox, line: &str) -> (Value, String) {
    let line = format!("{{probe}} {line}");
    let words: Vec<&str> = line.split(' ').collect();
    let mut terminal = on_terminal(b, &words);
    let name = terminal.name();
    assert_eq!(terminal.end().code(), Some(0), "{:?}", terminal.text());
    (answer(&terminal), name)
}

#[test]
fn an_own_pseudo_terminal() {
    let b = TestBox::new();
    let (tty, host) = probe_on_terminal(&b, "tty");
    assert_eq!(
        tty["isatty"],
        serde_json::json!([true, true, true]),
        "{tty}"
    );
    assert_eq!(tty["tty"], true, "/dev/tty opens: {tty}");
    assert_eq!(
        (&tty["rows"], &tty["cols"]),
        (&33.into(), &101.into()),
        "the size: {tty}"
    );
    assert_eq!(
        tty["foreground"], tty["group"],
        "the command is the foreground group: {tty}"
    );
    for name in tty["names"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        assert!(name.starts_with("/dev/pts/"), "{tty}");
    }
    // The numbers may be alike; the instances are not: the host's is not among those of the box.
    let (listed, _) = probe_on_terminal(&b, "listdir /dev/pts");
    assert!(
        listed["names"].as_array().unwrap().len() <= 2,
        "{host}: {listed}"
    );
}

/// Without a terminal there is none, not the caller's either.
#[test]
fn no_terminal_for_pipes() {
    let b = TestBox::new();
    let tty = b.probe("tty").allowed();
    assert_eq!(tty["isatty"], serde_json::json!([false, false, false]));
    assert_eq!(tty["tty"], false);
    assert_eq!(tty["tty-errno"], libc::ENXIO, "{tty}");
    b.probe("open /dev/console rdwr").refused(Errno::ENOENT);
    // The terminal of whoever started it, when only the descriptors are redirected.
    let mut terminal = on_terminal(
        &b,
        &["/bin/sh", "-c", "{probe} tty </dev/null >out 2>/dev/null"],
    );
    terminal.end();
    let inner = b.command(b.probe_words("tty"));
    let outer = b.through("\"$@\" </dev/null 2>/dev/null | cat > out2", &inner);
    let mut terminal = Terminal::start(outer, 24, 80);
    terminal.end();
    let text = std::fs::read_to_string(b.ws().join("out2")).unwrap();
    let tty: Value = serde_json::from_str(text.trim())
        .unwrap_or_else(|e| panic!("{e}: {text:?} {:?}", terminal.text()));
    assert_eq!(
        tty["tty"], false,
        "the caller's terminal is reached by /dev/tty: {tty}"
    );
}

/// `agentbox run COMMAND | less`: one end is the terminal, another is not. Whatever the command gets, it is not the
/// caller's terminal, neither as a descriptor nor by opening one again.
#[test]
fn a_terminal_on_one_end_only() {
    let b = TestBox::new();
    let script = "for n in 0 1 2; do if test -t $n; then echo tty $n; {probe} stat /proc/self/fd/$n; fi; done; {probe} stat /dev/pts/ptmx";
    let inner = b.command(["/bin/sh", "-c", &b.fill(script)]);
    for redirect in [
        "> out",
        "2> out > out",
        "< /dev/null > out",
        "< /dev/null 2> /dev/null | cat > out",
        "| cat > out",
    ] {
        let mut terminal =
            Terminal::start(b.through(&format!("\"$@\" {redirect}"), &inner), 24, 80);
        terminal.end();
        let text = std::fs::read_to_string(b.ws().join("out")).unwrap();
        let answers: Vec<Value> = text
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect();
        let (own, terminals) = answers
            .split_last()
            .unwrap_or_else(|| panic!("{redirect}: {text:?}"));
        assert!(
            redirect != "> out" || terminals.len() == 2,
            "{redirect}: {text}"
        );
        for tty in terminals {
            assert_eq!(
                tty["dev"], own["dev"],
                "{redirect}: a terminal of another devpts instance: {text}"
            );
        }
    }
}

/// CVE-2016-2568, CVE-2017-5226, CVE-2019-10063, CVE-2023-28100: bytes pushed into the terminal's input are typed at the
/// caller's shell. Refused by the filter; and the terminal is not the caller's anyway.
#[test]
fn tiocsti_and_tioclinux() {
    let b = TestBox::new();
    for (line, upper) in [
        ("tiocsti 0", 0),
        ("tiocsti 1", 1),
        ("tiocsti 0xffffffff", 2),
        ("tioclinux 0", 0),
        ("tioclinux 1", 1),
    ] {
        let (refused, _) = probe_on_terminal(&b, line);
        assert_eq!(refused["name"], "EPERM", "{line} {upper}: {refused}");
    }
    // Without the filter the bytes may arrive, but in the box's own terminal.
    let without = TestBox::new().off(&[Layer::Seccomp, Layer::Landlock]);
    let mut terminal = on_terminal(&without, &["{probe}", "tiocsti", "0"]);
    terminal.end();
    assert!(!terminal.text().contains("XX"), "{:?}", terminal.text());
}

#[test]
fn other_terminals_are_not_reached() {
    let b = TestBox::new();
    let other = on_terminal(&b, &["/bin/true"]);
    let name = other.name();
    let answer = b.probe(&format!("open {name} rdwr,noctty")).value();
    assert!(answer["ok"] != true, "{name}: {answer}");
    for line in [
        "steal-tty /dev/console",
        "open /dev/tty1 rdwr",
        "open /dev/ttyS0 rdwr",
        "open /dev/tty0 rdwr",
        "ioctl /dev/ptmx 0x541d",
    ] {
        let answer = b.probe(line).value();
        assert!(answer["ok"] != true, "{line}: {answer}");
    }
}

#[test]
fn the_window_changes_its_size() {
    let b = TestBox::new();
    // By looking, not by the signal alone: bash forgets a second SIGWINCH that comes while it handles the first.
    let script = "trap 'echo signalled' WINCH; echo ready; while :; do now=$(stty size); [ \"$now\" = \"$old\" ] || echo \"size $now\"; old=$now; sleep 0.02; done";
    let terminal = on_terminal(&b, &["/bin/bash", "-c", script]);
    terminal.expect("size 33 101");
    terminal.resize(50, 132);
    terminal.expect("size 50 132");
    terminal.expect("signalled");
    terminal.resize(10, 20);
    terminal.expect("size 10 20");
}

#[test]
fn keys_that_send_signals() {
    for (key, script, expect, status) in [
        (
            "\u{3}",
            "trap 'echo got-int; exit 7' INT; echo ready; while :; do sleep 0.05; done",
            "got-int",
            7,
        ),
        (
            "\u{1c}",
            "trap 'echo got-quit; exit 8' QUIT; echo ready; while :; do sleep 0.05; done",
            "got-quit",
            8,
        ),
        ("\u{3}", "echo ready; sleep 600", "", 130),
    ] {
        let b = TestBox::new();
        let mut terminal = on_terminal(&b, &["/bin/bash", "-c", script]);
        terminal.expect("ready");
        terminal.send(key);
        terminal.expect(expect);
        assert_eq!(
            common::shell_status(terminal.end()),
            status,
            "{script}: {:?}",
            terminal.text()
        );
    }
}

#[test]
fn the_terminal_is_given_back_as_it_was() {
    let b = TestBox::new();
    for (script, signal) in [
        ("stty raw -echo; exit 3", None),
        ("stty raw -echo; kill -9 $$", None),
        (
            "stty raw -echo; printf ready; sleep 600",
            Some(Signal::SIGTERM),
        ),
        (
            "stty raw -echo; printf ready; sleep 600",
            Some(Signal::SIGHUP),
        ),
    ] {
        let inner = b.command(["/bin/sh", "-c", script]);
        let mut terminal = Terminal::start(inner, 24, 80);
        let before = terminal.settings();
        if let Some(signal) = signal {
            terminal.expect("ready");
            kill(Pid::from_raw(terminal.child.id().cast_signed()), signal).unwrap();
        }
        terminal.end();
        assert_eq!(terminal.settings(), before, "{script} {signal:?}");
    }
}

/// Escape sequences go both ways untouched: alternate screen, bracketed paste, OSC 8 and 52, the kitty keyboard.
#[test]
fn sequences_pass_untouched() {
    let b = TestBox::new();
    let sequences = "\u{1b}[?1049h\u{1b}[?2004h\u{1b}]8;;http://x\u{7}y\u{1b}]8;;\u{7}\u{1b}]52;c;aGk=\u{7}\u{1b}[>1u\u{1b}[38;2;1;2;3m\u{1b}[?1049l";
    let script = format!("stty -opost; printf '%s' '{sequences}'; printf END");
    let mut terminal = on_terminal(&b, &["/bin/sh", "-c", &script]);
    terminal.end();
    assert!(
        terminal.text().contains(&format!("{sequences}END")),
        "{:?}",
        terminal.text()
    );
    // Input: an escape sequence is not interpreted on its way.
    let mut terminal = on_terminal(
        &b,
        &[
            "/bin/sh",
            "-c",
            "stty raw -echo; echo ready; head -c 12 | od -An -tx1",
        ],
    );
    terminal.expect("ready");
    terminal.send("\u{1b}[200~ab\u{3}\u{1a}\u{1c}\r");
    terminal.expect("1b 5b 32 30 30 7e 61 62 03 1a 1c 0d");
    terminal.end();
}

/// Job control of an interactive shell inside, and Ctrl-Z of the whole box from the caller's shell.
#[test]
fn job_control_inside() {
    let b = TestBox::new();
    let mut terminal = on_terminal(&b, &["/bin/bash", "--norc", "--noprofile", "-i"]);
    terminal.send("PS1='prompt> '; echo one-$((40+2))\n");
    terminal.expect("one-42");
    terminal.send("sleep 600\n");
    // Ctrl-Z has a meaning once sleep is the foreground group: asked again until bash says so.
    let stopped = common::until_within(common::PATIENCE, || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        if !terminal.text().contains("Stopped") {
            terminal.send("\u{1a}");
        }
        terminal.text().contains("Stopped")
    });
    assert!(stopped, "{:?}", terminal.text());
    terminal.send("jobs; bg; kill %1; wait; echo two-$((40+2))\n");
    terminal.expect("two-42");
    terminal.send("exit 5\n");
    assert_eq!(terminal.end().code(), Some(5), "{:?}", terminal.text());
    assert!(
        !terminal.text().contains("no job control"),
        "{:?}",
        terminal.text()
    );
}

/// `./job` in a box, started by an interactive shell; it has said "ready".
fn job_in_a_shell(b: &TestBox) -> Terminal {
    let inner = b.command(["./job"]);
    let mut shell = std::process::Command::new("/bin/bash");
    shell.args(["--norc", "--noprofile", "-i"]);
    b.around(&mut shell, &inner);
    let words: Vec<String> = std::iter::once(inner.get_program())
        .chain(inner.get_args())
        .map(|w| format!("'{}'", w.to_str().unwrap()))
        .collect();
    let mut terminal = Terminal::start(shell, 24, 80);
    terminal.send(&format!("{}\n", words.join(" ")));
    terminal.expect("ready");
    terminal
}

#[test]
fn the_box_is_stopped_and_continued() {
    // The script is a file, so that nothing of it is in what the terminal echoes.
    let b = TestBox::new().script(
        "home/ws/job",
        "#!/bin/bash\necho ready; read line; echo got-$line\n",
    );
    let mut terminal = job_in_a_shell(&b);
    terminal.send("\u{1a}");
    terminal.expect("Stopped");
    terminal.send("echo outer-$((1+1))\n");
    terminal.expect("outer-2");
    terminal.send("fg\n");
    terminal.send("hello\n");
    terminal.expect("got-hello");
    // What is typed before the shell has its terminal back is the box's: again until the shell takes it.
    let ended = common::until_within(common::PATIENCE, || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        terminal.send("exit\n");
        terminal.child.try_wait().unwrap().is_some()
    });
    assert!(ended, "{:?}", terminal.text());
}

/// `fg` continues the command once. It was told twice where it was the foreground of its own terminal, and Claude Code drew its
/// screen a second time over the first. Python, for want of a probe that counts: its handler in C writes a byte each time, and while
/// the other threads are being woken there is time to run it between two signals.
#[test]
fn a_stopped_command_is_continued_once() {
    if common::missing(common::Feature::Tool("python3")) {
        return;
    }
    let b = TestBox::new().script(
        "home/ws/job",
        "#!/usr/bin/python3\nimport os, signal, threading, time\nr, w = os.pipe()\nos.set_blocking(w, False)\n\
         signal.signal(signal.SIGCONT, lambda *a: None)\nsignal.set_wakeup_fd(w)\n\
         for _ in range(64): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\nprint('rea' + 'dy', flush=True)\n\
         while input() != 'end': print('go' + 'es-on', flush=True)\nprint('continued', len(os.read(r, 4096)), 'times', flush=True)\n",
    );
    let mut terminal = job_in_a_shell(&b);
    let cycles = 20;
    let count = |terminal: &Terminal, text: &str| terminal.text().matches(text).count();
    for _ in 0..cycles {
        let (stopped, on) = (count(&terminal, "Stopped"), count(&terminal, "goes-on"));
        terminal.send("\u{1a}");
        until("it is stopped", || count(&terminal, "Stopped") > stopped);
        terminal.send("fg\n");
        // Typed again until it is the box's: the shell does nothing at an empty line.
        until("it goes on", || {
            terminal.send("\n");
            std::thread::sleep(std::time::Duration::from_millis(50));
            count(&terminal, "goes-on") > on
        });
    }
    terminal.send("end\n");
    terminal.expect(&format!("continued {cycles} times"));
    terminal.send("exit\n");
}

/// A closed terminal ends the box; nothing hangs and nothing stays.
#[test]
fn a_closed_terminal_ends_the_box() {
    let name = common::world::token();
    let b = TestBox::new();
    let words = ["{probe}", "sleep", "600", &name];
    let terminal = on_terminal(&b, &words);
    terminal.expect("ready");
    let client = Pid::from_raw(terminal.child.id().cast_signed());
    kill(client, Signal::SIGHUP).unwrap();
    common::live::gone(&name);
    until("the client ends", || state(client).is_none_or(|s| s == 'Z'));
    drop(terminal);
}

/// Answers to questions that a program did not read were typed into the caller's shell if they were many.
#[test]
fn answers_to_many_questions_do_not_reach_the_shell() {
    const COUNT: usize = 30;
    if missing(Feature::Tool("python3")) {
        return;
    }
    let b = TestBox::new();
    // A shell would read what is left; `after` is what it would run next.
    let run = b.command([
        "/bin/sh",
        "-c",
        "i=0; while [ $i -lt 30 ]; do printf '\\033[6n'; i=$((i+1)); done",
    ]);
    let script = "import os,select,subprocess,sys,termios,tty
subprocess.run(sys.argv[1:])
tty.setcbreak(0, termios.TCSANOW)
left = os.read(0, 4096) if select.select([0], [], [], 0.5)[0] else b''
print('left', len(left), 'end')";
    let mut terminal = Terminal::start(by_python(script, &run), 24, 80);
    terminal.expect_count("\x1b[6n", COUNT);
    for _ in 0..COUNT {
        // A terminal far away.
        std::thread::sleep(std::time::Duration::from_millis(10));
        terminal.send("\x1b[1;1R");
    }
    terminal.expect("end");
    assert!(
        terminal.text().contains("left 0 end"),
        "{}",
        terminal.text()
    );
}

/// This Python outside, which gets the command as its arguments.
fn by_python(script: &str, run: &std::process::Command) -> std::process::Command {
    let mut shell = std::process::Command::new("python3");
    shell.arg("-c").arg(script).arg(run.get_program());
    shell.args(run.get_args());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(dir) = run.get_current_dir() {
        shell.current_dir(dir);
    }
    shell
}

/// In the background the settings are those of the shell's line editor, which the box must not have.
#[test]
fn a_box_started_in_the_background_has_a_usable_terminal() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let b = TestBox::new();
    let run = b.command(["/bin/sh", "-c", "stty -a; echo over"]);
    let script = "import os,signal,subprocess,sys,termios
before = termios.tcgetattr(0)
raw = termios.tcgetattr(0)
raw[3] &= ~(termios.ICANON | termios.ECHO)
raw[0] &= ~termios.ICRNL
termios.tcsetattr(0, termios.TCSANOW, raw)
child = subprocess.Popen(sys.argv[1:], preexec_fn=lambda: os.setpgid(0, 0))
child.wait()
termios.tcsetattr(0, termios.TCSANOW, before)
print('status', child.returncode)";
    let mut terminal = Terminal::start(by_python(script, &run), 24, 80);
    terminal.expect("status");
    let text = terminal.text();
    for flag in ["icanon", "echo", "icrnl", "onlcr"] {
        let is_on = text.split([' ', '\r', '\n']).any(|word| word == flag);
        assert!(is_on, "{flag}: {text}");
    }
    terminal.end();
}
