//! Stop files: whatever has the name, whoever made it, the box is dead; while it is there, none starts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{gone, with_token};
use common::run;
use common::world::token;
use common::{Feature, Live, Ran, TestBox, missing, until};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

/// Stopped by that file, and said so.
#[track_caller]
fn stopped(ran: &Ran, file: &Path) {
    assert_eq!(common::shell_status(ran.status), 137, "{ran:?}");
    let complaint = ran.complaint();
    let lines: Vec<&str> = complaint
        .lines()
        .filter(|line| line.starts_with("agentbox: killed: "))
        .collect();
    let [line] = lines.as_slice() else {
        panic!("one line says why: {ran:?}");
    };
    let name = format!("the stop file {}", file.display());
    assert!(line.contains(&name), "{name:?}: {ran:?}");
}

/// A box with three children that ignore every signal.
fn start(b: &TestBox, name: &str) -> Live {
    b.start_probe(&format!("orphans 3 600 {name}"))
}

/// The record of the only session.
fn record(b: &TestBox) -> serde_json::Value {
    let sessions = b.home().join(".local/state/agentbox/sessions");
    let mut dirs = fs::read_dir(sessions)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().join("session.json").exists());
    let dir = dirs.next().unwrap().path();
    assert!(dirs.next().is_none(), "one session only");
    serde_json::from_slice(&fs::read(dir.join("session.json")).unwrap()).unwrap()
}

type Make = fn(&Path, &Path);

/// Every way in which a name can come to be.
const WAYS: [(&str, Make); 7] = [
    ("file", |path, _| {
        fs::write(path, "too expensive\n").unwrap()
    }),
    ("directory", |path, _| fs::create_dir(path).unwrap()),
    ("dangling link", |path, _| {
        symlink("/nowhere", path).unwrap()
    }),
    ("fifo", |path, _| {
        nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap();
    }),
    ("socket", |path, _| drop(UnixListener::bind(path).unwrap())),
    ("hard link", |path, other| {
        fs::write(other, "").unwrap();
        fs::hard_link(other, path).unwrap();
    }),
    ("moved in", |path, other| {
        fs::write(other, "").unwrap();
        fs::rename(other, path).unwrap();
    }),
];

#[test]
fn any_entry_of_the_name_kills_the_box_and_keeps_the_next_from_starting() {
    for (number, (way, make)) in WAYS.iter().enumerate() {
        let name = token();
        let b = TestBox::new();
        let file = b.ws().join([".claude-stop", ".agentbox-stop"][number % 2]);
        let live = start(&b, &name);
        make(&file, &b.home().join("other"));
        let ran = live.end();
        stopped(&ran, &file);
        gone(&name);
        let record = record(&b);
        let outcome = &record["outcome"];
        assert_eq!(outcome["trigger"], "switch", "{way}: {outcome}");
        assert_eq!(
            outcome["exit-status"]
                .as_u64()
                .or(outcome["exit_status"].as_u64()),
            Some(137)
        );
        if *way == "file" {
            assert_eq!(outcome["reason"], "too expensive", "{way}: {outcome}");
            assert!(
                ran.complaint()
                    .contains(": \"too expensive\"; to start again: remove ")
            );
        }
        // The same words, and nothing has run.
        let refused = b.sh("echo ran");
        let words = format!("not started: the stop file {} (", file.display());
        refused.refused(&[&words, "to start again: remove"]);
        // The twin: without the file it starts.
        let _ = fs::remove_file(&file).or_else(|_| fs::remove_dir(&file));
        assert_eq!(b.sh("echo ran").ok(), "ran", "{way}");
    }
}

#[test]
fn other_names_stop_nothing() {
    let b = TestBox::new().dir("{ws}/sub");
    let mut live = b.start([
        "/bin/sh",
        "-c",
        "echo up; while ! test -e go; do sleep 0.01; done; exit 6",
    ]);
    live.wait_line("up");
    for name in [
        ".claude-stop~",
        "claude-stop",
        "sub/.claude-stop",
        "sub/.agentbox-stop",
        "stop",
    ] {
        fs::write(b.ws().join(name), "").unwrap();
    }
    fs::write(b.ws().join("go"), "").unwrap();
    assert_eq!(live.end().code(), 6);
}

#[test]
fn a_file_that_is_gone_within_a_microsecond_has_stopped_the_box() {
    let name = token();
    let b = TestBox::new();
    let file = b.ws().join(".claude-stop");
    let live = start(&b, &name);
    fs::write(&file, "").unwrap();
    fs::remove_file(&file).unwrap();
    let ran = live.end();
    stopped(&ran, &file);
    gone(&name);
    assert_eq!(b.sh("echo ran").ok(), "ran");
}

/// An agent may pull the switch, and not put it back: whatever it does next.
#[test]
fn the_agent_can_stop_itself_and_not_take_it_back() {
    for script in [
        ": > .claude-stop; rm -f .claude-stop; sleep 600",
        "mkdir .agentbox-stop; rmdir .agentbox-stop; sleep 600",
        "ln -s x .claude-stop; rm .claude-stop; sleep 600",
        "echo > f; ln f .claude-stop; rm .claude-stop; sleep 600",
        "echo > f; mv f .claude-stop; mv .claude-stop f; sleep 600",
        "trap '' TERM INT HUP; (setsid sh -c ': > .claude-stop; rm .claude-stop' &); sleep 600",
    ] {
        let b = TestBox::new();
        let ran = b.sh(script);
        assert_eq!(common::shell_status(ran.status), 137, "{script}: {ran:?}");
        assert!(
            ran.complaint().contains("the stop file"),
            "{script}: {ran:?}"
        );
    }
}

/// Trap 13, and the ways to be busy elsewhere: floods of events, stopped, traced and deaf processes, a stopped client.
#[test]
fn nothing_that_an_agent_does_outruns_it() {
    for (what, script) in [
        (
            "unlinks it as soon as it comes",
            "for i in 1 2; do (while :; do rm -f .claude-stop; done) & done; echo up; wait",
        ),
        (
            "a flood of events in the very directory",
            "for i in 1 2 3 4; do (while :; do : > f$i; rm f$i; done) & done; echo up; wait",
        ),
        (
            "everything is stopped",
            "for i in 1 2 3; do sh -c 'kill -STOP $$; sleep 600' & done; echo up; sleep 600",
        ),
        (
            "deaf",
            "trap '' TERM INT HUP QUIT USR1 USR2 PIPE; for i in 1 2 3; do sleep 600 & done; echo up; wait",
        ),
        (
            "a chmod of the directory",
            "(while :; do chmod 700 .; chmod 755 .; done) & echo up; wait",
        ),
    ] {
        let b = TestBox::new();
        let file = b.ws().join(".claude-stop");
        let mut live = b.start(["/bin/sh", "-c", script]);
        live.wait_line("up");
        kill(live.pid(), Signal::SIGSTOP).unwrap();
        fs::write(&file, "").unwrap();
        let _ = fs::remove_file(&file);
        // The client is stopped; the box is dead all the same, which the record says when the supervisor is done.
        until(&format!("{what}: it ended"), || {
            record(&b)["outcome"]["trigger"] == "switch"
        });
        kill(live.pid(), Signal::SIGCONT).unwrap();
        let ran = live.end();
        assert_eq!(common::shell_status(ran.status), 137, "{what}: {ran:?}");
    }
}

/// Names of the profile count beside agentbox's own.
#[test]
fn names_of_the_profile() {
    let name = token();
    let b = TestBox::new().profile("extends = [\"shell\"]\n[kill-switch]\nfiles = [\"HALT\"]\n");
    let live = start(&b, &name);
    fs::write(b.ws().join("HALT"), "").unwrap();
    stopped(&live.end(), &b.ws().join("HALT"));
    gone(&name);
}

/// `agentbox run` in another working copy of the same world.
fn in_dir(b: &TestBox, dir: &Path, argv: &[&str]) -> Command {
    let mut args = vec!["run".into(), "--net".into(), "none".into(), "-C".into()];
    args.push(dir.as_os_str().to_owned());
    args.push("--read".into());
    args.push(b.root().join("bin").into_os_string());
    args.push("--".into());
    args.extend(argv.iter().map(Into::into));
    b.agentbox(args)
}

fn start_in(b: &TestBox, dir: &Path, name: &str) -> Live {
    let probe = b.probe_program();
    let words = [probe.to_str().unwrap(), "orphans", "3", "600", name];
    let mut live = Live::start(in_dir(b, dir, &words));
    live.wait_line("ready");
    live
}

/// Directories that are not there yet, and those that are; and sessions of another HOME are not meant.
#[test]
fn the_users_switch_stops_every_session_of_the_user() {
    for made in ["", ".config", ".config/agentbox"] {
        let names = [token(), token()];
        let b = TestBox::new().dir("{home}/other");
        let b = if made.is_empty() {
            b
        } else {
            b.dir(&format!("{{home}}/{made}"))
        };
        let first = start(&b, &names[0]);
        let second = start_in(&b, &b.home().join("other"), &names[1]);
        let stranger = TestBox::new();
        let mut lives_on = stranger.start([
            "/bin/sh",
            "-c",
            "echo up; while ! test -e go; do sleep 0.01; done; exit 6",
        ]);
        lives_on.wait_line("up");
        let file = b.home().join(".config/agentbox/stop");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        stopped(&first.end(), &file);
        stopped(&second.end(), &file);
        names.iter().for_each(|name| gone(name));
        b.sh("echo ran")
            .refused(&["the stop file", "agentbox start"]);
        fs::write(stranger.ws().join("go"), "").unwrap();
        assert_eq!(lives_on.end().code(), 6, "{made}");
    }
}

fn git(b: &TestBox, dir: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.args([
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "-c",
        "init.defaultBranch=main",
    ]);
    command.args(args);
    b.around(&mut command, &b.agentbox(["check"]));
    command.current_dir(dir);
    common::run(command).ok();
}

/// The root of the repository counts for its subdirectories and its work trees; a work tree's own only for itself.
#[test]
fn the_repository_of_a_subdirectory_and_of_a_work_tree() {
    if missing(Feature::Tool("git")) {
        return;
    }
    let b = TestBox::new().dir("{ws}/sub");
    git(&b, &b.ws(), &["init", "-q"]);
    git(&b, &b.ws(), &["commit", "-q", "--allow-empty", "-m", "x"]);
    git(&b, &b.ws(), &["worktree", "add", "-q", "../tree"]);
    let root = b.ws().join(".claude-stop");
    for dir in [b.ws().join("sub"), b.home().join("tree")] {
        let name = token();
        let live = start_in(&b, &dir, &name);
        fs::write(&root, "").unwrap();
        stopped(&live.end(), &root);
        gone(&name);
        common::run(in_dir(&b, &dir, &["true"])).refused(&["the stop file"]);
        fs::remove_file(&root).unwrap();
    }
    // The other way round: the work tree's own does not stop who works in the main one.
    let name = token();
    let wait = "echo up; while ! test -e go; do sleep 0.01; done; exit 6";
    let mut main = b.start(["/bin/sh", "-c", wait]);
    main.wait_line("up");
    let live = start_in(&b, &b.home().join("tree"), &name);
    fs::write(b.home().join("tree/.claude-stop"), "").unwrap();
    stopped(&live.end(), &b.home().join("tree/.claude-stop"));
    gone(&name);
    fs::write(b.ws().join("go"), "").unwrap();
    assert_eq!(main.end().code(), 6);
}

/// Both of two sessions in one working copy.
#[test]
fn two_sessions_in_one_workspace() {
    let names = [token(), token()];
    let b = TestBox::new();
    let lives = [start(&b, &names[0]), start(&b, &names[1])];
    let file = b.ws().join(".agentbox-stop");
    fs::write(&file, "").unwrap();
    for live in lives {
        stopped(&live.end(), &file);
    }
    names.iter().for_each(|name| gone(name));
}

/// The working copy, or a directory above it, is renamed and replaced outside: its old and its new identity count.
#[test]
fn a_workspace_that_is_replaced_is_stopped_under_both_identities() {
    for place in ["a/w", "a"] {
        for at in ["old", "new"] {
            let name = token();
            let b = TestBox::new().dir("{home}/a/w");
            let work = b.home().join("a/w");
            let live = start_in(&b, &work, &name);
            fs::rename(b.home().join(place), b.home().join("moved")).unwrap();
            fs::create_dir_all(&work).unwrap();
            let file = match (at, place) {
                ("new", _) => work.clone(),
                (_, "a") => b.home().join("moved/w"),
                _ => b.home().join("moved"),
            }
            .join(".claude-stop");
            assert!(!with_token(&name).is_empty(), "it runs on");
            fs::write(&file, "").unwrap();
            if at == "old" {
                fs::remove_file(&file).unwrap();
            }
            stopped(&live.end(), &work.join(".claude-stop"));
            gone(&name);
        }
    }
}

/// From inside, the working copy cannot be moved away from under the watch.
#[test]
fn the_agent_cannot_move_its_workspace() {
    let b = TestBox::new();
    let ran = b.sh("mv {ws} {home}/elsewhere 2>&1 && echo MOVED; mv {ws} {ws}2 2>&1 && echo MOVED; rmdir {ws}; touch twin && echo wrote");
    let text = ran.ok();
    assert!(!text.contains("MOVED") && text.contains("wrote"), "{text}");
}

/// `agentbox` in a mount namespace of its own, with /run and /etc that are not the machine's: the switches of all must not stop
/// the rest of the machine.
fn apart(b: &TestBox, script: &str, inner: &Command) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc"]);
    let mounts = "mkdir -p /run/agentbox /etc/agentbox; \
        mount -t tmpfs -o mode=755 none /run/agentbox; mount -t tmpfs -o mode=755 none /etc/agentbox; ";
    command.arg(format!("{mounts}{}", b.fill(script))).arg("sh");
    let (uid, gid) = b.ids();
    if uid != 0 {
        let (uid, gid) = (uid.to_string(), gid.to_string());
        command.args([
            "setpriv",
            "--reuid",
            &uid,
            "--regid",
            &gid,
            "--clear-groups",
        ]);
    }
    command.arg(inner.get_program()).args(inner.get_args());
    let env = inner.get_envs().filter_map(|(n, v)| Some((n, v?)));
    command.env_clear().envs(env).current_dir(b.ws());
    command
}

#[test]
fn the_machines_switches() {
    if missing(Feature::HostRoot) {
        return;
    }
    for file in ["/run/agentbox/stop", "/etc/agentbox/stop"] {
        let b = TestBox::new();
        let name = token();
        let wait = b.probe_words(&format!("orphans 3 600 {name}"));
        // In that namespace: start, wait until it runs, stop it, and try again.
        let script = format!(
            "\"$@\" > {{t}}/out 2> {{t}}/err & while ! grep -q ready {{t}}/out; do sleep 0.01; done; \
             echo upgrade > {file}; wait $! || echo status $?; cat {{t}}/err; \
             \"$@\" > {{t}}/out 2> {{t}}/err || echo again $?; cat {{t}}/err"
        );
        let ran = common::run(apart(&b, &script, &b.command(wait)));
        let text = ran.ok();
        for words in [
            "status 137",
            &format!("killed: the stop file {file} (root, "),
            "\"upgrade\"; to start again: `agentbox start --global` as root",
            "again 125",
            &format!("not started: the stop file {file} (root, "),
        ] {
            assert!(text.contains(words), "{words:?}: {text}");
        }
        gone(&name);
    }
}

/// No event tells of a mount; the list of mounts does.
#[test]
fn a_file_system_that_is_mounted_over_the_workspace_is_looked_at() {
    if missing(Feature::HostRoot) {
        return;
    }
    let b = TestBox::new()
        .dir("{t}/over")
        .file("{t}/over/.claude-stop", "");
    let name = token();
    let wait = b.probe_words(&format!("orphans 3 600 {name}"));
    let script = "\"$@\" > {t}/out 2> {t}/err & while ! grep -q ready {t}/out; do sleep 0.01; done; \
         mount -t tmpfs none /run/agentbox; kill -0 $!; mount --bind {t}/over {ws}; \
         wait $! || echo status $?; cat {t}/err";
    let text = common::run(apart(&b, script, &b.command(wait))).ok();
    assert!(text.contains("status 137"), "{text}");
    assert!(text.contains("the stop file"), "{text}");
    gone(&name);
}

/// Where the user's inotify instances are used up fanotify tells the same, to the microsecond.
#[test]
fn without_inotify_it_watches_by_fanotify() {
    if missing(Feature::HostRoot) || missing(Feature::User) {
        return;
    }
    let name = token();
    let b = TestBox::new();
    let script = "exec unshare --user --map-root-user sh -euc \
         'echo 0 > /proc/sys/user/max_inotify_instances; exec unshare --user --map-user={uid} --map-group={uid} \"$@\"' sh \"$@\"";
    let file = b.ws().join(".claude-stop");
    let agent = format!("orphans 3 600 {name}");
    let mut live = Live::start(b.through(script, &b.command(b.probe_words(&agent))));
    live.wait_line("ready");
    fs::write(&file, "").unwrap();
    fs::remove_file(&file).unwrap();
    let ran = live.end();
    stopped(&ran, &file);
    assert!(!ran.complaint().contains("looked for"), "{ran:?}");
    gone(&name);
    // A working copy that is replaced counts under both identities here, too.
    let mut live = Live::start(b.through(script, &b.command(b.probe_words(&agent))));
    live.wait_line("ready");
    let moved = b.ws().with_file_name("moved");
    fs::rename(b.ws(), &moved).unwrap();
    fs::create_dir(b.ws()).unwrap();
    b.chown(&b.ws());
    fs::write(moved.join(".claude-stop"), "").unwrap();
    let ran = live.end();
    assert_eq!(ran.code(), 137, "{ran:?}");
    gone(&name);
}

/// Where fanotify's groups are used up, too, it looks instead, and says so.
#[test]
fn without_inotify_and_fanotify_it_polls_and_says_so() {
    if missing(Feature::HostRoot) || missing(Feature::User) {
        return;
    }
    let name = token();
    let b = TestBox::new();
    let inner = b.command(b.probe_words(&format!("orphans 3 600 {name}")));
    // A user namespace with none, and one in it with the user's own id.
    let script = "exec unshare --user --map-root-user sh -euc \
         'echo 0 > /proc/sys/user/max_inotify_instances; echo 0 > /proc/sys/user/max_fanotify_groups; exec unshare --user --map-user={uid} --map-group={uid} \"$@\"' sh \"$@\"";
    let command = b.through(script, &inner);
    let mut live = Live::start(command);
    live.wait_line("ready");
    let file = b.ws().join(".claude-stop");
    fs::write(&file, "").unwrap();
    let ran = live.end();
    stopped(&ran, &file);
    assert!(
        ran.complaint()
            .contains("looked for five times a second, not watched (no inotify instance"),
        "{ran:?}"
    );
    gone(&name);
}

/// On a file system that somebody else may change (FUSE here, as sshfs is one) no event comes: it looks five times a second, says
/// so at the start and in `status`, and stops all the same.
#[test]
fn on_fuse_it_polls_and_says_so() {
    if missing(Feature::HostRoot) || missing(Feature::Tool("bindfs")) {
        return;
    }
    let name = token();
    let b = TestBox::new().dir("behind").dir("home/far");
    let (behind, far) = (b.root().join("behind"), b.home().join("far"));
    let mounted = std::process::Command::new("bindfs")
        .args(["-o", "allow_other"])
        .args([&behind, &far])
        .status()
        .unwrap();
    assert!(mounted.success(), "bindfs: {mounted}");
    /// Unmounts it, whatever becomes of the test.
    struct Mounted(std::path::PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
        }
    }
    let _mounted = Mounted(far.clone());
    let mut b = b.cwd(&far);
    if common::world::as_root() {
        // It cannot be id-mapped, and root is told so.
        b = b.option("--allow-missing").option("identity");
    }
    let mut live = Live::start(b.command(b.probe_words(&format!("orphans 3 600 {name}"))));
    live.wait_line("ready");
    let mut status = b.agentbox(["status"]);
    status.current_dir(&far);
    let status = run(status);
    assert!(status.ok().contains("FUSE"), "{status:?}");
    // Not through the mount: from the other side, as another machine would.
    let made = std::time::Instant::now();
    fs::write(behind.join(".claude-stop"), "from afar").unwrap();
    let ran = live.end();
    let took = made.elapsed();
    stopped(&ran, &far.join(".claude-stop"));
    assert!(ran.complaint().contains("from afar"), "{ran:?}");
    let words = "looked for five times a second, not watched";
    assert!(ran.complaint().contains(words), "{ran:?}");
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
    gone(&name);
    // And the next one does not start.
    b.sh("echo ran").refused(&["not started: the stop file"]);
}

/// A stop file needs a directory in which a name can be made: an agent closed its working copy, and neither `touch` nor
/// `agentbox stop` could stop it there.
#[test]
fn a_working_copy_that_the_agent_closes_is_opened_for_the_stop_file() {
    use std::os::unix::fs::PermissionsExt as _;
    for mode in ["000", "555", "677"] {
        let b = TestBox::new();
        let mut live = b.start([
            "/bin/sh",
            "-c",
            &format!("chmod {mode} .; echo closed; sleep 60"),
        ]);
        live.wait_line("closed");
        let open = || fs::metadata(b.ws()).unwrap().permissions().mode() & 0o700 == 0o700;
        until("it is open again", open);
        let file = b.ws().join(".claude-stop");
        fs::write(&file, "").unwrap();
        let ran = live.end();
        stopped(&ran, &file);
        assert!(ran.complaint().contains("is open again"), "{ran:?}");
        fs::remove_file(&file).unwrap();
        // Whoever fights for it loses.
        let fights = format!("while :; do chmod {mode} . 2>/dev/null; done");
        let ran = b.sh(&fights);
        assert_eq!(ran.code(), 137, "{ran:?}");
        assert!(ran.complaint().contains("again and again"), "{ran:?}");
        assert!(open());
        // As the last thing that it does, and with nobody there to open it.
        b.sh(&format!("chmod {mode} .")).ok();
        assert!(open());
        let closed = fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap());
        fs::set_permissions(b.ws(), closed).unwrap();
        let mut stop = b.agentbox(["stop", "-C", b.ws().to_str().unwrap()]);
        stop.current_dir("/");
        let ran = run(stop);
        assert_eq!(ran.code(), 0, "{ran:?}");
        assert!(b.ws().join(".agentbox-stop").exists());
    }
    // The twins: bits of others, what is below it, and one that was closed before.
    let b = TestBox::new();
    let ran = b.sh("chmod 700 . && mkdir d && chmod 555 d && chmod 755 . && stat -c %a . d");
    assert_eq!(ran.ok(), "755\n555");
    fs::set_permissions(b.ws(), fs::Permissions::from_mode(0o555)).unwrap();
    assert_eq!(b.sh("sleep 0.2; stat -c %a .").ok(), "555");
}
