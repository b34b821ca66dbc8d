//! Attacks by way of the descriptors 0 to 2 that the caller gave: the box has pipes of its own in their place, so that it can
//! neither write what the caller's shell reads next nor reach the files behind them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Live, Ran, TestBox, run, run_with, until};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::{Duration, Instant};

/// A shell of the caller's, outside, in the workspace.
fn outside(b: &TestBox, script: &str, input: Option<&str>) -> Ran {
    let agentbox = common::world::agentbox();
    let script = b.fill(script).replace(
        "{run}",
        &format!("{} run -q --net none --", agentbox.display()),
    );
    let mut shell = Command::new("bash");
    shell.args(["--norc", "-c", &script]);
    b.around(&mut shell, &b.agentbox(["ps"]));
    run_with(shell, input.map(|text| text.as_bytes().to_vec()))
}

/// Opens its stdin for writing, by the other end of the pipe or the file itself, and adds a line; the rest is left alone.
const INJECT: &str = "python3 -c 'import os\n\
    fd = os.open(\"/proc/self/fd/0\", os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND)\n\
    try: os.write(fd, b\"touch escaped\\n\")\n\
    except OSError as e: print(e.errno)'";

#[test]
fn the_callers_shell_executes_nothing_of_the_boxs() {
    let b = TestBox::new();
    fs::write(b.ws().join("inject.sh"), INJECT).unwrap();
    let line = b.fill("{run} sh inject.sh\necho next\necho last\n");
    let agentbox = format!(
        "{} run -q --net none --",
        common::world::agentbox().display()
    );
    let script = line.replace("{run}", &agentbox);
    // From a pipe, from a file, and from a document in the script.
    let ran = outside(&b, "bash", Some(&script));
    assert_eq!(ran.ok().lines().last(), Some("last"), "{ran:?}");
    fs::write(b.ws().join("script.sh"), &script).unwrap();
    let before = fs::read(b.ws().join("script.sh")).unwrap();
    let ran = outside(&b, "bash < script.sh", None);
    assert_eq!(ran.ok().lines().last(), Some("last"), "{ran:?}");
    assert_eq!(fs::read(b.ws().join("script.sh")).unwrap(), before);
    let ran = outside(&b, "bash <<'EOF'\n{run} sh inject.sh\necho last\nEOF", None);
    assert_eq!(ran.ok().lines().last(), Some("last"), "{ran:?}");
    let ran = outside(
        &b,
        "printf 'a\\nb\\n' | while read x; do echo \"outer $x\"; {run} sh inject.sh; done",
        None,
    );
    assert!(!ran.ok().contains("outer touch"), "{ran:?}");
    assert!(!b.ws().join("escaped").exists());
    // A command that joins is no other.
    let live = b.start_probe("sleep 600");
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    let script = format!(
        "{} exec {id} -- sh inject.sh\necho last\n",
        common::world::agentbox().display()
    );
    let ran = outside(&b, "bash", Some(&script));
    assert_eq!(ran.ok().lines().last(), Some("last"), "{ran:?}");
    assert!(!b.ws().join("escaped").exists());
    drop(live);
}

/// As with the command alone: what it does not read is for whoever reads there next.
#[test]
fn what_the_box_does_not_read_stays_the_callers() {
    let b = TestBox::new();
    let live = b.start_probe("sleep 600");
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    let exec = format!("{} exec {id} --", common::world::agentbox().display());
    fs::write(b.ws().join("lines"), "a\nb\nc\n").unwrap();
    let long: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    fs::write(b.ws().join("long"), &long).unwrap();
    for by in ["{run}", &exec] {
        let read = format!("{{ {by} sh -c 'read x; echo box $x'; cat; }}");
        for script in [
            format!("printf 'a\\nb\\nc\\n' | {read}"),
            format!("{read} <lines"),
        ] {
            let ran = outside(&b, &script, None);
            assert_eq!(ran.ok(), "box a\nb\nc", "{script}");
        }
        let each = format!("printf 'a\\nb\\n' | while read x; do echo $x; {by} true; done");
        assert_eq!(outside(&b, &each, None).ok(), "a\nb");
        // In the middle of much, and all of it.
        let middle =
            format!("{{ {by} sh -c 'for i in 1 2 3 4 5; do read x; done; echo $x'; cat; }} <long");
        let ran = outside(&b, &middle, None);
        let rest = long.strip_prefix("0\n1\n2\n3\n").unwrap();
        assert_eq!(ran.ok(), rest.trim_end(), "{middle}");
        for script in [
            format!("{by} cat <long"),
            format!("cat long | {by} cat | cat"),
        ] {
            assert_eq!(outside(&b, &script, None).ok(), long.trim_end(), "{script}");
        }
    }
    drop(live);
}

#[test]
fn a_file_as_a_descriptor_gives_no_right_to_it() {
    let b = TestBox::new()
        .file("{ws}/.mcp.json", "{}")
        .file("{ws}/kept", "kept");
    let outer = b.root().join("outside.txt");
    fs::write(&outer, "OUT").unwrap();
    fs::set_permissions(&outer, fs::Permissions::from_mode(0o600)).unwrap();
    b.chown(&outer);
    let before = fs::metadata(&outer).unwrap();
    let with = |path: &std::path::Path, option: &[&str], script: &str| {
        let mut words = vec!["run", "-q", "--net", "none"];
        words.extend(option);
        words.extend(["--", "sh", "-c", script]);
        let mut command = b.agentbox(words);
        command.stdin(File::open(path).unwrap());
        run(command)
    };
    for (name, option) in [(".mcp.json", &[][..]), ("kept", &["--protect", "kept"])] {
        let path = b.ws().join(name);
        let was = fs::read(&path).unwrap();
        with(
            &path,
            option,
            "(echo evil >/proc/self/fd/0) 2>/dev/null; true",
        )
        .ok();
        assert_eq!(fs::read(&path).unwrap(), was, "{name}");
    }
    let script = "python3 -c 'import os\ntry: os.fchmod(0, 0o2777)\nexcept OSError: pass\ntry: os.utime(0, (1, 1))\nexcept OSError: pass'; cat";
    assert_eq!(
        with(&outer, &[], script).ok(),
        "OUT",
        "it is read all the same"
    );
    let after = fs::metadata(&outer).unwrap();
    assert_eq!(
        (after.mode(), after.mtime()),
        (before.mode(), before.mtime())
    );
    // What was written there before stays, and what the command says is added.
    let log = b.root().join("audit.log");
    fs::write(&log, "line 1\n").unwrap();
    b.chown(&log);
    let script = "echo said; python3 -c 'import os, fcntl\nfor f in (lambda: fcntl.fcntl(1, fcntl.F_SETFL, 0), lambda: os.pwrite(1, b\"FORGED\", 0), lambda: os.ftruncate(1, 0)):\n  try: f()\n  except OSError: pass'";
    fs::write(b.ws().join("log.sh"), script).unwrap();
    outside(&b, "{run} sh log.sh >>{t}/audit.log", None).ok();
    assert_eq!(fs::read_to_string(&log).unwrap(), "line 1\nsaid\n");
}

#[test]
fn what_others_write_beside_it_is_not_the_boxs_to_read() {
    let b = TestBox::new();
    let script = "{ echo TOKEN; {run} python3 -c 'import os, sys\n\
        fd = os.open(\"/proc/self/fd/1\", os.O_RDONLY | os.O_NONBLOCK)\n\
        try: print(\"got\", os.read(fd, 99), file=sys.stderr)\n\
        except OSError as e: print(\"nothing\", file=sys.stderr)'; } | (sleep 1; cat)";
    let ran = outside(&b, script, None);
    assert_eq!(ran.ok(), "TOKEN");
    assert!(!ran.complaint().contains("TOKEN"), "{ran:?}");
}

/// Order, ends and names as with the caller's own.
#[test]
fn pipes_and_files_behave_as_the_callers_own() {
    let b = TestBox::new();
    let both = "{run} sh -c 'for i in 1 2 3; do echo o$i; echo e$i >&2; done'";
    for script in [
        format!("{both} 2>&1 | cat"),
        format!("{both} >log 2>&1; cat log"),
    ] {
        assert_eq!(outside(&b, &script, None).ok(), "o1\ne1\no2\ne2\no3\ne3");
    }
    let script =
        "{run} sh -c 'echo x >/dev/stdout; echo y >>/dev/stderr; cat /dev/stdin' <<EOF\nz\nEOF";
    let ran = outside(&b, script, None);
    assert_eq!((ran.ok().as_str(), ran.complaint().trim()), ("x\nz", "y"));
    let ran = outside(&b, "{run} yes | head -n 1; echo ${PIPESTATUS[0]}", None);
    assert_eq!(ran.ok(), "y\n141");
    // Whoever reads slowly loses nothing, whatever waits when the command ends.
    let live = b.start_probe("sleep 600");
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    let exec = format!("{} exec {id} --", common::world::agentbox().display());
    for by in ["{run}", &exec] {
        let script = format!("{by} head -c 150000 /dev/zero | (sleep 3; wc -c)");
        assert_eq!(outside(&b, &script, None).ok(), "150000", "{by}");
    }
    drop(live);
    // Whoever writes sees that nobody reads any more.
    let ran = outside(&b, "(yes; echo $? >&2) | {run} head -n 1", None);
    assert_eq!(ran.ok(), "y");
    let ran = outside(
        &b,
        "sleep 0.3 | {run} sh -c 'echo up; cat; echo down'",
        None,
    );
    assert_eq!(ran.ok(), "up\ndown");
}

/// Each of the two was waited for, one after the other: `agentbox kill` took 20 seconds.
#[test]
fn two_readers_that_do_not_read_are_waited_for_once() {
    let b = TestBox::new();
    let script = "echo up >ready; while :; do echo out; echo err >&2; done";
    // The shell holds both ends of the pipes, and reads neither.
    let inner = b.command(["/bin/sh", "-c", script]);
    let unread = "mkfifo o e; exec 7<>o 8<>e; \"$@\" >&7 2>&8";
    let live = Live::start(b.through(unread, &inner));
    until("it writes", || b.ws().join("ready").exists());
    let begun = Instant::now();
    assert_eq!(run(b.agentbox(["kill", "--all"])).code(), 0);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(common::shell_status(live.end().status), 137);
}
