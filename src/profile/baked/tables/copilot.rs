//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "copilot",
        description: Some("GitHub Copilot CLI (written from its documentation, not run)"),
        extends: &[
            ("base", 326, 332), ("toolchains", 334, 346), ("git", 348, 353), ("registries", 355, 367),
            ("git-hosting", 369, 382), ("docs", 384, 390),
        ],
        commands: &[
            "copilot",
        ],
        read: &[
            ("~/.copilot/mcp-config.json", true, false, 17), ("~/.copilot/lsp-config.json", true, false, 18),
            ("~/.copilot/copilot-instructions.md", true, false, 19), ("~/.copilot/instructions", true, false, 20),
            ("~/.copilot/agents", true, false, 21), ("~/.copilot/skills", true, false, 22),
            ("~/.copilot/settings.json", true, false, 23),
        ],
        write: &[],
        state: &[
            ("~/.copilot/config.json", false, false, 26),
        ],
        private: &[
            ("~/.copilot/pkg", false, false, 29),
        ],
        project: &[
            ("~/.copilot/session-state", false, true, 32), ("~/.copilot/logs", false, true, 33),
        ],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("COPILOT_GITHUB_TOKEN", 38), ("COPILOT_MODEL", 39),
        ],
        deny: &[],
        set: &[
            ("COPILOT_AUTO_UPDATE", "false", 43),
        ],
        network: Some((NetworkMode::Filtered, 46)),
        reach: &[
            (Named::Exactly, "api.githubcopilot.com", &[], &[], 48),
            (Named::Exactly, "api.individual.githubcopilot.com", &[], &[], 48),
            (Named::Exactly, "api.business.githubcopilot.com", &[], &[], 49),
            (Named::Exactly, "api.enterprise.githubcopilot.com", &[], &[], 49),
            (Named::Exactly, "copilot-proxy.githubusercontent.com", &[], &[], 50),
            (Named::Exactly, "api.github.com", &[], &[], 51),
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
            ("this profile was written from the documentation of GitHub Copilot CLI and was not tried with it", 10),
            ("a token of yours with other rights than Copilot Requests can do with them what it may: make one for this, COPILOT_GITHUB_TOKEN", 11),
            ("Copilot cannot update itself here; outside: `copilot update`, or npm install -g @github/copilot", 12),
        ],
};
