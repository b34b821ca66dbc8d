//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "opencode",
        description: Some("opencode"),
        extends: &[
            ("base", 36, 42), ("toolchains", 44, 56), ("git", 58, 63), ("registries", 65, 77), ("git-hosting", 79, 92),
            ("docs", 94, 100),
        ],
        commands: &[
            "opencode",
        ],
        read: &[
            ("~/.config/opencode/config.json", true, false, 14), ("~/.config/opencode/opencode.json", true, false, 15),
            ("~/.config/opencode/opencode.jsonc", true, false, 16), ("~/.config/opencode/tui.json", true, false, 17),
            ("~/.config/opencode/AGENTS.md", true, false, 18), ("~/.config/opencode/agent", true, false, 19),
            ("~/.config/opencode/agents", true, false, 19), ("~/.config/opencode/command", true, false, 20),
            ("~/.config/opencode/commands", true, false, 20), ("~/.config/opencode/mode", true, false, 21),
            ("~/.config/opencode/modes", true, false, 21), ("~/.config/opencode/plugin", true, false, 22),
            ("~/.config/opencode/plugins", true, false, 22), ("~/.config/opencode/skill", true, false, 23),
            ("~/.config/opencode/skills", true, false, 23), ("~/.config/opencode/tool", true, false, 24),
            ("~/.config/opencode/tools", true, false, 24), ("~/.config/opencode/themes", true, false, 25),
        ],
        write: &[],
        state: &[
            ("~/.local/share/opencode/auth.json", false, false, 28),
            ("~/.local/share/opencode/mcp-auth.json", false, false, 29),
            ("~/.local/state/opencode/model.json", false, false, 30),
        ],
        private: &[
            ("~/.config/opencode/node_modules", false, false, 33), ("~/.local/share/opencode/bin", false, false, 34),
        ],
        project: &[
            ("~/.local/share/opencode/box", false, true, 38), ("~/.local/share/opencode/storage", false, true, 39),
            ("~/.local/share/opencode/plans", false, true, 40),
            ("~/.local/share/opencode/tool-output", false, true, 41), ("~/.local/share/opencode/log", false, true, 42),
            ("~/.local/share/opencode/snapshot", false, true, 43),
            ("~/.local/share/opencode/worktree", false, true, 44),
            ("~/.local/state/opencode/prompt-history.jsonl", false, false, 45),
        ],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("OPENCODE_API_KEY", 50), ("ANTHROPIC_API_KEY", 51), ("ANTHROPIC_BASE_URL", 51), ("OPENAI_API_KEY", 52),
            ("OPENAI_BASE_URL", 52), ("GEMINI_API_KEY", 53), ("GOOGLE_GENERATIVE_AI_API_KEY", 53),
            ("OPENROUTER_API_KEY", 54), ("OPENCODE_CONFIG", 55), ("OPENCODE_CONFIG_DIR", 55),
            ("OPENCODE_DISABLE_*", 56), ("OPENCODE_EXPERIMENTAL*", 56),
        ],
        deny: &[],
        set: &[
            ("OPENCODE_DB", "box/opencode.db", 62), ("OPENCODE_DISABLE_AUTOUPDATE", "true", 61),
        ],
        network: Some((NetworkMode::Filtered, 65)),
        reach: &[
            (Named::Exactly, "models.opencode.ai", &[], &[], 67), (Named::Exactly, "models.dev", &[], &[], 67),
            (Named::Exactly, "opencode.ai", &[], &[], 68), (Named::Exactly, "api.opencode.ai", &[], &[], 68),
            (Named::Exactly, "api.anthropic.com", &[], &[], 69), (Named::Exactly, "api.openai.com", &[], &[], 69),
            (Named::Exactly, "generativelanguage.googleapis.com", &[], &[], 69),
            (Named::Exactly, "openrouter.ai", &[], &[], 69), (Named::Exactly, "registry.npmjs.org", &[], &[], 70),
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
            ("opencode does not update itself here; outside: `opencode upgrade`, or npm install -g opencode-ai", 7),
        ],
};
