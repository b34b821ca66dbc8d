//! What is mounted, where a workspace may be, and how a command is found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::as_root;
use common::{Errno, Feature, Layer, TestBox, bytes, missing};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn the_root_holds_only_what_is_known() {
    let b = TestBox::new();
    let names = b.probe("listdir /").allowed();
    let known = [
        "bin", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "nix", "opt", "proc",
        "root", "run", "sbin", "sys", "tmp", "usr", "var",
    ];
    for name in names["names"].as_array().unwrap() {
        assert!(
            known.contains(&name.as_str().unwrap()),
            "{name} in /: {names}"
        );
    }
    let run = b.probe("listdir /run").allowed();
    for name in run["names"].as_array().unwrap() {
        assert!(
            ["agentbox", "user", "lock", "systemd"].contains(&name.as_str().unwrap()),
            "{run}"
        );
    }
}

#[test]
fn dev_is_minimal() {
    let b = TestBox::new();
    let names = b.probe("listdir /dev").allowed();
    let known = [
        "console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr",
        "stdin", "stdout", "tty", "urandom", "zero",
    ];
    for name in names["names"].as_array().unwrap() {
        assert!(
            known.contains(&name.as_str().unwrap()),
            "{name} in /dev: {names}"
        );
    }
    for line in [
        "write /dev/null",
        "read /dev/zero",
        "read /dev/urandom",
        "read /dev/random",
        "open /dev/ptmx rdwr,noctty",
    ] {
        b.probe(line).allowed();
    }
    b.probe("write /dev/full").refused(Errno::ENOSPC);
    for name in [
        "mem",
        "kmem",
        "kmsg",
        "port",
        "sda",
        "vda",
        "kvm",
        "fuse",
        "vhost-vsock",
        "net/tun",
        "loop0",
        "uinput",
        "userfaultfd",
    ] {
        b.probe(&format!("open /dev/{name} rdonly"))
            .denied_deep(Errno::ENOENT, Layer::View);
    }
    // A file in the place of a device must not last (gemini's /dev/null).
    let made = b.probe("create /dev/new").value();
    assert!(made["ok"] != true, "{made}");
}

#[test]
fn proc_is_fresh_and_masked() {
    let b = TestBox::new();
    b.probe("read /proc/meminfo").allowed();
    b.probe("read /proc/self/status").allowed();
    b.probe("read /proc/sys/kernel/pid_max").allowed();
    // Each hands out host memory, keys, addresses or a switch; reads empty or not at all.
    for name in [
        "kcore",
        "keys",
        "key-users",
        "kallsyms",
        "sysrq-trigger",
        "irq/default_smp_affinity",
        "bus/pci/devices",
        "timer_list",
        "sched_debug",
        "kpagecount",
        "kpageflags",
        "kpagecgroup",
        "acpi",
        "scsi/scsi",
        "latency_stats",
    ] {
        let answer = b.probe(&format!("read /proc/{name}")).value();
        assert!(
            answer["ok"] != true || answer["size"] == 0,
            "{name}: {answer}"
        );
    }
    for name in [
        "sysrq-trigger",
        "sys/kernel/core_pattern",
        "sys/kernel/modprobe",
        "sys/kernel/hostname",
        "sys/vm/drop_caches",
        "sys/vm/overcommit_memory",
        "sys/kernel/printk_ratelimit",
        "sys/fs/binfmt_misc/register",
        "irq/0/smp_affinity",
    ] {
        let answer = b.probe(&format!("write /proc/{name} 1")).value();
        assert!(answer["ok"] != true, "{name}: {answer}");
    }
}

#[test]
fn sysctls_are_read_only_for_the_view_alone() {
    let b = TestBox::new();
    b.probe("read /proc/sys/kernel/printk_ratelimit").allowed();
    let before = fs::read("/proc/sys/kernel/printk_ratelimit").unwrap();
    // runc's and the survey's trap 5: kernel uid 0 without any capability may write these.
    let errno = if as_root() {
        [Errno::EROFS, Errno::EACCES]
    } else {
        [Errno::EACCES, Errno::EROFS]
    };
    for off in [&[][..], &[Layer::Landlock, Layer::Seccomp]] {
        let answer = TestBox::new()
            .off(off)
            .probe("write /proc/sys/kernel/printk_ratelimit 7")
            .value();
        let name = answer["name"].as_str().unwrap_or("allowed").to_owned();
        assert!(
            errno.iter().any(|e| format!("{e:?}") == name),
            "{off:?}: {answer}"
        );
    }
    assert_eq!(
        fs::read("/proc/sys/kernel/printk_ratelimit").unwrap(),
        before
    );
}

#[test]
fn sys_is_reduced_and_read_only() {
    let b = TestBox::new();
    for path in [
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/power/state",
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/kernel/uevent_helper",
    ] {
        let answer = b.probe(&format!("write {path} 0")).value();
        assert!(answer["ok"] != true, "{path}: {answer}");
    }
    for path in [
        "/sys/kernel/security",
        "/sys/kernel/debug",
        "/sys/firmware/dmi",
        "/sys/kernel/tracing",
        "/sys/fs/bpf",
    ] {
        let answer = b.probe(&format!("listdir {path}")).value();
        assert!(
            answer["ok"] != true || answer["names"] == serde_json::json!([]),
            "{path}: {answer}"
        );
    }
    // What node, the JVM and Go read works or is absent, but never an error of permission.
    let online = b.probe("read /sys/devices/system/cpu/online").value();
    assert!(
        online["ok"] == true || online["name"] == "ENOENT",
        "{online}"
    );
}

#[test]
fn passwd_and_group_are_generated() {
    let b = TestBox::new();
    let passwd = b.probe("read /etc/passwd").allowed()["text"]
        .as_str()
        .unwrap()
        .to_owned();
    let home = b.home().display().to_string();
    assert!(
        passwd.lines().any(|l| l.split(':').nth(5) == Some(&home)),
        "the caller's line: {passwd}"
    );
    assert_eq!(b.sh("id -un && id -gn && echo ~").ok().lines().count(), 3);
    b.probe("write /etc/passwd x").refused(Errno::EROFS);
    // Nobody else of this machine is named.
    if let Some(other) = fs::read_to_string("/etc/passwd")
        .unwrap()
        .lines()
        .find(|l| l.contains(":/home/"))
    {
        let name = other.split(':').next().unwrap();
        assert!(
            b.ids().0.to_string() == other.split(':').nth(2).unwrap()
                || !passwd.contains(&format!("{name}:")),
            "{passwd}"
        );
    }
}

#[test]
fn what_programs_read_in_etc_is_there() {
    let b = TestBox::new();
    for path in [
        "/etc/passwd",
        "/etc/group",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/etc/ld.so.cache",
        "/etc/services",
        "/etc/os-release",
    ] {
        if fs::exists(path).unwrap() {
            assert!(
                b.probe(&format!("read {path}")).allowed()["size"]
                    .as_u64()
                    .unwrap()
                    > 0,
                "{path}"
            );
        }
    }
    if fs::exists("/etc/localtime").unwrap() {
        b.probe("read /etc/localtime").allowed();
    }
    if fs::exists("/etc/ssl/certs/ca-certificates.crt").unwrap() {
        b.probe("read /etc/ssl/certs/ca-certificates.crt").allowed();
    }
    // Links out of /etc are shown as what they lead to.
    if fs::exists("/etc/alternatives/awk").unwrap() {
        assert_eq!(b.sh("awk 'BEGIN { print 6 * 7 }'").ok(), "42");
    }
}

#[test]
fn mountinfo_names_nothing_secret() {
    let b = TestBox::new().file("secret/canary", "x");
    let lines = b.probe("mounts").allowed();
    assert!(!lines.to_string().contains("/secret"), "{lines}");
    // Every mount that is not the box's own has no set-uid programs and no devices.
    for line in lines["lines"].as_array().unwrap() {
        let line = line.as_str().unwrap();
        assert!(
            line.contains("nosuid") || line.contains(" - proc "),
            "set-uid programs count here: {line}"
        );
    }
}

#[test]
fn workspaces_that_are_refused() {
    let home_is_repo = TestBox::new().dir("home/.git");
    home_is_repo.agentbox(["run", "--net", "none", "-C"]);
    for (name, words) in [
        ("{home}", "HOME"),
        ("{t}", "HOME"),
        ("/", "/"),
        ("/etc", "/etc"),
        ("/usr", "/usr"),
        ("/usr/bin", "/usr"),
        ("/proc", "/proc"),
        ("/dev", "/dev"),
        ("/root/../etc", "/etc"),
        ("{ws}/missing", "missing"),
        ("{ws}/file", "file"),
    ] {
        let b = TestBox::new().file("home/ws/file", "x");
        let words = b.fill(words);
        let name = b.fill(name);
        let ran = b.option("-C").option(&name).run(["true"]);
        ran.refused(&[]);
        assert!(
            ran.complaint().contains(&words) || ran.complaint().contains(&name),
            "{name}: {ran:?}"
        );
    }
    // HOME that is itself a repository, called from a directory of it.
    let b = home_is_repo.cwd(TestBox::new().home());
    let home = b.home();
    b.cwd(home).run(["true"]).refused(&[]);
    TestBox::new().run(["true"]).ok();
}

#[test]
fn workspaces_in_odd_places() {
    for name in [
        "plain",
        "with space",
        "new\nline",
        "quote'\"",
        "-dash",
        "{braces}",
        "ümlaut",
        "$(touch x)",
        "a:b",
        "tab\tname",
    ] {
        let b = TestBox::new();
        let place = b.home().join(name);
        fs::create_dir(&place).unwrap();
        b.chown(&place);
        let b = b.cwd(&place);
        let ran = b.run(["/bin/sh", "-c", "echo hello > made && cat made && pwd"]);
        assert_eq!(ran.ok(), format!("hello\n{}", place.display()), "{name:?}");
        assert_eq!(fs::read_to_string(place.join("made")).unwrap(), "hello\n");
    }
    let b = TestBox::new();
    let place = b.home().join(bytes(b"\xff\xfe"));
    fs::create_dir(&place).unwrap();
    b.chown(&place);
    let b = b.cwd(&place);
    assert_eq!(
        b.run(["/bin/sh", "-c", "echo hello > made && cat made"])
            .ok(),
        "hello"
    );
}

#[test]
fn a_workspace_reached_by_symlink_keeps_its_typed_path() {
    let b = TestBox::new()
        .dir("real/project")
        .file("real/project/f", "text");
    symlink(b.root().join("real/project"), b.home().join("link")).unwrap();
    let link = b.home().join("link");
    let b = b.cwd(&link).env("PWD", &link);
    assert_eq!(
        b.run(["/bin/sh", "-c", "pwd && cat f && echo new > n"])
            .ok(),
        format!("{}\ntext", link.display())
    );
    assert!(b.root().join("real/project/n").exists());
    // The real name works too: tools canonicalise.
    b.probe("read {t}/real/project/f").allowed();
}

#[test]
fn the_repository_root_is_the_workspace() {
    let b = TestBox::new()
        .dir("home/ws/repo/.git")
        .file("home/ws/repo/top", "x")
        .file("home/ws/repo/sub/f", "y")
        .file("home/ws/beside", "z");
    fs::write(b.ws().join("repo/.git/HEAD"), "ref: refs/heads/main\n").unwrap();
    let sub = b.ws().join("repo/sub");
    let b = b.cwd(&sub);
    // The working directory is kept, and the whole repository is writable.
    assert_eq!(
        b.sh("pwd && cat ../top f && echo more > ../new").ok(),
        format!("{}\nxy", sub.display())
    );
    assert!(b.ws().join("repo/new").exists());
    b.probe("read ../../beside")
        .denied_deep(Errno::ENOENT, Layer::View);
}

#[test]
fn cwd_outside_of_the_workspace_becomes_its_root() {
    let b = TestBox::new().dir("elsewhere");
    let elsewhere = b.root().join("elsewhere");
    let ws = b.ws();
    let b = b.cwd(elsewhere).option("-C").option("{ws}");
    assert_eq!(b.sh("pwd").ok(), ws.display().to_string());
}

#[test]
fn grants_of_the_command_line() {
    let b = TestBox::new()
        .file("data/f", "read me")
        .file("out/f", "")
        .file("single", "one")
        .file("data/hidden/f", "x");
    let b = b
        .option("--read")
        .option("{t}/data")
        .option("--write")
        .option("{t}/out")
        .option("--read")
        .option("{t}/single");
    assert_eq!(b.probe("read {t}/data/f").allowed()["text"], "read me");
    b.probe("write {t}/data/f").refused(Errno::EROFS);
    b.probe("create {t}/out/new").allowed();
    assert!(b.root().join("out/new").exists());
    assert_eq!(b.probe("read {t}/single").allowed()["text"], "one");
    // What is not there is a refusal, not a silent nothing.
    let b = TestBox::new().option("--read").option("{t}/no-such-thing");
    b.run(["true"]).refused(&["no-such-thing"]);
}

#[test]
fn sub_mounts_of_the_workspace_are_seen() {
    if missing(Feature::HostRoot) {
        return;
    }
    let b = TestBox::new().dir("home/ws/mounted");
    let at = b.ws().join("mounted");
    nix::mount::mount(
        Some("tmpfs"),
        &at,
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        Some("mode=777"),
    )
    .unwrap();
    fs::write(at.join("f"), "below a mount").unwrap();
    let answer = b.probe("read mounted/f").value();
    nix::mount::umount(&at).unwrap();
    assert_eq!(answer["text"], "below a mount", "{answer}");
}
