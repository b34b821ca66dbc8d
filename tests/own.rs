//! `agentbox self check` and `agentbox check --fix`: this installation, and the commands against what a host lacks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, Ran, TestBox, missing, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// `self check` of a copy of the binary in `bin` of the world.
struct Copy {
    b: TestBox,
    path: PathBuf,
}

impl Copy {
    fn new() -> Copy {
        let b = TestBox::new().dir("prefix").dir("prefix/bin");
        let path = b.root().join("prefix/bin/agentbox");
        let done = run({
            let mut cp = Command::new("cp");
            cp.arg(common::world::agentbox()).arg(&path);
            cp
        });
        assert_eq!(done.code(), 0, "{done:?}");
        let it = Copy { b, path };
        it.mode(0o755);
        it.b.chown(&it.path);
        it
    }

    fn mode(&self, mode: u32) {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn check(&self) -> Ran {
        let inner = self.b.agentbox(["self", "check"]);
        run(self.b.through(
            &format!("shift; exec {} \"$@\"", self.path.display()),
            &inner,
        ))
    }
}

#[test]
fn a_good_installation_is_told_as_one() {
    let b = TestBox::new();
    let ran = run(b.agentbox(["self", "check"]));
    let text = ran.ok();
    assert!(text.starts_with("agentbox 0."), "{text}");
    assert!(text.lines().next().unwrap().ends_with(", static"), "{text}");
    let json = run(b.agentbox(["self", "check", "--json"])).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["ok"], true, "{json}");
    assert_eq!(json["program"]["linkage"], "static");
    assert_eq!(json["program"]["agentbox"], env!("CARGO_PKG_VERSION"));
    // The same sum as everybody else's.
    let mut sum = Command::new("sha256sum");
    sum.arg(common::world::agentbox());
    let sum = run(sum).ok();
    assert_eq!(
        json["program"]["sha256"].as_str().unwrap(),
        sum.split(' ').next().unwrap()
    );
    let names: Vec<&str> = json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["file", "profiles", "man", "completions", "kernel"]);
}

/// Who may change the program is who the box trusts: each way to be wrong, next to the same file as it should be.
#[test]
fn a_program_that_others_can_change_is_a_no() {
    let copy = Copy::new();
    for (mode, says) in [(0o757, "can be written by others"), (0o4755, "set-uid")] {
        copy.mode(mode);
        let ran = copy.check();
        assert_eq!(ran.code(), 1, "{mode:o}: {ran:?}");
        assert!(ran.text().contains(says), "{mode:o}: {ran:?}");
    }
    copy.mode(0o755);
    let dir = copy.path.parent().unwrap();
    let set = |mode| fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
    set(0o777);
    let ran = copy.check();
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(
        ran.text().contains("prefix/bin can be written by others"),
        "{ran:?}"
    );
    // Others make names of their own there, and cannot replace this one.
    set(0o1777);
    assert_eq!(copy.check().code(), 0, "{:?}", copy.check());
}

/// What is beside the program is told; what a user has for profiles is not the program's.
#[test]
fn what_is_installed_beside_it() {
    let copy = Copy::new();
    let b = &copy.b;
    for file in [
        "man/man1/agentbox.1.gz",
        "bash-completion/completions/agentbox",
        "fish/vendor_completions.d/agentbox.fish",
    ] {
        let path = b.root().join("prefix/share").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let broken = b.home().join(".config/agentbox/profiles");
    fs::create_dir_all(&broken).unwrap();
    fs::write(broken.join("base.toml"), "nonsense = 1\n").unwrap();
    let ran = copy.check();
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.text().contains("installed: man\n"), "{ran:?}");
    assert!(ran.text().contains("installed: bash, fish\n"), "{ran:?}");
}

/// Where a default run holds there is nothing to do, whoever asks.
#[test]
fn nothing_is_asked_of_a_good_host() {
    if missing(Feature::Userns) || missing(Feature::Landlock(1)) {
        return;
    }
    let b = TestBox::new();
    let ran = run(b.agentbox(["check", "--fix"]));
    assert!(ran.ok().contains("nothing is needed"), "{ran:?}");
    assert!(!ran.text().contains("sysctl"), "{ran:?}");
    let ran = run(b.agentbox(["check", "--fix", "--json"]));
    assert_eq!(ran.code(), 2, "{ran:?}");
}

/// A sysctl of a user namespace of the test's own is 0: the cause is found, the command is the one that helps, and only it was
/// printed. SCRIPT's caller is root there, so there is no sudo in it.
fn remedied(sysctl: &str, says: &str) {
    if missing(Feature::Userns) || missing(Feature::Tool("sysctl")) {
        return;
    }
    let b = TestBox::new();
    let file = format!("/proc/sys/{}", sysctl.replace('.', "/"));
    let script = format!(
        "exec unshare --user --map-root-user --mount sh -c 'echo 0 >{file} || exit 77; \
         \"$@\" >before; echo $?; cat {file}; \
         grep -c \"^sysctl -w\" before; eval \"$(grep \"^sysctl -w {sysctl}=\" before)\" >/dev/null || exit 78; \
         cat {file}; \"$@\" >after; grep -c \"{sysctl}\" after' sh \"$@\""
    );
    let ran = run(b.through(&script, &b.agentbox(["check", "--fix"])));
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{ran:?}");
    assert_eq!(lines[..3], ["1", "0", "1"], "{ran:?}");
    assert!(lines[3].parse::<u64>().unwrap() > 1000, "{ran:?}");
    // grep finds nothing any more.
    assert_eq!((lines[4], ran.code()), ("0", 1), "{ran:?}");
    let before = fs::read_to_string(b.ws().join("before")).unwrap();
    assert!(before.contains(says), "{before}");
    assert!(before.contains("/etc/sysctl.d/60-agentbox-"), "{before}");
    assert!(!before.contains("sudo"), "{before}");
}

#[test]
fn no_user_namespaces_are_remedied() {
    remedied(
        "user.max_user_namespaces",
        "# user.max_user_namespaces is 0 (needed)",
    );
}

#[test]
fn no_inotify_instances_are_remedied() {
    remedied("user.max_inotify_instances", "no inotify instance is left");
}

#[test]
fn no_inotify_watches_are_remedied() {
    remedied("user.max_inotify_watches", "no inotify watch is left");
}
