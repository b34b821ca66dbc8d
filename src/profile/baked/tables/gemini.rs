//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "gemini",
        description: Some("Gemini CLI"),
        extends: &[
            ("base", 38, 44), ("toolchains", 46, 58), ("git", 60, 65), ("registries", 67, 79), ("git-hosting", 81, 94),
            ("docs", 96, 102),
        ],
        commands: &[
            "gemini",
        ],
        read: &[
            ("~/.gemini/GEMINI.md", true, false, 15), ("~/.gemini/.env", true, false, 16),
            ("~/.gemini/commands", true, false, 17), ("~/.gemini/agents", true, false, 18),
            ("~/.gemini/skills", true, false, 19), ("~/.gemini/extensions", true, false, 20),
            ("~/.gemini/policies", true, false, 21), ("~/.gemini/installation_id", true, false, 22),
        ],
        write: &[],
        state: &[
            ("~/.gemini/settings.json", false, false, 25), ("~/.gemini/trustedFolders.json", false, false, 26),
            ("~/.gemini/oauth_creds.json", false, false, 27), ("~/.gemini/google_accounts.json", false, false, 28),
            ("~/.gemini/state.json", false, false, 29),
        ],
        private: &[],
        project: &[
            ("~/.gemini/tmp", false, true, 32), ("~/.gemini/history", false, true, 33),
        ],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("GEMINI_API_KEY", 38), ("GOOGLE_API_KEY", 38), ("GOOGLE_GEMINI_BASE_URL", 39),
            ("GOOGLE_VERTEX_BASE_URL", 39), ("GEMINI_MODEL", 40), ("GOOGLE_GENAI_USE_VERTEXAI", 41),
            ("GOOGLE_GENAI_USE_GCA", 41), ("GOOGLE_CLOUD_PROJECT", 42), ("GOOGLE_CLOUD_LOCATION", 42),
        ],
        deny: &[],
        set: &[
            ("GEMINI_SANDBOX", "false", 49),
        ],
        network: Some((NetworkMode::Filtered, 52)),
        reach: &[
            (Named::Exactly, "generativelanguage.googleapis.com", &[], &[], 54),
            (Named::Exactly, "cloudcode-pa.googleapis.com", &[], &[], 55),
            (Named::Exactly, "aiplatform.googleapis.com", &[], &[], 56),
            (Named::Exactly, "oauth2.googleapis.com", &[], &[], 57),
            (Named::Exactly, "accounts.google.com", &[], &[], 57),
            (Named::Exactly, "www.googleapis.com", &[], &[], 57),
            (Named::Exactly, "play.googleapis.com", &[], &[], 58),
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
            ("Gemini CLI cannot update itself here; outside: npm install -g @google/gemini-cli", 7),
        ],
};
