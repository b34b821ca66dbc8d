//! What the paths of a repository mean. Pure.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::path::Path;

/// Is it a configuration file of a repository (`.git/config`, `config.worktree`, `.git/modules/*/config`)?
pub(super) fn is_config(file: &Path) -> bool {
    let named =
        matches!(file.file_name(), Some(name) if name == "config" || name == "config.worktree");
    named
        && file
            .ancestors()
            .skip(1)
            .any(|dir| dir.file_name() == Some(OsStr::new(".git")))
}

/// Is it a git directory of its own (`.git`, `.git/modules/NAME`)?
pub(super) fn is_git_dir(dir: &Path) -> bool {
    let named =
        |dir: Option<&Path>, name: &str| dir.and_then(Path::file_name) == Some(OsStr::new(name));
    named(Some(dir), ".git") || named(dir.parent(), "modules")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_told_from_other_files() {
        for (path, is) in [
            ("/w/.git/config", true),
            ("/w/.git/config.worktree", true),
            ("/w/.git/modules/a/b/config", true),
            ("/w/.git/worktrees/a/config.worktree", true),
            ("/w/config", false),
            ("/w/.git/config.lock", false),
            ("/w/git/config", false),
        ] {
            assert_eq!(is_config(Path::new(path)), is, "{path}");
        }
    }
}
