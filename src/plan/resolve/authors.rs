//! Who could have written the profiles: a file that the agent may write would let it decide what the next session grants.

#![forbid(unsafe_code)]

use super::scene::{Scene, show};
use crate::plan::Access;
use crate::policy::{FileWishes, Origin};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Refuses profiles that were found by agentbox in a place that the box can write, by whatever link. One that was named on
/// the command line is the caller's word: it is said.
pub(super) fn check(scene: &mut Scene<'_>) {
    let files: BTreeSet<String> = origins(scene)
        .filter_map(|origin| match origin {
            Origin::File { path, .. } => Some(path.clone()),
            _ => None,
        })
        .collect();
    for file in files {
        let typed = scene.host.cwd.join(Path::new(&file));
        let Some(dir) = writable(scene, &typed) else {
            continue;
        };
        let what = format!(
            "the profile {file} lies in {}, which the agent can write",
            show(&dir)
        );
        if scene.own_dirs.iter().any(|dir| typed.starts_with(dir)) {
            let remedy = "keep profiles where no box can write: a plain file and no link";
            scene.problem(what, remedy, None);
        } else {
            scene
                .notices
                .push(format!("{what}: look at it before the next start"));
        }
    }
}

/// The directory in which the box can write a file, or lead it elsewhere by a link.
pub(super) fn writable(scene: &Scene<'_>, typed: &Path) -> Option<PathBuf> {
    let walked = scene.walk.follow(typed)?;
    let links = walked.links.iter().map(|(at, _)| at);
    let at = std::iter::once(&walked.real)
        .chain(links)
        .find(|at| scene.tree.access(at) == Some(Access::Write))?;
    Some(at.parent().unwrap_or(at).to_owned())
}

/// The origin of everything that was wished.
fn origins<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a Origin> + use<'a> {
    let wishes = &scene.policy.wishes;
    let FileWishes {
        read,
        write,
        state,
        private,
        project,
        hide,
        protect,
        track,
    } = &wishes.files;
    let files = [read, write, state, private, project].into_iter().flatten();
    let rules = [hide, protect, track].into_iter().flatten();
    let names = wishes.env.keep.iter().chain(&wishes.programs.allow);
    let layers = [&wishes.require, &wishes.allow_missing, &wishes.layers_off];
    files
        .map(|wish| &wish.origin)
        .chain(rules.map(|wish| &wish.origin))
        .chain(names.map(|wish| &wish.origin))
        .chain(wishes.env.set.iter().map(|(_, wish)| &wish.origin))
        .chain(wishes.network.iter().map(|wish| &wish.origin))
        .chain(wishes.limits.iter().map(|(_, wish)| &wish.origin))
        .chain(layers.into_iter().flatten().map(|wish| &wish.origin))
}
