//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "git",
        description: Some("git: the user's name and settings, signing off"),
        extends: &[],
        commands: &[],
        read: &[
            ("~/.gitconfig", true, false, 7), ("~/.config/git/config", true, false, 9),
            ("~/.config/git/ignore", true, false, 10), ("~/.config/git/attributes", true, false, 11),
            ("~/.gitignore", true, false, 12), ("~/.gitignore_global", true, false, 13),
        ],
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
            ("GIT_AUTHOR_NAME", 18), ("GIT_AUTHOR_EMAIL", 18), ("GIT_AUTHOR_DATE", 18), ("GIT_COMMITTER_NAME", 19),
            ("GIT_COMMITTER_EMAIL", 19), ("GIT_COMMITTER_DATE", 19), ("GIT_INDEX_FILE", 20),
            ("GIT_OBJECT_DIRECTORY", 21), ("GIT_ALTERNATE_OBJECT_DIRECTORIES", 21), ("GIT_QUARANTINE_PATH", 21),
            ("GIT_EDITOR", 22), ("GIT_PAGER", 22), ("GIT_TERMINAL_PROMPT", 22),
        ],
        deny: &[],
        set: &[
            ("GIT_CONFIG_COUNT", "2", 27), ("GIT_CONFIG_KEY_0", "commit.gpgsign", 28),
            ("GIT_CONFIG_KEY_1", "tag.gpgsign", 30), ("GIT_CONFIG_VALUE_0", "false", 29),
            ("GIT_CONFIG_VALUE_1", "false", 31),
        ],
        network: None,
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
