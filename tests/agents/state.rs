//! claude's `~/.claude.json`: a file that its program replaces by rename, so the box has a copy that is written back.

use crate::PROMPT;
use crate::agent::{Agent, KEY, Place};
use crate::script::{Action, Step};
use crate::server::Server;
use crate::world::World;
use serde_json::Value;
use std::fs;

/// Puts top-level keys into ~/.claude.json the way claude does it: lock directory, temporary file, rename.
fn put(name: &'static str, keys: &str) -> Step {
    Step {
        name,
        action: Action::Shell(format!(
            "until mkdir ~/.claude.json.lock; do sleep 0.05; done; \
             sed '1s/^{{/{{{keys},/' ~/.claude.json > ~/.claude.json.new && mv ~/.claude.json.new ~/.claude.json; \
             rmdir ~/.claude.json.lock; echo put"
        )),
    }
}

fn shell(name: &'static str, command: &str) -> Step {
    Step {
        name,
        action: Action::Shell(command.to_owned()),
    }
}

const LOG_IN: &str = r#""oauthAccount":{"emailAddress":"dev@example.org"}"#;
const POISON: &str =
    r#""mcpServers":{"evil":{"command":"evil"}},"hooks":{"Stop":[]},"apiKeyHelper":"evil""#;

fn session(place: Place, world: &World, steps: Vec<Step>) -> Server {
    let server = Server::start(steps);
    let ran = Agent::Claude.run(place, world, &server, PROMPT);
    assert!(
        ran.status.success(),
        "{place:?}: {}\n{}\n{}",
        ran.stdout,
        ran.stderr,
        server.transcript()
    );
    server
}

fn state(world: &World) -> Value {
    let text =
        fs::read_to_string(world.home().join(".claude.json")).expect("~/.claude.json on the host");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("~/.claude.json: {error}\n{text}"))
}

/// What the agent's program remembers survives the session; what would run something at the next start does not.
#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn claude_is_still_logged_in_in_the_next_session() {
    // The twin: bare, all of it stays, so it is agentbox that took the poison out.
    let bare = World::new("state-bare");
    session(
        Place::Bare,
        &bare,
        vec![put("log-in", LOG_IN), put("poison", POISON)],
    );
    let kept = state(&bare);
    for key in [
        "oauthAccount",
        "userID",
        "mcpServers",
        "hooks",
        "apiKeyHelper",
    ] {
        assert!(kept.get(key).is_some(), "bare, {key} did not stay: {kept}");
    }

    let world = World::new("state");
    assert!(
        !world.home().join(".claude.json").exists(),
        "the first start ever"
    );
    let first = session(
        Place::Box,
        &world,
        vec![
            put("log-in", LOG_IN),
            put("poison", POISON),
            shell(
                "token",
                &format!(
                    "umask 077; echo '{{\"claudeAiOauth\": \"{KEY}\"}}' > ~/.claude/.credentials.json"
                ),
            ),
        ],
    );
    let after = state(&world);
    assert_eq!(
        after["oauthAccount"]["emailAddress"],
        "dev@example.org",
        "the log-in is lost: {after}\n{}",
        first.transcript()
    );
    assert!(
        after["userID"].is_string(),
        "what claude wrote itself is lost: {after}"
    );
    for key in ["mcpServers", "hooks", "apiKeyHelper"] {
        assert!(
            after.get(key).is_none(),
            "{key} came out of the box: {after}"
        );
    }

    let second = session(
        Place::Box,
        &world,
        vec![shell(
            "look",
            "cat ~/.claude.json ~/.claude/.credentials.json",
        )],
    );
    let seen = second.result("look").expect("a result");
    assert!(
        seen.contains("dev@example.org") && seen.contains(KEY),
        "logged out: {seen}"
    );
    assert_eq!(
        state(&world)["userID"],
        after["userID"],
        "it is another installation now"
    );
}

/// Two sessions in the box and one without it, at the same time: what each wrote is there at the end.
#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn claude_sessions_at_once_lose_no_write() {
    let world = World::new("at-once");
    // Once before, so that all three begin with the same file.
    session(Place::Bare, &world, vec![shell("nothing", "true")]);
    let before = state(&world);
    let runs = [
        (Place::Box, "one", r#""fromOne":1"#),
        (Place::Box, "two", r#""fromTwo":2"#),
        (Place::Bare, "three", r#""fromThree":3"#),
    ];
    std::thread::scope(|scope| {
        for (place, name, keys) in runs {
            let world = &world;
            scope.spawn(move || {
                let steps = vec![
                    shell("before", "sleep 1"),
                    put("put", keys),
                    shell("after", "sleep 1"),
                ];
                let server = Server::start(steps);
                let base = world.base().join(name);
                fs::create_dir(&base).expect("mkdir");
                let ran = Agent::Claude.run_in(place, world, &server, PROMPT, &base);
                assert!(
                    ran.status.success(),
                    "{name}: {}\n{}\n{}",
                    ran.stdout,
                    ran.stderr,
                    server.transcript()
                );
            });
        }
    });
    let after = state(&world);
    for key in ["fromOne", "fromTwo", "fromThree"] {
        assert!(after.get(key).is_some(), "{key} is lost: {after}");
    }
    assert_eq!(after["userID"], before["userID"]);
}
