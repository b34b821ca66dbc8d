//! Variables that pass and name what the box has not: `SSL_CERT_FILE`, `JAVA_HOME`, `TERMINFO`. Their programs fail in words
//! that say nothing of a box ("unable to get local issuer certificate", "JAVA_HOME is not defined correctly").

#![forbid(unsafe_code)]

use super::command::shows;
use super::expand::within;
use super::git;
use super::pathmap::PathMap;
use super::scene::Scene;
use crate::plan::credential;
use crate::plan::{Command, Env};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where the box has places of its own, which are not the host's.
const OWN: [&str; 4] = ["/proc", "/dev", "/tmp", "/var/tmp"];

/// One line about all of them. `links` are those that the box has. Only the names: no value of the environment is in a plan.
pub(super) fn note(scene: &Scene<'_>, env: &Env, links: &PathMap<PathBuf>) -> Option<String> {
    let names: Vec<String> = env
        .pass
        .iter()
        .filter(|pass| {
            let mut env = scene.host.env.iter();
            env.any(|(name, value)| name == pass.name.os() && is_astray(scene, links, value))
        })
        .map(|pass| pass.name.to_string())
        .collect();
    let first = names.first()?;
    let verb = match names.len() {
        1 => "names",
        _ => "name",
    };
    Some(format!(
        "{} {verb} what is not in the box; --read \"${first}\" shows it",
        names.join(" and ")
    ))
}

/// Variables by which an agent has its log-in and its sessions in a place of their own, which its profile does not pass, and what the
/// box has instead.
const ELSEWHERE: [(&str, &str, &str); 2] = [
    ("CLAUDE_CONFIG_DIR", "claude", ".claude"),
    ("CODEX_HOME", "codex", ".codex"),
];

/// A caller's GIT_DIR (an alias for dotfiles, a script) is another repository than the one that git finds in the box by its directory, and
/// that is committed to then. Those that git gives its hooks are the same, and nothing is said.
pub(super) fn repository(scene: &Scene<'_>, env: &Env, command: &Command) -> Option<String> {
    let name = "GIT_DIR";
    let value = scene.host.var(name).filter(|value| !value.is_empty())?;
    if passes(env, name) {
        return None;
    }
    let meant = git::at(scene, &scene.host.cwd.join(value))?;
    let mut above = Path::new(command.cwd.os()).ancestors();
    let found = above.find_map(|dir| git::git_dir(scene, dir));
    (found != Some(meant)).then(|| {
        format!("{name} is kept out: git works on the repository of its directory here (`agentbox why env {name}`)")
    })
}

/// Who has two accounts would not know why the agent is the other one here, or logged in as nobody.
pub(super) fn elsewhere(scene: &Scene<'_>, env: &Env) -> Vec<String> {
    let is_other = |value: &OsStr, usual: &str| {
        let (there, here) = (Path::new(value), scene.home.path.join(usual));
        !value.is_empty() && scene.walk.canonical(there) != scene.walk.canonical(&here)
    };
    ELSEWHERE
        .iter()
        .filter(|(name, profile, usual)| {
            scene.policy.profiles.iter().any(|it| it == profile)
                && scene.host.var(name).is_some_and(|value| is_other(value, usual))
                && !passes(env, name)
        })
        .map(|(name, _, usual)| {
            format!(
                "{name} is kept out: the box has ~/{usual} and its log-in (`agentbox why env {name}`)"
            )
        })
        .collect()
}

fn passes(env: &Env, name: &str) -> bool {
    let mut pass = env.pass.iter().map(|pass| &pass.name);
    let mut set = env.set.iter().map(|set| &set.name);
    pass.any(|it| it.os() == name) || set.any(|it| it.os() == name)
}

/// Is it one absolute path, there outside, and neither in the box nor around something that is?
pub(super) fn is_astray(scene: &Scene<'_>, links: &PathMap<PathBuf>, value: &OsStr) -> bool {
    let path = Path::new(value);
    let is_path = path.is_absolute() && !value.as_bytes().contains(&b':');
    if !is_path || credential::value(value.as_bytes()) {
        return false;
    }
    let Some(walked) = scene.walk.follow(path).filter(|w| w.stat.is_some()) else {
        // It leads nowhere outside, either.
        return false;
    };
    if OWN.iter().any(|own| walked.real == Path::new(own))
        || ["/proc", "/dev"]
            .iter()
            .any(|kernels| within(&walked.real, Path::new(kernels)))
    {
        return false;
    }
    // Something of it is shown, or a link to a file is shown as that file.
    let linked = scene.tree.has_links(&walked, links);
    let has = |at: &PathBuf| linked && within(at, &walked.real) || within(at, path);
    // Below a link of the box's own it is in a private place, and made there when it is needed.
    let in_private = || links.keys().any(|at| within(&walked.real, at));
    !shows(scene, links, &walked)
        && !scene.tree.binds().keys().chain(links.keys()).any(has)
        && !in_private()
}
