//! `agentbox logs`.

#![forbid(unsafe_code)]

use super::args::LogsArgs;
use super::say::{self, Said};
use super::{CliError, live};
use crate::exit;
use crate::plan::OsText;
use crate::report::events::line;
use crate::session::{SessionId, Sessions};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Shows the events of a session. Returns the exit status.
#[must_use]
pub fn logs(args: &LogsArgs) -> u8 {
    match flow(args) {
        Ok(Said::Fine) => 0,
        Ok(Said::Lost) => exit::NO,
        Err(e) => {
            say::error(&e);
            e.status()
        }
    }
}

fn flow(args: &LogsArgs) -> Result<Said, CliError> {
    let sessions = live::sessions()?;
    let id = find(&sessions, args.id.as_deref())?;
    // Before the first look, so that nothing falls between.
    let watch = if args.follow {
        watch(&sessions, &id)
    } else {
        None
    };
    let mut shown = 0;
    loop {
        let lives = sessions.is_live(&id);
        let text = sessions.events_text(&id)?;
        // A line that is being written is shown when it is whole.
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let new = text.get(shown..whole).unwrap_or_default();
        shown = whole;
        if say::out(&shown_as(new, args.json)) == Said::Lost {
            return Ok(Said::Lost);
        }
        if !args.follow || !lives {
            return Ok(Said::Fine);
        }
        match &watch {
            // The end is a write, too; a supervisor that is killed writes none, but its file is closed.
            Some(inotify) => drop(inotify.read_events()),
            None => std::thread::sleep(std::time::Duration::from_millis(200)),
        }
    }
}

fn shown_as(lines: &[u8], json: bool) -> String {
    if json {
        return String::from_utf8_lossy(lines).into_owned();
    }
    crate::record::log::parse(lines)
        .map(|entry| match entry {
            Ok(entry) => line(&entry) + "\n",
            Err(bad) => format!("{bad}\n"),
        })
        .collect()
}

pub(super) fn watch(sessions: &Sessions, id: &SessionId) -> Option<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC).ok()?;
    let path = sessions.path().join(id.as_str()).join("events.jsonl");
    let flags =
        AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_DELETE_SELF;
    inotify.add_watch(&path, flags).ok()?;
    Some(inotify)
}

/// The one that began last. A name tells the second and no more: of those of one second the record decides.
fn last(sessions: &Sessions, ids: &[SessionId]) -> Option<SessionId> {
    let second = ids.last()?.began();
    let same = ids.iter().filter(|id| id.began() == second);
    let began = |id: &&SessionId| {
        let text = sessions.events_text(id).unwrap_or_default();
        let first = crate::record::log::parse(&text).next();
        first.and_then(Result::ok).map(|entry| entry.at)
    };
    same.max_by_key(began).cloned()
}

/// Live or past; the last one if nothing is said.
fn find(sessions: &Sessions, text: Option<&str>) -> Result<SessionId, CliError> {
    let mut ids = sessions.ids()?;
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return last(sessions, &ids).ok_or_else(|| {
            CliError::NoSession(
                "there is no session yet; `agentbox run COMMAND` starts one".to_owned(),
            )
        });
    };
    ids.retain(|id| id.fits(text));
    match (ids.pop(), ids.len()) {
        (Some(id), 0) => Ok(id),
        (Some(_), more) => Err(CliError::NoSession(format!(
            "`{text}` fits {} sessions; type more of the name",
            more + 1
        ))),
        (None, _) => Err(CliError::NoSession(format!(
            "there is no session `{text}`; all that are kept are in {}, and `agentbox logs` alone shows the last one",
            OsText::from(sessions.path())
        ))),
    }
}
