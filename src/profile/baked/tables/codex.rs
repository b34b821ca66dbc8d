//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "codex",
        description: Some("Codex CLI"),
        extends: &[
            ("base", 37, 43), ("toolchains", 45, 57), ("git", 59, 64), ("registries", 66, 78), ("git-hosting", 80, 93),
            ("docs", 95, 101),
        ],
        commands: &[
            "codex",
        ],
        read: &[
            ("~/.codex/AGENTS.md", true, false, 18), ("~/.codex/AGENTS.override.md", true, false, 19),
            ("~/.codex/prompts", true, false, 20), ("~/.codex/rules", true, false, 21),
            ("~/.codex/hooks.json", true, false, 22),
        ],
        write: &[],
        state: &[
            ("~/.codex/auth.json", false, false, 25), ("~/.codex/config.toml", false, false, 26),
        ],
        private: &[],
        project: &[
            ("~/.codex/sessions", false, true, 30), ("~/.codex/archived_sessions", false, true, 31),
            ("~/.codex/history.jsonl", false, false, 32),
        ],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("OPENAI_API_KEY", 37), ("CODEX_API_KEY", 37), ("OPENAI_BASE_URL", 38), ("OPENAI_ORGANIZATION", 39),
            ("OPENAI_PROJECT", 39), ("CODEX_CA_CERTIFICATE", 40),
        ],
        deny: &[],
        set: &[],
        network: Some((NetworkMode::Filtered, 45)),
        reach: &[
            (Named::Exactly, "api.openai.com", &[], &[], 47), (Named::Exactly, "chatgpt.com", &[], &[], 48),
            (Named::Exactly, "ab.chatgpt.com", &[], &[], 48), (Named::Exactly, "auth.openai.com", &[], &[], 49),
        ],
        shun: &[],
        limits: &[],
        stop_grace: None,
        require: &[],
        allow_missing: &[],
        layers_off: &[],
        rung: None,
        stop_files: &[],
        notices: &[
            ("Codex cannot start its own sandbox inside this one but with --nested allow: run it with --dangerously-bypass-approvals-and-sandbox", 7),
            ("Codex's own server ends with the box, and so does the work that it says continues; `codex --no-daemon` does without it, and without its copy of 425 MB in memory", 8),
            ("Codex cannot update itself here; outside: `codex update`, or npm install -g @openai/codex; `check_for_update_on_startup = false` in ~/.codex/config.toml stops the question", 9),
        ],
};
