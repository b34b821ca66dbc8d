//! `agentbox exec`: `true` in a box that stands, beside a bare fork and exec of the same program.
//!
//! Two ways: as a request on the session's control socket, from its first byte to the news of the end, which is what the box
//! itself costs; and as the whole command, with its own start as a process and its look for the session.

use crate::Setting;
use crate::measure::median;
use crate::table;
use agentbox::launch::join::{Join, Stdio};
use agentbox::launch::message::ToClient;
use agentbox::plan::OsText;
use agentbox::session::{SessionId, Sessions};
use agentbox::supervise::control::client::Line;
use agentbox::supervise::control::message::Request;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What is run, bare and inside.
const PROGRAM: &str = "/bin/true";

/// Prints the table of `exec`.
pub(crate) fn compare(setting: &Setting) {
    let home = setting.place.join("exec");
    let work = home.join("work");
    std::fs::create_dir_all(&work).expect("a workspace");
    let agentbox = || {
        let mut command = Command::new(&setting.agentbox);
        command
            .env("HOME", &home)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_STATE_HOME")
            .current_dir(&work)
            .stdin(std::process::Stdio::null());
        command
    };
    let started = agentbox()
        .args([
            "run", "-q", "--detach", "--net", "none", "--", "sleep", "600",
        ])
        .output()
        .expect("agentbox");
    assert!(started.status.success(), "{started:?}");
    let id = String::from_utf8_lossy(&started.stdout).trim().to_owned();
    let sessions = Sessions::open(&home, None).expect("the sessions");
    let session = SessionId::try_from(id.as_str()).expect("a name");
    let whole = || {
        let mut command = agentbox();
        command.args(["exec", &id, "--", PROGRAM]);
        command.stdout(std::process::Stdio::null());
        command
    };
    let rounds = if setting.quick { 30 } else { 400 };
    let mut times: [Vec<f64>; 3] = Default::default();
    for round in 0..rounds + 10 {
        // Each in turn the first.
        for turn in 0..3 {
            let who = (turn + round) % 3;
            let begun = Instant::now();
            match who {
                0 => spawned(&mut Command::new(PROGRAM)),
                1 => asked(&sessions, &session),
                _ => spawned(&mut whole()),
            }
            let took = begun.elapsed().as_secs_f64() * 1000.0;
            // The first rounds only warm the caches.
            if round >= 10 {
                times[who].push(took);
            }
        }
    }
    let [bare, socket, command] = &times;
    let row = |name: &str, own: &[f64]| {
        let ratio = median(own.iter().zip(bare).map(|(own, bare)| own / bare));
        let wall = median(own.iter().copied());
        vec![name.to_owned(), format!("{wall:.3}"), format!("{ratio:.2}")]
    };
    table::print(
        &format!("`true` in a box that stands, {rounds} rounds, medians"),
        &["", "wall ms", "x bare"],
        &[
            row("bare fork and exec", bare),
            row("a request on the control socket", socket),
            row("the whole `agentbox exec`", command),
        ],
    );
    let killed = agentbox().args(["kill", &id]).status().expect("kill");
    assert!(killed.success(), "{killed:?}");
    remove(&home);
}

fn spawned(command: &mut Command) {
    let status = command.status().expect("the program");
    assert!(status.success(), "{command:?}: {status}");
}

/// What the command does between its start and its end.
fn asked(sessions: &Sessions, session: &SessionId) {
    let join = Join {
        argv: vec![OsText::from(PROGRAM)],
        cwd: None,
        terminal: None,
        stdio: [Stdio::Null; 3],
    };
    let line = Line::open(sessions, session).expect("the socket");
    line.ask(&Request::Exec(join), &[]).expect("an answer");
    let channel = line.into_channel();
    loop {
        let mut set = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        poll(&mut set, PollTimeout::NONE).expect("poll");
        match channel.recv::<ToClient>().expect("a word") {
            Some((ToClient::Ended { status }, _)) => return assert_eq!(status, 0),
            Some(_) => {}
            None => panic!("the session ended"),
        }
    }
}

fn remove(dir: &Path) {
    // A supervisor may still write its record for an instant.
    for _ in 0..100 {
        if std::fs::remove_dir_all(dir).is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
