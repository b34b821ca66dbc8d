//! Names in a state file that never travel from the box to the host, at any depth: what runs a program, grants trust or a
//! permission, or decides what a program of the host talks to. The host's value, or its absence, stays.
//!
//! Data with a reason each. It may be too long, never too short: the price of a name too many is that a setting made in
//! the box is not kept. What travels on purpose: the login itself (`oauthAccount`, `primaryApiKey`,
//! `customApiKeyResponses`: an approval of a key is less than the key, which travels), onboarding, themes, histories.

#![forbid(unsafe_code)]

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
    "cachedGrowthBookFeatures",
    "cachedStatsigGates",
    "cachedDynamicConfigs",
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
];
const ENDS: &[&str] = &[
    "Helper",
    "Command",
    "Hook",
    "Hooks",
    "McpServers",
    "PermissionPrompt",
    "ModeAccepted",
];

/// Does a member of this name stay the host's? Answers with the name or pattern of the list: never with bytes of the box.
#[must_use]
pub fn travels_not(name: &[u8]) -> Option<&'static str> {
    let name = std::str::from_utf8(name).ok()?;
    NAMES
        .iter()
        .find(|known| **known == name)
        .or_else(|| BEGINS.iter().find(|begin| name.starts_with(**begin)))
        .or_else(|| ENDS.iter().find(|end| name.ends_with(**end)))
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_stays_and_what_logs_in_travels() {
        for name in NAMES {
            assert_eq!(travels_not(name.as_bytes()), Some(*name));
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
        ] {
            assert!(travels_not(name.as_bytes()).is_some(), "{name}");
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
            assert_eq!(travels_not(name.as_bytes()), None, "{name}");
        }
        assert_eq!(travels_not(b"\xff"), None);
    }

    #[test]
    fn no_name_is_listed_twice() {
        let unique: std::collections::BTreeSet<_> = NAMES.iter().collect();
        assert_eq!(unique.len(), NAMES.len());
    }
}
