//! The directory of the sessions: it does not grow without end, and a box does not go on without its record.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{TestBox, until};
use std::fs;
use std::path::PathBuf;

fn sessions(b: &TestBox) -> PathBuf {
    b.home().join(".local/state/agentbox/sessions")
}

fn count(b: &TestBox) -> usize {
    let entries = fs::read_dir(sessions(b)).unwrap();
    entries
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            !name.as_encoded_bytes().starts_with(b".")
        })
        .count()
}

/// A user of many short sessions had 3,464 of them: a sweep removed 16 a minute, whatever came meanwhile, and a refusal did
/// not sweep at all.
#[test]
fn never_more_than_2000_however_fast_they_come() {
    let b = TestBox::new();
    b.run(["true"]).ok();
    for number in 0..2050 {
        // Names of January 2026, as old sessions have them.
        let digit = |n: usize| char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[n % 32]);
        let name = format!(
            "00{}{}{}00000",
            digit(number / 1024),
            digit(number / 32),
            digit(number)
        );
        let dir = sessions(&b).join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("events.jsonl"), "").unwrap();
        b.chown(&dir);
        b.chown(&dir.join("events.jsonl"));
    }
    // The mark says that somebody has swept a moment ago, and so does nobody.
    fs::remove_file(sessions(&b).join(".swept")).unwrap();
    fs::write(b.ws().join(".claude-stop"), "").unwrap();
    for _ in 0..3 {
        b.run(["true"]).refused(&["not started: the stop file"]);
    }
    fs::remove_file(b.ws().join(".claude-stop")).unwrap();
    for _ in 0..3 {
        b.run(["true"]).ok();
    }
    until("2000 are left", || count(&b) <= 2000);
    // What is young enough and not too much stays.
    assert!(count(&b) > 1900, "{}", count(&b));
}
