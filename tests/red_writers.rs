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
