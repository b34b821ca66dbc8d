//! What the box has staged of protected files: the files are put back, git's index is not, and the user's next commit has it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{COMMITTER, Ran, TestBox};

/// Does something on the host, as the test user, in the working copy.
fn host(b: &TestBox, script: &str) -> Ran {
    b.on_host(&format!("set -e; {COMMITTER} {script}"))
}

/// A repository with a branch on which a workflow is another one.
fn repository(init: &str) -> TestBox {
    let b = TestBox::new()
        .profile("extends = [\"base\", \"git\"]\n")
        .file("{ws}/README", "x\n")
        .file("{ws}/.vscode/tasks.json", "{}\n")
        .file("{ws}/.github/workflows/ci.yml", "on: push\n");
    host(
        &b,
        &format!(
            "git init -q -b main {init} .; git add -A; git commit -qm one; git checkout -q -b side; echo 'on: tag' > .github/workflows/ci.yml; \
             git commit -qam two; git checkout -q main"
        ),
    )
    .ok();
    b
}

/// What is said of a staged file.
fn said(ran: &Ran, file: &str) -> bool {
    let remedy = format!("git restore --staged {file}");
    let complaint = ran.complaint().to_owned();
    complaint
        .lines()
        .any(|line| line.contains("staged") && line.contains(&remedy))
}

const CI: &str = "{ws}/.github/workflows/ci.yml";

#[test]
fn what_is_staged_of_a_protected_file_that_is_put_back_is_told() {
    for (what, init, does, file) in [
        (
            "added",
            "",
            "echo evil >> .github/workflows/ci.yml; git add -A",
            CI,
        ),
        (
            "made",
            "",
            "echo evil > .github/workflows/new.yml; git add -A",
            "{ws}/.github/workflows/new.yml",
        ),
        (
            "another one",
            "",
            "echo evil > .vscode/tasks.json; git add .vscode",
            "{ws}/.vscode/tasks.json",
        ),
        (
            "without the file",
            "",
            "id=$(echo evil | git hash-object -w --stdin); git update-index --cacheinfo 100644,$id,.github/workflows/ci.yml",
            CI,
        ),
        (
            "by another version of the index",
            "",
            "echo evil >> .github/workflows/ci.yml; git add -A; git update-index --index-version 4",
            CI,
        ),
        (
            "with long names",
            "--object-format=sha256",
            "echo evil >> .github/workflows/ci.yml; git add -A",
            CI,
        ),
        (
            "removed",
            "",
            "git rm -q --cached .github/workflows/ci.yml",
            CI,
        ),
        (
            "what an earlier session has left in the store",
            "",
            "git update-index --cacheinfo 100644,$(echo left | git hash-object --stdin),.github/workflows/ci.yml",
            CI,
        ),
        (
            "written in place",
            "",
            "echo evil >> .github/workflows/ci.yml; cp .git/index i; GIT_INDEX_FILE=i git add -A; cat i > .git/index; rm i",
            CI,
        ),
    ] {
        let b = repository(init);
        host(&b, "echo left | git hash-object -w --stdin").ok();
        let ran = b.sh(&format!(
            "{COMMITTER} echo y >> README; git add README; {does}"
        ));
        // Only what is protected.
        assert!(said(&ran, &b.fill(file)), "{what}: {ran:?}");
        assert!(!said(&ran, &b.fill("{ws}/README")), "{what}: {ran:?}");
        // The remedy is one.
        host(
            &b,
            &format!("git restore --staged {file}; git commit -qm user"),
        )
        .ok();
        let changed = host(&b, "git show --stat --format= HEAD");
        assert!(changed.ok().contains("README"), "{what}: {changed:?}");
        assert!(!changed.ok().contains(".github"), "{what}: {changed:?}");
        assert!(!changed.ok().contains(".vscode"), "{what}: {changed:?}");
    }
}

#[test]
fn what_was_there_before_is_not_told_as_staged() {
    for (what, before, does) in [
        ("another branch", "true", "git checkout -q side"),
        (
            "a file of another branch",
            "true",
            "git checkout -q side -- .github",
        ),
        (
            "staged by the user",
            "echo mine >> .github/workflows/ci.yml; git add -A",
            "echo z >> README; git add README",
        ),
        (
            "staged by the user, and gone",
            "echo mine >> .github/workflows/ci.yml; git add -A; git checkout -q HEAD~0 2>/dev/null; echo more >> .github/workflows/ci.yml",
            "echo z >> README; git add README",
        ),
        (
            "the user's own change",
            "echo mine >> .github/workflows/ci.yml",
            "git add -A",
        ),
        ("a look", "touch README", "git status"),
        (
            "a commit, which is told of as one",
            "true",
            "echo evil >> .github/workflows/ci.yml; git commit -qam evil",
        ),
    ] {
        let b = repository("");
        host(&b, before).ok();
        let ran = b.sh(&format!("{COMMITTER} {does}"));
        ran.ok();
        assert!(!ran.complaint().contains("--staged"), "{what}: {ran:?}");
        assert!(!ran.complaint().contains("--cached"), "{what}: {ran:?}");
    }
}

#[test]
fn an_index_that_is_not_read_as_a_whole_is_told() {
    for (what, does) in [
        (
            "split",
            "git update-index --split-index; echo evil >> .github/workflows/ci.yml; git add -A",
        ),
        ("no index", "echo DIRC > .git/index"),
        ("a large one", "truncate -s 20M .git/index"),
    ] {
        let b = repository("");
        let ran = b.sh(&format!("{COMMITTER} {does}"));
        let text = ran.complaint().to_owned();
        let told = text
            .lines()
            .any(|line| line.contains(".git/index") && line.contains("git diff --cached"));
        assert!(told, "{what}: {ran:?}");
    }
}

/// The remedy had the file's name as it was, and who copied it into a shell ran what the agent had put into the name.
#[test]
fn a_remedy_that_is_copied_into_a_shell_runs_nothing_of_the_name() {
    let b = repository("");
    for name in [
        "a;touch pwned;$(touch pwned).yml",
        "it's'; touch pwned; '`touch pwned`.yml",
    ] {
        let ran = b.run([
            "/bin/bash",
            "-c",
            "echo x > \".github/workflows/$1\"; git add -A; echo own > \".env.$1\"; sleep 1.5",
            "bash",
            name,
        ]);
        let complaint = ran.complaint().to_owned();
        let remedy = complaint
            .split_once("still staged: `")
            .and_then(|(_, rest)| rest.split_once("` before you commit"))
            .map(|(remedy, _)| remedy.to_owned());
        let remedy = remedy.unwrap_or_else(|| panic!("{name}: {ran:?}"));
        let staged = |b: &TestBox| host(b, "git diff --cached --name-only -z").text();
        assert!(staged(&b).contains("workflows"), "{name}: {ran:?}");
        host(&b, &remedy).ok();
        assert!(!staged(&b).contains("workflows"), "{name}: {remedy}");
        // Said after a second of doubt.
        let flag = complaint
            .split_once("and `--hide ")
            .and_then(|(_, rest)| rest.split_once("` leaves it open"))
            .map(|(flag, _)| flag.to_owned());
        let flag = flag.unwrap_or_else(|| panic!("{name}: {ran:?}"));
        host(&b, &format!("echo {flag}")).ok();
        assert!(!b.ws().join("pwned").exists(), "{name}: {complaint}");
        host(&b, "git reset -q; rm -f .env.*").ok();
    }
}

/// What a hidden file is was computed again for each time that the index lists it: a small index kept the next start busy for
/// an hour.
#[test]
fn a_file_that_an_index_lists_a_hundred_thousand_times_is_read_once() {
    let entry = |path: &[u8]| [&[0; 40 + 20 + 2], b"\0".as_slice(), path, b"\0"].concat();
    let count: u32 = 100_000;
    let mut index = [b"DIRC\0\0\0\x04", count.to_be_bytes().as_slice()].concat();
    index.extend(entry(b"big.pem"));
    // Version 4: nothing of the path before is dropped, and nothing is added.
    index.extend(entry(b"").repeat(count as usize - 1));
    index.extend([0; 20]);
    let b = TestBox::new().file("{ws}/big.pem", vec![b'k'; 8 << 20]);
    host(&b, "git init -q").ok();
    let b = b
        .file("{ws}/.git/index", index)
        .file("{ws}/other.pem", "key");
    // Something else than what git has lies there: closed. The twin is not listed, and reads as empty.
    let ran = b.sh("cat other.pem; cat big.pem");
    assert_eq!((ran.code(), ran.text().as_str()), (1, ""), "{ran:?}");
    assert!(ran.complaint().contains("Permission denied"), "{ran:?}");
}

/// "Read the diff": git shows none of a file that it is told not to look at.
#[test]
fn a_file_that_git_is_told_not_to_look_at_is_named() {
    for (way, said) in [
        ("--assume-unchanged", true),
        ("--skip-worktree", true),
        ("--no-skip-worktree", false),
    ] {
        let b = repository("");
        let ran = b.sh(&format!(
            "echo evil >> README; git update-index {way} README; git status --short"
        ));
        assert_eq!(ran.text().contains("README"), !said, "{way}: {ran:?}");
        let told = ran.complaint();
        assert_eq!(told.contains("no diff shows"), said, "{way}: {ran:?}");
        if let Some((_, remedy)) = told.split_once("before you look, `") {
            host(&b, remedy.split('`').next().unwrap()).ok();
        }
        let diff = host(&b, "git diff").ok();
        assert!(diff.contains("+evil"), "{way}: {diff}");
        // It is the user's own from then on.
        let ran = b.sh("git add README");
        assert!(!ran.complaint().contains("no diff shows"), "{ran:?}");
    }
    // The twins: what the user has told git, and what a sparse checkout leaves out.
    let b = repository("");
    host(&b, "git update-index --skip-worktree README").ok();
    let ran = b.sh("git sparse-checkout set .vscode; git add -A");
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.complaint().contains("no diff shows"), "{ran:?}");
}

/// Neither is a file of the working copy nor runs anything, and what a user looks at after a session shows nothing of it.
#[test]
fn what_keeps_git_from_showing_the_work_is_undone() {
    for (way, script) in [
        ("exclude", "echo '*' >> .git/info/exclude"),
        (
            "its directory is a link",
            "mv .git/info old; mkdir i; echo '*' > i/exclude; ln -s ../i .git/info",
        ),
        (
            "exclude of a repository that was in it",
            "echo '*' >> nest/.git/info/exclude; mv evil.sh nest/",
        ),
        (
            "a file of that name",
            "echo '*' > old; git config core.excludesFile old",
        ),
        (
            "no untracked ones",
            "git config status.showUntrackedFiles no",
        ),
    ] {
        let b = repository("");
        host(&b, "git init -q nest; git -C nest commit -q --allow-empty -m n; echo nest >> .git/info/exclude").ok();
        let ran = b.sh(&format!("echo evil > evil.sh; {script}"));
        assert_eq!(ran.code(), 0, "{way}: {ran:?}");
        let shown = host(&b, "git status --short -uall; git -C nest status --short; git config --unset status.x || :; git status --short").ok();
        assert_eq!(
            shown.matches("evil.sh").count(),
            if way.contains("that was in") { 1 } else { 2 },
            "{way}: {shown}\n{ran:?}"
        );
        assert!(ran.complaint().contains("restore"), "{way}: {ran:?}");
    }
    // The same size and the same time, and git does not look at the rest of what the kernel says.
    let b = repository("");
    let ran = b.sh(
        "git config core.checkStat minimal; git config core.trustctime false; git config core.ignoreStat true; git update-index --refresh; \
         touch -r README t; echo y > README; touch -r t README; rm t",
    );
    assert_eq!(ran.code(), 0, "{ran:?}");
    for key in ["core.checkstat", "core.ignorestat", "core.trustctime"] {
        assert!(ran.complaint().contains(key), "{key}: {ran:?}");
    }
    assert!(host(&b, "git diff").ok().contains("+y"), "{ran:?}");
    // A filter of the user's own is run on what the user has not given it.
    let b = repository("");
    let ran = b.sh(
        "echo '* -diff filter=mine' > .git/info/attributes; git config core.attributesFile src",
    );
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.complaint().contains("core.attributesfile"), "{ran:?}");
    let left = host(&b, "git check-attr -a README").ok();
    assert_eq!(left, "");
}

/// The twins of that: what the user has there stays, a box may use it, and a repository that is new has git's own.
#[test]
fn what_the_user_does_not_want_to_see_stays_out_of_sight() {
    let b = repository("");
    host(
        &b,
        "echo mine >> .git/info/exclude; echo '*.x -diff' > .git/info/attributes; git config core.excludesFile ~/none; \
         git config status.showUntrackedFiles all; git init -q lib; git -C lib commit -q --allow-empty -m l",
    )
    .ok();
    let ran = b.sh(
        "touch mine; test -z \"$(git status --short mine)\" && git clone -q lib copy && git init -q new && git config user.name me && \
         git -c protocol.file.allow=always submodule --quiet add ./lib sub && test -f .git/modules/sub/info/exclude",
    );
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.complaint().contains("info/"), "{ran:?}");
    assert!(!ran.complaint().contains("undone"), "{ran:?}");
    let left = host(&b, "git status --short mine; git check-attr -a a.x; git config --get-all core.excludesFile; ls copy/.git/info new/.git/info .git/modules/sub/info").ok();
    assert!(
        left.contains("a.x: diff: unset") && left.contains("none"),
        "{left}"
    );
    assert_eq!(left.matches("exclude").count(), 3, "{left}");
}
