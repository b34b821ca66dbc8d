//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "git",
        description: Some("git: the user's name and settings, signing off"),
        extends: &[],
        commands: &[],
        read: &[
            ("~/.gitconfig", true, false, 12), ("~/.config/git/config", true, false, 14),
            ("~/.config/git/ignore", true, false, 15), ("~/.config/git/attributes", true, false, 16),
            ("~/.gitignore", true, false, 17), ("~/.gitignore_global", true, false, 18),
        ],
        write: &[],
        state: &[],
        private: &[],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("GIT_AUTHOR_NAME", 23), ("GIT_AUTHOR_EMAIL", 23), ("GIT_AUTHOR_DATE", 23), ("GIT_COMMITTER_NAME", 24),
            ("GIT_COMMITTER_EMAIL", 24), ("GIT_COMMITTER_DATE", 24), ("GIT_EDITOR", 25), ("GIT_PAGER", 25),
            ("GIT_TERMINAL_PROMPT", 25),
        ],
        deny: &[],
        set: &[
            ("GIT_CONFIG_COUNT", "2", 30), ("GIT_CONFIG_KEY_0", "commit.gpgsign", 31),
            ("GIT_CONFIG_KEY_1", "tag.gpgsign", 33), ("GIT_CONFIG_VALUE_0", "false", 32),
            ("GIT_CONFIG_VALUE_1", "false", 34),
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
        notices: &[
            ("git does not sign here: the keys stay outside; sign what is to be kept (`git rebase --exec 'git commit --amend --no-edit -S' BASE`)", 7),
        ],
};
