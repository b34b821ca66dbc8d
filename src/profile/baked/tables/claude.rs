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
            ("~/.claude/hooks", true, false, 21), ("~/.claude/scripts", true, false, 21),
            ("~/.claude/statusline-command.sh", true, false, 21), ("~/.claude/statusline.sh", true, false, 21),
            ("~/.claude/statusline.py", true, false, 21), ("~/.claude/statusline.js", true, false, 21),
            ("~/.claude/output-styles", true, false, 22), ("~/.claude/themes", true, false, 23),
            ("~/.claude/keybindings.json", true, false, 24), ("~/.claude/local", true, false, 25),
        ],
        write: &[
            ("~/.claude/projects/${project}", false, true, 28),
        ],
        state: &[
            ("~/.claude.json", false, false, 42), ("~/.claude/.credentials.json", false, false, 43),
            ("~/.claude/settings.json", false, false, 44),
        ],
        private: &[],
        project: &[
            ("~/.claude/projects", false, true, 33), ("~/.claude/todos", false, true, 34),
            ("~/.claude/tasks", false, true, 35), ("~/.claude/plans", false, true, 36),
            ("~/.claude/file-history", false, true, 37), ("~/.claude/paste-cache", false, true, 38),
            ("~/.claude/history.jsonl", false, false, 39),
        ],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("ANTHROPIC_API_KEY", 49), ("ANTHROPIC_AUTH_TOKEN", 50), ("CLAUDE_CODE_OAUTH_TOKEN", 51),
            ("ANTHROPIC_BASE_URL", 52), ("ANTHROPIC_*", 53), ("CLAUDE_CODE_*", 54), ("API_TIMEOUT_MS", 55),
            ("BASH_DEFAULT_TIMEOUT_MS", 55), ("BASH_MAX_TIMEOUT_MS", 55), ("MAX_THINKING_TOKENS", 55),
            ("MCP_TIMEOUT", 56), ("MCP_TOOL_TIMEOUT", 56), ("MAX_MCP_OUTPUT_TOKENS", 56), ("DISABLE_TELEMETRY", 57),
            ("DISABLE_ERROR_REPORTING", 57), ("DO_NOT_TRACK", 57),
        ],
        deny: &[],
        set: &[
            ("DISABLE_AUTOUPDATER", "1", 63), ("IS_SANDBOX", "1", 62),
        ],
        network: Some((NetworkMode::Filtered, 66)),
        reach: &[
            (Named::Exactly, "api.anthropic.com", &[], &[], 68), (Named::Exactly, "claude.ai", &[], &[], 69),
            (Named::Exactly, "console.anthropic.com", &[], &[], 69),
            (Named::Exactly, "platform.claude.com", &[], &[], 69),
            (Named::Exactly, "mcp-proxy.anthropic.com", &[], &[], 70),
            (Named::Exactly, "downloads.claude.ai", &[], &[], 71),
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
