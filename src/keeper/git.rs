//! What the paths of a repository mean. Pure.

#![forbid(unsafe_code)]

use crate::plan::names::git::in_dot_git;
use crate::plan::names::is_never_searched;
use crate::plan::names::matcher::{Cursor, Matcher};
use crate::plan::names::{NameKind, NameRule, Names};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// Is it called as a configuration file of a repository is?
pub(super) fn is_named_config(file: &Path) -> bool {
    matches!(file.file_name(), Some(name) if name == "config" || name == "config.worktree")
}

/// Is it a configuration file of a repository (`.git/config`, `config.worktree`, `.git/modules/*/config`)?
pub(super) fn is_config(file: &Path) -> bool {
    is_named_config(file)
        && file
            .ancestors()
            .skip(1)
            .any(|dir| dir.file_name() == Some(OsStr::new(".git")))
}

/// A file that says where git finds something, or what it runs next, with what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pointer {
    /// `.git` as a file: where the git directory is.
    GitFile,
    /// `commondir`: where configuration and hooks of a git directory are.
    CommonDir,
    /// The list of what a rebase does next.
    Todo,
    /// How a rebase merges: git runs `git-merge-NAME`, and a name with slashes is any file.
    Strategy,
    /// The same of a cherry-pick or a revert, among other options.
    Options,
}

impl Pointer {
    /// By its name.
    pub(super) fn of(file: &Path) -> Option<Pointer> {
        let above = file.parent().and_then(Path::file_name)?.as_bytes();
        match (above, file.file_name()?.as_bytes()) {
            (_, b".git") => Some(Pointer::GitFile),
            (_, b"commondir") => Some(Pointer::CommonDir),
            (b"rebase-merge", b"git-rebase-todo") => Some(Pointer::Todo),
            (b"rebase-merge", b"strategy") => Some(Pointer::Strategy),
            (b"sequencer", b"opts") => Some(Pointer::Options),
            _ => None,
        }
    }
}

/// The directory that a `.git` file names, if it is written as git writes it: git goes through links, we do not, so `..` may
/// only stand at the beginning. Git reads more than it writes: it drops every CR and LF of the end, and stops at a NUL. What has
/// such bytes in it would name another directory for us than for git, and is nothing that git has written.
pub(super) fn target(file: &Path, content: &[u8]) -> Option<PathBuf> {
    let text = content.strip_prefix(b"gitdir: ")?;
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.iter().any(u8::is_ascii_control) {
        return None;
    }
    let said = Path::new(OsStr::from_bytes(text));
    let mut at = file.parent()?.to_owned();
    let mut down = false;
    for part in said.components() {
        match part {
            Component::RootDir => at = PathBuf::from("/"),
            Component::ParentDir if down || said.is_absolute() => return None,
            Component::ParentDir => {
                at.pop();
            }
            Component::Normal(name) => {
                down = true;
                at.push(name);
            }
            Component::CurDir => {}
            Component::Prefix(_) => return None,
        }
    }
    (!text.is_empty()).then_some(at)
}

/// Is it a place where the rules about git directories hold, so that what runs by itself is taken out of it?
pub(super) fn is_looked_at(names: &Names, dir: &Path) -> bool {
    let about = |rule: &&NameRule| {
        rule.kind == NameKind::Track && rule.pattern.bytes().ends_with(b"config")
    };
    names.rules.iter().filter(about).any(|rule| {
        let root = rule.root.path();
        let Ok(rel) = dir.strip_prefix(root) else {
            return false;
        };
        !is_never_searched(root, rel)
    })
}

/// May `commondir` say this? Git writes it for worktrees only, and always the same.
pub(super) fn is_common_dir(file: &Path, content: &[u8]) -> bool {
    let above = file.parent().and_then(Path::parent);
    above.and_then(Path::file_name) == Some(OsStr::new("worktrees"))
        && content.trim_ascii_end() == b"../.."
}

/// The lines of a rebase's list that run a program.
pub(super) fn runs(todo: &[u8]) -> impl Iterator<Item = &[u8]> {
    todo.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| {
            let word = line.split(u8::is_ascii_whitespace).next();
            matches!(word, Some(b"x" | b"exec"))
        })
}

/// Git's own.
const STRATEGIES: [&[u8]; 6] = [
    b"octopus",
    b"ort",
    b"ours",
    b"recursive",
    b"resolve",
    b"subtree",
];

/// Is it a strategy of git's own?
pub(super) fn is_strategy(content: &[u8]) -> bool {
    STRATEGIES.contains(&content.strip_suffix(b"\n").unwrap_or(content))
}

/// Are these options of a cherry-pick as git writes them, with a strategy of git's own? A line that may go on, or that could be
/// read in two ways, is none.
pub(super) fn are_options(content: &[u8]) -> bool {
    const KEYS: [&[u8]; 16] = [
        b"allow-empty",
        b"allow-empty-message",
        b"allow-ff",
        b"allow-rerere-auto",
        b"commit-use-reference",
        b"default-msg-cleanup",
        b"drop-redundant-commits",
        b"edit",
        b"gpg-sign",
        b"keep-redundant-commits",
        b"mainline",
        b"no-commit",
        b"record-origin",
        b"signoff",
        b"strategy",
        b"strategy-option",
    ];
    let mut lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.all(|line| {
        if line.is_empty() || line == b"[options]" {
            return true;
        }
        let Some(at) = line.iter().position(|byte| *byte == b'=') else {
            return false;
        };
        let (key, value) = line.split_at(at);
        let (key, value) = (
            key.trim_ascii(),
            value.get(1..).unwrap_or_default().trim_ascii(),
        );
        let odd = |byte: &u8| *byte == b'\\' || byte.is_ascii_control();
        KEYS.contains(&key)
            && !value.iter().any(odd)
            && (key != b"strategy" || STRATEGIES.contains(&value))
    })
}

/// What `core.worktree` of a submodule may say: the directory that has the submodule's name, from the top.
pub(super) fn work_tree(config: &Path) -> Option<(PathBuf, Vec<u8>)> {
    let dir = config.parent()?;
    let names: Vec<&OsStr> = dir.iter().collect();
    let git = names.iter().position(|name| *name == ".git")?;
    let top: PathBuf = names.get(..git)?.iter().collect();
    let inner = names.get(git + 1..)?;
    // `.git/modules/A/modules/B` is the submodule B of the submodule A.
    let way: PathBuf = inner.iter().filter(|name| **name != "modules").collect();
    if inner.first().is_none_or(|name| *name != "modules") || way.as_os_str().is_empty() {
        return None;
    }
    let mut said = b"../".repeat(inner.len() + 1);
    said.extend(way.as_os_str().as_bytes());
    Some((top.join(way), said))
}

/// The directory whose files a git directory keeps: where the rules about them begin. Its own, where it has none.
pub(super) fn work_tree_of(dir: &Path) -> PathBuf {
    if dir.file_name() == Some(OsStr::new(".git")) {
        return dir.parent().unwrap_or(dir).to_owned();
    }
    work_tree(&dir.join("config")).map_or_else(|| dir.to_owned(), |(tree, _)| tree)
}

/// Is the path below a git directory one that only the rules about git are for?
pub(super) fn is_gits(rel: &Path) -> bool {
    let name = rel.file_name().map(OsStr::as_bytes);
    let parent = rel.parent().and_then(Path::file_name);
    parent == Some(OsStr::new("hooks"))
        || match name {
            None => true,
            Some(b"exclude" | b"attributes") => parent == Some(OsStr::new("info")),
            Some(name) => matches!(
                name,
                b"config" | b"config.worktree" | b"commondir" | b"hooks"
            ),
        }
}

/// Does git write what lies there below a git directory, through a link as well? By the names that it has for it, since where a project
/// is a bare repository itself its work trees lie beside them.
pub(super) fn is_written(rel: &Path, whose: Whose) -> bool {
    let first = rel.iter().next().unwrap_or_default().as_bytes();
    let is_message = [b"HEAD".as_slice(), b"MSG"]
        .iter()
        .any(|end| first.ends_with(end))
        || [b"BISECT_".as_slice(), b"EDIT_", b"ADD_", b"MERGE_"]
            .iter()
            .any(|start| first.starts_with(start));
    is_message
        || first == b"worktrees"
        || whose == Whose::Known
            && matches!(
                first,
                b"addp-hunk-edit.diff"
                    | b"annex"
                    | b"description"
                    | b"gc.log"
                    | b"index"
                    | b"info"
                    | b"logs"
                    | b"modules"
                    | b"packed-refs"
                    | b"rebase-apply"
                    | b"rebase-merge"
                    | b"rr-cache"
                    | b"sequencer"
                    | b"shallow"
                    | b"svn"
            )
}

/// Whose repository it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// It was there when the session began.
    Known,
    /// The session's own: tools of it (`repo`) link the directories of several.
    New,
}

/// Are the rules of `.git` in force there?
pub(super) fn is_as_git(matcher: &Matcher, cursor: &Cursor, dir: &Path) -> bool {
    &matcher.as_git(cursor, dir) == cursor
}

/// Is it a git directory of its own (`.git`, `.git/modules/NAME`) by its name, before it looks like one? A submodule's name may
/// have slashes in it.
pub(super) fn is_git_dir(dir: &Path) -> bool {
    if dir.file_name() == Some(OsStr::new(".git")) {
        return true;
    }
    let mut names = dir.iter().skip_while(|name| *name != ".git").skip(1);
    let in_modules = names.next() == Some(OsStr::new("modules"));
    let mut below = names.peekable();
    in_modules
        && below.peek().is_some()
        && !below.any(|name| {
            matches!(
                name.as_bytes(),
                b"modules"
                    | b"objects"
                    | b"refs"
                    | b"logs"
                    | b"lfs"
                    | b"info"
                    | b"hooks"
                    | b"branches"
            )
        })
        || dir.parent().and_then(Path::file_name) == Some(OsStr::new("modules")) && in_dot_git(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_file_leads_where_git_would_go_and_through_no_link() {
        for (content, leads) in [
            (
                &b"gitdir: ../.git/modules/a\n"[..],
                Some("/w/.git/modules/a"),
            ),
            (b"gitdir: /w/.git/worktrees/x", Some("/w/.git/worktrees/x")),
            (b"gitdir: x", Some("/w/sub/x")),
            (b"gitdir: link/../x", None),
            (b"gitdir: /w/../x", None),
            (b"gitdir: ", None),
            (b"gitdir:x", None),
            (b"gitdir: ../x\r\n", None),
            (b"gitdir: ../x\n\n", None),
            (b"gitdir: ../x\r", None),
            (b"gitdir: ../x\0y\n", None),
            (b"", None),
        ] {
            let found = target(Path::new("/w/sub/.git"), content);
            assert_eq!(found.as_deref(), leads.map(Path::new), "{content:?}");
        }
    }

    #[test]
    fn only_a_worktree_has_a_common_directory_and_it_is_its_own() {
        for (file, content, may) in [
            ("/w/.git/worktrees/a/commondir", &b"../..\n"[..], true),
            (
                "/w/.git/worktrees/a/commondir",
                b"../../../src/evil\n",
                false,
            ),
            ("/w/.git/commondir", b"../..\n", false),
            ("/w/.git/commondir", b"../src/evil\n", false),
        ] {
            assert_eq!(
                is_common_dir(Path::new(file), content),
                may,
                "{file} {content:?}"
            );
        }
    }

    #[test]
    fn a_submodule_has_its_work_tree_where_its_name_says() {
        for (config, tree, says) in [
            ("/w/.git/modules/a/config", "/w/a", "../../../a"),
            ("/w/.git/modules/v/a/config", "/w/v/a", "../../../../v/a"),
            (
                "/w/.git/modules/a/modules/b/config",
                "/w/a/b",
                "../../../../../a/b",
            ),
        ] {
            let found = work_tree(Path::new(config));
            assert_eq!(found, Some((PathBuf::from(tree), says.into())), "{config}");
        }
        assert_eq!(work_tree(Path::new("/w/.git/config")), None);
        assert_eq!(work_tree(Path::new("/w/x.git/config")), None);
    }

    #[test]
    fn a_rebase_runs_what_its_list_says() {
        let todo = b"pick 1 x\nexec make\n  x make\nxyz\nlabel x\n# exec no\n";
        assert_eq!(runs(todo).count(), 2);
    }

    #[test]
    fn a_merge_is_made_by_git_itself() {
        for (content, is) in [
            (&b"ort\n"[..], true),
            (b"recursive", true),
            (b"x/evil\n", false),
            (b"ort\nx\n", false),
            (b"mine\n", false),
            (b"", false),
        ] {
            assert_eq!(is_strategy(content), is, "{content:?}");
        }
        for (content, are) in [
            (
                &b"[options]\n\tsignoff = true\n\tstrategy = ort\n\tstrategy-option = theirs\n"[..],
                true,
            ),
            (b"", true),
            (b"[options]\n\tstrategy = x/evil\n", false),
            (b"[options] strategy = x/evil\n", false),
            (b"[options]\nstrategy=x/evil\n", false),
            (b"[options]\nStrategy = x/evil\n", false),
            (b"[options]\nedit = \\\nstrategy = ort\n", false),
            (b"[options]\n\tstrategy = \"x/evil\"\n", false),
        ] {
            assert_eq!(are_options(content), are, "{content:?}");
        }
    }

    #[test]
    fn a_git_directory_of_its_own_is_known_by_its_name() {
        for (path, is) in [
            ("/w/.git", true),
            ("/w/.git/modules/a", true),
            ("/w/.git/modules/v/a", true),
            ("/w/.git/modules/a/modules/b", true),
            ("/w/.git/modules", false),
            ("/w/.git/modules/a/objects/00", false),
            ("/w/.git/modules/a/hooks", false),
            ("/w/.git/info", false),
            ("/w/modules/a", false),
        ] {
            assert_eq!(is_git_dir(Path::new(path)), is, "{path}");
        }
    }

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
