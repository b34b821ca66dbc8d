//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::plan::rung::Rung;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "devcontainer",
        description: Some("The entrypoint of a development container: what runs in it is joined by `agentbox exec`"),
        extends: &[
            ("base", 115, 121), ("toolchains", 123, 135), ("git", 137, 142), ("registries", 144, 156),
            ("git-hosting", 158, 171), ("docs", 173, 179),
        ],
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
            ("REMOTE_CONTAINERS", 6), ("CODESPACES", 6), ("DEVCONTAINER", 7),
        ],
        deny: &[],
        set: &[],
        network: Some((NetworkMode::Filtered, 11)),
        reach: &[],
        shun: &[],
        limits: &[],
        stop_grace: None,
        require: &[],
        allow_missing: &[],
        layers_off: &[],
        rung: Some((Rung::Landlock, 14)),
        stop_files: &[],
        notices: &[],
};
