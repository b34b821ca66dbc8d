//! [`Doubt`]: hidden names that appeared in the session and that nothing in the box can open. They may be the agent's own (a test makes
//! its keys), so each is said once, with what can be done about it; also those of a command that ended before anybody had said
//! whether git has their content: its user would see nothing but `Permission denied`.

#![forbid(unsafe_code)]

use crate::plan::OsText;
use crate::session::SessionId;
use crate::supervise::keeping_words::{LINES, MANY};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a hidden name that appeared may take to become a content that git knows, before it is said that it stays closed.
const WAIT: Duration = Duration::from_millis(500);

/// What is due that soon is said with what is due now: the keys of one test are one line.
const TOGETHER: Duration = Duration::from_millis(250);

/// How many that are not alike get a line each when they are due together; more are one line.
const EACH: usize = 8;

/// The most that are remembered.
const MOST: usize = 20_000;

#[derive(Default)]
pub(super) struct Doubt {
    /// Closed, and not compared with what git has.
    fresh: BTreeSet<PathBuf>,
    /// No content that git has, and when that is said.
    closed: BTreeMap<PathBuf, Instant>,
    /// Those of which it was said.
    told: BTreeSet<PathBuf>,
    lines: usize,
}

impl Doubt {
    /// A name was closed so that nobody can open it.
    pub(super) fn appeared(&mut self, file: &Path) {
        if self.fresh.len() < MOST && !self.closed.contains_key(file) && !self.told.contains(file) {
            self.fresh.insert(file.to_owned());
        }
    }

    /// It is no secret.
    pub(super) fn known(&mut self, file: &Path) {
        self.fresh.remove(file);
        self.closed.remove(file);
    }

    /// It may be one.
    pub(super) fn secret(&mut self, file: &Path) {
        self.fresh.remove(file);
        if self.closed.len() < MOST {
            let at = Instant::now() + WAIT;
            self.closed.entry(file.to_owned()).or_insert(at);
        }
    }

    /// When something is to be said.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.closed.values().min().copied()
    }

    /// Those that are there and of which nobody has said anything, or only that they had no content of git's a moment ago: then they
    /// may still have been empty.
    pub(super) fn unjudged(&mut self) -> Vec<PathBuf> {
        let mut files = std::mem::take(&mut self.fresh);
        files.extend(self.closed.keys().cloned());
        files.retain(|file| file.symlink_metadata().is_ok());
        files.into_iter().collect()
    }

    /// What is to be said now.
    pub(super) fn due(&mut self, id: &SessionId) -> Vec<String> {
        let now = Instant::now();
        if self.deadline().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let (due, rest): (BTreeMap<_, _>, _) = std::mem::take(&mut self.closed)
            .into_iter()
            .partition(|(_, at)| *at <= now + TOGETHER);
        self.closed = rest;
        self.say(due.into_keys(), id)
    }

    /// What is to be said in the end.
    pub(super) fn rest(&mut self, id: &SessionId) -> Vec<String> {
        let files = std::mem::take(&mut self.closed);
        self.say(files.into_keys(), id)
    }

    fn say(&mut self, files: impl Iterator<Item = PathBuf>, id: &SessionId) -> Vec<String> {
        let mut alike: BTreeMap<(PathBuf, Option<OsString>), Vec<PathBuf>> = BTreeMap::new();
        for file in files {
            if self.told.len() < MOST && self.told.insert(file.clone()) {
                let parent = file.parent().unwrap_or(Path::new("/")).to_owned();
                let end = file.extension().map(OsStr::to_owned);
                alike.entry((parent, end)).or_default().push(file);
            }
        }
        let (mut lines, mut single) = (Vec::new(), Vec::new());
        for ((dir, end), files) in alike {
            match end {
                Some(end) if files.len() >= MANY => lines.push(several(&dir, &end, files.len())),
                _ => single.extend(files),
            }
        }
        match single.get(EACH..) {
            Some([_, ..]) => lines.push(of_all_kinds(&single, id)),
            _ => lines.extend(single.iter().map(|file| one(file))),
        }
        let room = LINES.saturating_sub(self.lines);
        let more = lines.len() > room && self.lines <= LINES;
        self.lines = self.lines.saturating_add(lines.len());
        lines.truncate(room);
        if more {
            // Said once.
            self.lines = LINES + 1;
            lines.push(format!(
                "more hidden names appeared in the session: `agentbox logs {}` lists them",
                id.as_str()
            ));
        }
        lines
    }
}

fn one(file: &Path) -> String {
    format!(
        "{} is a hidden name that appeared in the session: nothing in the box can open it, since it may be yours (if not, the box made it: look at it before anything reads it); \
         /tmp and other names are free, and `--hide {}` leaves it open from the next start on",
        OsText::from(file),
        lifting(file.as_os_str())
    )
}

fn several(dir: &Path, end: &OsStr, many: usize) -> String {
    let mut pattern = dir.join("*").into_os_string();
    pattern.push(".");
    pattern.push(end);
    format!(
        "{many} files {} are hidden names that appeared in the session: nothing in the box can open them, since they may be yours (if not, the box made them: look at them before anything reads them); \
         /tmp and other names are free, and `--hide {}` leaves them open from the next start on",
        OsText::from(&*pattern),
        lifting(&pattern)
    )
}

fn of_all_kinds(files: &[PathBuf], id: &SessionId) -> String {
    let first: Vec<String> = files
        .iter()
        .take(MANY)
        .map(|file| OsText::from(&**file).to_string())
        .collect();
    format!(
        "{} hidden names appeared in the session ({} and {} more: `agentbox logs {}`): nothing in the box can open them, since they may be \
         yours (if not, the box made them: look at them before anything reads them); /tmp and other names are free, and `--hide '!PATTERN'` leaves such open from the next start on",
        files.len(),
        first.join(", "),
        files.len().saturating_sub(MANY),
        id.as_str()
    )
}

fn lifting(pattern: &OsStr) -> String {
    let mut lifting = OsString::from("!");
    lifting.push(pattern);
    OsText::from(lifting).shell_word()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id() -> SessionId {
        SessionId::try_from("abcdef2345").unwrap()
    }

    #[test]
    fn what_is_alike_is_one_line() {
        let mut doubt = Doubt::default();
        for name in ["a.key", "b.key", "c.key", "d.key", ".env"] {
            doubt.appeared(&Path::new("/w/t").join(name));
            doubt.secret(&Path::new("/w/t").join(name));
        }
        doubt.secret(Path::new("/w/known.pem"));
        doubt.known(Path::new("/w/known.pem"));
        assert_eq!(doubt.due(&id()), Vec::<String>::new());
        let lines = doubt.rest(&id());
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines.concat().contains("`--hide '!/w/t/*.key'`"),
            "{lines:?}"
        );
        assert!(
            lines.concat().contains("`--hide '!/w/t/.env'`"),
            "{lines:?}"
        );
        // Looked at again in the end.
        let file = std::env::current_exe().unwrap();
        doubt.secret(&file);
        assert_eq!(doubt.unjudged(), std::slice::from_ref(&file));
        doubt.known(&file);
        assert_eq!(doubt.rest(&id()), Vec::<String>::new());
        // Once for each.
        doubt.appeared(Path::new("/w/t/.env"));
        doubt.secret(Path::new("/w/t/.env"));
        assert_eq!(doubt.rest(&id()), Vec::<String>::new());
    }

    #[test]
    fn lines_come_to_an_end() {
        let mut doubt = Doubt::default();
        for number in 0..50 {
            doubt.secret(Path::new(&format!("/w/{number}/.env")));
        }
        // Of all kinds at once: one line.
        let lines = doubt.rest(&id());
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines.concat().contains("50 hidden names") && lines.concat().contains("and 46 more")
        );
        let mut lines = Vec::new();
        for number in 0..50 {
            doubt.secret(Path::new(&format!("/w/{number}/one.key")));
            lines.extend(doubt.rest(&id()));
        }
        assert_eq!(lines.len(), LINES);
        assert!(lines.last().unwrap().contains("agentbox logs"));
        doubt.secret(Path::new("/w/.env"));
        assert_eq!(doubt.rest(&id()), Vec::<String>::new());
    }
}
