//! Names that change while the box runs: replaced, made or moved by the host, made by the agent; and files that are compared
//! with what they were at the end. Each beside a name that no rule knows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, Live, Ran, TestBox, live, missing, run, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const BASE: &str = "extends = [\"base\", \"git\"]\n";

fn boxed() -> TestBox {
    TestBox::new().profile(BASE)
}

/// A box that says `ready`, waits for the file `go` and then runs the script.
fn waiting(b: &TestBox, script: &str) -> Live {
    let text = format!("echo ready; until [ -e go ]; do sleep 0.01; done; {script}");
    let mut live = b.start(["/bin/sh", "-c", &b.fill(&text)]);
    live.wait_line("ready");
    live
}

/// Does something on the host, as the test user, and lets the box go on.
fn host(b: &TestBox, script: &str) {
    b.on_host(&format!("set -e; {script}")).ok();
}

fn go_on(b: &TestBox) {
    host(b, "touch go");
}

/// `agentbox restore ARGS`.
fn restore(b: &TestBox, args: &[&str]) -> Ran {
    run(b.agentbox([&["restore"], args].concat()))
}

/// The events of the only session.
fn events(b: &TestBox) -> String {
    let sessions = b.home().join(".local/state/agentbox/sessions");
    let dirs = fs::read_dir(sessions).unwrap().flatten();
    let files = dirs.filter_map(|dir| fs::read_to_string(dir.path().join("events.jsonl")).ok());
    files.collect()
}

fn read(b: &TestBox, file: &str) -> String {
    fs::read_to_string(b.ws().join(file)).unwrap_or_default()
}

/// Nothing of ours is left in the workspace.
fn clean(b: &TestBox) {
    let mut dirs = vec![b.ws()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            assert!(!name.starts_with(".agentbox-"), "{:?}", entry.path());
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
}

/// What a name of a hide rule reads as in the end, after the host did something, and what its twin does.
#[test]
fn a_hidden_name_is_closed_again_however_the_host_brings_it_back() {
    // What the host does with NAME; NAME is `.env` and, as its twin, `plain`.
    let moments = [
        ("rename", "echo new > tmp.0; mv tmp.0 NAME"),
        ("unlink and create", "rm -f NAME; echo new > NAME"),
        ("created", "mkdir -p d; echo new > d/NAME"),
        (
            "moved in with its directory",
            "mkdir x; echo new > x/NAME; mv x d",
        ),
        (
            "link",
            "echo new > other; ln -f other d.NAME; rm -rf d; mkdir d; ln other d/NAME",
        ),
        (
            "deep",
            "mkdir -p d/1/2/3/4/5; echo new > d/1/2/3/4/5/NAME; ln d/1/2/3/4/5/NAME d/NAME",
        ),
        (
            "directory replaced",
            "mkdir -p d; echo old > d/NAME; mv d e; mkdir d; echo new > d/NAME",
        ),
        (
            "parent renamed",
            "mkdir -p c; echo new > c/NAME; sleep 0.05; mv c d",
        ),
    ];
    for (moment, script) in moments {
        let b = boxed().file("{ws}/.env", "old").file("{ws}/plain", "old");
        // The last word of a loop that ends early when the name is closed.
        let look = "for f in .env d/.env; do i=0; while [ -s $f ] && [ $i -lt 300 ]; do sleep 0.01; i=$((i+1)); done; \
             echo \"$f=$(cat $f 2>/dev/null)\"; done; echo \"plain=$(cat plain) d/plain=$(cat d/plain 2>/dev/null)\"";
        let live = waiting(&b, look);
        host(&b, &script.replace("NAME", "plain"));
        host(
            &b,
            &script
                .replace("mkdir x;", "rm -rf d; mkdir x;")
                .replace("NAME", ".env"),
        );
        host(
            &b,
            "mkdir -p d; [ -e d/plain ] || echo new > d/plain; touch go",
        );
        let ran = live.end();
        let text = ran.ok();
        assert!(
            text.contains("\n.env=\n") && text.contains("\nd/.env=\n"),
            "{moment}: {ran:?}"
        );
        assert!(
            text.contains("d/plain=new"),
            "{moment}: the twin is closed: {ran:?}"
        );
    }
}

#[test]
fn a_frozen_name_that_the_host_replaces_is_frozen_again_and_is_the_hosts() {
    let b = boxed()
        .file("{ws}/.claude/settings.json", "{\"a\":0}")
        .file("{ws}/.claude/notes.txt", "old");
    let live = waiting(
        &b,
        "cat .claude/settings.json; echo evil > .claude/settings.json; echo mine > .claude/notes.txt; \
         mv .claude .other; echo \"mv=$?\"; cat .claude/notes.txt",
    );
    for n in 1..=5 {
        host(
            &b,
            &format!("echo '{{\"a\":{n}}}' > tmp; mv tmp .claude/settings.json"),
        );
        until("it is frozen again", || {
            events(&b).matches("\"frozen\"").count() == n
        });
    }
    go_on(&b);
    let ran = live.end();
    assert_eq!(
        ran.text().replace("ready\n", ""),
        "{\"a\":5}\nmv=1\nmine",
        "{ran:?}"
    );
    assert!(ran.complaint().contains("Read-only file system"), "{ran:?}");
    assert_eq!(read(&b, ".claude/settings.json"), "{\"a\":5}\n");
    clean(&b);
}

/// The name under which a host's program writes before it renames is nobody's yet: the box had it open, or linked, and wrote to what
/// was taken for the host's from then on.
#[test]
fn what_the_host_moves_there_is_not_the_boxes_to_write_to() {
    let ways = [
        (
            "linked before",
            ": >m.tmp; ln m.tmp keep",
            "echo evil >keep",
        ),
        (
            "open for reading",
            ": >m.tmp; exec 3<m.tmp",
            "echo evil >/proc/self/fd/3",
        ),
        ("not at all", ":", "echo evil >.mcp.json"),
    ];
    for (way, before, after) in ways {
        let b = boxed().file("{ws}/.mcp.json", "{\"first\":1}");
        let script = format!(
            "{before}; echo ready; until [ -e go ]; do sleep 0.01; done; {after}; sleep 0.3; echo own >twin"
        );
        let mut live = b.start(["/bin/bash", "-c", &script]);
        live.wait_line("ready");
        host(&b, "echo '{\"host\":1}' >m.tmp; mv -f m.tmp .mcp.json");
        // Closed again, or looked at and put back to what it was: either is in the record.
        until("it is looked at", || {
            let events = events(&b);
            events.contains("\"frozen\"") || read(&b, ".mcp.json").contains("first")
        });
        go_on(&b);
        let ran = live.end();
        let text = read(&b, ".mcp.json");
        assert!(!text.contains("evil"), "{way}: {text} {ran:?}");
        assert!(
            text.contains("host") || text.contains("first"),
            "{way}: {text}"
        );
        assert_eq!(read(&b, "twin"), "own\n", "{way}: {ran:?}");
        let named = ran.complaint().contains("is protected and was changed");
        assert_eq!(named, way != "not at all", "{way}: {ran:?}");
        clean(&b);
    }
}

#[test]
fn what_runs_things_goes_at_once_and_comes_back_on_demand() {
    let b = boxed().file("{ws}/README", "x");
    let ways = [
        ("written", "echo evil > .mcp.json", ".mcp.json"),
        ("moved in", "echo evil > m; mv m .mcp.json", ".mcp.json"),
        ("linked", "echo evil > m; ln m .mcp.json", ".mcp.json"),
        ("symlink", "echo evil > m; ln -s m .mcp.json", ".mcp.json"),
        (
            "deep",
            "mkdir -p a/b/.claude; echo evil > a/b/.claude/settings.json",
            "a/b/.claude/settings.json",
        ),
        (
            "with its directory",
            "mkdir n; echo evil > n/settings.json; mv n .claude",
            ".claude/settings.json",
        ),
        (
            "directory",
            "mkdir -p .cursor/rules; echo evil > .cursor/mcp.json",
            ".cursor",
        ),
        (
            "link to a directory",
            "mkdir n; echo evil > n/settings.json; ln -s n .claude",
            ".claude",
        ),
    ];
    for (way, script, name) in ways {
        let b = boxed().file("{ws}/README", "x");
        let wait = format!(
            "{script}; echo twin > twin.json; i=0; while ls -d {name} >/dev/null 2>&1 && [ $i -lt 500 ]; do sleep 0.01; i=$((i+1)); done; \
             ls -d {name} && echo still; cat twin.json"
        );
        let ran = b.sh(&wait);
        assert_eq!(ran.text(), "twin", "{way}: {ran:?}");
        assert!(ran.complaint().contains("moved away"), "{way}: {ran:?}");
        assert!(fs::symlink_metadata(b.ws().join(name)).is_err(), "{way}");
        assert_eq!(read(&b, "twin.json"), "twin\n");
        let listed = restore(&b, &[]).ok();
        assert!(
            listed.contains(&b.fill(&format!("{{ws}}/{name}"))),
            "{way}: {listed}"
        );
        let id = listed.split_whitespace().next().unwrap().to_owned();
        restore(&b, &[&id[..8], name]).ok();
        assert!(
            fs::symlink_metadata(b.ws().join(name)).is_ok(),
            "{way}: not given back"
        );
        clean(&b);
    }
    // And the other way round: no rule, no line.
    let ran = b.sh("echo x > mcp.json; mkdir -p claude; echo x > claude/settings.json");
    assert!(!ran.complaint().contains("moved away"), "{ran:?}");
}

/// `git submodule add`, `git init` of a submodule: git makes a link in the new git directory to see whether it can, and removes
/// it. It was moved away where the keeper was as fast, and said.
#[test]
fn gits_own_probe_for_links_is_left_alone() {
    let b = boxed().file("{ws}/README", "x");
    let ran = b.sh(
        "git init -q; mkdir -p .git/modules/m; cd .git/modules/m; ln -s testing tAbCdE1; ln -s ../evil tAbCdE2; ln -s testing other; \
         i=0; while ls -d tAbCdE2 other >/dev/null 2>&1 && [ $i -lt 500 ]; do sleep 0.01; i=$((i+1)); done; sleep 0.3; \
         for l in *; do [ -L $l ] && echo $l; done; true",
    );
    assert_eq!(ran.text(), "tAbCdE1", "{ran:?}");
    let said = ran.complaint();
    assert!(!said.contains("tAbCdE1"), "{said}");
    for denied in ["m/tAbCdE2 is a name", "m/other is a name"] {
        assert!(said.contains(denied), "{denied}: {said}");
    }
    clean(&b);
}

/// A repository with a CI file, as of one commit.
fn repository() -> TestBox {
    let b = boxed()
        .file("{ws}/README", "x")
        .file("{ws}/.github/workflows/ci.yml", "on: push\n")
        .file("{ws}/.envrc", "export A=1\n")
        .file("{ws}/CODEOWNERS", "* @me\n");
    b.git(&["init", "-q"]);
    b.git(&["add", "-A"]);
    b.git(&["commit", "-qm", "one"]);
    b
}

#[test]
fn tracked_files_are_as_they_were_when_the_session_is_over() {
    let b = repository();
    let ran = b.sh(
        "set -e; echo evil >> .github/workflows/ci.yml; echo evil > .github/workflows/new.yml; rm CODEOWNERS; \
         mv .envrc x; mkdir .vscode; echo evil > .vscode/tasks.json; echo fine > .vscode/notes; echo changed > README; \
         cat .github/workflows/new.yml",
    );
    assert_eq!(ran.ok(), "evil", "writable inside");
    assert_eq!(read(&b, ".github/workflows/ci.yml"), "on: push\n");
    assert_eq!(read(&b, "CODEOWNERS"), "* @me\n");
    assert_eq!(read(&b, ".envrc"), "export A=1\n");
    assert_eq!(read(&b, "README"), "changed\n", "the twin");
    assert_eq!(read(&b, ".vscode/notes"), "fine\n", "the twin");
    for gone in [".github/workflows/new.yml", ".vscode/tasks.json"] {
        assert!(!b.ws().join(gone).exists(), "{gone}: {ran:?}");
    }
    let listed = restore(&b, &[]).ok();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let id = listed.split_whitespace().next().unwrap().to_owned();
    restore(&b, &[&id, ".github/workflows/ci.yml"]).ok();
    assert_eq!(read(&b, ".github/workflows/ci.yml"), "on: push\nevil\n");
    // What stood there went into the quarantine instead.
    assert!(restore(&b, &[]).ok().contains("replaced by a restore"));
    restore(&b, &[&id, "--all"]).ok();
    assert_eq!(read(&b, ".vscode/tasks.json"), "evil\n");
    clean(&b);
}

#[test]
fn of_git_configuration_only_what_runs_things_is_undone() {
    let b = repository();
    b.git(&["config", "core.editor", "vim"]);
    let ran = b.sh(
        "git remote add origin https://example.org/x; git config branch.main.remote origin; git config core.hooksPath evil; \
         git config alias.st status; git config alias.x '!sh'; git config --unset core.editor; \
         i=0; while git config --local core.hooksPath >/dev/null && [ $i -lt 500 ]; do sleep 0.01; i=$((i+1)); done; \
         git config --local -l",
    );
    let text = ran.ok();
    assert!(!text.contains("hookspath"), "at once: {ran:?}");
    let config = read(&b, ".git/config");
    for stays in ["example.org", "st = status", "vim", "remote = origin"] {
        assert!(config.contains(stays), "{stays}: {config}\n{ran:?}");
    }
    for goes in ["evil", "!sh"] {
        assert!(!config.contains(goes), "{goes}: {config}");
    }
    assert!(ran.complaint().contains("core.hookspath"), "{ran:?}");
    clean(&b);
}

/// What the keeper has to do when the host writes a configuration of which the box sees a copy.
#[test]
fn a_configuration_with_credentials_stays_covered_when_the_host_writes_it() {
    let b = repository();
    host(
        &b,
        "git config http.extraHeader 'AUTHORIZATION: basic T0xE'; git config user.x old",
    );
    let live = waiting(
        &b,
        "cat .git/config; echo evil > .git/config; echo \"write=$?\"",
    );
    for n in 1..=3 {
        host(
            &b,
            &format!(
                "git config http.extraHeader 'AUTHORIZATION: basic TkVX{n}'; git config user.x new"
            ),
        );
        until("it is covered again", || {
            events(&b).matches("\"copied\"").count() >= n
        });
    }
    go_on(&b);
    let ran = live.end();
    let text = ran.text();
    assert!(!text.contains("TkVX") && !text.contains("T0xE"), "{ran:?}");
    assert!(text.contains("x = \"old\""), "{ran:?}");
    assert!(!text.contains("write=0"), "{ran:?}");
    assert!(
        read(&b, ".git/config").contains("TkVX3"),
        "the host's is the host's"
    );
}

/// Git takes `[core "hookspath\0"]` for core.hookspath: names are C strings. It was overlooked.
#[test]
fn a_nul_byte_in_a_git_configuration_hides_nothing() {
    let b = repository();
    let before = read(&b, ".git/config");
    let ran = b.run([
        "sh",
        "-c",
        "printf '[core \"hookspath\\0\"]\\n\\tx = evil\\n' >> .git/config; git config core.hooksPath; \
         i=0; while git config --local core.hooksPath >/dev/null && [ $i -lt 500 ]; do sleep 0.01; i=$((i+1)); done",
    ]);
    // It would have run.
    assert!(ran.text().contains("evil"), "{ran:?}");
    assert_eq!(read(&b, ".git/config"), before);
    assert!(ran.complaint().contains(".git/config"), "{ran:?}");
}

#[test]
fn a_repository_that_was_born_in_the_session_loses_what_runs_by_itself_in_the_end() {
    let b = repository();
    let ran = b.sh(
        "set -e; git clone -q . copy; cd copy; git config core.pager evil; mkdir -p .git/hooks; printf '#!/bin/sh\\n' > .git/hooks/pre-commit; \
         chmod +x .git/hooks/pre-commit; git config user.name a; git config user.email a@b; git commit -q --allow-empty -m x; \
         ls .git/hooks/pre-commit; git config core.pager",
    );
    assert_eq!(
        ran.ok(),
        ".git/hooks/pre-commit\nevil",
        "it keeps them while it runs"
    );
    assert!(
        !b.ws().join("copy/.git/hooks/pre-commit").exists(),
        "{ran:?}"
    );
    let config = read(&b, "copy/.git/config");
    assert!(
        !config.contains("pager") && config.contains("[remote \"origin\"]"),
        "{config}"
    );
    assert!(
        read(&b, "copy/.github/workflows/ci.yml").contains("push"),
        "its files are its own"
    );
}

#[test]
fn what_a_crash_kept_from_being_settled_is_settled_by_who_comes_next() {
    for next in ["restore", "run"] {
        let b = repository();
        let token = common::world::token();
        let script = "echo evil > .github/workflows/ci.yml; echo evil > .github/workflows/new.yml; echo ready; sleep 1000; true";
        let mut live = b.start(["/bin/sh", "-c", script, &token]);
        live.wait_line("ready");
        let init = live::init_of(live::find(&token));
        let supervisor = live::parent(init).unwrap();
        kill(supervisor, Signal::SIGKILL).unwrap();
        live.end();
        live::gone(&token);
        assert_eq!(read(&b, ".github/workflows/ci.yml"), "evil\n");
        let ran = match next {
            "run" => b.run(["true"]),
            _ => restore(&b, &[]),
        };
        assert_eq!(ran.code(), 0, "{ran:?}");
        assert_eq!(
            read(&b, ".github/workflows/ci.yml"),
            "on: push\n",
            "{next}: {ran:?}"
        );
        assert!(
            !b.ws().join(".github/workflows/new.yml").exists(),
            "{next}: {ran:?}"
        );
        assert_eq!(restore(&b, &[]).ok().lines().count(), 2, "{next}");
        clean(&b);
    }
}

fn keeper_of(supervisor: Pid) -> Pid {
    live::all()
        .into_iter()
        .find(|pid| {
            live::parent(*pid) == Some(supervisor)
                && live::status_field(*pid, "Name").as_deref() == Some("agentbox-keeper")
        })
        .expect("a keeper")
}

/// Where events are lost the box stands still until everything was looked at anew, and then goes on.
#[test]
fn after_lost_events_the_box_waits_until_all_is_closed() {
    let b = boxed().file("{ws}/plain", "old").dir("{ws}/many");
    let token = common::world::token();
    let script = "echo ready; until [ -e go ]; do sleep 0.01; done; cat d/.env; cat d/plain";
    let mut live = b.start(["/bin/sh", "-c", script, &token]);
    live.wait_line("ready");
    let keeper = keeper_of(live::parent(live::init_of(live::find(&token))).unwrap());
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let most: usize = most.trim().parse().unwrap();
    assert!(most < 1_000_000, "{most} events are too many for a test");
    kill(keeper, Signal::SIGSTOP).unwrap();
    // The queue is full, and what comes then is never told.
    for n in 0..most + 100 {
        fs::write(b.ws().join(format!("many/{n}")), "").unwrap();
    }
    host(&b, "mkdir d; echo SECRET > d/.env; echo new > d/plain");
    kill(keeper, Signal::SIGCONT).unwrap();
    until("it goes on", || events(&b).contains("\"resumed\""));
    let said = events(&b);
    let at = |what: &str| said.find(what).unwrap_or_else(|| panic!("{what}: {said}"));
    assert!(at("\"watch-overflow\"") < at("\"paused\"") && at("\"paused\"") < at("\"resumed\""));
    go_on(&b);
    let ran = live.end();
    assert_eq!(ran.text().replace("ready\n", ""), "new", "{ran:?}");
}

#[test]
fn without_its_keeper_the_box_does_not_go_on() {
    let b = boxed().file("{ws}/.env", "secret");
    let token = common::world::token();
    let mut live = b.start(["/bin/sh", "-c", "echo ready; sleep 1000; true", &token]);
    live.wait_line("ready");
    let init = live::init_of(live::find(&token));
    let supervisor = live::parent(init).unwrap();
    kill(keeper_of(supervisor), Signal::SIGKILL).unwrap();
    let ran = live.end();
    assert_eq!(ran.code(), 137, "{ran:?}");
    assert!(ran.complaint().contains("keeper"), "{ran:?}");
    live::gone(&token);
}

#[test]
fn a_link_of_the_agents_leads_the_keeper_nowhere() {
    // Outside of the workspace, with a name that a rule knows: it must neither be moved away nor changed.
    let b = boxed()
        .file("{home}/victim/settings.json", "the user's")
        .file("{home}/victim/.mcp.json", "the user's")
        .file("{ws}/README", "x");
    let ran = b.sh(
        "ln -s ../victim .claude; ln -s ../victim d; ln -s ../victim/.mcp.json .mcp.json; \
         for i in 1 2 3 4 5 6 7 8 9 10; do mkdir .codex; mv .codex c$i; ln -s ../victim .codex; rm -rf .codex; done; sleep 0.2",
    );
    assert_eq!(ran.code(), 0, "{ran:?}");
    for file in ["settings.json", ".mcp.json"] {
        let path = b.home().join("victim").join(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "the user's", "{path:?}");
    }
    assert!(fs::symlink_metadata(b.ws().join(".mcp.json")).is_err());
}

#[test]
fn a_directory_that_became_a_link_is_a_directory_again() {
    let b = repository();
    b.sh("mv .github gh; ln -s gh .github; echo evil > gh/workflows/ci.yml")
        .ok();
    assert!(
        fs::symlink_metadata(b.ws().join(".github"))
            .unwrap()
            .is_dir()
    );
    assert_eq!(read(&b, ".github/workflows/ci.yml"), "on: push\n");
}

#[test]
fn a_mode_is_part_of_what_a_tracked_file_is() {
    let b = repository();
    let husky = b.ws().join(".husky");
    host(&b, "mkdir .husky; echo x > .husky/pre-commit");
    b.sh("chmod +x .husky/pre-commit; chmod 600 .envrc").ok();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o111;
    assert_eq!(mode(&husky.join("pre-commit")), 0);
    assert_eq!(
        restore(&b, &[]).ok().lines().count(),
        1,
        "not what only its owner may read"
    );
}

#[test]
fn a_tracked_file_follows_its_branch_and_not_the_agent() {
    let b = repository();
    b.git(&["checkout", "-qb", "other"]);
    host(
        &b,
        "echo 'on: pull_request' > .github/workflows/ci.yml; echo 'on: release' > .github/workflows/release.yml",
    );
    b.git(&["add", "-A"]);
    b.git(&["commit", "-qm", "two"]);
    b.git(&["checkout", "-q", "main"]);
    // Objects of this very moment would count as the session's.
    until("git's objects are old", || {
        let age = fs::metadata(b.ws().join(".git/index"))
            .unwrap()
            .modified()
            .unwrap();
        age.elapsed().is_ok_and(|age| age.as_millis() > 100)
    });
    let ran = b.sh("git checkout -q other && git worktree add -q wt main && git status --short");
    assert_eq!(ran.ok(), "?? wt/", "{ran:?}");
    assert_eq!(
        read(&b, ".github/workflows/ci.yml"),
        "on: pull_request\n",
        "{ran:?}"
    );
    assert_eq!(read(&b, ".github/workflows/release.yml"), "on: release\n");
    assert_eq!(read(&b, "wt/.github/workflows/ci.yml"), "on: push\n");
    // What the agent itself gave to git is not what a branch had.
    let ran = b.sh("echo evil > .github/workflows/ci.yml; git add -A .github; git -c user.name=a -c user.email=a@b commit -qm x");
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(
        read(&b, ".github/workflows/ci.yml"),
        "on: pull_request\n",
        "{ran:?}"
    );
}

/// Ten git commands that touch tracked files and configuration, each as often as it may come: the same outside and inside.
#[test]
fn git_does_inside_what_it_does_outside() {
    let script = "set -e; export GIT_AUTHOR_DATE=2026-01-01T00:00:00Z GIT_COMMITTER_DATE=2026-01-01T00:00:00Z; \
        g() { git -c user.name=a -c user.email=a@b -c protocol.file.allow=always \"$@\"; }; \
        for i in 1 2 3 4 5 6 7 8; do \
          g checkout -q other; g checkout -q main; g checkout -qb b$i; echo $i > f$i; g add f$i; g commit -qm f$i; \
          g checkout -q main; g merge -q --no-ff -m m$i b$i; echo s >> README; g stash -q; g stash pop -q; \
          g commit -qam r$i; g rebase -q main b$i; g checkout -q main; g remote add r$i https://example.org/$i; \
          g config branch.b$i.remote r$i; g worktree add -q wt$i b$i; g tag t$i; \
        done; g gc -q; g submodule add -q ./ sub 2>/dev/null || true; g branch -d b1 2>/dev/null || true";
    let world = || {
        let b = repository();
        b.git(&["checkout", "-qb", "other"]);
        host(
            &b,
            "echo 'on: other' > .github/workflows/ci.yml; echo x > other.txt",
        );
        b.git(&["add", "-A"]);
        b.git(&["commit", "-qm", "two"]);
        b.git(&["checkout", "-q", "main"]);
        b
    };
    // Hashes of commits have the time of the first two in them; trees have not.
    let state = |b: &TestBox| {
        let mut text = b.git(&["status", "--short"]);
        for reference in b
            .git(&[
                "for-each-ref",
                "--format=%(refname)",
                "refs/heads",
                "refs/tags",
            ])
            .lines()
        {
            text += &format!(
                "\n{reference} {}",
                b.git(&["rev-parse", &format!("{reference}^{{tree}}")])
            );
            text += &format!(" {}", b.git(&["rev-list", "--count", reference]));
        }
        text += &b.git(&["config", "--local", "-l"]);
        text + &b
            .git(&["worktree", "list"])
            .replace(b.ws().to_str().unwrap(), "WS")
            .lines()
            .map(|l| {
                l.split_whitespace()
                    .filter(|w| w.len() != 7)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect::<Vec<_>>()
            .join("\n")
    };
    let (outside, inside) = (world(), world());
    host(&outside, script);
    until("git's objects are old", || {
        let age = fs::metadata(inside.ws().join(".git/index"))
            .unwrap()
            .modified()
            .unwrap();
        age.elapsed().is_ok_and(|age| age.as_millis() > 100)
    });
    let ran = inside.sh(script);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let (out, ins) = (state(&outside), state(&inside));
    assert_eq!(
        out.replace(outside.ws().to_str().unwrap(), "WS"),
        ins.replace(inside.ws().to_str().unwrap(), "WS"),
        "{ran:?}"
    );
}

/// A loop of the agent's that spins on a hidden name while the host replaces it: what got through is printed, and is little.
#[test]
fn a_loop_on_a_hidden_name_sees_little_of_what_the_host_writes() {
    const ROUNDS: usize = 1000;
    let b = boxed().file("{ws}/.env", "secret 0");
    let script = b.root().join("bin/spin.py");
    fs::write(
        &script,
        "import os,sys,time\nprint('ready',flush=True)\nseen={}\nreads=0\nwhile not os.path.exists('stop'):\n  for _ in range(50):\n    reads+=1\n    try:\n      t=open('.env').read()\n    except OSError:\n      continue\n    if t:\n      n=time.perf_counter()\n      f,l=seen.get(t,(n,n))\n      seen[t]=(f,n)\nw=sorted((l-f)*1e3 for f,l in seen.values())\nprint('reads',reads,'through',len(seen),'median',w[len(w)//2] if w else 0,'longest',w[-1] if w else 0)\n",
    )
    .unwrap();
    let mut live = b.start(["/usr/bin/python3", script.to_str().unwrap()]);
    live.wait_line("ready");
    host(
        &b,
        &format!(
            "i=0; while [ $i -lt {ROUNDS} ]; do i=$((i+1)); echo secret $i > .x; mv .x .env; done; touch stop"
        ),
    );
    let ran = live.end();
    let text = ran.ok();
    // Not by a print macro: the harness would swallow it.
    let line = format!(
        "LOOP {ROUNDS} replacements: {}\n",
        text.lines().last().unwrap()
    );
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    assert!(text.contains("through"), "{ran:?}");
    // In the end it is closed.
    assert!(b.sh("cat .env").ok().is_empty());
}

#[test]
fn a_refused_program_that_is_upgraded_is_refused_still() {
    let b = TestBox::new()
        .profile("extends = [\"base\", \"git\"]\n[commands]\ndeny = [\"mytool\"]\nsearch = [\"{t}/tools\"]\n[files]\nread = [\"{t}/tools\"]\n")
        .script("{t}/tools/mytool", "#!/bin/sh\necho old\n")
        .script("{t}/tools/other", "#!/bin/sh\necho old\n");
    let live = waiting(
        &b,
        "i=0; while {t}/tools/mytool 2>/dev/null && [ $i -lt 300 ]; do sleep 0.01; i=$((i+1)); done; {t}/tools/mytool; echo $?; {t}/tools/other",
    );
    host(
        &b,
        "for n in mytool other; do printf '#!/bin/sh\\necho new\\n' > ../../tools/x; chmod 755 ../../tools/x; mv ../../tools/x ../../tools/$n; done; touch go",
    );
    let ran = live.end();
    let text = ran.text();
    assert!(text.ends_with("126\nnew"), "{ran:?}");
}

/// `agentbox why` in the box said yes to a program that the keeper had covered since the start: one that was installed, or a link to
/// a refused one where the keeper looks at its directory instead of watching it.
#[test]
fn why_in_the_box_knows_what_is_refused_since_the_start() {
    let b = TestBox::new()
        .profile("extends = [\"base\", \"git\"]\n[commands]\ndeny = [\"mytool\"]\nsearch = [\"{t}/tools\"]\n[files]\nread = [\"{t}/tools\"]\n")
        .script("{t}/tools/other", "#!/bin/sh\necho other\n");
    let live = waiting(
        &b,
        "i=0; until {t}/tools/mytool 2>/dev/null; [ $? = 126 ] || [ $i = 300 ]; do sleep 0.01; i=$((i+1)); done; \
         for n in mytool other link; do agentbox why exec {t}/tools/$n | head -n 1; done",
    );
    host(
        &b,
        "printf '#!/bin/sh\\necho new\\n' > ../../tools/mytool; chmod 755 ../../tools/mytool; ln -s mytool ../../tools/link; touch go",
    );
    let ran = live.end();
    let text = ran.text();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    let [link, other, mytool] = lines[..] else {
        panic!("{ran:?}");
    };
    assert!(
        mytool.starts_with("no: ") && mytool.contains("[commands] deny has \"mytool\""),
        "{ran:?}"
    );
    assert!(other.starts_with("yes: "), "{ran:?}");
    assert!(link.starts_with("no: "), "{ran:?}");
}

#[test]
fn lifted_names_are_the_agents() {
    let b = boxed()
        .file("{ws}/.mcp.json", "old")
        .option("--write")
        .option("{ws}/.mcp.json");
    let ran = b.sh("echo mine > .mcp.json; sleep 0.1; cat .mcp.json");
    assert_eq!(ran.ok(), "mine", "{ran:?}");
    assert_eq!(read(&b, ".mcp.json"), "mine\n");
}

/// As everywhere: `agentbox ps` shows names of which the end is what differs, and the beginning is the time.
#[test]
fn restore_takes_the_end_of_a_name() {
    let b = boxed();
    b.sh("echo x > .mcp.json; sleep 0.2").ok();
    let list = restore(&b, &[]).ok();
    let id = list.split_whitespace().next().unwrap().to_owned();
    for part in [&id[7..], &id[..7]] {
        assert_eq!(restore(&b, &[part]).ok(), list, "{part}");
    }
    restore(&b, &[&id[7..], "1"]).ok();
    assert_eq!(read(&b, ".mcp.json"), "x\n");
    assert_eq!(restore(&b, &[&id[3..7]]).code(), 1);
}

#[test]
fn bad_usage_of_restore_is_an_error_with_words() {
    let b = boxed();
    b.run(["true"]).ok();
    for (args, word) in [
        (vec!["zzzz"], "no session begins or ends"),
        (vec!["0", "x"], "moved nothing away"),
    ] {
        let ran = restore(&b, &args);
        assert_eq!(ran.code(), 1, "{ran:?}");
        assert!(ran.complaint().contains(word), "{ran:?}");
    }
    assert_eq!(restore(&b, &["--all"]).code(), 2);
    let _ = symlink("x", b.ws().join("y"));
}

/// The host gives a hidden file another name while the box runs: it is the same secret.
#[test]
fn a_hard_link_to_a_hidden_file_that_appears_later_is_hidden() {
    let b = boxed()
        .file("{ws}/.env", "SECRET")
        .file("{ws}/plain", "PLAIN")
        .dir("{ws}/d");
    let live = waiting(
        &b,
        "cat d/notes.txt; echo \"cat=$?\"; cat d/twin.txt; cat moved.txt; echo \"cat=$?\"",
    );
    host(
        &b,
        "ln .env d/notes.txt; ln plain d/twin.txt; ln .env ../x; mv ../x moved.txt",
    );
    let closed = |name: &str| {
        let said = events(&b);
        let mut lines = said.lines().filter(|line| line.contains("\"name-closed\""));
        lines.any(|line| line.contains(name))
    };
    until("they are closed", || {
        closed("d/notes.txt") && closed("moved.txt")
    });
    go_on(&b);
    let ran = live.end();
    assert_eq!(
        ran.text().replace("ready\n", ""),
        "cat=1\nPLAINcat=1",
        "{ran:?}"
    );
    assert!(!closed("twin.txt"));
}

/// A Python environment that is called `.env` was masked by the keeper, though the start left it alone.
#[test]
fn a_python_environment_that_is_called_env_stays_open() {
    let b = boxed()
        .file("{ws}/.env/pyvenv.cfg", "home = /usr/bin\n")
        .file("{ws}/.env/bin/tool", "PLAIN")
        .file("{ws}/d/.env", "SECRET");
    let live = waiting(&b, "cat .env/bin/tool; cat e/.env/bin/tool; cat d/.env");
    host(
        &b,
        "mkdir -p ../n/.env/bin; echo > ../n/.env/pyvenv.cfg; echo ALSO > ../n/.env/bin/tool; mv ../n e",
    );
    go_on(&b);
    let ran = live.end();
    assert_eq!(ran.text().replace("ready\n", ""), "PLAINALSO", "{ran:?}");
}

#[test]
fn without_inotify_it_says_so_and_closes_names_all_the_same() {
    // Root's own limits cannot be lowered for one test.
    if missing(Feature::User) {
        return;
    }
    let script = "echo ready; until [ -e go ]; do sleep 0.01; done; i=0; while [ -s .env -o -s d/.env ] && [ $i -lt 300 ]; do sleep 0.01; i=$((i+1)); done; \
                  cat .env; cat d/.env; cat d/plain";
    let world = || {
        boxed()
            .file("{ws}/.env", "SECRET")
            .file("{ws}/.mcp.json", "old")
            .dir("{ws}/d")
    };
    let b = world();
    let mut live = Live::start(b.exhausted(&["/bin/sh", "-c", script]));
    live.wait_line("ready");
    host(
        &b,
        "echo SECRET > x; mv x .env; echo SECRET > d/.env; echo PLAIN > d/plain; echo new > x; mv x .mcp.json; touch go",
    );
    let ran = live.end();
    assert_eq!(ran.text().replace("ready\n", ""), "PLAIN", "{ran:?}");
    let said = ran.complaint();
    assert!(
        said.contains("not every directory can be watched (inotify_init"),
        "{said}"
    );
    assert!(events(&b).contains("\"watch-gap\""));
    // Where the layer is required, there is no box; the same profile starts where there are watches.
    let b = world().profile("extends = [\"base\", \"git\"]\n[layers]\nrequire = [\"view\"]\n");
    run(b.exhausted(&["true"]))
        .refused(&["not every directory can be watched", "max_user_instances"]);
    b.run(["true"]).ok();
}

/// pip and requests read certifi's public certificates, which are called `cacert.pem`: in an environment that is not called
/// `.venv` they read as empty, and no download worked.
#[test]
fn what_packages_of_python_bring_is_no_secret() {
    let certifi = "lib/python3/site-packages/certifi/cacert.pem";
    let b = boxed()
        .file(&format!("{{ws}}/env/{certifi}"), "CERTS\n")
        .file("{ws}/tls/own.pem", "SECRET\n");
    let ran = b.sh(&format!(
        "mkdir -p venv/lib/python3/site-packages/certifi new; echo MORE > venv/{certifi}; echo SECRET > new/own.pem; \
         i=0; while cat new/own.pem >/dev/null 2>&1 && [ $i -lt 300 ]; do sleep 0.01; i=$((i+1)); done; \
         cat env/{certifi} venv/{certifi} tls/own.pem new/own.pem"
    ));
    assert_eq!(ran.text(), "CERTS\nMORE", "{ran:?}");
}

/// debugpy, which ipykernel brings, has a `sitecustomize.py` of its own: in an environment that is called `venv` it was moved away at the
/// end, and came back alone where the box had removed all of it.
#[test]
fn sitecustomize_of_an_installed_package_stays_and_goes_with_it() {
    let debugpy = "lib/python3/site-packages/debugpy/pydev_sitecustomize";
    let b = boxed()
        .file(&format!("{{ws}}/env/{debugpy}/sitecustomize.py"), "OLD\n")
        .file("{ws}/lib/sitecustomize.py", "OLD\n");
    let ran = b.sh(&format!(
        "mkdir -p venv/{debugpy} src; echo NEW > venv/{debugpy}/sitecustomize.py; rm -r env; \
         echo evil > venv/lib/python3/site-packages/sitecustomize.py; echo evil > src/sitecustomize.py; echo evil > lib/sitecustomize.py"
    ));
    assert_eq!(ran.code(), 0, "{ran:?}");
    let there = |path: &str| b.ws().join(path).exists();
    assert!(
        there(&format!("venv/{debugpy}/sitecustomize.py")),
        "{ran:?}"
    );
    assert!(!there("env"), "{ran:?}");
    // Python imports these at each start.
    assert!(
        !there("venv/lib/python3/site-packages/sitecustomize.py"),
        "{ran:?}"
    );
    assert!(!there("src/sitecustomize.py"), "{ran:?}");
    assert_eq!(read(&b, "lib/sitecustomize.py"), "OLD\n");
}

/// `--protect '!PATTERN'` lifted what is read only, and nothing of what is moved away at the end: the crates of `cargo vendor` bring
/// `.github`, and did not build without it (their checksums name each file).
#[test]
fn a_flag_lifts_what_would_be_moved_away_in_the_end() {
    let made = [
        ".github/workflows/ci.yml",
        "vendor/x/.github/workflows/ci.yml",
        "vendor/x/.mcp.json",
    ];
    let left = |lifted: &[&str]| {
        let flags = lifted.iter().flat_map(|it| ["--protect", it]);
        let b = flags.fold(boxed(), |b, flag| b.option(flag));
        let script = "mkdir -p .github/workflows vendor/x/.github/workflows; for f in MADE; do echo a > $f; done";
        let ran = b.sh(&script.replace("MADE", &made.join(" ")));
        assert_eq!(ran.code(), 0, "{ran:?}");
        made.map(|path| b.ws().join(path).exists())
    };
    assert_eq!(left(&[]), [false, false, false]);
    assert_eq!(left(&["!vendor/**"]), [false, true, true]);
    assert_eq!(left(&["!.github/**"]), [true, false, false]);
    assert_eq!(
        left(&["!vendor/**", "vendor/x/.mcp.json"]),
        [false, true, false]
    );
}

/// The search after a crash took the user's own link under a protected name for one of the session.
#[test]
fn a_link_of_the_users_under_a_protected_name_outlives_a_crash() {
    let b = repository();
    host(
        &b,
        "mkdir -p conf lib/.claude; echo {} > conf/own.json; echo {} > conf/set.json; ln -s ../conf/own.json lib/.mcp.json; \
         ln -s ../../conf/set.json lib/.claude/settings.json; ln -s ../nowhere lib/.envrc; \
         mkdir .agents; ln -s .agents .claude; mkdir own; ln -s ../.agents own/.vscode; sleep 0.1",
    );
    let token = common::world::token();
    // The last one leads to what the session makes, which has a name of its own.
    let script = "mkdir -p x; echo evil > nowhere; ln -s nowhere x/.mcp.json; ln -s ../.agents x/.vscode; echo ready; sleep 1000; true";
    let mut live = b.start(["/bin/sh", "-c", script, &token]);
    live.wait_line("ready");
    live::crash(live, &token);
    let ran = b.run(["true"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    for (link, stays) in [
        ("lib/.mcp.json", true),
        ("lib/.claude/settings.json", true),
        ("lib/.envrc", true),
        ("x/.mcp.json", false),
        // On the way to such names.
        (".claude", true),
        ("own/.vscode", true),
        ("x/.vscode", false),
    ] {
        assert_eq!(b.ws().join(link).is_symlink(), stays, "{link}: {ran:?}");
    }
    assert!(!b.ws().join("nowhere").exists(), "{ran:?}");
    assert_eq!(read(&b, "conf/own.json"), "{}\n");
    clean(&b);
}

/// A start that was refused after it had looked at what files are left them to be compared: whoever came next moved away what the
/// user had made and changed since, although nothing had run.
#[test]
fn a_refused_start_lets_the_users_files_alone() {
    let b = repository();
    let small = ["run", "--limit", "file-size=1KiB", "--", "true"];
    let ran = run(b.agentbox(small));
    assert_eq!(ran.code(), 125, "{ran:?}");
    host(
        &b,
        "echo mine > .envrc; mkdir .claude; echo {} > .claude/settings.json; echo K=v > .env; sleep 0.1",
    );
    let ran = b.run(["true"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    for (file, text) in [
        (".envrc", "mine\n"),
        (".claude/settings.json", "{}\n"),
        (".env", "K=v\n"),
    ] {
        assert_eq!(read(&b, file), text, "{file}: {ran:?}");
    }
    assert_eq!(restore(&b, &[]).ok(), "nothing was moved away");
}

/// The search after a crash took links of HOME in whose way a rule goes (`~/.claude -> dotfiles/claude`, `--write ~/.bashrc` of a
/// link) for the session's, which cannot write HOME.
#[test]
fn links_of_home_outlive_a_crash() {
    let b = TestBox::new().profile(&format!(
        "{BASE}[files]\nwrite = [\"~/.tool/state/\", \"~/.rc\"]\nprotect = [\"~/.tool/hooks/**\"]\n"
    ));
    host(
        &b,
        "mkdir -p {home}/dots/tool/hooks; echo rc > {home}/dots/rc; ln -s dots/tool {home}/.tool; ln -s dots/rc {home}/.rc; sleep 0.1",
    );
    let token = common::world::token();
    let script = "echo more >> ~/.rc; echo kept > ~/.tool/state/new; ln -s /etc .mcp.json; ln -s /etc ~/.tool/state/.mcp.json; \
                  echo ready; sleep 1000; true";
    let mut live = b.start(["/bin/sh", "-c", script, &token]);
    live.wait_line("ready");
    // While it runs, and of the human's all the same.
    host(&b, "echo new > {home}/dots/tool/hooks/new");
    live::crash(live, &token);
    let ran = b.run(["true"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let home = b.home();
    for link in [".tool", ".rc"] {
        assert!(home.join(link).is_symlink(), "{link}: {ran:?}");
    }
    assert!(home.join(".tool/hooks/new").is_file(), "{ran:?}");
    assert!(home.join(".tool/state/new").is_file(), "{ran:?}");
    let text = fs::read_to_string(home.join(".rc")).unwrap();
    assert_eq!(text, "rc\nmore\n");
    let made = b.ws().join(".mcp.json").is_symlink();
    assert!(!made, "the twin: {ran:?}");
    clean(&b);
}

/// The search after a crash took a repository that is only read (pyenv's, by `git clone`), on the way to a name of a rule, for one that
/// the session had made, and took its remote and its hooks away.
#[test]
fn repositories_that_are_only_read_outlive_a_crash() {
    let b = TestBox::new().profile(&format!(
        "{BASE}[files]\nread = [\"~/.tool\"]\nhide = [\"~/.tool/run/it\"]\n"
    ));
    host(
        &b,
        "git init -q {home}/.tool; mkdir -p {home}/.tool/.git/hooks {home}/.tool/run; echo x > {home}/.tool/run/it; \
         echo mine > {home}/.tool/.git/hooks/post-merge; git -C {home}/.tool config branch.main.remote origin; sleep 0.1",
    );
    let config = fs::read_to_string(b.home().join(".tool/.git/config")).unwrap();
    let token = common::world::token();
    let script = "git init -q own; mkdir -p own/.git/hooks; echo evil > own/.git/hooks/post-merge; echo ready; sleep 1000; true";
    let mut live = b.start(["/bin/sh", "-c", script, &token]);
    live.wait_line("ready");
    live::crash(live, &token);
    let ran = b.run(["true"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let now = |file: &str| fs::read_to_string(b.home().join(file)).unwrap_or_default();
    assert_eq!(now(".tool/.git/config"), config, "{ran:?}");
    assert_eq!(now(".tool/.git/hooks/post-merge"), "mine\n", "{ran:?}");
    let made = b.ws().join("own/.git/hooks/post-merge").exists();
    assert!(!made, "the twin: {ran:?}");
    clean(&b);
}

/// A branch with a link from one agent's directory to the other's, as many repositories have them: after `git checkout` it was gone.
#[test]
fn a_link_to_protected_names_follows_its_branch() {
    let b = repository();
    host(
        &b,
        "git checkout -qb links; mkdir -p .agents/skills/a .claude plain; for f in SKILL.md more; do echo s > .agents/skills/a/$f; done; echo p > plain/f; \
         ln -s ../.agents/skills .claude/skills; ln -s ../plain .claude/agents; \
         git add -A; git -c user.name=a -c user.email=b commit -qm links; git checkout -q -",
    );
    let ran = b.sh(
        "git checkout -q links; ln -s ../.agents/skills .claude/commands; sleep 0.3; \
         echo evil >> .claude/skills/a/SKILL.md; echo evil > .claude/skills/a/new; cat plain/f",
    );
    assert_eq!(ran.ok(), "p", "{ran:?}");
    for (link, stays) in [
        (".claude/skills", true),
        // What is behind it no rule knows; no commit has it.
        (".claude/agents", false),
        (".claude/commands", false),
    ] {
        assert_eq!(b.ws().join(link).is_symlink(), stays, "{link}: {ran:?}");
    }
    let skills = b.ws().join(".agents/skills/a");
    let names = fs::read_dir(&skills).unwrap().flatten();
    let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["more"], "what the box wrote by the link: {ran:?}");
    clean(&b);
}

/// The human renames the working copy, or a directory above it, while the box runs. What was compared by its old name found nothing
/// there: `.mcp.json` and git configuration that runs programs stayed as the box had made them, and the next `git status` ran them.
#[test]
fn a_working_copy_that_is_renamed_is_settled_where_it_is() {
    let script = "git config core.fsmonitor ./before; mkdir -p .github/workflows; echo early > .github/workflows/ci.yml; \
                  echo ready; until [ -e go ]; do sleep 0.01; done; \
                  echo evil > .mcp.json; git config core.pager ./evil; echo late > .github/workflows/other.yml; echo work > work";
    for (from, to) in [("{t}/top/ws", "{t}/top/store"), ("{t}/top", "{t}/tree")] {
        let mut b = boxed();
        b.on_host("mkdir -p {t}/top/ws; cd {t}/top/ws; git init -q -b main .; mkdir -p .github/workflows; echo ci > .github/workflows/ci.yml; git add .; git -c user.name=a -c user.email=b commit -qm one").ok();
        let ws = b.fill("{t}/top/ws");
        b = b.cwd(&ws);
        let (from, to) = (b.fill(from), b.fill(to));
        let now = ws.replacen(&from, &to, 1);
        let mut live = b.start(["/bin/sh", "-c", script]);
        live.wait_line("ready");
        fs::rename(&from, &to).unwrap();
        fs::write(format!("{now}/go"), "").unwrap();
        let ran = live.end();
        assert_eq!(ran.code(), 0, "{ran:?}");
        let told = format!("the working copy was moved to {now}");
        assert_eq!(ran.complaint().matches(&told).count(), 1, "{ran:?}");
        let read = |file: &str| fs::read_to_string(format!("{now}/{file}"));
        let config = read(".git/config").unwrap();
        assert!(
            !config.contains("before") && !config.contains("evil"),
            "{config}: {ran:?}"
        );
        assert!(read(".mcp.json").is_err(), "{ran:?}");
        assert_eq!(read(".github/workflows/ci.yml").unwrap(), "ci\n", "{ran:?}");
        assert!(read(".github/workflows/other.yml").is_err(), "{ran:?}");
        // The work itself stays, and nothing is made in the old place.
        assert_eq!(read("work").unwrap(), "work\n");
        assert!(!Path::new(&from).exists(), "{ran:?}");
    }
}

/// A link is no mount point, and the keeper took it for one: a rename over it went unseen.
#[test]
fn a_protected_link_is_not_replaced_by_another_one() {
    let b = TestBox::new()
        .profile("extends = [\"base\"]\n")
        .option("--protect")
        .option("a")
        .file("{ws}/b", "old\n");
    for link in ["a", "free"] {
        symlink("b", b.ws().join(link)).unwrap();
        b.chown(&b.ws().join(link));
    }
    let ran = b.sh("echo evil > evil; for l in a free; do ln -s evil m; mv m $l; done; sleep 0.3");
    ran.ok();
    let text = |file: &str| fs::read_to_string(b.ws().join(file)).unwrap_or_default();
    assert!(!text("a").contains("evil"), "{ran:?}");
    assert_eq!(text("free"), "evil\n", "the twin");
}
