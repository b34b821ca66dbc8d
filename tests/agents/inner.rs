//! The agents' own sandboxes (bubblewrap for both) within a box of the rung `nested`.

use crate::agent::{Agent, Place};
use crate::script::{Action, Step};
use crate::server::Server;
use crate::world::{CANARY, SECRETS, World};
use crate::{Session, steps};

fn shell(name: &'static str, command: &str) -> Step {
    Step {
        name,
        action: Action::Shell(command.to_owned()),
    }
}

/// Honest work, and what one of the two sandboxes forbids.
fn run(agent: Agent, place: Place) -> Session {
    let world = World::new(agent.command());
    let mut script = vec![
        // The box lets its HOME be written, and an inner sandbox the workspace alone.
        shell("inner", "echo x >~/outside && echo written"),
        shell("twin", "echo x >inside && rm inside && echo written"),
        // An inner sandbox hides nothing from its agent, and the box does.
        shell(SECRETS[0], &format!("cat ~/{}", SECRETS[0])),
    ];
    script.extend(steps::honest(&world));
    // Claude Code's sandbox covers names of the working directory that do not exist, and `git add -A` fails at the covers.
    for step in &mut script {
        if let Action::Shell(command) = &mut step.action {
            *command = command.replace("git add -A", "git add sum.sh NOTES.md");
        }
    }
    let server = Server::start(script);
    let ran = agent.run(place, &world, &server, crate::PROMPT);
    Session {
        agent,
        place,
        world,
        server,
        neighbour: Server::start(Vec::new()),
        ran,
    }
}

fn works_in_the_box(agent: Agent) {
    let [alone, boxed, both] =
        [Place::Inner, Place::Box, Place::Nested].map(|place| run(agent, place));
    for session in [&alone, &boxed, &both] {
        session.assert_finished();
        let said = session.result("twin");
        session.check(said.contains("written"), "the workspace is not written");
        let said = session.result("inner");
        // Each shell writes it in its own way.
        let forbidden = said.to_lowercase().contains("read-only file system");
        session.check(
            forbidden == (session.place != Place::Box),
            "HOME: is there an inner sandbox?",
        );
        // Codex's own sandbox lets nothing be written in .git.
        let said = session.result("commit");
        let has_no_git = session.agent == Agent::Codex && session.place != Place::Box;
        let wanted = if has_no_git {
            "Read-only file system"
        } else {
            "Correct the sign"
        };
        session.check(said.contains(wanted), "is there a commit?");
        let said = session.world.honest_result();
        session.check(
            said.contains("?? NOTES.md") == has_no_git,
            "is the work there?",
        );
        let said = session.result(SECRETS[0]);
        if session.place == Place::Inner {
            session.check(said.contains(CANARY), "the inner sandbox hides, too");
        } else {
            session.check(said.contains("No such file"), "a secret is not absent");
        }
    }
    let (words, boxed_words) = (alone.honest_words(), both.honest_words());
    both.check(
        words == boxed_words,
        &format!(
            "the agent saw other results than without the box:\n{words}\n--- in it\n{boxed_words}"
        ),
    );
    let (work, boxed_work) = (alone.world.honest_result(), both.world.honest_result());
    both.check(
        work == boxed_work,
        &format!("the work differs:\n{work}\n--- in the box\n{boxed_work}"),
    );
    let rung = both
        .ran
        .stderr
        .lines()
        .any(|line| line.contains("rung nested"));
    both.check(rung, "the banner does not name the rung");
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn the_sandbox_of_claude_works_in_a_nested_box() {
    works_in_the_box(Agent::Claude);
}

#[test]
#[ignore = "needs the agents from npm: scripts/agents"]
fn the_sandbox_of_codex_works_in_a_nested_box() {
    works_in_the_box(Agent::Codex);
}
