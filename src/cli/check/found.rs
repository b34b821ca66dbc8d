//! What `agentbox check` finds of the caller's: agents, toolchains and credentials, by their names only, and what a box would
//! make of each.

#![forbid(unsafe_code)]

use super::super::args::PlanArgs;
use super::super::places;
use super::super::policy_for;
use crate::host::{Host, RealLookup};
use crate::plan::names::Verdict;
use crate::plan::problem::ProblemKind;
use crate::plan::resolve::{Resolution, resolve_all};
use crate::policy::Fragment;
use crate::profile::builtin::{self, Proof};
use crate::profile::{self, Choice};
use crate::report::found::{Agent, Credential, Found, Toolchain};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Looks for all of it. `workspace` is an empty directory that a trial may call its working copy.
pub(super) fn found(host: &Host, workspace: &Path) -> Found {
    let load = |name: &str| profile::load(Choice::Named(OsStr::new(name)), &places(host)).ok();
    let all = |name: &str| -> Vec<Fragment> {
        load(name)
            .map(|loaded| loaded.fragments)
            .unwrap_or_default()
    };
    let there = |path: &str| {
        path.strip_prefix("~/")
            .is_some_and(|below| host.home.join(below).symlink_metadata().is_ok())
    };

    let agents = builtin::ALL.iter().filter(|b| b.proof.is_some());
    let agents = agents.flat_map(|builtin| {
        builtin
            .commands
            .iter()
            .map(|command| agent(host, workspace, builtin, command))
    });
    let base = all("base");
    let hidden = base
        .iter()
        .flat_map(|f| &f.files.hide)
        .filter(|wish| wish.value.verdict == Verdict::Applies);
    let mut credentials: Vec<Credential> = hidden
        .filter(|wish| wish.value.holds.is_none())
        .map(|wish| wish.value.pattern.to_string())
        .filter(|path| !path.contains('*') && there(path))
        .map(|name| Credential {
            name,
            becomes: "not in the box; what is granted around it reads as empty there",
        })
        .collect();
    credentials.extend(variables(host, workspace));
    credentials.sort_by(|a, b| a.name.cmp(&b.name));
    credentials.dedup_by(|a, b| a.name == b.name);
    let toolchains = builtin::get("toolchains")
        .map(|builtin| all(builtin.name))
        .unwrap_or_default();
    let mut toolchains: Vec<Toolchain> = toolchains
        .iter()
        .flat_map(|f| {
            let read = f
                .files
                .read
                .iter()
                .map(|wish| (wish, "readable and executable"));
            read.chain(
                f.files
                    .private
                    .iter()
                    .map(|wish| (wish, "the box has one of its own")),
            )
        })
        .map(|(wish, becomes)| Toolchain {
            name: wish.value.path.to_string(),
            becomes,
        })
        .filter(|tool| there(&tool.name))
        .collect();
    toolchains.sort_by(|a, b| a.name.cmp(&b.name));
    toolchains.dedup_by(|a, b| a.name == b.name);
    Found {
        agents: agents.collect(),
        toolchains,
        credentials,
    }
}

fn agent(host: &Host, workspace: &Path, builtin: &builtin::Builtin, command: &str) -> Agent {
    let args = PlanArgs {
        workspace: Some(workspace.to_owned()),
        command: vec![command.into()],
        ..PlanArgs::default()
    };
    let mut missing = Vec::new();
    let program = on_path(host, command);
    match policy_for(&args, host, &places(host)) {
        Ok((policy, _)) => {
            let Resolution { problems, .. } = resolve_all(&policy, host, &RealLookup);
            let refused = problems
                .iter()
                .filter(|problem| problem.kind == ProblemKind::Refused);
            missing.extend(refused.map(ToString::to_string));
        }
        Err(error) => missing.extend(error.lines()),
    }
    Agent {
        name: command.to_owned(),
        profile: builtin.name,
        tried: builtin.proof == Some(Proof::Run),
        program: program.map(|path| path.display().to_string()),
        missing,
    }
}

/// The caller's variables that look like credentials, and what becomes of each in a box of any command.
fn variables(host: &Host, workspace: &Path) -> Vec<Credential> {
    let args = PlanArgs {
        workspace: Some(workspace.to_owned()),
        command: vec!["/bin/sh".into()],
        ..PlanArgs::default()
    };
    let Ok((policy, _)) = policy_for(&args, host, &places(host)) else {
        return Vec::new();
    };
    let Some(plan) = resolve_all(&policy, host, &RealLookup).plan else {
        return Vec::new();
    };
    let stripped = plan.env.stripped.iter().filter(|s| s.credential);
    stripped
        .map(|s| Credential {
            name: format!("${}", s.name),
            becomes: "kept out, unless the agent's own profile names it",
        })
        .collect()
}

/// The program that a shell would find.
pub(in crate::cli) fn on_path(host: &Host, name: &str) -> Option<PathBuf> {
    let path = host.var("PATH")?;
    std::env::split_paths(path)
        .map(|dir| dir.join(name))
        .find(|file| {
            file.metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}
