//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::profile::baked::Named;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "qwen",
        description: Some("Qwen Code (written from its documentation, not run)"),
        extends: &[
            ("base", 284, 290), ("toolchains", 292, 304), ("git", 306, 311), ("registries", 313, 325),
            ("git-hosting", 327, 340), ("docs", 342, 348),
        ],
        commands: &[
            "qwen",
        ],
        read: &[
            ("~/.qwen/QWEN.md", true, false, 16), ("~/.qwen/.env", true, false, 17),
            ("~/.qwen/commands", true, false, 18), ("~/.qwen/agents", true, false, 19),
            ("~/.qwen/skills", true, false, 20), ("~/.qwen/extensions", true, false, 21),
            ("~/.qwen/settings.json", true, false, 22),
        ],
        write: &[],
        state: &[
            ("~/.qwen/trustedFolders.json", false, false, 25), ("~/.qwen/oauth_creds.json", false, false, 26),
        ],
        private: &[],
        project: &[
            ("~/.qwen/tmp", false, true, 29), ("~/.qwen/projects", false, true, 30),
        ],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("OPENAI_API_KEY", 35), ("OPENAI_BASE_URL", 35), ("OPENAI_MODEL", 35), ("DASHSCOPE_API_KEY", 36),
            ("BAILIAN_CODING_PLAN_API_KEY", 36), ("QWEN_MODEL", 37),
        ],
        deny: &[],
        set: &[
            ("QWEN_SANDBOX", "false", 41),
        ],
        network: Some((NetworkMode::Filtered, 44)),
        reach: &[
            (Named::Exactly, "dashscope.aliyuncs.com", &[], &[], 46),
            (Named::Exactly, "dashscope-intl.aliyuncs.com", &[], &[], 46),
            (Named::Exactly, "coding.dashscope.aliyuncs.com", &[], &[], 47),
            (Named::Exactly, "coding-intl.dashscope.aliyuncs.com", &[], &[], 47),
            (Named::Exactly, "chat.qwen.ai", &[], &[], 48), (Named::Exactly, "portal.qwen.ai", &[], &[], 48),
            (Named::Exactly, "api.openai.com", &[], &[], 49), (Named::Exactly, "openrouter.ai", &[], &[], 49),
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
            ("this profile was written from the documentation of Qwen Code and was not tried with it", 10),
            ("Qwen Code cannot update itself here; outside: npm install -g @qwen-code/qwen-code", 11),
        ],
};
