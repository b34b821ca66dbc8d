//! `~`, `${workspace}`, `${xdg_cache}` and the rest become paths.

#![forbid(unsafe_code)]

use super::project;
use super::scene::{Scene, show};
use super::workspace::tidy;
use crate::plan::OsText;
use crate::policy::{Origin, PathWish, Wish};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Expands the path of a wish to an absolute one. A problem is remembered and `None` returned when that cannot be.
pub(super) fn expand(scene: &mut Scene<'_>, wish: &Wish<PathWish>) -> Option<PathBuf> {
    told(scene, wish, None)
}

/// The same for every directory that is a project here, where the wish names `${project}`.
pub(super) fn expand_each(scene: &mut Scene<'_>, wish: &Wish<PathWish>) -> Vec<PathBuf> {
    if !project::is_in(&wish.value.path) {
        return expand(scene, wish).into_iter().collect();
    }
    let each = project::all(scene).into_iter();
    each.filter_map(|dir| expand_for(scene, wish, &dir))
        .collect()
}

/// `project` is what `${project}` names.
pub(super) fn expand_for(
    scene: &mut Scene<'_>,
    wish: &Wish<PathWish>,
    project: &Path,
) -> Option<PathBuf> {
    told(scene, wish, Some(project))
}

/// Without a `project` the working copy is it.
fn told(scene: &mut Scene<'_>, wish: &Wish<PathWish>, project: Option<&Path>) -> Option<PathBuf> {
    match text(scene, &wish.value.path, &wish.origin, project) {
        Ok(path) => Some(path),
        Err((what, remedy)) => {
            scene.problem(what, remedy, Some(&wish.origin));
            None
        }
    }
}

fn text(
    scene: &Scene<'_>,
    path: &OsText,
    origin: &Origin,
    project: Option<&Path>,
) -> Result<PathBuf, (String, String)> {
    let bytes = path.bytes();
    if bytes.is_empty() {
        return Err(("an empty path".into(), "name a path".into()));
    }
    if bytes.contains(&0) {
        return Err((
            format!("{path}: a path with a NUL byte"),
            "name a path".into(),
        ));
    }
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    if let Some(after) = bytes.strip_prefix(b"~") {
        match after.first() {
            None | Some(b'/') => {
                out.extend_from_slice(scene.home.path.as_os_str().as_bytes());
                rest = after;
            }
            Some(_) if !from_cli(origin) => {
                return Err((
                    format!("{path}: the home of another user"),
                    "write the absolute path".into(),
                ));
            }
            Some(_) => {}
        }
    }
    while let Some(at) = find(rest, b"${") {
        let (before, from) = rest.split_at(at);
        let name = find(from, b"}").and_then(|end| Some((from.get(2..end)?, from.get(end + 1..)?)));
        let value = name.and_then(|(name, _)| variable(scene, name, project));
        match (name, value) {
            (Some((_, after)), Some(value)) => {
                out.extend_from_slice(before);
                out.extend_from_slice(value.as_os_str().as_bytes());
                rest = after;
            }
            // A shell has expanded what was to be expanded: the rest is the name of a file.
            _ if from_cli(origin) => {
                out.extend_from_slice(before);
                out.extend_from_slice(b"${");
                rest = from.get(2..).unwrap_or_default();
            }
            _ => {
                return Err((
                    format!("{path}: an unknown variable"),
                    "known are ${workspace}, ${home}, ${xdg_config}, ${xdg_cache}, ${xdg_data}, ${xdg_state}, ${project}".into(),
                ));
            }
        }
    }
    out.extend_from_slice(rest);
    let path = tidy(Path::new(OsStr::from_bytes(&out)));
    if path.is_absolute() {
        return Ok(scene.name_of(path));
    }
    if from_cli(origin) {
        return Ok(scene.name_of(tidy(&scene.host.cwd.join(path))));
    }
    Err((
        format!("{}: a relative path", show(&path)),
        "begin it with /, ~/ or ${workspace}/".into(),
    ))
}

fn variable(scene: &Scene<'_>, name: &[u8], project: Option<&Path>) -> Option<PathBuf> {
    Some(match name {
        b"project" => project::name(project.unwrap_or(&scene.workspace.path)).into(),
        b"workspace" => scene.workspace.path.clone(),
        b"home" => scene.home.path.clone(),
        b"xdg_config" => scene.xdg("XDG_CONFIG_HOME", ".config"),
        b"xdg_cache" => scene.xdg("XDG_CACHE_HOME", ".cache"),
        b"xdg_data" => scene.xdg("XDG_DATA_HOME", ".local/share"),
        b"xdg_state" => scene.xdg("XDG_STATE_HOME", ".local/state"),
        _ => return None,
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// Was this said on the command line?
pub(super) fn from_cli(origin: &Origin) -> bool {
    matches!(origin, Origin::Cli { .. })
}

/// Is `inner` the same as `outer` or below it? By bytes, for paths without "." and doubled slashes: `Path::starts_with` takes
/// both apart each time, and this is asked some thousand times in a start.
pub(super) fn within(inner: &Path, outer: &Path) -> bool {
    let outer = outer.as_os_str().as_bytes();
    match inner.as_os_str().as_bytes().strip_prefix(outer) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"/") || outer == b"/",
        None => false,
    }
}

/// What `inner` is below `outer`, without a slash at either end; `None` where it is not [`within`] it.
pub(super) fn below<'p>(inner: &'p Path, outer: &Path) -> Option<&'p [u8]> {
    let outer = outer.as_os_str().as_bytes();
    let rest = inner.as_os_str().as_bytes().strip_prefix(outer)?;
    match rest.strip_prefix(b"/") {
        Some(rest) => Some(rest),
        None => (rest.is_empty() || outer == b"/").then_some(rest),
    }
}

/// The directory that holds `path`, as `Path::parent` says it, for paths as [`within`] wants them.
pub(super) fn parent(path: &Path) -> Option<&Path> {
    let bytes = path.as_os_str().as_bytes();
    let slash = bytes.iter().rposition(|b| *b == b'/')?;
    let dir = bytes.get(..slash.max(1)).filter(|_| bytes.len() > 1)?;
    Some(Path::new(OsStr::from_bytes(dir)))
}

/// `path` and its parents, as `Path::ancestors` gives them, for paths as [`within`] wants them.
pub(super) fn upward(path: &Path) -> impl Iterator<Item = &Path> {
    std::iter::successors(Some(path), |path| parent(path))
}

/// The same path, for paths as [`within`] wants them.
pub(super) fn same(a: &Path, b: &Path) -> bool {
    a.as_os_str() == b.as_os_str()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_say_what_components_say() {
        let paths = ["/", "/a", "/a/b", "/ab", "/a/b/c", "/a/bc", "/a.b/c", "/b"].map(Path::new);
        for a in paths {
            assert_eq!(parent(a), a.parent(), "{a:?}");
            assert!(upward(a).eq(a.ancestors()), "{a:?}");
            for b in paths {
                assert_eq!(within(a, b), a.starts_with(b), "{a:?} {b:?}");
                assert_eq!(same(a, b), a == b, "{a:?} {b:?}");
                let rest = a.strip_prefix(b).ok().map(|r| r.as_os_str().as_bytes());
                assert_eq!(below(a, b), rest, "{a:?} {b:?}");
            }
        }
    }
}
