//! What an agent does so that its files are not settled when the session is over: floods, modes, depth, and names that would
//! exempt others. Each beside a name that no rule knows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Ran, TestBox, run};
use std::fs;
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
