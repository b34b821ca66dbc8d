//! Other processes: pid 1 of the box, the host's, and those of another box.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{find, init_of, parent, with_token};
use common::world::token;
use common::{Errno, Layer, TestBox, has_bytes};
use nix::sys::signal::Signal;
use std::fs;

const SECRET: &str = "hunter2-only-for-the-caller";

/// A box whose caller holds a secret, in the environment and on the command line.
fn with_secret() -> TestBox {
    TestBox::new()
        .env("PROD_PASSWORD", SECRET)
        .option("--env")
        .option(&format!("GIVEN_TOKEN={SECRET}-given"))
}

/// Trap 4: the environment of the caller stays in a forked pid 1, in its memory and in its argv. Once as it is and once
/// with Landlock off, which hides part of it.
#[test]
fn pid_1_tells_nothing() {
    for off in [
        &[][..],
        &[Layer::Landlock],
        &[Layer::Landlock, Layer::Seccomp],
    ] {
        let b = with_secret().off(off);
        b.probe("read /proc/self/environ").allowed();
        b.probe("mem-read self").allowed();
        for name in [
            "environ", "maps", "smaps", "auxv", "pagemap", "stack", "syscall", "io",
        ] {
            let answer = b.probe(&format!("read /proc/1/{name}")).value();
            assert!(
                answer["ok"] != true || answer["size"] == 0,
                "{off:?}: {name}: {answer}"
            );
        }
        for link in [
            "exe", "root", "cwd", "fd/0", "fd/3", "ns/user", "ns/mnt", "ns/net",
        ] {
            let answer = b.probe(&format!("readlink /proc/1/{link}")).value();
            assert!(
                ["EACCES", "ENOENT"].contains(&answer["name"].as_str().unwrap_or("ok")),
                "{off:?}: {link}: {answer}"
            );
        }
        b.probe("listdir /proc/1/fd").refused(Errno::EACCES);
        b.probe("mem-read 1").refused(Errno::EACCES);
        b.probe("mem-write 1").refused(Errno::EACCES);
        // Readable in every variant: it has to be empty of everything.
        for name in [
            "cmdline",
            "comm",
            "status",
            "stat",
            "cgroup",
            "mountinfo",
            "limits",
        ] {
            let answer = b.probe(&format!("read /proc/1/{name}")).value();
            assert!(
                !answer.to_string().contains(SECRET),
                "{off:?}: {name}: {answer}"
            );
        }
        let cmdline = b.probe("read /proc/1/cmdline").value();
        let text = cmdline["text"].as_str().unwrap_or_default();
        assert!(
            !text.contains("run") && !text.contains("--env"),
            "{off:?}: {cmdline}"
        );
    }
}

#[test]
fn pid_1_cannot_be_touched() {
    let b = TestBox::new();
    b.probe("ptrace-child").allowed();
    b.probe("ptrace-attach 1").refused(Errno::EPERM);
    b.probe("ptrace-seize 1").refused(Errno::EPERM);
    b.probe("vm-read 1")
        .denied_deep(Errno::EPERM, Layer::Seccomp);
    b.probe("getfd 1 0")
        .denied_deep(Errno::EPERM, Layer::Seccomp);
    for line in ["ptrace-attach 1", "vm-read 1", "getfd 1 0", "mem-read 1"] {
        let answer = TestBox::new()
            .off(&[Layer::Landlock, Layer::Seccomp])
            .probe(line)
            .value();
        assert!(
            answer["ok"] != true,
            "without the filters, {line}: {answer}"
        );
    }
}

/// Pid 1 cannot be stopped or killed from inside, and nothing changes for the box.
#[test]
fn signals_to_pid_1_do_nothing() {
    let b = TestBox::new();
    let answers = b.batch(&[
        "kill 1 9",
        "kill 1 19",
        "kill 1 15",
        "kill 1 1",
        "kill 1 11",
        "kill 1 6",
        "true",
    ]);
    assert_eq!(answers.last().unwrap()["ok"], true, "{answers:?}");
    assert_eq!(
        b.sh("kill -9 1; kill -STOP 1; echo still here")
            .ok()
            .lines()
            .last(),
        Some("still here")
    );
}

/// kill(-1) reaches everything a process may signal: never something outside.
#[test]
fn kill_of_everything_stays_inside() {
    let name = token();
    let mut outside = std::process::Command::new("sleep");
    let mut outside = common::spawn(outside.arg("600").arg("0").env("NAME", &name));
    let b = TestBox::new();
    let ran = b.sh("kill -9 -1; echo unreachable");
    assert!(ran.code() == 137 || ran.code() == 0, "{ran:?}");
    assert!(
        outside.try_wait().unwrap().is_none(),
        "a process outside was killed"
    );
    outside.kill().unwrap();
    outside.wait().unwrap();
}

#[test]
fn host_processes_are_invisible() {
    let b = TestBox::new();
    let me = std::process::id();
    let seen = b.probe("processes").allowed();
    let pids = seen["pids"].as_array().unwrap();
    assert!(pids.len() <= 3, "init and the probe: {seen}");
    assert!(pids.iter().any(|p| p["pid"] == 1), "{seen}");
    assert!(!seen.to_string().contains("cargo"), "{seen}");
    b.probe(&format!("kill {me} 0")).refused(Errno::ESRCH);
    b.probe(&format!("ptrace-attach {me}"))
        .refused(Errno::ESRCH);
    b.probe(&format!("read /proc/{me}/environ"))
        .denied_deep(Errno::ENOENT, Layer::View);
    let own = b.probe("ids").allowed();
    assert_ne!(own["pid"], me, "{own}");
    assert_eq!(own["ppid"], 1, "the command is init's own child: {own}");
}

#[test]
fn two_boxes_do_not_see_each_other() {
    let name = token();
    let first = TestBox::new().file("home/ws/mine", "first");
    let live = first.start_probe(&format!("sleep 600 {name}"));
    let pid = find(&name);
    let second = TestBox::new();
    let seen = second.probe("processes").allowed();
    assert!(!seen.to_string().contains(&name), "{seen}");
    second.probe(&format!("kill {pid} 9")).refused(Errno::ESRCH);
    let first_file = format!("read {}", first.ws().join("mine").display());
    second
        .probe(&first_file)
        .denied_deep(Errno::ENOENT, Layer::View);
    assert_eq!(with_token(&name).len(), 1);
    drop(live);
}

/// CVE-2019-5736: our own binary, rewritten through /proc/*/exe of a process that runs it, is executed by the next start.
#[test]
fn the_launcher_cannot_be_rewritten() {
    let program = common::world::agentbox();
    let before = fs::read(program).unwrap();
    let b = TestBox::new();
    b.probe("read /proc/self/exe").allowed();
    for line in [
        "open /proc/1/exe rdonly",
        "open /proc/1/exe wronly,trunc",
        "reopen /proc/1/exe rdwr",
        "exec /proc/1/exe",
    ] {
        let answer = b.probe(line).value();
        assert!(answer["ok"] != true, "{line}: {answer}");
    }
    let answer = b
        .probe(&format!("open {} wronly", program.display()))
        .value();
    assert!(answer["ok"] != true, "{answer}");
    assert!(
        fs::read(program).unwrap() == before,
        "the binary has changed"
    );
}

/// What the supervisor and the client hold must not be readable by another process of the same user.
#[test]
fn stages_carry_no_secret_on_their_command_line() {
    let name = token();
    let b = with_secret();
    let live = b.start_probe(&format!("sleep 600 {name}"));
    let init = init_of(find(&name));
    let supervisor = parent(init).unwrap();
    for (stage, pid) in [
        ("client", live.pid()),
        ("supervisor", supervisor),
        ("init", init),
    ] {
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let text = String::from_utf8_lossy(&cmdline);
        assert!(text.starts_with(&format!("agentbox: {stage}")), "{text}");
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains('/'), "a path in the argv of {stage}: {text}");
        if let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) {
            assert!(!has_bytes(&environ, SECRET.as_bytes()), "{stage}");
        }
    }
    live.signal(Signal::SIGKILL);
}

/// A process may not make itself more precious than the rest of the machine.
#[test]
fn priorities_do_not_rise() {
    let b = TestBox::new();
    b.probe("syscall setpriority 0 0 10").allowed();
    b.probe("syscall setpriority 0 0 -10")
        .refused(Errno::EACCES);
    b.probe("write /proc/self/oom_score_adj 1000").allowed();
    b.probe("write /proc/self/oom_score_adj -1000")
        .refused(Errno::EACCES);
    b.probe("syscall sched_setscheduler 0 1 h:01000000")
        .refused(Errno::EPERM);
}
