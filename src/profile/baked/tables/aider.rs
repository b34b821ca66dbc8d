//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "aider",
        description: Some("aider (written from its documentation, not run)"),
        extends: &[
            ("base", 260, 266), ("toolchains", 268, 280), ("git", 282, 287), ("registries", 289, 301),
            ("git-hosting", 303, 316), ("docs", 318, 324),
        ],
        commands: &[
            "aider",
        ],
        read: &[
            ("~/.aider.conf.yml", true, false, 16), ("~/.aider.model.settings.yml", true, false, 17),
            ("~/.aider.model.metadata.json", true, false, 18),
        ],
        write: &[],
        state: &[],
        private: &[
            ("~/.aider", false, false, 21),
        ],
        project: &[],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("ANTHROPIC_API_KEY", 26), ("ANTHROPIC_BASE_URL", 26), ("OPENAI_API_KEY", 27), ("OPENAI_BASE_URL", 27),
            ("OPENAI_API_BASE", 27), ("GEMINI_API_KEY", 28), ("GOOGLE_API_KEY", 28), ("OPENROUTER_API_KEY", 29),
            ("DEEPSEEK_API_KEY", 29), ("GROQ_API_KEY", 29), ("AIDER_MODEL", 30), ("AIDER_WEAK_MODEL", 30),
            ("AIDER_EDITOR_MODEL", 30), ("AIDER_DARK_MODE", 31), ("AIDER_LIGHT_MODE", 31), ("AIDER_AUTO_COMMITS", 31),
            ("AIDER_DIRTY_COMMITS", 31),
        ],
        deny: &[],
        set: &[
            ("AIDER_ANALYTICS", "false", 36), ("AIDER_CHECK_UPDATE", "false", 35),
        ],
        network: Some((NetworkMode::Filtered, 39)),
        reach: &[
            (Named::Exactly, "api.anthropic.com", &[], &[], 41), (Named::Exactly, "api.openai.com", &[], &[], 42),
            (Named::Exactly, "generativelanguage.googleapis.com", &[], &[], 43),
            (Named::Exactly, "openrouter.ai", &[], &[], 44), (Named::Exactly, "api.deepseek.com", &[], &[], 44),
            (Named::Exactly, "api.groq.com", &[], &[], 44),
            (Named::Exactly, "raw.githubusercontent.com", &[], &[], 45),
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
            ("this profile was written from the documentation of aider and was not tried with it", 10),
            ("aider asks before it updates itself, and cannot here; outside: `aider-install`, or `uv tool upgrade aider-chat`", 11),
        ],
};
