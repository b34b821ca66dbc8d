//! Attacks on the handles of a session: names that are no names, links in the directory of the sessions, descriptors that nobody
//! asked for, and boxes that do not want to be killed or paused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{Live, gone, with_token};
use common::world::token;
use common::{TestBox, run, until};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, sendmsg,
    socket,
};
use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

fn sessions(b: &TestBox) -> PathBuf {
    b.home().join(".local/state/agentbox/sessions")
}

fn id(b: &TestBox) -> String {
    run(b.agentbox(["ps", "-q"])).ok().trim().to_owned()
}

fn holder(b: &TestBox, name: &str) -> Live {
    b.start_probe(&format!("orphans 3 600 {name}"))
}

/// A name that is a path, a part of nothing, or empty reaches no file and no session.
#[test]
fn names_that_are_paths_are_no_sessions() {
    let b = TestBox::new();
    let name = token();
    let live = holder(&b, &name);
    let session = id(&b);
    fs::create_dir(b.root().join("elsewhere")).unwrap();
    fs::write(b.root().join("elsewhere/events.jsonl"), "{}\n").unwrap();
    let there = b.root().join("elsewhere");
    for word in [
        "",
        ".",
        "..",
        "/",
        "../../../../../elsewhere",
        there.to_str().unwrap(),
        ".unsettled",
        "\n",
        &format!("{session}/"),
        &format!("./{session}"),
        &format!("{session}x"),
        &session.to_uppercase(),
    ] {
        for verb in ["kill", "pause", "resume", "detach", "attach"] {
            let ran = run(b.agentbox([verb, word]));
            assert_eq!(ran.code(), 1, "{verb} {word:?}: {ran:?}");
            assert!(
                ran.complaint().contains("no live session"),
                "{verb} {word:?}: {ran:?}"
            );
        }
        let ran = run(b.agentbox(["exec", word, "--", "true"]));
        assert_eq!(ran.code(), 125, "exec {word:?}: {ran:?}");
        if !word.is_empty() {
            let ran = run(b.agentbox(["logs", word]));
            assert_eq!(ran.code(), 1, "logs {word:?}: {ran:?}");
        }
    }
    assert_eq!(with_token(&name).len(), 4, "nobody was harmed");
    // The twin: a beginning and an end of the name are enough.
    let (beginning, end) = (&session[..7], &session[6..]);
    run(b.agentbox(["exec", beginning, "--", "true"])).ok();
    assert!(run(b.agentbox(["logs", end])).ok().contains("started"));
    assert_eq!(run(b.agentbox(["kill", end])).code(), 0);
    assert_eq!(live.end().code(), 137);
}

/// A link in place of a session, or of a file of one, is not followed: nothing elsewhere is listed, cleaned up or removed.
#[test]
fn links_among_the_sessions_are_not_followed() {
    let b = TestBox::new();
    b.run(["true"]).ok();
    let past = fs::read_dir(sessions(&b)).unwrap();
    let past = past
        .map(|entry| entry.unwrap().path())
        .find(|path| path.join("session.json").exists())
        .unwrap();
    let treasure = b.root().join("treasure");
    fs::create_dir(&treasure).unwrap();
    for file in ["session.json", "events.jsonl", "control"] {
        fs::write(treasure.join(file), "dear").unwrap();
    }
    b.chown(&treasure);
    let link = |target: &Path, at: &Path| {
        std::os::unix::fs::symlink(target, at).unwrap();
        b.chown(at);
    };
    link(&treasure, &sessions(&b).join("000000aaaa"));
    for (name, file) in [
        ("000000bbbb", "events.jsonl"),
        ("000000cccc", "session.json"),
    ] {
        let dir = sessions(&b).join(name);
        fs::create_dir(&dir).unwrap();
        fs::copy(past.join("session.json"), dir.join("session.json")).unwrap();
        fs::copy(past.join("events.jsonl"), dir.join("events.jsonl")).unwrap();
        fs::remove_file(dir.join(file)).unwrap();
        link(&treasure.join(file), &dir.join(file));
        for path in [&dir, &dir.join("session.json"), &dir.join("events.jsonl")] {
            b.chown(path);
        }
    }
    assert_eq!(id(&b), "");
    assert_eq!(run(b.agentbox(["kill", "--all"])).code(), 0);
    for session in ["000000aaaa", "000000bbbb"] {
        let ran = run(b.agentbox(["logs", session]));
        assert_eq!(ran.code(), 1, "{session}: {ran:?}");
    }
    fs::remove_file(sessions(&b).join(".swept")).unwrap();
    b.run(["true"]).ok();
    for file in ["session.json", "events.jsonl", "control"] {
        assert_eq!(fs::read(treasure.join(file)).unwrap(), b"dear", "{file}");
    }
}

/// Descriptors that a request has no use for are closed with it, in whatever number, and the session goes on.
#[test]
fn descriptors_that_nobody_asked_for() {
    let b = TestBox::new();
    let name = token();
    let live = holder(&b, &name);
    let session = id(&b);
    let supervisor: i32 = {
        let text = fs::read(sessions(&b).join(&session).join("session.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        record["supervisor"].as_i64().unwrap().try_into().unwrap()
    };
    let open = || {
        fs::read_dir(format!("/proc/{supervisor}/fd"))
            .unwrap()
            .count()
    };
    let before = open();
    let secret = fs::File::open("/").unwrap();
    let many = vec![secret.as_raw_fd(); 200];
    for request in ["\"status\"", "\"kill\"", "\"pause\"", "\"nonsense\""] {
        for fds in [&many[..1], &many[..]] {
            let line = call(&sessions(&b).join(&session).join("control"));
            let sent = sendmsg::<()>(
                line.as_raw_fd(),
                &[IoSlice::new(request.as_bytes())],
                &[ControlMessage::ScmRights(fds)],
                MsgFlags::MSG_NOSIGNAL,
                None,
            );
            assert!(sent.is_ok(), "{request}: {sent:?}");
            let mut answer = [0; 4096];
            let length = recv(line.as_raw_fd(), &mut answer, MsgFlags::empty()).unwrap();
            let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
            assert!(
                answer.contains("refused"),
                "{request} with {}: {answer}",
                fds.len()
            );
        }
    }
    until("they are closed", || open() <= before);
    assert_eq!(id(&b), session);
    assert_eq!(with_token(&name).len(), 4);
    assert_eq!(run(b.agentbox(["kill", &session])).code(), 0);
    assert_eq!(live.end().code(), 137);
}

fn call(path: &Path) -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC;
    let line = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
    connect(line.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    line
}

/// Whatever the box does with itself, `pause`, `resume` and `kill` do what they say.
#[test]
fn nothing_that_an_agent_does_outruns_kill_and_pause() {
    for (what, script) in [
        (
            "a fork bomb",
            // What stays must not fork: at the limit a shell ends over that.
            "bomb() { bomb | bomb & }; {probe} sleep 600 {name} & echo up; (bomb) 2>/dev/null & exec sleep 600",
        ),
        (
            "deaf and stopped",
            "trap '' TERM INT HUP QUIT; {probe} sleep 600 {name} & sh -c 'kill -STOP $$; sleep 600' & echo up; wait; sleep 600",
        ),
        (
            "continues whatever stops",
            "{probe} sleep 600 {name} & (while :; do kill -CONT -1; done) 2>/dev/null & echo up; wait; sleep 600",
        ),
        (
            "traced",
            "{probe} sleep 600 {name} & strace -f -o /dev/null sh -c 'echo up; while :; do :; done'",
        ),
    ] {
        if what == "traced" && common::missing(common::Feature::Tool("strace")) {
            continue;
        }
        let b = TestBox::new().option("--limit").option("processes=120");
        let name = token();
        let mut live = b.start(["/bin/sh", "-c", &b.fill(script).replace("{name}", &name)]);
        live.wait_line("up");
        let session = id(&b);
        for _ in 0..2 {
            let paused = run(b.agentbox(["pause", &session]));
            assert_eq!(paused.code(), 0, "{what}: {paused:?}");
            let resumed = run(b.agentbox(["resume", &session]));
            assert_eq!(resumed.code(), 0, "{what}: {resumed:?}");
        }
        // Also while it is paused, and with its client stopped.
        assert_eq!(run(b.agentbox(["pause", &session])).code(), 0, "{what}");
        kill(live.pid(), Signal::SIGSTOP).unwrap();
        let killed = run(b.agentbox(["kill", &session]));
        assert_eq!(killed.code(), 0, "{what}: {killed:?}");
        assert!(with_token(&name).is_empty(), "{what}: dead when it returns");
        kill(live.pid(), Signal::SIGCONT).unwrap();
        let ran = live.end();
        assert_eq!(common::shell_status(ran.status), 137, "{what}: {ran:?}");
        gone(&name);
    }
}
