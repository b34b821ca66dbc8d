//! Odd hosts and odd callers: the box holds, or it is refused with a reason. Never does a command run unconfined.

#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, Ran, TestBox, missing, run};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The same command, called by `sh -c SCRIPT` with the command as "$@".
fn through_shell(b: &TestBox, script: &str, inner: &Command) -> Ran {
    run(b.through(script, inner))
}

/// `user.max_user_namespaces=0`, in a user namespace of the test's own so that the machine is not disturbed.
const NO_NAMESPACES: &str = "exec unshare --user --map-root-user --mount sh -c 'for k in user mnt pid net ipc uts cgroup; do echo 0 > /proc/sys/user/max_${k}_namespaces || exit 77; done; exec \"$@\"' sh \"$@\"";

#[test]
fn without_user_namespaces() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new();
    let ran = through_shell(
        &b,
        NO_NAMESPACES,
        &b.command(["/bin/sh", "-c", "echo RAN; touch {ws}/made"]),
    );
    assert_eq!(ran.code(), 125, "{ran:?}");
    assert!(!ran.text().contains("RAN"), "{ran:?}");
    assert!(
        ran.complaint().contains("namespace"),
        "layer and reason: {ran:?}"
    );
    let ran = through_shell(&b, NO_NAMESPACES, &b.agentbox(["check"]));
    assert_eq!(ran.code(), 1, "check must say no: {ran:?}");
    assert!(ran.text().contains("namespace"), "{ran:?}");
    assert_eq!(run(b.agentbox(["check"])).code(), 0, "the twin");
}

/// A filter around agentbox that does not know pidfd_send_signal(2): the box was said to be killed and lived on, and `check` waited
/// for ever.
#[test]
fn a_place_without_pidfd_send_signal_kills_all_the_same() {
    let place = format!(
        "exec {{probe}} enter without {} -- \"$@\"",
        libc::SYS_pidfd_send_signal
    );
    let name = common::world::token();
    let b = TestBox::new();
    let inner = b.command([
        b.probe_program().to_str().unwrap(),
        "orphans",
        "3",
        "600",
        &name,
    ]);
    let live = common::Live::start(b.through(&place, &inner));
    common::live::find(&name);
    fs::write(b.ws().join(".agentbox-stop"), "").unwrap();
    let ran = live.end();
    common::switched::killed(&ran, &["the stop file"]);
    common::live::gone(&name);
    let ran = through_shell(&b, &place, &b.agentbox(["check"]));
    assert_eq!(ran.code(), 0, "{ran:?}");
}

/// `check` makes its box without the help that `run` has, and said yes where a filter keeps what joins one.
#[test]
fn a_place_where_nothing_joins_a_box_is_none_for_check_either() {
    for (call, number) in [
        ("setns", libc::SYS_setns),
        ("pidfd_open", libc::SYS_pidfd_open),
    ] {
        let place = format!("exec {{probe}} enter without {number} -- \"$@\"");
        let b = TestBox::new();
        let ran = through_shell(&b, &place, &b.command(["/bin/echo", "RAN"]));
        ran.refused(&[call]);
        let check = through_shell(&b, &place, &b.agentbox(["check"]));
        assert_eq!(check.code(), 1, "{call}: {check:?}");
        assert!(check.text().contains(&format!("{call}: ")), "{check:?}");
    }
    // The twin: a call that nobody needs.
    let place = format!("exec {{probe}} enter without {} -- \"$@\"", libc::SYS_acct);
    let b = TestBox::new();
    let check = through_shell(&b, &place, &b.agentbox(["check"]));
    assert_eq!(check.code(), 0, "{check:?}");
}

/// Where /proc hides from the caller what he may not trace, nobody outside sees init of a box: it hands out what the kernel says of it.
/// There was no start. Root sees all.
#[test]
fn a_proc_that_hides_processes_is_enough() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new();
    let place = "exec {probe} enter hidden-proc -- \"$@\"";
    let ran = through_shell(&b, place, &b.command(["/bin/echo", "RAN"]));
    assert_eq!(ran.ok(), "RAN");
    let check = through_shell(&b, place, &b.agentbox(["check"]));
    assert_eq!(check.code(), 0, "{check:?}");
    let fix = through_shell(&b, place, &b.agentbox(["check", "--fix"]));
    assert!(!fix.text().contains("hidepid"), "{fix:?}");
    // A session is seen, joined, stopped, ended.
    let detached = TestBox::new().option("--detach");
    let life = "exec {probe} enter hidden-proc -- sh -c 'set -e; id=$(\"$@\"); a=$1; $a exec $id -- echo JOINED; $a pause $id; $a ps; $a resume $id; \
                $a kill $id; $a ps -q' sh \"$@\"";
    let ran = through_shell(&detached, life, &detached.command(["/bin/sleep", "600"]));
    let text = ran.ok();
    assert!(
        text.starts_with("JOINED\n") && text.contains("paused"),
        "{ran:?}"
    );
    let name = common::world::token();
    let live = common::Live::start(b.through(
        place,
        &b.command([
            b.probe_program().to_str().unwrap(),
            "orphans",
            "3",
            "600",
            &name,
        ]),
    ));
    common::live::find(&name);
    fs::write(b.ws().join(".agentbox-stop"), "").unwrap();
    common::switched::killed(&live.end(), &["the stop file"]);
    common::live::gone(&name);
}

/// A chroot without /proc, /dev or anything else. (A chroot is also where user namespaces are refused: EPERM.)
#[test]
fn in_an_empty_chroot() {
    if missing(Feature::HostRoot) {
        return;
    }
    let b = TestBox::new().dir("jail/home/ws").dir("jail/tmp");
    let jail = b.root().join("jail");
    fs::copy(common::world::agentbox(), jail.join("agentbox")).unwrap();
    fs::copy(b.probe_program(), jail.join("probe")).unwrap();
    for (args, code) in [
        (&["check"][..], 1),
        (
            &[
                "run", "--net", "none", "-C", "/home/ws", "--", "/probe", "true",
            ],
            125,
        ),
    ] {
        let mut command = Command::new("/agentbox");
        command
            .args(args)
            .env_clear()
            .env("HOME", "/home")
            .env("PATH", "/bin");
        let (at, ids) = (
            std::ffi::CString::new(jail.to_str().unwrap()).unwrap(),
            b.ids(),
        );
        // SAFETY: plain system calls on a C string that lives as long as the closure.
        unsafe {
            command.pre_exec(move || {
                if libc::chroot(at.as_ptr()) != 0 || libc::chdir(c"/home/ws".as_ptr()) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                if ids.0 != 0 && (libc::setgid(ids.1) != 0 || libc::setuid(ids.0) != 0) {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let ran = run(command);
        assert_eq!(ran.code(), code, "{args:?}: {ran:?}");
        assert!(!ran.text().contains("\"ok\""), "{args:?}: {ran:?}");
        assert!(!ran.complaint().contains("panicked"), "{args:?}: {ran:?}");
    }
}

/// Trap 15: inside another sandbox it must not run the command unconfined.
#[test]
fn inside_itself() {
    let b = TestBox::new();
    let program = common::world::agentbox();
    let b = b.option("--read").option(program.to_str().unwrap());
    let ran = b.run([
        program.as_os_str(),
        "run".as_ref(),
        "--net".as_ref(),
        "none".as_ref(),
        "--".as_ref(),
        "echo".as_ref(),
        "RAN".as_ref(),
    ]);
    assert_eq!(ran.code(), 125, "{ran:?}");
    assert!(!ran.text().contains("RAN"), "{ran:?}");
    assert!(ran.complaint().contains("agentbox: "), "{ran:?}");
}

#[test]
fn homes_that_are_refused_or_found() {
    let b = TestBox::new();
    for home in ["relative/dir", "/no/such/home", "/", "/etc/passwd"] {
        let ran = TestBox::new().env("HOME", home).run(["/bin/echo", "RAN"]);
        assert_eq!(ran.code(), 125, "HOME={home}: {ran:?}");
        assert!(ran.complaint().contains("HOME"), "HOME={home}: {ran:?}");
    }
    let ran = through_shell(
        &b,
        "unset HOME; exec \"$@\"",
        &b.command(["/bin/sh", "-c", "echo $HOME"]),
    );
    assert!(
        ran.code() == 125 || ran.text().starts_with('/'),
        "passwd's home or a refusal: {ran:?}"
    );
}

#[test]
fn a_working_directory_that_is_gone() {
    let b = TestBox::new().dir("home/gone");
    let ran = through_shell(
        &b,
        "cd {home}/gone && rmdir {home}/gone && exec \"$@\"",
        &b.command(["/bin/echo", "RAN"]),
    );
    assert_eq!(ran.code(), 125, "{ran:?}");
    assert!(!ran.text().contains("RAN"), "{ran:?}");
}

/// What a caller may have done to its signals must not break the box: a blocked SIGCHLD or SIGTERM is a hang elsewhere.
#[test]
fn inherited_signal_settings() {
    let name = common::world::token();
    for setting in ["blocked", "ignored"] {
        let b = TestBox::new();
        // Not a shell: dash waits for ever for a SIGCHLD that is blocked, outside as well.
        let mut command = b.command(["/bin/echo", "fine"]);
        let blocked = setting == "blocked";
        // SAFETY: plain system calls on a signal set of the child's own.
        unsafe {
            command.pre_exec(move || {
                if blocked {
                    let mut set = std::mem::zeroed();
                    libc::sigfillset(&raw mut set);
                    libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
                } else {
                    for signal in [
                        libc::SIGCHLD,
                        libc::SIGPIPE,
                        libc::SIGINT,
                        libc::SIGQUIT,
                        libc::SIGHUP,
                        libc::SIGUSR1,
                    ] {
                        libc::signal(signal, libc::SIG_IGN);
                    }
                }
                Ok(())
            });
        }
        let ran = run(command);
        assert!(ran.text().contains("fine"), "{setting}: {ran:?}");
    }
    // The kill path works whatever was blocked.
    let b = TestBox::new().option("--limit").option("time=1s");
    let mut command = b.command(b.probe_words(&format!("ignore 15 600 {name}")));
    // SAFETY: as above.
    unsafe {
        command.pre_exec(|| {
            let mut set = std::mem::zeroed();
            libc::sigfillset(&raw mut set);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            Ok(())
        });
    }
    assert_eq!(run(command).code(), 124);
    common::live::gone(&name);
}

/// A caller that is itself short of something: an error or a box, never half a box and never a hang.
#[test]
fn a_caller_short_of_everything() {
    for (limit, value) in [
        ("n", 8),
        ("n", 16),
        ("n", 32),
        ("f", 0),
        ("v", 40_000),
        ("s", 64),
        ("u", 1),
        ("c", 0),
    ] {
        let b = TestBox::new();
        let ran = through_shell(
            &b,
            &format!("ulimit -{limit} {value}; exec \"$@\""),
            &b.command([
                "/bin/sh",
                "-c",
                "cat /etc/shadow {t}/bin/../secret 2>/dev/null; echo RAN",
            ]),
        );
        let code = common::shell_status(ran.status);
        assert!(
            code == 0 || code == 125 || (code > 125 && !ran.text().contains("RAN")),
            "ulimit -{limit} {value}: {ran:?}"
        );
        assert!(
            !ran.text().contains("root:"),
            "ulimit -{limit} {value}: {ran:?}"
        );
    }
}

/// `check` says what a run meets: it said yes where the record had no place or a stop file was on, no where a umask or a /tmp without
/// room stands in no run's way, and it was killed by a limit of a file's size.
#[test]
fn check_answers_as_a_run_does() {
    let state = "{home}/.local/state/agentbox/sessions";
    let shut = format!("mkdir -p -m 700 {state}; chmod 500 {state}");
    for (place, starts, why) in [
        ("true", true, ""),
        ("umask 777", true, ""),
        ("export TMPDIR=/no/such/directory", true, ""),
        ("ulimit -f 0", false, "EFBIG"),
        // Of a directory of its own a run puts the mode back.
        (&shut, true, ""),
        (
            "mkdir -p {home}/.config/agentbox; : >{home}/.config/agentbox/stop",
            false,
            "not started: the stop file",
        ),
    ] {
        let b = TestBox::new();
        let script = format!("umask 077; {place}; exec \"$@\"");
        let check = through_shell(&b, &script, &b.agentbox(["check"]));
        let left = fs::read_dir(b.fill(state)).map_or(0, |dir| {
            dir.flatten()
                .filter(|entry| entry.path().join("events.jsonl").exists())
                .count()
        });
        assert_eq!(left, 0, "{place}: {check:?}");
        let ran = through_shell(&b, &script, &b.command(["/bin/echo", "RAN"]));
        assert_eq!(ran.code(), if starts { 0 } else { 125 }, "{place}: {ran:?}");
        assert_eq!(check.code(), i32::from(!starts), "{place}: {check:?}");
        assert!(check.text().contains(why), "{place}: {check:?}");
    }
}

/// The record has no place to be: said, and never silently.
#[test]
fn a_home_that_cannot_be_written() {
    if missing(Feature::User) {
        return;
    }
    let b = TestBox::new();
    let ran = through_shell(
        &b,
        "chmod 0500 {home}; \"$@\"; code=$?; chmod 0700 {home}; exit $code",
        &b.command(["/bin/echo", "RAN"]),
    );
    assert!(
        ran.code() == 125
            || ran.complaint().contains("record")
            || ran.complaint().contains("session"),
        "{ran:?}"
    );
    assert!(ran.complaint().contains("agentbox: "), "{ran:?}");
}

/// It was taken for a container that forbids namespaces, and "make it by hand" is no way out of a HOME that is read only (a pod).
#[test]
fn a_home_that_cannot_be_written_is_left_out_by_variables() {
    if missing(Feature::User) || common::world::as_root() {
        return;
    }
    let b = TestBox::new().dir("away");
    b.chown(&b.root().join("away"));
    let shut = |variables: &str| {
        let script = format!(
            "chmod 0500 {{home}}; {variables} \"$@\"; code=$?; chmod 0700 {{home}}; exit $code"
        );
        let script = b.fill(&script);
        through_shell(&b, &script, &b.command(["/bin/echo", "RAN"]))
    };
    let ran = shut("XDG_STATE_HOME={t}/away");
    ran.refused(&["private", "set XDG_DATA_HOME to a directory"]);
    assert!(!ran.complaint().contains("container"), "{ran:?}");
    let ran = shut("XDG_STATE_HOME={t}/away XDG_DATA_HOME={t}/away");
    assert_eq!(ran.ok(), "RAN");
}

/// `HOME () is not an absolute path` was all that the commands about sessions said where a container's user has no entry in
/// /etc/passwd, and not what helps.
#[test]
fn commands_about_sessions_say_that_home_is_missing() {
    let b = TestBox::new();
    let ask = |home: &str, word: &str| {
        let mut command = b.agentbox([word]);
        command.env("HOME", home).env_remove("XDG_STATE_HOME");
        run(command)
    };
    for word in ["ps", "status", "logs", "restore"] {
        let ran = ask("not/absolute", word);
        assert_eq!(ran.code(), 1, "{ran:?}");
        for says in ["HOME (not/absolute)", "set HOME to your home directory"] {
            assert!(ran.complaint().contains(says), "{word}: {ran:?}");
        }
    }
    assert_eq!(ask(&b.home().display().to_string(), "ps").code(), 0);
}

/// Somebody else's directory, prepared for us: a symlink in the place of agentbox's own directories.
#[test]
fn symlinks_in_the_place_of_our_directories() {
    for place in [
        "home/.local/state/agentbox",
        "home/.config/agentbox",
        "home/.local/share/agentbox",
        "home/.cache/agentbox",
    ] {
        let b = TestBox::new().dir("victim").file("victim/keep", "x");
        let path = b.root().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for dir in path.ancestors().skip(1).take_while(|d| *d != b.root()) {
            b.chown(dir);
        }
        std::os::unix::fs::symlink(b.root().join("victim"), &path).unwrap();
        let ran = b.sh("ls {t}/victim; echo RAN");
        assert!(ran.code() == 0 || ran.code() == 125, "{place}: {ran:?}");
        assert!(!ran.text().contains("keep"), "{place}: {ran:?}");
        assert_eq!(
            fs::read_to_string(b.root().join("victim/keep")).unwrap(),
            "x"
        );
    }
}

#[test]
fn a_caller_without_a_passwd_entry() {
    if missing(Feature::Root) {
        return;
    }
    let b = TestBox::new();
    for path in [b.root().to_owned(), b.home(), b.ws()] {
        common::world::give(&path, 54321, 54321);
    }
    let mut command = b.command(["/bin/sh", "-c", "id -u; echo ~; touch made"]);
    command.uid(54321).gid(54321);
    let ran = run(command);
    assert_eq!(
        ran.ok(),
        format!("54321\n{}", b.home().display()),
        "{ran:?}"
    );
    assert!(b.ws().join("made").exists());
}
