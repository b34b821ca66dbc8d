//! Programs that git's configuration names and that git runs by itself (`filter.x.clean = tools/clean`, `core.fsmonitor`,
//! `diff.x.textconv`): what the box leaves in such a file in the working copy runs at the user's next `git status`.

#![forbid(unsafe_code)]

use crate::plan::gitconfig::Entry;

/// Section, whether there is a subsection, key. Not aliases and tools, which run when they are asked for by their names, and not
/// what the box could not name anew either way.
const RUN: &[(&str, bool, &str)] = &[
    (
        "core",
        false,
        "alternaterefscommand askpass editor fsmonitor gitproxy pager sshcommand virtualfilesystem",
    ),
    ("sequence", false, "editor"),
    ("diff", false, "external"),
    ("diff", true, "command textconv"),
    ("difftool", true, "cmd path"),
    ("filter", true, "clean process smudge"),
    ("gc", false, "recentobjectshook"),
    ("gpg", false, "program"),
    ("gpg", true, "defaultkeycommand program"),
    ("hook", true, "command"),
    ("interactive", false, "difffilter"),
    ("lfs", true, "clean path smudge"),
    ("merge", true, "driver"),
    ("mergetool", true, "cmd path"),
    ("submodule", true, "update"),
    ("trailer", true, "cmd command"),
    ("uploadpack", false, "packobjectshook"),
];

/// The same with any key, and with or without a subsection.
const ALL: &[&str] = &["credential", "pager"];

/// How git names the top of a work tree in a command.
const TOP: &[u8] = b"$(git rev-parse --show-toplevel)/";

/// What a command names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// What is run. The shell looks one without a slash up on PATH, and not in the working copy.
    Program(Vec<u8>),
    /// Anything else: a script, its settings, or no file at all.
    Other(Vec<u8>),
}

/// The words of an entry's value that may be files.
pub(super) fn words(entry: &Entry) -> Vec<Word> {
    let has = entry.subsection.is_some();
    let section = |name: &str| entry.section == name.as_bytes();
    let runs = RUN.iter().any(|(name, with, keys)| {
        let mut keys = keys.split(' ');
        section(name) && has == *with && keys.any(|key| entry.key == key.as_bytes())
    });
    let Some(value) = entry.value.as_deref() else {
        return Vec::new();
    };
    if !runs && !ALL.iter().any(|name| section(name)) {
        return Vec::new();
    }
    let mut text = Vec::with_capacity(value.len());
    let mut rest = value.strip_prefix(b"!").unwrap_or(value);
    while let Some((byte, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(TOP) {
            text.extend(b"./");
            rest = after;
        } else {
            text.push(*byte);
            rest = after;
        }
    }
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`<>=".contains(byte);
    let commands = text.split(|byte| b";|&()\n".contains(byte));
    let of = |command: &[u8]| -> Vec<Word> {
        let words = command.split(ends).filter(|word| !word.is_empty());
        words
            .enumerate()
            .map(|(number, word)| match number {
                0 => Word::Program(word.to_vec()),
                _ => Word::Other(word.to_vec()),
            })
            .collect()
    };
    commands.flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::gitconfig;

    fn of(text: &str) -> Vec<String> {
        let config = gitconfig::parse(text.as_bytes()).unwrap();
        let words = config.entries.iter().flat_map(words);
        let text = |word: Word| match word {
            Word::Program(word) => format!("!{}", String::from_utf8(word).unwrap()),
            Word::Other(word) => String::from_utf8(word).unwrap(),
        };
        words.map(text).collect()
    }

    #[test]
    fn a_command_is_taken_apart_as_far_as_files_go() {
        for (config, expected) in [
            ("[filter \"x\"]\nclean = tools/clean %f", "!tools/clean %f"),
            ("[core]\nfsmonitor = true", "!true"),
            (
                "[diff \"x\"]\ntextconv = \"sh -c 'a;b/c'\"",
                "!sh -c a !b/c",
            ),
            ("[pager]\ndiff = fancy | less -x 4", "!fancy !less -x 4"),
            ("[credential]\nhelper = !f/g", "!f/g"),
            ("[pager]\nlog = x --config=y/z", "!x --config y/z"),
            (
                "[merge \"x\"]\ndriver = \\\"$(git rev-parse --show-toplevel)/m\\\" %O",
                "!./m %O",
            ),
            ("[alias]\nx = !tools/alias", ""),
            ("[core]\neditor", ""),
            ("[filter \"x\"]\nrequired = tools/x", ""),
        ] {
            assert_eq!(of(config).join(" "), expected, "{config}");
        }
    }
}
