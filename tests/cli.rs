//! The command line: statuses, what is printed where, explain, check, profiles, the status descriptor, the record.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{TestBox, bytes, has_bytes, inherit, run};
use serde_json::Value;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

#[test]
fn usage_of_run_is_125_and_of_others_2() {
    let b = TestBox::new();
    for args in [
        &["run"][..],
        &["run", "--"],
        &["run", "--bogus"],
        &["run", "--net"],
    ] {
        assert_eq!(run(b.agentbox(args)).code(), 125, "{args:?}");
    }
    for args in [
        &["explain", "--bogus"][..],
        &["profiles", "bogus"],
        &["bogus"],
        &["check", "--bogus"],
        &["profiles", "show"],
    ] {
        let ran = run(b.agentbox(args));
        assert_eq!(ran.code(), 2, "{args:?}: {ran:?}");
    }
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["--version"],
        &["explain", "--help"],
        &["check", "--help"],
        &["profiles", "--help"],
    ] {
        let ran = run(b.agentbox(args));
        assert!(
            ran.ok().len() > 5 && ran.stderr.is_empty(),
            "{args:?}: {ran:?}"
        );
    }
}

/// A subcommand is in --help only from the issue that builds it.
#[test]
fn help_promises_nothing_that_is_not_there() {
    let b = TestBox::new();
    let help = run(b.agentbox(["--help"])).ok();
    for name in ["boundary", "rollout", "audit", "replay"] {
        assert!(
            !help
                .lines()
                .any(|l| l.trim_start().starts_with(&format!("{name} "))),
            "{name}: {help}"
        );
    }
    for name in [
        "run", "explain", "check", "profiles", "ps", "kill", "exec", "attach",
    ] {
        assert!(help.contains(name), "{name}: {help}");
    }
}

#[test]
fn quiet_is_quiet() {
    let b = TestBox::new()
        .env("AWS_SECRET_ACCESS_KEY", "x")
        .option("-q");
    let ran = b.sh("echo out; echo err >&2");
    assert_eq!(ran.ok(), "out");
    assert_eq!(ran.complaint(), "err\n", "not a byte of agentbox");
    let ran = b.run(["/bin/sh", "-c", "exit 3"]);
    assert!(ran.stderr.is_empty() && ran.code() == 3, "{ran:?}");
    let refused = b.option("-C").option("/etc").run(["true"]);
    assert!(
        refused.complaint().starts_with("agentbox: ") && refused.code() == 125,
        "{refused:?}"
    );
}

#[test]
fn messages_have_the_prefix_and_are_on_stderr() {
    let ran = TestBox::new().run(["/bin/echo", "mine"]);
    assert_eq!(ran.ok(), "mine");
    for line in ran.complaint().lines() {
        assert!(line.starts_with("agentbox: "), "{line:?}");
    }
}

/// Who types nothing is shown what there is, as --help shows it.
#[test]
fn nothing_asked_is_the_help_on_stderr() {
    let b = TestBox::new();
    for words in [&[][..], &["self"]] {
        let ran = run(b.agentbox(words));
        assert_eq!((ran.code(), ran.text().as_str()), (2, ""), "{ran:?}");
        let asked = run(b.agentbox(words.iter().chain(&["--help"]))).ok();
        assert_eq!(ran.complaint().trim_end(), asked.trim_end(), "{words:?}");
    }
}

#[test]
fn dry_run_executes_nothing() {
    let b = TestBox::new().option("--dry-run");
    let ran = b.sh("touch made");
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!b.ws().join("made").exists());
    assert!(
        ran.stdout.len() + ran.stderr.len() > 100,
        "it shows the plan: {ran:?}"
    );
}

#[test]
fn arguments_pass_as_they_are() {
    let b = TestBox::new();
    let odd = [
        b"".as_slice(),
        b" ",
        b"a b",
        b"--net",
        b"\xff\xfe",
        b"$HOME",
        b"new\nline",
        b"'",
        b"\\",
        b"-",
        b"--",
    ];
    let mut words = b.probe_words("args");
    words.extend(odd.iter().map(|a| bytes(a)));
    let got = b.run(words).json()["args"].clone();
    let expect: Vec<String> = odd
        .iter()
        .map(|a| a.iter().map(|c| format!("{c:02x}")).collect())
        .collect();
    assert_eq!(got, serde_json::json!(expect));
}

#[test]
fn large_arguments() {
    let b = TestBox::new();
    let mut words = b.probe_words("args-size");
    words.push("x".repeat(120_000).into());
    words.extend((0..3000).map(|n| format!("argument number {n}").into()));
    let got = b.run(words).json();
    assert_eq!(got["count"], 3001, "{got}");
    assert!(got["bytes"].as_u64().unwrap() > 150_000, "{got}");
}

#[test]
fn argv_0_is_as_typed() {
    let b = TestBox::new();
    assert_eq!(b.run(["sh", "-c", "echo $0"]).ok(), "sh");
    assert_eq!(
        b.run(["/bin/sh", "-c", "tr '\\0' ' ' < /proc/$$/cmdline"])
            .ok()
            .split(' ')
            .next(),
        Some("/bin/sh")
    );
}

/// JSON lines for machines: says what the status alone cannot.
#[test]
fn the_status_descriptor() {
    for (script, code, how) in [
        ("exit 125", 125, "exited"),
        ("kill -9 $$", 137, "signaled"),
        ("exit 0", 0, "exited"),
    ] {
        let b = TestBox::new().option("--status-fd").option("7");
        let file = fs::File::create(b.root().join("status")).unwrap();
        b.chown(&b.root().join("status"));
        let mut command = b.command(["/bin/sh", "-c", script]);
        inherit(&mut command, file.as_raw_fd(), 7);
        let ran = run(command);
        assert_eq!(ran.code(), code, "{ran:?}");
        let text = fs::read_to_string(b.root().join("status")).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}")))
            .collect();
        assert!(!lines.is_empty(), "{ran:?}");
        assert!(
            lines
                .iter()
                .any(|l| l.to_string().contains(&format!("\"{how}\""))),
            "{script}: {text}"
        );
    }
}

/// What was refused before there was a session (a path that is missing, a command that cannot be found) left the descriptor empty, as if
/// agentbox had been killed.
#[test]
fn a_refusal_without_a_session_is_told_to_the_status_descriptor() {
    let told = |b: TestBox, words: &[&str], code: i32| {
        let b = b.option("--status-fd").option("7");
        let path = b.root().join("status");
        let file = fs::File::create(&path).unwrap();
        let mut command = b.command(words);
        inherit(&mut command, file.as_raw_fd(), 7);
        let ran = run(command);
        assert_eq!(ran.code(), code, "{ran:?}");
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<Value> = lines.collect();
        let of = |event: &str| lines.iter().find(|line| line["event"] == event).cloned();
        (of("refused"), of("ended").unwrap()["outcome"].clone())
    };
    let missing = || TestBox::new().option("--read").option("/no-such-place");
    for (b, command, code, says) in [
        (missing(), "true", 125, "/no-such-place does not exist"),
        (TestBox::new(), "no-such-command", 127, "command not found"),
    ] {
        let (refused, outcome) = told(b, &[command], code);
        let why = refused.unwrap()["why"].to_string();
        assert!(why.contains(says), "{why}");
        assert_eq!(outcome["how"], "refused");
        assert_eq!(outcome["exit_status"], code);
    }
    let (refused, outcome) = told(TestBox::new(), &["sh", "-c", "exit 125"], 125);
    assert_eq!(refused, None);
    assert_eq!(outcome["how"], "exited");
}

/// "Bad file number", of a descriptor that is open.
#[test]
fn the_status_is_never_written_to_the_commands_own_descriptors() {
    for fd in ["0", "1", "2"] {
        let b = TestBox::new().option("--status-fd").option(fd);
        let words = ["0, 1 and 2 are the command's", "3>FILE"];
        b.run(["/bin/true"]).refused(&words);
    }
    let closed = TestBox::new().option("--status-fd").option("9");
    let ran = closed.run(["/bin/true"]);
    ran.refused(&["--status-fd 9", "3>FILE"]);
    assert!(!ran.complaint().contains("the command's"), "{ran:?}");
}

#[test]
fn explain_shows_each_grant_with_its_origin() {
    let b = TestBox::new().file("data/f", "x");
    let data = b.fill("{t}/data");
    let json = run(b.agentbox([
        "explain", "--json", "--net", "none", "--read", &data, "--", "true",
    ]));
    let plan: Value = serde_json::from_str(&json.ok()).unwrap();
    let text = plan.to_string();
    assert!(text.contains(&data) && text.contains("--read"), "{text}");
    let people = run(b.agentbox(["explain", "--net", "none", "--read", &data, "--", "true"])).ok();
    assert!(
        people.contains(&data) && people.contains("--read"),
        "{people}"
    );
    for layer in ["landlock", "seccomp", "namespaces"] {
        assert!(people.to_lowercase().contains(layer), "{layer}: {people}");
    }
    // A command that is not installed can still be explained.
    assert_eq!(
        run(b.agentbox(["explain", "--net", "none", "--", "no-such-command-here"])).code(),
        0
    );
    // And nothing was executed or made.
    assert_eq!(fs::read_dir(b.ws()).unwrap().count(), 0);
}

#[test]
fn check_tells_what_holds() {
    let b = TestBox::new();
    let ran = run(b.agentbox(["check"]));
    assert_eq!(ran.code(), 0, "{ran:?}");
    for layer in [
        "landlock",
        "seccomp",
        "namespaces",
        "network",
        "capabilities",
    ] {
        assert!(
            ran.text().to_lowercase().contains(layer),
            "{layer}: {ran:?}"
        );
    }
}

#[test]
fn profiles_list_show_validate() {
    let b = TestBox::new()
        .file(
            "home/.config/agentbox/profiles/mine.toml",
            "description = \"my own\"\nextends = [\"base\"]\n",
        )
        .file(
            "bad.toml",
            "extends = [\"base\"]\n[files]\nraed = [\"~/x\"]\n",
        )
        .file(
            "good.toml",
            "extends = [\"base\"]\n[files]\nread = [\"~/x?\"]\n",
        );
    let list = run(b.agentbox(["profiles", "list"])).ok();
    for name in [
        "base",
        "toolchains",
        "git",
        "claude",
        "codex",
        "gemini",
        "opencode",
        "shell",
        "mine",
    ] {
        assert!(list.contains(name), "{name}: {list}");
    }
    assert!(
        run(b.agentbox(["profiles", "show", "claude"]))
            .ok()
            .contains("[agent]")
    );
    let good = b.fill("{t}/good.toml");
    assert_eq!(run(b.agentbox(["profiles", "validate", &good])).code(), 0);
    let bad = b.fill("{t}/bad.toml");
    let ran = run(b.agentbox(["profiles", "validate", &bad]));
    assert_eq!(ran.code(), 1, "{ran:?}");
    let said = format!("{}{}", ran.text(), ran.complaint());
    assert!(
        said.contains("bad.toml:3") && said.contains("raed") && said.contains("read"),
        "file, line, suggestion: {said}"
    );
    // `run` with it: refused, nothing executed.
    let ran = run(b.agentbox(["run", "-p", &bad, "--", "true"]));
    assert_eq!(ran.code(), 125, "{ran:?}");
}

#[test]
fn a_profile_that_extends_itself() {
    let b = TestBox::new()
        .file(
            "home/.config/agentbox/profiles/a.toml",
            "extends = [\"b\"]\n",
        )
        .file(
            "home/.config/agentbox/profiles/b.toml",
            "extends = [\"a\"]\n",
        );
    let ran = run(b.agentbox(["run", "-p", "a", "--net", "none", "--", "true"]));
    ran.refused(&["a", "b"]);
}

/// The project's file, which an agent could have written, is not read before the rule that it may only tighten exists.
#[test]
fn the_projects_own_file_is_not_obeyed() {
    let b = TestBox::new()
        .file(
            "home/ws/.agentbox.toml",
            "[files]\nread = [\"{t}/secret\"]\n[env]\nkeep = [\"AWS_*\"]\n",
        )
        .file("secret", "CANARY")
        .env("AWS_REGION_X", "y");
    let ran = b.sh("cat {t}/secret; env");
    assert!(
        !has_bytes(&ran.stdout, b"CANARY") && !has_bytes(&ran.stdout, b"AWS_REGION_X"),
        "{ran:?}"
    );
    assert!(
        ran.complaint().contains(".agentbox.toml"),
        "its presence is said: {ran:?}"
    );
}

/// The record of the session: complete, and out of the box's reach.
#[test]
fn a_session_leaves_a_record() {
    let b = TestBox::new();
    b.run(["/bin/sh", "-c", "exit 9"]);
    let mut found = Vec::new();
    let mut dirs = vec![b.home()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => dirs.push(entry.path()),
                false if entry.file_name() == "session.json" => found.push(entry.path()),
                false => {}
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    let record: Value = serde_json::from_slice(&fs::read(&found[0]).unwrap()).unwrap();
    let text = record.to_string();
    assert!(
        text.contains("\"exit_status\":9") || text.contains("\"exit-status\":9"),
        "{text}"
    );
    for part in ["plan", "evidence", "outcome"] {
        assert!(
            record[part].is_object() || record[part].is_array(),
            "{part}: {text}"
        );
    }
    let events = fs::read_to_string(found[0].with_file_name("events.jsonl")).unwrap();
    for event in ["planned", "enforced", "started", "ended"] {
        assert!(
            events.contains(&format!("\"{event}\"")),
            "{event}: {events}"
        );
    }
    let mode =
        std::os::unix::fs::MetadataExt::mode(&fs::metadata(found[0].parent().unwrap()).unwrap());
    assert_eq!(mode & 0o077, 0, "nobody else reads it");
    let path = String::from_utf8(found[0].as_os_str().as_bytes().to_vec()).unwrap();
    b.probe(&format!("read {path}"))
        .refused(nix::errno::Errno::ENOENT);
}

#[test]
fn aliens_in_the_config_directory() {
    let b = TestBox::new().file("home/.config/agentbox/config.toml", "nonsense = [\n");
    let ran = b.run(["true"]);
    ran.refused(&["config.toml"]);
}

#[test]
fn a_status_descriptor_that_is_not_there() {
    for number in ["99", "-1", "x", "2000000000"] {
        let ran = TestBox::new()
            .option("--status-fd")
            .option(number)
            .run(["/bin/echo", "RAN"]);
        assert_eq!(ran.code(), 125, "{number}: {ran:?}");
        assert!(ran.stdout.is_empty(), "{number}: {ran:?}");
    }
}
