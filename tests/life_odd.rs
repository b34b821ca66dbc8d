//! What seldom happens in the life of a session: a queue of events that overflows while nobody reads it, a quota of keys that is
//! used up, numbers of processes that belong to others by now.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{all_gone, find, gone, init_of, parent, state};
use common::world::{as_root, token};
use common::{Feature, Live, TestBox, missing, run, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn sessions(b: &TestBox) -> PathBuf {
    b.home().join(".local/state/agentbox/sessions")
}

fn id(b: &TestBox) -> String {
    run(b.agentbox(["ps", "-q"])).ok().trim().to_owned()
}

/// A supervisor that cannot read (stopped from outside) and an agent that floods it meanwhile and pulls the switch and puts it
/// back: what was lost may have been the stop file, and so the box is killed.
#[test]
fn events_that_are_lost_while_the_supervisor_is_stopped_kill_the_box() {
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let most: u32 = most.trim().parse().unwrap();
    if most > 100_000 {
        return;
    }
    let flood = format!(
        "i=0; while [ $i -le {most} ]; do : > flood.$i; i=$((i+1)); done; : > .claude-stop; rm .claude-stop; : > flooded; sleep 600"
    );
    for (script, killed) in [(flood.as_str(), true), (": > flooded; sleep 600", false)] {
        let b = TestBox::new();
        let name = token();
        let script = b.fill(&format!(
            "{{probe}} sleep 600 {name} & echo up; while ! test -e go; do sleep 0.02; done; {script}"
        ));
        let mut live = b.start(["/bin/sh", "-c", &script]);
        live.wait_line("up");
        let supervisor = parent(init_of(find(&name))).unwrap();
        kill(supervisor, Signal::SIGSTOP).unwrap();
        until("it is stopped", || state(supervisor) == Some('T'));
        fs::write(b.ws().join("go"), "").unwrap();
        until("the flood is over", || b.ws().join("flooded").exists());
        assert!(!b.ws().join(".claude-stop").exists());
        kill(supervisor, Signal::SIGCONT).unwrap();
        if !killed {
            // The twin: a supervisor that was stopped and has lost nothing.
            assert_eq!(run(b.agentbox(["kill", &id(&b)])).code(), 0);
        }
        let ran = live.end();
        assert_eq!(common::shell_status(ran.status), 137, "{ran:?}");
        let said = ran.complaint();
        assert_eq!(
            said.contains("so much happened around it that events were lost"),
            killed,
            "{ran:?}"
        );
        gone(&name);
    }
}

/// A caller with a session keyring whose quota of keys is used up, as that of who runs two hundred boxes is. Python, for want of
/// keyctl(1); the numbers of the calls are those of the machine.
const KEYS: &str = r#"
import ctypes, errno, os, platform, sys
add_key, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(keyctl, 1, None) < 0:
    sys.exit("no session keyring")
number = 0
while libc.syscall(add_key, b"user", b"k%d" % number, b"x", ctypes.c_size_t(1), -3) >= 0:
    number += 1
    if number > 100000:
        sys.exit("no quota")
if ctypes.get_errno() != errno.EDQUOT:
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn a_quota_of_keys_that_is_used_up_is_said_and_the_filter_holds() {
    // Root's quota is a million keys.
    if missing(Feature::User) || as_root() || missing(Feature::Tool("python3")) {
        return;
    }
    let evidence = |b: &TestBox| {
        let mut all = String::new();
        for dir in fs::read_dir(sessions(b)).unwrap().flatten() {
            all += &fs::read_to_string(dir.path().join("events.jsonl")).unwrap_or_default();
        }
        all
    };
    let b = TestBox::new().file("{t}/keys.py", KEYS);
    let inner = b.command(b.probe_words("syscall keyctl 0 -3 0"));
    let ran = run(b.through("exec python3 {t}/keys.py \"$@\"", &inner));
    let answer = ran.json();
    assert_eq!(answer["name"], "EPERM", "{ran:?}");
    let said = evidence(&b);
    assert!(
        said.contains("the quota of keys is used up: keyctl, add_key and request_key are denied by seccomp alone"),
        "{said}"
    );
    // The twin: with keys left it is a keyring of the box's own.
    let c = TestBox::new();
    c.sh("true").ok();
    assert!(evidence(&c).contains("a new session keyring"));
}

/// The numbers in a record are hints: of a session whose supervisor is gone they may be anybody's by now.
#[test]
fn numbers_of_processes_that_belong_to_others_by_now_are_left_alone() {
    let b = TestBox::new();
    let name = token();
    let live = b.start_probe(&format!("orphans 2 600 {name}"));
    let session = id(&b);
    let supervisor = parent(init_of(find(&name))).unwrap();
    kill(supervisor, Signal::SIGKILL).unwrap();
    assert_eq!(common::shell_status(live.end().status), 137);
    all_gone(&[supervisor]);
    let mut stranger = Command::new("sleep")
        .arg("600")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // As if the kernel had given both numbers away again.
    let dir = sessions(&b).join(&session);
    let number = stranger.id().to_string();
    forge(&dir.join("session.json"), "\"supervisor\":", &number);
    forge(&dir.join("events.jsonl"), "\"init\":", &number);
    let text = fs::read_to_string(dir.join("session.json")).unwrap();
    let open = text.replacen("\"state\":\"lost\"", "\"state\":\"open\"", 1);
    fs::write(dir.join("session.json"), open).unwrap();
    assert_eq!(id(&b), "", "it is in no list");
    let ran = run(b.agentbox(["kill", &session]));
    assert!(ran.complaint().contains("no live session"), "{ran:?}");
    for words in [&["kill", "--all"][..], &["stop"], &["start"], &["ps"]] {
        run(b.agentbox(words));
    }
    assert!(stranger.try_wait().unwrap().is_none(), "it lives on");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    gone(&name);
}

/// Puts another number behind these words.
fn forge(file: &Path, words: &str, number: &str) {
    let text = fs::read_to_string(file).unwrap();
    let (before, after) = text.split_once(words).unwrap();
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    assert!(rest.len() < after.len(), "{text}");
    fs::write(file, format!("{before}{words}{number}{rest}")).unwrap();
}

/// As the command of a container agentbox is its PID 1, and is given what other processes there leave behind. All of it stayed as
/// zombies until the container ended, and counted against its limit of processes.
#[test]
fn what_a_container_leaves_to_agentbox_as_its_pid_1_is_reaped() {
    if missing(Feature::Userns) || missing(Feature::Tool("unshare")) {
        return;
    }
    let b = TestBox::new().file("{ws}/left", "");
    let inner = b.agentbox([
        "run",
        "--net",
        "none",
        "--",
        "/bin/sh",
        "-c",
        "echo up; trap 'exit 7' TERM; while :; do sleep 0.02; done",
    ]);
    let script = "(while test -e left; do sleep 0.02; done &); exec \"$@\"";
    let mut command = Command::new("unshare");
    if !as_root() {
        command.args(["--user", "--map-current-user"]);
    }
    command.args(["--pid", "--fork", "--mount-proc", "/bin/sh", "-c", script]);
    command
        .arg("sh")
        .arg(inner.get_program())
        .args(inner.get_args());
    b.around(&mut command, &inner);
    let mut live = common::live::Live::start(command);
    live.wait_line("up");
    let first = children(live.pid())[0];
    assert_eq!(children(first).len(), 2, "the supervisor and the orphan");
    fs::remove_file(b.ws().join("left")).unwrap();
    until("the orphan is reaped", || children(first).len() == 1);
    // The twin: what it waits for it is still told of.
    kill(first, Signal::SIGTERM).unwrap();
    let ran = live.end();
    assert_eq!(ran.code(), 7, "{ran:?}");
}

fn children(of: Pid) -> Vec<Pid> {
    let all = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
    let all = all.split_whitespace();
    all.map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

/// A command has ended by itself, and who reads its status comes late: he is waited for. Whoever wants `run` to end does not have to
/// wait for him.
#[test]
fn a_status_that_nobody_reads_lets_run_be_ended() {
    let b = TestBox::new().option("--status-fd").option("7");
    let start = || {
        let (reader, writer) = std::io::pipe().unwrap();
        nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
        let mut command = b.command(["/bin/sh", "-c", "echo done"]);
        common::inherit(&mut command, writer.as_raw_fd(), 7);
        let mut live = Live::start(command);
        drop(writer);
        live.wait_line("done");
        std::thread::sleep(Duration::from_millis(500));
        (live, reader)
    };
    let (live, reader) = start();
    live.signal(Signal::SIGTERM);
    let begun = Instant::now();
    assert_eq!(live.end().code(), 0, "what the command has ended with");
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(reader);
    let (live, mut reader) = start();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(
        text.lines().last().unwrap().contains("\"ended\""),
        "the twin"
    );
    assert_eq!(live.end().code(), 0);
}

/// A pipe at `--status-fd` that nobody reads held up the supervisor as soon as it was full, which a box brings about by what it
/// does: the stop file, the limits and `kill` had to wait for its reader.
#[test]
fn who_does_not_read_the_status_holds_up_no_stop_file() {
    let events = "me=$$; (i=0; while :; do i=$((i+1)); echo $i > n; kill -STOP $me; sleep 0.0005; kill -CONT $me; done) & \
                  while :; do sleep 1; done";
    let name = token();
    let start = |b: &TestBox| {
        let _ = std::fs::remove_file(b.ws().join("n"));
        let (reader, writer) = std::io::pipe().unwrap();
        // As small as a pipe can be.
        nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
        let mut command = b.command(["/bin/bash", "-c", events, &name]);
        common::inherit(&mut command, writer.as_raw_fd(), 7);
        let live = Live::start(command);
        drop(writer);
        let count = || {
            let text = std::fs::read_to_string(b.ws().join("n")).unwrap_or_default();
            text.trim().parse::<u32>().unwrap_or(0)
        };
        until("there is more than the pipe takes", || count() > 600);
        (live, reader)
    };
    let b = TestBox::new().option("--status-fd").option("7");
    let (live, reader) = start(&b);
    let begun = Instant::now();
    std::fs::write(b.ws().join(".agentbox-stop"), "").unwrap();
    gone(&name);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    drop(reader);
    assert_eq!(live.end().code(), 137);
    // The twin: who reads late reads all of it.
    std::fs::remove_file(b.ws().join(".agentbox-stop")).unwrap();
    let (live, mut reader) = start(&b);
    std::fs::write(b.ws().join(".agentbox-stop"), "").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.len() > 200, "{}", lines.len());
    assert_eq!(lines.last().unwrap()["event"], "ended");
    assert_eq!(live.end().code(), 137);
}

/// Mounts that are taken off whatever becomes of the test, and the file systems behind them, which answer again before.
struct Far {
    mounts: Vec<PathBuf>,
    inner: std::process::Child,
    outer: std::process::Child,
}

impl Far {
    /// `far` shows `mid`, which shows `behind`: when the inner one stands still, the outer one has taken the question already, and
    /// no signal ends the call of who asked.
    fn new(b: &TestBox, far: &Path) -> Far {
        let (behind, mid) = (b.root().join("behind"), b.root().join("mid"));
        let mounts = vec![far.to_owned(), mid.clone()];
        let bindfs = |from: &Path, to: &Path| {
            let child = Command::new("bindfs")
                .args(["-f", "-o", "allow_other"])
                .args([from, to])
                .spawn()
                .unwrap();
            let device = |path: &Path| nix::sys::stat::stat(path).map_or(0, |stat| stat.st_dev);
            until("it is mounted", || device(to) != device(b.root()));
            child
        };
        let inner = bindfs(&behind, &mid);
        let outer = bindfs(&mid, far);
        Far {
            mounts,
            inner,
            outer,
        }
    }

    fn hangs(&self) {
        let pid = Pid::from_raw(i32::try_from(self.inner.id()).unwrap());
        kill(pid, Signal::SIGSTOP).unwrap();
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.inner.id()).unwrap());
        let _ = kill(pid, Signal::SIGCONT);
        for mount in &self.mounts {
            let _ = nix::mount::umount2(mount, nix::mount::MntFlags::MNT_DETACH);
        }
        for child in [&mut self.outer, &mut self.inner] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Not from a directory that does not answer.
fn from_elsewhere(mut command: Command) -> Command {
    command.current_dir("/");
    command
}

/// When the file system of the working copy, or that of a remote switch, did not answer any more, the box was dead and its
/// supervisor never came to an end: neither `run` nor `kill` returned, nothing was said, and the record stayed open.
#[test]
fn a_file_system_that_hangs_does_not_keep_the_end() {
    if missing(Feature::HostRoot) || missing(Feature::Tool("bindfs")) {
        return;
    }
    for (hangs, work) in [(false, true), (true, true), (true, false)] {
        let name = token();
        let mut b = TestBox::new()
            .dir("behind/w")
            .dir("mid")
            .dir("home/far")
            .file("{home}/.config/agentbox/config.toml", "");
        let dir = b.home().join("far");
        let far = Far::new(&b, &dir);
        if work {
            b = b.cwd(dir.join("w"));
            if as_root() {
                // It cannot be id-mapped.
                b = b.option("--allow-missing").option("identity");
            }
        } else {
            let config = format!(
                "[[kill-switch.remote]]\nname = \"share\"\nurl = \"file://{}/stop\"\non-unreachable = \"stop\"\n\
                 interval = \"1s\"\ntimeout = \"1s\"\ngrace = \"4s\"\n",
                dir.display()
            );
            b = b.file("{home}/.config/agentbox/config.toml", config);
        }
        let live = b.start_probe(&format!("sleep 600 {name}"));
        find(&name);
        if hangs {
            std::thread::sleep(Duration::from_millis(100));
            far.hangs();
            // The next question is asked, and not answered.
            std::thread::sleep(Duration::from_secs(2));
            // The supervisor looks at all that has to let its owner through: not itself at what does not answer.
            let sessions = b.home().join(".local/state/agentbox/sessions");
            fs::set_permissions(sessions, fs::Permissions::from_mode(0o700)).unwrap();
        }
        if work {
            let begun = Instant::now();
            let kill = from_elsewhere(b.agentbox(["kill", "--all"]));
            assert_eq!(run(kill).code(), 0);
            assert!(begun.elapsed() < Duration::from_secs(25));
        }
        let ran = live.end();
        assert_eq!(ran.code(), 137, "{ran:?}");
        let said = ran.complaint().contains("nothing was looked at there");
        assert_eq!(said, hangs && work, "{ran:?}");
        gone(&name);
        let words = if work {
            "agentbox kill"
        } else {
            "remote switch share"
        };
        let logs = from_elsewhere(b.agentbox(["logs"]));
        assert!(run(logs).ok().contains(words));
        drop(far);
    }
}
