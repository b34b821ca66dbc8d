//! `Settling`: what the keeper's last work is, where there is none (the rung `landlock`, which has no mounts to put back): at the
//! end of the session protected and tracked files are compared with what they were, and the session's directory is removed.

#![forbid(unsafe_code)]

use super::keeping_words::{Lines, event, not_compared};
use super::part::{Part, PollSet, Ready};
use super::running::Running;
use super::voice::say_directly;
use crate::keeper::baseline::Baseline;
use crate::keeper::distrust;
use crate::keeper::inherit;
use crate::keeper::job::Job;
use crate::keeper::settle::{Act, Scope, Search, is_complete, was_looked_at};
use crate::paint::Tone;
use crate::plan::Plan;
use crate::plan::names::Names;
use crate::session::{Session, SessionError, SessionId};
use crate::sys::own;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// Whether all was done: what was not, the next session tries again, and `agentbox restore`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Yes,
    No,
}

impl Settled {
    pub(super) fn of(report: &Result<Vec<Act>, String>) -> Settled {
        match report {
            Ok(acts) if is_complete(acts) => Settled::Yes,
            Ok(_) | Err(_) => Settled::No,
        }
    }

    /// Nobody asks again for what the files of a session were.
    pub(super) fn done(self, session: &Session) {
        if self == Settled::Yes {
            Baseline::forget(session.dir());
            session.settled();
        }
    }
}

/// What is left to do at the end of such a session.
pub(super) struct Settling {
    names: Names,
    baseline: Baseline,
    session: PathBuf,
    id: SessionId,
    place: PathBuf,
}

impl Settling {
    /// Remembers what protected and tracked files are, before the command can touch one. `None` on another rung.
    ///
    /// # Errors
    /// The session's directory cannot be written.
    pub(super) fn prepare(plan: &Plan, session: &Session) -> Result<Option<Settling>, String> {
        let Some(bare) = &plan.standing.bare else {
            return Ok(None);
        };
        let baseline = baseline(plan, session)?;
        Ok(Some(Settling {
            names: plan.names.clone(),
            baseline,
            session: session.path().to_owned(),
            id: session.id().clone(),
            place: bare.place.path().to_owned(),
        }))
    }
}

impl Part for Settling {
    fn pollfds<'a>(&'a self, _: &mut PollSet<'a>) {}

    fn on_ready(&mut self, _: &Ready<'_>, _: &mut Running) {}

    fn finish(&mut self, running: &mut Running) {
        let scope = Scope::End {
            touched: Vec::new(),
            born: Vec::new(),
            search: Search::Yes,
        };
        let dir = running.session.dir();
        let (report, lines) = settle(&self.names, &self.baseline, (dir, &self.session), &scope);
        let settled = Settled::of(&report);
        for line in lines {
            running.say(&line);
        }
        match report {
            Ok(acts) => {
                for line in Lines::default().of(&acts, &self.id) {
                    running.say(&line);
                }
                for act in acts {
                    if let Some(event) = event(act) {
                        running.note(&event);
                    }
                }
            }
            Err(why) => running.say(&not_compared("files", &why)),
        }
        settled.done(&running.session);
        remove(&self.place, running);
    }
}

/// Remembers what tracked and frozen files are, or were when the first session that has not ended began, and writes it down.
///
/// # Errors
/// The session's directory cannot be written.
pub(super) fn baseline(plan: &Plan, session: &Session) -> Result<Baseline, String> {
    session.unsettled().map_err(|e| e.to_string())?;
    let (earlier, lines) = inherit::earlier(session, &plan.names);
    for line in lines {
        say_directly(Tone::Word, &line);
    }
    let mut baseline = Baseline::take(plan, session.dir());
    for line in baseline.left_out() {
        say_directly(Tone::Word, &line);
    }
    baseline.inherit(&plan.names, &earlier);
    baseline.write(session.dir()).map_err(|errno| {
        let path = session.path().to_owned();
        // With what to do about a place that is full.
        let why = SessionError::Call {
            call: "write",
            path,
            errno,
        };
        format!("what tracked files are cannot be remembered: {why}")
    })?;
    Ok(baseline)
}

/// The settling of the session in that directory, from its start to its end, and what is remembered of it. What could not be is
/// said.
pub(super) fn settle(
    names: &Names,
    baseline: &Baseline,
    (dir, path): (BorrowedFd<'_>, &Path),
    scope: &Scope,
) -> (Result<Vec<Act>, String>, Vec<String>) {
    let again = was_looked_at(dir);
    let report = Job::start(names, baseline, path, scope)
        .map_err(|e| e.to_string())
        .and_then(Job::end);
    // What the references came to name since is the user's.
    let lines = match again {
        true => Vec::new(),
        false => distrust(dir, baseline, &report),
    };
    (report, lines)
}

/// Remembers which references the session has moved to what nobody has looked at. What to say if it cannot be.
fn distrust(
    session: BorrowedFd<'_>,
    baseline: &Baseline,
    report: &Result<Vec<Act>, String>,
) -> Vec<String> {
    let report = report.as_deref().map_err(String::as_str);
    let failed = distrust::remember(session, baseline, report).into_iter();
    failed
        .map(|what| format!("the next session will trust what this one has committed in {what}"))
        .collect()
}

/// Removes the session's directory, which nobody uses any more. No link in it is followed.
fn remove(place: &Path, running: &mut Running) {
    if let Err(e) = own::remove_tree(place)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        running.say(&format!("{} was left behind: {e}", place.display()));
    }
}
