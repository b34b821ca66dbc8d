//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "gh",
        description: Some("GitHub's gh with a token made for it (GH_TOKEN)"),
        extends: &[],
        commands: &[],
        read: &[],
        write: &[],
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
            ("GH_TOKEN", 9), ("GH_HOST", 10), ("GH_REPO", 10),
        ],
        deny: &[],
        set: &[
            ("GH_NO_UPDATE_NOTIFIER", "1", 15), ("GH_PROMPT_DISABLED", "1", 14),
        ],
        network: None,
        reach: &[
            (Named::Exactly, "api.github.com", &[], &[], 19), (Named::Exactly, "uploads.github.com", &[], &[], 19),
            (Named::Exactly, "github.com", &[22, 443], &[], 20),
        ],
        shun: &[],
        limits: &[],
        stop_grace: None,
        require: &[],
        allow_missing: &[],
        layers_off: &[],
        rung: None,
        stop_files: &[],
        notices: &[],
};
