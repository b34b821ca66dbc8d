//! One name for a working copy: what `${project}` stands for, and where its own private places are.

#![forbid(unsafe_code)]

use super::scene::Scene;
use crate::plan::OsText;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What `${project}` is written as. Only a whole name of a path can be one.
const VARIABLE: &[u8] = b"${project}";

/// Does a path of a profile name the working copy so?
pub(super) fn is_in(path: &OsText) -> bool {
    path.bytes()
        .windows(VARIABLE.len())
        .any(|part| part == VARIABLE)
}

/// So many characters of a path stand in its name; of a longer one the rest is a number.
const MOST: usize = 200;

/// The name that Claude Code gives a directory in `~/.claude/projects`: each character that is no letter or digit of ASCII is a
/// `-`, and behind 200 of them stands a hash of the whole in base 36 (as it is in 2.1.332; it counts in UTF-16).
pub(super) fn name(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii_alphanumeric() {
            true => out.push(c),
            false => out.extend(std::iter::repeat_n('-', c.len_utf16())),
        }
    }
    if out.len() <= MOST {
        return out;
    }
    let hash = text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    out.truncate(MOST);
    out.push('-');
    out + &base36(hash.unsigned_abs())
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(number % 36, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

/// The directory of a profile's places that belong to this working copy alone: the path is written so that no two are the same
/// and a person knows which it is, and as a hash where that is too long for one name.
pub(super) fn store(profile: &str, workspace: &Path) -> String {
    let mut out = format!("{profile}@");
    let start = out.len();
    for byte in workspace.as_os_str().as_bytes() {
        match byte {
            b'/' => out.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                out.push(char::from(*byte));
            }
            // Writing to a text cannot fail.
            _ => drop(write!(out, "%{byte:02x}")),
        }
    }
    if out.len() - start <= MOST {
        return out;
    }
    out.truncate(start);
    let hash = Sha256::digest(workspace.as_os_str().as_bytes());
    for byte in hash.iter().take(16) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// The directories in which an agent may be started in this box: each is a project to it.
pub(super) fn all(scene: &Scene<'_>) -> Vec<PathBuf> {
    let workspace = &scene.workspace;
    let mut out = vec![workspace.path.clone(), workspace.real.clone()];
    // Below the working copy: Claude Code takes the directory in which it is started, not the repository.
    let cwd = super::workspace::tidy(&scene.host.cwd);
    if super::expand::within(&cwd, &workspace.path) || super::expand::within(&cwd, &workspace.real)
    {
        out.push(cwd);
    }
    let mut names: Vec<String> = Vec::new();
    out.retain(|dir| {
        let name = name(dir);
        let new = !names.contains(&name);
        names.push(name);
        new
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_called_as_claude_calls_it() {
        for (path, expected) in [
            ("/home/u/w", "-home-u-w"),
            ("/home/u/my.site_2", "-home-u-my-site-2"),
            (
                "/home/u/w/.claude/worktrees/x",
                "-home-u-w--claude-worktrees-x",
            ),
            ("/home/u/büro", "-home-u-b-ro"),
            ("/home/u/a😀b", "-home-u-a--b"),
        ] {
            assert_eq!(name(Path::new(path)), expected, "{path}");
        }
        let exactly = format!("/{}", "a".repeat(199));
        assert_eq!(name(Path::new(&exactly)), format!("-{}", "a".repeat(199)));
        // By Node: [...s].reduce over charCodeAt, Math.abs, toString(36).
        let long = format!("/home/u/{}", "langer-pfad/".repeat(20));
        let known = name(Path::new(&long));
        assert_eq!(known.len(), 200 + 1 + LONG.len());
        assert!(known.ends_with(&format!("-{LONG}")), "{known}");
    }

    const LONG: &str = "4vttf9";

    #[test]
    fn stores_of_two_working_copies_differ() {
        let of = |path: &str| store("claude", Path::new(path));
        assert_eq!(of("/home/u/a-b"), "claude@+home+u+a-b");
        assert_eq!(of("/home/u/a/b"), "claude@+home+u+a+b");
        assert_eq!(of("/home/u/a+b"), "claude@+home+u+a%2bb");
        assert_eq!(of("/home/u/%2b"), "claude@+home+u+%252b");
        assert_eq!(of("/h/ü"), "claude@+h+%c3%bc");
        let long = |last: &str| of(&format!("/{}{last}", "x".repeat(4000)));
        assert_eq!(long("a").len(), "claude@".len() + 32);
        assert_ne!(long("a"), long("b"));
    }
}
