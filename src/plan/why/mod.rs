//! [`ask`]: would the box allow it, by which rule, and what would change that? Computed from the same [`Plan`] that is enforced:
//! the operations of its view say what is at a place, its Landlock rules what may be done there, and the files' own
//! permissions the rest. Pure but for [`Lookup`].

#![forbid(unsafe_code)]

pub mod connect;
mod decide;
mod names;
mod permission;
mod place;
pub mod rules;
mod variable;

use super::{GrantKind, OsText, Plan};
use crate::host::Lookup;
use crate::policy::Origin;
use serde::Serialize;
use std::path::PathBuf;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Open a file for reading, list a directory.
    Read(PathBuf),
    /// Open a file for writing, make it, make something in a directory.
    Write(PathBuf),
    /// Execute a program: a path, or a name as a shell finds it.
    Exec(OsText),
    /// Is a variable of the caller's in the environment of the box?
    Env(OsText),
    /// Connect to a host by TCP.
    Connect(connect::Wanted),
}

/// Where the question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// On the host: what the box would show is looked up where it comes from.
    Outside,
    /// In the box: what is there can be looked at.
    Inside,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// Yes or no.
    pub allowed: bool,
    /// In one word, for programs and for tests of profiles.
    pub verdict: Verdict,
    /// What was asked for, in the end: the canonical path in the box, the name of the variable.
    pub thing: OsText,
    /// By which rule.
    pub because: String,
    /// Who says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The flag and the line of a profile that would change a no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// What else is to be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// An answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No: it is not in the box.
    Absent,
    /// No: its name is hidden.
    Hidden,
    /// No: its name is protected.
    Protected,
    /// No, for another reason.
    Refused,
}

impl Answer {
    /// The same answer with a word of its own.
    fn which(mut self, verdict: Verdict) -> Answer {
        self.verdict = verdict;
        self
    }
}

impl Remedy {
    /// The same of another path, where it is about files.
    #[must_use]
    pub fn of_path(&self, path: &std::path::Path) -> Option<Remedy> {
        let value = OsText::from(path);
        match self.flag.split(' ').next() {
            Some("--read") => Some(remedy("--read", "files", "read", &value)),
            Some("--write") => Some(remedy("--write", "files", "write", &value)),
            _ => None,
        }
    }
}

/// What would change a no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Remedy {
    /// The option of `agentbox run`.
    pub flag: String,
    /// The line of a profile, where a profile can say it: not against the user's `config.toml` or the project's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// What is granted, as the flag's value without a shell around it.
    #[serde(skip)]
    pub value: OsText,
}

/// Answers. `look` sees the host's files (outside) or the box's (inside).
#[must_use]
pub fn ask(plan: &Plan, question: &Question, side: Side, look: &dyn Lookup) -> Answer {
    let asker = decide::Asker { plan, side, look };
    let mut answer = match question {
        Question::Read(path) => asker.read(path),
        Question::Write(path) => asker.write(path),
        Question::Exec(name) => asker.exec(name),
        Question::Env(name) => variable::env(plan, name),
        Question::Connect(wanted) => connect::connect(&plan.network, wanted),
    };
    if !answer.allowed && answer.origin.as_ref().is_some_and(Origin::is_floor) {
        // What was said of a way out holds for every other source, and not for this one.
        answer.remedy = None;
        answer.notes = vec!["only who administers this machine can change the floor".to_owned()];
    }
    // A grant of the same source does not lift it.
    let is_name = matches!(answer.verdict, Verdict::Hidden | Verdict::Protected);
    if let (true, Some(Origin::Cli { flag })) = (is_name, &answer.origin) {
        answer.remedy = None;
        answer.notes = vec![format!("the human can change that: start without {flag}")];
    }
    // What they grant adds up with a profile's; what they forbid is stronger.
    let forbids = |origin: &Origin| {
        let mut granted = (plan.grants.iter())
            .filter(|grant| !matches!(grant.kind, GrantKind::Hidden | GrantKind::Protected))
            .map(|grant| &grant.origin)
            .chain(plan.network.allow.iter().map(|allow| &allow.origin));
        origin.is_over_profiles() && !granted.any(|granted| granted == origin)
    };
    if answer.origin.as_ref().is_some_and(forbids)
        && let Some(remedy) = &mut answer.remedy
    {
        remedy.line = None;
    }
    answer
}

fn yes(thing: impl Into<OsText>, because: impl Into<String>, origin: Option<&Origin>) -> Answer {
    Answer {
        allowed: true,
        verdict: Verdict::Allowed,
        thing: thing.into(),
        because: because.into(),
        origin: origin.cloned(),
        remedy: None,
        notes: Vec::new(),
    }
}

fn no(
    thing: impl Into<OsText>,
    because: impl Into<String>,
    origin: Option<&Origin>,
    remedy: Option<Remedy>,
) -> Answer {
    Answer {
        allowed: false,
        verdict: Verdict::Refused,
        thing: thing.into(),
        because: because.into(),
        origin: origin.cloned(),
        remedy,
        notes: Vec::new(),
    }
}

/// A flag with its value as a shell takes it, and the same in a list of a profile.
fn remedy(flag: &str, table: &str, list: &str, value: &OsText) -> Remedy {
    Remedy {
        flag: format!("{flag} {}", value.shell_word()),
        line: Some(format!("[{table}] {list} = [{:?}]", value.to_string())),
        value: value.clone(),
    }
}
