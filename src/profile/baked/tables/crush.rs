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
        write: &[],
        state: &[
            ("~/.local/share/crush/crush.json", false, false, 21),
        ],
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
            ("ANTHROPIC_API_KEY", 26), ("ANTHROPIC_BASE_URL", 26), ("OPENAI_API_KEY", 27), ("OPENAI_BASE_URL", 27),
            ("OPENAI_API_BASE", 27), ("GEMINI_API_KEY", 28), ("GOOGLE_API_KEY", 28), ("OPENROUTER_API_KEY", 29),
            ("DEEPSEEK_API_KEY", 29), ("GROQ_API_KEY", 29), ("CRUSH_GLOBAL_CONFIG", 30), ("CRUSH_GLOBAL_DATA", 30),
        ],
        deny: &[],
        set: &[
            ("CRUSH_DISABLE_METRICS", "1", 34), ("CRUSH_DISABLE_PROVIDER_AUTO_UPDATE", "0", 35),
        ],
        network: Some((NetworkMode::Filtered, 38)),
        reach: &[
            (Named::Exactly, "api.anthropic.com", &[], &[], 40), (Named::Exactly, "api.openai.com", &[], &[], 41),
            (Named::Exactly, "generativelanguage.googleapis.com", &[], &[], 42),
            (Named::Exactly, "openrouter.ai", &[], &[], 43), (Named::Exactly, "api.deepseek.com", &[], &[], 43),
            (Named::Exactly, "api.groq.com", &[], &[], 43), (Named::Exactly, "catwalk.charm.sh", &[], &[], 44),
            (Named::Exactly, "catwalk.charm.land", &[], &[], 44),
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
