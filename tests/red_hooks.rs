//! Where `core.hooksPath` leads: git outside runs what the box leaves there, wherever that is in the working copy and whatever
//! leads there. Each beside a name that is not on that way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{COMMITTER, Ran, TestBox, run};
use nix::errno::Errno;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

/// Does something on the host, as the test user, in the working copy.
fn host(b: &TestBox, script: &str) -> Ran {
    b.on_host(&format!("{COMMITTER} {script}"))
}

/// A repository whose hooks are looked for there.
fn repository(hooks: &str) -> TestBox {
    let b = TestBox::new()
        .profile("extends = [\"base\", \"git\"]\n")
        .file("{ws}/README", "x")
        .file("{ws}/.gitignore", "node_modules\n");
    host(
        &b,
        &format!(
            "set -e; git init -q; git add -A; git commit -qm one; git config core.hooksPath {hooks}"
        ),
    )
    .ok();
    b
}

/// A hook of the host's that says so.
fn hook(b: &TestBox, file: &str) {
    host(b, &format!("mkdir -p $(dirname {file}); printf '#!/bin/sh\\ntouch {{home}}/own\\n' > {file}; chmod +x {file}")).ok();
}

/// A hook of the agent's.
const EVIL: &str = "evil() { mkdir -p $1; printf '#!/bin/sh\\ntouch {home}/mark\\n' > $1/pre-commit; chmod +x $1/pre-commit; };";

/// The user commits: does anything of the agent's run?
#[track_caller]
fn commits(b: &TestBox, ran: &Ran) {
    let done = host(b, "git commit -q --allow-empty -m user");
    assert!(!b.home().join("mark").exists(), "{ran:?} {done:?}");
}

#[test]
fn hooks_in_a_directory_that_is_never_searched_are_frozen() {
    let b = repository("node_modules/.hooks");
    hook(&b, "node_modules/.hooks/pre-commit");
    host(
        &b,
        "mkdir -p node_modules/x/.idea; echo 1 > node_modules/x/index.js",
    )
    .ok();
    b.probe("write {ws}/node_modules/.hooks/pre-commit x")
        .refused(Errno::EROFS);
    b.probe("create {ws}/node_modules/.hooks/post-commit")
        .refused(Errno::EROFS);
    b.probe("rename {ws}/node_modules {ws}/n2")
        .refused(Errno::EBUSY);
    b.probe("rename {ws}/node_modules/.hooks {ws}/node_modules/h2")
        .refused(Errno::EBUSY);
    // What package managers do beside it.
    b.probe("write {ws}/node_modules/x/index.js 2").allowed();
    b.sh("echo y > node_modules/x/.idea/workspace.xml && mv node_modules/x node_modules/y")
        .ok();
    assert!(b.ws().join("node_modules/y/.idea/workspace.xml").exists());
    host(&b, "git commit -q --allow-empty -m user").ok();
    assert!(b.home().join("own").exists());
}

#[test]
fn hooks_that_are_made_in_a_directory_that_is_never_searched_do_not_stay() {
    for (what, hooks, before, does, gone) in [
        (
            "a directory of it",
            "node_modules/.hooks",
            "mkdir -p node_modules/x",
            "evil node_modules/.hooks; mkdir -p node_modules/z; echo twin > node_modules/z/twin",
            "node_modules/.hooks",
        ),
        (
            "all of it",
            "node_modules/.cache/hooks",
            "true",
            "evil node_modules/.cache/hooks; mkdir -p node_modules/z; echo twin > node_modules/z/twin",
            "node_modules/.cache/hooks",
        ),
        (
            "moved there",
            "node_modules/.hooks",
            "mkdir -p node_modules/x",
            "evil h; mv h node_modules/.hooks; mkdir -p node_modules/z; echo twin > node_modules/z/twin",
            "node_modules/.hooks",
        ),
        (
            "a link in it",
            "node_modules/.cache/hooks",
            "mkdir -p node_modules/x",
            "evil h/hooks; ln -s ../h node_modules/.cache; mkdir -p node_modules/z; ln -s x node_modules/l; \
             echo twin > node_modules/z/twin; test -h node_modules/l",
            "node_modules/.cache",
        ),
        (
            "a store of git's",
            ".git/lfs/hooks",
            "true",
            "evil .git/lfs/hooks; mkdir -p node_modules/z; echo twin > node_modules/z/twin",
            ".git/lfs/hooks",
        ),
    ] {
        let b = repository(hooks);
        host(&b, before).ok();
        let ran = b.sh(&b.fill(&format!("{EVIL} {does}")));
        ran.ok();
        commits(&b, &ran);
        let there = fs::symlink_metadata(b.ws().join(gone)).is_ok();
        assert!(!there, "{what}: {ran:?}");
        assert!(ran.complaint().contains(gone), "{what}: {ran:?}");
        let twin = fs::read_to_string(b.ws().join("node_modules/z/twin"));
        assert_eq!(twin.unwrap_or_default(), "twin\n", "{what}: {ran:?}");
    }
}

#[test]
fn a_link_on_the_way_to_hooks_does_not_stay() {
    for (what, before, does) in [
        (
            "where nothing was",
            "true",
            "evil src/h/githooks; ln -s src/h tools",
        ),
        (
            "where a directory was",
            "mkdir -p tools/x",
            "mv tools t2; evil src/h/githooks; ln -s src/h tools",
        ),
        (
            "where another link was",
            "mkdir -p own; ln -s own tools",
            "rm tools; evil src/h/githooks; ln -s src/h tools",
        ),
    ] {
        let b = repository("tools/githooks");
        host(&b, before).ok();
        let ran = b.sh(&b.fill(&format!("{EVIL} {does}; ln -s src twin")));
        ran.ok();
        commits(&b, &ran);
        assert!(!b.ws().join("tools/githooks").exists(), "{what}: {ran:?}");
        assert!(b.ws().join("twin/h/githooks").exists(), "{what}: {ran:?}");
    }
}

#[test]
fn a_link_of_the_users_on_the_way_to_hooks_stays() {
    for hooks in ["tools/githooks", "tools"] {
        let b = repository(hooks);
        hook(&b, "own/githooks/pre-commit");
        hook(&b, "own/pre-commit");
        host(&b, "ln -s own tools").ok();
        b.probe("write {ws}/tools/githooks/pre-commit x")
            .refused(Errno::EROFS);
        let ran = b.sh("echo x > README; echo y > own/new 2>/dev/null; true");
        ran.ok();
        assert!(b.ws().join("tools").is_symlink(), "{hooks}: {ran:?}");
        host(&b, "git commit -q --allow-empty -m user").ok();
        assert!(b.home().join("own").exists(), "{hooks}");
        let mode = fs::metadata(b.ws().join("own/pre-commit"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111, "{hooks}");
    }
}

/// Other work trees in the working copy, each with hooks that git looks for from its own top: a linked one, a submodule and a
/// repository of its own, whose configuration includes another file.
fn trees() -> TestBox {
    let b = repository("tools/hooks");
    hook(&b, "tools/hooks/pre-commit");
    host(
        &b,
        "set -e; git worktree add -q wt; git init -q {home}/lib; git -C {home}/lib commit -q --allow-empty -m lib; \
         git -c protocol.file.allow=always submodule --quiet add {home}/lib sub; git -C sub config core.hooksPath own/hooks; \
         git init -q nest; git -C nest config core.hooksPath scripts/git; git -C nest config include.path ../inc; \
         printf '[alias]\\n\\tst = status\\n' > nest/inc; echo x > nest/file; git init -q old; \
         git -C old config core.hooksPath .githooks",
    )
    .ok();
    for dir in ["wt/tools/hooks", "sub/own/hooks", "nest/scripts/git"] {
        hook(&b, &format!("{dir}/pre-commit"));
    }
    hook(&b, "old/.githooks/pre-commit");
    b
}

#[test]
fn a_relative_hooks_path_is_that_of_every_work_tree() {
    let b = trees();
    for dir in ["wt/tools/hooks", "sub/own/hooks", "nest/scripts/git"] {
        b.probe(&format!("write {{ws}}/{dir}/pre-commit x"))
            .refused(Errno::EROFS);
        b.probe(&format!("create {{ws}}/{dir}/post-commit"))
            .refused(Errno::EROFS);
    }
    b.probe("rename {ws}/wt {ws}/w2").refused(Errno::EBUSY);
    b.probe("rename {ws}/nest/scripts {ws}/nest/s2")
        .refused(Errno::EBUSY);
    b.probe("create {ws}/nest/scripts/build").allowed();
    b.probe("create {ws}/sub/own/twin").allowed();
    let why = run(b.agentbox(["why", "write", "nest/scripts/git/pre-commit"]));
    assert!(why.text().contains("core.hooksPath"), "{why:?}");
    // What is tracked anyway may be made anew, and does not stay.
    let ran = b.sh(&b.fill(&format!(
        "{EVIL} evil old/.githooks; printf '[core]\\n\\tfsmonitor = touch {{home}}/mark\\n' >> nest/inc"
    )));
    ran.ok();
    let status = "for d in . wt sub nest old; do git -C $d status >/dev/null; git -C $d commit -q --allow-empty -m user; done";
    let done = host(&b, status);
    done.ok();
    assert!(!b.home().join("mark").exists(), "{ran:?} {done:?}");
    assert!(b.home().join("own").exists(), "{done:?}");
}

#[test]
fn hooks_of_another_work_tree_that_are_made_later_do_not_stay() {
    let b = trees();
    host(&b, "rm -r wt/tools sub/own nest/scripts").ok();
    let ran = b.sh(&b.fill(&format!(
        "{EVIL} for d in wt/tools/hooks sub/own/hooks nest/scripts/git; do evil $d; done; echo twin > nest/scripts/twin"
    )));
    ran.ok();
    let done = host(
        &b,
        "for d in wt sub nest; do git -C $d commit -q --allow-empty -m user; done",
    );
    done.ok();
    assert!(!b.home().join("mark").exists(), "{ran:?} {done:?}");
    assert!(b.ws().join("nest/scripts/twin").exists(), "{ran:?}");
}

#[test]
fn what_the_user_lets_be_written_of_another_work_trees_hooks_is_written() {
    let b = trees().option("--write").option("{ws}/nest/scripts/git");
    let ran = b.sh("echo '# mine' >> nest/scripts/git/pre-commit");
    ran.ok();
    let text = fs::read_to_string(b.ws().join("nest/scripts/git/pre-commit")).unwrap();
    assert!(text.contains("# mine"), "{ran:?}");
}

#[test]
fn a_relative_hooks_path_of_the_users_own_is_that_of_nested_repositories() {
    let b = trees();
    host(
        &b,
        "git config --global core.hooksPath ci/hooks && git init -q plain",
    )
    .ok();
    hook(&b, "plain/ci/hooks/pre-commit");
    b.probe("write {ws}/plain/ci/hooks/pre-commit x")
        .refused(Errno::EROFS);
    b.probe("create {ws}/plain/ci/twin").allowed();
}

#[test]
fn hooks_of_a_work_tree_that_the_session_adds_do_not_stay() {
    let b = repository("tools/hooks");
    hook(&b, "tools/hooks/pre-commit");
    host(&b, "git add -A; git commit -qm hooks").ok();
    let ran = b.sh(&b.fill(&format!(
        "{EVIL} {COMMITTER} for t in wt other deep/er; do git worktree add -q $t -b b-$(basename $t); done; \
         evil wt/tools/hooks; printf x > wt/tools/twin; evil evil; rm -r deep/er/tools; ln -s ../../evil deep/er/tools; \
         mkdir evil/hooks; cp evil/pre-commit evil/hooks; mkdir -p plain; evil plain/tools/hooks; git -C other status"
    )));
    ran.ok();
    let done = host(
        &b,
        "for t in wt other deep/er; do git -C $t commit -q --allow-empty -m user; done",
    );
    assert!(!b.home().join("mark").exists(), "{ran:?} {done:?}");
    // What the branch has stays, and ran; and what is at the top of no work tree is work.
    assert!(b.home().join("own").exists(), "{ran:?} {done:?}");
    for file in [
        "other/tools/hooks/pre-commit",
        "wt/tools/twin",
        "plain/tools/hooks/pre-commit",
    ] {
        assert!(b.ws().join(file).exists(), "{file}: {ran:?}");
    }
}

/// Programs that git runs by itself, named in every way: `git status`, `git diff` and `git merge` run them.
fn programs() -> TestBox {
    let b = repository("own");
    hook(&b, "own/pre-commit");
    host(
        &b,
        "set -e; mkdir tools; for t in clean text fsm text.py merge other twin; do printf '#!/bin/sh\\ncat \"$1\" 2>/dev/null; :\\n' > tools/$t; \
         chmod +x tools/$t; done; printf '*.x filter=x diff=x\\n*.y diff=y\\n' > .gitattributes; echo 1 > a.x; echo 1 > b.y; \
         git config core.fsmonitor tools/fsm; git config filter.x.clean './tools/clean -x'; \
         git config diff.x.textconv \"sh '$PWD/tools/text'\"; git config diff.y.textconv 'env A=1 sh tools/text.py'; \
         git config merge.m.driver '\"$(git rev-parse --show-toplevel)/tools/merge\" %O'; git config filter.z.smudge tools/later; \
         git config alias.own '!tools/other'; git config core.pager 'other | twin -x'; git add -A; git commit -qm two; git worktree add -q wt",
    )
    .ok();
    b
}

#[test]
fn programs_that_gits_configuration_names_in_the_working_copy_are_as_they_were() {
    let b = programs();
    let ran = b.sh(&b.fill(&format!(
        "{COMMITTER} evil() {{ printf '#!/bin/sh\\ntouch {{home}}/mark\\n' > $1; chmod +x $1; }}; \
         for t in clean text fsm text.py merge later other twin; do evil tools/$t; done; \
         for t in clean text fsm text.py; do evil wt/tools/$t; done; \
         git -c core.fsmonitor= -c filter.x.clean= worktree add -q added; for t in clean fsm text.py; do evil added/tools/$t; done; \
         echo 2 > a.x; echo 2 > b.y; echo 2 > wt/a.x; echo 2 > wt/b.y; echo 2 > added/a.x; echo 2 > added/b.y; rm -f {{home}}/mark"
    )));
    ran.ok();
    let done = host(
        &b,
        "for d in . wt added; do git -C $d status; git -C $d diff >/dev/null; done",
    );
    assert!(!b.home().join("mark").exists(), "{ran:?} {done:?}");
    assert!(!b.ws().join("tools/later").exists(), "{ran:?}");
    assert!(
        ran.complaint()
            .contains("tools/clean is protected and was changed"),
        "{ran:?}"
    );
    // What runs when it is asked for by its name is work, and so is what stands beside them.
    for file in ["tools/other", "tools/twin", "added/tools/text"] {
        assert!(b.ws().join(file).exists(), "{file}: {ran:?}");
    }
    let other = fs::read_to_string(b.ws().join("tools/other")).unwrap();
    assert!(other.contains("mark"), "{ran:?}");
}

#[test]
fn a_link_on_the_way_to_a_program_of_gits_configuration_does_not_stay() {
    let b = programs();
    let ran = b.sh(&b.fill(
        "mv tools t2; mkdir node_modules; cp -r t2 node_modules/tools; printf '#!/bin/sh\\ntouch {home}/mark\\n' > node_modules/tools/fsm; \
         cp node_modules/tools/fsm node_modules/tools/clean; ln -s node_modules/tools tools; echo 2 > a.x",
    ));
    ran.ok();
    let done = host(&b, "git status");
    assert!(!b.home().join("mark").exists(), "{ran:?} {done:?}");
    assert!(b.ws().join("t2/other").exists(), "{ran:?}");
}

#[test]
fn a_program_of_gits_configuration_that_the_user_lets_be_written_is_written() {
    let b = programs().option("--write").option("{ws}/tools/fsm");
    let ran = b.sh("echo '# mine' >> tools/fsm; echo '# mine' >> tools/clean");
    ran.ok();
    let text = |file: &str| fs::read_to_string(b.ws().join(file)).unwrap();
    assert!(text("tools/fsm").contains("# mine"), "{ran:?}");
    assert!(!text("tools/clean").contains("# mine"), "{ran:?}");
}

#[test]
fn what_is_installed_and_named_by_gits_configuration_can_be_installed_anew() {
    let b = repository("own");
    host(
        &b,
        "mkdir -p .venv/bin node_modules/f; ln -s /usr/bin/env .venv/bin/python; echo 1 > node_modules/f/clean.js; \
         git config filter.n.clean '.venv/bin/python -m n'; git config filter.f.clean 'node node_modules/f/clean.js'; \
         git config core.pager README",
    )
    .ok();
    let ran = b.sh(
        "rm -r .venv; mkdir -p .venv/bin; ln -s /usr/bin/python3 .venv/bin/python; echo 2 > node_modules/f/clean.js",
    );
    ran.ok();
    let to = fs::read_link(b.ws().join(".venv/bin/python")).unwrap();
    assert_eq!(to.to_str(), Some("/usr/bin/python3"), "{ran:?}");
    let text = fs::read_to_string(b.ws().join("node_modules/f/clean.js")).unwrap();
    assert_eq!(text, "2\n", "{ran:?}");
}
