//! What is mounted, where a workspace may be, and how a command is found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::as_root;
use common::{Errno, Layer, TestBox};
use std::fs;

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
        // A trigger of everybody's, which the kernel looks after for as long as it is open.
        "pressure/cpu",
        "pressure/memory",
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
