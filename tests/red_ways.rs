//! Protected names that are links of the user's, or lead through some: what is behind them has names that no pattern knows, and runs all
//! the same. Each beside a name that nothing leads to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{COMMITTER, GIT, Live, Ran, TestBox, live, run};
use std::fs;
use std::os::unix::fs::symlink;

const BASE: &str = "extends = [\"base\", \"git\"]\n";

/// Does something on the host, as the test user, in the working copy.
fn host(b: &TestBox, script: &str) -> Ran {
    b.on_host(&format!("set -e; {COMMITTER} {GIT} {script}"))
}

/// A repository in which a script has made something that is committed.
fn repository(script: &str) -> TestBox {
    let b = TestBox::new().profile(BASE);
    let make = format!(
        "git init -q; echo notes > notes; {script}; git add -A; git commit -q --allow-empty -m one --no-verify"
    );
    host(&b, &make).ok();
    b
}

/// Says `ready`, waits for the file `go` and does something.
fn waiting(b: &TestBox, script: &str) -> Live {
    let text = format!("echo ready; until [ -e go ]; do sleep 0.01; done; {script}");
    let mut live = b.start(["/bin/sh", "-c", &text]);
    live.wait_line("ready");
    live
}

fn text(b: &TestBox, file: &str) -> String {
    fs::read_to_string(b.ws().join(file)).unwrap_or_default()
}

/// `.claude -> agents`: what was there was read-only, and `settings.local.json` beside it, with hooks, was the box's to make; so was a new
/// workflow behind `.github -> ci`.
#[test]
fn what_a_box_makes_behind_a_directory_that_is_a_link() {
    let b = repository(
        "mkdir -p agents/skills ci/workflows real; echo '{}' > agents/settings.json; ln -s agents .claude; ln -s ci .github; \
         echo a > ci/workflows/a.yml; ln -s way .cursor; ln -s real way; ln -s later .codex; ln -s later .vscode",
    );
    let ran = b.sh(
        "for f in settings.local.json settings.json skills/evil.md own.txt; do echo evil > agents/$f; done; \
         for f in workflows/b.yml workflows/a.yml own.yml; do echo evil > ci/$f; done; echo evil > real/mcp.json; \
         mkdir -p later; echo evil > later/tasks.json; echo mine > later/notes; echo told",
    );
    assert_eq!(ran.text(), "told", "{ran:?}");
    for (file, now) in [
        (".claude/settings.json", "{}\n"),
        (".claude/settings.local.json", ""),
        (".claude/skills/evil.md", ""),
        (".github/workflows/a.yml", "a\n"),
        (".github/workflows/b.yml", ""),
        (".cursor/mcp.json", ""),
        (".vscode/tasks.json", ""),
        // The twins.
        (".claude/own.txt", "evil\n"),
        (".github/own.yml", "evil\n"),
    ] {
        assert_eq!(text(&b, file), now, "{file}: {ran:?}");
    }
    assert!(ran.complaint().contains("agentbox restore"), "{ran:?}");
    // The way out that `why` names.
    let lifted = "--protect=!{ws}/agents/settings.local.json";
    let why = run(b.agentbox(["why", "write", "agents/settings.local.json"]));
    assert!(why.text().starts_with("no: "), "{why:?}");
    let b = b.option(lifted);
    let ran =
        b.sh("echo mine > agents/settings.local.json; echo evil > agents/settings.json; sleep 0.3");
    assert_eq!(text(&b, "agents/settings.local.json"), "mine\n", "{ran:?}");
    assert_eq!(text(&b, "agents/settings.json"), "{}\n", "{ran:?}");
}

/// A link between a protected name and what it leads to was the box's to replace.
#[test]
fn a_link_on_the_way_that_the_box_replaces() {
    let b = repository(
        "mkdir conf agents .vscode; echo old > conf/mcp; ln -s way .mcp.json; ln -s conf/mcp way; echo old > conf/tasks; \
         ln -s ../tasks .vscode/tasks.json; ln -s conf/tasks tasks; ln -s on .claude; ln -s agents on; echo old > agents/settings.json; \
         ln -s notes other",
    );
    let ran = b.sh(
        "mkdir evil; echo evil > evil/settings.json; echo evil > e; for l in way tasks other; do rm -f $l; ln -s e $l; done; \
         ln -s evil n; mv -T n on; sleep 0.3; echo told",
    );
    assert_eq!(ran.text(), "told", "{ran:?}");
    assert_eq!(text(&b, ".mcp.json"), "", "{ran:?}");
    assert_eq!(text(&b, ".vscode/tasks.json"), "old\n", "{ran:?}");
    assert_eq!(text(&b, ".claude/settings.json"), "old\n", "{ran:?}");
    assert_eq!(text(&b, "other"), "evil\n", "the twin: {ran:?}");
}

/// The user saves what a protected link leads to by a rename, as editors do: the mount that kept it was gone with the old file.
#[test]
fn what_a_protected_link_leads_to_when_the_host_replaces_it() {
    let b = repository(
        "mkdir conf; echo old > conf/mcp; ln -s conf/mcp .mcp.json; cp conf/mcp conf/other",
    );
    let live = waiting(
        &b,
        "for f in mcp other; do echo evil >> conf/$f; done; sleep 0.3",
    );
    host(
        &b,
        "for f in mcp other; do echo new > conf/n; mv conf/n conf/$f; done; sleep 0.3; touch go",
    )
    .ok();
    let ran = live.end();
    assert_eq!(text(&b, ".mcp.json"), "new\n", "{ran:?}");
    assert_eq!(text(&b, "conf/other"), "new\nevil\n", "the twin: {ran:?}");
}

/// `ln -s ../../tools/check .git/hooks/pre-commit`: the hook was read-only, and the script that it is was not.
#[test]
fn a_script_of_the_work_that_is_a_hook() {
    let b = repository(
        "mkdir tools; printf '#!/bin/sh\\n' > tools/check; chmod +x tools/check; ln -s check tools/way; cp tools/check tools/other; \
         ln -s ../../tools/way .git/hooks/pre-commit; mkdir -p .cursor/rules; echo a > AGENTS.md; ln -s ../../AGENTS.md .cursor/rules/a.mdc; \
         mkdir .husky .devcontainer; cp tools/check tools/push; ln -s ../tools/push .husky/pre-push; echo a > Dockerfile; \
         ln -s ../Dockerfile .devcontainer/Dockerfile; \
         git add -A; git commit -qm two --no-verify; git checkout -qb topic; printf '#!/bin/sh\\n: topic\\n' > tools/check; git commit -qam topic; \
         git checkout -q -",
    );
    let evil = "printf '#!/bin/sh\\ntouch {home}/mark\\n'";
    let ran = b.sh(&format!(
        "for f in check push other; do {evil} > tools/$f; done; rm tools/way; cp tools/other tools/way; for f in AGENTS.md Dockerfile; do echo b >> $f; done; echo told"
    ));
    assert_eq!(ran.text(), "told", "{ran:?}");
    host(&b, "git commit -q --allow-empty -m three").ok();
    assert!(!b.home().join("mark").exists(), "{ran:?}");
    for tool in ["check", "push"] {
        assert_eq!(text(&b, &format!("tools/{tool}")), "#!/bin/sh\n", "{ran:?}");
    }
    assert!(
        text(&b, "tools/other").contains("mark"),
        "the twin: {ran:?}"
    );
    for read in ["AGENTS.md", "Dockerfile"] {
        assert_eq!(text(&b, read), "a\nb\n", "it is read: {ran:?}");
    }
    // It follows its branch.
    let ran = b.sh("git checkout -q .; git checkout -q topic");
    ran.ok();
    assert!(text(&b, "tools/check").contains("topic"), "{ran:?}");
}

/// The search after a crash looks at each name anew: what was there is the user's.
#[test]
fn links_on_the_way_outlive_a_crash() {
    let b = repository(
        "mkdir conf agents tools; echo old > conf/mcp; ln -s way .mcp.json; ln -s conf/mcp way; ln -s on .claude; ln -s agents on; \
         echo old > agents/settings.json; echo s > tools/check; ln -s check tools/way; ln -s ../../tools/way .git/hooks/pre-commit; sleep 0.1",
    );
    let token = common::world::token();
    let script = "echo evil > agents/settings.local.json; rm tools/way; echo evil > tools/way; echo ready; sleep 1000; true";
    let mut live = b.start(["/bin/sh", "-c", script, &token]);
    live.wait_line("ready");
    live::crash(live, &token);
    let ran = b.run(["true"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    for link in [".mcp.json", "way", ".claude", "on", "tools/way"] {
        assert!(b.ws().join(link).is_symlink(), "{link}: {ran:?}");
    }
    assert_eq!(text(&b, ".mcp.json"), "old\n", "{ran:?}");
    assert_eq!(text(&b, ".claude/settings.json"), "old\n", "{ran:?}");
    assert_eq!(text(&b, ".git/hooks/pre-commit"), "s\n", "{ran:?}");
    assert_eq!(text(&b, "agents/settings.local.json"), "", "{ran:?}");
}

/// `x/.cursor -> ..`, which a branch may bring: the whole working copy was read-only, and empty with `.aws -> .`.
#[test]
fn a_link_to_where_it_lies_covers_nothing_else() {
    let b = TestBox::new().file("{ws}/x/plain", "old\n");
    symlink("..", b.ws().join("x/.cursor")).unwrap();
    symlink(".", b.ws().join("x/.env")).unwrap();
    let ran = b.sh(
        "echo new >> x/plain; echo a > b; cat x/plain b; echo evil > x/.cursor/hooks.json; true",
    );
    assert_eq!(ran.text(), "old\nnew\na", "{ran:?}");
    let said = ".cursor is a link to a directory that it lies in";
    assert!(ran.complaint().contains(said), "{ran:?}");
}

/// A package was removed, and the links of all others (`.claude -> ../../.claude`) were moved away: a directory above them had changed.
/// Those that lead to what is not there yet were moved away by themselves, and their directories could not be removed.
#[test]
fn links_of_a_monorepo_stay_when_something_changes_beside_them() {
    let b = repository(
        "mkdir .claude; echo '{}' > .claude/settings.json; ln -s conf/mcp .mcp.json; for i in $(seq 100); do mkdir -p packages/p$i; \
         for l in .claude .mcp.json .envrc .env; do ln -s ../../$l packages/p$i; done; done; \
         ln -s ../../.claude \"packages/p5/$(printf 'o\\377d')\"; mkdir \"$(printf 'o\\377d')\"; ln -s ../.claude \"$(printf 'o\\377d')\"; sleep 0.1",
    );
    let ran = b.sh(
        "for i in $(seq 100); do mkdir packages/n$i; sleep 0.005; done; rm -r packages/n* packages/p1 packages/p100; \
         mv packages/p2/.claude packages/p2/old; ln -s old packages/p2/.claude; mkdir conf; echo evil > conf/mcp; sleep 0.3; echo told",
    );
    assert_eq!(ran.text(), "told", "{ran:?}");
    assert!(!ran.complaint().contains("busy"), "{ran:?}");
    for number in 3..100 {
        for link in [".claude", ".mcp.json", ".envrc", ".env"] {
            let link = b.ws().join(format!("packages/p{number}/{link}"));
            assert!(link.is_symlink(), "{link:?}: {ran:?}");
        }
    }
    assert!(!b.ws().join("packages/p1").exists(), "{ran:?}");
    // The twins: another link, and what is made behind one.
    assert!(!b.ws().join("packages/p2/.claude").is_symlink(), "{ran:?}");
    assert_eq!(text(&b, "conf/mcp"), "", "{ran:?}");
    // And in the search after a crash.
    let token = common::world::token();
    let script = "mkdir packages/new; rm packages/p3/.claude; ln -s ../p4 packages/p3/.claude; echo ready; sleep 1000; true";
    let mut live = b.start(["/bin/sh", "-c", script, &token]);
    live.wait_line("ready");
    live::crash(live, &token);
    let ran = b.run(["true"]);
    assert!(b.ws().join("packages/p5/.claude").is_symlink(), "{ran:?}");
    assert!(b.ws().join("packages/p5/.mcp.json").is_symlink(), "{ran:?}");
    assert!(!b.ws().join("packages/p3/.claude").is_symlink(), "{ran:?}");
}

/// `.gemini -> sub/../lnk/agents`: no name on that way but `sub`, which another directory's place is asked of. The box put a link there.
#[test]
fn a_link_that_leads_elsewhere_in_the_end_is_taken_away() {
    let evil = "rm -r sub; mkdir -p q/w q/lnk/agents; echo evil > q/lnk/agents/settings.json; ln -s q/w sub";
    for (script, stays) in [
        (evil, false),
        // The twins: what leads there as before, or to what is installed.
        (
            "echo new > sub/x; mv lnk/agents other; mkdir lnk/agents",
            true,
        ),
        (
            "rm node_modules/a; ln -s b node_modules/a; echo new > sub/x",
            true,
        ),
    ] {
        let b = repository(
            "mkdir -p sub lnk/agents node_modules/b; touch sub/x lnk/agents/x; ln -s sub/../lnk/agents .gemini; \
             ln -s b node_modules/a; ln -s node_modules/a .github",
        );
        let ran = b.sh(script);
        assert_eq!(ran.code(), 0, "{ran:?}");
        let settings = fs::read_to_string(b.ws().join(".gemini/settings.json"));
        assert!(settings.is_err(), "{script}: {ran:?}");
        let there = b.ws().join(".gemini").symlink_metadata().is_ok();
        assert_eq!(there, stays, "{script}: {ran:?}");
        assert_eq!(ran.complaint().contains(".gemini"), !stays, "{ran:?}");
        let link = b.ws().join(".github").symlink_metadata();
        assert!(link.is_ok(), "{script}: {ran:?}");
    }
}
