//! The profiles that are part of the program, and the commands that select them.

#![forbid(unsafe_code)]

/// One built-in profile.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// NAME.
    pub name: &'static str,
    /// The TOML.
    pub text: &'static str,
    /// `[agent] commands`, here again so that choosing a profile parses none; a test holds both together.
    pub commands: &'static [&'static str],
    /// For an agent: how it is known that the profile fits.
    pub proof: Option<Proof>,
}

/// How it is known that a profile fits its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The agent was run with it (`tests/agents`).
    Run,
    /// It was written from the agent's documentation.
    Documentation,
}

/// All of them, by name.
pub const ALL: [Builtin; 21] = [
    Builtin {
        name: "aider",
        text: include_str!("../../profiles/aider.toml"),
        commands: &["aider"],
        proof: Some(Proof::Documentation),
    },
    Builtin {
        name: "amp",
        text: include_str!("../../profiles/amp.toml"),
        commands: &["amp"],
        proof: Some(Proof::Documentation),
    },
    Builtin {
        name: "base",
        text: include_str!("../../profiles/base.toml"),
        commands: &[],
        proof: None,
    },
    Builtin {
        name: "ci",
        text: include_str!("../../profiles/ci.toml"),
        commands: &[],
        proof: None,
    },
    Builtin {
        name: "claude",
        text: include_str!("../../profiles/claude.toml"),
        commands: &["claude"],
        proof: Some(Proof::Run),
    },
    Builtin {
        name: "codex",
        text: include_str!("../../profiles/codex.toml"),
        commands: &["codex"],
        proof: Some(Proof::Run),
    },
    Builtin {
        name: "copilot",
        text: include_str!("../../profiles/copilot.toml"),
        commands: &["copilot"],
        proof: Some(Proof::Documentation),
    },
    Builtin {
        name: "crush",
        text: include_str!("../../profiles/crush.toml"),
        commands: &["crush"],
        proof: Some(Proof::Documentation),
    },
    Builtin {
        name: "cursor-agent",
        text: include_str!("../../profiles/cursor-agent.toml"),
        commands: &["cursor-agent"],
        proof: Some(Proof::Documentation),
    },
    Builtin {
        name: "devcontainer",
        text: include_str!("../../profiles/devcontainer.toml"),
        commands: &[],
        proof: None,
    },
    Builtin {
        name: "docs",
        text: include_str!("../../profiles/docs.toml"),
        commands: &[],
        proof: None,
    },
    Builtin {
        name: "gemini",
        text: include_str!("../../profiles/gemini.toml"),
        commands: &["gemini"],
        proof: Some(Proof::Run),
    },
    Builtin {
        name: "gh",
        text: include_str!("../../profiles/gh.toml"),
        commands: &[],
        proof: None,
    },
    Builtin {
        name: "git-hosting",
        text: include_str!("../../profiles/git-hosting.toml"),
        commands: &[],
        proof: None,
    },
    Builtin {
        name: "git",
        text: include_str!("../../profiles/git.toml"),
        commands: &[],
        proof: None,
    },
    Builtin {
        name: "goose",
        text: include_str!("../../profiles/goose.toml"),
        commands: &["goose"],
        proof: Some(Proof::Documentation),
    },
    Builtin {
        name: "opencode",
        text: include_str!("../../profiles/opencode.toml"),
        commands: &["opencode"],
        proof: Some(Proof::Run),
    },
    Builtin {
        name: "qwen",
        text: include_str!("../../profiles/qwen.toml"),
        commands: &["qwen"],
        proof: Some(Proof::Documentation),
    },
    Builtin {
        name: "registries",
        text: include_str!("../../profiles/registries.toml"),
        commands: &[],
        proof: None,
    },
    Builtin {
        name: "shell",
        text: include_str!("../../profiles/shell.toml"),
        commands: &[],
        proof: None,
    },
    Builtin {
        name: "toolchains",
        text: include_str!("../../profiles/toolchains.toml"),
        commands: &[],
        proof: None,
    },
];

/// The profile of a command that no profile lists.
pub const FALLBACK: &str = "shell";

/// That built-in profile.
#[must_use]
pub fn get(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|builtin| builtin.name == name)
}

/// The built-in profile that lists that base name.
#[must_use]
pub fn by_command(command: &[u8]) -> Option<&'static Builtin> {
    ALL.iter()
        .find(|builtin| builtin.commands.iter().any(|c| c.as_bytes() == command))
}

/// The commands of the agents, in the order in which one is proposed: those that were run first.
pub fn agents() -> impl Iterator<Item = &'static str> {
    let of = |proof: Proof| {
        ALL.iter()
            .filter(move |builtin| builtin.proof == Some(proof))
    };
    let agents = of(Proof::Run).chain(of(Proof::Documentation));
    agents.flat_map(|builtin| builtin.commands.iter().copied())
}
