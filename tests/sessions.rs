//! Live sessions from outside: listed, killed, paused; and that no box reaches the control socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{all_gone, find, gone, parent, state, with_token};
use common::world::token;
use common::{Live, Ran, TestBox, run, until};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket,
};
use nix::unistd::Pid;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `agentbox ps --json`.
fn ps(b: &TestBox) -> Vec<serde_json::Value> {
    let ran = run(b.agentbox(["ps", "--json"]));
    serde_json::from_str(&ran.ok()).unwrap()
}

/// The name of the one live session.
fn only(b: &TestBox) -> String {
    let ran = run(b.agentbox(["ps", "-q"]));
    let text = ran.ok();
    assert_eq!(text.lines().count(), 1, "{ran:?}");
    text.trim().to_owned()
}

fn directory(b: &TestBox, id: &str) -> PathBuf {
    b.home().join(".local/state/agentbox/sessions").join(id)
}

fn record(b: &TestBox, id: &str) -> serde_json::Value {
    let text = std::fs::read(directory(b, id).join("session.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Counts in a file of the workspace for as long as it runs.
const COUNT: &str = "i=0; echo ready; while :; do i=$((i+1)); echo $i > count.new; mv count.new count; sleep 0.01; done";

fn count(b: &TestBox) -> u64 {
    let text = std::fs::read_to_string(b.ws().join("count")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Waits until the counter moves.
#[track_caller]
fn counts(b: &TestBox) {
    let before = count(b);
    until("the counter moves", || count(b) > before);
}

/// The counter stands still.
#[track_caller]
fn still(b: &TestBox) {
    let before = count(b);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(count(b), before, "something in the box moves");
}

#[test]
fn ps_lists_what_lives_and_only_that() {
    let b = TestBox::new();
    assert!(ps(&b).is_empty());
    b.run(["true"]);
    assert!(ps(&b).is_empty(), "a session that ended is not listed");
    let name = token();
    let live = b.start_probe(&format!("orphans 3 600 {name}"));
    let rows = ps(&b);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0];
    assert_eq!(row["state"], "running");
    assert_eq!(row["agent"], "probe");
    assert_eq!(row["workspace"], b.ws().to_str().unwrap());
    assert!(row["processes"].as_u64().unwrap() >= 4, "{row}");
    assert!(row["memory"].as_u64().unwrap() > 0, "{row}");
    let supervisor = row["supervisor"].as_i64().unwrap();
    let init = row["init"].as_i64().unwrap();
    assert_eq!(
        parent(nix::unistd::Pid::from_raw(i32::try_from(init).unwrap()))
            .unwrap()
            .as_raw() as i64,
        supervisor
    );
    let id = row["session"].as_str().unwrap().to_owned();
    let text = run(b.agentbox(["ps"])).ok();
    assert!(text.contains(&id) && text.contains("running"), "{text}");
    live.signal(Signal::SIGTERM);
    live.end();
    assert!(ps(&b).is_empty());
}

#[test]
fn kill_ends_everything_and_is_told_apart() {
    for short in [false, true] {
        let b = TestBox::new();
        let name = token();
        // What obeys no signal dies as well.
        let live = b.start_probe(&format!("ignore 15,2,1 600 {name}"));
        let id = only(&b);
        // The end of a name is enough; its beginning is the time.
        let said = if short { &id[6..] } else { &id };
        let ran = run(b.agentbox(["kill", said]));
        assert_eq!(ran.code(), 0, "{ran:?}");
        assert!(
            with_token(&name).is_empty(),
            "kill returned before the box was dead"
        );
        let ended = live.end();
        assert_eq!(ended.code(), 137, "{ended:?}");
        assert!(
            ended.complaint().contains("killed by `agentbox kill`"),
            "{ended:?}"
        );
        let record = record(&b, &id);
        assert_eq!(record["state"], "ended");
        assert_eq!(record["outcome"]["trigger"], "kill");
        assert_eq!(record["outcome"]["exit_status"], 137);
        assert!(!directory(&b, &id).join("control").exists());
        // Gone is gone.
        let again = run(b.agentbox(["kill", said]));
        assert_eq!(again.code(), 1, "{again:?}");
        assert!(again.complaint().contains("no live session"), "{again:?}");
    }
}

#[test]
fn kill_all_kills_all() {
    let b = TestBox::new();
    let name = token();
    let lives: Vec<Live> = (0..4)
        .map(|_| b.start_probe(&format!("sleep 600 {name}")))
        .collect();
    assert_eq!(ps(&b).len(), 4);
    // Several fit: nothing is killed, and all of them are named.
    let ran = run(b.agentbox(["kill", "0"]));
    assert_eq!(ran.code(), 1);
    assert!(ran.complaint().contains("fits several"), "{ran:?}");
    assert_eq!(ps(&b).len(), 4);
    assert_eq!(run(b.agentbox(["kill", "--all"])).code(), 0);
    assert!(with_token(&name).is_empty());
    for live in lives {
        assert_eq!(live.end().code(), 137);
    }
    assert!(ps(&b).is_empty());
    assert_eq!(
        run(b.agentbox(["kill", "--all"])).code(),
        0,
        "nothing to do is fine"
    );
}

/// It was said that it did not answer, and nothing of it or of its box is left.
fn was_killed_unasked(ran: &Ran, live: Live, name: &str, supervisor: Pid) {
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.complaint().contains("did not answer"), "{ran:?}");
    assert!(with_token(name).is_empty());
    all_gone(&[supervisor]);
    assert_eq!(common::shell_status(live.end().status), 137);
}

/// A supervisor that is stopped cannot keep its box alive.
#[test]
fn kill_does_not_need_the_supervisor() {
    let b = TestBox::new();
    let name = token();
    let live = b.start_probe(&format!("orphans 2 600 {name}"));
    let id = only(&b);
    let supervisor = parent(common::live::init_of(find(&name))).unwrap();
    kill(supervisor, Signal::SIGSTOP).unwrap();
    let ran = run(b.agentbox(["kill", &id]));
    was_killed_unasked(&ran, live, &name, supervisor);
    assert_eq!(record(&b, &id)["state"], "lost");
    assert!(!directory(&b, &id).join("control").exists());
}

/// Each supervisor that does not answer is waited for, and the boxes of the others went on meanwhile.
#[test]
fn kill_all_does_not_wait_for_one_after_the_other() {
    let b = TestBox::new();
    let names: Vec<String> = (0..4).map(|_| token()).collect();
    let lives: Vec<_> = names
        .iter()
        .map(|name| {
            let live = b.start_probe(&format!("sleep 600 {name}"));
            find(name);
            live
        })
        .collect();
    let supervisors: Vec<_> = names
        .iter()
        .map(|name| parent(common::live::init_of(find(name))).unwrap())
        .collect();
    // All but the newest, whose turn is the last.
    let (newest, silent) = supervisors.split_last().unwrap();
    for supervisor in silent {
        kill(*supervisor, Signal::SIGSTOP).unwrap();
    }
    let all = Live::start(b.agentbox(["kill", "--all"]));
    until("the newest is gone", || state(*newest).is_none());
    let waited: Vec<_> = silent.iter().map(|pid| state(*pid)).collect();
    assert!(waited.contains(&Some('T')), "{waited:?}");
    let ran = all.end();
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(
        ran.complaint().matches("did not answer").count(),
        3,
        "{ran:?}"
    );
    for (live, name) in lives.into_iter().zip(&names) {
        gone(name);
        assert_eq!(common::shell_status(live.end().status), 137);
    }
}

/// A stopped supervisor whose queue others had filled by asking in vain could not be connected to, and `kill` left it and its box
/// alive, with the words that `kill` ends it all the same.
#[test]
fn a_session_that_was_asked_in_vain_too_often_is_killed_all_the_same() {
    let b = TestBox::new();
    for stop in [false, true] {
        let name = token();
        let live = b.start_probe(&format!("orphans 2 600 {name}"));
        let id = only(&b);
        let supervisor = parent(common::live::init_of(find(&name))).unwrap();
        kill(supervisor, Signal::SIGSTOP).unwrap();
        // A connection stays in the queue when who made it is gone.
        let control = directory(&b, &id).join("control");
        let here = std::fs::File::open(control.parent().unwrap()).unwrap();
        let address = format!("/proc/self/fd/{}/control", here.as_raw_fd());
        let address = UnixAddr::new(address.as_str()).unwrap();
        until("its queue is full", || {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let caller = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
            connect(caller.as_raw_fd(), &address) == Err(Errno::EAGAIN)
        });
        assert_eq!(ps(&b)[0]["state"], "silent");
        let ran = if stop {
            let ran = run(b.agentbox(["stop"]));
            run(b.agentbox(["start"])).ok();
            ran
        } else {
            run(b.agentbox(["kill", &id]))
        };
        was_killed_unasked(&ran, live, &name, supervisor);
        assert_eq!(record(&b, &id)["state"], "lost");
    }
}

/// A session whose init stands: a pause takes long, where init does it and no cgroup.
fn with_init_stopped(b: &TestBox, name: &str) -> (Live, String, Pid) {
    let live = b.start_probe(&format!("sleep 600 {name}"));
    let id = only(b);
    let init = common::live::init_of(find(name));
    kill(init, Signal::SIGSTOP).unwrap();
    (live, id, init)
}

/// The supervisor was blamed, which answers everything else.
#[test]
fn a_pause_that_waits_for_init_says_so() {
    let b = TestBox::new();
    let name = token();
    let (live, id, init) = with_init_stopped(&b, &name);
    let ran = run(b.agentbox(["pause", &id]));
    // A cgroup freezes the box without it.
    if ran.code() != 0 {
        assert!(
            ran.complaint()
                .contains("init of the box has not had its turn"),
            "{ran:?}"
        );
        assert_eq!(ps(&b)[0]["session"], id.as_str());
        kill(init, Signal::SIGCONT).unwrap();
        assert_eq!(run(b.agentbox(["pause", &id])).code(), 0);
    }
    assert_eq!(ps(&b)[0]["state"], "paused");
    assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
    gone(&name);
    assert_eq!(live.end().code(), 137);
}

#[test]
fn a_paused_box_is_still_and_goes_on_where_it_was() {
    let b = TestBox::new();
    let name = token();
    let mut live = b.start([
        "/bin/sh".to_owned(),
        "-c".into(),
        format!("{} sleep 600 {name} & {COUNT}", b.fill("{probe}")),
    ]);
    live.wait_line("ready");
    let id = only(&b);
    // The twin: it moves.
    counts(&b);
    let stopped = find(&name);
    kill(stopped, Signal::SIGSTOP).unwrap();
    until("the background process is stopped", || {
        state(stopped) == Some('T')
    });
    assert_eq!(run(b.agentbox(["pause", &id])).code(), 0);
    still(&b);
    assert_eq!(ps(&b)[0]["state"], "paused");
    assert_eq!(run(b.agentbox(["pause", &id])).code(), 0, "twice is once");
    assert_eq!(run(b.agentbox(["resume", &id])).code(), 0);
    counts(&b);
    assert_eq!(ps(&b)[0]["state"], "running");
    assert_eq!(
        state(stopped),
        Some('T'),
        "who was stopped before stays stopped"
    );
    // Killed while paused.
    assert_eq!(run(b.agentbox(["pause", &id])).code(), 0);
    assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
    gone(&name);
    assert_eq!(live.end().code(), 137);
    let text = run(b.agentbox(["logs", &id])).ok();
    let words: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(
        words,
        [
            "planned", "enforced", "started", "paused", "resumed", "paused", "ended"
        ]
    );
}

/// Who paused a session that somebody else resumed in that moment got no answer, and read that its supervisor does not answer.
#[test]
fn a_pause_that_somebody_else_ends_is_told_so() {
    let b = TestBox::new();
    let name = token();
    let (live, id, init) = with_init_stopped(&b, &name);
    let pausing = Live::start(b.agentbox(["pause", &id]));
    until("it is paused", || ps(&b)[0]["state"] == "paused");
    assert_eq!(run(b.agentbox(["resume", &id])).code(), 0);
    let paused = pausing.end();
    let told = paused.complaint().contains("somebody else has resumed it");
    assert!(told == (paused.code() == 1), "{paused:?}");
    kill(init, Signal::SIGCONT).unwrap();
    // The twin: nobody interferes.
    assert_eq!(run(b.agentbox(["pause", &id])).code(), 0);
    assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
    assert_eq!(common::shell_status(live.end().status), 137);
}

/// A timer of its own that sends SIGCONT continued a process of a box that was said to be paused, where no cgroup freezes it.
#[test]
fn a_timer_does_not_end_a_pause() {
    if common::missing(common::Feature::Tool("python3")) {
        return;
    }
    let waker = "import signal,ctypes,os,time,sys\n\
        class E(ctypes.Structure): _fields_=[('v',ctypes.c_void_p),('s',ctypes.c_int),('n',ctypes.c_int),('p',ctypes.c_char*48)]\n\
        class T(ctypes.Structure): _fields_=[('a',ctypes.c_long*4)]\n\
        c=ctypes.CDLL(None,use_errno=True); t=ctypes.c_void_p()\n\
        e=E(None,signal.SIGCONT,0,b'')\n\
        assert c.timer_create(1,ctypes.byref(e),ctypes.byref(t))==0\n\
        assert c.timer_settime(t,0,ctypes.byref(T((ctypes.c_long*4)(0,5000000,0,5000000))),None)==0\n\
        f=open('ticks','w')\n\
        print('ready',flush=True)\n\
        while True: f.write('x'); f.flush(); time.sleep(0.002)\n";
    let b = TestBox::new();
    let mut live = b.start(["python3", "-c", waker]);
    live.wait_line("ready");
    let id = only(&b);
    let size = || std::fs::metadata(b.ws().join("ticks")).map_or(0, |m| m.len());
    let before = size();
    until("it goes on", || size() > before);
    assert_eq!(run(b.agentbox(["pause", &id])).code(), 0);
    std::thread::sleep(Duration::from_secs(2));
    let before = size();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(size(), before, "it goes on behind the pause");
    // Frozen by a cgroup it is still there; else it has been ended for it.
    if !ps(&b).is_empty() {
        assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
        live.end();
    } else {
        let ran = live.end();
        assert_eq!(ran.code(), 137, "{ran:?}");
        assert!(ran.complaint().contains("the pause"), "{ran:?}");
    }
}

/// Nothing is born behind a pause's back, however fast it forks.
#[test]
fn a_fork_storm_is_paused() {
    let b = TestBox::new();
    let mut live = b.start([
        "/bin/sh".to_owned(),
        "-c".into(),
        format!("for n in 1 2 3 4; do (while :; do (echo x >> forks); done) & done; {COUNT}"),
    ]);
    live.wait_line("ready");
    let id = only(&b);
    let size = || std::fs::metadata(b.ws().join("forks")).map_or(0, |m| m.len());
    for _ in 0..5 {
        let before = size();
        until("it forks", || size() > before);
        assert_eq!(run(b.agentbox(["pause", &id])).code(), 0);
        let before = size();
        still(&b);
        assert_eq!(size(), before, "a process of the storm moves");
        assert_eq!(run(b.agentbox(["resume", &id])).code(), 0);
    }
    counts(&b);
    assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
    live.end();
}

#[test]
fn logs_follow_to_the_end() {
    let b = TestBox::new();
    let live = b.start_probe("on-signal 15 3");
    let id = only(&b);
    let mut follow = Live::start(b.agentbox(["logs", "-f", &id]));
    follow.wait_line("started");
    live.signal(Signal::SIGTERM);
    assert_eq!(live.end().code(), 3);
    follow.wait_line("ended");
    assert_eq!(follow.end().code(), 0);
    // Without a name: the last one. As JSON: the record's own lines.
    let text = run(b.agentbox(["logs", "--json"])).ok();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "ended");
    assert_eq!(last["outcome"]["exit_status"], 3);
    assert_eq!(run(b.agentbox(["logs", "zzzz"])).code(), 1);
}

fn call(path: &Path) -> OwnedFd {
    let s = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    connect(s.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    s
}

fn answer(socket: &OwnedFd) -> String {
    let mut room = [0; 4096];
    let n = recv(socket.as_raw_fd(), &mut room, MsgFlags::empty()).unwrap();
    String::from_utf8_lossy(&room[..n]).into_owned()
}

/// What is not a request costs its connection, and nobody else anything.
#[test]
fn nonsense_is_fatal_for_its_connection_only() {
    let b = TestBox::new();
    let live = b.start_probe("on-signal 15 3");
    let id = only(&b);
    let path = directory(&b, &id).join("control");
    let good = call(&path);
    for nonsense in [
        &b"x"[..],
        b"{}",
        b"\"reboot\"",
        b"{\"kill\":1}",
        &[b'['; 100_000],
    ] {
        let bad = call(&path);
        send(bad.as_raw_fd(), nonsense, MsgFlags::empty()).unwrap();
        assert!(answer(&bad).contains("not a request"), "{nonsense:?}");
        assert_eq!(answer(&bad), "", "the connection is over");
    }
    // Descriptors that do not belong to the request, and connections that say nothing.
    let silent: Vec<OwnedFd> = (0..40).map(|_| call(&path)).collect();
    drop(silent);
    send(good.as_raw_fd(), b"\"status\"", MsgFlags::empty()).unwrap();
    assert!(answer(&good).contains("\"running\""));
    assert_eq!(ps(&b)[0]["state"], "running");
    live.signal(Signal::SIGTERM);
    assert_eq!(live.end().code(), 3);
}

/// The uid is the agent's, too: from another pid namespace nothing may be asked, should the socket ever be reached.
#[test]
fn a_peer_in_a_box_is_refused() {
    let b = TestBox::new();
    let live = b.start_probe("on-signal 15 3");
    let id = only(&b);
    let path = directory(&b, &id).join("control");
    let script = format!(
        "import socket\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ns.connect({path:?})\n\ntry: s.send(b'\"kill\"')\nexcept BrokenPipeError: pass\ntry: print(s.recv(4096).decode())\nexcept ConnectionResetError: print(s.recv(4096).decode())"
    );
    let python = |argv: &[&str]| -> Ran {
        let mut command = std::process::Command::new(argv[0]);
        command.args(&argv[1..]);
        b.around(&mut command, &b.agentbox(["ps"]));
        run(command)
    };
    let boxed = python(&[
        "unshare",
        "--user",
        "--pid",
        "--fork",
        "--map-root-user",
        "python3",
        "-c",
        &script,
    ]);
    assert!(boxed.ok().contains("another pid namespace"), "{boxed:?}");
    assert_eq!(ps(&b).len(), 1, "it lives");
    // The twin: the same words from the same namespace.
    let plain = python(&["python3", "-c", &script]);
    assert!(plain.ok().contains("done"), "{plain:?}");
    assert_eq!(live.end().code(), 137);
}

/// No path leads to it: not the directory, not with the directories above it granted, not through /proc; and no descriptor is inherited.
#[test]
fn the_control_socket_is_not_in_the_box() {
    let b = TestBox::new();
    for above in [
        "/.local",
        "/.local/state",
        "/.local/state/agentbox/sessions",
    ] {
        b.run(["true"]);
        let dir = format!("{}{above}", b.home().display());
        let ran = run(b.agentbox(["run", "--net", "none", "--read", &dir, "--", "true"]));
        assert_eq!(ran.code(), 125, "{above}: {ran:?}");
        assert!(
            ran.complaint().contains("agentbox's own"),
            "{above}: {ran:?}"
        );
    }
    let mut live = b.start(["/bin/sh".to_owned(), "-c".into(), b.fill(
        "ls -a {home}/.local/state/agentbox 2>&1; find / -xdev -name control -type s 2>/dev/null; \
         for p in /proc/[0-9]*; do ls -l $p/fd 2>/dev/null; done | grep -c -i seqpacket; ls -l /proc/self/fd; \
         echo ready; sleep 600")]);
    live.wait_line("ready");
    let id = only(&b);
    // The twin: outside it is there.
    assert!(directory(&b, &id).join("control").exists());
    assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
    let ran = live.end();
    let text = ran.text();
    assert!(!text.contains("sessions"), "{text}");
    assert!(!text.contains("/control"), "{text}");
    assert!(!text.contains(&id), "{text}");
}

/// Names have the second in which a session began, and the rest is drawn: of several in one second any was "the last one".
#[test]
fn the_last_of_one_second_is_the_last() {
    let b = TestBox::new();
    for number in 0..12 {
        let mark = format!("number-{number}");
        assert_eq!(b.run(["/bin/echo", &mark]).ok().trim(), mark);
        let said = run(b.agentbox(["logs"])).ok();
        assert!(said.contains(&format!("echo {mark} ")), "{mark}: {said}");
    }
}
