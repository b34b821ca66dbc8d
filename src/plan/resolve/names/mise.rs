//! Settings of mise(1) that the user trusts: where it is active in a shell, they run at the next prompt (`[hooks]`, `_.source`, `exec()` in a
//! template). Trust is given to a path, whatever stands in the file later, unless mise is paranoid. So what is only tracked elsewhere is
//! frozen.

#![forbid(unsafe_code)]

use super::super::expand::within;
use super::super::scene::Scene;
use super::trees::roots;
use super::{Found, ways};
use crate::host::FileType;
use crate::plan::names::NameRule;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Is it a file of mise's, as the profile `base` tracks them?
fn is_settings(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let dir = path.parent().and_then(Path::file_name).unwrap_or_default();
    name.ends_with(b".toml") && (name.starts_with(b"mise.") || name.starts_with(b".mise."))
        || name == b".mise"
        || dir == "mise" && name.starts_with(b"config")
        || dir == ".config" && name == b"mise"
}

/// Adds rules about those that the search has found.
pub(super) fn add(scene: &mut Scene<'_>, rules: &mut Vec<NameRule>, found: &mut Found) {
    let roots = roots(scene);
    let settings: Vec<PathBuf> = found
        .hits
        .iter()
        .filter(|hit| matches!(hit.file_type, FileType::File | FileType::Dir))
        .map(|hit| hit.path.clone())
        .filter(|path| roots.iter().any(|root| within(path, root)) && is_settings(path))
        .collect();
    if settings.is_empty() {
        return;
    }
    let trusted = trusted(scene);
    let is_trusted = |path: &&PathBuf| {
        let is_it = |trusted: &PathBuf| within(path, trusted) || within(trusted, path);
        trusted.iter().any(is_it)
    };
    let trusted_ones: Vec<PathBuf> = settings.iter().filter(is_trusted).cloned().collect();
    ways::freeze(
        scene,
        &trusted_ones,
        "mise trusts it by its name",
        rules,
        found,
    );
}

/// Where the links of `trusted-configs` lead: files of settings, or directories of them.
fn trusted(scene: &Scene<'_>) -> Vec<PathBuf> {
    let state = scene.host.var("MISE_STATE_DIR").map(PathBuf::from);
    let state = state.unwrap_or_else(|| scene.xdg("XDG_STATE_HOME", ".local/state").join("mise"));
    let dir = state.join("trusted-configs");
    let mut links: Vec<PathBuf> = Vec::new();
    scene.walk.look.scan(&dir, &mut |name, file_type, _| {
        if file_type == FileType::Symlink {
            links.push(dir.join(name));
        }
    });
    links.iter().map(|link| scene.real_of(link)).collect()
}
