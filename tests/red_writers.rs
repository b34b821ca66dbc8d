//! Files that run something by what is in them (git's configuration, an agent's settings), which the box writes by another way than
//! their name: a second name, a descriptor that is opened anew, a mapping. What the host reads there is right again at once, and
//! not only in the end. Each beside a file that no rule knows, which is as the box wrote it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, Live, PATIENCE, Ran, TestBox, missing, until, until_within};
use std::fs;

fn boxed() -> TestBox {
    TestBox::new().profile("extends = [\"base\", \"git\"]\n")
}

/// A box that says `ready`, does something, says `done` and waits for the file `go`.
fn doing(b: &TestBox, what: &str) -> Live {
    let text = format!("echo ready; {what}; echo done; until [ -e go ]; do sleep 0.01; done");
    let mut live = b.start(["/bin/bash", "-c", &b.fill(&text)]);
    live.wait_line("done");
    live
}

fn host(b: &TestBox, script: &str) -> Ran {
    b.on_host(&format!("set -e; {script}"))
}

fn read(b: &TestBox, name: &str) -> String {
    fs::read_to_string(b.ws().join(name)).unwrap_or_default()
}

/// A repository whose branch `other` has other settings of an agent's, and `none` has none.
fn repository() -> TestBox {
    let b = boxed().file("{ws}/.mcp.json", "{\"one\": 1}\n");
    host(
        &b,
        "git init -q -b main; git config user.name n; git config user.email a@b; git add -A; git commit -qm one; \
         git checkout -qb other; echo '{\"other\": 2}' > .mcp.json; git commit -qam two; \
         git checkout -qb none main; git rm -q .mcp.json; git commit -qm none; git checkout -q main; \
         cp .git/config plain; mkdir d; cp plain d/plain",
    )
    .ok();
    b
}

/// How FILE is written in the box, by which words are in it then. Descriptor 3 and mappings stay open.
const WAYS: &[(&str, &str)] = &[
    (
        "a second name",
        "ln FILE FILE.x; sleep 0.3; echo \"$EVIL\" >> FILE.x",
    ),
    (
        "a second name that is gone",
        "ln FILE FILE.x; exec 3>>FILE.x; rm FILE.x; sleep 0.3; echo \"$EVIL\" >&3",
    ),
    (
        "a descriptor that is opened anew",
        "ln FILE FILE.x; exec 3<FILE.x; rm FILE.x; sleep 0.3; echo \"$EVIL\" >> /proc/self/fd/3",
    ),
    (
        "a descriptor from before",
        "exec 3>>FILE; sleep 0.3; echo \"$EVIL\" >&3",
    ),
    (
        "another file, written behind its name",
        "cp FILE t; exec 3>>t; ln t t2; rm t; mv t2 FILE; sleep 0.3; echo \"$EVIL\" >&3",
    ),
    (
        "a mapping",
        "python3 -c 'import mmap,os,sys,time\n\
         f=os.open(\"FILE\",os.O_RDWR); n=os.fstat(f).st_size; m=mmap.mmap(f,n); os.close(f); time.sleep(0.6)\n\
         e=os.environ[\"EVIL\"].encode()+b\"\\n\"; m[:n]=(e+b\"#\"*n)[:n]\n\
         open(\"mapped\",\"w\"); time.sleep(60)' & until [ -e mapped ]; do sleep 0.01; done; rm mapped",
    ),
];

const EVIL: &str = "[core] fsmonitor = evil";

fn write(way: &str, file: &str) -> String {
    format!("EVIL='{EVIL}'; export EVIL; {}", way.replace("FILE", file))
}

#[test]
fn gits_configuration_runs_nothing_by_whatever_name_it_is_written() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    for (what, way) in WAYS {
        for (file, is_config) in [(".git/config", true), ("d/plain", false)] {
            let b = repository();
            let live = doing(&b, &write(way, file));
            if !is_config {
                assert!(read(&b, file).contains("fsmonitor"), "{what} {file}");
            } else if !until_within(PATIENCE, || !read(&b, file).contains("fsmonitor")) {
                host(&b, "touch go").ok();
                panic!("{what}: {:?}", live.end());
            }
            host(&b, "git status >/dev/null; touch go").ok();
            let ran = live.end();
            ran.ok();
            assert_eq!(read(&b, file).contains("fsmonitor"), !is_config, "{what}");
            // It is a configuration still.
            assert_eq!(
                b.git(&["config", "--local", "user.name"]).trim(),
                "n",
                "{what}: {ran:?}"
            );
        }
    }
}

/// The message of a commit that is made outside goes into `.git/COMMIT_EDITMSG` as it stands there, and has lines that are configuration.
#[test]
fn gits_message_is_not_written_into_its_configuration() {
    let evil = "; x\n[core]\n\trepositoryformatversion = 0\n\tfsmonitor = evil\n";
    for (what, waits) in [("in the end", false), ("at once", true)] {
        let b = repository().file("{ws}/message", evil);
        let live = doing(
            &b,
            "git commit -q --allow-empty -F message; rm -f .git/COMMIT_EDITMSG; ln .git/config .git/COMMIT_EDITMSG; \
             ln .git/info/exclude .git/TAG_EDITMSG; ln plain plain2",
        );
        let several = |name: &str| {
            let meta = fs::metadata(b.ws().join(name)).unwrap();
            std::os::unix::fs::MetadataExt::nlink(&meta) > 1
        };
        if waits {
            until("it has a file of its own", || !several(".git/config"));
        }
        host(&b, "touch go").ok();
        let ran = live.end();
        ran.ok();
        assert!(ran.complaint().contains("second name"), "{what}: {ran:?}");
        assert!(!several(".git/config"), "{what}: {ran:?}");
        assert!(!several(".git/info/exclude"), "{what}: {ran:?}");
        // No rule knows that.
        assert!(several("plain"), "{what}: {ran:?}");
        host(&b, "GIT_EDITOR=true git commit -q --amend --allow-empty").ok();
        let message = read(&b, ".git/COMMIT_EDITMSG");
        assert!(message.contains("fsmonitor"), "{what}: {message}");
        assert!(!read(&b, ".git/config").contains("fsmonitor"), "{what}");
        assert_eq!(b.git(&["config", "--local", "user.name"]).trim(), "n");
    }
}

/// Each was taken away, and made again: between two times a commit of the user would have been written where it leads.
#[test]
fn a_link_where_git_writes_that_is_made_again_and_again_ends_the_session() {
    let b = repository();
    let ran = b.sh("i=0; while [ $i -lt 30000 ]; do ln -sf ~/x .git/COMMIT_EDITMSG; ln -sf ~/x .git/logs/HEAD; i=$((i+1)); done");
    assert_eq!(ran.code(), 137, "{ran:?}");
    assert!(ran.complaint().contains("so that git writes"), "{ran:?}");
    for link in [".git/COMMIT_EDITMSG", ".git/logs/HEAD"] {
        assert!(!b.ws().join(link).is_symlink(), "{link}");
    }
    // As often, and nobody writes there: other links, and what git makes itself.
    let b = repository();
    let ran = b.sh(
        "i=0; while [ $i -lt 60 ]; do ln -sf ~/x plain; git commit -q --allow-empty -m $i; i=$((i+1)); done",
    );
    ran.ok();
}

/// git-annex makes the links of the working copy in `.git/annex/othertmp` first: `git annex add` failed for what was moved away there
/// meanwhile.
#[test]
fn links_that_git_annex_makes_in_its_own_directory_are_let_be() {
    let b = repository();
    let ran = b.sh(
        "set -e; for i in $(seq 30); do mkdir -p .git/annex/othertmp/$i; ln -s .git/annex/objects/$i .git/annex/othertmp/$i/f; sleep 0.02; \
         mv .git/annex/othertmp/$i/f f$i; done",
    );
    ran.ok();
    assert!(!ran.complaint().contains("moved away"), "{ran:?}");
    assert!(b.ws().join("f30").is_symlink(), "{ran:?}");
}

/// The user commits while the box runs: git writes the message, and its reflogs, through a link.
#[test]
fn git_writes_through_no_link_while_the_box_runs() {
    for (way, link, to, top) in [
        ("a message", ".git/COMMIT_EDITMSG", "{home}/.bashrc", "."),
        ("a message for git", ".git/COMMIT_EDITMSG", "config", "."),
        (
            "the reflog of HEAD",
            ".git/logs/HEAD",
            "{home}/.bashrc",
            ".",
        ),
        (
            "the reflog of a branch",
            ".git/logs/refs/heads/main",
            "{home}/.bashrc",
            ".",
        ),
        (
            "a work tree's",
            ".git/worktrees/wt/COMMIT_EDITMSG",
            "{home}/.bashrc",
            "wt",
        ),
        (
            "one that is not called .git",
            "other.git/COMMIT_EDITMSG",
            "{home}/.bashrc",
            "sep",
        ),
        (
            "the same for git",
            "other.git/COMMIT_EDITMSG",
            "config",
            "sep",
        ),
        (
            "the same of a reflog",
            "other.git/logs/HEAD",
            "{home}/.bashrc",
            "sep",
        ),
    ] {
        let b = repository().file("{home}/.bashrc", "mine\n");
        host(
            &b,
            "git worktree add -q wt none; git init -q --separate-git-dir=other.git sep; cd sep; git config user.name n; git config user.email a@b; \
             git commit -q --allow-empty -m one",
        )
        .ok();
        let live = doing(
            &b,
            &format!("rm -f {link}; ln -s {to} {link}; ln -s {{home}}/.bashrc link"),
        );
        let gone = until_within(PATIENCE, || !b.ws().join(link).is_symlink());
        let commit = format!(
            "cd {top}; printf '; x\n[core]\n fsmonitor = evil\n' | git commit -q --allow-empty -F -; touch {{ws}}/go"
        );
        host(&b, &commit).ok();
        let ran = live.end();
        assert!(gone, "{way}: {ran:?}");
        ran.ok();
        assert!(ran.complaint().contains("moved away"), "{way}: {ran:?}");
        let mine = fs::read_to_string(b.home().join(".bashrc")).unwrap();
        assert_eq!(mine, "mine\n", "{way}: {ran:?}");
        for config in [".git/config", "other.git/config"] {
            assert!(
                read(&b, config).contains("name = n"),
                "{way} {config}: {ran:?}"
            );
        }
        // What git has made there since stays, and so does what is nothing of git's.
        let made = b.ws().join(link);
        assert!(made.is_file() && !made.is_symlink(), "{way}: {ran:?}");
        assert!(b.ws().join("link").is_symlink(), "{way}: {ran:?}");
    }
}

/// Other tracked files, and the configuration of a repository that is new; a second name of before the session is the user's.
#[test]
fn who_writes_a_second_name_writes_no_tracked_file() {
    let b = repository()
        .file("{ws}/.envrc", "one\n")
        .file("{ws}/mise.toml", "two\n");
    host(&b, "ln mise.toml mine; sleep 0.1").ok();
    let ran = b.sh(
        "ln .envrc notes; git init -q new; ln new/.git/config new/.git/COMMIT_EDITMSG; ln plain plain2",
    );
    ran.ok();
    host(
        &b,
        "echo evil >> notes; echo evil >> new/.git/COMMIT_EDITMSG; echo evil >> plain2; echo mine >> mine",
    )
    .ok();
    for (file, expected) in [
        (".envrc", false),
        ("new/.git/config", false),
        ("plain", true),
    ] {
        assert_eq!(read(&b, file).contains("evil"), expected, "{file}: {ran:?}");
    }
    assert!(read(&b, "mise.toml").contains("mine"), "{ran:?}");
}

/// A repository that was there is moved away, and one of the box's own takes its place: the file is older than its name.
#[test]
fn a_repository_that_takes_the_place_of_another_runs_nothing() {
    let b = repository();
    host(&b, "git init -q sub; git -C sub config a.b c").ok();
    let live = doing(
        &b,
        "mkdir evil; cp -r sub/.git evil/.git; git -C evil config core.fsmonitor evil; sleep 0.5; mv sub old; mv evil sub",
    );
    until("it runs nothing", || {
        let text = read(&b, "sub/.git/config");
        text.contains("[a]") && !text.contains("fsmonitor")
    });
    host(&b, "touch go").ok();
    live.end().ok();
    assert!(!read(&b, "sub/.git/config").contains("fsmonitor"));
}

/// The same with a git directory that is older than the session, and that nothing was written into since: renamed, it has the
/// times of before.
#[test]
fn an_old_directory_that_takes_the_place_of_a_repository_runs_nothing() {
    for (what, prepared, moves) in [
        (
            "its git directory",
            "cp -r sub/.git old; git config -f old/config core.fsmonitor evil",
            "mv sub/.git gone; mv old sub/.git",
        ),
        (
            "the repository",
            "cp -r sub old; mv old/.git old/git; git config -f old/git/config core.fsmonitor evil",
            "mv old/git old/.git; mv sub gone; mv old sub",
        ),
    ] {
        let b = repository();
        host(
            &b,
            &format!(
                "git init -q --template= sub; git -C sub config a.b c; {prepared}; mkdir new; cp .git/config new/config; \
                 git config -f new/config core.fsmonitor evil; sleep 0.2"
            ),
        )
        .ok();
        let live = doing(&b, &format!("sleep 0.5; {moves}; mv new e"));
        let right = until_within(PATIENCE, || {
            let text = read(&b, "sub/.git/config");
            text.contains("[a]") && !text.contains("fsmonitor")
        });
        host(&b, "touch go").ok();
        let ran = live.end();
        assert!(right, "{what}: {ran:?}");
        // No rule knows that.
        assert!(
            read(&b, "e/config").contains("fsmonitor"),
            "{what}: {ran:?}"
        );
    }
}

/// What is mapped first, and written a second later. Of a configuration another file has the name by then: on a busy machine later
/// than that.
const MAPPED: &str = "was=$(stat -c %i FILE); python3 -c 'import mmap,os,time\n\
     f=os.open(\"FILE\",os.O_RDWR); n=os.fstat(f).st_size; m=mmap.mmap(f,n); os.close(f); open(\"mapped\",\"w\")\n\
     while not os.path.exists(\"fire\"): time.sleep(0.01)\n\
     m[:n]=(b\"[core] fsmonitor = evil\\n\"+b\"#\"*n)[:n]\n\
     open(\"fired\",\"w\"); time.sleep(60)' & until [ -e mapped ]; do sleep 0.01; done; \
     n=0; while IS_CONFIG && [ $(stat -c %i FILE) = $was ] && [ $n -lt 4000 ]; do n=$((n+1)); sleep 0.01; done; sleep 1; touch fire; \
     until [ -e fired ]; do sleep 0.01; done";

fn mapped(file: &str, is_config: bool) -> String {
    let text = MAPPED.replace("IS_CONFIG", if is_config { "true" } else { "false" });
    text.replace("FILE", file)
}

/// The box has mapped it before the keeper has come to its directory, or when the keeper holds as many files open as it may.
#[test]
fn a_mapping_is_seen_in_a_large_tree_and_beside_many_files() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let deep = "a/1/1/1/b/c/d/e/f/sub";
    let many = "mkdir -p .git/worktrees; for i in $(seq 420); do mkdir .git/worktrees/w$i; cp plain .git/worktrees/w$i/config.worktree; done; \
         sleep 1; cp .git/config t; mv t .git/config; sleep 1; ";
    let large = format!(
        "mkdir -p a/{{1..50}}/{{1..50}}/{{1..5}} {deep}; git init -q --template= {deep}; git -C {deep} config a.b c; sleep 0.2"
    );
    for (prepared, before, file, is_config) in [
        (large.as_str(), "", format!("{deep}/.git/config"), true),
        (large.as_str(), "", "d/plain".to_owned(), false),
        ("true", many, ".git/config".to_owned(), true),
    ] {
        let b = repository();
        host(&b, &format!("bash -c '{prepared}'")).ok();
        let live = doing(&b, &format!("{before}{}", mapped(&file, is_config)));
        // It has another file by then.
        let evil = read(&b, &file).contains("fsmonitor");
        host(&b, "touch go").ok();
        let ran = live.end();
        assert_eq!(evil, !is_config, "{file}: {ran:?}");
    }
}

/// Of somebody else's file the kernel does not say who writes it: each look at it was a reason for the next one, without end.
#[test]
fn a_configuration_of_somebody_elses_is_not_looked_at_without_end() {
    let b = repository();
    if b.ids().0 == 0 {
        return;
    }
    let git = b.ws().join(".git");
    for path in [git.clone(), git.join("config")] {
        std::os::unix::fs::chown(path, Some(0), None).unwrap();
    }
    let cat = "cat .git/config >/dev/null; sleep 1; cat .git/config";
    let ran = b.sh(cat);
    assert!(ran.ok().contains("[user]"), "{ran:?}");
    assert!(!ran.complaint().contains(".git/config"), "{ran:?}");
    // What this user can write is replaced once, and is the user's then.
    b.chown(&git);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(git.join("config"), mode).unwrap();
    let ran = b.sh(cat);
    assert!(ran.ok().contains("[user]"), "{ran:?}");
    assert_eq!(ran.complaint().matches(".git/config").count(), 1, "{ran:?}");
}

/// A project of a group: the other one's file was replaced by one of this user's group, and was theirs no more.
#[test]
fn who_shares_a_configuration_goes_on_to_share_it() {
    if missing(Feature::HostRoot) || missing(Feature::User) {
        return;
    }
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let b = repository();
    let (git, gid) = (b.ws().join(".git"), b.ids().1);
    let config = git.join("config");
    // What is made there has another group by itself.
    chown(&git, None, Some(0)).unwrap();
    fs::set_permissions(&git, fs::Permissions::from_mode(0o2755)).unwrap();
    chown(&config, Some(0), Some(gid)).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o660)).unwrap();
    let ran = b.sh("cat .git/config >/dev/null; sleep 1; git config user.name");
    assert_eq!(ran.ok().trim(), "n", "{ran:?}");
    let meta = fs::metadata(&config).unwrap();
    assert_eq!((meta.uid(), meta.gid()), b.ids(), "{ran:?}");
    assert_eq!(meta.mode() & 0o777, 0o660, "{ran:?}");
    assert!(ran.complaint().contains("another user's"), "{ran:?}");
    assert!(!ran.complaint().contains("held open"), "{ran:?}");
}

/// An editor outside has it open, and writes later: that was lost with the file that it had open.
#[test]
fn what_the_user_writes_into_a_file_that_was_replaced_is_in_the_quarantine() {
    let b = repository();
    let text = "echo ready; until [ -e opened ]; do sleep 0.01; done; cat .git/config >/dev/null; until [ -e go ]; do sleep 0.01; done";
    let mut live = b.start(["/bin/bash", "-c", text]);
    live.wait_line("ready");
    host(
        &b,
        "exec 3>>.git/config; touch opened; sleep 1.5; printf '[late]\\n\\ta = mine\\n' >&3; exec 3>&-; touch go",
    )
    .ok();
    let ran = live.end();
    ran.ok();
    assert!(ran.complaint().contains("agentbox restore"), "{ran:?}");
    assert!(!read(&b, ".git/config").contains("late"), "{ran:?}");
    let session = b.on_host("ls -t ~/.local/state/agentbox/sessions | head -1");
    let back = common::run(b.agentbox(["restore", session.ok().trim(), "--all"]));
    back.ok();
    let text = read(&b, ".git/config");
    assert!(text.contains("late") && text.contains("[user]"), "{back:?}");
}

/// What a commit had under a frozen name stays (`git worktree add`), until it is written, by whatever name.
#[test]
fn settings_of_a_work_tree_are_a_commits_or_gone() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    for (what, way) in WAYS {
        let b = repository();
        let live = doing(
            &b,
            &format!(
                "git worktree add -q wt other 2>&1; sleep 0.5; cat wt/.mcp.json; {}",
                write(way, "wt/.mcp.json")
            ),
        );
        let gone = until_within(PATIENCE, || !read(&b, "wt/.mcp.json").contains("fsmonitor"));
        host(&b, "touch go").ok();
        let ran = live.end();
        assert!(gone, "{what}: {ran:?}");
        assert!(ran.text().contains("{\"other\": 2}"), "{what}: {ran:?}");
    }
    // The twin: nobody writes it.
    let b = repository();
    let live = doing(&b, "git worktree add -q wt other 2>&1; sleep 0.7");
    host(&b, "sleep 1; git -C wt status --porcelain; touch go").ok();
    let ran = live.end();
    assert_eq!(read(&b, "wt/.mcp.json"), "{\"other\": 2}\n", "{ran:?}");
}

/// The host checks out another branch while the box runs: its settings were put back to those of the first one, and git called
/// them modified.
#[test]
fn the_hosts_checkout_of_another_branch_stays() {
    let b = repository();
    let live = doing(&b, "true");
    let check = "sleep 0.7; git status --porcelain -uno";
    for (branch, text) in [
        ("other", "{\"other\": 2}\n"),
        ("none", ""),
        ("main", "{\"one\": 1}\n"),
        ("other", "{\"other\": 2}\n"),
    ] {
        let ran = host(&b, &format!("git checkout -q {branch}; {check}"));
        assert_eq!(ran.ok(), "", "{branch}: {ran:?}");
        assert_eq!(read(&b, ".mcp.json"), text, "{branch}");
    }
    host(&b, "touch go").ok();
    let ran = live.end();
    ran.ok();
    assert_eq!(read(&b, ".mcp.json"), "{\"other\": 2}\n", "{ran:?}");
    assert_eq!(host(&b, "git status --porcelain -uno").ok(), "");
    // On a busy machine git waits between making the file and writing it.
    let b = repository();
    let live = doing(&b, "true");
    host(
        &b,
        "rm .mcp.json; exec 3>.mcp.json; sleep 0.15; echo '{\"other\": 2}' >&3; exec 3>&-; sleep 0.7; touch go",
    )
    .ok();
    let ran = live.end();
    assert_eq!(read(&b, ".mcp.json"), "{\"other\": 2}\n", "{ran:?}");
    // It is read only in the box all the same, and what no commit has is put back.
    let b = repository();
    let text = "until grep -q other .mcp.json; do sleep 0.01; done; sleep 0.7; echo mine > .mcp.json; echo wrote=$?";
    let mut live = b.start(["/bin/sh", "-c", &format!("echo ready; {text}")]);
    live.wait_line("ready");
    host(&b, "git checkout -q other").ok();
    let ran = live.end();
    assert!(
        ran.text().contains("wrote=2") || ran.text().contains("wrote=1"),
        "{ran:?}"
    );
    assert_eq!(read(&b, ".mcp.json"), "{\"other\": 2}\n", "{ran:?}");
    let b = repository();
    let live = doing(&b, "true");
    host(
        &b,
        "echo '{\"nobody\": 3}' > x; rm .mcp.json; mv x .mcp.json; sleep 1; touch go",
    )
    .ok();
    let ran = live.end();
    assert_eq!(read(&b, ".mcp.json"), "{\"one\": 1}\n", "{ran:?}");
}

/// What git itself does to its configuration stays, as often as it does.
#[test]
fn git_goes_on_to_write_its_configuration() {
    let b = repository();
    let ran = b.sh(
        "for i in $(seq 60); do git config test.n$i $i || exit 1; git status >/dev/null; done; printf '[own]\\n\\ta = b\\n' >> .git/config; \
         git config --get-regexp '^test' | wc -l; git config own.a",
    );
    assert_eq!(ran.ok().trim(), "60\nb", "{ran:?}");
    assert_eq!(b.git(&["config", "test.n60"]).trim(), "60");
    assert!(!ran.complaint().contains(".git/config"), "{ran:?}");
}

/// A hook that is another name of a file of the project, as some install theirs: the box wrote the file, and with it the hook.
#[test]
fn what_is_frozen_is_not_written_by_a_second_name_of_before() {
    let b = repository();
    host(
        &b,
        "mkdir tools; echo old > tools/hook; ln tools/hook .git/hooks/pre-commit; ln .mcp.json other.json; ln plain twin",
    )
    .ok();
    let ran = b.sh("for f in tools/hook other.json plain; do echo evil >> $f || exit 1; done; cat .git/hooks/pre-commit .mcp.json");
    assert_eq!(ran.ok(), "old\n{\"one\": 1}", "{ran:?}");
    for (file, evil) in [
        (".git/hooks/pre-commit", false),
        (".mcp.json", false),
        ("tools/hook", true),
        ("other.json", true),
        ("twin", true),
    ] {
        assert_eq!(read(&b, file).contains("evil"), evil, "{file}: {ran:?}");
    }
}

/// What is hidden with its directory was read by a second name outside of that.
#[test]
fn what_is_in_a_hidden_directory_is_hidden_by_its_second_names() {
    let b = boxed()
        .file("{ws}/sec/deep/key", "SECRET\n")
        .file("{ws}/open/key", "PLAIN\n")
        .option("--hide")
        .option("sec");
    host(&b, "ln sec/deep/key notes; ln open/key twin").ok();
    let ran = b.sh("cat notes; cat twin");
    assert_eq!(ran.ok(), "PLAIN", "{ran:?}");
    assert_eq!(read(&b, "notes"), "SECRET\n");
}

/// Each time the file is another one.
#[test]
fn who_holds_such_a_file_open_again_and_again_is_ended() {
    let b = repository();
    let script = "import time,sys\nfor i in range(int(sys.argv[2])):\n    f=open(sys.argv[1],'r+'); time.sleep(0.25); f.close()\nprint('lived')";
    let hold = |file: &str, times: &str| b.run(["/usr/bin/python3", "-c", script, file, times]);
    assert_eq!(hold("plain", "3").ok().trim(), "lived");
    let ran = hold(".git/config", "100");
    assert_eq!(ran.code(), 137, "{ran:?}");
    let said = ran.complaint();
    assert!(
        said.contains(".git/config, a protected name that the box held open"),
        "{ran:?}"
    );
    assert!(
        said.contains(".git/config is protected and was held open for writing"),
        "{ran:?}"
    );
    assert_eq!(b.git(&["config", "--local", "user.name"]).trim(), "n");
}

/// Where nothing can be watched, files are looked at several times a second.
#[test]
fn without_inotify_gits_configuration_is_right_again_as_well() {
    // Root's own limits cannot be lowered for one test.
    if missing(Feature::User) {
        return;
    }
    let b = repository();
    let text = "ln .git/config .git/x; rm .git/x; git config a.b c; sleep 0.5; echo '[core] fsmonitor = evil' >> .git/config; echo done; until [ -e go ]; do sleep 0.01; done";
    let mut live = Live::start(b.exhausted(&["/bin/sh", "-c", text]));
    live.wait_line("done");
    until("it runs nothing", || {
        let text = read(&b, ".git/config");
        text.contains("[a]") && !text.contains("fsmonitor")
    });
    host(&b, "touch go").ok();
    live.end().ok();
}
