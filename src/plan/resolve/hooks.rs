//! What the user's settings of Claude Code run and the box has not: `~/tools/guard.py` as a hook. Claude Code goes on where a hook is
//! not found, so that one which refuses commands outside would refuse nothing here, without a word.

#![forbid(unsafe_code)]

use super::astray::is_astray;
use super::pathmap::PathMap;
use super::scene::{Scene, shell_word, show};
use serde_json::Value;
use std::path::PathBuf;

/// More than any settings.
const MAX: usize = 1 << 20;

/// Of the user's own settings alone: what those of a project name is the project's word, and a remedy would grant it.
pub(super) fn note(scene: &Scene<'_>, links: &PathMap<PathBuf>) -> Option<String> {
    if !scene.policy.profiles.iter().any(|it| it == "claude") {
        return None;
    }
    let text = scene
        .walk
        .look
        .read(&scene.home.path.join(".claude/settings.json"), MAX)?;
    let settings: Value = serde_json::from_slice(&text).ok()?;
    let mut missing: Vec<PathBuf> = Vec::new();
    for path in commands(&settings).flat_map(|command| paths(scene, command)) {
        if is_astray(scene, links, path.as_os_str()) && !missing.contains(&path) {
            missing.push(path);
        }
    }
    let first = missing.first()?;
    let names: Vec<String> = missing.iter().map(|path| show(path)).collect();
    let verb = match names.len() {
        1 => "is",
        _ => "are",
    };
    Some(format!(
        "hooks of ~/.claude/settings.json will not run: {} {verb} not in the box; --read {} shows it",
        names.join(" and "),
        shell_word(first)
    ))
}

/// Every `command` of `hooks`, which are lists of matchers by the name of an event.
fn commands(settings: &Value) -> impl Iterator<Item = &str> {
    let events = settings["hooks"].as_object().into_iter().flatten();
    let matchers = events.flat_map(|(_, list)| list.as_array().into_iter().flatten());
    let hooks = matchers.flat_map(|matcher| matcher["hooks"].as_array().into_iter().flatten());
    hooks.filter_map(|hook| hook["command"].as_str())
}

/// The words of a shell command that are paths by themselves, quoted or not. One with a space in it is not found.
fn paths(scene: &Scene<'_>, command: &str) -> Vec<PathBuf> {
    let plain = command.replace(['"', '\''], "");
    let words = plain.split(|c: char| c.is_whitespace() || ";|&()<>".contains(c));
    let home = &scene.home.path;
    words
        .filter_map(|word| {
            let below = ["~/", "$HOME/", "${HOME}/"].iter();
            let below = below.filter_map(|start| word.strip_prefix(start)).next();
            match below {
                Some(rest) => Some(home.join(rest)),
                None => word.starts_with('/').then(|| PathBuf::from(word)),
            }
        })
        .collect()
}
