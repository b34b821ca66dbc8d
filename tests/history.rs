//! What the box and git do with names that are protected or hidden in the *history*: commits that git's plumbing makes without
//! touching the working copy, and files under hidden names that come out of git's own store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{COMMITTER, Feature, GIT, Ran, TestBox, missing, run, until};
use std::fs;

/// Does something on the host, as the test user, in the working copy.
fn host(b: &TestBox, script: &str) -> Ran {
    b.on_host(&format!("set -e; {COMMITTER} {GIT} {script}"))
}

/// A repository with a CI file, a branch in which it is another one, a branch without it, and one with keys of the tests.
fn world() -> TestBox {
    world_of("")
}

/// The same with these options of `git init`.
fn world_of(format: &str) -> TestBox {
    let b = TestBox::new()
        .profile("extends = [\"base\", \"git\"]\n")
        .file("{ws}/README", "x\n")
        .file("{ws}/.github/workflows/ci.yml", "on: push\n")
        .file("{ws}/src/a", "a\n");
    host(
        &b,
        &format!("git init -q {format}; git add -A; git commit -qm one; \
         git checkout -qb other; echo 'on: release' > .github/workflows/ci.yml; git commit -qam other; \
         git checkout -q main; git checkout -qb none; git rm -q .github/workflows/ci.yml; git commit -qm none; \
         git checkout -q main; git checkout -qb keys; mkdir tests; echo 'A TEST KEY' > tests/key.pem; echo A=1 > .env; \
         git add -A; git commit -qm keys; git checkout -q main; git gc -q"),
    )
    .ok();
    // Objects of this very moment would count as the session's.
    until("git's objects are old", || {
        let pack = fs::metadata(b.ws().join(".git/objects/pack")).unwrap();
        let age = pack.modified().unwrap().elapsed();
        age.is_ok_and(|age| age.as_millis() > 150)
    });
    b
}

const ME: &str = "set -e; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b;";

/// A commit with another CI file, made by plumbing: the working copy and the index are never touched. `$C` is it.
const PLUMB: &str = "B=$(echo evil | git hash-object -w --stdin); export GIT_INDEX_FILE=/tmp/index; git read-tree HEAD; \
    git update-index --add --cacheinfo 100644,$B,.github/workflows/NAME; T=$(git write-tree); unset GIT_INDEX_FILE; \
    C=$(git commit-tree -p HEAD -m x $T);";

fn plumb(name: &str, then: &str) -> String {
    format!("{ME} {} {then}", PLUMB.replace("NAME", name))
}

/// The lines about the history.
fn told(ran: &Ran) -> Vec<String> {
    let said = ran.complaint();
    let about = |line: &&str| line.contains("refs/") || line.contains("HEAD");
    said.lines().filter(about).map(str::to_owned).collect()
}

#[test]
fn commits_with_protected_files_are_told_at_the_end() {
    commits_are_told("");
}

/// A commit in such a repository always ended with "could not be searched", and what a branch brought was taken away.
#[test]
fn repositories_with_sha256_are_read() {
    commits_are_told("--object-format=sha256");
    branches_are_followed("--object-format=sha256");
}

/// Each session in such a repository ended with "a format that is not read".
#[test]
fn repositories_with_reftable_are_read() {
    if missing(Feature::Reftable) {
        return;
    }
    commits_are_told("--ref-format=reftable");
    for format in [
        "--ref-format=reftable",
        "--ref-format=reftable --object-format=sha256",
    ] {
        branches_are_followed(format);
    }
    // What is not understood is said: here git reads none of it either.
    let b = world_of("--ref-format=reftable");
    let ran = b.sh("git branch x; for t in .git/reftable/*.ref; do chmod u+w $t; printf REFT9 | dd of=$t conv=notrunc status=none; done");
    assert!(
        ran.complaint().contains("in a format that is not read"),
        "{ran:?}"
    );
}

/// What git brings from a branch of the start stays: a protected file, and one under a hidden name, which can be read.
fn branches_are_followed(format: &str) {
    let b = world_of(format);
    let ran = b.sh(&format!(
        "{ME} {UNTIL} git checkout -q keys; until_read .env; cat .env; git status --short; git checkout -q other"
    ));
    assert_eq!(ran.ok(), "A=1", "{format}: {ran:?}");
    assert_eq!(told(&ran), Vec::<String>::new(), "{format}: {ran:?}");
    assert!(!ran.complaint().contains("ci.yml"), "{format}: {ran:?}");
    let ci = b.ws().join(".github/workflows/ci.yml");
    assert_eq!(fs::read_to_string(&ci).unwrap(), "on: release\n", "{ran:?}");
    // The twin: what no branch has does not.
    let ran = b.sh("echo evil > .github/workflows/ci.yml; echo evil > .envrc");
    assert_eq!(fs::read_to_string(&ci).unwrap(), "on: release\n", "{ran:?}");
    assert!(!b.ws().join(".envrc").exists(), "{format}: {ran:?}");
}

fn commits_are_told(format: &str) {
    // Of the other formats a few of each kind.
    let step = if format.is_empty() { 1 } else { 3 };
    let new = "in which {ws}/.github/workflows/ci.yml is new or changed";
    let made = [
        (
            "the branch that is checked out",
            plumb("ci.yml", "git update-ref refs/heads/main $C"),
            "refs/heads/main",
            new,
        ),
        (
            "a new branch",
            plumb("ci.yml", "git update-ref refs/heads/x/y $C"),
            "refs/heads/x/y",
            new,
        ),
        (
            "a new file on a tag",
            plumb("more.yml", "git tag -a v1 -m v1 $C"),
            "refs/tags/v1",
            "in which {ws}/.github/workflows/more.yml is new or changed",
        ),
        (
            "packed",
            plumb(
                "ci.yml",
                "git update-ref refs/heads/main $C; git gc -q --prune=now; git pack-refs --all",
            ),
            "refs/heads/main",
            new,
        ),
        (
            "undone by the next commit",
            plumb(
                "ci.yml",
                "D=$(git commit-tree -p $C -m back HEAD^{tree}); git update-ref refs/heads/main $D",
            ),
            "refs/heads/main",
            new,
        ),
        (
            "below a merge",
            plumb(
                "ci.yml",
                "D=$(git commit-tree -p HEAD -p $C -m merge $T); git update-ref refs/heads/merged $D",
            ),
            "refs/heads/merged",
            new,
        ),
        (
            "a history without a beginning in common",
            plumb(
                "ci.yml",
                "D=$(git commit-tree -m root $T); git update-ref refs/heads/root $D",
            ),
            "refs/heads/root",
            new,
        ),
        (
            "by git commit",
            format!("{ME} echo evil > .github/workflows/ci.yml; git commit -qam x"),
            "refs/heads/main",
            new,
        ),
        (
            "what another branch had",
            format!("{ME} git update-ref refs/heads/main other"),
            "refs/heads/main",
            "in which {ws}/.github/workflows/ci.yml is another one than before",
        ),
        (
            "deleted",
            format!("{ME} git update-ref refs/heads/main none"),
            "refs/heads/main",
            "which has no {ws}/.github/workflows/ci.yml any more",
        ),
    ];
    for (way, script, reference, words) in made.into_iter().step_by(step) {
        let b = world_of(format);
        let ran = b.sh(&script);
        assert_eq!(ran.code(), 0, "{format} {way}: {ran:?}");
        let told = told(&ran);
        assert_eq!(told.len(), 1, "{format} {way}: {ran:?}");
        assert!(
            told[0].contains(reference) && told[0].contains(&b.fill(words)),
            "{format} {way}: {told:?}"
        );
        let events = run(b.agentbox(["logs"])).text();
        assert!(
            events.contains("committed") && events.contains(reference),
            "{format} {way}: {events}"
        );
    }
    // The twins: what is none of it is not told, however much git does.
    let quiet = [
        "echo y > README; git commit -qam x; git tag t; git branch b",
        "git branch x other; git tag y none; git update-ref refs/x/y keys",
        "git checkout -q other; echo y > README; git commit -qam x; git checkout -q main",
        "git gc -q --prune=now; git pack-refs --all; git repack -adqf",
        "echo y > README; git commit -qam x; git gc -q --prune=now; git commit -q --amend -m y",
        "git stash -q; git notes add -m x; git branch -D other",
        "mkdir -p doc/.github; echo x > doc/.github/ci.yml; git add -A; git commit -qm x",
    ];
    for script in quiet.into_iter().step_by(step) {
        let b = world_of(format);
        let ran = b.sh(&format!("{ME} {script}"));
        assert_eq!(ran.code(), 0, "{format} {script}: {ran:?}");
        assert_eq!(
            told(&ran),
            Vec::<String>::new(),
            "{format} {script}: {ran:?}"
        );
    }
}

/// A `.env` that git does not ignore was committed empty by `git add -A` in the box, and nobody was told: the next
/// `git commit -a` outside commits what it holds.
#[test]
fn a_hidden_file_that_is_committed_empty_is_told() {
    let b = world();
    host(&b, "echo SECRET > .env; mkdir -p pkg; : > pkg/__init__.py");
    let ran = b.sh(&format!(
        "{ME} git add -A && git commit -qm all && git show HEAD:.env | wc -c"
    ));
    assert_eq!(ran.ok().trim(), "0");
    let said = ran.complaint();
    let file = b.ws().join(".env").display().to_string();
    let words = format!("in which {file} is empty, as the box reads it");
    assert_eq!(said.matches(&words).count(), 1, "{said}");
    // An empty file with any other name is none of it.
    assert!(!said.contains("__init__.py"), "{said}");
    // Nor is one that was there before, or one that has a content of the box's own.
    let ran = b.sh(&format!(
        "{ME} echo x > other && git add other && git commit -qm more"
    ));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.complaint().contains("is empty"), "{ran:?}");
}

/// What cannot be read is said, and does not keep the session from its end.
#[test]
fn a_history_that_cannot_be_read_is_said() {
    let ways = [
        // A loose object of the agent's under the name of a commit of the user's: it is not believed.
        "D=$(echo not there yet | git hash-object -w --stdin); git update-ref refs/heads/main $C; \
         f=.git/objects/$(echo $T | cut -c1-2)/$(echo $T | cut -c3-); chmod u+w $f; \
         cat .git/objects/$(echo $D | cut -c1-2)/$(echo $D | cut -c3-) > $f",
        "git update-ref refs/heads/main $C; f=.git/objects/$(echo $T | cut -c1-2)/$(echo $T | cut -c3-); chmod u+w $f; echo junk > $f",
        "git update-ref refs/heads/main $C; rm -f .git/objects/$(echo $T | cut -c1-2)/$(echo $T | cut -c3-)",
    ];
    for way in ways {
        let b = world();
        let ran = b.sh(&plumb("ci.yml", way));
        assert_eq!(ran.code(), 0, "{way}: {ran:?}");
        assert!(
            ran.complaint()
                .contains("could not be searched for protected files"),
            "{way}: {ran:?}"
        );
    }
}

/// The same of a session whose supervisor was killed: whoever comes next says it.
#[test]
fn a_crash_does_not_swallow_what_is_told_of_the_history() {
    let b = world();
    let token = common::world::token();
    let script = plumb(
        "ci.yml",
        "git update-ref refs/heads/main $C; echo ready; sleep 1000; true",
    );
    let mut live = b.start(["/bin/sh", "-c", &script, &token]);
    live.wait_line("ready");
    common::live::crash(live, &token);
    let next = b.run(["true"]);
    assert!(told(&next)[0].contains("new or changed"), "{next:?}");
    assert_eq!(told(&b.run(["true"])), Vec::<String>::new());
}

/// Waits in the box, for ten seconds, until a file stays readable, or stays closed, for 20 looks in a row. One look says
/// nothing: a name that has just appeared is readable until the keeper closes it, and is opened again once git has it.
const UNTIL: &str = "hold() { i=0; n=0; while [ $n -lt 20 ] && [ $i -lt 8000 ]; do i=$((i+1)); \
                     if cat \"$2\" >/dev/null 2>&1; then r=open; else r=closed; fi; \
                     if [ $r = $1 ]; then n=$((n+1)); else n=0; fi; sleep 0.01; done; }; \
                     until_read() { hold open \"$1\"; }; until_closed() { hold closed \"$1\"; };";

/// `tests/key.pem` of a branch: hidden by its name, and in the history for everybody to read.
#[test]
fn what_git_brings_under_a_hidden_name_is_readable() {
    let b = world();
    let ran = b.sh(&format!(
        "{ME} {UNTIL} git checkout -q keys; until_read tests/key.pem; until_read .env; cat tests/key.pem .env; git status --short; \
         git checkout -q main; ls -A; git merge -q --no-edit keys; until_read .env; cat .env"
    ));
    assert_eq!(
        ran.ok(),
        "A TEST KEY\nA=1\n.git\n.github\nREADME\nsrc\nA=1",
        "{ran:?}"
    );
    // A clone of the session's own, and a worktree.
    let ran = b.sh(&format!(
        "{ME} {UNTIL} git clone -q -b keys . copy; until_read copy/tests/key.pem; cat copy/tests/key.pem; git -C copy status --short; \
         git worktree add -q wt keys; until_read wt/.env; cat wt/.env"
    ));
    assert_eq!(ran.ok(), "A TEST KEY\nA=1", "{ran:?}");
}

/// A key of the agent's own, which nobody can tell from one of the user's: not to be opened, never empty.
#[test]
fn what_the_box_makes_under_a_hidden_name_is_never_committed_empty() {
    let b = world();
    let ran = b.sh(&format!(
        "{UNTIL} for f in own.key .env.local plain.txt; do echo MINE > $f; done; until_closed own.key; until_closed .env.local; \
         cat own.key; echo \"cat=$?\"; cat plain.txt; echo x >> own.key; echo \"write=$?\"; \
         git add -A; echo \"add=$?\"; git add plain.txt; git -c user.name=a -c user.email=a@b commit -qm x; git ls-files; sleep 0.7"
    ));
    let text = ran.text();
    assert!(
        text.contains("cat=1") && text.contains("\nMINE\n") && text.contains("add=128"),
        "{ran:?}"
    );
    assert!(!text.contains("write=0"), "{ran:?}");
    assert!(ran.complaint().contains("Permission denied"), "{ran:?}");
    assert!(
        text.contains("plain.txt") && !text.contains("own.key\n"),
        "{ran:?}"
    );
    // The way out is said, once.
    let said = ran.complaint();
    let line = "own.key is a hidden name that appeared in the session";
    assert_eq!(said.matches(line).count(), 1, "{said}");
    let flag = format!("--hide '!{}'", b.fill("{ws}/own.key"));
    assert!(said.contains(&flag), "{said}");
    // It is there, whole, for the user.
    assert_eq!(
        fs::read_to_string(b.ws().join("own.key")).unwrap(),
        "MINE\n"
    );
    // The twins: where the user shows it, and where no rule is about it.
    let rule = "extends = [\"base\", \"git\"]\n[files]\nhide = [\"!${workspace}/own.key\"]\n";
    let b = world().profile(rule);
    let ran =
        b.sh("echo MINE > own.key; echo MINE > /tmp/x.key; sleep 0.2; cat own.key /tmp/x.key");
    assert_eq!(ran.ok(), "MINE\nMINE", "{ran:?}");
}

/// `git add -A` failed with EACCES and nothing said why: the command was over before half a second had passed, or before its files had
/// been compared. And a directory full of such files was a line for each, and from twenty on none.
#[test]
fn what_appeared_just_before_the_end_is_told() {
    let b = world();
    let ran = b.sh("echo MINE > own.key; mkdir .env.d; mkdir t; for i in 1 2 3 4 5; do echo $i > t/$i.pem; done");
    assert_eq!(ran.code(), 0, "{ran:?}");
    let said = ran.complaint();
    for (file, flag) in [("own.key", "own.key"), ("t/*.pem", "t/*.pem")] {
        let line = format!("--hide '!{}'", b.fill(&format!("{{ws}}/{flag}")));
        assert_eq!(said.matches(&line).count(), 1, "{file}: {said}");
    }
    assert!(said.contains("5 files"), "{said}");
    let events = run(b.agentbox(["logs"])).text();
    assert!(events.contains("own.key cannot be opened"), "{events}");
    // The twins: what git has, and what has another name.
    let ran = b.sh("git show keys:.env > .env; echo MINE > plain");
    assert!(!ran.complaint().contains("hidden name"), "{ran:?}");
}

/// Who needs such files in the working copy (a test makes its keys) had no flag for it: `--read` refuses what does not exist, and
/// `--hide '!...'` meant a name that begins with `!`. In the box `why` spoke of the mask's own permissions.
#[test]
fn a_flag_leaves_hidden_names_open_that_are_made_later() {
    let b = world();
    let script = format!(
        "{UNTIL} mkdir -p t/u; echo MINE > t/u/own.key; echo A=2 > .env.local; until_closed .env.local; \
         agentbox why read .env.local; agentbox why write t/u/own.key; cat t/u/own.key; git add t"
    );
    let ran = b.sh(&script);
    assert_eq!(ran.code(), 128, "{ran:?}");
    let flag = format!("--hide '!{}'", b.fill("{ws}/.env.local"));
    assert!(
        ran.text().contains("hidden name that appeared") && ran.text().contains(&flag),
        "{ran:?}"
    );
    let b = world();
    let ran = b.option("--hide").option("!t/**/*.key").sh(&script);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(
        ran.text().contains("no: ") && ran.text().ends_with("MINE"),
        "{ran:?}"
    );
    // What is there at the start as well, and that alone.
    let b = world();
    let (shown, hidden) = (b.ws().join("shown.key"), b.ws().join("hidden.key"));
    for file in [&shown, &hidden] {
        fs::write(file, "MINE\n").unwrap();
    }
    b.chown(&b.ws());
    let b = b.option("--hide").option("!shown.key");
    assert_eq!(
        b.sh("cat shown.key hidden.key; echo x > s; mv s shown.key; cat shown.key")
            .ok(),
        "MINE\nx"
    );
    // `--read` of one that is still to be made says so.
    let ran = world().option("--read").option("own.key").sh("true");
    ran.refused(&["own.key does not exist (--read)", "--hide '!"]);
}

/// What an agent could do so that a secret of the host's is shown.
#[test]
fn what_is_shown_is_shown_for_this_file_alone() {
    let b = world();
    let script = "UNTIL git checkout -q keys; until_read .env; cat .env; echo ready; until [ -e go ]; do sleep 0.01; done; \
         cat .env; echo \"cat=$?\"; cat d/.env; echo \"cat=$?\"; cat notes; cat copy.pem"
        .replace("UNTIL", UNTIL);
    let mut live = b.start(["/bin/sh", "-c", &script]);
    live.wait_line("ready");
    // The host puts its own under the name that git had, and elsewhere; what git has comes as a copy.
    host(
        &b,
        "echo SECRET > x; mv x .env; mkdir -p d; echo SECRET > d/.env; echo notes > notes; cp tests/key.pem copy.pem",
    )
    .ok();
    until("all is closed, and the copy is shown", || {
        let events = run(b.agentbox(["logs"])).text();
        let of = |what: &str, name: &str| {
            events
                .lines()
                .filter(|l| l.contains(what) && l.contains(name))
                .count()
        };
        of("closed", "d/.env") > 0 && of("closed", "ws/.env") > 1 && of("shown", "copy.pem") > 0
    });
    host(&b, "touch go").ok();
    let ran = live.end();
    let text = ran.text();
    assert!(!text.contains("SECRET"), "{ran:?}");
    assert_eq!(text.matches("cat=1").count(), 2, "{ran:?}");
    assert!(text.ends_with("notes\nA TEST KEY"), "{ran:?}");
}

/// `cp .env.example .env` was readable, since git has the content, and stayed so when the user wrote the real keys into it.
#[test]
fn a_copy_of_what_git_has_is_closed_when_somebody_writes_into_it() {
    let b = world();
    host(
        &b,
        "echo KEY= > .env.example; git add -A; git commit -qm example; git checkout -qb local; echo LOCAL= > .env; git add -f .env; \
         git commit -qm env; git checkout -q main",
    )
    .ok();
    let script = "UNTIL echo ready; until_read .env; cat .env; ln .env env.txt; echo shown; \
         until_closed .env; cat .env; echo \"cat=$?\"; cat env.txt; echo \"cat=$?\"; \
         echo written > go; until_read .env; cat .env; echo again; \
         until [ -e end ]; do sleep 0.01; done"
        .replace("UNTIL", UNTIL);
    let mut live = b.start(["/bin/sh", "-c", &script]);
    live.wait_line("ready");
    host(&b, "cp .env.example .env").ok();
    live.wait_line("shown");
    // Not by another name of it either.
    host(&b, "echo SECRET >> .env").ok();
    until("it was closed", || b.ws().join("go").exists());
    // The twin: with that content again, and no other name, it is no secret.
    host(&b, "rm env.txt; cp .env.example .env").ok();
    live.wait_line("again");
    host(&b, "touch end").ok();
    let ran = live.end();
    let text = ran.text();
    assert!(!text.contains("SECRET"), "{ran:?}");
    assert_eq!(text.matches("cat=1").count(), 2, "{ran:?}");
    assert_eq!(text.matches("KEY=").count(), 2, "{ran:?}");
    assert!(
        fs::read_to_string(b.ws().join(".env")).is_ok_and(|text| text == "KEY=\n"),
        "{ran:?}"
    );
    // What a branch has under that name stays an ordinary file of the working copy, whoever writes into it.
    host(&b, "rm .env go end").ok();
    let ran = b.sh(&format!(
        "{ME} {UNTIL} git checkout -q local; until_read .env; echo more >> .env; sleep 0.1; n=0; while [ $n -lt 20 ]; do cat .env >/dev/null || exit 1; \
         n=$((n+1)); sleep 0.01; done; cat .env; git commit -qam more; git status --short"
    ));
    assert_eq!(ran.ok(), "LOCAL=\nmore", "{ran:?}");
}

/// Directories above what was made under a protected name stayed mount points, and nobody could remove or move them; and a
/// worktree lost what its branch had.
#[test]
fn a_clone_can_be_removed_and_a_worktree_is_whole() {
    let b = world();
    host(
        &b,
        "git checkout -qb agents; mkdir -p .claude x/.claude; echo '{}' > .claude/settings.json; echo '{}' > .mcp.json; \
         echo '{}' > x/.claude/settings.json; git add -A; git commit -qm agents; git checkout -q main",
    )
    .ok();
    let gone = "until_gone() { i=0; while [ -e $1 ] && [ $i -lt 500 ]; do i=$((i+1)); sleep 0.01; done; }; \
                until_free() { n=0; i=0; while [ $n -lt 40 ] && [ $i -lt 500 ]; do i=$((i+1)); n=$((n+1)); [ -w $1 ] || n=0; sleep 0.01; done; };";
    let ran = b.sh(&format!(
        "{ME} {gone} git clone -q -b agents . tmp; until_gone tmp/.mcp.json; until_gone tmp/x/.claude/settings.json; \
         until_gone tmp/.claude/settings.json; mv tmp tmp2; rm -rf tmp2; ls -A; \
         git worktree add -q wt agents; until_free wt/.mcp.json; until_free wt/x/.claude/settings.json; until_free wt/.claude/settings.json; \
         git -C wt status --short; cat wt/.mcp.json wt/x/.claude/settings.json; \
         git -C wt checkout -q --detach main; ls -A wt; git -C wt checkout -q agents; \
         until_free wt/.mcp.json; until_free wt/x/.claude/settings.json; until_free wt/.claude/settings.json; git worktree remove --force wt; ls -A"
    ));
    assert_eq!(
        ran.ok(),
        ".git\n.github\nREADME\nsrc\n{}\n{}\n.git\n.github\nREADME\nsrc\n.git\n.github\nREADME\nsrc",
        "{ran:?}"
    );
    // What is not what the branch had there goes, at once: another content, another place, and what is written into it later.
    let ran = b.sh(&format!(
        "{ME} {gone} git worktree add -q wt agents; until_free wt/.mcp.json; cp wt/.mcp.json other.json; mkdir -p y/.claude; cp wt/.mcp.json y/.claude/settings.json; \
         until_gone y/.claude/settings.json; echo evil >> wt/.mcp.json; until_gone wt/.mcp.json; \
         ls other.json y/.claude/settings.json wt/.mcp.json wt/.claude/settings.json; true"
    ));
    assert_eq!(
        ran.text(),
        "other.json\nwt/.claude/settings.json",
        "{ran:?}"
    );
}

/// A branch without a tracked file: what was checked out was put back in the end.
#[test]
fn a_tracked_file_that_a_branch_does_not_have_stays_away() {
    let ci = ".github/workflows/ci.yml";
    let b = world();
    let ran = b.sh(&format!("{ME} git checkout -q none; git gc -q --prune=now"));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!b.ws().join(ci).exists(), "{ran:?}");
    assert_eq!(host(&b, "git status --short").ok(), "");
    // The twin: nobody has checked out anything.
    let b = world();
    b.sh("rm -r .github").ok();
    assert_eq!(fs::read_to_string(b.ws().join(ci)).unwrap(), "on: push\n");
}

/// What one session only puts into git's store is not what a branch had, whatever the next one does with it.
#[test]
fn what_an_earlier_session_left_in_the_store_is_not_followed() {
    let b = world();
    host(
        &b,
        "echo 'on: older' > .github/workflows/ci.yml; git commit -qam older; echo 'on: now' > .github/workflows/ci.yml; git commit -qam now",
    );
    let ran = b.sh(&plumb(
        "ci.yml",
        "echo $C > id; echo evil | git hash-object -w --stdin",
    ));
    assert_eq!(ran.code(), 0, "{ran:?}");
    std::thread::sleep(std::time::Duration::from_millis(100));
    let ran = b.sh("mkdir -p .vscode sub; echo evil | tee .vscode/tasks.json sub/.gitlab-ci.yml .github/workflows/x.yml; \
                    git update-ref refs/heads/new $(cat id); true");
    assert_eq!(ran.code(), 0, "{ran:?}");
    for gone in [
        ".vscode/tasks.json",
        "sub/.gitlab-ci.yml",
        ".github/workflows/x.yml",
    ] {
        assert!(!b.ws().join(gone).exists(), "{gone}: {ran:?}");
    }
    let lines = told(&ran);
    assert!(
        lines.iter().any(|line| line.contains("refs/heads/new")),
        "{ran:?}"
    );
    // The twin: a commit behind the branch had it.
    let ran = b.sh("git checkout -q main~1");
    assert_eq!(ran.code(), 0, "{ran:?}");
    let ci = fs::read_to_string(b.ws().join(".github/workflows/ci.yml")).unwrap();
    assert_eq!(ci, "on: older\n", "{ran:?}");
    assert_eq!(told(&ran), Vec::<String>::new(), "{ran:?}");
}

/// The hash of a branch is the same, and the next checkout writes something else.
#[test]
fn what_stands_for_another_object_does_not_stay() {
    let b = world();
    let replace = "B=$(echo evil | git hash-object -w --stdin); git replace HEAD:.github/workflows/ci.yml $B;";
    let ran = b.sh(replace);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(host(&b, "git replace -l").ok(), "", "{ran:?}");
    assert!(ran.complaint().contains("refs/replace/"), "{ran:?}");
    let ran = b.sh(&format!("{replace} git pack-refs --all"));
    assert!(ran.complaint().contains("git replace -l"), "{ran:?}");
    // The twin: the user's own.
    let b = world();
    host(
        &b,
        "B=$(echo mine | git hash-object -w --stdin); git replace HEAD:README $B",
    )
    .ok();
    let ran = b.sh("git branch x");
    assert!(!ran.complaint().contains("replace"), "{ran:?}");
    assert_ne!(host(&b, "git replace -l").ok(), "", "{ran:?}");
}

/// Git takes the id at the beginning of the file, whatever follows a blank.
#[test]
fn a_reference_with_more_in_its_file_is_told() {
    for write in [
        "printf '%s x\\n' $C > .git/refs/heads/main",
        "printf '%s%600s\\n' $C '' > .git/refs/heads/main",
        "printf '%s%99999s\\n' $C '' > .git/refs/heads/main",
    ] {
        let b = world();
        let ran = b.sh(&plumb("ci.yml", write));
        assert_eq!(ran.code(), 0, "{ran:?}");
        let lines = told(&ran);
        assert!(
            lines.iter().any(|line| line.contains("refs/heads/main")),
            "{write}: {ran:?}"
        );
    }
}

/// Rules about content looked at what existed at the start alone: a token that you wrote into an `.npmrc` while the box ran, or a
/// service account that you downloaded, could be read in it.
#[test]
fn what_gets_a_secret_content_later_is_closed() {
    const KEY: &str = r#"{\"type\": \"service_account\", \"private_key\": \"S3CRET\"}"#;
    let b = world();
    host(
        &b,
        "echo save-exact=true > .npmrc; mkdir src/in; echo '{}' > src/in/a-b.json; git add -A; git commit -qm npm; mkdir web; \
         echo save-exact=true > web/.npmrc",
    )
    .ok();
    let names = "web/.npmrc x-1.json new/.npmrc sub/deep/key.json src/moved-key.json";
    let script = format!(
        "{UNTIL} echo ready; for f in {names}; do while [ ! -e $f ]; do sleep 0.01; done; done; until_closed web/.npmrc; until_closed x-1.json; \
         until_closed new/.npmrc; until_closed sub/deep/key.json; until_closed src/moved-key.json; for f in {names}; do cat $f; echo \"$f=$?\"; done; \
         echo plain > p-1.json; mv p-1.json p-2.json; cat p-2.json plain-x.json .npmrc src/in/a-b.json; echo a >> plain-x.json; sleep 0.5; \
         cat plain-x.json; echo closed > go; until_read web/.npmrc; cat web/.npmrc; echo again; until [ -e end ]; do sleep 0.01; done"
    );
    let mut live = b.start(["/bin/sh", "-c", &script]);
    live.wait_line("ready");
    host(
        &b,
        &format!(
            "echo harmless > plain-x.json; echo '//r/:_authToken=S3CRET' >> web/.npmrc; echo \"{KEY}\" > x-1.json; \
             mkdir ../o; echo '//r/:_authToken=S3CRET' > ../o/.npmrc; mv ../o new; mkdir -p sub/deep; echo \"{KEY}\" > sub/deep/key.json; \
             echo \"{KEY}\" > ../y; mv ../y src/moved-key.json"
        ),
    )
    .ok();
    until("they were closed", || b.ws().join("go").exists());
    // Without it, the file is an ordinary one again.
    host(&b, "echo save-exact=false > web/.npmrc").ok();
    live.wait_line("again");
    host(&b, "touch end").ok();
    let ran = live.end();
    let text = ran.text();
    assert!(!text.contains("S3CRET"), "{ran:?}");
    for name in names.split(' ') {
        assert!(text.contains(&format!("{name}=1")), "{name}: {ran:?}");
    }
    for plain in [
        "plain\nharmless\nsave-exact=true\n{}\n",
        "harmless\na\n",
        "save-exact=false\nagain",
    ] {
        assert!(text.contains(plain), "{plain:?}: {ran:?}");
    }
    let said = ran.complaint();
    assert_eq!(
        said.matches("is a hidden name that appeared").count(),
        5,
        "{said}"
    );
    // Nothing of it is another file outside.
    assert!(fs::read_to_string(b.ws().join("x-1.json")).is_ok_and(|text| text.contains("S3CRET")));
}

/// What was written while an earlier state of it was being read counted as read; and who makes many such files kept others from being
/// read at all.
#[test]
fn what_is_written_while_others_are_read_is_closed_as_well() {
    let b = world();
    let script = format!(
        "{UNTIL} mkdir flood; echo ready; i=0; while [ $i -lt 40000 ]; do i=$((i+1)); echo x > flood/!-$i.json; done; echo flooded; \
         k=0; while [ ! -e all ]; do sleep 0.01; done; for d in d*; do until_closed $d/.npmrc; cat $d/.npmrc; k=$((k+1)); done; \
         echo dirs=$k; cat flood/!-40000.json; rm -r flood"
    );
    let mut live = b.start(["/bin/sh", "-c", &script]);
    live.wait_line("ready");
    host(
        &b,
        "for i in 0 1 2 3 4 5 6 7 8 9; do mkdir d$i; { echo a=1; sleep 0.00$i; echo '//r/:_authToken=S3CRET'; } > d$i/.npmrc; done",
    )
    .ok();
    live.wait_line("flooded");
    host(
        &b,
        "for i in 0 1 2 3 4 5 6 7 8 9; do mkdir d1$i; { echo a=1; sleep 0.00$i; echo '//r/:_authToken=S3CRET'; } > d1$i/.npmrc; done; touch all",
    )
    .ok();
    let ran = live.end();
    let text = ran.text();
    assert!(
        !text.contains("S3CRET") && text.ends_with("dirs=20\nx"),
        "{ran:?}"
    );
}
