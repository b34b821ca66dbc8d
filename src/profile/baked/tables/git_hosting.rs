//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::plan::net::Mark;
use crate::profile::baked::Named;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "git-hosting",
        description: Some("GitHub, GitLab, Bitbucket, Codeberg: git over https and ssh, archives, APIs"),
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
        keep: &[],
        deny: &[],
        set: &[],
        network: None,
        reach: &[
            (Named::Exactly, "github.com", &[22, 443], &[], 8),
            (Named::Exactly, "ssh.github.com", &[443], &[Mark::Plain], 9),
            (Named::Exactly, "api.github.com", &[], &[], 10), (Named::Exactly, "codeload.github.com", &[], &[], 11),
            (Named::Exactly, "raw.githubusercontent.com", &[], &[], 12),
            (Named::Exactly, "objects.githubusercontent.com", &[], &[], 12),
            (Named::Exactly, "release-assets.githubusercontent.com", &[], &[], 13),
            (Named::Exactly, "github-cloud.githubusercontent.com", &[], &[], 13),
            (Named::Exactly, "gitlab.com", &[22, 443], &[], 14),
            (Named::Exactly, "bitbucket.org", &[22, 443], &[], 15),
            (Named::Exactly, "api.bitbucket.org", &[], &[], 15), (Named::Exactly, "codeberg.org", &[22, 443], &[], 16),
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
