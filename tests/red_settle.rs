//! What an agent does so that its files are not settled when the session is over: floods, modes, depth, and names that would
//! exempt others. Each beside a name that no rule knows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, Ran, TestBox, missing, run};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// A box with a repository of one commit.
fn repository() -> TestBox {
    let b = TestBox::new()
        .profile("extends = [\"base\", \"git\"]\n")
        .file("{ws}/README", "x")
        .file("{ws}/sub/x", "x")
        .file("{ws}/.github/workflows/ci.yml", "on: push\n");
    for args in [
        &["init", "-q"][..],
        &["add", "-A"],
        &["commit", "-qm", "one"],
    ] {
        let mut command = Command::new("git");
        b.around(&mut command, &b.command(["true"]));
        command.args(["-c", "user.name=a", "-c", "user.email=a@b"]);
        command.args(["-c", "init.defaultBranch=main"]).args(args);
        run(command).ok();
    }
    b
}

/// Does something on the host, as the test user, in the working copy.
fn on_host(b: &TestBox, script: &str) {
    let mut command = Command::new("sh");
    b.around(&mut command, &b.command(["true"]));
    command.args(["-c", script]);
    run(command).ok();
}

fn read(b: &TestBox, file: &str) -> String {
    fs::read_to_string(b.ws().join(file)).unwrap_or_default()
}

/// None of them is there, and the twin is.
#[track_caller]
fn gone(b: &TestBox, ran: &Ran, names: &[&str]) {
    for name in names {
        let there = fs::symlink_metadata(b.ws().join(name)).is_ok();
        assert!(!there, "{name}: {ran:?}");
    }
    assert_eq!(read(b, "twin"), "twin\n", "{ran:?}");
}

#[test]
fn a_flood_of_events_before_the_end_hides_no_name_that_is_made_after_it() {
    let b = repository();
    let ran = b.run([
        "python3",
        "-c",
        "import os, time\n\
         os.mkdir('.idea'); open('.idea/a', 'w').close(); time.sleep(.3); d = os.open('.idea', os.O_RDONLY)\n\
         for i in range(7000):\n \
           os.rename('a', 'b', src_dir_fd=d, dst_dir_fd=d); os.rename('b', 'a', src_dir_fd=d, dst_dir_fd=d)\n\
         for n, t in [('.claude', 'settings.json'), ('s', '.mcp.json'), ('.vscode', 'tasks.json')]:\n \
           os.mkdir(n); open(n + '/' + t, 'w').write('evil')\n\
         open('.envrc', 'w').write('evil'); open('twin', 'w').write('twin\\n'); os._exit(0)",
    ]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let names = [
        ".claude/settings.json",
        "s/.mcp.json",
        ".vscode/tasks.json",
        ".envrc",
    ];
    gone(&b, &ran, &names);
}

#[test]
fn modes_keep_nothing_from_being_put_back_or_moved_away() {
    let b = repository();
    let ran = b.sh(
        "chmod 555 .git; printf '[core]\\n\\tfsmonitor = touch PWN;false\\n' >> .git/config; \
         mkdir x; echo evil > x/config.toml; chmod 555 x; mv x .codex; \
         mkdir y; echo evil > y/tasks.json; chmod 555 y; mv y .vscode; \
         mkdir -p s/t; echo evil > s/t/.mcp.json; echo evil > s/t/.envrc; chmod 000 s/t; chmod 444 s; \
         mkdir -m 311 u; mkdir u/.claude; echo evil > u/.claude/settings.json; mkdir -m 300 u/.vscode; echo evil > u/.vscode/tasks.json; \
         echo 'on: evil' > .github/workflows/ci.yml; chmod 555 .github/workflows; echo twin > twin; sleep 0.5",
    );
    let open = |dir: &str| fs::set_permissions(b.ws().join(dir), fs::Permissions::from_mode(0o755));
    let modes = [(".git", 0o555), ("s", 0o444), ("u", 0o311)];
    for (dir, mode) in modes {
        let now = fs::metadata(b.ws().join(dir)).unwrap().permissions().mode();
        assert_eq!(now & 0o777, mode, "{dir} has its mode again: {ran:?}");
    }
    for dir in ["s", "s/t", "u", ".git"] {
        open(dir).unwrap();
    }
    assert!(!read(&b, ".git/config").contains("fsmonitor"), "{ran:?}");
    assert_eq!(
        read(&b, ".github/workflows/ci.yml"),
        "on: push\n",
        "{ran:?}"
    );
    let names = [
        ".codex/config.toml",
        ".vscode/tasks.json",
        "s/t/.mcp.json",
        "s/t/.envrc",
        "u/.claude/settings.json",
        "u/.vscode/tasks.json",
    ];
    gone(&b, &ran, &names);
}

#[test]
fn a_directory_that_is_called_git_keeps_nothing_beside_it_from_being_looked_at() {
    let b = repository();
    let ran = b.sh(
        "mkdir sub/.git sub/.vscode; echo evil > sub/.vscode/tasks.json; echo evil > sub/.envrc; \
         mkdir -p e/.git e/.vscode; echo evil > e/.vscode/tasks.json; \
         git init -q sub/real; mv sub/real/.git .github/.git; echo evil > .github/workflows/ci.yml; \
         git clone -q . copy; echo changed >> copy/.github/workflows/ci.yml; echo evil > copy/.mcp.json; echo twin > twin",
    );
    let names = [
        "sub/.vscode/tasks.json",
        "sub/.envrc",
        "e/.vscode/tasks.json",
        "copy/.mcp.json",
    ];
    gone(&b, &ran, &names);
    assert_eq!(
        read(&b, ".github/workflows/ci.yml"),
        "on: push\n",
        "{ran:?}"
    );
    let own = read(&b, "copy/.github/workflows/ci.yml");
    assert_eq!(
        own, "on: push\nchanged\n",
        "a clone's files are its own: {ran:?}"
    );
}

#[test]
fn broken_git_configurations_do_not_use_up_the_time_of_the_rest() {
    let b = repository();
    let began = std::time::Instant::now();
    let ran = b.sh(
        "for i in $(seq 1000 1600); do mkdir -p .git/worktrees/a$i; echo '[' > .git/worktrees/a$i/config.worktree; done; \
         mkdir .vscode .husky s; for f in .vscode/tasks.json .husky/pre-commit s/.mcp.json .mcp.json; do echo evil > $f; done; \
         echo twin > twin",
    );
    let names = [
        ".vscode/tasks.json",
        ".husky/pre-commit",
        "s/.mcp.json",
        ".mcp.json",
    ];
    gone(&b, &ran, &names);
    assert!(began.elapsed().as_secs() < 40, "{:?}", began.elapsed());
    assert!(
        !b.ws().join(".git/worktrees/a1600/config.worktree").exists(),
        "{ran:?}"
    );
}

/// A name that was not seen when it was made is searched for in the end, beside a tree that is as deep as paths go.
#[test]
fn a_deep_directory_is_not_the_end_of_a_search() {
    let b = repository();
    let ran = b.sh(
        "mkdir -m 311 closed; mkdir closed/in; \
         d=zz; for i in $(seq 200); do d=$d/d; done; mkdir -p $d; echo evil > $d/.envrc; \
         mkdir -p aa/.vscode; echo evil > aa/.vscode/tasks.json; echo evil > closed/in/.envrc; echo twin > twin",
    );
    let deep = format!("zz{}/.envrc", "/d".repeat(200));
    gone(
        &b,
        &ran,
        &["aa/.vscode/tasks.json", "closed/in/.envrc", &deep],
    );
}

/// What the first session has made or changed is what the second one finds: it must not be that one's "as it was".
#[test]
fn a_session_beside_another_brings_nothing_back_that_the_other_one_made() {
    let b = repository()
        .file("{ws}/.vscode/settings.json", "{}")
        .dir("{ws}/sub/plain");
    let first = b.start([
        "sh",
        "-c",
        "echo evil > .vscode/settings.json; echo evil > .vscode/tasks.json; echo evil > sub/.envrc; echo twin > twin; \
         git init -q sub/born; git config --file sub/born/.git/config core.fsmonitor evil; \
         rm .github/workflows/ci.yml; touch one; while ! [ -e go ]; do sleep 0.02; done",
    ]);
    common::until("the first one has done it", || b.ws().join("one").exists());
    let second = b.start([
        "sh",
        "-c",
        "touch two; while ! [ -e on ]; do sleep 0.02; done; echo new > sub/plain/x",
    ]);
    common::until("the second one runs", || b.ws().join("two").exists());
    fs::write(b.ws().join("go"), "").unwrap();
    let ran = first.end();
    assert_eq!(ran.code(), 0, "{ran:?}");
    let names = [".vscode/tasks.json", "sub/.envrc"];
    gone(&b, &ran, &names);
    fs::write(b.ws().join("on"), "").unwrap();
    let ran = second.end();
    assert_eq!(ran.code(), 0, "{ran:?}");
    gone(&b, &ran, &names);
    assert_eq!(read(&b, ".vscode/settings.json"), "{}", "{ran:?}");
    // Deleted by the first one and put back at its end: it is no work of the second one.
    assert_eq!(
        read(&b, ".github/workflows/ci.yml"),
        "on: push\n",
        "{ran:?}"
    );
    assert_eq!(read(&b, "sub/plain/x"), "new\n", "{ran:?}");
    assert!(!read(&b, "sub/born/.git/config").contains("evil"));

    // What a session alone finds is its own "as it was".
    b.on_host("echo mine > sub/.envrc; rm -f go on").ok();
    let ran = b.sh("echo evil > sub/.envrc; echo evil > .vscode/settings.json");
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(read(&b, "sub/.envrc"), "mine\n", "{ran:?}");
    assert_eq!(read(&b, ".vscode/settings.json"), "{}", "{ran:?}");
}

/// What is only tracked stays in a clone, which nobody has opened yet. A directory that the user knows is none, whatever has come
/// into its place.
#[test]
fn a_repository_that_took_the_place_of_a_directory_is_no_new_clone() {
    let b = repository()
        .file("{ws}/lib/.envrc", "mine")
        .file("{ws}/app/src/x", "x");
    b.on_host("git add app && git -c user.name=a -c user.email=a@b commit -qm app")
        .ok();
    let ran = b.sh("for d in app lib new; do \
           git init -q t; mkdir t/.vscode t/src; echo evil > t/.vscode/tasks.json; echo evil > t/.autoenv; touch t/src/x; \
           [ -e $d ] && mv $d $d.old; mv t $d; \
         done; \
         git checkout -q --orphan o; git commit -qm o --allow-empty; echo twin > twin");
    assert_eq!(ran.code(), 0, "{ran:?}");
    let names = [
        "app/.vscode/tasks.json",
        "app/.autoenv",
        "lib/.vscode/tasks.json",
        "lib/.autoenv",
    ];
    gone(&b, &ran, &names);
    assert_eq!(read(&b, "new/.vscode/tasks.json"), "evil\n", "{ran:?}");
    assert_eq!(read(&b, "lib/.envrc"), "mine", "{ran:?}");
}

/// What one session commits and nobody has looked at is no reason for the next one to leave a protected file alone.
#[test]
fn two_sessions_do_not_what_one_cannot_by_way_of_a_commit() {
    let b = repository();
    let who = "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; ";
    let session = |script: &str| {
        let ran = b.sh(&format!("{who}{script}; echo twin > twin"));
        assert_eq!(ran.code(), 0, "{ran:?}");
        ran
    };
    // The user's own file, committed by an agent, follows its branch in later sessions.
    b.on_host("git branch old; echo mine > .github/workflows/mine.yml")
        .ok();
    session("git add .github && git commit -qm mine");
    let ran = session("git checkout -q old");
    assert_eq!(read(&b, ".github/workflows/mine.yml"), "", "{ran:?}");
    let ran = session("git checkout -q main");
    assert_eq!(read(&b, ".github/workflows/mine.yml"), "mine\n", "{ran:?}");

    let commit = "b=$(echo evil | git hash-object -w --stdin); export GIT_INDEX_FILE=.git/other; git read-tree main; \
         git update-index --add --cacheinfo 100644,$b,.claude/settings.json --cacheinfo 100644,$b,.envrc; \
         git update-ref refs/zz/x $(git commit-tree -p main -m x $(git write-tree)); rm .git/other; \
         for i in $(seq 70); do git update-ref refs/aa/$i $(git commit-tree -p main -m $i main^{tree}); done";
    let ran = session(commit);
    assert!(ran.complaint().contains("could not be searched"), "{ran:?}");
    let names = [".claude/settings.json", ".envrc"];
    let bring =
        |name: &str| format!("git checkout -q {name} -- .claude .envrc; git reset -q; sleep 0.3");
    gone(
        &b,
        &session(&format!(
            "git update-ref refs/heads/again refs/zz/x; {}",
            bring("refs/zz/x")
        )),
        &names,
    );
    // By another name it is the same commit still.
    gone(&b, &session(&bring("again")), &names);
    // A human has named it.
    b.on_host("git branch seen refs/zz/x").ok();
    let ran = session(&bring("seen"));
    assert_eq!(read(&b, ".claude/settings.json"), "evil\n", "{ran:?}");
    assert_eq!(read(&b, ".envrc"), "evil\n", "{ran:?}");
}

/// What a clone of an earlier session has is its own: neither by a copy nor by a `.git` file does it become another directory's.
#[test]
fn what_an_earlier_session_left_in_a_clone_does_not_come_into_the_working_copy() {
    let b = repository().file("{ws}/lib/x", "x");
    b.on_host("git add lib && git -c user.name=a -c user.email=a@b commit -qm lib")
        .ok();
    let first = b.sh(
        "git init -q new; cd new; mkdir .vscode; echo evil > .vscode/tasks.json; echo evil > .envrc; git add -A; \
         git -c user.name=a -c user.email=a@b commit -qm n; cd ..; echo twin > twin",
    );
    assert_eq!(read(&b, "new/.vscode/tasks.json"), "evil\n", "{first:?}");
    let ran = b.sh(
        "mkdir .vscode; cp new/.vscode/tasks.json .vscode; cp new/.envrc .envrc; echo 'gitdir: ../new/.git' > sub/.git; cp new/.envrc sub; \
         mkdir -p lib.new; git init -q lib.new; cp new/.envrc lib.new; mv lib lib.old; mv lib.new lib; \
         git worktree add -q -b t tree; git -C new worktree add -q ../other HEAD",
    );
    assert_eq!(ran.code(), 0, "{ran:?}");
    let names = [
        ".vscode/tasks.json",
        ".envrc",
        "sub/.envrc",
        "sub/.git",
        "lib/.envrc",
    ];
    gone(&b, &ran, &names);
    // Work trees that are new are their repositories'.
    assert_eq!(
        read(&b, "tree/.github/workflows/ci.yml"),
        "on: push\n",
        "{ran:?}"
    );
    assert_eq!(read(&b, "other/.vscode/tasks.json"), "evil\n", "{ran:?}");
    assert!(b.ws().join("other/.git").exists(), "{ran:?}");
}

/// The end has a minute: a box that made tens of thousands of protected names had it used up before the user's own files, which came
/// last, were looked at.
#[test]
fn what_was_there_is_put_back_before_what_the_box_has_made_is_looked_at() {
    let b = repository().file("{ws}/.vscode/tasks.json", "{}\n");
    let ran = b.sh(
        "for i in $(seq 6); do mkdir .a$i; echo evil > .a$i/.envrc; done; echo evil > .vscode/tasks.json; echo twin > twin",
    );
    assert_eq!(read(&b, ".vscode/tasks.json"), "{}\n", "{ran:?}");
    gone(&b, &ran, &[".a1/.envrc", ".a6/.envrc"]);
    let said = ran.complaint();
    let at = |words: &str| {
        said.find(words)
            .unwrap_or_else(|| panic!("{words}: {said}"))
    };
    assert!(
        at("tasks.json is protected and was changed") < at(".envrc was made in the session"),
        "{said}"
    );
}

/// Twenty lines were said of files in one session, of whatever kind: who made many files under protected names kept it back that a commit
/// has another CI file, which nobody undoes.
#[test]
fn many_files_that_are_moved_away_hide_no_commit_and_no_remote() {
    let b = repository();
    let ran = b.sh("for i in $(seq 40); do mkdir .a$i; echo evil > .a$i/.envrc; done\n\
         mkdir -p .husky/_; for i in $(seq 9); do echo evil > .husky/_/h$i; done; mkdir .b; echo evil > .b/.envrc\n\
         echo evil > .github/workflows/ci.yml; echo twin > twin\n\
         git -c user.name=a -c user.email=a@b commit -qam evil && git update-ref refs/heads/other HEAD");
    gone(&b, &ran, &[".a1/.envrc", ".a40/.envrc", ".husky/_/h9"]);
    let said = ran.complaint();
    assert!(
        said.contains("more files were put back or moved away: `agentbox restore"),
        "{said}"
    );
    assert!(
        said.contains("ci.yml is new or changed: the file is protected"),
        "{said}"
    );
    assert!(
        said.matches(".envrc was made in the session").count() <= 20,
        "{said}"
    );
}

/// Each `npm install` of a project with husky made eighteen lines.
#[test]
fn many_files_of_one_directory_are_one_line() {
    let b = repository();
    let ran = b.sh("mkdir -p .husky/_ .few; for i in $(seq 18); do echo evil > .husky/_/h$i; done; echo evil > .few/.envrc; echo twin > twin");
    gone(&b, &ran, &[".husky/_/h1", ".husky/_/h18", ".few/.envrc"]);
    let said = ran.complaint();
    assert!(said.contains(".husky/_ were made in the session under protected names, and moved away: `agentbox restore"), "{said}");
    assert!(said.contains("18 files in "), "{said}");
    assert!(
        said.contains(".few/.envrc was made in the session"),
        "{said}"
    );
    assert!(!said.contains("h1 was made"), "{said}");
}

/// What one session leaves in its clones, whose names come first, must not take the room for what the next one changes.
#[test]
fn clones_of_an_earlier_session_do_not_keep_the_users_files_from_being_remembered() {
    for (what, left) in [
        (
            "files",
            "mkdir -p '!a/.idea'; cd '!a'; git init -q; for i in $(seq 4200); do echo x > .idea/$i; done",
        ),
        (
            "bytes",
            "mkdir -p '!a/.idea'; cd '!a'; git init -q; for i in $(seq 32); do head -c 1048576 /dev/zero > .idea/$i; done; echo x > .idea/x",
        ),
        (
            "repositories",
            "for i in $(seq 260); do mkdir -p \"!a/$i/.git/objects\" \"!a/$i/.git/refs\"; echo 'ref: refs/heads/x' > \"!a/$i/.git/HEAD\"; \
             echo '[core]' > \"!a/$i/.git/config\"; done",
        ),
    ] {
        let b = repository();
        for file in [".envrc", "sub/.vscode/tasks.json"] {
            let file = b.ws().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "mine\n").unwrap();
        }
        b.sh("git init -q nested").ok();
        b.sh(left).ok();
        assert!(b.ws().join("!a").exists(), "{what}");
        let ran = b.sh(
            "echo evil > .envrc; rm sub/.vscode/tasks.json; echo twin > twin; mkdir ci; cp .github/workflows/ci.yml ci/; \
             echo evil >> .github/workflows/ci.yml; git add .github; git -c user.name=a -c user.email=a@b commit -qm two",
        );
        ran.ok();
        for file in [".envrc", "sub/.vscode/tasks.json"] {
            assert_eq!(read(&b, file), "mine\n", "{what}: {ran:?}");
        }
        assert_eq!(read(&b, ".github/workflows/ci.yml"), "on: push\n", "{what}");
        assert_eq!(read(&b, "twin"), "twin\n", "{what}: {ran:?}");
        for line in [
            "refs/heads/main has a commit",
            "than are remembered (4096",
            "more than 256 repositories",
        ] {
            let wanted = match what {
                "repositories" => !line.contains("4096"),
                _ => !line.contains("256"),
            };
            assert_eq!(ran.complaint().contains(line), wanted, "{what}: {ran:?}");
        }
    }
}

/// More of them than are looked at: the user's own, which are older, are those that are.
#[test]
fn clones_of_an_earlier_session_do_not_keep_hooks_of_the_users_repositories_from_being_frozen() {
    let b = repository();
    on_host(
        &b,
        "git init -q zz; git -C zz config core.hooksPath tools/hooks; mkdir -p zz/tools/hooks; echo mine > zz/tools/hooks/pre-commit",
    );
    b.sh(
        "for i in $(seq 1030); do mkdir -p \"!a/$i/.git/objects\" \"!a/$i/.git/refs\"; echo 'ref: refs/heads/x' > \"!a/$i/.git/HEAD\"; \
         echo '[core]' > \"!a/$i/.git/config\"; done",
    )
    .ok();
    let ran = b.sh("echo evil > zz/tools/hooks/pre-commit || echo twin > twin");
    assert_eq!(read(&b, "zz/tools/hooks/pre-commit"), "mine\n", "{ran:?}");
    gone(&b, &ran, &[]);
    assert!(
        ran.complaint().contains("more than 1024 repositories"),
        "{ran:?}"
    );
}

#[test]
fn a_protected_file_that_is_not_in_git_and_was_removed_is_there_again() {
    let b = repository();
    fs::write(b.ws().join(".envrc"), "mine\n").unwrap();
    let ran = b.sh("rm .envrc; echo twin > twin");
    assert_eq!(read(&b, ".envrc"), "mine\n", "{ran:?}");
    gone(&b, &ran, &[]);
    // What is in git goes with its branch.
    on_host(
        &b,
        "git checkout -q --orphan other; git rm -qrf .; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m other; \
         git checkout -q main",
    );
    assert_eq!(read(&b, ".github/workflows/ci.yml"), "on: push\n");
    let ran = b.sh("git checkout -q other && echo twin > twin");
    ran.ok();
    gone(&b, &ran, &[".github/workflows/ci.yml"]);
    assert_eq!(read(&b, ".envrc"), "mine\n", "{ran:?}");
}

/// What cannot be settled is tried again by whoever comes next. What the user has made meanwhile is not the session's.
#[test]
fn what_the_user_makes_after_a_session_that_could_not_be_settled_is_his() {
    let b = repository();
    let ran = b.run([
        "python3",
        "-c",
        "import os\n\
         os.makedirs('deep/.github/workflows'); os.chdir('deep/.github/workflows')\n\
         for i in range(2500):\n \
           os.mkdir('d'); os.chdir('d')\n\
         open('x.yml', 'w').write('evil')",
    ]);
    assert!(
        ran.complaint().contains("deep/.github/workflows"),
        "{ran:?}"
    );
    on_host(
        &b,
        "echo mine > .envrc; echo mine > .github/workflows/own.yml; echo mine > .github/workflows/ci.yml; git config alias.own '!own'; \
         git add .github; git -c user.name=a -c user.email=a@b commit -qm own; git init -q new; echo '#!/bin/sh' > new/.git/hooks/pre-commit; \
         echo mine > twin; echo mine > sub/.mcp.json; rm -f sub/x",
    );
    let again = run(b.agentbox(["restore"]));
    assert!(
        again.complaint().contains("deep/.github/workflows"),
        "{again:?}"
    );
    on_host(&b, "rm -r deep");
    let ran = b.sh("true");
    ran.ok();
    for file in [
        ".envrc",
        ".github/workflows/own.yml",
        ".github/workflows/ci.yml",
        "sub/.mcp.json",
    ] {
        assert_eq!(read(&b, file), "mine\n", "{file}: {again:?} {ran:?}");
    }
    assert!(read(&b, ".git/config").contains("!own"), "{ran:?}");
    assert_eq!(read(&b, "new/.git/hooks/pre-commit"), "#!/bin/sh\n");
    assert!(!ran.complaint().contains("has a commit"), "{ran:?}");
}

/// A container's database in the working copy (`./db`, 0700, of its own user). Each session of the user's ended with "is protected and
/// could not be put back", and said so of all that had ended before, too, since none was settled; root's did not start where a file in
/// there has a hidden name. What the box can enter, and the
/// user not list, is told as before.
#[test]
fn a_directory_that_belongs_to_another_user_and_is_closed() {
    if missing(Feature::HostRoot) {
        return;
    }
    let b = repository()
        .file("{ws}/db/server.key", "SECRET\n")
        .file("{ws}/own.key", "SECRET\n")
        .dir("{ws}/drop");
    let db = b.ws().join("db");
    for (place, mode) in [(db.join("server.key"), 0o644), (db, 0o700)] {
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&place, Some(4_000_000), Some(4_000_000)).unwrap();
    }
    for _ in 0..2 {
        let ran = b.sh(
            "cat db/server.key own.key 2>&1; chmod 755 db 2>/dev/null; echo evil >.mcp.json; true",
        );
        let said = "cat: db/server.key: Permission denied";
        assert_eq!(ran.ok().trim(), said, "{ran:?}");
        assert!(!ran.complaint().contains("could not be"), "{ran:?}");
        assert!(!b.ws().join(".mcp.json").exists(), "{ran:?}");
    }
    let drop = b.ws().join("drop");
    fs::set_permissions(&drop, fs::Permissions::from_mode(0o733)).unwrap();
    std::os::unix::fs::chown(&drop, Some(4_000_000), None).unwrap();
    let ran = b.sh("echo evil >drop/.mcp.json");
    assert!(ran.complaint().contains("drop"), "the twin: {ran:?}");
}
