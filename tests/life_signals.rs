//! Signals and stops in the life of a session: each test is named after what went wrong once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::TestBox;
use common::live::{find, init_of, parent};
use common::world::token;
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
