//! What an agent left behind must not open anything to the next session: links, `#!` lines, git's pointers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Errno, Layer, TestBox};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

const KEY: &str = "PRIVATE-KEY-OF-THE-USER";

fn with_key() -> TestBox {
    TestBox::new().file("home/.ssh/id_rsa", KEY)
}

/// A repository as git asks for one: HEAD, objects, refs.
fn with_repository(b: TestBox) -> TestBox {
    b.file("home/other/.git/HEAD", "ref: refs/heads/main\n")
        .dir("home/other/.git/objects")
        .file("home/other/.git/objects/aa", KEY)
        .dir("home/other/.git/refs")
        .dir("home/other/.git/hooks")
}

#[test]
fn a_commondir_in_the_workspace_opens_no_other_repository() {
    let b = with_repository(TestBox::new());
    let (ws, other) = (b.ws().display().to_string(), b.home().join("other/.git"));
    let b = b
        .file("home/ws/.git", "gitdir: fake\n")
        .file("home/ws/fake/HEAD", "ref: refs/heads/main\n")
        .file("home/ws/fake/gitdir", format!("{ws}/.git\n"))
        .file("home/ws/fake/commondir", format!("{}\n", other.display()));
    b.probe("write {home}/other/.git/hooks/post-commit x")
        .denied_deep(Errno::ENOENT, Layer::View);
    b.probe("read {home}/other/.git/HEAD")
        .denied_deep(Errno::ENOENT, Layer::View);
    let ran = b.run(["true"]);
    ran.ok();
    assert!(
        String::from_utf8_lossy(&ran.stderr).contains("git will not work here"),
        "{ran:?}"
    );
}

#[test]
fn a_linked_work_tree_has_its_repository() {
    let b = with_repository(TestBox::new());
    let (ws, other) = (b.ws().display().to_string(), b.home().join("other/.git"));
    let linked = other.join("worktrees/ws");
    let b = b
        .file("home/ws/.git", format!("gitdir: {}\n", linked.display()))
        .file("home/other/.git/worktrees/ws/HEAD", "ref: refs/heads/x\n")
        .file(
            "home/other/.git/worktrees/ws/gitdir",
            format!("{ws}/.git\n"),
        )
        .file("home/other/.git/worktrees/ws/commondir", "../..\n");
    b.probe("read {home}/other/.git/objects/aa").allowed();
}

#[test]
fn alternates_open_no_other_repository() {
    let b = with_repository(TestBox::new());
    let store = b.home().join("other/.git/objects");
    let b = b.file("home/ws/.git/HEAD", "ref: refs/heads/main\n").file(
        "home/ws/.git/objects/info/alternates",
        format!("{}\n", store.display()),
    );
    b.probe("read {home}/other/.git/objects/aa")
        .denied_deep(Errno::ENOENT, Layer::View);
    let ran = b.run(["true"]);
    ran.ok();
    assert!(
        String::from_utf8_lossy(&ran.stderr).contains("--read"),
        "{ran:?}"
    );
    let b = b.option("--read").option("{home}/other/.git/objects");
    b.probe("read {home}/other/.git/objects/aa").allowed();
}

#[test]
fn a_script_of_the_workspace_opens_no_file_of_home() {
    for script in [
        "#!{home}/.ssh/id_rsa\n",
        "#!/bin/sh\ncat {home}/.ssh/id_rsa # \"$basedir/../.ssh/id_rsa\"\n",
        "#!/usr/bin/env {home}/.ssh/id_rsa\n",
    ] {
        let b = with_key();
        // An executable key, so that nothing but its place speaks against it.
        let key = b.home().join(".ssh/id_rsa");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o755)).unwrap();
        let script = b.fill(script);
        let b = b.script("home/ws/tool", &script);
        let ran = b.run(["./tool"]);
        assert_ne!(ran.code(), 0, "{ran:?}");
        assert!(
            !String::from_utf8_lossy(&ran.stdout).contains(KEY),
            "{ran:?}"
        );
        assert!(
            String::from_utf8_lossy(&ran.stderr).contains("--read"),
            "{ran:?}"
        );
    }
}

#[test]
fn a_link_of_the_workspace_opens_no_program_of_home() {
    let b = TestBox::new()
        .script("home/private/bin/tool", "#!/bin/sh\necho hello\n")
        .file("home/private/package.json", KEY);
    symlink(b.home().join("private/bin/tool"), b.ws().join("tool")).unwrap();
    let ran = b.run(["./tool"]);
    assert_ne!(ran.code(), 0, "{ran:?}");
    // Named by the caller it runs, and its package with it.
    let program = b.home().join("private/bin/tool");
    assert_eq!(b.run([program]).ok(), "hello");
}

#[test]
fn a_script_of_the_workspace_runs_with_an_interpreter_of_the_system() {
    let b = TestBox::new().script("home/ws/tool", "#!/usr/bin/env sh\necho hello\n");
    assert_eq!(b.run(["./tool"]).ok(), "hello");
}

#[test]
fn a_link_in_the_workspace_widens_no_grant_of_a_profile() {
    let b = with_key().profile("extends = [\"shell\"]\n[files]\nread = [\"${workspace}/data?\"]\n");
    symlink(b.home().join(".ssh"), b.ws().join("data")).unwrap();
    let ran = b.run(["true"]);
    ran.refused(&["which the agent can write"]);
    fs::remove_file(b.ws().join("data")).unwrap();
    b.run(["true"]).ok();
}

#[test]
fn a_link_in_the_private_place_makes_no_directory_outside() {
    let b = TestBox::new().dir("home/other");
    b.sh("cd ~/.local/share/agentbox/private && rm -rf .cargo && ln -s {home}/other .cargo")
        .ok();
    b.run(["true"]).ok();
    let made: Vec<_> = fs::read_dir(b.home().join("other")).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
    // And it is healed: cargo has its place again.
    b.sh("touch ~/.cargo/registry/x").ok();
}

#[test]
fn a_profile_that_the_agent_can_write_is_refused() {
    let profile = "extends = [\"builtin:shell\"]\n[files]\nread = [\"~/.ssh\"]\n";
    // A file of the workspace, linked from where profiles are looked for (a repository of dot files).
    let b = with_key()
        .file("home/ws/shell.toml", profile)
        .dir("home/.config/agentbox/profiles");
    let place = b.home().join(".config/agentbox/profiles/shell.toml");
    symlink(b.ws().join("shell.toml"), &place).unwrap();
    b.run(["true"]).refused(&["which the agent can write"]);
    // The twin: the same as a plain file.
    fs::remove_file(&place).unwrap();
    let b = b.file("home/.config/agentbox/profiles/shell.toml", profile);
    b.probe("read {home}/.ssh/id_rsa").allowed();
    // Named by the caller it counts, and it is said.
    let b = with_key().file("home/ws/p.toml", profile);
    let b = b.option("--profile").option("{ws}/p.toml");
    let ran = b.run(["cat", "../.ssh/id_rsa"]);
    assert_eq!(ran.ok(), KEY);
    assert!(
        ran.complaint().contains("which the agent can write"),
        "{ran:?}"
    );
}

/// `--write src` means the directory that was there, not what an earlier session has put in its place.
#[test]
fn a_link_in_the_workspace_widens_no_grant_of_the_command_line() {
    for (flag, name) in [
        ("--write", "src"),
        ("--read", "src"),
        ("--read", "src/id_rsa"),
    ] {
        let b = with_key().dir("{ws}/kept");
        symlink(b.home().join(".ssh"), b.ws().join("src")).unwrap();
        symlink("kept", b.ws().join("inside")).unwrap();
        let typed = b.ws().join(name).display().to_string();
        let ran = b.option(&format!("{flag}={typed}")).sh("cat src/id_rsa");
        ran.refused(&[
            "leads to",
            ".ssh",
            "which the agent can write",
            "name the real path",
        ]);
    }
    // The twins: a link that stays in the working copy, and the real path.
    let b = with_key().dir("{ws}/kept");
    symlink("kept", b.ws().join("inside")).unwrap();
    let typed = b.ws().join("inside").display().to_string();
    b.option(&format!("--write={typed}"))
        .sh("echo x > inside/x")
        .ok();
    let b = with_key().file("home/lib/x", "fine");
    symlink(b.home().join("lib"), b.ws().join("lib")).unwrap();
    let real = b.home().join("lib").display().to_string();
    assert_eq!(
        b.option(&format!("--read={real}")).sh("cat lib/x").ok(),
        "fine"
    );
}
