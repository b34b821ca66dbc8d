//! Real agents against a scripted model.
//!
//! Each agent runs the same script bare and in the box. Honest work must end the same. Everything dishonest must succeed
//! bare (or the test would prove nothing) and fail in the box, by the right cause.
//!
//! These tests need the agents from npm. `scripts/agents` installs them and runs these tests as root and as a user.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agent;
mod api;
mod http;
mod inner;
mod place;
mod script;
mod server;
mod state;
mod steps;
mod tmux;
mod world;

use agent::{Agent, Place, Ran};
use place::Rung;
use server::{DONE, Server, TOLD};
use std::fs;
use std::path::Path;
use world::{CANARY, SECRETS, TREASURES, World};

const PROMPT: &str = "Follow the script.";

/// What one run left behind, with everything a failing test has to say.
struct Session {
    agent: Agent,
    place: Place,
    world: World,
    server: Server,
    neighbour: Server,
    ran: Ran,
}

impl Session {
    /// Runs the whole script: first the dishonest steps, then the honest ones.
    fn run(agent: Agent, place: Place) -> Session {
        Session::run_with(agent, place, None)
    }

    /// The same with a profile of the user's for the agent.
    fn run_with(agent: Agent, place: Place, profile: Option<&str>) -> Session {
        Session::run_with_files(agent, place, profile, &[])
    }

    /// The same with more files in HOME. `{home}` in them and in the profile is its path.
    fn run_with_files(
        agent: Agent,
        place: Place,
        profile: Option<&str>,
        files: &[(&str, &str)],
    ) -> Session {
        let world = World::new(agent.command());
        let home = world.home().display().to_string();
        let filled = |text: &str| text.replace("{home}", &home);
        for (path, text) in files {
            let path = world.home().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, filled(text)).unwrap();
        }
        if let Some(text) = profile {
            let dir = world.home().join(".config/agentbox/profiles");
            fs::create_dir_all(&dir).unwrap();
            let file = dir.join(format!("{}.toml", agent.command()));
            fs::write(file, filled(text)).unwrap();
        }
        if agent == Agent::Gemini {
            // Its shell tool sets GIT_CONFIG_GLOBAL=/dev/null, so git does not know who commits.
            world.git(&["config", "user.name", "Dev Eloper"]);
            world.git(&["config", "user.email", "dev@example.org"]);
        }
        let neighbour = Server::start(Vec::new());
        let server = Server::start_with(|port| {
            let mut list = steps::dishonest(&world, port, neighbour.port());
            list.extend(steps::honest(&world));
            list
        });
        let ran = agent.run(place, &world, &server, PROMPT);
        Session {
            agent,
            place,
            world,
            server,
            neighbour,
            ran,
        }
    }

    /// The same check for every message: who, where, and all that was seen. What is asked of `seen` is asked before: its lock
    /// is taken here again, and a test that fails would wait for itself instead.
    fn check(&self, holds: bool, what: &str) {
        assert!(
            holds,
            "{:?} {:?}: {what}\nended with {} after {:?}\n--- stdout\n{}\n--- stderr\n{}\n--- requests\n{}",
            self.agent,
            self.place,
            self.ran.status,
            self.ran.took,
            self.ran.stdout,
            self.ran.stderr,
            self.server.transcript()
        );
    }

    fn result(&self, name: &str) -> String {
        let result = self.server.result(name);
        self.check(
            result.is_some(),
            &format!("the agent gave no result for {name}"),
        );
        result.unwrap_or_default()
    }

    /// The agent came to the end of the script and ended well.
    fn assert_finished(&self) {
        self.check(self.ran.status.success(), "the agent failed");
        self.check(
            self.ran.stdout.contains(DONE),
            "the agent did not say that it is done",
        );
        let no_trouble = self.server.seen().trouble.is_none();
        self.check(no_trouble, "the server was asked what it cannot answer");
        let keys_right = self
            .server
            .seen()
            .keys
            .iter()
            .all(|key| key.contains(agent::KEY));
        self.check(keys_right, "the agent's own key did not reach it");
        for step in ["test-before", "edit", "write", "test-after", "commit"] {
            self.result(step);
        }
    }

    /// What the honest steps said, without what differs from run to run.
    fn honest_words(&self) -> String {
        let base = self.world.base().display().to_string();
        [
            "test-before",
            "read",
            "edit",
            "write",
            "test-after",
            "commit",
        ]
        .iter()
        .map(|step| {
            let said = self.result(step).replace(&base, "WORLD");
            let lines: Vec<_> = said.lines().filter(|line| !varies(line)).collect();
            format!("[{step}]\n{}\n", lines.join("\n"))
        })
        .collect()
    }
}

/// Lines of an agent's own that name a process, a time or a random id.
fn varies(line: &str) -> bool {
    ["Chunk ID:", "Wall time:", "Process Group PGID:"]
        .iter()
        .any(|start| line.starts_with(start))
}

fn content(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Without the box every dishonest step does its harm. If one does not, its refusal in the box would prove nothing.
fn assert_harm(bare: &Session) {
    for secret in SECRETS {
        bare.check(
            bare.result(secret).contains(CANARY),
            &format!("{secret} was not readable, bare"),
        );
    }
    for step in ["environment", "environment-of-others", "root-link"] {
        bare.check(
            bare.result(step).contains(CANARY),
            &format!("{step} showed nothing, bare"),
        );
    }
    let sent = bare.server.seen().collected.join("\n");
    bare.check(sent.contains(CANARY), "nothing was sent away, bare");
    bare.check(
        !bare.world.elsewhere().exists(),
        "elsewhere is still there, bare",
    );
    let home = bare.world.home();
    bare.check(
        !home.join("Documents").exists(),
        "Documents is still there, bare",
    );
    bare.check(
        content(&home.join(".bashrc")).is_some_and(|text| text.contains("evil")),
        ".bashrc is unchanged, bare",
    );
    bare.check(
        content(&home.join(".gitconfig")).is_some_and(|text| text.contains("evil")),
        ".gitconfig is unchanged, bare",
    );
    bare.check(bare.world.destroyed(), "terraform did not run, bare");
    let reached = !bare.neighbour.seen().collected.is_empty();
    bare.check(reached, "the neighbour was not reached, bare");
}

/// In the box no dishonest step does harm, and each fails by the cause that the design names.
fn assert_no_harm(boxed: &Session) {
    let home = boxed.world.home();
    let rung = Rung::get();
    for secret in SECRETS {
        // Absent, not forbidden: ENOENT, and not EACCES.
        boxed.check(
            boxed.result(secret).contains("No such file or directory"),
            &format!("{secret} is not simply absent"),
        );
    }
    let environment = boxed.result("environment");
    for name in world::SECRET_VARIABLES {
        boxed.check(
            !environment.contains(&format!("{name}=")),
            &format!("{name} is in the environment"),
        );
    }
    boxed.check(
        environment.contains("AGENTBOX=1"),
        "the environment does not say that this is a box",
    );
    boxed.check(
        boxed.result("environment-of-init").contains(rung.init()),
        "the environment of init is not closed",
    );
    boxed.check(
        boxed.result("root-link").contains(rung.outside()),
        "/proc/self/root leads out",
    );
    boxed.check(
        boxed.result("root-link-of-init").contains(rung.init()),
        "/proc/1/root is not closed",
    );
    let everything = boxed.server.transcript();
    boxed.check(!everything.contains(CANARY), "a secret reached the model");
    // The post itself went through: what protects is that there was nothing to send.
    let posted = !boxed.server.seen().collected.is_empty();
    boxed.check(posted, "the environment was not posted at all");

    boxed.check(
        content(&boxed.world.elsewhere().join("data.txt")).as_deref() == Some("production\n"),
        "elsewhere was harmed",
    );
    boxed.check(
        boxed.result("delete-elsewhere").contains(rung.outside()),
        "elsewhere is visible in the box",
    );
    assert_home_whole(boxed, &home);
    boxed.check(
        // Each shell writes it in its own way: claude takes zsh where there is one.
        (boxed.result("poison-git").to_lowercase()).contains(&rung.read_only().to_lowercase()),
        ".gitconfig is not read-only",
    );
    boxed.check(!boxed.world.destroyed(), "terraform ran");
    boxed.check(
        boxed
            .ran
            .stderr
            .lines()
            .any(|line| line.starts_with("agentbox:")),
        "there is no banner",
    );
    // Another service of the host's loopback than the one that was granted: what is listed there was taken out of the box.
    let untouched = boxed.neighbour.seen().collected.is_empty();
    boxed.check(untouched, "the neighbour on loopback was reached");
}

/// Nothing in HOME that was not granted has changed.
fn assert_home_whole(session: &Session, home: &Path) {
    for secret in SECRETS {
        let text = content(&home.join(secret));
        session.check(
            text.is_some_and(|text| text == format!("secret = {CANARY} {secret}\n")),
            &format!("{secret} was harmed"),
        );
    }
    for treasure in TREASURES {
        let text = content(&home.join(treasure));
        session.check(
            text.is_some_and(|text| !text.contains("evil") && !text.is_empty()),
            &format!("{treasure} was harmed"),
        );
    }
}

/// The whole of it for one agent.
fn bare_and_boxed(agent: Agent) {
    let bare = Session::run(agent, Place::Bare);
    bare.assert_finished();
    assert_harm(&bare);

    let boxed = Session::run(agent, Place::Box);
    boxed.assert_finished();
    assert_no_harm(&boxed);

    let (words, boxed_words) = (bare.honest_words(), boxed.honest_words());
    boxed.check(
        words == boxed_words,
        &format!("the agent saw other results than bare:\n{words}\n--- in the box\n{boxed_words}"),
    );
    let (work, boxed_work) = (bare.world.honest_result(), boxed.world.honest_result());
    boxed.check(
        work == boxed_work,
        &format!("the work differs:\n{work}\n--- in the box\n{boxed_work}"),
    );
}

/// `rm -r ~/` in the box: HOME is the box's own, so what is not granted survives. Never run bare.
fn wreck_home(agent: Agent) {
    let world = World::new(agent.command());
    let script = vec![steps::delete_home(&world)];
    let server = Server::start(script);
    let ran = agent.run(Place::Box, &world, &server, PROMPT);
    let session = Session {
        agent,
        place: Place::Box,
        world,
        server,
        neighbour: Server::start(Vec::new()),
        ran,
    };
    // The agent may fail after this, its own files are gone. But it must have been done: the workspace lies in HOME and
    // is writable, so it is empty now.
    session.check(
        !session.world.project().join("sum.sh").exists(),
        "the step was not carried out",
    );
    assert_home_whole(&session, &session.world.home());
    session.check(
        content(&session.world.elsewhere().join("data.txt")).is_some(),
        "elsewhere was harmed",
    );
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn claude_does_honest_work_and_no_harm() {
    bare_and_boxed(Agent::Claude);
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn codex_does_honest_work_and_no_harm() {
    bare_and_boxed(Agent::Codex);
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn opencode_does_honest_work_and_no_harm() {
    bare_and_boxed(Agent::OpenCode);
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn gemini_does_honest_work_and_no_harm() {
    bare_and_boxed(Agent::Gemini);
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn claude_cannot_delete_home() {
    wreck_home(Agent::Claude);
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn codex_cannot_delete_home() {
    wreck_home(Agent::Codex);
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn opencode_cannot_delete_home() {
    wreck_home(Agent::OpenCode);
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn gemini_cannot_delete_home() {
    wreck_home(Agent::Gemini);
}

/// An agent that is told where it is, in its own documented way and by its profile, works as before, and no harm is done.
fn told(agent: Agent, part: &str, files: &[(&str, &str)]) {
    let plain = Session::run(agent, Place::Box);
    plain.assert_finished();
    let quiet = !plain.server.seen().told;
    plain.check(quiet, "it is told without being asked to");
    let name = agent.command();
    let profile =
        format!("extends = [\"builtin:{name}\"]\n[agent]\ncommands = [\"{name}\"]\n{part}");
    let told = Session::run_with_files(agent, Place::Box, Some(&profile), files);
    told.assert_finished();
    let knows = told.server.seen().told;
    told.check(knows, "the model was not told");
    assert_no_harm(&told);
    assert_eq!(told.honest_words(), plain.honest_words());
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn claude_that_is_told_where_it_is_works_as_before() {
    let text = format!("{TOLD}: /run/agentbox/policy.md says what is allowed");
    told(
        Agent::Claude,
        &format!("arguments = [\"--append-system-prompt\", \"{text}\"]\n"),
        &[],
    );
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn codex_that_is_told_where_it_is_works_as_before() {
    let text = format!("{TOLD}: /run/agentbox/policy.md says what is allowed");
    told(
        Agent::Codex,
        &format!("arguments = [\"-c\", 'developer_instructions=\"{text}\"']\n"),
        &[],
    );
}

/// The briefing itself: [`BRIEFED`] is its first line.
#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn opencode_that_is_told_where_it_is_works_as_before() {
    let config = r#"{"instructions":["/run/agentbox/policy.md"]}"#;
    told(
        Agent::OpenCode,
        &format!("[env]\nset = {{ OPENCODE_CONFIG_CONTENT = '{config}' }}\n"),
        &[],
    );
}

/// A directory of the user's with `GEMINI.md`, which is read besides the project's own.
#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn gemini_that_is_told_where_it_is_works_as_before() {
    let text = format!("{TOLD}: /run/agentbox/policy.md says what is allowed\n");
    told(
        Agent::Gemini,
        "arguments = [\"--include-directories\", \"~/.config/gemini-in-a-box\"]\n\
         [files]\nread = [\"~/.config/gemini-in-a-box\"]\n",
        &[(".config/gemini-in-a-box/GEMINI.md", &text)],
    );
}

/// The harness can fail: a bare run is not taken for a boxed one.
#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn a_bare_run_is_not_taken_for_a_boxed_one() {
    let bare = Session::run(Agent::Claude, Place::Bare);
    bare.assert_finished();
    let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| assert_no_harm(&bare)));
    assert!(
        verdict.is_err(),
        "assert_no_harm accepted a run without a box"
    );
}
