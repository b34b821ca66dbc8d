//! File systems that do not tell `.env` from `.ENV` (a Windows drive in WSL, a folder that Docker Desktop shares, SMB). A name is
//! covered there as it is spelled: by another spelling the same file is open, and what is made under one is not looked at.

#![forbid(unsafe_code)]

use super::super::scene::{Scene, show};
use crate::host::{FileType, Lookup};
use crate::outcome::Layer;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Says so of the working copy, and refuses it where the view is required.
pub(super) fn check(scene: &mut Scene<'_>) {
    let work = scene.workspace.real.clone();
    if !is_one_to_both(scene.walk.look, &work) {
        return;
    }
    let what = format!(
        "the file system of {} does not tell `.env` from `.ENV`: names in it are hidden and protected under one spelling only",
        show(&work)
    );
    let wish = scene.policy.wishes.require.iter();
    let required = wish
        .filter(|wish| wish.value == Layer::View)
        .map(|wish| wish.origin.clone())
        .next();
    match required {
        Some(origin) => scene.problem(
            what,
            "work in a directory of a Linux file system, or do not require the layer view",
            Some(&origin),
        ),
        None => scene.notices.push(format!(
            "{what}; work in a directory of a Linux file system, or keep secrets out of it"
        )),
    }
}

/// Is a directory there, or in it, the same one under another spelling? Files can have both names as hard links, directories cannot.
fn is_one_to_both(look: &dyn Lookup, dir: &Path) -> bool {
    let is_dir = |path: &Path| {
        let stat = look.lstat(path)?;
        (stat.file_type == FileType::Dir).then_some((stat.dev, stat.ino))
    };
    let same = |path: &Path| {
        let other = path
            .file_name()
            .and_then(swapped)
            .map(|name| path.with_file_name(name));
        let first = is_dir(path);
        first.is_some() && other.is_some_and(|other| is_dir(&other) == first)
    };
    let git = dir.join(".git");
    if is_dir(&git).is_some() {
        return same(&git);
    }
    // What is mounted there has its own name in another file system.
    same(dir)
        || look
            .read_dir(dir)
            .iter()
            .filter(|name| swapped(name).is_some())
            .map(|name| dir.join(name))
            .take(64)
            .find(|path| is_dir(path).is_some())
            .is_some_and(|path| same(&path))
}

/// The name in the other letters, if it has any.
fn swapped(name: &OsStr) -> Option<OsString> {
    let swap = |byte: &u8| match byte {
        byte if byte.is_ascii_lowercase() => byte.to_ascii_uppercase(),
        byte => byte.to_ascii_lowercase(),
    };
    let other: Vec<u8> = name.as_bytes().iter().map(swap).collect();
    (other != name.as_bytes()).then(|| OsString::from_vec(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Stat, Want};
    use std::path::PathBuf;

    /// A file system of one directory, with one in it.
    struct Drive {
        folds: bool,
        inner: &'static str,
    }

    impl Lookup for Drive {
        fn stat(&self, path: &Path) -> Option<Stat> {
            self.lstat(path)
        }
        fn lstat(&self, path: &Path) -> Option<Stat> {
            let is = |known: &str| match path.to_str() {
                Some(text) if self.folds => text.eq_ignore_ascii_case(known),
                text => text == Some(known),
            };
            let inner = format!("/mnt/{}", self.inner);
            let ino = if path == Path::new("/mnt") {
                1
            } else {
                u64::from(is(&inner)) * 2
            };
            (ino > 0).then_some(Stat {
                file_type: FileType::Dir,
                mode: 0o755,
                uid: 0,
                gid: 0,
                dev: 1,
                ino,
                nlink: 1,
            })
        }
        fn read_link(&self, _: &Path) -> Option<PathBuf> {
            None
        }
        fn canonicalize(&self, path: &Path) -> Option<PathBuf> {
            Some(path.to_owned())
        }
        fn read_dir(&self, _: &Path) -> Vec<OsString> {
            vec!["1".into(), self.inner.into()]
        }
        fn read(&self, _: &Path, _: usize) -> Option<Vec<u8>> {
            None
        }
        fn permits(&self, _: &Path, _: Want) -> bool {
            true
        }
        fn executable(&self, _: &Path) -> bool {
            false
        }
    }

    #[test]
    fn a_file_system_that_knows_no_case_is_told_by_a_directory() {
        for inner in [".git", "src", "Src"] {
            let of = |folds| is_one_to_both(&Drive { folds, inner }, Path::new("/mnt"));
            assert!(of(true), "{inner}");
            assert!(!of(false), "{inner}");
        }
        let folds = true;
        assert!(!is_one_to_both(
            &Drive { folds, inner: "7" },
            Path::new("/mnt")
        ));
    }
}
