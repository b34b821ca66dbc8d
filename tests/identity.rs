//! Who the agent is, inside, for the kernel and for the files it leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{find, init_of, parent, status_field};
use common::world::{as_root, give, token};
use common::{Errno, Feature, Layer, TestBox, missing, run};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// What counts is the uid of the *kernel*, seen from outside: mapping root to another number changes nothing.
#[test]
fn kernel_ids_from_outside() {
    let name = token();
    let b = TestBox::new();
    let live = b.start_probe(&format!("sleep 600 {name}"));
    let pid = find(&name);
    let uids = status_field(pid, "Uid").unwrap();
    let gids = status_field(pid, "Gid").unwrap();
    let (uid, gid) = b.ids();
    if as_root() {
        assert!(
            uids.split_whitespace().all(|u| u != "0"),
            "kernel uid 0 in the box: {uids}"
        );
        assert!(
            gids.split_whitespace().all(|g| g != "0"),
            "kernel gid 0 in the box: {gids}"
        );
    } else {
        assert!(
            uids.split_whitespace().all(|u| u == uid.to_string()),
            "{uids}"
        );
        assert!(
            gids.split_whitespace().all(|g| g == gid.to_string()),
            "{gids}"
        );
    }
    let groups = status_field(pid, "Groups").unwrap_or_default();
    assert!(
        groups
            .split_whitespace()
            .all(|g| g != "0" && g != "27" && g != "4"),
        "supplementary groups: {groups}"
    );
    drop(live);
}

/// Every word of /proc/PID/status that says what a process may do, for the agent and for init.
#[test]
fn nothing_is_left_to_gain() {
    let name = token();
    let b = TestBox::new();
    let live = b.start_probe(&format!("sleep 600 {name}"));
    let agent = find(&name);
    for pid in [agent, init_of(agent)] {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(
                status_field(pid, set).unwrap(),
                "0000000000000000",
                "{set} of {pid}"
            );
        }
        assert_eq!(status_field(pid, "NoNewPrivs").unwrap(), "1", "{pid}");
    }
    assert_eq!(status_field(agent, "Seccomp").unwrap(), "2");
    // The supervisor has nothing to do with the box's namespaces.
    let supervisor = parent(init_of(agent)).unwrap();
    assert_ne!(supervisor, agent);
    drop(live);
    let prctl = TestBox::new().probe("prctl").allowed();
    assert_eq!(prctl["no-new-privs"], 1, "{prctl}");
    assert_eq!(prctl["seccomp"], 2, "{prctl}");
    let securebits = prctl["securebits"].as_i64().unwrap();
    // NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, each with its lock.
    assert_eq!(securebits & 0b1100_1111, 0b1100_1111, "{prctl}");
}

#[test]
fn ids_cannot_be_changed() {
    let b = TestBox::new();
    let own = b.probe("ids").allowed();
    let uid = own["uid"][0].as_i64().unwrap();
    assert_ne!(uid, 0, "not root inside either: {own}");
    for line in [
        "syscall setuid 0",
        "syscall setresuid 0 0 0",
        "syscall setgid 0",
        "syscall setuid 65534",
    ] {
        let answer = b.probe(line).value();
        assert!(
            ["EPERM", "EINVAL"].contains(&answer["name"].as_str().unwrap_or("ok")),
            "{line}: {answer}"
        );
    }
    b.probe(&format!("syscall setuid {uid}")).allowed();
    b.probe("syscall setgroups 0 0").refused(Errno::EPERM);
    b.probe("syscall setgroups 1 h:00000000")
        .refused(Errno::EPERM);
    b.probe("syscall capset h:2205082000000000 h:ffffffffffffffff00000000ffffffffffffffff00000000")
        .refused(Errno::EPERM);
}

#[test]
fn an_ordinary_user_keeps_uid_and_gid() {
    if missing(Feature::User) {
        return;
    }
    let b = TestBox::new();
    let own = b.probe("ids").allowed();
    let (uid, gid) = b.ids();
    assert_eq!(own["uid"], serde_json::json!([uid, uid, uid]));
    assert_eq!(own["gid"], serde_json::json!([gid, gid, gid]));
}

/// Set-uid programs of the host do not raise anybody: nosuid and no_new_privs.
#[test]
fn set_uid_programs_do_nothing() {
    let b = TestBox::new();
    for program in [
        "/usr/bin/su",
        "/usr/bin/passwd",
        "/usr/bin/newgrp",
        "/usr/bin/sudo",
        "/usr/bin/mount",
    ] {
        if fs::metadata(program).is_ok_and(|m| m.permissions().mode() & 0o4000 != 0) {
            let ran = b.sh(&format!("{program} --version >/dev/null 2>&1; {program} -c id root </dev/null 2>/dev/null | grep -q uid=0 && echo GAINED; id -u"));
            assert!(!ran.text().contains("GAINED"), "{program}: {ran:?}");
            assert_ne!(ran.text(), "0", "{program}: {ran:?}");
        }
    }
    if missing(Feature::HostRoot) {
        return;
    }
    // One made for the purpose, by root, in the workspace: a copy of the probe that says who it is.
    let at = b.ws().join("rootly");
    fs::copy(b.probe_program(), &at).unwrap();
    give(&at, 0, 0);
    fs::set_permissions(&at, fs::Permissions::from_mode(0o6755)).unwrap();
    let ran = b.run([at.as_os_str(), "ids".as_ref()]);
    let ids = ran.json();
    let own = b.probe("ids").allowed();
    assert_eq!(ids["uid"], own["uid"], "{ids}");
    assert_eq!(ids["gid"], own["gid"], "{ids}");
}

/// Section 2 of the feasibility: what a root caller's agent could reach with kernel uid 0.
#[test]
fn a_root_callers_agent_is_not_root() {
    if missing(Feature::Root) {
        return;
    }
    let b = TestBox::new()
        .file("rootonly/secret", "ROOT")
        .file("home/ws/private", "mine");
    fs::set_permissions(
        b.root().join("rootonly/secret"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    fs::set_permissions(b.ws().join("private"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(b.outside("read {t}/rootonly/secret").json()["text"], "ROOT");
    // The caller's own workspace, 0600, works.
    assert_eq!(b.probe("read private").allowed()["text"], "mine");
    b.probe("write private x").allowed();
    b.probe("create new 0o600").allowed();
    let meta = fs::metadata(b.ws().join("new")).unwrap();
    assert_eq!(
        (meta.uid(), meta.gid()),
        (0, 0),
        "files belong to the caller"
    );
    // Read-only trees of the system are root's, and the agent is not root there.
    for path in ["/etc/shadow", "/root", "/etc/sudoers", "/var/lib/private"] {
        let answer = b.probe(&format!("open {path} rdonly")).value();
        assert!(answer["ok"] != true, "{path}: {answer}");
    }
    for off in [&[][..], &[Layer::Landlock, Layer::Seccomp]] {
        let b = TestBox::new().off(off);
        for path in [
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/kernel/printk_ratelimit",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "/proc/sysrq-trigger",
            "/dev/console",
            "/dev/vda",
            "/dev/kmsg",
        ] {
            let answer = b.probe(&format!("open {path} wronly")).value();
            assert!(answer["ok"] != true, "{off:?}: {path}: {answer}");
        }
    }
}

/// What is the machine's and root's (the mode of a device node, of a file of /proc) asked chmod(2) for nothing but the owner's uid.
#[test]
fn kernel_root_changes_no_mode_of_the_machines_devices_and_proc() {
    if missing(Feature::Root) {
        return;
    }
    /// Unmounts it, whatever becomes of the test.
    struct Mounted(std::path::PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
        }
    }
    let b = TestBox::new();
    let far = b.root().join("far");
    fs::create_dir(&far).unwrap();
    // A file system that cannot be id-mapped.
    let (none, flags) = (None::<&str>, nix::mount::MsFlags::empty());
    nix::mount::mount(none, &far, Some("ramfs"), flags, none).unwrap();
    let _mounted = Mounted(far.clone());
    let b = b.cwd(&far).option("--allow-missing").option("identity");
    // To what they are already, should it succeed.
    let try_all = "cat /proc/self/uid_map; touch mine && chmod 600 mine && echo allowed
        for change in '666 /dev/null' '666 /dev/tty' '555 /proc' '444 /proc/meminfo'; do chmod $change && echo changed $change; done
        echo x > /dev/null && echo x | tee /dev/stdout && : < /proc/self/status && echo works";
    let ran = b.sh(try_all);
    let said = ran.ok();
    let map: Vec<&str> = said.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(map.get(1), Some(&"0"), "the kernel's uid: {said}");
    assert!(
        said.contains("allowed") && said.contains("works"),
        "{ran:?}"
    );
    assert!(!said.contains("changed"), "{ran:?}");
    assert_eq!(
        ran.complaint().matches("Read-only file system").count(),
        4,
        "{ran:?}"
    );
}

/// Root in somebody's checkout: root-owned files in it would be the surprise of the next day.
#[test]
fn root_in_the_workspace_of_another() {
    if missing(Feature::Root) {
        return;
    }
    let b = TestBox::new().file("home/ws/theirs", "x");
    for path in [b.ws(), b.ws().join("theirs")] {
        give(&path, 4321, 4321);
    }
    let name = token();
    b.probe("create new").allowed();
    b.probe("append theirs +").allowed();
    let meta = fs::metadata(b.ws().join("new")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (4321, 4321));
    let live = b.start_probe(&format!("sleep 600 {name}"));
    assert!(
        status_field(find(&name), "Uid")
            .unwrap()
            .starts_with("4321")
    );
    drop(live);
    let ran = b.run(["true"]);
    assert!(
        ran.complaint().contains("4321") || ran.complaint().contains("owner"),
        "it must be said: {ran:?}"
    );
}

/// What a container's root checks out into the directory of the runner's user: git said `Permission denied`, and nobody why.
#[test]
fn a_repository_of_another_than_the_workspaces_owner_is_said() {
    if missing(Feature::Root) {
        return;
    }
    let b = TestBox::new().file("home/ws/.git/HEAD", "ref: refs/heads/main\n");
    give(&b.ws(), 4321, 4321);
    give(&b.ws().join(".git"), 0, 0);
    let ran = b.run(["true"]);
    let hint = "its .git belongs to uid 0";
    assert!(ran.complaint().contains(hint), "{ran:?}");
    assert!(ran.complaint().contains("chown -R 4321:4321"), "{ran:?}");
    // The twin: all of it is the same user's.
    give(&b.ws().join(".git"), 4321, 4321);
    let ran = b.run(["true"]);
    assert!(!ran.complaint().contains(hint), "{ran:?}");
}

#[test]
fn umask_is_kept() {
    for mask in ["022", "077", "002"] {
        let b = TestBox::new();
        let inner = b.command(["/bin/sh", "-c", "umask; : > made"]);
        let ran = run(b.through(&format!("umask {mask}; exec \"$@\""), &inner));
        assert_eq!(
            ran.ok().trim_start_matches('0'),
            mask.trim_start_matches('0'),
            "{ran:?}"
        );
        let made = fs::metadata(b.ws().join("made")).unwrap().mode() & 0o777;
        assert_eq!(made, 0o666 & !u32::from_str_radix(mask, 8).unwrap());
    }
}

#[test]
fn core_dumps_are_off() {
    let b = TestBox::new();
    let limits = b.probe("limits").allowed();
    let line = limits["text"]
        .as_str()
        .unwrap()
        .lines()
        .find(|l| l.starts_with("Max core file size"))
        .unwrap()
        .to_owned();
    assert_eq!(
        line.split_whitespace().skip(4).take(2).collect::<Vec<_>>(),
        ["1", "1"],
        "{line}"
    );
    assert_eq!(b.probe_words("die 11").len(), 3);
    let ran = b.run(b.probe_words("die 11"));
    assert_eq!(ran.code(), 139);
    assert_eq!(
        fs::read_dir(b.ws()).unwrap().count(),
        0,
        "a core file was left"
    );
}
