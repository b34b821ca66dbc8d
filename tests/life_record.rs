//! The directory of the sessions: it does not grow without end, and a box does not go on without its record.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{Live, gone};
use common::world::token;
use common::{Feature, TestBox, missing, run, until};
use std::fs;
use std::io::Write as _;
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

/// What tracked files were stayed beside the record of each session: megabytes in a large repository, for up to 2,000 of them.
#[test]
fn what_tracked_files_were_goes_when_they_were_compared() {
    let b = TestBox::new().file("{ws}/.envrc", "export A=1\n");
    b.git(&["init", "-q"]);
    b.git(&["add", ".envrc"]);
    let kept = |id: &str| sessions(&b).join(id).join("baseline").exists();
    // The twin: while the box runs it is what a crash is compared with.
    let mut live = b.start([
        "sh",
        "-c",
        "echo up; while ! test -e go; do sleep 0.02; done; echo x >>.envrc",
    ]);
    live.wait_line("up");
    let id = id(&b);
    assert!(kept(&id));
    fs::write(b.ws().join("go"), "").unwrap();
    let ran = live.end();
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.complaint().contains("again as it was"), "{ran:?}");
    assert!(!kept(&id));
    assert_eq!(
        fs::read_to_string(b.ws().join(".envrc")).unwrap(),
        "export A=1\n"
    );
    assert!(run(b.agentbox(["restore", &id])).text().contains(".envrc"));
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

/// A tmpfs on the directory of the states, as small as that; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(b: &TestBox, bytes: u64) -> Small {
        let dir = b.home().join(".local/state");
        fs::create_dir_all(&dir).unwrap();
        for made in [b.home().join(".local"), dir.clone()] {
            b.chown(&made);
        }
        let (uid, gid) = b.ids();
        let options = format!("size={bytes},mode=700,uid={uid},gid={gid}");
        let flags = nix::mount::MsFlags::empty();
        let kind = Some("tmpfs");
        nix::mount::mount(kind, &dir, kind, flags, Some(options.as_str())).unwrap();
        Small(dir)
    }

    /// Fills what is left of it, to the last byte.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        for size in [65536, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

fn id(b: &TestBox) -> String {
    run(b.agentbox(["ps", "-q"])).ok().trim().to_owned()
}

fn record(b: &TestBox, id: &str) -> serde_json::Value {
    let text = fs::read(sessions(b).join(id).join("session.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// An agent that fills the disk must not go on unseen: while there are blocks in reserve nothing is lost, and before they are
/// used up the session ends, and its record says why.
#[test]
fn a_full_disk_ends_the_session_and_the_record_says_so() {
    if missing(Feature::HostRoot) {
        return;
    }
    let b = TestBox::new();
    let small = Small::mount(&b, 4 << 20);
    let name = token();
    let live = b.start_probe(&format!("orphans 3 600 {name}"));
    common::live::find(&name);
    let session = id(&b);
    until("there is a reserve", || {
        use std::os::unix::fs::MetadataExt as _;
        let log = sessions(&b).join(&session).join("events.jsonl");
        fs::metadata(log).unwrap().blocks() >= 128
    });
    small.fill();
    // Full for a moment is no harm: there is a reserve.
    run(b.agentbox(["pause", &session])).ok();
    run(b.agentbox(["resume", &session])).ok();
    assert_eq!(id(&b), session);
    let mut rounds = 0;
    while !common::live::with_token(&name).is_empty() {
        rounds += 1;
        assert!(rounds < 2000, "it goes on without a record");
        let _ = run(b.agentbox(["pause", &session]));
        let _ = run(b.agentbox(["resume", &session]));
    }
    let ran = live.end();
    assert_eq!(ran.code(), 137, "{ran:?}");
    let words = "killed: lost the session's record (events.jsonl: No space left on device)";
    assert!(ran.complaint().contains(words), "{ran:?}");
    gone(&name);
    // Nothing was lost: the record is made whole by the next call that finds room.
    fs::remove_file(small.0.join("filler")).unwrap();
    until("the record is whole", || {
        assert!(id(&b).is_empty());
        record(&b, &session)["state"] == "ended"
    });
    let record = record(&b, &session);
    assert_eq!(record["outcome"]["trigger"], "lost", "{record}");
    let log = run(b.agentbox(["logs", &session])).ok();
    assert!(log.matches("paused").count() > 100, "{log}");
    assert!(log.contains("lost the session's record"), "{log}");
}

/// It was said of a full disk that this is a container, whose engine forbids namespaces.
#[test]
fn a_disk_that_is_full_at_the_start_is_not_taken_for_a_container() {
    if missing(Feature::HostRoot) {
        return;
    }
    let b = TestBox::new().file("{ws}/.vscode/tasks.json", "x".repeat(700 << 10));
    let small = Small::mount(&b, 600 << 10);
    let ran = b.run(["true"]);
    ran.refused(&[
        "what tracked files are cannot be remembered",
        "No space left on device; make room",
    ]);
    assert!(!ran.complaint().contains("container"), "{ran:?}");
    drop(small);
    b.run(["true"]).ok();
}

#[test]
fn without_room_for_a_record_nothing_starts() {
    if missing(Feature::HostRoot) {
        return;
    }
    let b = TestBox::new();
    let small = Small::mount(&b, 1 << 20);
    b.run(["true"]).ok();
    small.fill();
    let ran = b.sh("echo ran");
    ran.refused(&["No space left on device"]);
    // The twin: one session's worth of room.
    fs::remove_file(small.0.join("filler")).unwrap();
    assert_eq!(b.sh("echo ran").ok(), "ran");
}

/// A limit on the size of files that the caller has (`ulimit -f`) is the supervisor's, too: a refusal, and not a death by
/// SIGXFSZ.
#[test]
fn a_limit_on_the_size_of_files_is_a_refusal() {
    let b = TestBox::new();
    let inner = b.command(["/bin/sh", "-c", "echo ran"]);
    let ran = run(b.through("ulimit -f 2; exec \"$@\"", &inner));
    ran.refused(&["session.json", "File too large"]);
    let ran = run(b.through("ulimit -f 100000; exec \"$@\"", &inner));
    assert_eq!(ran.ok(), "ran");
}

/// Nobody could list or kill a session whose directory is gone.
#[test]
fn a_session_whose_directory_goes_ends() {
    let state = |b: &TestBox| b.home().join(".local/state");
    type Deed = fn(&TestBox, &str);
    let deeds: [(&str, Deed); 7] = [
        ("the directory of all programs is moved", |b, _| {
            let state = b.home().join(".local/state");
            fs::rename(&state, state.with_file_name("elsewhere")).unwrap();
        }),
        ("agentbox's is removed", |b, _| {
            fs::remove_dir_all(sessions(b).parent().unwrap()).unwrap();
        }),
        ("all sessions are moved", |b, _| {
            fs::rename(sessions(b), sessions(b).with_file_name("other")).unwrap();
        }),
        ("the session is moved", |b, id| {
            fs::rename(sessions(b).join(id), sessions(b).join("x")).unwrap();
        }),
        ("the session is removed", |b, id| {
            fs::remove_dir_all(sessions(b).join(id)).unwrap();
        }),
        ("the socket is removed", |b, id| {
            fs::remove_file(sessions(b).join(id).join("control")).unwrap();
        }),
        ("the log is replaced", |b, id| {
            let log = sessions(b).join(id).join("events.jsonl");
            fs::rename(&log, log.with_extension("old")).unwrap();
            fs::write(&log, "").unwrap();
        }),
    ];
    for (what, deed) in deeds {
        let b = TestBox::new();
        // The twins, before: another session's end, a file beside.
        b.run(["true"]).ok();
        let other = fs::read_dir(sessions(&b)).unwrap();
        let other: Vec<_> = other
            .map(|e| e.unwrap().path())
            .filter(|p| p.is_dir())
            .collect();
        let name = token();
        let live = b.start_probe(&format!("orphans 3 600 {name}"));
        common::live::find(&name);
        let session = id(&b);
        for dir in other {
            fs::remove_dir_all(dir).unwrap();
        }
        fs::write(sessions(&b).join(&session).join("x"), "").unwrap();
        fs::remove_file(sessions(&b).join(&session).join("x")).unwrap();
        fs::write(state(&b).join("x"), "").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(id(&b), session, "{what}: not yet");
        deed(&b, &session);
        let ran = live.end();
        assert_eq!(ran.code(), 137, "{what}: {ran:?}");
        let words = "killed: lost the session's directory";
        assert!(ran.complaint().contains(words), "{what}: {ran:?}");
        gone(&name);
    }
}

/// Where nothing can be watched it is looked for.
#[test]
fn without_inotify_and_fanotify_a_directory_that_goes_is_noticed_too() {
    if missing(Feature::HostRoot) || missing(Feature::User) {
        return;
    }
    let name = token();
    let b = TestBox::new();
    let inner = b.command(b.probe_words(&format!("orphans 3 600 {name}")));
    let script = "exec unshare --user --map-root-user sh -euc \
         'echo 0 > /proc/sys/user/max_inotify_instances; echo 0 > /proc/sys/user/max_fanotify_groups; exec unshare --user --map-user={uid} --map-group={uid} \"$@\"' sh \"$@\"";
    let mut live = Live::start(b.through(script, &inner));
    live.wait_line("ready");
    let session = id(&b);
    fs::remove_dir_all(sessions(&b).join(session)).unwrap();
    let ran = live.end();
    assert_eq!(ran.code(), 137, "{ran:?}");
    gone(&name);
}

/// `EEXIST: File exists` and `ENOTDIR` were all that was said.
#[test]
fn what_is_in_the_way_of_the_records_is_named_with_the_way_out() {
    for make in ["ln -s /nowhere/at/all", "echo x >"] {
        let b = TestBox::new();
        let local = b.home().join(".local");
        let script = format!(
            "mkdir -p {0}; mv {0}/state {0}/away 2>/dev/null; {make} {0}/state; \"$@\"",
            local.display()
        );
        let ran = run(b.through(&script, &b.command(["true"])));
        ran.refused(&["is in the way: remove it", "XDG_STATE_HOME"]);
        // The twin: the way out is one.
        let elsewhere = format!("XDG_STATE_HOME={}/elsewhere \"$@\"", b.root().display());
        assert_eq!(run(b.through(&elsewhere, &b.command(["true"]))).code(), 0);
    }
}

/// JSON lets DEL, C1 controls and changes of direction through, and `agentbox logs --json` is read on terminals as well.
#[test]
fn what_is_written_as_json_does_not_act_on_a_terminal() {
    let b = TestBox::new().profile("extends = [\"base\"]\n");
    let ran = b.sh("n=$(printf 'a\\302\\233b\\177c\\342\\200\\256d\\342\\200\\217e\\033'); echo x > \"$n.key\"; sleep 0.3; echo told");
    assert_eq!(ran.text(), "told", "{ran:?}");
    for text in [
        common::run(b.agentbox(["logs", "--json"])).text(),
        common::run(b.agentbox(["explain", "--json", "--", "sh"])).text(),
    ] {
        let acts = |c: char| c.is_control() && c != '\n' || ['\u{202e}', '\u{200f}'].contains(&c);
        assert_eq!(text.find(acts), None);
        assert!(
            text.contains("a\\u009bb\\u007fc\\u202ed\\u200fe\\u001b.key"),
            "{text}"
        );
        let lines = text.lines().filter(|line| line.contains("name-closed"));
        for line in lines {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let file = line["file"].as_str().unwrap();
            assert!(
                file.ends_with("a\u{9b}b\u{7f}c\u{202e}d\u{200f}e\u{1b}.key"),
                "{file:?}"
            );
        }
    }
}
