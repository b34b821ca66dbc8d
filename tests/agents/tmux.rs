//! A real agent on a real terminal: claude's interactive program in tmux, typed at as by a human, while its session is listed,
//! joined, left, attached to from another window, stopped, continued and killed.

use crate::Place;
use crate::agent::{self, Agent};
use crate::screen::Tmux;
use crate::script::{Action, Step};
use crate::server::{DONE, Server};
use crate::world::{World, write};
use std::process::Command;
use std::time::Duration;

/// What claude asks a human at its first start has been answered.
fn answered(world: &World) {
    let key = agent::KEY;
    let tail = &key[key.len().saturating_sub(20)..];
    let project = world.project().display().to_string();
    let settings = serde_json::json!({
        "hasCompletedOnboarding": true,
        "lastOnboardingVersion": "99.0.0",
        "theme": "dark",
        "bypassPermissionsModeAccepted": true,
        "customApiKeyResponses": { "approved": [tail], "rejected": [] },
        "projects": { project: {
            "hasTrustDialogAccepted": true,
            "hasCompletedProjectOnboarding": true,
            "allowedTools": [],
        } },
    });
    write(&world.home().join(".claude.json"), &settings.to_string());
}

/// Not by the environment: the shell that tmux runs this by drops it.
const SHELL: &str = "PS1='outside> ' exec bash --norc --noprofile";

/// A session of tmux whose first window has a shell in the project.
fn terminal(world: &World, variables: Vec<(String, String)>) -> Tmux {
    let mut environment: Vec<(String, String)> = [
        ("USER", "dev"),
        ("LOGNAME", "dev"),
        ("SHELL", "/bin/bash"),
        ("LANG", "C.UTF-8"),
        ("TERM", "xterm-256color"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let bin = agent::installed();
    let path = format!("{}:{}", bin.display(), agent::SYSTEM_PATH);
    environment.push(("PATH".to_owned(), path));
    environment.push(("HOME".to_owned(), world.home().display().to_string()));
    environment.extend(variables);
    let tmux = Tmux {
        socket: world.base().join("tmux"),
        environment,
        home: world.project(),
    };
    tmux.command(&[
        "new-session",
        "-d",
        "-s",
        "one",
        "-x",
        "110",
        "-y",
        "35",
        SHELL,
    ]);
    tmux
}

/// In a folder that is new to them they ask a human whether it is trusted, save the answer and begin. Codex stayed at the
/// question, and Gemini CLI ended, where the file for it was read only.
#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn agents_begin_in_a_folder_that_nobody_has_trusted_yet() {
    for (agent, asks, begins, file) in [
        (
            Agent::Codex,
            "Trust this folder?",
            "Ask Codex",
            ".codex/config.toml",
        ),
        (
            Agent::Gemini,
            "Do you trust the files in this folder?",
            "Type your message",
            ".gemini/trustedFolders.json",
        ),
    ] {
        let world = World::new(agent.command());
        let server = Server::start(Vec::new());
        let variables = agent.configure(Place::Box, &world, server.port());
        if let Agent::Gemini = agent {
            let settings = serde_json::json!({
                "security": { "auth": { "selectedType": "gemini-api-key" } },
                "general": { "enableAutoUpdate": false },
            });
            write(
                &world.home().join(".gemini/settings.json"),
                &settings.to_string(),
            );
            write(
                &world.home().join(file),
                "{\"/elsewhere\":\"TRUST_FOLDER\"}",
            );
        }
        let before = std::fs::read_to_string(world.home().join(file)).expect("the host's file");
        let tmux = terminal(&world, variables);
        let port = server.port();
        let line = format!(
            "{} run -q --host-port {port} {}",
            agent::agentbox().display(),
            agent.command()
        );
        tmux.keys("one:0", &[&line, "Enter"]);
        tmux.shows("one:0", asks);
        // A key that comes with the question is not taken for an answer by all of them.
        for _ in 0..5 {
            std::thread::sleep(Duration::from_secs(2));
            if tmux.screen("one:0").contains(asks) {
                tmux.keys("one:0", &["Enter"]);
            }
        }
        tmux.shows_that("one:0", begins, |screen| {
            screen.rfind(begins) > screen.rfind(asks)
        });
        let after = std::fs::read_to_string(world.home().join(file)).expect("the host's file");
        assert_eq!(after, before, "what a box trusts goes with it");
        tmux.command(&["kill-server"]);
    }
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn claude_on_a_terminal_is_left_joined_attached_to_and_killed() {
    let world = World::new("claude");
    answered(&world);
    let server = Server::start(vec![Step {
        name: "work",
        action: Action::Shell("echo worked > made-by-the-agent".to_owned()),
    }]);
    let base = format!("http://127.0.0.1:{}", server.port());
    let tmux = terminal(
        &world,
        vec![
            ("ANTHROPIC_BASE_URL".to_owned(), base),
            (
                Agent::Claude.key_variable().to_owned(),
                agent::KEY.to_owned(),
            ),
        ],
    );
    let agentbox = agent::agentbox().display().to_string();
    tmux.command(&["new-window", "-d", "-t", "one:1", SHELL]);
    let (first, second) = ("one:0", "one:1");
    tmux.shows(first, "outside>");
    tmux.shows(second, "outside>");
    let line = format!("{agentbox} run -q claude --dangerously-skip-permissions");
    tmux.keys(first, &[&line, "Enter"]);
    // Its own screen, and the prompt that a human types at.
    tmux.shows(first, "bypass permissions on");
    let ps = || {
        let output = Command::new(agent::agentbox())
            .args(["ps", "-q"])
            .env_clear()
            .envs(tmux.environment.iter().cloned())
            .output()
            .expect("agentbox");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let id = ps();
    assert_eq!(id.len(), 10, "one session is listed: {id:?}");
    tmux.keys(first, &["Follow the script."]);
    tmux.shows(first, "Follow the script.");
    tmux.keys(first, &["Enter"]);
    tmux.shows(first, DONE);
    let made = std::fs::read_to_string(world.project().join("made-by-the-agent"));
    assert_eq!(made.expect("the agent worked"), "worked\n");
    // Ctrl-C is the agent's: it asks before it leaves.
    tmux.keys(first, &["C-c"]);
    tmux.shows(first, "again to exit");
    // Ctrl-Z stops it, the shell outside takes over, and fg brings it back.
    tmux.keys(first, &["C-z"]);
    tmux.shows_that(first, "the prompt of the shell", |screen| {
        screen.contains("Stopped") && screen.trim_end().ends_with("outside>")
    });
    tmux.keys(first, &["fg", "Enter"]);
    tmux.shows_that(first, "claude again", |screen| {
        screen.rfind("bypass permissions on") > screen.rfind("Stopped")
    });
    // Beside it, in the same box.
    let exec = format!("{agentbox} exec {id} -- cat made-by-the-agent");
    tmux.keys(second, &[&exec, "Enter"]);
    tmux.shows(second, "worked");
    // Detached from there, and attached there: it draws itself again, also at another size.
    tmux.keys(second, &[&format!("{agentbox} detach {id}"), "Enter"]);
    tmux.shows(first, "which goes on");
    tmux.keys(
        second,
        &[&format!("clear; {agentbox} attach {id}"), "Enter"],
    );
    tmux.shows(second, "bypass permissions on");
    tmux.command(&["resize-window", "-t", second, "-x", "80", "-y", "24"]);
    tmux.keys(second, &["typed by another"]);
    tmux.shows(second, "typed by another");
    // The keys that leave, and the agent goes on.
    tmux.keys(second, &["C-\\", "d"]);
    tmux.shows(second, "left session");
    assert_eq!(ps(), id);
    // Killed, and both terminals are usable.
    tmux.keys(
        second,
        &[
            &format!("clear; {agentbox} kill {id}; echo killed=$?"),
            "Enter",
        ],
    );
    tmux.shows(second, "killed=0");
    assert_eq!(ps(), "");
    for window in [first, second] {
        tmux.keys(window, &["clear; echo usa''ble", "Enter"]);
        tmux.shows_that(window, "usable", |screen| {
            screen.lines().any(|line| line == "usable")
        });
    }
    let trouble = server.seen().trouble.clone();
    assert_eq!(trouble, None, "{}", server.transcript());
}
