//! Signals and stops in the life of a session: each test is named after what went wrong once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{find, init_of, parent};
use common::world::token;
use common::{TestBox, until};
use nix::sys::signal::{Signal, kill};
use std::path::PathBuf;

/// Init reaped the command without learning that it was the command, and the session waited for ever.
#[test]
fn death_by_a_real_time_signal_ends_the_session() {
    let b = TestBox::new();
    for signal in [34, 40, 64] {
        let ran = b.run(["/bin/bash", "-c", &format!("kill -{signal} $$")]);
        assert_eq!(ran.code(), 128 + signal, "{ran:?}");
    }
    // The twin: a child that dies of one is reaped, and the command goes on.
    let ran = b.run(["/bin/bash", "-c", "bash -c 'kill -40 $$'; exit $?"]);
    assert_eq!(ran.code(), 168, "{ran:?}");
}

/// A root caller's box has a cgroup, which nobody removed when the supervisor was killed; and its session stayed open until
/// somebody looked.
#[test]
fn a_killed_supervisor_leaves_no_cgroup_and_a_lost_session() {
    let name = token();
    let b = TestBox::new();
    let live = b.start_probe(&format!("sleep 600 {name}"));
    let supervisor = parent(init_of(find(&name))).unwrap();
    let sessions = b.home().join(".local/state/agentbox/sessions");
    // Beside the sessions there are the mark of the last sweep and places of agentbox's own.
    let id = std::fs::read_dir(&sessions)
        .unwrap()
        .map(Result::unwrap)
        .find(|entry| entry.path().join("session.json").is_file())
        .unwrap();
    let group = format!("agentbox-{}", id.file_name().to_str().unwrap());
    let groups = || {
        let mut found = Vec::new();
        let mut dirs = vec![PathBuf::from("/sys/fs/cgroup")];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    if entry.file_name() == group.as_str() {
                        found.push(entry.path());
                    }
                    dirs.push(entry.path());
                }
            }
        }
        found
    };
    let before = groups();
    kill(supervisor, Signal::SIGKILL).unwrap();
    assert_eq!(live.end().code(), 137);
    assert!(
        groups().is_empty(),
        "left: {:?}, were: {before:?}",
        groups()
    );
    let record = std::fs::read_to_string(id.path().join("session.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["state"], "lost", "{record}");
}

/// A client without a terminal stopped with its command, and nobody continued it when the session had ended: a script waited for
/// ever.
#[test]
fn a_client_that_stopped_with_its_command_sees_the_end() {
    let b = TestBox::new().option("--limit").option("time=2s");
    let ran = b.run(["/bin/bash", "-c", "kill -STOP $$"]);
    assert_eq!(ran.code(), 124, "{ran:?}");
    assert!(ran.complaint().contains("time limit"), "{ran:?}");
    // Killed while both are stopped.
    let b = TestBox::new();
    let live = b.start(["/bin/bash", "-c", "kill -STOP $$"]);
    common::until("the client has stopped", || {
        common::live::state(live.pid()) == Some('T')
    });
    assert_eq!(common::run(b.agentbox(["kill", "--all"])).code(), 0);
    assert_eq!(live.end().code(), 137);
    // The twin: continued, the command goes on.
    let live = b.start(["/bin/bash", "-c", "kill -STOP $$; exit 7"]);
    common::until("the client has stopped", || {
        common::live::state(live.pid()) == Some('T')
    });
    live.signal(Signal::SIGCONT);
    assert_eq!(live.end().code(), 7);
}

/// A command that stops and goes on again and again had its client told of each stop: without a terminal it stopped once more for
/// each of them when the session had ended, and a script waited for ever.
#[test]
fn a_command_that_stops_again_and_again_leaves_no_client_behind() {
    let again = "me=$$; (while :; do kill -STOP $me; sleep 0.002; kill -CONT $me; done) & wait";
    let b = TestBox::new();
    for _ in 0..3 {
        let live = b.start(["/bin/bash", "-c", again]);
        common::until("the client has stopped", || {
            common::live::state(live.pid()) == Some('T')
        });
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(common::run(b.agentbox(["kill", "--all"])).code(), 0);
        assert_eq!(live.end().code(), 137);
    }
    // The twin: its own end is its status.
    let some = "me=$$; trap 'exit 7' USR1; \
                (for i in 1 2 3 4 5 6 7 8; do kill -STOP $me; sleep 0.002; kill -CONT $me; done; kill -USR1 $me) & while :; do sleep 0.01; done";
    assert_eq!(b.run(["/bin/bash", "-c", some]).code(), 7);
}

/// While the supervisor planned and built, Ctrl-C and `timeout` had no effect at all: a start on a slow disk, or one that waits
/// for a remote switch, could only be ended by SIGKILL.
#[test]
fn a_start_that_takes_long_is_ended_by_the_callers_signal() {
    let b = TestBox::new().script(
        "{t}/bin/ask",
        "#!/bin/sh\nd=${0%/bin/ask}; : > $d/asked\nwhile [ ! -e $d/go ]; do sleep 0.02; done; echo clear\n",
    );
    let url = format!("exec:{}", b.root().join("bin/ask").display());
    let config = format!(
        "[[kill-switch.remote]]\nname = \"ask\"\nurl = \"{url}\"\ninterval = \"1h\"\ntimeout = \"1h\"\n\
         on-unreachable = \"continue\"\ngrace = \"4h\"\n"
    );
    let b = b.file("{home}/.config/agentbox/config.toml", config);
    let (asked, go, ran) = (
        b.root().join("asked"),
        b.root().join("go"),
        b.ws().join("ran"),
    );
    let script = format!("touch {}; sleep 600", ran.display());
    let begun = || {
        let _ = std::fs::remove_file(&asked);
        let live = b.start(["/bin/sh", "-c", &script]);
        until("the start waits", || asked.exists());
        live
    };
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGHUP,
    ] {
        let live = begun();
        let children = common::live::descendants(live.pid());
        assert!(
            children.len() >= 3,
            "supervisor, watch, program: {children:?}"
        );
        live.signal(signal);
        let end = live.end();
        assert_eq!(end.code(), 128 + signal as i32, "{end:?}");
        let words = format!("the start was ended by {signal}; the command was not started");
        assert!(end.complaint().contains(&words), "{end:?}");
        assert!(!ran.exists(), "{signal}");
        common::live::all_gone(&children);
    }
    // The twin: what ends no start waits for the command.
    let live = begun();
    live.signal(Signal::SIGUSR1);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    std::fs::write(&go, "").unwrap();
    let end = live.end();
    assert_eq!(end.code(), 128 + Signal::SIGUSR1 as i32, "{end:?}");
}
