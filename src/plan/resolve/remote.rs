//! Remote kill switches: their patterns filled in, and what must not be the agent's to read or change.

#![forbid(unsafe_code)]

use super::gitconfig;
use super::scene::Scene;
use super::workspace::repository_around;
use crate::plan::Access;
use crate::plan::OsText;
use crate::plan::remote::{About, Remote, RemoteSwitch, Target, TokenFrom, fill_publish};
use crate::policy::{Origin, Wish};

/// Every remote switch of the session.
pub(super) fn remotes(scene: &mut Scene<'_>) -> Vec<Remote> {
    let wishes = scene.policy.wishes.remotes.clone();
    if wishes.is_empty() {
        return Vec::new();
    }
    let team = scene.policy.wishes.team.clone().map(|wish| wish.value);
    let repository = repository(scene);
    let (host, user) = (scene.host.name.clone(), scene.host.user.clone());
    let about = About {
        team: team.clone(),
        repo: Some(repository.clone()).filter(|name| !name.is_empty()),
        host: host.clone(),
        user: user.clone(),
    };
    let value = move |name: &str| match name {
        "team" => team.clone(),
        "repo" => Some(repository.clone()).filter(|name| !name.is_empty()),
        "host" => Some(host.clone()).filter(|name| !name.is_empty()),
        "user" => Some(user.clone()),
        _ => None,
    };
    let mut out: Vec<Remote> = Vec::new();
    for Wish {
        value: switch,
        origin,
    } in wishes
    {
        let name = &switch.name;
        if out.iter().any(|known| known.switch.name == *name) {
            let what = format!("two remote switches are called `{name}`");
            scene.problem(what, "give each a name of its own", Some(&origin));
            continue;
        }
        let drill = scene.policy.request.drill.as_ref();
        if drill.is_some_and(|drill| drill.switch != *name) {
            continue;
        }
        let drilled = |target: Target| match drill {
            Some(drill) => target
                .drilled(&drill.id)
                .ok_or_else(|| "it cannot be drilled".to_owned()),
            None => Ok(target),
        };
        // What a drill starts is no session for who reads of them.
        let publish = switch.publish.as_ref().filter(|_| drill.is_none());
        let publish = publish.map(|text| fill_publish(text, &value)).transpose();
        let target = switch.target.filled(&value).and_then(drilled);
        match target.and_then(|target| Ok((target, publish?))) {
            Ok((target, publish)) => {
                kept_away(scene, &switch, &target, &origin);
                let about = publish.is_some().then(|| about.clone());
                let switch = RemoteSwitch {
                    target,
                    publish,
                    ..switch
                };
                out.push(Remote {
                    switch,
                    origin,
                    about,
                });
            }
            Err(why) => {
                let what = format!("the remote switch `{name}`: {why}");
                let remedy = "[kill-switch] team = \"NAME\" in config.toml says what ${team} is";
                scene.problem(what, remedy, Some(&origin));
            }
        }
    }
    out
}

/// What a switch is made of must be out of the box's reach.
fn kept_away(scene: &mut Scene<'_>, switch: &RemoteSwitch, target: &Target, origin: &Origin) {
    let mut secret = Vec::new();
    let mut own = Vec::new();
    match &switch.token {
        Some(TokenFrom::File(path)) => secret.push(path.clone()),
        Some(TokenFrom::Command(path)) => own.push(path.clone()),
        None => {}
    }
    own.extend(switch.ca.clone());
    match target {
        Target::Exec { program } => own.push(program.clone()),
        // The file need not exist: what counts is whether the box could make, change or remove it, or move its directory.
        Target::File { path } => own.push(path.clone()),
        Target::Https { .. } | Target::Redis { .. } | Target::S3 { .. } => {}
    }
    let mut refuse = |path: &OsText, bad: fn(Option<Access>) -> bool, verb: &str| {
        let real = scene.real_of(path.path());
        if bad(scene.tree.access(&real)) {
            let what = format!(
                "the box could {verb} {path} of the remote switch `{}`",
                switch.name
            );
            scene.problem(
                what,
                "put it where no grant leads, as ~/.config/agentbox",
                Some(origin),
            );
        }
    };
    for path in &secret {
        refuse(path, |access| access.is_some(), "read");
    }
    for path in &own {
        refuse(path, |access| access == Some(Access::Write), "change");
    }
}

/// What `${repo}` is: the last two parts of where `origin` is, else the name of the working copy. The agent can write git's
/// configuration, so this is a convenience for who stops many, and no boundary.
fn repository(scene: &Scene<'_>) -> String {
    let origin = scene.repository.as_ref();
    let url = origin.and_then(|common| gitconfig::origin(scene, common));
    if let Some(url) = url {
        let parts: Vec<&str> = url
            .trim_end_matches('/')
            .trim_end_matches(".git")
            .split(['/', ':'])
            .collect();
        let last = parts
            .get(parts.len().saturating_sub(2)..)
            .unwrap_or_default();
        return last.join("-");
    }
    let root = repository_around(scene, &scene.workspace.real);
    let root = root.as_ref().unwrap_or(&scene.workspace.real);
    root.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
