//! What is published of sessions beside a remote switch: names and times, at the start, at each change and at the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::switched::config;
use common::switches::{Authority, Flags, Redis};
use common::{Feature, Live, TestBox, missing, run, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;

const TIMES: &str = "interval = \"400ms\"\ntimeout = \"3s\"\njitter = \"10ms\"\ngrace = \"20s\"\non-unreachable = \"continue\"\n";

/// With a secret wherever one may be in the command line and the environment.
fn start(b: &TestBox) -> Live {
    let mut live = b.start([
        "/bin/sh",
        "-c",
        "echo up; while ! test -e go; do sleep 0.02; done; exit 6 # hunter2",
    ]);
    live.wait_line("up");
    live
}

fn world(port: u16) -> TestBox {
    let text = format!(
        "[kill-switch]\nteam = \"pay ments\"\n[[kill-switch.remote]]\nname = \"ops\"\nurl = \"redis://127.0.0.1:{port}\"\nkeys = [\"stop\"]\npublish = \"session:${{team}}:${{user}}:${{session}}\"\n{TIMES}"
    );
    config(TestBox::new(), &text)
}

/// What a bulk answer of a Redis holds.
fn bulk(answer: &str) -> Option<String> {
    let (length, rest) = answer.strip_prefix('$')?.split_once("\r\n")?;
    let length: usize = length.parse().ok()?;
    rest.get(..length).map(str::to_owned)
}

/// Every head that is there, by its key.
fn heads(server: &Redis) -> Vec<(String, Value)> {
    let keys = server.tell(&["KEYS", "session:*"]);
    let keys: Vec<String> = keys
        .lines()
        .filter(|line| line.starts_with("session:"))
        .map(str::to_owned)
        .collect();
    keys.into_iter()
        .map(|key| {
            let text = bulk(&server.tell(&["GET", &key])).unwrap();
            assert!(!text.contains("hunter2"), "{text}");
            (key, serde_json::from_str(&text).unwrap())
        })
        .collect()
}

fn state(server: &Redis) -> String {
    let heads = heads(server);
    let state = heads
        .first()
        .and_then(|(_, head)| head["state"].as_str().map(str::to_owned));
    state.unwrap_or_default()
}

fn session(b: &TestBox) -> Value {
    let ran = run(b.agentbox(["ps", "--json"]));
    let rows: Value = serde_json::from_slice(&ran.stdout).unwrap();
    rows[0].clone()
}

#[test]
fn a_redis_is_told_of_each_session_from_its_start_to_its_end() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    let server = Redis::start(&[], None);
    let b = world(server.port);
    let live = start(&b);
    until("it is there", || state(&server) == "running");
    let (key, head) = heads(&server).remove(0);
    let id = session(&b)["session"].as_str().unwrap().to_owned();
    let user = head["user"].as_str().unwrap().to_owned();
    assert_eq!(key, format!("session:pay-ments:{user}:{id}"));
    assert_eq!(head["session"], id.as_str());
    assert_eq!(head["team"], "pay ments");
    assert_eq!(
        head["workspace"],
        b.ws().file_name().unwrap().to_str().unwrap()
    );
    let host = nix::unistd::gethostname().unwrap();
    assert_eq!(head["host"], host.to_str().unwrap());
    let started = head["started"].clone();
    assert_eq!(head["changed"], started);
    assert!(head["exit-status"].is_null());
    // Nobody who is switched off stays in the list for ever.
    let left = server.tell(&["TTL", &key]);
    let left: i64 = left.trim().trim_start_matches(':').parse().unwrap();
    assert!((172_000..=172_800).contains(&left), "{left}");
    for (verb, wanted) in [("pause", "paused"), ("resume", "running")] {
        let ran = run(b.agentbox([verb, &id]));
        assert_eq!(common::shell_status(ran.status), 0, "{ran:?}");
        until(wanted, || state(&server) == wanted);
    }
    let (_, head) = heads(&server).remove(0);
    assert!(
        head["started"] == started && head["changed"] != started,
        "{head}"
    );
    fs::write(b.ws().join("go"), "").unwrap();
    assert_eq!(common::shell_status(live.end().status), 6);
    let (_, head) = heads(&server).remove(0);
    assert_eq!(
        (&head["state"], &head["exit-status"]),
        (&"ended".into(), &6.into())
    );
    // A short one, too: its start may never have been written, its end is.
    fs::remove_file(b.ws().join("go")).unwrap();
    server.tell(&["FLUSHALL"]);
    b.sh("true").ok();
    until("the short one", || state(&server) == "ended");
}

#[test]
fn a_supervisor_that_was_killed_is_published_as_lost() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    let server = Redis::start(&[], None);
    let b = world(server.port);
    let live = start(&b);
    until("it is there", || state(&server) == "running");
    let pid = session(&b)["supervisor"].as_i64().unwrap();
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    until("it is lost", || state(&server) == "lost");
    assert_eq!(common::shell_status(live.end().status), 137);
}

#[test]
fn what_cannot_be_published_is_said_once_and_the_session_goes_on() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    let server = Redis::start(&[], None);
    server.tell(&["ACL", "SETUSER", "default", "resetkeys", "~stop*"]);
    let b = world(server.port);
    let live = start(&b);
    let log = || {
        let sessions = fs::read_dir(b.home().join(".local/state/agentbox/sessions")).unwrap();
        let read = |dir: fs::DirEntry| fs::read_to_string(dir.path().join("events.jsonl"));
        sessions
            .flatten()
            .filter_map(|dir| read(dir).ok())
            .collect::<String>()
    };
    until("it is recorded", || log().contains("head-unpublished"));
    // The switch itself is well.
    assert!(session(&b)["switches"][0]["unreachable"].is_null());
    server.tell(&["ACL", "SETUSER", "default", "~*"]);
    until("it is published", || log().contains("head-published"));
    assert_eq!(state(&server), "running");
    fs::write(b.ws().join("go"), "").unwrap();
    let ran = live.end();
    assert_eq!(common::shell_status(ran.status), 6);
    let said = ran.complaint();
    assert_eq!(said.matches("cannot be published").count(), 1, "{said}");
    assert!(said.contains("NOPERM"), "{said}");
    assert_eq!(log().matches("head-unpublished").count(), 1);
}

#[test]
fn a_document_is_put_beside_the_switch() {
    let b = TestBox::new();
    let authority = Authority::new(&b, "a", "IP:127.0.0.1");
    let mut flags = Flags::start(&authority, "secret", 0);
    let text = format!(
        "[[kill-switch.remote]]\nname = \"ops\"\nurl = \"https://127.0.0.1:{}/stop\"\nca = \"{{t}}/a-ca.pem\"\ntoken-file = \"{{home}}/.config/agentbox/token\"\npublish = \"/sessions/${{host}}/${{session}}\"\n{TIMES}",
        flags.port
    );
    let b = config(b.file("{home}/.config/agentbox/token", "secret"), &text);
    let live = start(&b);
    let id = session(&b)["session"].as_str().unwrap().to_owned();
    let host = nix::unistd::gethostname().unwrap();
    let path = format!("get /sessions/{}/{id}", host.to_str().unwrap());
    until("it is there", || flags.tell(&path).contains("\"running\""));
    fs::write(b.ws().join("go"), "").unwrap();
    assert_eq!(common::shell_status(live.end().status), 6);
    until("its end", || flags.tell(&path).contains("\"ended\""));
    let text = flags.tell(&path);
    assert!(
        !text.contains("hunter2") && !text.contains("secret"),
        "{text}"
    );
    // The twin: off by default, and a drill is no session.
    let plain = b.home().join(".config/agentbox/config.toml");
    let ran = run(b.agentbox(["drill", "ops"]));
    assert_eq!(common::shell_status(ran.status), 0, "{ran:?}");
    let text = fs::read_to_string(&plain).unwrap();
    let text: Vec<&str> = text.lines().filter(|l| !l.starts_with("publish")).collect();
    fs::write(&plain, text.join("\n")).unwrap();
    b.sh("true").ok();
    assert_eq!(flags.tell("paths"), path.replace("get ", "paths "));
}
