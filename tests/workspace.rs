//! Where a workspace may be, and what the command line grants besides.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Errno, Feature, Layer, TestBox, bytes, missing};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn workspaces_that_are_refused() {
    let home_is_repo = TestBox::new().dir("home/.git");
    home_is_repo.agentbox(["run", "--net", "none", "-C"]);
    for (name, words) in [
        ("{home}", "HOME"),
        ("{t}", "HOME"),
        ("/", "/"),
        ("/etc", "/etc"),
        ("/usr", "/usr"),
        ("/usr/bin", "/usr"),
        ("{home}/.config/agentbox", "agentbox"),
        ("{home}/.local/state/agentbox", "agentbox"),
        ("/proc", "/proc"),
        ("/dev", "/dev"),
        ("/root/../etc", "/etc"),
        ("{ws}/missing", "missing"),
        ("{ws}/file", "file"),
    ] {
        let b = TestBox::new()
            .file("home/ws/file", "x")
            .dir("home/.config/agentbox")
            .dir("home/.local/state/agentbox");
        let words = b.fill(words);
        let name = b.fill(name);
        let ran = b.option("-C").option(&name).run(["true"]);
        ran.refused(&[]);
        assert!(
            ran.complaint().contains(&words) || ran.complaint().contains(&name),
            "{name}: {ran:?}"
        );
    }
    // HOME that is itself a repository, called from a directory of it.
    let b = home_is_repo.cwd(TestBox::new().home());
    let home = b.home();
    b.cwd(home).run(["true"]).refused(&[]);
    TestBox::new().run(["true"]).ok();
}

#[test]
fn workspaces_in_odd_places() {
    for name in [
        "plain",
        "with space",
        "new\nline",
        "quote'\"",
        "-dash",
        "{braces}",
        "ümlaut",
        "$(touch x)",
        "a:b",
        "tab\tname",
    ] {
        let b = TestBox::new();
        let place = b.home().join(name);
        fs::create_dir(&place).unwrap();
        b.chown(&place);
        let b = b.cwd(&place);
        let ran = b.run(["/bin/sh", "-c", "echo hello > made && cat made && pwd"]);
        assert_eq!(ran.ok(), format!("hello\n{}", place.display()), "{name:?}");
        assert_eq!(fs::read_to_string(place.join("made")).unwrap(), "hello\n");
    }
    let b = TestBox::new();
    let place = b.home().join(bytes(b"\xff\xfe"));
    fs::create_dir(&place).unwrap();
    b.chown(&place);
    let b = b.cwd(&place);
    assert_eq!(
        b.run(["/bin/sh", "-c", "echo hello > made && cat made"])
            .ok(),
        "hello"
    );
}

#[test]
fn a_workspace_reached_by_symlink_keeps_its_typed_path() {
    let b = TestBox::new()
        .dir("real/project")
        .file("real/project/f", "text");
    symlink(b.root().join("real/project"), b.home().join("link")).unwrap();
    let link = b.home().join("link");
    let b = b.cwd(&link).env("PWD", &link);
    assert_eq!(
        b.run(["/bin/sh", "-c", "pwd && cat f && echo new > n"])
            .ok(),
        format!("{}\ntext", link.display())
    );
    assert!(b.root().join("real/project/n").exists());
    // The real name works too: tools canonicalise.
    b.probe("read {t}/real/project/f").allowed();
}

#[test]
fn the_repository_root_is_the_workspace() {
    let b = TestBox::new()
        .dir("home/ws/repo/.git")
        .file("home/ws/repo/top", "x")
        .file("home/ws/repo/sub/f", "y")
        .file("home/ws/beside", "z");
    fs::write(b.ws().join("repo/.git/HEAD"), "ref: refs/heads/main\n").unwrap();
    let sub = b.ws().join("repo/sub");
    let b = b.cwd(&sub);
    // The working directory is kept, and the whole repository is writable.
    assert_eq!(
        b.sh("pwd && cat ../top f && echo more > ../new").ok(),
        format!("{}\nxy", sub.display())
    );
    assert!(b.ws().join("repo/new").exists());
    b.probe("read ../../beside")
        .denied_deep(Errno::ENOENT, Layer::View);
}

#[test]
fn cwd_outside_of_the_workspace_becomes_its_root() {
    let b = TestBox::new().dir("elsewhere");
    let elsewhere = b.root().join("elsewhere");
    let ws = b.ws();
    let b = b.cwd(elsewhere).option("-C").option("{ws}");
    assert_eq!(b.sh("pwd").ok(), ws.display().to_string());
}

#[test]
fn grants_of_the_command_line() {
    let b = TestBox::new()
        .file("data/f", "read me")
        .file("out/f", "")
        .file("single", "one")
        .file("data/hidden/f", "x");
    let b = b
        .option("--read")
        .option("{t}/data")
        .option("--write")
        .option("{t}/out")
        .option("--read")
        .option("{t}/single");
    assert_eq!(b.probe("read {t}/data/f").allowed()["text"], "read me");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(b.root().join("data/f"), mode).unwrap();
    b.probe("write {t}/data/f").refused(Errno::EROFS);
    b.probe("create {t}/out/new").allowed();
    assert!(b.root().join("out/new").exists());
    assert_eq!(b.probe("read {t}/single").allowed()["text"], "one");
    // What is not there is a refusal, not a silent nothing.
    let b = TestBox::new().option("--read").option("{t}/no-such-thing");
    b.run(["true"]).refused(&["no-such-thing"]);
}

#[test]
fn sub_mounts_of_the_workspace_are_seen() {
    if missing(Feature::HostRoot) {
        return;
    }
    let b = TestBox::new().dir("home/ws/mounted");
    let at = b.ws().join("mounted");
    nix::mount::mount(
        Some("tmpfs"),
        &at,
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        Some("mode=777"),
    )
    .unwrap();
    fs::write(at.join("f"), "below a mount").unwrap();
    let answer = b.probe("read mounted/f").value();
    nix::mount::umount(&at).unwrap();
    assert_eq!(answer["text"], "below a mount", "{answer}");
}

/// The box must not be able to change its own rules or its record.
#[test]
fn agentboxs_own_directories_are_not_writable_by_a_grant() {
    for place in [
        "{home}/.config/agentbox",
        "{home}/.config",
        "{home}/.local/state",
        "{home}/.local/state/agentbox",
    ] {
        let b = TestBox::new()
            .file(
                "home/.config/agentbox/profiles/mine.toml",
                "extends = [\"base\"]\n",
            )
            .dir("home/.local/state/agentbox");
        let b = b.option("--write").option(place);
        let ran = b.sh("echo evil > {home}/.config/agentbox/profiles/mine.toml; echo evil > {home}/.local/state/agentbox/x; echo RAN");
        assert!(ran.code() == 125 || ran.code() == 0, "{place}: {ran:?}");
        let profile =
            fs::read_to_string(b.home().join(".config/agentbox/profiles/mine.toml")).unwrap();
        assert!(
            !profile.contains("evil"),
            "{place}: the profile was changed: {ran:?}"
        );
        assert!(
            !b.home().join(".local/state/agentbox/x").exists(),
            "{place}: the record's directory was written"
        );
    }
}

/// A worktree of git: its repository lies elsewhere, and commits go there.
#[test]
fn a_git_worktree() {
    if missing(Feature::Tool("git")) {
        return;
    }
    let b = TestBox::new();
    let script = "set -e; cd {home}; git init -q -b main main; cd main; git config user.name A; git config user.email a@b; git commit -q --allow-empty -m one; git worktree add -q ../tree";
    common::run(b.through(script, &b.agentbox(["true"]))).ok();
    let tree = b.home().join("tree");
    let b = b.cwd(&tree);
    let ran = b.sh("set -e; git status --short; echo x > f; git add f; git commit -qm two; git log --format=%s");
    assert_eq!(ran.ok(), "two\none");
    let main = b.home().join("main");
    let log = common::run(b.through(
        &format!("git -C {} log --format=%s tree", main.display()),
        &b.agentbox(["true"]),
    ));
    assert_eq!(log.ok(), "two\none", "the commit is in the repository");
}

/// `git worktree add ../x` made it in a directory of the box's own: it was gone in the end, with what was not committed, and nobody
/// said so.
#[test]
fn work_trees_that_go_with_the_box_are_named() {
    if missing(Feature::Tool("git")) {
        return;
    }
    let b = TestBox::new().profile("extends = [\"shell\"]");
    let begin = "set -e; git init -q -b main .; git config user.name A; git config user.email a@b; \
                 git commit -q --allow-empty -m one; git worktree add -q ../earlier; rm -r ../earlier";
    b.on_host(begin).ok();
    let told = "gone with the directories of the box's own: the work tree ";
    for (place, rest) in [
        ("../beside", ""),
        ("~/deep/er", ""),
        ("/tmp/x", ""),
        ("../a ../b", " and 1 more"),
    ] {
        let script =
            format!("for t in {place}; do git worktree add -q $t && echo lost > $t/note; done");
        let ran = b.sh(&script);
        assert_eq!(ran.code(), 0, "{place}: {ran:?}");
        let line = ran.complaint();
        let line = line.lines().find(|line| line.contains(told));
        let line = line.unwrap_or_else(|| panic!("{place}: {ran:?}"));
        assert!(
            line.contains(&format!("{rest}, and what")),
            "{place}: {line}"
        );
        b.on_host("git worktree prune").ok();
    }
    // Below the working copy it stays; one that was removed is not missed, nor one of an earlier session, nor the host's own.
    b.on_host("git worktree add -q ../earlier2; rm -r ../earlier2")
        .ok();
    let fine = "git worktree add -q below && echo kept > below/note; git worktree add -q ../off && git worktree remove ../off; \
                touch go; until [ -e went ]; do sleep 0.01; done";
    let host =
        "until [ -e {ws}/go ]; do sleep 0.01; done; git worktree add -q ../theirs && touch went";
    let ran = std::thread::scope(|scope| {
        let box_ = scope.spawn(|| b.sh(fine));
        b.on_host(host).ok();
        box_.join().unwrap()
    });
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.complaint().contains(told), "{ran:?}");
    assert_eq!(
        fs::read_to_string(b.ws().join("below/note")).unwrap(),
        "kept\n"
    );
    // What the box writes there is no path, or a fifo: nothing is said, and nothing waits.
    let odd = "cd .git/worktrees && mkdir p q r && mkfifo p/gitdir && echo ../../x/.git > q/gitdir && ln -s /etc/passwd r/gitdir";
    let ran = b.sh(odd);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.complaint().contains(told), "{ran:?}");
}
