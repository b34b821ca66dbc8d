//! Many sessions of one user side by side, and one `agentbox stop` for all. `AGENTBOX_TEST_MANY=200` for the number that counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{TestBox, run, shell_status, spawn, until, wait};
use std::fs;
use std::io::Write as _;
use std::process::{Child, Stdio};

fn number() -> usize {
    let text = std::env::var("AGENTBOX_TEST_MANY").unwrap_or_default();
    text.parse().unwrap_or(16)
}

/// All start, whatever runs out (inotify instances, keys): what does is said. One stop ends them all, and none starts.
#[test]
fn many_boxes_and_one_stop() {
    many(number());
}

/// The number that counts.
#[test]
#[ignore = "takes a minute: scripts/test --all"]
fn two_hundred_boxes_and_one_stop() {
    many(200);
}

fn many(count: usize) {
    let b = TestBox::new();
    let mut boxes: Vec<Child> = Vec::new();
    let script = ": > {ws}/up.$0; exec sleep 600";
    for number in 0..count {
        let script = b.fill(script);
        let number = number.to_string();
        let mut command = b.command(["/bin/sh", "-c", &script, &number]);
        let errors = fs::File::create(b.root().join(format!("err.{number}"))).unwrap();
        command.stdout(Stdio::null()).stderr(errors);
        boxes.push(spawn(&mut command));
    }
    for number in 0..boxes.len() {
        let (up, errors) = (
            b.ws().join(format!("up.{number}")),
            b.root().join(format!("err.{number}")),
        );
        until(&format!("box {number} is up"), || {
            let said = fs::read_to_string(&errors).unwrap_or_default();
            assert!(
                !said.contains("could not be built") && !said.contains("not started"),
                "{said}"
            );
            up.exists()
        });
    }
    let polled = (0..boxes.len())
        .filter(|number| {
            let said = fs::read_to_string(b.root().join(format!("err.{number}"))).unwrap();
            said.contains("looked for five times a second")
        })
        .count();
    // A key each, of which a user has 200 where the caller has a session keyring (without one the kernel overruns the quota):
    // the filter alone keeps the rest from keyrings, and their evidence says so.
    let sessions = fs::read_dir(b.home().join(".local/state/agentbox/sessions")).unwrap();
    let keyless = sessions
        .filter(|session| {
            let log = session.as_ref().unwrap().path().join("events.jsonl");
            let said = fs::read_to_string(log).unwrap_or_default();
            said.contains("the quota of keys is used up")
        })
        .count();
    let stop = run(b.agentbox(["stop"]));
    let text = stop.ok();
    let words = format!("{} sessions stopped in ", boxes.len());
    assert!(text.starts_with(&words), "{stop:?}");
    for child in &mut boxes {
        let status = wait(child, common::PATIENCE).expect("it ends");
        assert_eq!(shell_status(status), 137);
    }
    b.sh("echo ran").refused(&["not started: the stop file"]);
    run(b.agentbox(["start"])).ok();
    assert_eq!(b.sh("echo ran").ok(), "ran");
    // For whoever asks for many: the number and the time.
    let line = format!(
        "MANY {text} ({polled} of them polled, {keyless} without a keyring of their own)\n"
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
}
