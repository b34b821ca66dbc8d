//! A disk without room for what was there before: what runs something does not stay all the same, and what could not be written
//! comes back as soon as there is room.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, Ran, TestBox, missing};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::path::PathBuf;

/// Does something on the host, as the test user, in the working copy.
fn host(b: &TestBox, script: &str) -> Ran {
    b.on_host(&format!("set -e; {script}"))
}

/// A small disk; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn new(b: &TestBox, place: PathBuf) -> Small {
        let (uid, gid) = b.ids();
        let data = format!("size=1m,mode=755,uid={uid},gid={gid}");
        let flags = MsFlags::empty();
        mount(
            Some("none"),
            &place,
            Some("tmpfs"),
            flags,
            Some(data.as_str()),
        )
        .unwrap();
        Small(place)
    }

    fn again(&self, flags: MsFlags) {
        let flags = MsFlags::MS_REMOUNT | flags;
        mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

const WORLD: &str = "git init -q; mkdir -p .github/workflows; echo on: push > .github/workflows/ci.yml; git config user.name a; \
     git config user.email a@b; git add -A; git commit -qm one";

/// The box fills the disk and then changes files within what they have of it.
const DOES: &str = "mkdir .claude; mkdir -p sub; git init -q sub; cat /dev/zero > fill 2>/dev/null; echo evil >> .github/workflows/ci.yml; \
     printf '[core]\\n\\tfsmonitor = \"touch {home}/mark; false\"\\n' >> .git/config; \
     printf '[core]\\n\\tfsmonitor = \"touch {home}/mark; false\"\\n' >> sub/.git/config; sleep 0.3; cat /dev/zero >> fill 2>/dev/null; true";

/// What the user does: nothing of the agent's runs.
#[track_caller]
fn harmless(b: &TestBox, ran: &Ran) {
    let _ = host(b, "git status; git -C sub status");
    assert!(!b.home().join("mark").exists(), "{ran:?}");
    for config in [".git/config", "sub/.git/config"] {
        let text = fs::read_to_string(b.ws().join(config)).unwrap_or_default();
        assert!(!text.contains("fsmonitor"), "{config}: {text} {ran:?}");
    }
}

/// As it was, once there is room.
#[track_caller]
fn as_it_was(b: &TestBox, place: &str) {
    host(b, "rm -f fill").ok();
    let ran = b.sh("true");
    ran.ok();
    harmless(b, &ran);
    let config = fs::read_to_string(b.ws().join(".git/config")).unwrap_or_default();
    assert!(config.contains("email = a@b"), "{place}: {config} {ran:?}");
    let ci = fs::read_to_string(b.ws().join(".github/workflows/ci.yml")).unwrap_or_default();
    assert_eq!(ci, "on: push\n", "{ran:?}");
}

#[test]
fn a_full_disk_keeps_no_executing_configuration() {
    if missing(Feature::HostRoot) {
        return;
    }
    // The working copy alone, and the home with the sessions in it.
    for place in ["ws", "."] {
        let b = TestBox::new().profile("extends = [\"base\", \"git\"]\n");
        let _small = Small::new(&b, b.home().join(place));
        fs::create_dir_all(b.ws()).unwrap();
        b.chown(&b.ws());
        host(&b, WORLD).ok();
        let ran = b.sh(&b.fill(DOES));
        harmless(&b, &ran);
        as_it_was(&b, place);
    }
}

/// It was taken for a file that its branch does not have, and stayed away.
#[test]
fn a_git_configuration_that_the_box_deletes_is_there_again() {
    let b = TestBox::new().profile("extends = [\"base\", \"git\"]\n");
    host(&b, WORLD).ok();
    host(&b, "git checkout -qb side; git rm -q .github/workflows/ci.yml; git commit -qm two; git checkout -q -").ok();
    // What goes with a branch stays away.
    let ran = b.sh("git checkout -q side; rm .git/config");
    ran.ok();
    let config = fs::read_to_string(b.ws().join(".git/config")).unwrap_or_default();
    assert!(config.contains("email = a@b"), "{config} {ran:?}");
    assert!(!b.ws().join(".github/workflows/ci.yml").exists(), "{ran:?}");
}

/// Nothing can be moved there: it is said by name, and the next session tries again.
#[test]
fn what_cannot_be_moved_away_on_a_read_only_disk_is_named_and_settled_later() {
    if missing(Feature::HostRoot) {
        return;
    }
    let b = TestBox::new()
        .profile("extends = [\"base\", \"git\"]\n")
        .dir("{ws}");
    let small = Small::new(&b, b.ws());
    host(&b, WORLD).ok();
    let mut live = b.start([
        "/bin/sh",
        "-c",
        "echo evil >> .github/workflows/ci.yml; echo x > twin; echo ready; while test -w .; do sleep 0.02; done",
    ]);
    live.wait_line("ready");
    small.again(MsFlags::MS_RDONLY);
    let ran = live.end();
    let file = b.ws().join(".github/workflows/ci.yml");
    let text = ran.complaint().to_owned();
    let named = text.lines().any(|line| {
        line.contains(&file.display().to_string()) && line.contains("could not be put back")
    });
    assert!(named, "{ran:?}");
    small.again(MsFlags::empty());
    let next = b.sh("true");
    next.ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "on: push\n", "{next:?}");
    assert_eq!(fs::read_to_string(b.ws().join("twin")).unwrap(), "x\n");
}
