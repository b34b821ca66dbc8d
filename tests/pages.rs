//! Completions, as a real shell asks for them, and manual pages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "pages")]

mod common;
use agentbox::cli::args::Cli;
use clap::CommandFactory as _;
use common::{Feature, TestBox, missing, run, until, until_within};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// What bash proposes for the last of these words.
fn proposed(b: &TestBox, words: &[&str]) -> Vec<String> {
    let script = r#"
        dir=$1; shift
        PATH=$dir:$PATH
        source <(agentbox completions bash)
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9
        _clap_complete_agentbox agentbox "${!#}" 2>/dev/null
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let program = common::world::agentbox();
    let dir = b.root().join("path");
    if !dir.exists() {
        fs::create_dir(&dir).unwrap();
        std::os::unix::fs::symlink(program, dir.join("agentbox")).unwrap();
    }
    let mut shell = Command::new("bash");
    shell
        .args(["--norc", "-c", script, "bash"])
        .arg(dir)
        .args(words);
    b.around(&mut shell, &b.agentbox(["ps"]));
    let ran = run(shell);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(ran.complaint(), "", "{words:?}");
    ran.text()
        .lines()
        .map(str::to_owned)
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn bash_proposes_commands_flags_profiles_sessions_and_programs() {
    if missing(Feature::Tool("bash")) {
        return;
    }
    let b = TestBox::new().file(
        "home/.config/agentbox/profiles/payments.toml",
        "description = \"ours\"\nextends = [\"shell\"]\n",
    );
    assert_eq!(proposed(&b, &["agentbox", "expl"]), ["explain"]);
    let flags = proposed(&b, &["agentbox", "run", "--al"]);
    assert_eq!(flags, ["--allow-command", "--allow", "--allow-missing"]);
    assert_eq!(
        proposed(&b, &["agentbox", "run", "-p", "pay"]),
        ["payments"]
    );
    assert_eq!(
        proposed(&b, &["agentbox", "explain", "--profile", "cla"]),
        ["claude"]
    );
    let programs = proposed(&b, &["agentbox", "run", "seq"]);
    assert!(programs.contains(&"seq".to_owned()), "{programs:?}");
    // Without the flags, which are proposed beside.
    let ids = || {
        let mut words = proposed(&b, &["agentbox", "kill", ""]);
        words.retain(|word| !word.starts_with('-'));
        words
    };
    assert!(ids().is_empty(), "nothing runs");
    // Asking has made nothing: no session directory, no log.
    assert!(!b.home().join(".local/state/agentbox").exists());

    let live = b.start(["sleep", "1000"]);
    assert!(until_within(Duration::from_secs(20), || ids().len() == 1));
    // One that still starts is proposed, and not listed.
    let ps = || run(b.agentbox(["ps", "-q"])).ok();
    until("it is listed", || !ps().is_empty());
    let listed = ps();
    assert_eq!(ids(), [listed.trim()]);
    assert_eq!(
        proposed(&b, &["agentbox", "attach", &listed.trim()[..4]]),
        [listed.trim()]
    );
    drop(live);
}

/// Behind COMMAND programs of PATH were proposed as its arguments, and no file; `man` proposed them, too.
#[test]
fn bash_proposes_files_behind_the_command_and_pages_of_the_manual() {
    if missing(Feature::Tool("bash")) {
        return;
    }
    let b = TestBox::new()
        .file("home/ws/seq-of-files.txt", "")
        .dir("home/ws/sources");
    for words in [
        &["agentbox", "run", "cat", "se"][..],
        &["agentbox", "run", "--net", "none", "--", "cat", "-n", "se"],
        &["agentbox", "exec", "some", "cat", "se"],
        &["agentbox", "explain", "cat", "se"],
        &["agentbox", "why", "read", "x", "cat", "se"],
    ] {
        assert_eq!(proposed(&b, words), ["seq-of-files.txt"], "{words:?}");
    }
    assert_eq!(
        proposed(&b, &["agentbox", "run", "cat", "so"]),
        ["sources/"]
    );
    let programs = proposed(&b, &["agentbox", "run", "-p", "shell", "seq"]);
    assert!(programs.contains(&"seq".to_owned()), "{programs:?}");
    assert!(
        !programs.contains(&"seq-of-files.txt".to_owned()),
        "{programs:?}"
    );
    assert_eq!(proposed(&b, &["agentbox", "man", "expl"]), ["explain"]);
    let none = proposed(&b, &["agentbox", "man", "seq"]);
    assert!(none.is_empty(), "{none:?}");
}

/// `AGENTBOX_COMPLETE` of somebody else is no question.
#[test]
fn another_meaning_of_the_variable_changes_nothing() {
    for value in ["1", "", "tcsh"] {
        let b = TestBox::new().env("AGENTBOX_COMPLETE", value);
        assert_eq!(b.run(["echo", "ran"]).ok(), "ran", "{value:?}");
    }
}

#[test]
fn every_subcommand_has_a_manual_page() {
    let b = TestBox::new().dir("man");
    assert_eq!(
        run(b.agentbox(["man", "--dir", &b.fill("{t}/man")])).code(),
        0
    );
    let names: Vec<String> = Cli::command()
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    assert!(names.contains(&"run".to_owned()) && names.contains(&"man".to_owned()));
    for name in &names {
        let page = fs::read_to_string(b.root().join(format!("man/agentbox-{name}.1"))).unwrap();
        assert!(
            page.contains(".SH SYNOPSIS") && page.contains(name),
            "{page}"
        );
        assert_eq!(run(b.agentbox(["man", name])).ok().trim(), page.trim());
    }
    let whole = fs::read_to_string(b.root().join("man/agentbox.1")).unwrap();
    assert!(
        names
            .iter()
            .all(|name| whole.contains(&format!("agentbox\\-{name}(1)"))),
        "{whole}"
    );
    assert_eq!(
        fs::read_dir(b.root().join("man")).unwrap().count(),
        names.len() + 1
    );
    let ran = run(b.agentbox(["man", "fly"]));
    assert_eq!(ran.code(), 2, "{ran:?}");
    assert!(ran.complaint().contains("no subcommand `fly`"), "{ran:?}");
    let ran = run(b.agentbox(["man", "--dir", "/nonexistent"]));
    assert_eq!(ran.code(), 1, "{ran:?}");
}

/// A file of the working copy was proposed by the name that the agent had given it, and bash put `./a;touch b` into the line: two
/// commands, the second one the agent's.
#[test]
fn a_name_that_a_shell_reads_as_more_is_not_proposed() {
    let b = TestBox::new().dir("{ws}/sub").dir("{ws}/x y");
    for name in [
        "./a;touch b",
        "./$(touch b)",
        "./`id`",
        "./two\nlines",
        "./e\u{1b}[2J",
    ] {
        fs::write(b.ws().join(name), "").unwrap();
    }
    fs::write(b.ws().join("plain.toml"), "").unwrap();
    fs::write(b.ws().join("größe.toml"), "").unwrap();
    let asked = |shell: &str, words: &[&str]| {
        let mut command = b.agentbox([&["--"], words].concat());
        command
            .env("AGENTBOX_COMPLETE", shell)
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
            .env("_CLAP_IFS", "|");
        run(command).text()
    };
    for words in [
        &["agentbox", "run", "-C", "./"][..],
        &["agentbox", "run", "./"],
        &["agentbox", "profiles", "validate", "./"],
    ] {
        let bash = asked("bash", words);
        assert!(bash.contains("./sub"), "{words:?}: {bash:?}");
        assert!(
            !bash.contains([';', '$', '`', ' ', '\n', '\u{1b}']),
            "{words:?}: {bash:?}"
        );
        // The twin: the others quote what they put into the line.
        let fish = asked("fish", words);
        assert!(fish.contains("./x y"), "{words:?}: {fish:?}");
        assert!(
            !fish.contains("two") && !fish.contains('\u{1b}'),
            "{words:?}: {fish:?}"
        );
    }
    let bash = asked("bash", &["agentbox", "profiles", "validate", "./"]);
    assert!(
        bash.contains("./plain.toml") && bash.contains("./größe.toml"),
        "{bash:?}"
    );
}

/// Only `-p` proposed profiles, `logs` and `restore` no session that has ended, which are the most that they have, and `--net` nothing.
#[test]
fn what_a_value_can_be_is_proposed() {
    let b = TestBox::new().file("{ws}/local.toml", "");
    let asked = |words: &[&str]| {
        let mut command = b.agentbox([&["--", "agentbox"], words].concat());
        command
            .env("AGENTBOX_COMPLETE", "fish")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
            .env("_CLAP_IFS", "|");
        run(command).text()
    };
    for (words, proposed) in [
        (&["profiles", "show", "cla"][..], "claude"),
        (&["profiles", "show", "loc"], "local.toml"),
        (&["profiles", "diff", "shell", "cla"], "claude"),
        (&["profiles", "validate", "cla"], "claude"),
        (&["profiles", "new", "--agent", "cla"], "claude"),
        (&["run", "-p", "cla"], "claude"),
        (&["run", "--net", "fi"], "filtered"),
        (&["run", "--net=fi"], "filtered"),
        (&["run", "--hangup", "de"], "detach"),
    ] {
        let got = asked(words);
        assert!(got.contains(proposed), "{words:?}: {got:?}");
    }
    if missing(Feature::Userns) {
        return;
    }
    b.run(["true"]).ok();
    let past = fs::read_dir(b.home().join(".local/state/agentbox/sessions")).unwrap();
    let past = past.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let past: Vec<_> = past.filter(|name| !name.starts_with('.')).collect();
    for verb in ["logs", "restore"] {
        assert!(asked(&[verb, ""]).contains(&past[0]), "{verb}: {past:?}");
    }
    // The twin: what has ended can be neither joined nor killed.
    for verb in ["kill", "attach"] {
        assert!(!asked(&[verb, ""]).contains(&past[0]), "{verb}: {past:?}");
    }
}
