//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "cursor-agent",
        description: Some("Cursor CLI (written from its documentation, not run)"),
        extends: &[
            ("base", 274, 280), ("toolchains", 282, 294), ("git", 296, 301), ("registries", 303, 315),
            ("git-hosting", 317, 330), ("docs", 332, 338),
        ],
        commands: &[
            "cursor-agent",
        ],
        read: &[
            ("~/.cursor/mcp.json", true, false, 16), ("~/.cursor/rules", true, false, 17),
            ("~/.cursor/commands", true, false, 18), ("~/.cursor/permissions.json", true, false, 19),
            ("~/.local/share/cursor-agent", true, false, 20),
        ],
        write: &[],
        state: &[
            ("~/.cursor/cli-config.json", false, false, 23), ("~/.config/cursor/auth.json", false, false, 24),
        ],
        private: &[],
        project: &[
            ("~/.cursor/chats", false, true, 27), ("~/.cursor/projects", false, true, 28),
        ],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("CURSOR_API_KEY", 33), ("NO_OPEN_BROWSER", 34),
        ],
        deny: &[],
        set: &[],
        network: Some((NetworkMode::Filtered, 38)),
        reach: &[
            (Named::Exactly, "api2.cursor.sh", &[], &[], 40), (Named::Exactly, "api3.cursor.sh", &[], &[], 40),
            (Named::Exactly, "api4.cursor.sh", &[], &[], 40), (Named::Under, "cursorapi.com", &[], &[], 41),
            (Named::Exactly, "cursor.com", &[], &[], 42), (Named::Exactly, "authenticator.cursor.sh", &[], &[], 42),
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
            ("this profile was written from the documentation of Cursor CLI and was not tried with it", 10),
            ("Cursor CLI cannot update itself here; outside: `cursor-agent update`", 11),
        ],
};
