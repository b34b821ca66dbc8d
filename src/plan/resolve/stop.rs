//! Which names stop the session: those of the profile in the workspace and at the root of its repository, the user's and the
//! machine's.

#![forbid(unsafe_code)]

use super::scene::Scene;
use super::workspace::repository_around;
use crate::plan::stop::{StopFile, StopScope, WORKSPACE_NAME, everywhere};
use crate::policy::{Origin, Wish};
use std::path::{Path, PathBuf};

/// Every stop file, each path once. `common` is the repository of a linked work tree, as far as it has proven to be one.
pub(super) fn files(scene: &Scene<'_>, common: Option<&Path>) -> Vec<StopFile> {
    let mut out: Vec<StopFile> = Vec::new();
    let mut add = |dir: &Path, name: &str, scope: StopScope, origin: &Origin| {
        let file = dir.join(name).into();
        if !out.iter().any(|known| known.file == file) {
            out.push(StopFile {
                file,
                scope,
                origin: origin.clone(),
            });
        }
    };
    let own = Origin::agentbox("the kill switch");
    let work = &scene.workspace;
    let mut trees: Vec<(PathBuf, StopScope)> = Vec::new();
    // By both names: a path with a symlink in it may lead elsewhere tomorrow, and whoever makes the file goes by the name he
    // knows.
    for dir in [&work.path, &work.real] {
        trees.push((dir.clone(), StopScope::Workspace));
    }
    trees.extend(repository_around(scene, &work.real).map(|dir| (dir, StopScope::Repository)));
    // The main work tree of a repository with several.
    let main = common.filter(|dir| dir.file_name().is_some_and(|name| name == ".git"));
    trees.extend(
        main.and_then(Path::parent)
            .map(|dir| (dir.to_owned(), StopScope::Repository)),
    );
    for (dir, scope) in &trees {
        for Wish { value, origin } in &scene.policy.wishes.stop_files {
            add(dir, value, *scope, origin);
        }
        add(dir, WORKSPACE_NAME, *scope, &own);
    }
    let config = scene.xdg("XDG_CONFIG_HOME", ".config");
    out.extend(everywhere(&scene.home.path, &config));
    if let Some(drill) = &scene.policy.request.drill {
        // In the same directories, so that the same is proven; nobody else watches these names.
        for stop in &mut out {
            stop.file = drill.file(stop.file.path());
        }
    }
    out
}
