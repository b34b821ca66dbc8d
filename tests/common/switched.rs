//! Boxes with switches, and what is told and recorded of them.

use super::{Live, Ran, TestBox, run, shell_status, until};
use nix::unistd::Pid;
use std::fs;

/// With this user configuration.
pub fn config(b: TestBox, text: &str) -> TestBox {
    let text = b.fill(text);
    b.file("{home}/.config/agentbox/config.toml", text)
}

/// A session of four processes called `name` that only a kill ends.
pub fn start(b: &TestBox, name: &str) -> Live {
    b.start_probe(&format!("orphans 3 600 {name}"))
}

/// It was killed, and says so in one line; all of that is said.
#[track_caller]
pub fn killed(ran: &Ran, words: &[&str]) {
    assert_eq!(shell_status(ran.status), 137, "{ran:?}");
    let complaint = ran.complaint();
    for word in words {
        assert!(complaint.contains(word), "{word:?}: {ran:?}");
    }
    let killed = |line: &&str| line.starts_with("agentbox: killed: ");
    assert_eq!(complaint.lines().filter(killed).count(), 1, "{ran:?}");
}

/// A file of all sessions, one behind the other.
pub fn records(b: &TestBox, file: &str) -> String {
    let sessions = b.home().join(".local/state/agentbox/sessions");
    let dirs = fs::read_dir(sessions).unwrap();
    let read = |dir: fs::DirEntry| fs::read_to_string(dir.path().join(file)).unwrap_or_default();
    dirs.map(|dir| read(dir.unwrap())).collect()
}

/// The events of all sessions.
pub fn events(b: &TestBox) -> Vec<serde_json::Value> {
    let text = records(b, "events.jsonl");
    let parsed = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    parsed.collect()
}

/// How many there are of that name.
pub fn count(b: &TestBox, event: &str) -> usize {
    events(b).iter().filter(|e| e["event"] == event).count()
}

/// The supervisor of the first session that runs.
pub fn supervisor(b: &TestBox) -> Pid {
    let mut pid = None;
    until("the session is listed", || {
        let ran = run(b.agentbox(["ps", "--json"]));
        let rows: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap_or_default();
        pid = rows[0]["supervisor"].as_i64();
        pid.is_some()
    });
    Pid::from_raw(i32::try_from(pid.unwrap()).unwrap())
}
