//! Git's configuration that comes to hold a credential while the box runs: the box must not read it. Each beside what is written
//! there all day.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::switched::events;
use common::{COMMITTER, GIT, Live, Ran, TestBox, missing, until};
use std::fs;

const URL: &str = "https://me:S3CRET99@example.com/x.git";

/// A repository, a nested one, a submodule's git directory and another work tree.
fn world() -> TestBox {
    let b = TestBox::new()
        .profile("extends = [\"base\", \"git\"]\n[env]\nkeep = [\"MY_TOKEN\"]\n")
        .file("{ws}/README", "x");
    host(
        &b,
        "set -e; git init -q {home}/lib; git -C {home}/lib commit -q --allow-empty -m lib; git init -q; \
         git submodule --quiet add {home}/lib sub; git add -A; git commit -qm one; git worktree add -q wt -b wt; \
         git init -q nested; for d in . nested sub; do git -C $d remote add far https://example.com/x.git; done; \
         git config extensions.worktreeConfig true",
    )
    .ok();
    b
}

/// Does something on the host, as the test user, in the working copy.
fn host(b: &TestBox, script: &str) -> Ran {
    b.on_host(&format!("{COMMITTER} {GIT} {script}"))
}

/// A box that waits for the file `go` and does something then.
fn waiting(b: &TestBox, then: &str) -> Live {
    let text = format!("echo ready; until [ -e go ]; do sleep 0.01; done; {then}");
    let mut live = b.start(["/bin/sh", "-c", &b.fill(&text)]);
    live.wait_line("ready");
    live
}

/// The record says that this file was closed.
fn covered(b: &TestBox, file: &str) {
    let path = b.ws().join(file);
    until(&format!("{file} is covered"), || {
        events(b)
            .iter()
            .any(|event| event["event"] == "name-closed" && event["file"] == path.to_str().unwrap())
    });
}

#[test]
fn a_credential_that_comes_into_gits_configuration_is_not_read_in_the_box() {
    if missing(common::Feature::Tool("git")) {
        return;
    }
    let b = world();
    // (what the user runs, the file that it writes)
    let ways = [
        ("git remote set-url far URL", ".git/config"),
        (
            "git -C nested config http.https://example.com/.extraheader 'AUTHORIZATION: basic bWU6UzNDUkVUOTk='",
            "nested/.git/config",
        ),
        (
            "git -C sub remote set-url --push far URL",
            ".git/modules/sub/config",
        ),
        (
            "git -C wt config --worktree remote.own.url URL",
            ".git/worktrees/wt/config.worktree",
        ),
    ];
    let read: Vec<&str> = ways.iter().map(|(_, file)| *file).collect();
    let read = read.join(" ");
    let live = waiting(
        &b,
        &format!(
            "cat {read}; git remote get-url far; git status --short; git config user.name box 2>&1; cat .git/config; \
             agentbox why write .git/config; agentbox why write .git/index"
        ),
    );
    for (way, file) in ways {
        host(&b, &way.replace("URL", URL)).ok();
        covered(&b, file);
    }
    // What is written to it later is covered at once, and a stale copy stays one without a credential.
    host(&b, "git config user.email later@example.com; touch go").ok();
    let ran = live.end();
    let text = ran.text();
    assert!(
        !text.contains("S3CRET") && !text.contains("bWU6"),
        "{ran:?}"
    );
    assert!(text.contains("\nhttps://example.com/x.git\n"), "{ran:?}");
    assert!(
        text.contains("could not write config file .git/config: Device or resource busy"),
        "{ran:?}"
    );
    let why = [
        "no: {ws}/.git/config: it is a copy without its credentials",
        "yes: {ws}/.git/index: ",
    ];
    assert!(why.iter().all(|why| text.contains(&b.fill(why))), "{ran:?}");
    for (_, file) in ways {
        let said = format!("{file} holds a credential now: the box sees a copy without it");
        assert!(ran.complaint().contains(&said), "{ran:?}");
    }
    // It is the user's, and stays so.
    let own = fs::read_to_string(b.ws().join(".git/config")).unwrap();
    assert!(
        own.contains(URL) && own.contains("later@example.com"),
        "{own}"
    );
    // The next box has a clean copy from its start.
    let next = b.sh("cat .git/config").ok();
    assert!(
        next.contains("later@") && !next.contains("S3CRET"),
        "{next}"
    );
}

#[test]
fn what_is_no_credential_or_the_boxs_own_stays_as_it_is() {
    if missing(common::Feature::Tool("git")) {
        return;
    }
    let b = world().env("MY_TOKEN", "S3CRET99");
    let live = waiting(
        &b,
        "set -e; git remote set-url far https://me:$MY_TOKEN@example.com/x.git; git init -q born; \
         git -C born remote add far https://me:other99@example.com/x.git; sleep 0.5; \
         git config user.name box; git config user.email; git remote get-url far; git -C born remote get-url far; \
         git -C born config user.name box; git config credential.helper; echo end",
    );
    host(
        &b,
        "git config user.email host@example.com; git remote set-url origin https://example.com/y 2>/dev/null; \
         git config credential.helper store; touch go",
    )
    .ok();
    let ran = live.end();
    let text = ran.text();
    assert!(text.contains("host@example.com\n"), "{ran:?}");
    assert!(
        text.contains(URL) && text.contains("me:other99@"),
        "{ran:?}"
    );
    assert!(!ran.complaint().contains("holds a credential"), "{ran:?}");
    // Without that variable the box cannot be told from somebody else.
    let b = world();
    let live = waiting(
        &b,
        &format!(
            "git remote set-url far {URL}; i=0; \
             while git remote get-url far | grep -q S3CRET && [ $i -lt 400 ]; do sleep 0.05; i=$((i+1)); done; \
             git remote get-url far"
        ),
    );
    host(&b, "touch go").ok();
    let ran = live.end();
    assert!(
        ran.complaint()
            .contains(".git/config holds a credential now"),
        "{ran:?}"
    );
    assert!(!ran.text().contains("S3CRET"), "{ran:?}");
    // And whoever wants it shown says so.
    let b = b.option("--write").option(".git/config");
    let live = waiting(&b, "git remote get-url far");
    host(&b, &format!("git remote set-url far {URL}2; touch go")).ok();
    assert!(live.end().ok().contains("S3CRET99"), "it is shown");
}

/// A branch that begins with somebody's initials made the configuration read-only, and had no upstream in the box.
#[test]
fn a_branch_that_is_called_as_a_key_begins_is_no_credential() {
    if missing(common::Feature::Tool("git")) {
        return;
    }
    let b = world();
    let live = waiting(
        &b,
        "set -e; git checkout -q -b sk-fix-login-redirect-loop; \
         for k in remote=. merge=refs/heads/sk-fix-login-redirect-loop; do \
         git config branch.sk-fix-login-redirect-loop.${k%%=*} ${k#*=}; done; sleep 0.5; \
         git config branch.sk-fix-login-redirect-loop.merge; git config user.name box; echo end",
    );
    host(&b, "touch go").ok();
    let ran = live.end();
    assert!(!ran.complaint().contains("holds a credential"), "{ran:?}");
    let text = ran.ok();
    assert!(
        text.contains("refs/heads/sk-fix-login-redirect-loop\n") && text.ends_with("end"),
        "{text}"
    );
}

/// What the box wrote last was said to be seen in it, and then that it could not be (`Bad file descriptor`).
#[test]
fn of_a_box_that_has_ended_nothing_is_said_of_what_it_sees() {
    if missing(common::Feature::Tool("git")) {
        return;
    }
    let b = world();
    for ms in 0..8 {
        host(&b, "git remote set-url far https://example.com/x.git").ok();
        let ran = b.sh(&format!("git remote set-url far {URL}; sleep 0.00{ms}"));
        assert!(!ran.complaint().contains("could not be made"), "{ran:?}");
    }
}

/// What did not fit stayed there half, and nothing fitted after it.
#[test]
fn a_copy_that_does_not_fit_takes_no_room() {
    if missing(common::Feature::Tool("git")) {
        return;
    }
    let b = world();
    let live = waiting(
        &b,
        "cat .git/config; git -C nested remote get-url far && echo end",
    );
    host(
        &b,
        &format!(
            "set -e; i=0; while [ $i -lt 8000 ]; do printf '[x \"%0100d\"]\\n\\tk = v\\n' $i; i=$((i+1)); done >> .git/config; \
             git remote set-url far {URL}"
        ),
    )
    .ok();
    covered(&b, ".git/config");
    host(&b, &format!("git -C nested remote set-url far {URL}")).ok();
    covered(&b, "nested/.git/config");
    host(&b, "touch go").ok();
    let ran = live.end();
    assert!(
        ran.complaint()
            .contains("could not be made (No space left on device)"),
        "{ran:?}"
    );
    assert!(!ran.text().contains("S3CRET"), "{ran:?}");
    assert!(
        ran.text().ends_with("https://example.com/x.git\nend"),
        "{ran:?}"
    );
}

/// `glab config set token` writes into the repository's git directory, which git's own rules are about.
#[test]
fn what_glab_keeps_in_the_git_directory_is_hidden_where_it_is_a_token() {
    if missing(common::Feature::Tool("git")) {
        return;
    }
    let b = world();
    let glab = |dir: &str, text: &str| {
        let write = format!(
            "mkdir -p {dir}/.git/glab-cli; printf '{text}' > {dir}/.git/glab-cli/config.yml"
        );
        host(&b, &write).ok();
    };
    glab(".", "token: glpat-0123456789abcdefghij\\n");
    glab("nested", "editor: vi\\n");
    let ran = b.sh(
        "for d in . nested; do cat $d/.git/glab-cli/config.yml; (echo 'editor: evil' > $d/.git/glab-cli/config.yml) 2>&1; done",
    );
    let text = ran.text();
    assert!(!text.contains("glpat"), "{ran:?}");
    assert!(
        text.contains("Read-only file system") && text.contains("editor: vi"),
        "{ran:?}"
    );
    let after =
        |dir: &str| fs::read_to_string(b.ws().join(dir).join(".git/glab-cli/config.yml")).unwrap();
    assert_eq!(after("nested"), "editor: vi\n");
    assert!(after(".").contains("glpat"));
}
