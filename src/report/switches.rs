//! What `agentbox status` prints: each switch, whether it is on, how it is watched and whose sessions it stops.

#![forbid(unsafe_code)]

use super::columns;
use crate::plan::OsText;
use crate::plan::stop::StopScope;
use serde::Serialize;

/// One switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// Its file.
    pub file: OsText,
    /// Whose sessions it stops.
    pub scope: StopScope,
    /// What is to be said of it if it is on: who made it, when, why, what lifts it.
    pub on: Option<String>,
    /// Why it is looked for five times a second instead of watched, if so.
    pub polled: Option<String>,
    /// The live sessions of this user that it stops.
    pub sessions: Vec<String>,
    /// Those of them that look for it five times a second.
    pub polled_by: Vec<String>,
}

/// A remote switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RemoteRow {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub target: String,
    /// What it said just now.
    pub state: RemoteState,
    /// What is to be said of that: why it is on, or unreachable.
    pub why: Option<String>,
    /// What is done when it is unreachable.
    pub on_unreachable: String,
    /// How long it may be.
    pub grace_ms: u64,
    /// The live sessions of this user that it stops.
    pub sessions: Vec<PulseRow>,
}

/// What a remote switch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemoteState {
    /// It is not on.
    Off,
    /// It is.
    On,
    /// It gives no answer.
    Unreachable,
}

/// What a session knows of a remote switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PulseRow {
    /// The session.
    pub session: String,
    /// Milliseconds since the last proof of life.
    pub age_ms: Option<u64>,
    /// Why it gives none.
    pub unreachable: Option<String>,
    /// It tells at once what changes.
    pub push: bool,
}

/// An age for people: `3.2s`, `-` for never.
#[must_use]
pub fn age(ms: Option<u64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 100_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        Some(ms) => format!("{}s", ms / 1000),
    }
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Switches {
    /// Whether a session that is started in this directory would be stopped.
    pub stopped: bool,
    /// The live sessions of this user.
    pub sessions: usize,
    /// Each switch.
    pub switches: Vec<Row>,
    /// Those that are somewhere else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<RemoteRow>,
}

/// For people.
#[must_use]
pub fn text(all: &Switches) -> String {
    let mut rows = vec![["SWITCH", "STATE", "STOPS", "WATCHED", "SESSIONS"].map(str::to_owned)];
    let mut notes: Vec<String> = Vec::new();
    for row in &all.switches {
        let state = if row.on.is_some() { "ON" } else { "off" };
        let watched = match (&row.polled, row.polled_by.len()) {
            (Some(_), _) => "5 times a second".to_owned(),
            (None, 0) => "by events".to_owned(),
            (None, n) => format!("by events; 5 times a second by {n}"),
        };
        rows.push([
            row.file.to_string(),
            state.to_owned(),
            row.scope.to_string(),
            watched,
            row.sessions.len().to_string(),
        ]);
        notes.extend(row.on.iter().map(|said| format!("on: {said}\n")));
        if let Some(why) = &row.polled {
            let why = OsText::from(why.as_str());
            let note = format!("not by events: {} ({why})\n", row.file);
            notes.push(note);
        }
    }
    let mut out = columns(&rows);
    if !all.remotes.is_empty() {
        out.push('\n');
        out.push_str(&remotes(&all.remotes, &mut notes));
    }
    if !notes.is_empty() {
        out.push('\n');
        out.extend(notes);
    }
    out
}

fn remotes(all: &[RemoteRow], notes: &mut Vec<String>) -> String {
    let mut rows = vec![
        [
            "REMOTE",
            "STATE",
            "UNREACHABLE",
            "SEEN",
            "SESSIONS",
            "WHERE",
        ]
        .map(str::to_owned),
    ];
    for row in all {
        let state = match row.state {
            RemoteState::Off => "off",
            RemoteState::On => "ON",
            RemoteState::Unreachable => "UNREACHABLE",
        };
        let oldest = row.sessions.iter().map(|pulse| pulse.age_ms).max();
        rows.push([
            row.name.clone(),
            state.to_owned(),
            format!("{} after {}s", row.on_unreachable, row.grace_ms / 1000),
            oldest.map_or_else(|| "-".to_owned(), age),
            row.sessions.len().to_string(),
            OsText::from(row.target.as_str()).to_string(),
        ]);
        if let Some(why) = &row.why {
            notes.push(format!("{}: {}\n", row.name, OsText::from(why.as_str())));
        }
    }
    columns(&rows)
}

/// For programs.
///
/// # Errors
/// Never for what this module made: its keys are all texts.
pub fn json(all: &Switches) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(all).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_on_is_said_below_and_nothing_writes_on_the_terminal() {
        let row = |file: &str, on: Option<&str>, polled: Option<&str>| Row {
            file: file.into(),
            scope: StopScope::User,
            on: on.map(str::to_owned),
            polled: polled.map(str::to_owned),
            sessions: vec!["a".into(), "b".into()],
            polled_by: Vec::new(),
        };
        let all = Switches {
            stopped: true,
            remotes: Vec::new(),
            sessions: 2,
            switches: vec![
                row("/a/stop", Some("the stop file /a/stop (root)"), None),
                row("/b\x1b/stop", None, Some("/b is on NFS\x07")),
            ],
        };
        assert_eq!(
            text(&all),
            "SWITCH         STATE  STOPS  WATCHED           SESSIONS\n\
             /a/stop        ON     user   by events         2\n\
             /b\\u{1b}/stop  off    user   5 times a second  2\n\
             \n\
             on: the stop file /a/stop (root)\n\
             not by events: /b\\u{1b}/stop (/b is on NFS\\u{7})\n"
        );
        let value: serde_json::Value = serde_json::from_str(&json(&all).unwrap()).unwrap();
        assert_eq!(value["stopped"], true);
        assert_eq!(value["switches"][1]["polled"], "/b is on NFS\x07");
    }
}
