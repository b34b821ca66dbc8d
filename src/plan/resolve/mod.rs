//! [`resolve`]: a policy and the facts of a host become a plan.
//!
//! Everything is canonical paths plus the host's own symlinks: a tree is shown at its canonical path, and each link that
//! leads to it is made again, so that every name of it works in the box as it does outside.

#![forbid(unsafe_code)]

mod astray;
mod authors;
mod bare;
mod briefing;
mod cgroups;
mod command;
mod conditions;
mod env;
mod expand;
mod git;
mod gitconfig;
mod grants;
mod hooks;
mod hosts;
mod identity;
mod kept;
mod layers;
mod limits;
mod login;
mod names;
mod network;
mod pathmap;
mod places;
mod project;
mod refused;
mod remote;
mod rung;
mod runnable;
mod scene;
mod ssh;
mod stop;
mod tree;
mod view;
mod walk;
mod words;
mod workspace;

#[cfg(test)]
mod tests;

use super::{Hangup, Plan, VERSION, Workspace, problem::Problem, problem::ProblemKind};
use crate::host::{Host, Lookup};
use crate::plan::credential;
use crate::plan::remote::Remote;
use crate::plan::rung::Rung;
use crate::policy::{OnHangup, Origin, Policy, Request};
pub use conditions::decide;
use scene::Scene;
use std::path::{Path, PathBuf};

/// What [`resolve_all`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// The plan, if it is whole but for the command: `explain` shows it also for a command that is not installed.
    pub plan: Option<Plan>,
    /// Everything that stands in the way of a start.
    pub problems: Vec<Problem>,
}

/// Makes everything concrete, or says everything that is wrong at once.
///
/// # Errors
/// Every problem found, not only the first.
pub fn resolve(policy: &Policy, host: &Host, look: &dyn Lookup) -> Result<Plan, Vec<Problem>> {
    let Resolution { plan, problems } = resolve_all(policy, host, look);
    match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        _ => Err(problems),
    }
}

/// What `${project}` in a path of a profile is for a working copy: one name, as Claude Code has it in `~/.claude/projects`.
#[must_use]
pub fn project_name(workspace: &Path) -> String {
    project::name(workspace)
}

/// Whether a variable's name or value looks like a credential.
#[must_use]
pub fn looks_like_credential(name: &str, value: &str) -> bool {
    credential::name(name.as_bytes()) || credential::value(value.as_bytes())
}

/// The canonical path of the workspace that this request has; `None` if there is none, and then [`resolve`] says why.
#[must_use]
pub fn workspace_of(request: &Request, host: &Host, look: &dyn Lookup) -> Option<PathBuf> {
    let policy = Policy {
        request: request.clone(),
        ..Policy::default()
    };
    let mut scene = Scene::new(&policy, host, look).ok()?;
    workspace::choose(&mut scene);
    scene.problems.is_empty().then_some(scene.workspace.real)
}

/// Makes everything concrete as far as it goes. There is a plan if nothing but the command itself is a problem.
#[must_use]
pub fn resolve_all(policy: &Policy, host: &Host, look: &dyn Lookup) -> Resolution {
    let mut scene = match Scene::new(policy, host, look) {
        Ok(scene) => scene,
        Err(problem) => {
            return Resolution {
                plan: None,
                problems: vec![problem],
            };
        }
    };
    workspace::choose(&mut scene);
    if !scene.problems.is_empty() {
        // Without a workspace every path in it would be one more problem that is none.
        return Resolution {
            plan: None,
            problems: scene.problems,
        };
    }
    let plan = build(&mut scene);
    let only_command = scene
        .problems
        .iter()
        .all(|problem| problem.kind != ProblemKind::Refused);
    Resolution {
        plan: only_command.then_some(plan),
        problems: scene.problems,
    }
}

/// The remote switches alone: also where no session could be started, in HOME.
///
/// # Errors
/// What is wrong with them.
pub fn remotes(
    policy: &Policy,
    host: &Host,
    look: &dyn Lookup,
) -> Result<Vec<Remote>, Vec<Problem>> {
    let mut scene = Scene::new(policy, host, look).map_err(|problem| vec![problem])?;
    workspace::choose(&mut scene);
    scene.problems.clear();
    let found = remote::remotes(&mut scene);
    if scene.problems.is_empty() {
        Ok(found)
    } else {
        Err(scene.problems)
    }
}

/// The parts, in the order in which one needs the other.
fn build(scene: &mut Scene<'_>) -> Plan {
    let mut standing = rung::standing(scene);
    let is_bare = standing.rung == Rung::Landlock;
    view::base(scene);
    grants::files(scene);
    let common = git::grants(scene);
    grants::main_project(scene);
    let mut command = command::command(scene);
    scene.trees = names::trees(scene);
    gitconfig::look(scene);
    let (private_links, private_dirs) = kept::private(scene, standing.rung);
    let mut state = kept::state(scene, &private_links);
    let mut network = network::network(scene);
    ssh::ssh(scene, &mut network);
    let mut identity = identity::identity(scene, standing.rung);
    let limits = limits::limits(scene, identity.mode);
    let (require, off) = layers::layers(scene, &network, standing.rung, identity.mode);
    let mut settled = view::settle(scene, private_links);
    let mut names = std::mem::take(&mut settled.named.names);
    if is_bare {
        bare::guard(&mut names);
    }
    let searched = std::mem::take(&mut settled.named.searched);
    let links = names::links(scene, &names, searched);
    authors::check(scene);
    conditions::check(scene);
    let refused = refused::refused(scene);
    refused::refuse_command(scene, &refused, &command);
    refused::notices(scene, &refused);
    let (path, path_dropped) = command::search_path(scene, &settled.links);
    let mut env = env::env(scene, &identity, &command, path);
    let port = is_bare.then_some(scene.host.port);
    network::proxies(&mut env, &network, port);
    ssh::variable(&mut env, &network);
    network::endpoints(scene, &env, &mut network);
    let mut notes = Vec::from_iter(gitconfig::unsigned(scene, &env));
    notes.extend(astray::elsewhere(scene, &env));
    notes.extend(astray::repository(scene, &env, &command));
    notes.extend(astray::note(scene, &env, &settled.links));
    notes.extend(hooks::notes(scene, &settled.links));
    notes.extend(spoken(scene));
    let remotes = remote::remotes(scene);
    let mut seen = std::collections::HashSet::new();
    scene.notices.retain(|notice| seen.insert(notice.clone()));
    notes.retain(|note| seen.insert(note.clone()));
    let (mut view, mut landlock) = view::view(
        scene,
        settled,
        &identity,
        &limits,
        &network,
        &refused,
        standing.rung,
    );
    if is_bare {
        let (bare, rules) = bare::bare(scene, &view, &refused, &network);
        bare::into(&bare, &mut identity, &mut env);
        bare::state(scene, &mut state);
        (standing.bare, landlock) = (Some(bare), rules);
        // What is made at the start is made here, too; nothing is mounted.
        view.ops
            .retain(|op| matches!(op, super::MountOp::Bind { .. }));
    }
    if standing.rung == Rung::Nested {
        // One rule about files, and nothing within the box could be mounted.
        landlock.clear();
    }
    command.profiles.clone_from(&scene.policy.profiles);
    Plan {
        version: VERSION,
        command,
        workspace: Workspace {
            path: scene.workspace.path.clone().into(),
            real: scene.workspace.real.clone().into(),
        },
        identity,
        view,
        refused,
        landlock,
        env,
        network,
        limits,
        private_dirs: private_dirs.into_iter().map(Into::into).collect(),
        state,
        names,
        links,
        standing,
        require,
        off,
        stop_files: stop::files(scene, common.as_deref()),
        hangup: hangup(scene),
        remotes,
        drill: scene.policy.request.drill.clone(),
        grants: std::mem::take(&mut scene.grants),
        path_dropped,
        notices: std::mem::take(&mut scene.notices),
        notes,
    }
}

/// What profiles say of their programs. What merging found out goes to the notices: it is about this run.
fn spoken(scene: &mut Scene<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    for wish in &scene.policy.wishes.notices {
        match wish.origin {
            Origin::Agentbox { .. } => scene.notices.push(wish.value.clone()),
            _ => notes.push(wish.value.clone()),
        }
    }
    notes
}

fn hangup(scene: &Scene<'_>) -> Hangup {
    match &scene.policy.wishes.hangup {
        Some(wish) if wish.value == OnHangup::Detach => Hangup::Detach {
            origin: wish.origin.clone(),
        },
        _ => Hangup::End,
    }
}
