//! The entries that variables of the caller's give to each git: `GIT_CONFIG_COUNT` with its keys and values, and what `git -c` leaves
//! in `GIT_CONFIG_PARAMETERS` (git(1), git-config(1)).

#![forbid(unsafe_code)]

use super::super::scene::Scene;
use super::super::words::split;
use crate::plan::gitconfig::{Config, Entry};
use std::os::unix::ffi::OsStrExt;

/// As many are looked at.
const MOST: usize = 1000;

/// As if they stood in a file.
pub(super) fn config(scene: &Scene<'_>) -> Config {
    let text = |name: &str| {
        let value = scene.host.var(name);
        value.map_or(&[][..], |value| value.as_bytes())
    };
    let mut entries = Vec::new();
    let count = std::str::from_utf8(text("GIT_CONFIG_COUNT")).unwrap_or_default();
    for number in 0..count.trim().parse().unwrap_or(0).min(MOST) {
        let key = text(&format!("GIT_CONFIG_KEY_{number}"));
        let value = text(&format!("GIT_CONFIG_VALUE_{number}"));
        entries.extend(entry(key, value));
    }
    // `'key=value'`, or `'key'='value'`: the same without the quotes.
    for word in split(text("GIT_CONFIG_PARAMETERS")).iter().take(MOST) {
        let at = word.iter().position(|byte| *byte == b'=');
        let (key, value) = word.split_at(at.unwrap_or(word.len()));
        entries.extend(entry(key, value.get(1..).unwrap_or_default()));
    }
    Config {
        entries,
        comments: Vec::new(),
    }
}

/// `section.key`, or `section.any thing.key`.
fn entry(name: &[u8], value: &[u8]) -> Option<Entry> {
    let first = name.iter().position(|byte| *byte == b'.')?;
    let last = name.iter().rposition(|byte| *byte == b'.')?;
    let subsection = (first < last).then(|| name.get(first + 1..last)).flatten();
    Some(Entry {
        section: name.get(..first)?.to_ascii_lowercase(),
        subsection: subsection.map(<[u8]>::to_vec),
        key: name.get(last + 1..)?.to_ascii_lowercase(),
        value: Some(value.to_vec()),
        span: 0..0,
    })
}
