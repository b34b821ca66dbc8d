//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "goose",
        description: Some("goose (written from its documentation, not run)"),
        extends: &[
            ("base", 271, 277), ("toolchains", 279, 291), ("git", 293, 298), ("registries", 300, 312),
            ("git-hosting", 314, 327), ("docs", 329, 335),
        ],
        commands: &[
            "goose",
        ],
        read: &[
            ("~/.config/goose/config.yaml", true, false, 16), ("~/.config/goose/secrets.yaml", true, false, 17),
            ("~/.config/goose/.goosehints", true, false, 18), ("~/.config/goose/permission.yaml", true, false, 19),
            ("~/.config/goose/prompts", true, false, 20),
        ],
        write: &[],
        state: &[],
        private: &[],
        project: &[
            ("~/.local/share/goose/sessions", false, true, 23), ("~/.local/state/goose", false, true, 24),
        ],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("ANTHROPIC_API_KEY", 29), ("ANTHROPIC_BASE_URL", 29), ("OPENAI_API_KEY", 30), ("OPENAI_BASE_URL", 30),
            ("OPENAI_API_BASE", 30), ("GEMINI_API_KEY", 31), ("GOOGLE_API_KEY", 31), ("OPENROUTER_API_KEY", 32),
            ("DEEPSEEK_API_KEY", 32), ("GROQ_API_KEY", 32), ("GOOSE_PROVIDER", 33), ("GOOSE_MODEL", 33),
            ("GOOSE_MODE", 33), ("GOOSE_MAX_TURNS", 33), ("DATABRICKS_HOST", 34), ("DATABRICKS_TOKEN", 34),
            ("OLLAMA_HOST", 35),
        ],
        deny: &[],
        set: &[
            ("GOOSE_DISABLE_KEYRING", "true", 39),
        ],
        network: Some((NetworkMode::Filtered, 42)),
        reach: &[
            (Named::Exactly, "api.anthropic.com", &[], &[], 44), (Named::Exactly, "api.openai.com", &[], &[], 45),
            (Named::Exactly, "generativelanguage.googleapis.com", &[], &[], 46),
            (Named::Exactly, "openrouter.ai", &[], &[], 47), (Named::Exactly, "api.deepseek.com", &[], &[], 47),
            (Named::Exactly, "api.groq.com", &[], &[], 47),
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
            ("this profile was written from the documentation of goose and was not tried with it", 10),
            ("goose keeps keys in the key ring, which is not here: export the key of your provider, or keep it in ~/.config/goose/secrets.yaml (GOOSE_DISABLE_KEYRING)", 11),
        ],
};
