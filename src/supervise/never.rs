//! Names in a state file that never travel from the box to the host, at any depth: what runs a program, grants trust or a
//! permission, or decides what a program of the host talks to. The host's value, or its absence, stays.
//!
//! Data with a reason each. It may be too long, never too short: the price of a name too many is that a setting made in
//! the box is not kept. What travels on purpose: the login itself (`oauthAccount`, `primaryApiKey`,
//! `customApiKeyResponses`: an approval of a key is less than the key, which travels), onboarding, themes, histories.
//!
//! Of a file of settings it is the other way round: what does *not* run or allow anything is listed ([`SETTINGS`]). Each version
//! of the agents brings settings with a program in them (`processWrapper` of claude, `experimental.gemmaModelRouter.binaryPath`
//! of gemini), and none of them has to be there.

#![forbid(unsafe_code)]

use std::path::Path;

/// What a state file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Whatever its program keeps, a login as a rule: all names travel but those that are listed here.
    State,
    /// Settings of a human: none travels but those of [`SETTINGS`].
    Settings,
    /// Logins by provider. Of opencode one may be named by a URL, and its next start loads settings, plugins and MCP servers from
    /// there without a question: no name with a colon travels, which every URL has.
    Logins,
}

impl Holds {
    /// By the file's name.
    #[must_use]
    pub fn of(file: &Path) -> Holds {
        match file.file_name().and_then(|name| name.to_str()) {
            Some("settings.json" | "crush.json") => Holds::Settings,
            Some("auth.json") => Holds::Logins,
            _ => Holds::State,
        }
    }
}

/// Said in the place of a setting's name that is not on a list: it is the box's to choose.
pub const OTHER: &str = "other settings";

/// Said in the place of a URL.
pub const BY_URL: &str = "logins by a URL";

/// Names in a file of settings that travel: how the program looks, how much it says, which model it asks. A name is one of
/// any depth, and what is around it has to be listed, too.
pub const SETTINGS: &[&str] = &[
    "$schema",
    // How the human has logged in (gemini's `security.auth.selectedType`); nothing else of what is around it.
    "security",
    "auth",
    "selectedType",
    // Which model, and how long it thinks.
    "model",
    "name",
    "effortLevel",
    "alwaysThinkingEnabled",
    "fastMode",
    "maxSessionTurns",
    "compressionThreshold",
    "autoCompactEnabled",
    // Keys and editors: words of a fixed list of the program's.
    "general",
    "editorMode",
    "vimMode",
    "preferredEditor",
    "promptSuggestionEnabled",
    "emojiCompletionEnabled",
    "respectGitignore",
    "todoFeatureEnabled",
    "fileCheckpointingEnabled",
    // Looks.
    "ui",
    "theme",
    "autoThemeSwitching",
    "tui",
    "verbose",
    "viewMode",
    "output",
    "format",
    "footer",
    "accessibility",
    "screenReader",
    "enableLoadingPhrases",
    "loadingPhrases",
    "errorVerbosity",
    "inlineThinkingMode",
    "compactToolOutput",
    "hideWindowTitle",
    "showStatusInTitle",
    "dynamicWindowTitle",
    "hideTips",
    "hideBanner",
    "hideContextSummary",
    "hideFooter",
    "hideCWD",
    "hideModelInfo",
    "hideContextPercentage",
    "showLabels",
    "showShortcutsHint",
    "showMemoryUsage",
    "showLineNumbers",
    "showCitations",
    "showModelInfoInChat",
    "showUserIdentity",
    "showSpinner",
    "showTurnDuration",
    "showMessageTimestamps",
    "showThinkingSummaries",
    "useAlternateBuffer",
    "useBackgroundColor",
    "incrementalRendering",
    "prefersReducedMotion",
    "syntaxHighlightingDisabled",
    "autoScrollEnabled",
    "wheelScrollAccelerationEnabled",
    "spinnerTipsEnabled",
    "terminalProgressBarEnabled",
    "preferredNotifChannel",
    "enableNotifications",
    "notificationMethod",
    "feedbackSurveyRate",
    "timeFormat",
    "timeZone",
];

/// Exact names.
pub const NAMES: &[&str] = &[
    // Programs that the agent starts by itself.
    "mcpServers",
    "mcp",
    "mcpContextUris",
    "hooks",
    "statusLine",
    "subagentStatusLine",
    "fileSuggestion",
    "command",
    "args",
    "lsp",
    "formatter",
    "processWrapper",
    "binaryPath",
    // Programs that fetch credentials, as named by claude.
    "apiKeyHelper",
    "awsAuthRefresh",
    "awsCredentialExport",
    "gcpAuthRefresh",
    "otelHeadersHelper",
    "proxyAuthHelper",
    // Code that is loaded.
    "enabledPlugins",
    "extraKnownMarketplaces",
    "strictKnownMarketplaces",
    "additionalMarketplaces",
    "pluginConfigs",
    "plugin",
    "plugins",
    "skills",
    "agents",
    "extensions",
    // Who acts and by which text: agents and styles bring tools, hooks and permissions of their own.
    "agent",
    "outputStyle",
    "skillOverrides",
    // What may be done without asking.
    "permissions",
    "permission",
    "allowedTools",
    "disallowedTools",
    "coreTools",
    "excludeTools",
    "tools",
    "sandbox",
    "additionalDirectories",
    "trustedFolders",
    "disableAllHooks",
    "allowManagedHooksOnly",
    "allowedHttpHookUrls",
    "autoApprove",
    "autoAccept",
    "yolo",
    "security",
    "autoMode",
    "defaultMode",
    "approvalMode",
    "defaultApprovalMode",
    "policyPaths",
    "adminPolicyPaths",
    "includeDirectories",
    "hooksConfig",
    "ide",
    "autoConnectIde",
    "skipWebFetchPreflight",
    "channelsEnabled",
    "allowedChannelPlugins",
    "hostBootstrapSeed",
    "remoteHomeSettingsMode",
    "computerUseChoices",
    "seenSecurityWarnings",
    // The same as copilot spells it.
    "trusted_folders",
    "allowed_urls",
    "denied_urls",
    "installed_plugins",
    "installedPlugins",
    "marketplaces",
    // What was asked once and answered by a human.
    "enabledMcpjsonServers",
    "disabledMcpjsonServers",
    "enableAllProjectMcpServers",
    "allowedMcpServers",
    "deniedMcpServers",
    "hasClaudeMdExternalIncludesApproved",
    "hasClaudeMdExternalIncludesWarningShown",
    "claudeInChromeDefaultEnabled",
    "hasCompletedClaudeInChromeOnboarding",
    // Which settings claude has rewritten in its newer form: what does not travel (an accepted warning, permissions) was rewritten
    // in the copy only, and the host's program would take its own for rewritten.
    "migrationVersion",
    // The environment of what is started, and with it base URLs, proxies and preloaded libraries.
    "env",
    "provider",
    "baseUrl",
    "baseURL",
    "enterpriseUrl",
    "proxy",
    "telemetry",
    "httpHookAllowedEnvVars",
    "excludedEnvVars",
    "modelOverrides",
    "sshConfigs",
    "defaultShell",
    // Files whose text is read as instructions or restored over others, and where files are written or removed.
    "instructions",
    "fileName",
    "contextFileName",
    // Claude puts the name of the language into its instructions as it is.
    "language",
    "claudeMdExcludes",
    "autoMemoryDirectory",
    "plansDirectory",
    "cleanupPeriodDays",
    "worktree",
    "activeWorktreeSession",
    "githubRepoPaths",
    "appleTerminalBackupPath",
    "iterm2BackupPath",
    // JavaScript: an object that is copied key by key would get this as its prototype.
    "__proto__",
    "constructor",
    "prototype",
];

/// Beginnings and ends of names that later versions of the agents are likely to use for the same things.
const BEGINS: &[&str] = &[
    "hasTrust",
    "bypassPermission",
    "dangerously",
    "skipDangerous",
    "skipAutoPermission",
    "mcpServer",
    // Sessions of the host that are steered from elsewhere, by whoever is logged in.
    "remoteControl",
    // Switches of the program that its servers decide (`cachedGrowthBookFeatures`, then `cachedFeatureFlags`): asked for anew.
    "cached",
    "clientData",
    "hasSeenAuto",
];
const ENDS: &[&str] = &[
    "Helper",
    "Helpers",
    "Wrapper",
    "Launcher",
    "Command",
    "Commands",
    "Marketplaces",
    "Hook",
    "Hooks",
    "McpServers",
    "PermissionPrompt",
    "ModeAccepted",
];

/// Does a member of this name stay the host's? Answers with the name or pattern of the list: never with bytes of the box.
#[must_use]
pub fn travels_not(name: &[u8], holds: Holds) -> Option<&'static str> {
    let settings = (holds == Holds::Settings).then_some(OTHER);
    if holds == Holds::Logins && (name.contains(&b':') || name == BY_URL.as_bytes()) {
        return Some(BY_URL);
    }
    let Ok(name) = std::str::from_utf8(name) else {
        return settings;
    };
    if settings.is_some() && SETTINGS.contains(&name) {
        return None;
    }
    NAMES
        .iter()
        .find(|known| **known == name)
        .or_else(|| BEGINS.iter().find(|begin| name.starts_with(**begin)))
        .or_else(|| ENDS.iter().find(|end| name.ends_with(**end)))
        .copied()
        .or(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_stays_and_what_logs_in_travels() {
        for name in NAMES {
            assert_eq!(travels_not(name.as_bytes(), Holds::State), Some(*name));
        }
        for name in [
            "hasTrustDialogAccepted",
            "hasTrustDialogHooksAccepted",
            "bypassPermissionsModeAccepted",
            "dangerouslySkipPermissions",
            "skipDangerousModePermissionPrompt",
            "fooHelper",
            "discoveryCommand",
            "remoteControlAtStartup",
            "cachedFeatureFlags",
            "cachedGrowthBookFeatures",
        ] {
            assert!(
                travels_not(name.as_bytes(), Holds::State).is_some(),
                "{name}"
            );
        }
        for name in [
            "oauthAccount",
            "primaryApiKey",
            "customApiKeyResponses",
            "projects",
            "history",
            "numStartups",
            "theme",
            "userID",
            "hasCompletedOnboarding",
            "commands",
            "Command ",
            "",
        ] {
            assert_eq!(travels_not(name.as_bytes(), Holds::State), None, "{name}");
        }
        assert_eq!(travels_not(b"\xff", Holds::State), None);
    }

    #[test]
    fn of_settings_only_what_is_known_to_be_harmless_travels() {
        assert_eq!(
            Holds::of(Path::new("/h/.claude/settings.json")),
            Holds::Settings
        );
        assert_eq!(Holds::of(Path::new("/h/.claude.json")), Holds::State);
        let judge = |name: &str| travels_not(name.as_bytes(), Holds::Settings);
        for name in SETTINGS {
            assert_eq!(judge(name), None, "{name}");
        }
        assert_eq!(judge("hooks"), Some("hooks"));
        for name in ["experimental", "someLaterSetting", "Theme", "", OTHER] {
            assert_eq!(judge(name), Some(OTHER), "{name}");
        }
        assert_eq!(travels_not(b"\xff", Holds::Settings), Some(OTHER));
        let holds = Holds::of(Path::new("/h/.local/share/opencode/auth.json"));
        for name in ["https://e.example", " HTTPS:e.example", BY_URL] {
            assert_eq!(travels_not(name.as_bytes(), holds), Some(BY_URL), "{name}");
        }
        assert_eq!(travels_not(b"github-copilot", holds), None);
    }

    #[test]
    fn no_name_is_listed_twice() {
        let unique: std::collections::BTreeSet<_> = NAMES.iter().collect();
        assert_eq!(unique.len(), NAMES.len());
    }
}
