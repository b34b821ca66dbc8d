//! Walks through the states of a session's life and kills one of its processes in each: nothing of the box survives, nothing is
//! left on disk but the record, the terminal is usable, and the record says what happened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{all_gone, find, gone, init_of, parent, with_token};
use common::pty::Terminal;
use common::world::token;
use common::{TestBox, run, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// By Ctrl-Z on its terminal.
    Stopped,
    Paused,
    /// A second terminal looks at it.
    Attached,
    /// A second command is in it.
    Joined,
    /// SIGTERM was sent and is ignored; the grace runs.
    Terminating,
    /// Its window was taken off.
    Detached,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Client,
    Supervisor,
    Init,
    Command,
    /// Fail closed: without it names would no longer be covered.
    Keeper,
    /// Connections are cut and nothing gets out without it, so the box goes on, with another one.
    Gate,
}

struct Family {
    supervisor: Pid,
    init: Pid,
    command: Pid,
}

/// The child of the supervisor that has that name.
fn find_helper(supervisor: Pid, wanted: &str) -> Option<Pid> {
    let name = |pid: Pid| std::fs::read_to_string(format!("/proc/{pid}/comm"));
    common::live::all()
        .into_iter()
        .filter(|pid| parent(*pid) == Some(supervisor))
        .find(|pid| name(*pid).is_ok_and(|name| name.trim() == wanted))
}

fn helper(supervisor: Pid, wanted: &str) -> Pid {
    find_helper(supervisor, wanted).expect("a helper of that name")
}

fn sessions(b: &TestBox) -> PathBuf {
    b.home().join(".local/state/agentbox/sessions")
}

fn id(b: &TestBox) -> String {
    run(b.agentbox(["ps", "-q"])).ok().trim().to_owned()
}

/// Where two windows look, the second one is returned, and must be kept.
fn bring(
    b: &TestBox,
    window: &mut Terminal,
    id: &str,
    name: &str,
    state: State,
) -> Option<Terminal> {
    let told = |what: &str| {
        until(what, || run(b.agentbox(["logs", id])).ok().contains(what));
    };
    match state {
        State::Running => {}
        State::Stopped => {
            window.send("\x1a");
            told("stopped");
        }
        State::Paused => assert_eq!(run(b.agentbox(["pause", id])).code(), 0),
        State::Attached => {
            let second = Terminal::start(b.agentbox(["attach", id]), 20, 70);
            second.expect("ready");
            return Some(second);
        }
        State::Joined => {
            let probe = b.probe_program();
            let words = [
                "exec",
                id,
                "--",
                probe.to_str().unwrap(),
                "sleep",
                "600",
                name,
            ];
            let before = with_token(name).len();
            let second = Terminal::start(b.agentbox(words), 20, 70);
            // The calling process has the token in its words, too.
            until("it joined", || with_token(name).len() >= before + 2);
            return Some(second);
        }
        State::Detached => {
            assert_eq!(run(b.agentbox(["detach", id])).code(), 0);
            window.end();
        }
        State::Terminating => {
            kill(
                Pid::from_raw(i32::try_from(window.child.id()).unwrap()),
                Signal::SIGTERM,
            )
            .unwrap();
        }
    }
    None
}

fn walk(state: State, victim: Victim) {
    let what = format!("{victim:?} while {state:?}");
    let mut b = TestBox::new().profile("extends = [\"shell\"]\n[limits]\nstop-grace = \"300s\"\n");
    if victim == Victim::Gate {
        b = b.net("filtered");
    }
    let name = token();
    let script = b.fill(&format!(
        "trap '' TERM; {{probe}} ignore 15 600 {name} & echo ready; while :; do sleep 0.1; done"
    ));
    // `exec` of a shell with job control would stop it, not the command: the script is the command.
    let mut window = Terminal::start(b.command(["/bin/sh", "-c", &script]), 24, 80);
    let before = window.settings_before();
    window.expect("ready");
    let background = find(&name);
    let init = init_of(background);
    let family = Family {
        supervisor: parent(init).unwrap(),
        init,
        command: parent(background).unwrap(),
    };
    let id = id(&b);
    let second = bring(&b, &mut window, &id, &name, state);
    let client = Pid::from_raw(i32::try_from(window.child.id()).unwrap());
    let killed = match victim {
        Victim::Client => client,
        Victim::Supervisor => family.supervisor,
        Victim::Init => family.init,
        Victim::Keeper => helper(family.supervisor, "agentbox-keeper"),
        Victim::Gate => helper(family.supervisor, "agentbox-gate"),
        Victim::Command => family.command,
    };
    kill(killed, Signal::SIGKILL).unwrap();
    if victim == Victim::Gate {
        until(&format!("{what}: there is another one"), || {
            find_helper(family.supervisor, "agentbox-gate").is_some_and(|gate| gate != killed)
        });
        all_gone(&[killed]);
        assert_eq!(run(b.agentbox(["kill", &id])).code(), 0, "{what}");
    }
    // A client that goes is a hang-up, which has its grace; what obeys no signal is killed by the second.
    if victim == Victim::Client {
        until(&format!("{what}: hung up or gone"), || {
            let ended = with_token(&name).is_empty();
            if !ended && state != State::Terminating {
                // The script obeys SIGHUP; a box that is paused does when it goes on.
                let _ = run(b.agentbox(["resume", &id]));
            }
            ended
        });
    }
    // A stopped client is a job that its shell would continue.
    let _ = kill(client, Signal::SIGCONT);
    all_gone(&[family.supervisor, family.init, family.command, background]);
    gone(&name);
    if victim != Victim::Client && state != State::Detached {
        let status = window.end();
        assert_ne!(status.code(), Some(0), "{what}: {}", window.text());
        assert_eq!(
            window.settings(),
            before,
            "{what}: the terminal is as it was"
        );
    }
    if let Some(mut second) = second {
        let settings = second.settings_before();
        second.end();
        assert_eq!(second.settings(), settings, "{what}");
    }
    // The next call cleans up and tells.
    let mut record = serde_json::Value::Null;
    until(&format!("{what}: the record says what happened"), || {
        assert!(run(b.agentbox(["ps", "-q"])).ok().is_empty(), "{what}");
        let text = std::fs::read(sessions(&b).join(&id).join("session.json")).unwrap();
        record = serde_json::from_slice(&text).unwrap();
        record["state"] != "open"
    });
    let outcome = &record["outcome"];
    match victim {
        Victim::Supervisor => assert_eq!(record["state"], "lost", "{what}"),
        Victim::Init | Victim::Keeper => {
            assert_eq!(outcome["trigger"], "lost", "{what}: {outcome}");
        }
        Victim::Gate => assert_eq!(outcome["trigger"], "kill", "{what}: {outcome}"),
        Victim::Command => assert_eq!(outcome["signal"], 9, "{what}: {outcome}"),
        Victim::Client => assert_eq!(record["state"], "ended", "{what}: {outcome}"),
    }
    let left = || {
        let entries = std::fs::read_dir(sessions(&b).join(&id)).unwrap();
        let mut left: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        left
    };
    // What tracked files were goes when they were compared; of a session that crashed the next start does that.
    let expected = ["events.jsonl", "session.json"];
    if victim == Victim::Supervisor {
        b.run(["true"]);
        let unsettled = std::fs::read_dir(sessions(&b).join(".unsettled"));
        assert_eq!(unsettled.map_or(0, Iterator::count), 0, "{what}");
    }
    assert_eq!(left(), expected, "{what}");
    assert_eq!(
        std::fs::read_dir(b.ws()).unwrap().count(),
        0,
        "{what}: the workspace is as it was"
    );
}

#[test]
fn every_process_is_killed_in_every_state() {
    for state in [
        State::Running,
        State::Stopped,
        State::Paused,
        State::Attached,
        State::Joined,
        State::Terminating,
        State::Detached,
    ] {
        for victim in [
            Victim::Supervisor,
            Victim::Init,
            Victim::Command,
            Victim::Client,
            Victim::Keeper,
            Victim::Gate,
        ] {
            // A client that was sent away is none.
            if (state, victim) != (State::Detached, Victim::Client) {
                walk(state, victim);
            }
        }
    }
}
