//! `[[when]]`: which parts count, and that no box can change what was asked.

#![forbid(unsafe_code)]

use super::names::path_of;
use super::scene::{Scene, show};
use super::workspace;
use crate::host::{Host, Lookup};
use crate::plan::Access;
use crate::policy::{Condition, Conditional, Fragment, PathWish, Policy, Request, Wish};
use std::path::PathBuf;

/// Decides every part that has conditions: it comes right after what it is a part of, or is left out. Without a usable HOME
/// nothing is decided, and then nothing can be resolved either.
#[must_use]
pub fn decide(
    fragments: Vec<Fragment>,
    request: &Request,
    host: &Host,
    look: &dyn Lookup,
) -> Vec<Fragment> {
    if fragments.iter().all(|fragment| fragment.when.is_empty()) {
        return fragments;
    }
    let policy = Policy {
        request: request.clone(),
        ..Policy::default()
    };
    let Ok(mut scene) = Scene::new(&policy, host, look) else {
        return fragments;
    };
    workspace::choose(&mut scene);
    let mut out = Vec::new();
    for mut fragment in fragments {
        let parts = std::mem::take(&mut fragment.when);
        let (name, authority) = (fragment.name.clone(), fragment.authority);
        out.push(fragment);
        for Conditional {
            conditions,
            fragment,
        } in parts
        {
            let holds = conditions.iter().all(|wish| is_so(&scene, wish));
            let part = if holds {
                *fragment
            } else {
                Fragment::default()
            };
            out.push(Fragment {
                name: name.clone(),
                authority,
                // What is asked of the working copy can only forbid: that it can be changed is known.
                conditions: conditions
                    .into_iter()
                    .filter(|wish| !wish.value.is_of_workspace())
                    .collect(),
                ..part
            });
        }
    }
    out
}

fn is_so(scene: &Scene<'_>, wish: &Wish<Condition>) -> bool {
    let there = place(scene, wish).is_some_and(|path| scene.walk.stat(&path).is_some());
    match wish.value {
        Condition::Exists(_) => there,
        Condition::Missing(_) => !there,
    }
}

fn place(scene: &Scene<'_>, wish: &Wish<Condition>) -> Option<PathBuf> {
    let path = Wish {
        value: PathWish {
            path: wish.value.path().clone(),
            optional: true,
            make_dir: false,
        },
        origin: wish.origin.clone(),
    };
    path_of(scene, &path)
}

/// A condition that the box could make true would let an agent decide what its next session may do.
pub(super) fn check(scene: &mut Scene<'_>) {
    if let Some(undecided) = scene.policy.wishes.when.first() {
        let origin = undecided.conditions.first().map(|wish| wish.origin.clone());
        scene.problem(
            "the conditions of a profile were not decided",
            "",
            origin.as_ref(),
        );
    }
    for wish in &scene.policy.wishes.conditions {
        let Some(path) = place(scene, wish) else {
            continue;
        };
        let real = scene.real_of(&path);
        let written_back = |state: &Wish<PathWish>| path_of(scene, state).as_ref() == Some(&path);
        let writable = [&path, &real]
            .into_iter()
            .any(|at| scene.tree.access(at) == Some(Access::Write));
        if writable || scene.policy.wishes.files.state.iter().any(written_back) {
            scene.problem(
                format!(
                    "the condition on {} could be changed by the agent, which can write there",
                    show(&path)
                ),
                "ask for something that no grant for writing covers",
                Some(&wish.origin),
            );
        }
    }
}
