//! What an allowed `.envrc` reads (`source ./env.sh`, `use flake`): direnv(1) asks again when that file changes, and of what it reads
//! it asks about nothing. It runs in the user's shell at the next prompt, so it is frozen. A guard-rail: of lines that say so in plain
//! words, and where the user has direnv.

#![forbid(unsafe_code)]

use super::super::expand::within;
use super::super::scene::Scene;
use super::super::words::split;
use super::trees::roots;
use super::{Found, ways, written};
use crate::host::FileType;
use crate::plan::names::NameRule;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The most bytes of one file that are read.
const MOST: usize = 256 * 1024;

/// The most files that are read.
const FILES: usize = 100;

/// What reads the file that comes next (direnv-stdlib(1)).
const READS: &[&str] = &[
    "source",
    ".",
    "source_env",
    "source_env_if_exists",
    "dotenv",
    "dotenv_if_exists",
];

/// What `use NAME` and `NAME generate direnv` read in the directory.
const USES: &[(&str, &[&str])] = &[
    ("devbox", &["devbox.json"]),
    ("devenv", &["devenv.nix", "devenv.yaml"]),
    ("flake", &["flake.nix"]),
    ("guix", &["guix.scm", "manifest.scm"]),
    ("nix", &["shell.nix", "default.nix"]),
];

/// Adds rules about what the files read that the search has found.
pub(super) fn add(scene: &mut Scene<'_>, rules: &mut Vec<NameRule>, found: &mut Found) {
    let roots = roots(scene);
    // With the directory that it is read in: a link's target is read where the link is, which may be at the top.
    let mut files: Vec<(PathBuf, PathBuf)> = Vec::new();
    for hit in &found.hits {
        let rule = hit.decision.track.and_then(|rule| rules.get(rule));
        let is_it = |rule: &NameRule| rule.pattern.bytes().ends_with(b".envrc*");
        let root = roots.iter().find(|root| within(&hit.path, root));
        let Some(root) =
            root.filter(|_| hit.file_type == FileType::File && rule.is_some_and(is_it))
        else {
            continue;
        };
        let name = hit.path.file_name().unwrap_or_default().as_bytes();
        let dir = hit.path.parent().unwrap_or(root).to_owned();
        if !name.starts_with(b".envrc") {
            files.push((hit.path.clone(), root.clone()));
        }
        files.push((hit.path.clone(), dir));
    }
    if files.is_empty() || !is_used(scene) {
        return;
    }
    let mut read_there: BTreeSet<PathBuf> = BTreeSet::new();
    let mut seen: BTreeSet<(PathBuf, PathBuf)> = files.iter().cloned().collect();
    while let Some((file, dir)) = files.pop() {
        let text = scene.walk.look.read(&file, MOST).unwrap_or_default();
        for read in reads(&text) {
            let path = match written::below_home(&read.path) {
                Some(way) => scene.home.path.join(OsStr::from_bytes(way)),
                None => dir.join(OsStr::from_bytes(&read.path)),
            };
            let path = super::super::workspace::tidy(&path);
            let stat = scene.walk.stat(&path);
            let is = |file_type| stat.is_some_and(|stat| stat.file_type == file_type);
            let path = if read.how == How::Entered && is(FileType::Dir) {
                path.join(".envrc")
            } else if read.how == How::Run && !is(FileType::File) {
                continue;
            } else {
                path
            };
            let place = match read.how {
                How::Read => Some(dir.clone()),
                How::Entered => path.parent().map(Path::to_owned),
                How::Run | How::Used => None,
            };
            if let Some(place) = place.map(|place| (path.clone(), place))
                && seen.len() < FILES
                && seen.insert(place.clone())
            {
                files.push(place);
            }
            // As it is written and where it leads: a link on the way can become another one.
            read_there.extend(written::in_trees(scene, &path));
        }
    }
    let read_there: Vec<PathBuf> = read_there.into_iter().collect();
    let why = "an .envrc of yours reads it";
    ways::freeze(scene, &read_there, why, rules, found);
}

/// Has the user direnv? It keeps what was allowed there, and its settings may allow all of a directory.
fn is_used(scene: &Scene<'_>) -> bool {
    let places = [
        scene.xdg("XDG_DATA_HOME", ".local/share").join("direnv"),
        scene.xdg("XDG_CONFIG_HOME", ".config").join("direnv"),
    ];
    places.iter().any(|place| scene.walk.stat(place).is_some())
}

/// How a file is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// By the shell itself, which reads on there.
    Read,
    /// The same in the file's own directory, or the `.envrc` of a directory.
    Entered,
    /// By something that it starts, or as a word that may be no file at all.
    Run,
    /// By nix and the like.
    Used,
}

struct Reads {
    path: Vec<u8>,
    how: How,
}

/// What a file of direnv's reads, as far as its words say so.
fn reads(text: &[u8]) -> Vec<Reads> {
    let mut out: Vec<Reads> = Vec::new();
    let mut add = |path: &[u8], how| {
        let path = path.to_vec();
        out.push(Reads { path, how });
    };
    for line in text.split(|byte| *byte == b'\n') {
        let words = split(&plain(line));
        let words: Vec<&[u8]> = words
            .iter()
            .map(Vec::as_slice)
            .filter(|word| !word.is_empty())
            .collect();
        for (number, word) in words.iter().enumerate() {
            if word.first() == Some(&b'#') {
                break;
            }
            let next = words.get(number + 1).copied().unwrap_or_default();
            let after = words.get(number + 2).copied().unwrap_or_default();
            let uses = |name: &[u8]| USES.iter().find(|(of, _)| of.as_bytes() == name);
            if READS.iter().any(|reads| reads.as_bytes() == *word) {
                match (next, *word) {
                    (b"", b"dotenv" | b"dotenv_if_exists") => add(b".env", How::Read),
                    (b"", _) => {}
                    (file, b"source_env" | b"source_env_if_exists") => add(file, How::Entered),
                    (file, _) => add(file, How::Read),
                }
            } else if *word == b"use"
                && let Some((_, files)) = uses(next)
            {
                // `use flake ./nix`, `use nix other.nix`; what has another scheme is not here.
                let place = after.split(|byte| *byte == b'#').next().unwrap_or_default();
                let is_path = place.starts_with(b".") || place.starts_with(b"/");
                if place.ends_with(b".nix") {
                    add(place, How::Used);
                }
                for file in *files {
                    let place: &[u8] = if is_path { place } else { b"." };
                    add(&[place, b"/", file.as_bytes()].concat(), How::Used);
                }
            } else if next == b"generate"
                && let Some((_, files)) = uses(word)
            {
                files
                    .iter()
                    .for_each(|file| add(file.as_bytes(), How::Used));
            } else if word.contains(&b'/') {
                add(word, How::Run);
            }
        }
    }
    out
}

/// Without what a shell puts together: the directory itself by its usual names, and what runs in between.
fn plain(line: &[u8]) -> Vec<u8> {
    const HERE: &[&[u8]] = &[b"$(pwd)", b"${PWD}", b"$PWD", b"$(expand_path .)"];
    const RUNS: &[&[u8]] = &[
        b"\"$(", b")\"", b"$(", b"\"`", b"`\"", b"(", b")", b"`", b"<", b">",
    ];
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((byte, after)) = rest.split_first() {
        if let Some(after) = HERE.iter().find_map(|here| rest.strip_prefix(*here)) {
            out.push(b'.');
            rest = after;
            continue;
        }
        // Also where it is quoted as a whole.
        if let Some(after) = RUNS.iter().find_map(|runs| rest.strip_prefix(*runs)) {
            out.push(b' ');
            rest = after;
            continue;
        }
        out.push(*byte);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_envrc_reads() {
        let text = b"# source no\nsource ./env.sh; source_env_if_exists .envrc.local # . no\ndotenv\nif x; then . \"$PWD/a b\"; fi\n\
                     eval \"$(scripts/env --all)\"\nuse flake\nuse flake ./nix#shell\nuse nix other.nix\nuse flake github:a/b\nuse node\n\
                     eval \"$(devbox generate direnv --print-envrc)\"\nsource\n";
        let said: Vec<String> = reads(text)
            .iter()
            .map(|read| format!("{:?} {}", read.how, String::from_utf8_lossy(&read.path)))
            .collect();
        assert_eq!(
            said,
            [
                "Read ./env.sh",
                "Run ./env.sh",
                "Entered .envrc.local",
                "Read .env",
                "Read ./a b",
                "Run ./a b",
                "Run scripts/env",
                "Used ./flake.nix",
                "Used ./nix/flake.nix",
                "Run ./nix#shell",
                "Used other.nix",
                "Used ./shell.nix",
                "Used ./default.nix",
                "Used ./flake.nix",
                "Run github:a/b",
                "Used devbox.json",
            ]
        );
    }
}
