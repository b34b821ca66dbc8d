//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "crush",
        description: Some("Crush (written from its documentation, not run)"),
        extends: &[
            ("base", 275, 281), ("toolchains", 283, 295), ("git", 297, 302), ("registries", 304, 316),
            ("git-hosting", 318, 331), ("docs", 333, 339),
        ],
        commands: &[
            "crush",
        ],
        read: &[
            ("~/.config/crush", true, false, 16),
        ],
        write: &[
            ("~/.local/share/crush", false, true, 19),
        ],
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
            ("ANTHROPIC_API_KEY", 24), ("ANTHROPIC_BASE_URL", 24), ("OPENAI_API_KEY", 25), ("OPENAI_BASE_URL", 25),
            ("OPENAI_API_BASE", 25), ("GEMINI_API_KEY", 26), ("GOOGLE_API_KEY", 26), ("OPENROUTER_API_KEY", 27),
            ("DEEPSEEK_API_KEY", 27), ("GROQ_API_KEY", 27), ("CRUSH_GLOBAL_CONFIG", 28), ("CRUSH_GLOBAL_DATA", 28),
        ],
        deny: &[],
        set: &[
            ("CRUSH_DISABLE_METRICS", "1", 32), ("CRUSH_DISABLE_PROVIDER_AUTO_UPDATE", "0", 33),
        ],
        network: Some((NetworkMode::Filtered, 36)),
        reach: &[
            (Named::Exactly, "api.anthropic.com", &[], &[], 38), (Named::Exactly, "api.openai.com", &[], &[], 39),
            (Named::Exactly, "generativelanguage.googleapis.com", &[], &[], 40),
            (Named::Exactly, "openrouter.ai", &[], &[], 41), (Named::Exactly, "api.deepseek.com", &[], &[], 41),
            (Named::Exactly, "api.groq.com", &[], &[], 41), (Named::Exactly, "catwalk.charm.sh", &[], &[], 42),
            (Named::Exactly, "catwalk.charm.land", &[], &[], 42),
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
            ("this profile was written from the documentation of Crush and was not tried with it", 10),
            ("~/.config/crush/crushrc is a script that Crush runs: in the box, with what the box has", 11),
        ],
};
