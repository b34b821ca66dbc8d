//! What the user's settings of Claude Code run and the box has not: `~/tools/guard.py` as a hook, as the status line or as an MCP
//! server. Claude Code goes on where a hook is not found, so that one which refuses commands outside would refuse nothing here, without a
//! word; without its helper for the key it is not logged in, and of a server it says that it failed.

#![forbid(unsafe_code)]

use super::astray::is_astray;
use super::pathmap::PathMap;
use super::scene::{Scene, shell_word, show};
use serde_json::Value;
use std::path::PathBuf;

/// More than any settings.
const MAX: usize = 1 << 20;

/// What else than hooks is a shell command, by itself or as `command`.
const SINGLE: [&str; 8] = [
    "statusLine",
    "subagentStatusLine",
    "fileSuggestion",
    "apiKeyHelper",
    "awsAuthRefresh",
    "awsCredentialExport",
    "gcpAuthRefresh",
    "otelHeadersHelper",
];

/// Of the user's own settings alone: what those of a project name is the project's word, and a remedy would grant it.
pub(super) fn notes(scene: &Scene<'_>, links: &PathMap<PathBuf>) -> Vec<String> {
    if !scene.policy.profiles.iter().any(|it| it == "claude") {
        return Vec::new();
    }
    let astray = |words: &mut dyn Iterator<Item = &str>| {
        let mut missing: Vec<PathBuf> = Vec::new();
        for path in words.flat_map(|command| paths(scene, command)) {
            if is_astray(scene, links, path.as_os_str()) && !missing.contains(&path) {
                missing.push(path);
            }
        }
        missing
    };
    let mut notes = Vec::new();
    if let Some(settings) = json(scene, ".claude/settings.json") {
        let will = "~/.claude/settings.json will not run:";
        notes.extend(note(
            &format!("hooks of {will}"),
            &astray(&mut commands(&settings)),
        ));
        for key in SINGLE {
            let value = &settings[key];
            let command = value.as_str().or_else(|| value["command"].as_str());
            notes.extend(note(
                &format!("`{key}` of {will}"),
                &astray(&mut command.into_iter()),
            ));
        }
    }
    if let Some(state) = json(scene, ".claude.json") {
        notes.extend(note(
            "MCP servers of ~/.claude.json may fail:",
            &astray(&mut servers(scene, &state)),
        ));
    }
    notes
}

fn json(scene: &Scene<'_>, name: &str) -> Option<Value> {
    let text = scene.walk.look.read(&scene.home.path.join(name), MAX)?;
    serde_json::from_slice(&text).ok()
}

fn note(what: &str, missing: &[PathBuf]) -> Option<String> {
    let first = missing.first()?;
    let names: Vec<String> = missing.iter().map(|path| show(path)).collect();
    let verb = match names.len() {
        1 => "is",
        _ => "are",
    };
    Some(format!(
        "{what} {} {verb} not in the box; --read {} shows it",
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

/// The program and the arguments of every server that the user added for all projects, or for this one.
fn servers<'a>(scene: &Scene<'_>, state: &'a Value) -> impl Iterator<Item = &'a str> {
    let project = scene
        .workspace
        .real
        .to_str()
        .map(|path| &state["projects"][path]);
    let lists = std::iter::once(state).chain(project);
    let servers = lists.flat_map(|list| list["mcpServers"].as_object().into_iter().flatten());
    servers.flat_map(|(_, server)| {
        let arguments = server["args"].as_array().into_iter().flatten();
        let words = std::iter::once(&server["command"]).chain(arguments);
        words.filter_map(|word| word.as_str())
    })
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
