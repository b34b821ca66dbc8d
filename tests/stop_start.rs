//! `agentbox stop`, `start` and `status`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::gone;
use common::world::token;
use common::{Feature, Live, Ran, TestBox, missing, run};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

fn cli(b: &TestBox, args: &[&str]) -> Ran {
    run(b.agentbox(args.iter().map(|arg| b.fill(arg))))
}

fn start(b: &TestBox, name: &str) -> Live {
    b.start_probe(&format!("orphans 3 600 {name}"))
}

/// The number in `N sessions stopped in T ms`.
fn count(ran: &Ran) -> usize {
    let text = ran.ok();
    let first = text.split(' ').next().unwrap();
    assert!(
        text.contains(" stopped in ") && text.contains(" ms; none starts until "),
        "{text}"
    );
    first.parse().unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn stop_kills_every_session_and_none_starts_until_start() {
    let names: Vec<String> = (0..4).map(|_| token()).collect();
    let b = TestBox::new();
    let lives: Vec<Live> = names.iter().map(|name| start(&b, name)).collect();
    assert_eq!(cli(&b, &["status"]).code(), 0);
    let ran = cli(&b, &["stop", "--reason", "the bill"]);
    // When it returns, everything is dead: nothing is waited for here.
    for name in &names {
        assert!(common::live::with_token(name).is_empty(), "{name}");
    }
    assert_eq!(count(&ran), names.len(), "{ran:?}");
    for live in lives {
        let ran = live.end();
        assert_eq!(common::shell_status(ran.status), 137, "{ran:?}");
        let words = "/.config/agentbox/stop (";
        let complaint = ran.complaint();
        assert!(complaint.contains(words), "{ran:?}");
        assert!(
            complaint.contains("): \"the bill\"; to start again: `agentbox start`, or remove "),
            "{ran:?}"
        );
    }
    b.sh("echo ran")
        .refused(&["not started: the stop file", "\"the bill\""]);
    let status = cli(&b, &["status"]);
    assert_eq!(status.code(), 1, "{status:?}");
    assert!(status.text().contains("\non: the stop file"), "{status:?}");
    let again = cli(&b, &["stop"]);
    assert!(
        again
            .ok()
            .starts_with("no session was running; none starts until"),
        "{again:?}"
    );
    assert!(again.complaint().contains("was there already"), "{again:?}");
    let lifted = cli(&b, &["start"]).ok();
    assert!(
        lifted.ends_with("is removed: sessions may start"),
        "{lifted}"
    );
    assert_eq!(b.sh("echo ran").ok(), "ran");
    assert_eq!(cli(&b, &["status"]).code(), 0);
    let nothing = cli(&b, &["start"]).ok();
    assert!(nothing.starts_with("nothing to lift"), "{nothing}");
}

/// `start` lifts one switch. It said that sessions may start while another one stopped them, or that there was nothing to lift.
#[test]
fn start_names_the_switches_that_are_left() {
    let b = TestBox::new().file("{ws}/.agentbox-stop", "by hand\n");
    for made in [false, true] {
        if made {
            cli(&b, &["stop"]).ok();
        }
        let ran = cli(&b, &["start", "-C", "{ws}"]);
        // Of no `agentbox stop`: it stays.
        assert_eq!(ran.code(), 1, "{ran:?}");
        let ran = cli(&b, &["start"]);
        assert_eq!(ran.code(), i32::from(!made), "{ran:?}");
        assert!(!ran.text().contains("may start"), "{ran:?}");
        let left = "agentbox: no session starts here: the stop file ";
        assert!(ran.complaint().contains(left), "{ran:?}");
        assert!(ran.complaint().contains("\"by hand\""), "{ran:?}");
    }
    fs::remove_file(b.ws().join(".agentbox-stop")).unwrap();
    let ran = cli(&b, &["start"]);
    assert!(ran.ok().starts_with("nothing to lift"), "{ran:?}");
    assert_eq!(ran.complaint(), "", "{ran:?}");
}

#[test]
fn a_workspace_is_stopped_alone() {
    let names = [token(), token()];
    let b = TestBox::new().dir("{home}/other");
    let first = start(&b, &names[0]);
    let other = b.fill("{home}/other");
    let wait = "echo up; while ! test -e go; do sleep 0.01; done; exit 6";
    let mut second = Live::start(b.agentbox([
        "run", "--net", "none", "-C", &other, "--", "/bin/sh", "-c", wait,
    ]));
    second.wait_line("up");
    // By another name of the directory.
    symlink(b.ws(), b.home().join("link")).unwrap();
    let ran = cli(&b, &["stop", "--workspace", "{home}/link"]);
    assert_eq!(count(&ran), 1, "{ran:?}");
    gone(&names[0]);
    assert_eq!(common::shell_status(first.end().status), 137);
    b.sh("true").refused(&[".agentbox-stop"]);
    fs::write(b.home().join("other/go"), "").unwrap();
    assert_eq!(second.end().code(), 6);
    cli(&b, &["start", "-C", "{ws}"]).ok();
    assert_eq!(b.sh("echo ran").ok(), "ran");
    assert!(!b.ws().join(".agentbox-stop").exists());
}

/// The agent takes the file away in the instant in which it comes; when `stop` returns it is there all the same.
#[test]
fn stop_of_a_workspace_stands_although_the_agent_removes_it() {
    let b = TestBox::new();
    let script =
        "for i in 1 2 3; do (while :; do rm -f .agentbox-stop; done) & done; echo up; wait";
    let mut live = b.start(["/bin/sh", "-c", script]);
    live.wait_line("up");
    cli(&b, &["stop", "--workspace", "{ws}"]).ok();
    assert_eq!(common::shell_status(live.end().status), 137);
    b.sh("true").refused(&[".agentbox-stop"]);
}

#[test]
fn start_removes_nothing_that_stop_did_not_make() {
    type Make = fn(&std::path::Path);
    let ways: [(&str, Make); 4] = [
        ("a file", |p| fs::write(p, "by hand\n").unwrap()),
        ("an empty file", |p| fs::write(p, "").unwrap()),
        ("a directory", |p| fs::create_dir(p).unwrap()),
        ("a link to one of ours", |p| symlink("/nowhere", p).unwrap()),
    ];
    for (what, make) in ways {
        let b = TestBox::new().dir("{home}/.config/agentbox");
        let file = b.home().join(".config/agentbox/stop");
        make(&file);
        let ran = cli(&b, &["start"]);
        assert_eq!(ran.code(), 1, "{what}: {ran:?}");
        assert!(
            ran.complaint()
                .contains("not made by `agentbox stop`, so it stays"),
            "{what}: {ran:?}"
        );
        assert!(file.symlink_metadata().is_ok(), "{what}");
        b.sh("true").refused(&["the stop file"]);
    }
}

#[test]
fn status_tells_programs_too() {
    let name = token();
    let b = TestBox::new();
    let live = start(&b, &name);
    let json = |code: i32| {
        let ran = cli(&b, &["status", "--json"]);
        assert_eq!(ran.code(), code, "{ran:?}");
        serde_json::from_slice::<serde_json::Value>(&ran.stdout).unwrap()
    };
    let before = json(0);
    assert_eq!(
        (&before["stopped"], &before["sessions"]),
        (&false.into(), &1.into())
    );
    let switches = before["switches"].as_array().unwrap();
    let scopes: Vec<&str> = switches
        .iter()
        .map(|s| s["scope"].as_str().unwrap())
        .collect();
    assert_eq!(scopes, ["workspace", "workspace", "user", "host", "host"]);
    for switch in switches {
        assert_eq!(switch["sessions"].as_array().unwrap().len(), 1, "{switch}");
        assert!(
            switch["on"].is_null() && switch["polled"].is_null(),
            "{switch}"
        );
    }
    fs::write(b.ws().join(".claude-stop"), "why").unwrap();
    let after = json(1);
    assert_eq!(after["stopped"], true);
    let on = after["switches"][0]["on"].as_str().unwrap();
    assert!(
        on.contains(".claude-stop") && on.contains("\"why\""),
        "{on}"
    );
    gone(&name);
    assert_eq!(common::shell_status(live.end().status), 137);
    // Where no session could be started it still tells of what stops all.
    let mut home = b.agentbox(["status"]);
    home.current_dir(b.home());
    let text = run(home).ok();
    assert!(
        text.contains("/etc/agentbox/stop") && !text.contains(" ON "),
        "{text}"
    );
}

#[test]
fn bad_usage() {
    let b = TestBox::new();
    for (args, words) in [
        (&["stop", "--reason", "two\nlines"][..], "one line"),
        (&["stop", "--reason", " "], "one line"),
        (
            &["stop", "--global", "--workspace", "x"],
            "cannot be used with",
        ),
        (&["stop", "--bogus"], "unexpected argument"),
        (&["start", "--reason", "x"], "unexpected argument"),
    ] {
        let ran = cli(&b, args);
        assert_eq!(ran.code(), 2, "{args:?}: {ran:?}");
        assert!(ran.complaint().contains(words), "{args:?}: {ran:?}");
    }
    let long = "x".repeat(401);
    assert_eq!(cli(&b, &["stop", "--reason", &long]).code(), 2);
    let ran = cli(&b, &["stop", "--workspace", "{home}/nowhere"]);
    assert_eq!(ran.code(), 1);
    assert!(ran.complaint().contains("not a directory"), "{ran:?}");
    assert!(!b.home().join(".config").exists(), "nothing was made");
}

/// `stop --global` is root's; it reaches the sessions of every user and ends when they are dead.
#[test]
fn the_machine_is_stopped_by_root_alone() {
    if missing(Feature::HostRoot) {
        return;
    }
    let name = token();
    let b = TestBox::new();
    let (uid, gid) = b.ids();
    let inner = b.command(b.probe_words(&format!("orphans 3 600 {name}")));
    // In a mount namespace with a /run/agentbox of its own: the switch must not stop the rest of the machine.
    let script = "mkdir -p /run/agentbox; mount -t tmpfs -o mode=755 none /run/agentbox; \
         as='setpriv --reuid {uid} --regid GID --clear-groups'; test {uid} != 0 || as=; box=$1; \
         $as \"$@\" > {t}/out 2> {t}/err & while ! grep -q ready {t}/out; do sleep 0.01; done; \
         setpriv --reuid 65534 --regid 65534 --clear-groups \"$box\" stop --global 2>&1 && exit 9; \
         \"$box\" stop --global --reason upgrade; wait $! || echo status $?; cat {t}/err; \
         $as \"$@\" 2>&1 || echo again $?; \"$box\" start --global; ls -A /run/agentbox";
    let script = b.fill(script).replace("GID", &gid.to_string());
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-euc",
        &script,
        "sh",
    ]);
    command.arg(inner.get_program()).args(inner.get_args());
    let env = inner.get_envs().filter_map(|(n, v)| Some((n, v?)));
    command.env_clear().envs(env).current_dir(b.ws());
    let text = run(command).ok();
    let _ = uid;
    for words in [
        "stop --global needs root: sudo agentbox stop --global",
        "session stopped in",
        "none starts until `agentbox start --global` (/run/agentbox/stop)",
        "status 137",
        "the stop file /run/agentbox/stop (root, ",
        "\"upgrade\"",
        "again 125",
        "/run/agentbox/stop is removed",
    ] {
        assert!(text.contains(words), "{words:?}: {text}");
    }
    gone(&name);
}

/// A supervisor that somebody has stopped does not hear of the file; it is killed with its box.
#[test]
fn stop_reaches_a_session_whose_supervisor_is_stopped() {
    let name = token();
    let b = TestBox::new();
    let live = start(&b, &name);
    let init = common::live::init_of(common::live::find(&name));
    let supervisor = common::live::parent(init).unwrap();
    nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let ran = cli(&b, &["stop"]);
    assert!(common::live::with_token(&name).is_empty(), "{ran:?}");
    assert_eq!(count(&ran), 1, "{ran:?}");
    assert!(
        ran.complaint()
            .contains("did not answer and was killed with it"),
        "{ran:?}"
    );
    assert_eq!(common::shell_status(live.end().status), 137);
}

/// One session by its name; and `--pause`, which kills nothing.
#[test]
fn one_session_and_pause() {
    let names = [token(), token()];
    let b = TestBox::new();
    let wait = "while :; do echo $((i += 1)) > beat.$0; sleep 0.01; done";
    let beat =
        |name: &str| fs::read_to_string(b.ws().join(format!("beat.{name}"))).unwrap_or_default();
    let beats = |name: &str| {
        let before = beat(name);
        common::until_within(std::time::Duration::from_millis(1500), || {
            beat(name) != before
        })
    };
    let lives: Vec<Live> = names
        .iter()
        .map(|n| b.start(["/bin/sh", "-c", wait, n.as_str()]))
        .collect();
    common::until("both run", || {
        names.iter().all(|name| !beat(name).is_empty())
    });
    let paused = cli(&b, &["stop", "--pause"]).ok();
    assert!(
        paused.starts_with("2 sessions paused until `agentbox start`"),
        "{paused}"
    );
    assert!(names.iter().all(|name| !beats(name)), "they are still");
    assert_eq!(b.sh("echo ran").ok(), "ran", "others may start");
    assert_eq!(cli(&b, &["start"]).ok(), "2 sessions go on");
    assert!(names.iter().all(|name| beats(name)), "they go on");
    // One of them.
    let id = fs::read_dir(b.home().join(".local/state/agentbox/sessions"))
        .unwrap()
        .flatten()
        .find(|entry| {
            fs::read_to_string(entry.path().join("session.json"))
                .is_ok_and(|text| text.contains(&names[0]))
        })
        .unwrap();
    let id = id.file_name().into_string().unwrap();
    assert!(
        cli(&b, &["stop", "--pause", &id])
            .ok()
            .contains("is paused until")
    );
    assert!(!beats(&names[0]) && beats(&names[1]));
    cli(&b, &["start", &id]).ok();
    assert!(beats(&names[0]));
    let stopped = cli(&b, &["stop", &id]).ok();
    assert!(stopped.contains(" stopped in "), "{stopped}");
    assert!(!beats(&names[0]) && beats(&names[1]));
    let mut codes = lives.into_iter();
    assert_eq!(
        common::shell_status(codes.next().unwrap().end().status),
        137
    );
    assert_eq!(cli(&b, &["stop", "no-such"]).code(), 1);
    assert_eq!(count(&cli(&b, &["stop"])), 1);
}
