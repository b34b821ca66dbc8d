//! The project's `.agentbox.toml`: it forbids at once, and grants only what a human has looked at (`agentbox trust`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Errno, TestBox, run};
use std::fs;
use std::os::unix::fs::symlink;

const WIDE: &str = "[files]\nread = [\"~/.aws\"]\nhide = [\"${workspace}/*.dump\"]\n\
                    [env]\nkeep = [\"DATABASE_PASSWORD\"]\n\
                    [commands]\nallow = [\"terraform\"]\n\
                    [limits]\nopen-files = 99\nprocesses = \"none\"\n";

fn world(text: &str) -> TestBox {
    TestBox::new()
        .file("home/ws/.agentbox.toml", text)
        .file("home/ws/orders.dump", "DUMP")
        .file("home/.aws/credentials", "SECRET")
        .env("DATABASE_PASSWORD", "PASSWORD")
}

/// What the box of this world lets through, as one word each.
fn what_is_let(b: &TestBox) -> Vec<&'static str> {
    let script = "cat ~/.aws/credentials; cat orders.dump; echo $DATABASE_PASSWORD; ulimit -n; cat .agentbox.toml | wc -l; true";
    let ran = b.run(["sh", "-c", script]);
    let text = ran.ok();
    let marks = [
        ("SECRET", "credentials"),
        ("DUMP", "dump"),
        ("PASSWORD", "variable"),
        ("99", "limit"),
    ];
    let found = marks.into_iter().filter(|(mark, _)| text.contains(mark));
    found.map(|(_, word)| word).collect()
}

#[test]
fn it_forbids_at_once_and_grants_only_when_trusted() {
    let b = world("");
    assert_eq!(what_is_let(&b), ["dump"], "an empty file changes nothing");
    let b = world(WIDE);
    assert_eq!(
        what_is_let(&b),
        ["limit"],
        "hidden and limited, nothing granted"
    );
    // Said, with what was left out and what to do.
    let banner = b.run(["true"]).complaint();
    for word in [
        "files.read (line 2)",
        "env.keep (line 5)",
        "commands.allow (line 7)",
        "limits (line 10)",
        "agentbox trust",
    ] {
        assert!(banner.contains(word), "{word}: {banner}");
    }
    // Nobody is there to be asked.
    let ran = run(b.agentbox(["trust"]));
    assert_eq!(ran.code(), 2, "{ran:?}");
    assert!(ran.complaint().contains("--yes"), "{ran:?}");
    assert_eq!(what_is_let(&b), ["limit"]);

    let ran = run(b.agentbox(["trust", "--yes"]));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(
        ran.text().contains("read = [\"~/.aws\"]"),
        "it is shown: {ran:?}"
    );
    assert!(
        ran.text().contains("left out: files.read (line 2)"),
        "{ran:?}"
    );
    assert_eq!(what_is_let(&b), ["credentials", "variable", "limit"]);
    assert!(!b.run(["true"]).complaint().contains("left out"));
    assert!(
        run(b.agentbox(["trust"]))
            .ok()
            .contains("is trusted as it is")
    );
    let listed = run(b.agentbox(["trust", "--list"])).ok();
    assert!(
        listed.ends_with("/.agentbox.toml") && listed.lines().count() == 1,
        "{listed}"
    );

    // One byte more, and it is trusted no more.
    fs::write(b.ws().join(".agentbox.toml"), format!("{WIDE}\n")).unwrap();
    assert_eq!(what_is_let(&b), ["limit"], "changed");
    fs::write(b.ws().join(".agentbox.toml"), WIDE).unwrap();
    assert_eq!(what_is_let(&b).len(), 3, "as it was");
    assert_eq!(run(b.agentbox(["trust", "--revoke"])).code(), 0);
    assert_eq!(what_is_let(&b), ["limit"], "revoked");
    assert_eq!(
        run(b.agentbox(["trust", "--revoke"])).code(),
        1,
        "not trusted"
    );
}

/// The command line is the human's and stronger; a profile of the user's is not.
#[test]
fn the_command_line_is_stronger_and_the_users_profile_is_not() {
    let b = world("[files]\nhide = [\"${workspace}/*.dump\"]\n")
        .profile("extends = [\"shell\"]\n[files]\nhide = [\"!${workspace}/*.dump\"]\n");
    assert!(what_is_let(&b).is_empty());
    let b = b.option("--read").option("{ws}/orders.dump");
    assert_eq!(what_is_let(&b), ["dump"]);
}

#[test]
fn the_network_can_only_be_less() {
    let mode = |project: &str, flag: &str| {
        let b = TestBox::new().file("home/ws/.agentbox.toml", project);
        let flags: Vec<&str> = flag.split_whitespace().collect();
        let args = [&["explain", "--json"][..], &flags, &["--", "true"]].concat();
        let plan: serde_json::Value = serde_json::from_str(&run(b.agentbox(args)).ok()).unwrap();
        plan["network"]["mode"].as_str().unwrap().to_owned()
    };
    let less = "[network]\nmode = \"none\"\n";
    let more = "[network]\nmode = \"host\"\n";
    assert_eq!(mode("", ""), "filtered");
    assert_eq!(mode(less, ""), "none");
    assert_eq!(mode(more, ""), "filtered");
    assert_eq!(mode(less, "--net filtered"), "filtered");
}

/// It is found by the real path of the workspace, from a directory below it, by a link and by -C.
#[test]
fn it_counts_from_wherever_the_run_starts() {
    let b = world("[files]\nhide = [\"${workspace}/*.dump\"]\n")
        .file("home/ws/.git/HEAD", "ref: refs/heads/main\n")
        .dir("home/ws/.git/objects")
        .dir("home/ws/.git/refs")
        .dir("home/ws/deep/er");
    symlink(b.ws().join("deep/er"), b.home().join("way")).unwrap();
    let ws = b.fill("{ws}");
    for (cwd, options) in [
        (b.ws(), vec![]),
        (b.ws().join("deep/er"), vec![]),
        (b.home().join("way"), vec![]),
        (b.home(), vec!["-C", ws.as_str()]),
        (b.ws().join("deep"), vec!["-C", ".."]),
    ] {
        let mut command = b.agentbox([&["run", "-q"][..], &options, &["--", "cat"]].concat());
        command.arg(b.ws().join("orders.dump")).current_dir(&cwd);
        let ran = run(command);
        assert_eq!(ran.ok(), "", "{cwd:?} {options:?}");
    }
    // One further up is not the workspace's.
    let b = TestBox::new()
        .file(
            "home/.agentbox.toml",
            "[files]\nhide = [\"${workspace}/*.dump\"]\n",
        )
        .file("home/ws/orders.dump", "DUMP");
    assert_eq!(what_is_let(&b), ["dump"]);
}

/// What it forbids must not be lost, so a file that cannot be understood ends the start.
#[test]
fn a_bad_file_is_an_error_with_its_place() {
    let b = world("[files]\nhde = [\"x\"]\n");
    b.run(["true"]).refused(&[".agentbox.toml:2:1", "hide"]);
    let b = TestBox::new().file("secret", "password = hunter2\n");
    symlink(b.root().join("secret"), b.ws().join(".agentbox.toml")).unwrap();
    let ran = b.run(["true"]);
    ran.refused(&[".agentbox.toml", "not a regular file"]);
    assert!(!ran.complaint().contains("hunter2"), "{ran:?}");
    let b = TestBox::new().dir("home/ws/.agentbox.toml");
    b.run(["true"]).refused(&["not a regular file"]);
    // Nothing that it says reaches a terminal as it is.
    let b = world("x = \"\u{1b}]52;c;AAAA\u{7}\"\n");
    let ran = b.run(["true"]);
    assert_eq!(ran.code(), 125, "{ran:?}");
    assert!(!ran.complaint().contains('\u{1b}'), "{ran:?}");
    let b = world("# \u{202e}\u{1b}[2J\n");
    let shown = run(b.agentbox(["trust", "--yes"]));
    assert!(!shown.text().contains(['\u{1b}', '\u{202e}']), "{shown:?}");
}

/// The agent can neither change the file nor the list, nor answer the question.
#[test]
fn the_agent_cannot_trust() {
    let b = world(WIDE);
    b.probe("may write {ws}/.agentbox.toml")
        .denied(Errno::EROFS, common::Layer::View);
    b.probe("may write {ws}/other").allowed();
    let ran = b.sh("agentbox trust --yes; echo status $?; mkdir -p ~/.config/agentbox; echo x > ~/.config/agentbox/trusted");
    assert_eq!(ran.text(), "status 1", "{ran:?}");
    assert!(ran.complaint().contains("this is a box"), "{ran:?}");
    assert!(!b.home().join(".config/agentbox/trusted").exists());
    assert_eq!(what_is_let(&b), ["limit"]);
}
