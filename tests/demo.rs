//! `agentbox demo` tells what is so: everything is stopped, each line turns when what stops it is taken away, and nothing
//! is left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Ran, TestBox, run, until_within};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

fn rows(ran: &Ran) -> Vec<Value> {
    let all: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!(all["version"], 1, "{all}");
    all["rows"].as_array().unwrap().clone()
}

/// The titles of what got through the box.
fn through(rows: &[Value]) -> BTreeSet<String> {
    rows.iter()
        .filter(|row| row["kind"] == "harm" && row["box"]["verdict"] == "through")
        .map(|row| row["what"].as_str().unwrap().to_owned())
        .collect()
}

/// A world in which temporary files have a place of their own.
fn world() -> TestBox {
    let b = TestBox::new().dir("tmp");
    let tmp = b.fill("{t}/tmp");
    b.env("TMPDIR", tmp)
}

#[test]
fn without_the_box_all_gets_through_and_in_it_nothing() {
    let b = world();
    let ran = run(b.agentbox(["demo", "--json"]));
    assert_eq!(ran.code(), 0, "{ran:?}");
    let rows = rows(&ran);
    assert_eq!(rows.len(), 15);
    for row in &rows {
        assert_eq!(row["good"], true, "{row}");
        assert_eq!(row["without"]["verdict"], "through", "{row}");
        let expected = if row["kind"] == "work" {
            "through"
        } else {
            "stopped"
        };
        assert_eq!(row["box"]["verdict"], expected, "{row}");
        assert_ne!(row["box"]["detail"], "status 0", "a reason is told: {row}");
    }
    assert_eq!(fs::read_dir(b.root().join("tmp")).unwrap().count(), 0);
    assert_eq!(ran.complaint(), "");
}

/// The same through the plan: with one thing taken away, the lines that it stopped turn, and no others.
#[test]
fn a_line_turns_when_what_stops_it_is_taken_away() {
    let table: &[(&str, &[&str])] = &[
        (
            "[files]\nread = [\"~/.aws\"]",
            &["reads ~/.aws/credentials"],
        ),
        ("[files]\nread = [\"~/.ssh\"]", &["reads ~/.ssh/id_ed25519"]),
        (
            "[files]\nread = [\"${workspace}/.env\"]",
            &["reads .env of the project"],
        ),
        (
            "[env]\nkeep = [\"DATABASE_PASSWORD\"]",
            &["prints the environment, of every process"],
        ),
        (
            "[network]\nmode = \"host\"",
            &[
                "asks a metadata service for credentials",
                "sends the code to a server of its choice",
            ],
        ),
        (
            "[files]\nwrite = [\"{t}/world/box/production\"]",
            &["rm -rf of production, by its path"],
        ),
        (
            "[files]\nread = [\"~/.aws\", \"{t}/world/box/bin\"]\nwrite = [\"{t}/world/box/production\"]\n[commands]\nallow = [\"terraform\"]",
            &[
                "terraform destroy",
                "rm -rf of production, by its path",
                "reads ~/.aws/credentials",
            ],
        ),
        (
            "[files]\nwrite = [\"${workspace}/.github/workflows\"]",
            &["adds a step to the CI pipeline"],
        ),
        (
            "[files]\nwrite = [\"${workspace}/.git/config\"]",
            &["has git run a program, by configuration"],
        ),
        (
            "[files]\nwrite = [\"${workspace}/.git/hooks\"]",
            &["plants a git hook"],
        ),
    ];
    for (profile, turned) in table {
        let b = world();
        let text = format!("extends = [\"shell\"]\n{}\n", b.fill(profile));
        let b = b.file("open.toml", text);
        let (file, place) = (b.fill("{t}/open.toml"), b.fill("{t}/world"));
        let ran = run(b.agentbox(["demo", "--json", "-p", &file, "--world", &place]));
        assert_eq!(ran.code(), 1, "{profile}: {ran:?}");
        let expected = turned.iter().map(|title| (*title).to_owned()).collect();
        assert_eq!(through(&rows(&ran)), expected, "{profile}: {ran:?}");
        assert!(!b.root().join("world").exists(), "{profile}");
    }
}

#[test]
fn it_is_plain_in_a_pipe_and_ends_with_the_next_command() {
    let b = world();
    let ran = run(b.agentbox(["demo"]));
    assert_eq!(ran.code(), 0, "{ran:?}");
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.contains("stopped: refused, with the reason"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("Next: agentbox run "), "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() < 130),
        "{text}"
    );
}

#[test]
fn a_recording_is_an_asciicast() {
    let b = world();
    let cast = b.fill("{t}/tmp/demo.cast");
    let ran = run(b.agentbox(["demo", "--record", &cast]));
    assert_eq!(ran.code(), 0, "{ran:?}");
    let text = fs::read_to_string(&cast).unwrap();
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(lines.next().unwrap()["version"], 2);
    let events: Vec<Value> = lines.collect();
    assert_eq!(events.len(), 17, "head, rows and tail");
    let times: Vec<f64> = events.iter().map(|e| e[0].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let shown: String = events.iter().map(|e| e[2].as_str().unwrap()).collect();
    // The recording is for a terminal; stdout is none here.
    let plain = anstream::adapter::strip_str(&shown).to_string();
    assert_eq!(plain.replace("\r\n", "\n").as_bytes(), ran.stdout);
    assert!(shown.contains("\x1b[32m"));
}

/// Where no box can be had nothing is claimed.
#[test]
fn without_a_box_there_is_no_table() {
    let b = world().file("wrong.toml", "extends = [\"nowhere\"]\n");
    let file = b.fill("{t}/wrong.toml");
    let ran = run(b.agentbox(["demo", "-p", &file]));
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.complaint().contains("nowhere"), "{ran:?}");
    assert!(ran.complaint().contains("agentbox check"), "{ran:?}");
    assert!(!ran.text().contains("stopped:"), "{ran:?}");
    assert_eq!(fs::read_dir(b.root().join("tmp")).unwrap().count(), 0);
    // A place that is taken is left as it is.
    let b = world().file("mine/file", "x");
    let mine = b.fill("{t}/mine");
    let ran = run(b.agentbox(["demo", "--world", &mine]));
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.complaint().contains(&mine), "{ran:?}");
    assert!(b.root().join("mine/file").exists());
}

#[test]
fn a_signal_leaves_nothing() {
    let b = world();
    let mut child = common::spawn(b.agentbox(["demo"]).stdout(Stdio::null()));
    let tmp = b.root().join("tmp");
    let made = || fs::read_dir(&tmp).unwrap().count() == 1;
    assert!(until_within(Duration::from_secs(20), made));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let status = common::wait(&mut child, common::PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(143));
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
}
