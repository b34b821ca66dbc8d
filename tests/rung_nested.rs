//! The rung `nested`: a sandbox can be made within the box, and what a box still guarantees holds against who is root of such a
//! one. What it does not (names in what the box writes) is shown, too: it must not be called a boundary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::{Feature, missing};
use common::{TestBox, run, until};
use serde_json::Value;
use std::time::Duration;

fn nested() -> TestBox {
    TestBox::new().option("--nested").option("allow")
}

/// What bubblewrap is called with by agents: everything unshared, the root read-only, the workspace writable.
const BWRAP: &str = "bwrap --unshare-all --die-with-parent --new-session --ro-bind / / --bind {ws} {ws} --proc /proc --dev /dev";

#[test]
fn bubblewrap_works_and_only_where_it_was_allowed() {
    if missing(Feature::Userns) || missing(Feature::Tool("bwrap")) {
        return;
    }
    let script =
        format!("{BWRAP} sh -c 'echo inner >made; ls /proc; id -u; touch /usr/x' && echo RAN");
    let b = nested();
    let ran = b.sh(&script);
    assert!(ran.text().contains("1\n"), "{ran:?}");
    assert!(ran.complaint().contains("Read-only file system"), "{ran:?}");
    assert_eq!(
        std::fs::read_to_string(b.ws().join("made")).unwrap(),
        "inner\n"
    );
    for word in ["rung nested by --nested", "check --rungs", "uncover"] {
        assert!(ran.complaint().contains(word), "{word}: {ran:?}");
    }
    // One within the other, as an agent's sandbox around a tool that has one of its own.
    let twice = b.sh(&format!("{BWRAP} {BWRAP} sh -c 'echo twice'"));
    assert_eq!(twice.ok(), "twice");
    // The twin: without the word the same call is refused by the kernel.
    let ran = TestBox::new().sh(&format!("{BWRAP} true; echo status $?"));
    assert!(!ran.text().contains("status 0"), "{ran:?}");
}

/// Everything that the root of an inner sandbox can do to mounts, one after the other in one mount namespace.
#[test]
fn mounts_of_the_box_cannot_be_taken_away_within() {
    if missing(Feature::Userns) {
        return;
    }
    let b = nested()
        .file("home/ws/.env", "TOPSECRET\n")
        .file("home/ws/plain/file", "PLAIN\n")
        .file("home/ws/empty/file", "E\n")
        .file("home/shown/.env", "SHOWNSECRET\n")
        .file("home/shown/file", "S\n")
        .option("--read")
        .option("{home}/shown")
        .option("--hide")
        .option("~/shown/.env");
    let (ok, no) = (&["ok"][..], |errno| match errno {
        1 => &["EPERM"][..],
        13 => &["EACCES"][..],
        16 => &["EBUSY"][..],
        22 => &["EINVAL"][..],
        30 => &["EROFS"][..],
        _ => &["EPERM", "EACCES", "EINVAL", "EROFS", "ENOENT"][..],
    });
    // MS_RDONLY 1, MS_REMOUNT 32, MS_BIND 4096, MS_MOVE 8192, MS_REC 16384, MS_UNBINDABLE 1<<17, MS_PRIVATE 1<<18.
    let table: &[(&str, &[&str])] = &[
        ("read {ws}/.env", ok),
        ("syscall umount2 s:{ws}/.env 0", no(22)),
        ("syscall umount2 s:{ws}/.env 2", no(22)),
        (
            "syscall mount s:{ws}/.env s:{ws}/plain/file 0 8192 0",
            no(22),
        ),
        ("syscall mount s:none s:{ws}/.env 0 4128 0", no(1)),
        ("write {ws}/.env x", no(30)),
        ("unlink {ws}/.env", no(16)),
        ("rename {ws}/.env {ws}/env", no(16)),
        // Binds: without what is mounted below none, with it the cover comes along and stays locked.
        ("mkdir /tmp/a", ok),
        ("mkdir /tmp/b", ok),
        ("syscall mount s:{ws} s:/tmp/a 0 4096 0", no(22)),
        ("syscall mount s:{ws}/plain s:/tmp/b 0 4096 0", ok),
        ("read /tmp/b/file", ok),
        ("syscall umount2 s:/tmp/b 0", ok),
        ("syscall mount s:{ws} s:/tmp/a 0 20480 0", ok),
        ("read /tmp/a/.env", ok),
        ("syscall umount2 s:/tmp/a/.env 2", no(22)),
        ("syscall mount s:none s:/tmp/a/.env 0 131072 0", ok),
        ("syscall mount s:/tmp/a s:/tmp/b 0 20480 0", no(1)),
        // An overlay takes what is below it without the mounts on it.
        ("mkdir /tmp/u", ok),
        ("mkdir /tmp/w", ok),
        (
            "syscall mount s:o s:/tmp/b s:overlay 0 s:lowerdir={ws},upperdir=/tmp/u,workdir=/tmp/w",
            no(22),
        ),
        (
            "syscall mount s:o s:/tmp/b s:overlay 0 s:lowerdir={ws}/plain,upperdir=/tmp/u,workdir=/tmp/w",
            ok,
        ),
        ("read /tmp/b/file", ok),
        // What is only read stays so, and what is hidden in it is hidden.
        ("syscall mount s:none s:{home}/shown 0 4128 0", no(1)),
        ("write {home}/shown/file x", no(30)),
        ("rename {home}/shown/.env {home}/shown/env", no(0)),
        ("syscall umount2 s:{home}/shown/.env 2", no(22)),
        ("read {home}/shown/.env", ok),
        ("syscall mount s:none s:/usr 0 4128 0", no(1)),
        ("create /usr/made", no(0)),
        ("syscall mount s:none s:/ 0 4128 0", no(1)),
        ("create /made", no(0)),
        ("create /dev/made", no(0)),
        ("syscall umount2 s:/ 2", no(22)),
        ("syscall umount2 s:/dev 2", no(22)),
        ("create /run/agentbox/made", no(0)),
        ("write /run/agentbox/policy.md x", no(0)),
        // A procfs that shows more than the box's own, and what the machine is set by.
        ("syscall umount2 s:/proc/sys 2", no(22)),
        ("syscall umount2 s:/proc 2", no(22)),
        ("syscall mount s:none s:/proc/sys 0 4128 0", no(1)),
        ("write /proc/sys/kernel/core_pattern x", no(0)),
        ("mkdir /tmp/p", ok),
        ("syscall mount s:proc s:/tmp/p s:proc 0 0", no(1)),
        ("syscall mount s:sysfs s:/tmp/p s:sysfs 0 0", no(1)),
        ("syscall mount s:cgroup s:/tmp/p s:cgroup2 0 0", no(1)),
        ("syscall mount s:/dev/vda s:/tmp/p s:ext4 0 0", no(0)),
        ("syscall mount s:t s:/tmp/p s:tmpfs 0 0", ok),
        ("listdir /run/agentbox/whole", ok),
        ("listdir /run/agentbox/whole/proc", no(0)),
        ("syscall umount2 s:/run/agentbox/whole 2", no(22)),
        // Init of the box is another's, however many capabilities one has.
        ("read /proc/1/environ", no(0)),
        ("mem-read 1", no(0)),
        ("readlink /proc/1/root", no(0)),
        ("setns /proc/1/ns/mnt", no(0)),
        ("ptrace-seize 1", no(1)),
        // Never free, not even within.
        ("syscall setns 0 0", no(1)),
        ("syscall fsopen s:proc 0", no(1)),
        ("syscall open_tree -100 s:{ws}/.env 1", no(1)),
        ("syscall move_mount -100 s:{ws}/.env -100 s:/tmp/a 0", no(1)),
        ("syscall mount_setattr -100 s:/ 0 z:32 32", no(1)),
        ("syscall open_by_handle_at -100 z:64 0", no(1)),
        ("mknod /tmp/disk b 254 0", no(1)),
        ("chmod 0o4755 {ws}/plain/file", no(1)),
        ("syscall bpf 0 z:64 64", no(1)),
        ("syscall keyctl 0 -3 0 0 0", no(1)),
        ("syscall clone3 0 0", &["ENOSYS"]),
        ("syscall mount s:none s:/tmp/a/.env 0 262144 0", ok),
        // From under the old root, when that is gone.
        ("mkdir /tmp/r", ok),
        ("syscall mount s:/ s:/tmp/r 0 20480 0", ok),
        ("syscall pivot_root s:/tmp/r s:/tmp/r/tmp", ok),
        ("syscall umount2 s:/tmp 2", ok),
        ("read {ws}/.env", ok),
        ("syscall umount2 s:{ws}/.env 2", no(22)),
        ("write /usr/bin/env x", no(0)),
    ];
    let mut words = b.probe_words("enter inner -- {probe} batch");
    words.extend(table.iter().map(|(op, _)| b.fill(op).into()));
    let ran = b.run(words);
    let answers: Vec<Value> = ran
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(answers.len(), table.len(), "{ran:?}");
    for ((op, wanted), answer) in table.iter().zip(&answers) {
        let name = answer["name"].as_str().unwrap_or("ok");
        assert!(wanted.contains(&name), "{op}: {answer}, not {wanted:?}");
    }
    assert!(!ran.text().contains("SECRET"), "{ran:?}");
    assert!(ran.text().contains("PLAIN"), "{ran:?}");
    assert_eq!(
        std::fs::read_to_string(b.ws().join(".env")).unwrap(),
        "TOPSECRET\n"
    );
    assert_eq!(
        std::fs::read_to_string(b.home().join("shown/file")).unwrap(),
        "S\n"
    );
}

/// Who leaves the namespace that a cover is in works on the names below it: in what is only read that changes nothing, and in
/// what is written it uncovers them. So these are guard-rails, and the table says so.
#[test]
fn names_in_what_is_written_are_a_guard_rail_and_elsewhere_a_boundary() {
    if missing(Feature::Userns) {
        return;
    }
    let b = nested()
        .file("home/ws/.env", "TOPSECRET\n")
        .file("home/ws/.mcp.json", "{}\n")
        .file("home/ws/empty/file", "E\n")
        .file("home/shown/.env", "SHOWNSECRET\n")
        .file("home/shown/empty/file", "E\n")
        .option("--read")
        .option("{home}/shown")
        .option("--hide")
        .option("~/shown/.env");
    let steal = "'rename .env empty/x' 'read /e/x' 'unlink .mcp.json' 'create .mcp.json'";
    let enter = |dir: &str| {
        b.fill(&format!(
            "cd {dir} && exec {{probe}} enter foreign -- /probe/probe batch {steal}"
        ))
    };
    let names = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .map(|answer| answer["name"].as_str().unwrap_or("ok").to_owned())
            .collect()
    };
    let ran = b.sh(&format!("({})", enter("{home}/shown")));
    assert_eq!(
        names(&ran.text()),
        ["EROFS", "ENOENT", "EROFS", "EROFS"],
        "{ran:?}"
    );
    assert!(!ran.text().contains("SECRET"), "{ran:?}");
    let shown = b.home().join("shown/.env");
    assert_eq!(std::fs::read_to_string(shown).unwrap(), "SHOWNSECRET\n");

    let ran = b.sh(&enter("{ws}"));
    assert_eq!(names(&ran.text()), ["ok", "ok", "ok", "ok"], "{ran:?}");
    assert!(ran.text().contains("TOPSECRET"), "{ran:?}");
    // And put back at the end.
    assert_eq!(
        std::fs::read_to_string(b.ws().join(".mcp.json")).unwrap(),
        "{}\n"
    );
    assert!(ran.complaint().contains("agentbox restore"), "{ran:?}");
    let table = run(b.agentbox(["check", "--rungs"])).ok();
    for row in ["hidden names", "protected names"] {
        let at = table.find(&format!("\n{row}\n")).unwrap();
        let line = table[at..]
            .lines()
            .find(|line| line.starts_with("  nested"))
            .unwrap();
        assert!(line.contains("guard-rail"), "{line}");
    }
}

/// What an inner sandbox makes to mount on is there until it takes it away, and what is in such a name is moved away as ever.
#[test]
fn empty_protected_names_are_left_until_something_is_in_them() {
    if missing(Feature::Userns) {
        return;
    }
    let filled = "echo {} >.mcp.json; until [ ! -e .mcp.json ]; do sleep 0.01; done; echo moved";
    let empty = "mkdir .codex; : >.mcp.json; sleep 0.7; rmdir .codex && rm .mcp.json && echo removed; \
                 mkdir .codex; : >.mcp.json; sleep 0.7; ";
    let b = nested();
    let ran = b.sh(&format!("{empty}{filled}"));
    assert_eq!(ran.ok().trim(), "removed\nmoved", "{ran:?}");
    let complaint = ran.complaint();
    assert_eq!(
        complaint.matches(".mcp.json was made").count(),
        1,
        "{ran:?}"
    );
    // What is left of them at the end is settled like everything under such a name.
    assert_eq!(complaint.matches(".codex was made").count(), 1, "{ran:?}");
    assert!(!b.ws().join(".codex").exists(), "{ran:?}");
    // The twin: nothing is left where no sandbox can be made.
    let ran = TestBox::new()
        .sh(": >.mcp.json; until [ ! -e .mcp.json ]; do sleep 0.01; done; echo moved");
    assert_eq!(ran.ok().trim(), "moved", "{ran:?}");
}

#[test]
fn who_may_say_it() {
    if missing(Feature::Userns) {
        return;
    }
    let bare =
        |b: &TestBox| run(b.agentbox(["run", "--net", "none", "--", "unshare", "-U", "true"]));
    // A project's file can forbid it and never allow it.
    let b = TestBox::new().file("home/ws/.agentbox.toml", "[layers]\nnested = \"allow\"\n");
    let ran = bare(&b);
    assert_ne!(ran.code(), 0, "{ran:?}");
    assert!(
        ran.complaint().contains("layers.nested (line 2)"),
        "{ran:?}"
    );
    let user = "[layers]\nnested = \"allow\"\n";
    let b = TestBox::new().file("home/.config/agentbox/config.toml", user);
    assert_eq!(bare(&b).code(), 0);
    for project in ["nested = \"refuse\"", "rung = \"full\""] {
        let text = format!("[layers]\n{project}\n");
        let b = TestBox::new()
            .file("home/.config/agentbox/config.toml", user)
            .file("home/ws/.agentbox.toml", text);
        assert_ne!(bare(&b).code(), 0, "{project}");
    }
    // A rung that is said is the lowest; a layer that is required is not given up.
    for (option, value) in [
        ("--rung", "full"),
        ("--require", "landlock"),
        ("--require", "view"),
    ] {
        let b = nested().option(option).option(value);
        b.run(["true"]).refused(&["nested"]);
    }
    for rung in ["nested", "landlock"] {
        let b = nested().option("--rung").option(rung);
        let ran = b.run(["unshare", "-U", "true"]);
        assert_eq!(ran.code(), 0, "{rung}: {ran:?}");
    }
    // To accept the rung is not to ask for it.
    let b = TestBox::new().option("--rung").option("nested");
    assert_ne!(b.run(["unshare", "-U", "true"]).code(), 0);
}

/// Where a container gives no fresh procfs, or no namespaces, nothing weaker takes its place.
#[test]
fn where_it_cannot_be_had_it_is_refused() {
    if missing(Feature::Userns) {
        return;
    }
    for place in ["masked-proc", "docker"] {
        let b = nested().option("--rung").option("landlock");
        let inner = b.command(["true"]);
        let script = format!("exec {{probe}} enter {place} -- \"$@\"");
        run(b.through(&script, &inner))
            .refused(&["no sandbox can be made within", "--nested refuse"]);
    }
}

/// No rule of Landlock judges who opens a descriptor again, so that files stay outside.
#[test]
fn files_of_the_caller_do_not_enter() {
    if missing(Feature::Userns) {
        return;
    }
    let b = nested().file("in", "INPUT\n").file("log", "");
    let script = "cat; echo out; echo err >&2; echo x >/proc/self/fd/0; echo x >/proc/self/fd/1; \
                  : >/dev/stdout; readlink /proc/self/fd/0 /proc/self/fd/1";
    let inner = b.command(["sh", "-c", script]);
    let ran = run(b.through("\"$@\" <{t}/in >{t}/log 2>&1", &inner));
    assert_eq!(ran.code(), 0, "{ran:?}");
    let log = std::fs::read_to_string(b.root().join("log")).unwrap();
    assert!(log.contains("INPUT\nout\nerr\n"), "{log}");
    assert_eq!(log.matches("pipe:[").count(), 2, "{log}");
    assert_eq!(
        std::fs::read_to_string(b.root().join("in")).unwrap(),
        "INPUT\n"
    );
    // A command that joins has none either.
    let _live = b.start_probe("on-signal 15 3");
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    let exec = |end: &str| {
        let command = b.agentbox(["exec", &id, "--", "echo", "JOINED"]);
        run(b.through(&format!("\"$@\" {end}"), &command))
    };
    assert_eq!(exec(">{t}/log").ok(), "");
    assert_eq!(
        std::fs::read_to_string(b.root().join("log")).unwrap(),
        "JOINED\n"
    );
    assert_eq!(exec("| cat").ok(), "JOINED");
    let inside = b.agentbox(["exec", &id, "--", "unshare", "-U", "echo", "FURTHER"]);
    assert_eq!(run(inside).ok(), "FURTHER");
}

/// Processes of inner pid namespaces are the box's: they count, stand still with it and die with it.
#[test]
fn inner_namespaces_count_stand_still_and_end() {
    if missing(Feature::Userns) || missing(Feature::Tool("bwrap")) || missing(Feature::User) {
        return;
    }
    let b = nested().option("--limit").option("processes=40");
    let bomb = "i=0; while [ $i -lt 80 ]; do sleep 30 & i=$((i+1)); done; echo ALL";
    let ran = b.sh(&format!("{BWRAP} sh -c '{bomb}' 2>&1"));
    assert!(!ran.text().contains("ALL"), "{ran:?}");
    assert!(ran.text().contains("fork"), "{ran:?}");

    let beat = format!("{BWRAP} sh -c 'while :; do echo >>beat; sleep 0.02; done'");
    let live = b.start(["sh", "-c", &b.fill(&beat)]);
    let beats = || std::fs::metadata(b.ws().join("beat")).map_or(0, |meta| meta.len());
    let moves = || {
        let before = beats();
        std::thread::sleep(Duration::from_millis(300));
        beats() != before
    };
    until("a beat", || beats() > 3);
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    for (word, is_moving) in [("pause", false), ("resume", true), ("kill", false)] {
        run(b.agentbox([word, &id])).ok();
        assert_eq!(moves(), is_moving, "{word}");
    }
    drop(live);
}

#[test]
fn check_tries_it() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new();
    let ran = run(b.agentbox(["check"]));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(
        ran.text().contains("yes  a run with --nested allow"),
        "{ran:?}"
    );
    let text = run(nested().agentbox(["explain", "--nested", "allow", "--", "true"])).ok();
    assert!(text.contains("rung nested"), "{text}");
}
