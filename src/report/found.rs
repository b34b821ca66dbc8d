//! What is found of a caller's agents, toolchains and credentials, for people and for programs. Names, never contents.

#![forbid(unsafe_code)]

use super::plan::clean;
use serde::Serialize;
use std::fmt::Write as _;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Every agent that has a profile.
    pub agents: Vec<Agent>,
    /// What `toolchains` knows and is there.
    pub toolchains: Vec<Toolchain>,
    /// What `base` hides and is there, and variables that look like credentials.
    pub credentials: Vec<Credential>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// Its command.
    pub name: String,
    /// The profile that it gets.
    pub profile: &'static str,
    /// Was it run with that profile, or was the profile written from its documentation?
    pub tried: bool,
    /// Where it is, if it is installed.
    pub program: Option<String>,
    /// What would refuse its start.
    pub missing: Vec<String>,
}

/// One place of a toolchain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Toolchain {
    /// `~/.cargo/bin`.
    pub name: String,
    /// What a box makes of it.
    pub becomes: &'static str,
}

/// One credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// `~/.aws`, `$AWS_SECRET_ACCESS_KEY`.
    pub name: String,
    /// What a box makes of it.
    pub becomes: &'static str,
}

/// For people. Agents that are not installed are one line.
#[must_use]
pub fn text(found: &Found) -> String {
    let mut out = String::from("\nagents\n");
    for agent in found.agents.iter().filter(|agent| agent.program.is_some()) {
        let program = agent.program.as_deref().unwrap_or_default();
        let tried = if agent.tried {
            ""
        } else {
            ", a profile that was not tried with it"
        };
        let word = if agent.missing.is_empty() {
            "yes"
        } else {
            "no "
        };
        let _ = writeln!(
            out,
            "     {word}  {:<13}{}  (profile {}{tried})",
            agent.name,
            clean(program),
            agent.profile
        );
        for line in &agent.missing {
            let _ = writeln!(out, "          {}", clean(line));
        }
    }
    let others: Vec<&str> = found
        .agents
        .iter()
        .filter(|agent| agent.program.is_none())
        .map(|agent| agent.name.as_str())
        .collect();
    if !others.is_empty() {
        let words = std::iter::once("not installed:").chain(others);
        super::wrapped(&mut out, "     ", 5, words);
    }
    let mut group = |title: &str, rows: Vec<(&str, &str)>| {
        let mut kinds: Vec<&str> = rows.iter().map(|(_, becomes)| *becomes).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let names = rows.iter().filter(|(_, becomes)| *becomes == kind);
            let names: Vec<String> = names.map(|(name, _)| clean(name)).collect();
            let _ = writeln!(out, "\n{title}: {kind}");
            super::wrapped(&mut out, "     ", 5, names.iter().map(String::as_str));
        }
    };
    group(
        "toolchains",
        found
            .toolchains
            .iter()
            .map(|t| (t.name.as_str(), t.becomes))
            .collect(),
    );
    group(
        "credentials",
        found
            .credentials
            .iter()
            .map(|c| (c.name.as_str(), c.becomes))
            .collect(),
    );
    out
}
