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
}

/// All of them, by name.
pub const ALL: [Builtin; 13] = [
    Builtin {
        name: "base",
        text: include_str!("../../profiles/base.toml"),
        commands: &[],
    },
    Builtin {
        name: "ci",
        text: include_str!("../../profiles/ci.toml"),
        commands: &[],
    },
    Builtin {
        name: "claude",
        text: include_str!("../../profiles/claude.toml"),
        commands: &["claude"],
    },
    Builtin {
        name: "codex",
        text: include_str!("../../profiles/codex.toml"),
        commands: &["codex"],
    },
    Builtin {
        name: "devcontainer",
        text: include_str!("../../profiles/devcontainer.toml"),
        commands: &[],
    },
    Builtin {
        name: "docs",
        text: include_str!("../../profiles/docs.toml"),
        commands: &[],
    },
    Builtin {
        name: "gemini",
        text: include_str!("../../profiles/gemini.toml"),
        commands: &["gemini"],
    },
    Builtin {
        name: "git-hosting",
        text: include_str!("../../profiles/git-hosting.toml"),
        commands: &[],
    },
    Builtin {
        name: "git",
        text: include_str!("../../profiles/git.toml"),
        commands: &[],
    },
    Builtin {
        name: "opencode",
        text: include_str!("../../profiles/opencode.toml"),
        commands: &["opencode"],
    },
    Builtin {
        name: "registries",
        text: include_str!("../../profiles/registries.toml"),
        commands: &[],
    },
    Builtin {
        name: "shell",
        text: include_str!("../../profiles/shell.toml"),
        commands: &[],
    },
    Builtin {
        name: "toolchains",
        text: include_str!("../../profiles/toolchains.toml"),
        commands: &[],
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
