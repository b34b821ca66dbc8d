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
            ("~/.codex/AGENTS.md", true, false, 17), ("~/.codex/AGENTS.override.md", true, false, 18),
            ("~/.codex/prompts", true, false, 19), ("~/.codex/rules", true, false, 20),
            ("~/.codex/hooks.json", true, false, 21),
        ],
        write: &[],
        state: &[
            ("~/.codex/auth.json", false, false, 24), ("~/.codex/config.toml", false, false, 25),
        ],
        private: &[],
        project: &[
            ("~/.codex/sessions", false, true, 29), ("~/.codex/archived_sessions", false, true, 30),
            ("~/.codex/history.jsonl", false, false, 31),
        ],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("OPENAI_API_KEY", 36), ("CODEX_API_KEY", 36), ("OPENAI_BASE_URL", 37), ("OPENAI_ORGANIZATION", 38),
            ("OPENAI_PROJECT", 38), ("CODEX_CA_CERTIFICATE", 39),
        ],
        deny: &[],
        set: &[],
        network: Some((NetworkMode::Filtered, 44)),
        reach: &[
            (Named::Exactly, "api.openai.com", &[], &[], 46), (Named::Exactly, "chatgpt.com", &[], &[], 47),
            (Named::Exactly, "ab.chatgpt.com", &[], &[], 47), (Named::Exactly, "auth.openai.com", &[], &[], 48),
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
            ("Codex cannot update itself here; outside: `codex update`, or npm install -g @openai/codex; `check_for_update_on_startup = false` in ~/.codex/config.toml stops the question", 8),
        ],
};
