//! Files of the workspace that a start-up file of the user's reads (`source ~/dotfiles/bashrc`, `Include ~/dotfiles/ssh`): each new shell
//! outside, ssh or editor runs what they say. A guard-rail: of lines that say so in plain words.

#![forbid(unsafe_code)]

use super::super::expand::within;
use super::super::scene::Scene;
use super::dotfiles::summary;
use super::trees::{root_of, short};
use super::written;
use crate::host::FileType;
use crate::plan::names::{NameKind, NameRule};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// bash(1), zsh(1), sh(1), fish(1), and what else runs commands that such a file names.
const FILES: &[&str] = &[
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".bash_aliases",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".zlogin",
    ".config/fish/config.fish",
    ".ssh/config", // `ProxyCommand`
    ".tmux.conf",
    ".config/tmux/tmux.conf",
    ".screenrc",
    ".vimrc",
    ".inputrc", // keys that are typed
    ".gdbinit",
];

/// What they call it, in small letters.
const WORDS: &[&str] = &["source", "include", "$include", "source-file", "so"];

/// The same as a command of a shell only: elsewhere it is a directory (`find . ~/src`).
const DOTS: &[&str] = &[".", "\\."];

/// What may stand before a command.
const BEFORE: &[&str] = &[
    "if", "then", "elif", "else", "while", "until", "do", "{", "!", "time", "builtin", "command",
];

/// The most bytes of one that are read.
const MOST: usize = 256 * 1024;

/// The most files that are read because another one reads them.
const MOST_FILES: usize = 100;

/// Rules about what they read.
pub(super) fn rules(scene: &mut Scene<'_>) -> Vec<NameRule> {
    let home = scene.home.path.clone();
    let mut names: BTreeSet<(PathBuf, &str)> = BTreeSet::new();
    let mut files: Vec<(PathBuf, &str)> =
        FILES.iter().map(|file| (home.join(file), *file)).collect();
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    while let Some((from, file)) = files.pop() {
        let text = scene.walk.look.read(&from, MOST);
        for path in sourced(&text.unwrap_or_default(), &home) {
            let stat = scene.walk.stat(&path);
            if stat.is_some_and(|stat| stat.file_type == FileType::Dir) {
                continue;
            }
            // What it reads may read more of them; what the system brings reads none.
            let is_own = within(&path, &home) || root_of(scene, &path).is_some();
            if is_own && seen.len() < MOST_FILES && seen.insert(path.clone()) {
                files.push((path.clone(), file));
            }
            // As it is written and where it leads: a link on the way can become another one.
            let named = written::in_trees(scene, &path).into_iter();
            names.extend(named.map(|name| (name, file)));
        }
    }
    let mut named: Vec<PathBuf> = names.iter().map(|(name, _)| name.clone()).collect();
    named.dedup();
    let said = short(scene, &named);
    summary(scene, "start-up files of yours read it", &said);
    let rule = |(name, file): &(PathBuf, &str)| {
        let (root, way) = root_of(scene, name)?;
        let rule = NameRule::about(NameKind::Freeze, &root, &way, &format!("~/{file} reads it"));
        let text = way.as_os_str().as_bytes();
        if !text.contains(&b'*') || text.contains(&b'\\') {
            return Some(rule);
        }
        // `Include ~/work/ssh/*.conf`: as many as there are, also those that are made.
        Some(NameRule {
            pattern: way.as_path().into(),
            ..rule
        })
    };
    names.iter().filter_map(rule).collect()
}

/// What `source FILE`, `. FILE` and the like name, where that is a path from the root or from HOME.
fn sourced(text: &[u8], home: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    'lines: for line in text.split(|byte| *byte == b'\n') {
        for command in line.split(|byte| b";&|()".contains(byte)) {
            // Not at braces, which `${HOME}` has; `{` is a word by itself.
            let words = command.split(|byte| byte.is_ascii_whitespace());
            let mut words = words.filter(|word| !word.is_empty()).peekable();
            let mut is_first = true;
            while let Some(word) = words.next() {
                if word.first() == Some(&b'#') {
                    continue 'lines;
                }
                let is = |said: &&str| word.eq_ignore_ascii_case(said.as_bytes());
                let begins = is_first;
                is_first &= word.contains(&b'=') || BEFORE.iter().any(is);
                if !(WORDS.iter().any(is) || begins && DOTS.iter().any(is)) {
                    continue;
                }
                while words.next_if(|word| word.starts_with(b"-")).is_some() {}
                let name = words.next().unwrap_or_default().iter().copied();
                let name: Vec<u8> = name.filter(|byte| !b"\"'".contains(byte)).collect();
                match written::below_home(&name) {
                    Some(way) => out.push(home.join(OsStr::from_bytes(way))),
                    None if name.starts_with(b"/") => out.push(OsStr::from_bytes(&name).into()),
                    None => {}
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_read_a_file() {
        let text = b"# . ~/no; . ~/no\nsource ~/a; . \"$HOME/b\" && [ -f ${HOME}/c ] && \\. '${HOME}/c'\n  if test -r /d; then . /d; fi\nalias x=~/no; source <(no) . no $(. /e)\nInclude ~/f\nsource-file -q ~/g\n\
            alias y='find . ~/no'; grep -r x . ~/no; cp -r . ~/no\nif ! . ~/h; then { . ~/i; }; fi; bind r source-file ~/j\n";
        let paths: Vec<String> = sourced(text, Path::new("/h"))
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(
            paths,
            [
                "/h/a", "/h/b", "/h/c", "/d", "/e", "/h/f", "/h/g", "/h/h", "/h/i", "/h/j"
            ]
        );
    }
}
