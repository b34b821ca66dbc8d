//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "claude",
        description: Some("Claude Code"),
        extends: &[
            ("base", 39, 45), ("toolchains", 47, 59), ("git", 61, 66), ("registries", 68, 80), ("git-hosting", 82, 95),
            ("docs", 97, 103),
        ],
        commands: &[
            "claude",
        ],
        read: &[
            ("~/.claude/CLAUDE.md", true, false, 15), ("~/.claude/rules", true, false, 16),
            ("~/.claude/commands", true, false, 17), ("~/.claude/agents", true, false, 18),
            ("~/.claude/skills", true, false, 19), ("~/.claude/plugins", true, false, 20),
            ("~/.claude/hooks", true, false, 21), ("~/.claude/output-styles", true, false, 22),
            ("~/.claude/themes", true, false, 23), ("~/.claude/keybindings.json", true, false, 24),
            ("~/.claude/local", true, false, 25),
        ],
        write: &[
            ("~/.claude/projects", false, true, 28), ("~/.claude/todos", false, true, 29),
            ("~/.claude/tasks", false, true, 30), ("~/.claude/plans", false, true, 31),
            ("~/.claude/file-history", false, true, 32), ("~/.claude/paste-cache", false, true, 33),
            ("~/.claude/history.jsonl", true, false, 34),
        ],
        state: &[
            ("~/.claude.json", false, false, 37), ("~/.claude/.credentials.json", false, false, 38),
            ("~/.claude/settings.json", false, false, 39),
        ],
        private: &[],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("ANTHROPIC_API_KEY", 44), ("ANTHROPIC_AUTH_TOKEN", 45), ("CLAUDE_CODE_OAUTH_TOKEN", 46),
            ("ANTHROPIC_BASE_URL", 47), ("ANTHROPIC_*", 48), ("CLAUDE_CODE_*", 49), ("API_TIMEOUT_MS", 50),
            ("BASH_DEFAULT_TIMEOUT_MS", 50), ("BASH_MAX_TIMEOUT_MS", 50), ("MAX_THINKING_TOKENS", 50),
            ("MCP_TIMEOUT", 51), ("MCP_TOOL_TIMEOUT", 51), ("MAX_MCP_OUTPUT_TOKENS", 51), ("DISABLE_TELEMETRY", 52),
            ("DISABLE_ERROR_REPORTING", 52), ("DO_NOT_TRACK", 52),
        ],
        deny: &[],
        set: &[
            ("DISABLE_AUTOUPDATER", "1", 58), ("IS_SANDBOX", "1", 57),
        ],
        network: Some((NetworkMode::Filtered, 61)),
        reach: &[
            (Named::Exactly, "api.anthropic.com", &[], &[], 63), (Named::Exactly, "claude.ai", &[], &[], 64),
            (Named::Exactly, "console.anthropic.com", &[], &[], 64),
            (Named::Exactly, "platform.claude.com", &[], &[], 64),
            (Named::Exactly, "mcp-proxy.anthropic.com", &[], &[], 65),
            (Named::Exactly, "downloads.claude.ai", &[], &[], 66),
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
            ("Claude Code does not update itself here; outside: `claude update`, or npm install -g @anthropic-ai/claude-code", 7),
        ],
};
