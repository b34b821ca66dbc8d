//! What a box answers to the subcommands that are for outside of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Feature, TestBox, missing};

/// `stop` said that none starts, `allow` that no session is live, `check` that a sysctl is to be set: all untrue in a box.
#[test]
fn a_box_says_that_it_is_one() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new();
    let words = [
        (125, "run true"),
        (125, "run --dry-run true"),
        (125, "exec x -- true"),
        (1, "ps"),
        (1, "kill --all"),
        (1, "pause x"),
        (1, "resume x"),
        (1, "attach x"),
        (1, "detach x"),
        (1, "logs"),
        (1, "allow a.test"),
        (1, "allow --save a.test"),
        (1, "deny a.test"),
        (1, "publish 8080"),
        (1, "ask"),
        (1, "stop"),
        (1, "stop --global"),
        (1, "stop --pause --workspace ."),
        (1, "stop x"),
        (1, "start"),
        (1, "status"),
        (1, "check"),
        (1, "check --fix"),
        (1, "demo"),
        (1, "drill"),
        (1, "self check"),
        (1, "restore"),
        (1, "trust --yes"),
        (1, "init --yes"),
        (1, "profiles new mine"),
    ];
    let lines = words.map(|(_, line)| format!("agentbox {line}; echo $?"));
    let ran = b.sh(&lines.join("\n"));
    let want = words.map(|(status, _)| status.to_string());
    assert_eq!(ran.ok(), want.join("\n"), "{ran:?}");
    let said = ran.complaint();
    let inside = said.lines().filter(|line| line.contains("this is a box"));
    assert_eq!(inside.count(), words.len(), "{said}");
    assert!(!said.contains("namespaces"), "{said}");
    assert!(!said.contains("sysctl"), "{said}");
    // Nothing of it was done either.
    let b = TestBox::new();
    let ran = b.sh(
        "agentbox stop; agentbox profiles new mine; agentbox ps; ls -A ~/.config ~/.local/state",
    );
    assert!(!ran.text().contains("agentbox"), "{ran:?}");
    // The twins: what works in a box, and the same outside.
    b.sh("agentbox why read . && agentbox check --layers && agentbox check --rungs && agentbox profiles list")
        .ok();
    common::run(b.agentbox(["ps"])).ok();
    common::run(b.agentbox(["status"])).ok();
}

/// The one switch that is the agent's own to pull.
#[test]
fn a_box_can_stop_what_works_in_its_directory() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new();
    let ran = b.sh("agentbox stop --workspace . >/dev/null; sleep 60; echo still there");
    assert_eq!(ran.code(), 137, "{ran:?}");
    assert!(ran.complaint().contains(".agentbox-stop"), "{ran:?}");
}

/// An empty path was the current directory, and the way out for `A=B` was to set that.
#[test]
fn why_of_nothing_is_bad_usage() {
    let b = TestBox::new();
    for (words, want) in [
        (["read", ""], "why read ."),
        (["write", ""], "why write ."),
        (["exec", ""], "why exec make"),
        (["env", ""], "why env HOME"),
        (["env", "=x"], "why env HOME"),
        (["env", "A=S3CRET"], "`agentbox why env A`"),
        (["connect", ""], "HOST:PORT"),
    ] {
        let ran = common::run(b.agentbox(["why", words[0], words[1]]));
        assert_eq!(ran.code(), 2, "{words:?}: {ran:?}");
        let said = ran.complaint();
        assert!(said.contains(want), "{words:?}: {said}");
        assert!(!said.contains("S3CRET"), "{said}");
    }
    common::run(b.agentbox(["why", "read", "."])).ok();
}

/// It was only the errno.
#[test]
fn a_profile_that_is_not_there_has_a_way_out() {
    let b = TestBox::new();
    for words in [
        &["profiles", "validate", "nosuch.toml"][..],
        &["profiles", "diff", "shell", "./nosuch.toml"],
        &["run", "-p", "nosuch.toml", "true"],
    ] {
        let ran = common::run(b.agentbox(words));
        assert_ne!(ran.code(), 0, "{ran:?}");
        let said = ran.complaint();
        assert!(said.contains("nosuch.toml: open: No such file"), "{said}");
        assert!(said.contains("`agentbox profiles list`"), "{said}");
    }
    common::run(b.agentbox(["profiles", "validate", "shell"])).ok();
}

/// `sudo -u USER` leaves HOME that of root, or of whoever typed it.
#[test]
fn the_profiles_of_another_users_home_are_named_with_the_way_out() {
    let b = TestBox::new().dir("other/.config/agentbox/profiles");
    let other = b.root().join("other");
    let closed = other.join(".config");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(&closed, mode(0o000)).unwrap();
    let mut run = b.agentbox(["run", "--net", "none", "--", "true"]);
    run.env("HOME", &other);
    let ran = common::run(run);
    std::fs::set_permissions(&closed, mode(0o755)).unwrap();
    // Root reads what nobody may.
    if common::world::as_root() {
        ran.ok();
    } else {
        ran.refused(&["HOME", "your own home directory"]);
    }
}

/// It was only the errno: of a HOME that is not the caller's own, and of a caller with `ulimit -f`.
#[test]
fn a_record_that_cannot_be_written_has_a_way_out() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new();
    let inner = b.command(["true"]);
    let ran = common::run(b.through("ulimit -f 1; exec \"$@\"", &inner));
    ran.refused(&["record cannot be written", "ulimit -f unlimited"]);
    let ran = common::run(b.through("exec \"$@\"", &inner));
    ran.ok();
}

/// Only the flag of another start was named, also where a session runs that could be told.
#[test]
fn why_names_the_way_out_of_a_session_that_runs() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new().net("filtered");
    let ran = b.sh(
        "agentbox why connect no.test; agentbox why connect no.test:22; agentbox why read /nope",
    );
    let text = ran.text();
    assert!(text.contains("agentbox run --allow no.test, "), "{text}");
    for want in [
        "or in the session that runs: agentbox allow no.test\n",
        "or in the session that runs: agentbox allow no.test:22\n",
    ] {
        assert!(text.contains(want), "{text}");
    }
    assert_eq!(text.matches("session that runs").count(), 2, "{text}");
    // Outside there is none.
    let ran = common::run(b.agentbox(["why", "connect", "no.test"]));
    assert!(!ran.text().contains("session that runs"), "{ran:?}");
}

/// `agentbox allow` was named, which a session without a network refuses: its box is not given one.
#[test]
fn why_names_no_way_out_of_a_session_without_a_network() {
    if missing(Feature::Userns) {
        return;
    }
    let script = "agentbox why connect no.test";
    let said = |net: &'static str| TestBox::new().net(net).sh(script).text();
    let text = said("none");
    assert!(text.contains("agentbox run --allow no.test, "), "{text}");
    assert!(!text.contains("session that runs"), "{text}");
    assert!(said("filtered").contains("agentbox allow no.test"));
}
