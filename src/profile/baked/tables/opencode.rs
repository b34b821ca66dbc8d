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
        write: &[
            ("~/.local/share/opencode", false, true, 28), ("~/.local/state/opencode", false, true, 29),
        ],
        state: &[],
        private: &[
            ("~/.config/opencode/node_modules", false, false, 32), ("~/.local/share/opencode/bin", false, false, 33),
            ("~/.local/share/opencode/snapshot", false, false, 34),
            ("~/.local/share/opencode/worktree", false, false, 35),
        ],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("OPENCODE_API_KEY", 40), ("ANTHROPIC_API_KEY", 41), ("ANTHROPIC_BASE_URL", 41), ("OPENAI_API_KEY", 42),
            ("OPENAI_BASE_URL", 42), ("GEMINI_API_KEY", 43), ("GOOGLE_GENERATIVE_AI_API_KEY", 43),
            ("OPENROUTER_API_KEY", 44), ("OPENCODE_CONFIG", 45), ("OPENCODE_CONFIG_DIR", 45),
            ("OPENCODE_DISABLE_*", 46), ("OPENCODE_EXPERIMENTAL*", 46),
        ],
        deny: &[],
        set: &[
            ("OPENCODE_DISABLE_AUTOUPDATE", "true", 51),
        ],
        network: Some((NetworkMode::Filtered, 54)),
        reach: &[
            (Named::Exactly, "models.opencode.ai", &[], &[], 56), (Named::Exactly, "models.dev", &[], &[], 56),
            (Named::Exactly, "opencode.ai", &[], &[], 57), (Named::Exactly, "api.opencode.ai", &[], &[], 57),
            (Named::Exactly, "api.anthropic.com", &[], &[], 58), (Named::Exactly, "api.openai.com", &[], &[], 58),
            (Named::Exactly, "generativelanguage.googleapis.com", &[], &[], 58),
            (Named::Exactly, "openrouter.ai", &[], &[], 58), (Named::Exactly, "registry.npmjs.org", &[], &[], 59),
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
