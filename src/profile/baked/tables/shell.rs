//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "shell",
        description: Some("Any other command: a shell, a build, a test run"),
        extends: &[
            ("base", 119, 125), ("toolchains", 127, 139), ("git", 141, 146), ("registries", 148, 160),
            ("git-hosting", 162, 175), ("docs", 177, 183),
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
        keep: &[],
        deny: &[],
        set: &[],
        network: Some((NetworkMode::Filtered, 9)),
        reach: &[],
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
