//! What git's configuration names in the workspace: the directories of `core.hooksPath`, files that are included, and programs.

#![forbid(unsafe_code)]

use super::super::expand::{below, within};
use super::super::names::is_of;
use super::super::scene::Scene;
use super::programs::{Word, words};
use super::{FILES, MOST, given, included, named, repositories, users_own};
use crate::host::FileType;
use crate::plan::OsText;
use crate::plan::gitconfig;
use crate::plan::names::is_never_searched;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// What configuration names, as it is written there.
#[derive(Debug, Default)]
pub(in super::super) struct Values {
    hooks: Vec<Vec<u8>>,
    /// Without the links on the way.
    included: Vec<PathBuf>,
    programs: Vec<Word>,
}

/// What the user's own configuration and the system's name, wherever git runs.
pub(in super::super) fn everywhere(scene: &Scene<'_>) -> Values {
    let mut out = values(scene, users_own(scene).to_vec());
    // Relative includes are an error there (git-config(1)).
    let included = out.take(scene, &given::config(scene), &scene.host.cwd);
    for file in included {
        let more = values(scene, vec![file]);
        out.hooks.extend(more.hooks);
        out.included.extend(more.included);
        out.programs.extend(more.programs);
    }
    out
}

/// What these files name, and those that they include.
pub(in super::super) fn values(scene: &Scene<'_>, files: Vec<PathBuf>) -> Values {
    let mut seen: BTreeSet<PathBuf> = files.iter().cloned().collect();
    let mut files = VecDeque::from(files);
    let mut out = Values::default();
    while let Some(file) = files.pop_front() {
        let Some(text) = scene.walk.look.read(&file, MOST) else {
            continue;
        };
        let Ok(config) = gitconfig::parse(&text) else {
            continue;
        };
        let dir = file.parent().unwrap_or(Path::new("/"));
        for real in out.take(scene, &config, dir) {
            if seen.len() < FILES && seen.insert(real.clone()) {
                files.push_back(real);
            }
        }
    }
    out
}

impl Values {
    /// What one file names; those that it includes are handed back.
    fn take(&mut self, scene: &Scene<'_>, config: &gitconfig::Config, dir: &Path) -> Vec<PathBuf> {
        let is_it = |v: &&gitconfig::Entry| {
            v.section == b"core" && v.subsection.is_none() && v.key == b"hookspath"
        };
        let hooks = config.entries.iter().filter(is_it);
        self.hooks.extend(hooks.filter_map(|v| v.value.clone()));
        let left = FILES.saturating_sub(self.programs.len());
        self.programs
            .extend(config.entries.iter().flat_map(words).take(left));
        let paths = included(scene, config, dir);
        let files: Vec<PathBuf> = paths.iter().map(|path| scene.real_of(path)).collect();
        self.included.extend(files.iter().cloned());
        files
    }
}

/// What git's configuration names in the workspace or in another tree, by the ways from there.
#[derive(Debug, Default)]
pub(in super::super) struct Named {
    /// Where `core.hooksPath` leads.
    pub(in super::super) hooks: Vec<PathBuf>,
    /// Files that are included: configuration as well.
    pub(in super::super) included: Vec<PathBuf>,
    /// Files that git runs, or hands to what it runs.
    pub(in super::super) programs: Vec<PathBuf>,
    /// The values of `core.hooksPath` and the programs that are relative, and so others in each work tree of the repository.
    pub(in super::super) relative: Vec<OsText>,
}

/// What the workspace's own repository and the user's configuration name there.
pub(in super::super) fn in_workspace(scene: &Scene<'_>) -> Named {
    let mut out = Named::default();
    let top = &scene.workspace.real;
    for values in [everywhere(scene), values(scene, repositories(scene))] {
        out.add(scene, &values, (top, top));
        let hooks = values.hooks.iter().filter_map(|value| plain(value));
        let programs = values.programs.iter().filter_map(|word| {
            let (Word::Program(text) | Word::Other(text)) = word;
            plain(text).filter(|path| out.programs.iter().any(|way| way == path))
        });
        let relative: Vec<OsText> = hooks.chain(programs).map(OsText::from).collect();
        out.relative.extend(relative);
    }
    out
}

/// A path that is another one in each work tree.
fn plain(value: &[u8]) -> Option<PathBuf> {
    let parts = Path::new(OsStr::from_bytes(value)).components();
    let parts: Vec<Component<'_>> = parts.filter(|part| *part != Component::CurDir).collect();
    let normal = |part: &Component<'_>| matches!(part, Component::Normal(_));
    let is_plain = !parts.is_empty() && parts.iter().all(normal) && !value.starts_with(b"~/");
    is_plain.then(|| parts.into_iter().collect())
}

impl Named {
    /// What the values name in `root` for a work tree whose top is `top`: git takes a relative `core.hooksPath` from where it runs the
    /// hook, which is there (git-config(1)).
    pub(in super::super) fn add(
        &mut self,
        scene: &Scene<'_>,
        values: &Values,
        (top, root): (&Path, &Path),
    ) {
        let add = |path: &Path, to: &mut Vec<PathBuf>| {
            // A top as a whole, or what holds it, is a place to work in and no name.
            let Some(way) =
                below(path, root).filter(|_| !within(top, path) && is_of(scene, path, root))
            else {
                return;
            };
            let way = PathBuf::from(OsStr::from_bytes(way));
            if !to.contains(&way) {
                to.push(way);
            }
        };
        for value in &values.hooks {
            // As it is written, too: a link on the way can be made, or become another one.
            let written = named(scene, value, top);
            add(&scene.real_of(&written), &mut self.hooks);
            add(&written, &mut self.hooks);
        }
        for path in &values.included {
            add(path, &mut self.included);
        }
        for word in &values.programs {
            let (Word::Program(text) | Word::Other(text)) = word;
            // What has no slash is looked up on PATH.
            let is_program = matches!(word, Word::Program(_));
            if is_program && !text.contains(&b'/') {
                continue;
            }
            let written = named(scene, text, top);
            let real = scene.real_of(&written);
            // The box may make the program that is missing; another word that is no file is none.
            let counts = match scene.walk.look.lstat(&real).map(|stat| stat.file_type) {
                Some(file_type) => file_type == FileType::File,
                None => is_program,
            };
            // What is installed there (`.venv/bin/python`) is replaced by whoever installs, and so is what it imports.
            let is_installed = |path: &Path| {
                is_never_searched(Path::new("/"), path.strip_prefix("/").unwrap_or(path))
            };
            if counts && !is_installed(&written) && !is_installed(&real) {
                add(&real, &mut self.programs);
                add(&written, &mut self.programs);
            }
        }
    }
}
