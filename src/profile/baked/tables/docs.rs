//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "docs",
        description: Some("Documentation of languages and libraries"),
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
            (Named::Exactly, "docs.rs", &[], &[], 7), (Named::Under, "rust-lang.org", &[], &[], 7),
            (Named::Under, "python.org", &[], &[], 8), (Named::Exactly, "developer.mozilla.org", &[], &[], 9),
            (Named::Exactly, "nodejs.org", &[], &[], 10), (Named::Exactly, "docs.npmjs.com", &[], &[], 10),
            (Named::Exactly, "www.typescriptlang.org", &[], &[], 10), (Named::Exactly, "pkg.go.dev", &[], &[], 11),
            (Named::Exactly, "go.dev", &[], &[], 11), (Named::Exactly, "docs.oracle.com", &[], &[], 12),
            (Named::Exactly, "ruby-doc.org", &[], &[], 13), (Named::Exactly, "docs.ruby-lang.org", &[], &[], 13),
            (Named::Exactly, "en.cppreference.com", &[], &[], 14),
            (Named::Exactly, "www.postgresql.org", &[], &[], 15), (Named::Exactly, "sqlite.org", &[], &[], 15),
            (Named::Exactly, "man7.org", &[], &[], 16), (Named::Exactly, "www.kernel.org", &[], &[], 16),
            (Named::Exactly, "git-scm.com", &[], &[], 17),
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
