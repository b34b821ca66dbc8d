//! Remote kill switches: on kills every box that watches it and keeps the next from starting; silent is by policy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::gone;
use common::switched::{config, count, killed, start, supervisor};
use common::switches::{Authority, Flags};
use common::world::token;
use common::{Live, TestBox, run, until};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

/// A switch of the flag server.
fn https(port: u16, more: &str) -> String {
    format!(
        "[[kill-switch.remote]]\nname = \"ops\"\nurl = \"https://127.0.0.1:{port}/agents/stop\"\nca = \"{{t}}/a-ca.pem\"\ntoken-file = \"{{home}}/.config/agentbox/token\"\n{more}\n"
    )
}

const FAST: &str = "interval = \"300ms\"\ntimeout = \"1500ms\"\njitter = \"10ms\"\n";

/// The watch processes of a session, by their title.
fn watches(b: &TestBox) -> Vec<i32> {
    let _ = b;
    let mut out = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if comm.trim() == "agentbox-watch" {
            out.push(pid);
        }
    }
    out
}

/// The child of that process that is called so.
fn watch_of(supervisor: i32) -> i32 {
    let is_it = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        parent == Some(supervisor)
    };
    let mut found = None;
    until("the watch of the session", || {
        found = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok())
            .filter(|pid| {
                let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                comm.trim() == "agentbox-watch"
            })
            .find(is_it);
        found.is_some()
    });
    found.unwrap()
}

fn ps(b: &TestBox) -> serde_json::Value {
    let ran = run(b.agentbox(["ps", "--json"]));
    let rows: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    rows[0]["switches"][0].clone()
}

fn world(policy: &str, grace: &str) -> (TestBox, Flags) {
    world_with(FAST, policy, grace)
}

fn world_with(times: &str, policy: &str, grace: &str) -> (TestBox, Flags) {
    let b = TestBox::new();
    let authority = Authority::new(&b, "a", "IP:127.0.0.1,DNS:localhost");
    let flags = Flags::start(&authority, "secret-token-1", 0);
    let more = format!("{times}on-unreachable = \"{policy}\"\ngrace = \"{grace}\"");
    let b = config(b, &https(flags.port, &more));
    let b = b.file("{home}/.config/agentbox/token", "secret-token-1\n");
    (b, flags)
}

#[test]
fn a_flag_kills_the_box_at_once_and_keeps_the_next_from_starting() {
    let times = "interval = \"3s\"\ntimeout = \"2s\"\n";
    let (b, mut flags) = world_with(times, "stop", "30s");
    let name = token();
    let live = start(&b, &name);
    // Warm: it is held back by the server from the second question on.
    until("the flag server holds the answer back", || {
        let ran = run(b.agentbox(["status", "--json"]));
        let all: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        all["remotes"][0]["sessions"][0]["push"] == true
    });
    let begun = Instant::now();
    flags.tell("set /agents/stop {\"reason\": \"the bill\", \"by\": \"ann\"}");
    let ran = live.end();
    let took = begun.elapsed();
    killed(
        &ran,
        &[
            "killed: the remote switch ops (https://127.0.0.1:",
            "/agents/stop) (ann): \"the bill\"; to start again: `agentbox start --remote ops`",
        ],
    );
    gone(&name);
    assert!(took < Duration::from_millis(1000), "{took:?}");
    let refused = b.sh("echo ran");
    refused.refused(&[
        "not started: the remote switch ops (https://",
        "\"the bill\"",
    ]);
    let status = run(b.agentbox(["status"]));
    assert_eq!(common::shell_status(status.status), 1, "{status:?}");
    assert!(
        String::from_utf8_lossy(&status.stdout).contains("ON"),
        "{status:?}"
    );
    // The twin: lifted by agentbox, it starts.
    let lifted = run(b.agentbox(["start", "--remote", "ops"]));
    assert_eq!(common::shell_status(lifted.status), 0, "{lifted:?}");
    assert_eq!(b.sh("echo ran").ok(), "ran");
    // Set by agentbox: it returns when the sessions here are dead.
    let name = token();
    let live = start(&b, &name);
    let set = run(b.agentbox(["stop", "--remote", "ops", "--reason", "enough"]));
    assert_eq!(common::shell_status(set.status), 0, "{set:?}");
    let said = String::from_utf8_lossy(&set.stdout).into_owned();
    assert!(said.contains("1 session here stopped in"), "{said}");
    gone(&name);
    killed(&live.end(), &["\"enough\""]);
}

#[test]
fn the_token_is_nowhere_but_in_its_file() {
    let (b, _flags) = world("stop", "30s");
    let live = start(&b, &token());
    let shown = b.sh(
        "true; cat /proc/*/environ /proc/*/cmdline 2>/dev/null; cat {home}/.config/agentbox/token",
    );
    assert!(
        !String::from_utf8_lossy(&shown.stdout).contains("secret-token-1"),
        "{shown:?}"
    );
    assert!(shown.complaint().contains("No such file"), "{shown:?}");
    let sessions = b.home().join(".local/state/agentbox/sessions");
    for dir in fs::read_dir(sessions).unwrap().flatten() {
        for file in ["session.json", "events.jsonl"] {
            let text = fs::read_to_string(dir.path().join(file)).unwrap_or_default();
            assert!(!text.contains("secret-token-1"), "{file}");
        }
    }
    let pid = watch_of(supervisor(&b).as_raw());
    for file in ["cmdline", "environ"] {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        assert!(!common::has_bytes(&bytes, b"secret-token-1"), "{file}");
    }
    // A grant that would show it is refused.
    let c = TestBox::new();
    let c = config(
        c,
        "[[kill-switch.remote]]\nname = \"x\"\nurl = \"https://127.0.0.1:1/x\"\non-unreachable = \"continue\"\ntoken-file = \"{ws}/token\"\n",
    );
    c.sh("echo ran")
        .refused(&["the box could read", "/token of the remote switch `x`"]);
    drop(live);
}

#[test]
fn a_watch_is_confined() {
    let (b, _flags) = world("stop", "30s");
    let live = start(&b, &token());
    let pid = watch_of(supervisor(&b).as_raw());
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        if set != "CapBnd:" || common::world::as_root() {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
    }
    assert_eq!(field("Seccomp:"), "2");
    assert_eq!(field("NoNewPrivs:"), "1");
    drop(live);
}

/// Every way to lose the back end, as a command to the flag server.
const WAYS: [&str; 7] = [
    "500", "hang", "garbage", "html", "redirect", "drip", "reset",
];

#[test]
fn every_way_of_losing_the_back_end_kills_at_the_end_of_the_grace() {
    for way in WAYS {
        if way == "html" {
            // Without a member to look for every document is a stop: that is the first test.
            continue;
        }
        let (b, mut flags) = world("stop", "4s");
        let name = token();
        let live = start(&b, &name);
        let begun = Instant::now();
        flags.tell(&format!("mode {way}"));
        let ran = live.end();
        let took = begun.elapsed();
        killed(
            &ran,
            &[
                "the remote switch ops",
                "which has given no proof of life for 4 s: ",
            ],
        );
        gone(&name);
        let (least, most) = (Duration::from_millis(1500), Duration::from_secs(12));
        assert!((least..most).contains(&took), "{way}: {took:?}");
        assert_eq!(count(&b, "switch-unreachable"), 1, "{way}: said once");
        assert_eq!(count(&b, "switch-grace-over"), 1, "{way}");
    }
}

#[test]
fn cut_off_wrong_certificate_and_expired_token_are_losses_too() {
    let restart = |b: &TestBox, flags: Flags, authority: &str| {
        let port = flags.port;
        drop(flags);
        (authority != "none").then(|| {
            Flags::start(
                &Authority::new(b, authority, "IP:127.0.0.1"),
                "secret-token-1",
                port,
            )
        })
    };
    for (way, word) in [
        ("none", "onnection refused"),
        ("other", "certificate"),
        ("token", "401"),
    ] {
        let (b, mut flags) = world("stop", "4s");
        let name = token();
        let live = start(&b, &name);
        let begun = Instant::now();
        let _next = if way == "token" {
            flags.tell("token another");
            Some(flags)
        } else {
            restart(&b, flags, way)
        };
        let ran = live.end();
        killed(&ran, &["which has given no proof of life for 4 s: ", word]);
        gone(&name);
        assert!(
            begun.elapsed() < Duration::from_secs(12),
            "{way}: {:?}",
            begun.elapsed()
        );
        b.sh("echo ran")
            .refused(&["not started: the remote switch ops", "is unreachable", word]);
    }
}

/// The server takes another token from now on: it is asked with that, and kills when it says so.
#[track_caller]
fn goes_on_with_the_second_token(b: &TestBox, flags: &mut Flags, live: Live) {
    flags.tell("token secret-token-2");
    let asked = flags.count();
    until("it asks on", || flags.count() > asked + 4);
    assert_eq!(count(b, "switch-unreachable"), 0);
    flags.tell("set /agents/stop now");
    killed(&live.end(), &["\"now\""]);
}

#[test]
fn a_renewed_token_is_found() {
    let (b, mut flags) = world("stop", "3s");
    let live = start(&b, &token());
    fs::write(b.home().join(".config/agentbox/token"), "secret-token-2").unwrap();
    goes_on_with_the_second_token(&b, &mut flags, live);
}

/// What a program prints is the token, and is asked for again when it is refused.
#[test]
fn a_token_may_come_from_a_program() {
    let b = TestBox::new().script("{t}/bin/token", "#!/bin/sh\necho secret-token-1\n");
    let authority = Authority::new(&b, "a", "IP:127.0.0.1,DNS:localhost");
    let mut flags = Flags::start(&authority, "secret-token-1", 0);
    let text = format!(
        "[[kill-switch.remote]]\nname = \"ops\"\nurl = \"https://127.0.0.1:{}/agents/stop\"\nca = \"{{t}}/a-ca.pem\"\ntoken-command = \"{{t}}/bin/token\"\n{FAST}on-unreachable = \"stop\"\ngrace = \"5s\"\n",
        flags.port
    );
    let b = config(b, &text);
    let live = start(&b, &token());
    let program = b.root().join("bin/token");
    let new = program.with_extension("new");
    fs::write(&new, "#!/bin/sh\necho secret-token-2\n").unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, &program).unwrap();
    goes_on_with_the_second_token(&b, &mut flags, live);
    flags.tell("del /agents/stop");
    // The twin: another token is refused.
    flags.tell("token another");
    b.sh("echo ran").refused(&["is unreachable", "401"]);
}

#[test]
fn continue_goes_on_and_says_so_everywhere() {
    let (b, mut flags) = world("continue", "4s");
    let mut live = b.start([
        "/bin/sh",
        "-c",
        "echo up; while ! test -e go; do sleep 0.02; done; exit 6",
    ]);
    live.wait_line("up");
    assert!(ps(&b)["unreachable"].is_null());
    flags.tell("mode 500");
    until("the grace is over", || count(&b, "switch-grace-over") == 1);
    let known = ps(&b);
    assert!(
        known["unreachable"].as_str().unwrap().contains("500"),
        "{known}"
    );
    assert!(
        known["age_ms"]
            .as_u64()
            .or(known["age-ms"].as_u64())
            .unwrap()
            >= 1000,
        "{known}"
    );
    let table = run(b.agentbox(["ps"]));
    assert!(
        String::from_utf8_lossy(&table.stdout).contains("ops! "),
        "{table:?}"
    );
    let status = run(b.agentbox(["status"]));
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        text.contains("UNREACHABLE") && text.contains("500"),
        "{text}"
    );
    flags.tell("mode ok");
    until("it is back", || count(&b, "switch-reachable") == 1);
    fs::write(b.ws().join("go"), "").unwrap();
    let ran = live.end();
    assert_eq!(common::shell_status(ran.status), 6, "{ran:?}");
    let said = ran.complaint();
    assert_eq!(said.matches("unreachable: ").count(), 1, "{said}");
    assert_eq!(said.matches("answers again after").count(), 1, "{said}");
    // The start says it, too, and goes on.
    flags.tell("mode 500");
    let ran = b.sh("echo ran");
    assert_eq!(common::shell_status(ran.status), 0, "{ran:?}");
    assert!(
        ran.complaint()
            .contains("unreachable: the server answered 500"),
        "{ran:?}"
    );
}

#[test]
fn pause_stands_still_until_the_switch_answers() {
    let (b, mut flags) = world("pause", "4s");
    let mut live = b.start([
        "/bin/sh",
        "-c",
        "echo up; while ! test -e go; do echo >> ticks; sleep 0.02; done; exit 6",
    ]);
    live.wait_line("up");
    flags.tell("mode hang");
    until("it is paused", || count(&b, "paused") == 1);
    let ticks = || fs::read(b.ws().join("ticks")).unwrap_or_default().len();
    let mut last = ticks();
    until("it stands still", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = ticks();
        std::mem::replace(&mut last, now) == now
    });
    flags.tell("mode ok");
    until("it goes on", || count(&b, "resumed") == 1);
    until("it moves", || ticks() > last);
    fs::write(b.ws().join("go"), "").unwrap();
    assert_eq!(common::shell_status(live.end().status), 6);
}

#[test]
fn a_watch_that_crashes_or_hangs_is_an_unreachable_switch() {
    let (b, _flags) = world("stop", "4s");
    let name = token();
    let live = start(&b, &name);
    let supervisor = supervisor(&b).as_raw();
    // Killed: another one is started, and nothing is lost.
    let first = watch_of(supervisor);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(first),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    until("another watch", || watch_of(supervisor) != first);
    until("it has answered", || count(&b, "switch-reachable") == 1);
    // Stopped: it says nothing.
    let second = watch_of(supervisor);
    let begun = Instant::now();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(second),
        nix::sys::signal::Signal::SIGSTOP,
    )
    .unwrap();
    let ran = live.end();
    killed(
        &ran,
        &["which has given no proof of life for 4 s: it does not answer"],
    );
    gone(&name);
    assert!(begun.elapsed() < Duration::from_secs(12));
    assert!(
        watches(&b).iter().all(|pid| *pid != second),
        "the watch ends with the session"
    );
}

/// The agent could have removed the file that stops it, as it could have changed a program or a certificate of the switch.
#[test]
fn a_file_that_the_box_could_remove_is_no_switch() {
    let switch = |at: &str| {
        format!(
            "[[kill-switch.remote]]\nname = \"share\"\nurl = \"file://{at}\"\n{FAST}on-unreachable = \"stop\"\n"
        )
    };
    let b = TestBox::new().dir("{ws}/ops");
    let b = config(b, &switch("{ws}/ops/stop"));
    b.sh("echo ran").refused(&[
        "the box could change",
        "/ops/stop of the remote switch `share`",
    ]);
    // The twin: beside the working copy.
    let b = TestBox::new().dir("{t}/share/ops");
    let b = config(b, &switch("{t}/share/ops/stop"));
    assert_eq!(b.sh("echo ran").text(), "ran");
}

#[test]
fn a_file_on_a_share() {
    let b = TestBox::new().dir("{t}/share/ops");
    let b = config(
        b,
        &format!(
            "[[kill-switch.remote]]\nname = \"share\"\nurl = \"file://{{t}}/share/ops/stop-${{host}}\"\n{FAST}on-unreachable = \"stop\"\ngrace = \"4s\"\n"
        ),
    );
    let host = nix::unistd::gethostname()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let file = b.root().join(format!("share/ops/stop-{host}"));
    let name = token();
    let live = start(&b, &name);
    fs::write(&file, "too dear\n").unwrap();
    let words = format!(
        "the remote switch share (file://{}): \"too dear\"",
        file.display()
    );
    killed(&live.end(), &[&words]);
    gone(&name);
    b.sh("echo ran")
        .refused(&["not started: the remote switch share"]);
    // By agentbox; what it did not make it leaves.
    let lifted = run(b.agentbox(["start", "--remote", "share"]));
    assert_eq!(common::shell_status(lifted.status), 1, "{lifted:?}");
    fs::remove_file(&file).unwrap();
    for (verb, status) in [("stop", 0), ("start", 0)] {
        let ran = run(b.agentbox([verb, "--remote", "share"]));
        assert_eq!(common::shell_status(ran.status), status, "{ran:?}");
        assert_eq!(file.exists(), verb == "stop");
    }
    // The share goes away.
    let live = start(&b, &name);
    fs::rename(b.root().join("share/ops"), b.root().join("share/gone")).unwrap();
    killed(&live.end(), &["No such file or directory"]);
    gone(&name);
}

#[test]
fn a_program_that_says_it() {
    let b = TestBox::new().script("{t}/bin/ask", "#!/bin/sh\nexec /bin/cat {t}/said\n");
    let script = b.root().join("bin/ask");
    let text = fs::read_to_string(&script).unwrap();
    fs::write(&script, b.fill(&text)).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let b = b.file("{t}/said", "clear\n");
    let b = config(
        b,
        &format!(
            "[[kill-switch.remote]]\nname = \"ask\"\nurl = \"exec:{{t}}/bin/ask\"\n{FAST}on-unreachable = \"stop\"\ngrace = \"4s\"\n"
        ),
    );
    let name = token();
    let live = start(&b, &name);
    fs::write(b.root().join("said"), "stop it is late\n").unwrap();
    killed(
        &live.end(),
        &["the remote switch ask (exec:", "\"it is late\""],
    );
    gone(&name);
    fs::write(b.root().join("said"), "clear\n").unwrap();
    let live = start(&b, &name);
    fs::write(b.root().join("said"), "what?\n").unwrap();
    killed(&live.end(), &["it said neither `clear` nor `stop`: what?"]);
    let ran = run(b.agentbox(["stop", "--remote", "ask"]));
    assert_eq!(common::shell_status(ran.status), 1, "{ran:?}");
    // In the workspace it would be the agent's.
    let c = TestBox::new().script("{ws}/ask", "#!/bin/sh\necho clear\n");
    let c = config(
        c,
        "[[kill-switch.remote]]\nname = \"ask\"\nurl = \"exec:{ws}/ask\"\non-unreachable = \"stop\"\n",
    );
    c.sh("echo ran")
        .refused(&["the box could change", "/ask of the remote switch `ask`"]);
}
