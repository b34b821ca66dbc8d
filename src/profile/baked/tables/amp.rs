//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "amp",
        description: Some("Amp (written from its documentation, not run)"),
        extends: &[
            ("base", 259, 265), ("toolchains", 267, 279), ("git", 281, 286), ("registries", 288, 300),
            ("git-hosting", 302, 315), ("docs", 317, 323),
        ],
        commands: &[
            "amp",
        ],
        read: &[
            ("~/.config/amp/settings.json", true, false, 16), ("~/.config/amp/settings.jsonc", true, false, 17),
            ("~/.config/amp/AGENTS.md", true, false, 18), ("~/.config/AGENTS.md", true, false, 19),
            ("~/.config/amp/commands", true, false, 20), ("~/.config/amp/tools", true, false, 21),
            ("~/.amp/bin", true, false, 22),
        ],
        write: &[
            ("~/.local/share/amp", false, true, 25),
        ],
        state: &[],
        private: &[],
        project: &[],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("AMP_API_KEY", 30), ("AMP_URL", 31), ("AMP_LOG_LEVEL", 32),
        ],
        deny: &[],
        set: &[
            ("AMP_SKIP_UPDATE_CHECK", "1", 36),
        ],
        network: Some((NetworkMode::Filtered, 39)),
        reach: &[
            (Named::Exactly, "ampcode.com", &[], &[], 41), (Named::Under, "ampcode.com", &[], &[], 41),
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
            ("this profile was written from the documentation of Amp and was not tried with it", 10),
            ("Amp cannot update itself here; outside: `amp update`", 11),
        ],
};
