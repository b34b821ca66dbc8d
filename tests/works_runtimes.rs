//! Runtimes that size themselves by what they find: each test is named after what went wrong once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, TestBox, missing};
use std::path::Path;

/// The root of a cgroup mount was `/../..` for a caller in a cgroup of its own, and the JVM threw a NullPointerException.
#[test]
fn cgroup_mounts_have_the_boxs_own_group_as_their_root() {
    let b = TestBox::new();
    let text = b.sh("cat /proc/self/mountinfo").text();
    let roots: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(" /sys/fs/cgroup"))
        .map(|line| line.split(' ').nth(3).unwrap())
        .collect();
    let hierarchies = ["cgroup.controllers", "memory", "cpu"];
    let any = hierarchies
        .iter()
        .any(|name| Path::new("/sys/fs/cgroup").join(name).exists());
    assert_eq!(!roots.is_empty(), any, "{text}");
    assert!(roots.iter().all(|root| *root == "/"), "{roots:?}");
    // The box's own group can be read, also by an agent that is not the caller's uid, and changed by nobody.
    let all = b.sh("for d in /sys/fs/cgroup /sys/fs/cgroup/*; do test ! -e $d/cgroup.procs || cat $d/cgroup.procs; done");
    assert_eq!(all.code(), 0, "{all:?}");
    let made = b.sh("mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x");
    assert_ne!(made.code(), 0, "{made:?}");
}

#[test]
fn the_jvm_reads_the_limits_of_its_group() {
    if missing(Feature::Tool("java")) {
        return;
    }
    let b = TestBox::new();
    let ran = b.run(["java", "-XshowSettings:system", "-version"]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("Operating System Metrics"), "{said}");
    assert!(!said.contains("NullPointerException"), "{said}");
    assert_eq!(ran.code(), 0, "{said}");
}
