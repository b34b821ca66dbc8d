//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "registries",
        description: Some("Package registries and mirrors"),
        extends: &[],
        commands: &[],
        read: &[],
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
        keep: &[],
        deny: &[],
        set: &[],
        network: None,
        reach: &[
            (Named::Exactly, "registry.npmjs.org", &[], &[], 9),
            (Named::Exactly, "registry.yarnpkg.com", &[], &[], 10), (Named::Exactly, "nodejs.org", &[], &[], 11),
            (Named::Exactly, "pypi.org", &[], &[], 14), (Named::Exactly, "files.pythonhosted.org", &[], &[], 15),
            (Named::Exactly, "index.crates.io", &[], &[], 18), (Named::Exactly, "static.crates.io", &[], &[], 18),
            (Named::Exactly, "crates.io", &[], &[], 18), (Named::Exactly, "static.rust-lang.org", &[], &[], 19),
            (Named::Exactly, "proxy.golang.org", &[], &[], 22), (Named::Exactly, "sum.golang.org", &[], &[], 22),
            (Named::Exactly, "go.dev", &[], &[], 23), (Named::Exactly, "dl.google.com", &[], &[], 23),
            (Named::Exactly, "repo.maven.apache.org", &[], &[], 26), (Named::Exactly, "repo1.maven.org", &[], &[], 26),
            (Named::Exactly, "plugins.gradle.org", &[], &[], 27),
            (Named::Exactly, "services.gradle.org", &[], &[], 27),
            (Named::Exactly, "downloads.gradle.org", &[], &[], 27), (Named::Exactly, "rubygems.org", &[], &[], 30),
            (Named::Exactly, "index.rubygems.org", &[], &[], 30), (Named::Exactly, "deb.debian.org", &[], &[], 33),
            (Named::Exactly, "security.debian.org", &[], &[], 33),
            (Named::Exactly, "archive.ubuntu.com", &[], &[], 34),
            (Named::Exactly, "security.ubuntu.com", &[], &[], 34), (Named::Exactly, "ports.ubuntu.com", &[], &[], 34),
            (Named::Exactly, "dl-cdn.alpinelinux.org", &[], &[], 35),
        ],
        shun: &[],
        limits: &[],
        stop_grace: None,
        require: &[],
        allow_missing: &[],
        layers_off: &[],
        stop_files: &[],
        notices: &[],
};
