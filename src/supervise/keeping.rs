//! `Keeping`: the supervisor's side of the keeper. It starts it beside the building of the box, lets it join, records what it
//! says, has files settled that it names, and ends the box when it is gone.

#![forbid(unsafe_code)]

use super::part::{Part, PollSet, Ready};
use super::running::Running;
use crate::keeper::baseline::Baseline;
use crate::keeper::job::Job;
use crate::keeper::message::{FromKeeper, More, Seen, ToKeeper};
use crate::keeper::process::{self, Keeper};
use crate::keeper::settle::{Act, Did, Scope, Search};
use crate::launch::channel::Received;
use crate::outcome::Trigger;
use crate::plan::names::Names;
use crate::plan::{OsText, Plan};
use crate::record::Event;
use crate::session::{Session, SessionId, Sessions};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the keeper may take for its last words, in milliseconds.
const LAST_WORDS: u16 = 10_000;

/// How long it may take to look at everything anew after events were lost.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How many lines about files are said in one session; the rest is counted.
const LINES: usize = 20;

/// The keeper of a box.
pub(super) struct Keeping {
    keeper: Keeper,
    names: Names,
    baseline: Baseline,
    session: PathBuf,
    id: SessionId,
    job: Option<Job>,
    said: usize,
    touched: Vec<PathBuf>,
    born: Vec<PathBuf>,
    seen: Seen,
    over: bool,
    /// The box stands still while the keeper looks at everything anew; it is lost if that has not ended by then.
    halted: Option<Instant>,
}

impl Keeping {
    /// Starts the keeper, if the plan needs one.
    ///
    /// # Errors
    /// Why it cannot be started: the box must not be without it.
    pub(super) fn start(plan: &Plan) -> Result<Option<Keeper>, String> {
        if !process::is_needed(plan) {
            return Ok(None);
        }
        process::start(plan)
            .map(Some)
            .map_err(|errno| format!("start: {errno}"))
    }

    /// Remembers what tracked and frozen files are, before the command can touch one.
    ///
    /// # Errors
    /// The session's directory cannot be written.
    pub(super) fn prepare(
        keeper: Keeper,
        plan: &Plan,
        session: &Session,
    ) -> Result<Keeping, String> {
        session.unsettled().map_err(|e| e.to_string())?;
        let baseline = Baseline::take(plan);
        baseline
            .write(session.dir())
            .map_err(|errno| format!("the baseline of tracked files: {errno}"))?;
        Ok(Keeping {
            keeper,
            names: plan.names.clone(),
            baseline,
            session: session.path().to_owned(),
            id: session.id().clone(),
            job: None,
            said: 0,
            touched: Vec::new(),
            born: Vec::new(),
            seen: Seen::All,
            over: false,
            halted: None,
        })
    }

    /// The box stands and its command does not run: the keeper joins it. It says when it has: [`Keeping::joined`].
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn join(&self, namespaces: &[OwnedFd]) -> Result<(), String> {
        let [user, mnt, ..] = namespaces else {
            return Err("init gave no namespaces".to_owned());
        };
        self.keeper.join(user, mnt)
    }

    /// Returns once everything that existed at the start is covered.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn joined(&self) -> Result<Option<Event>, String> {
        let gap = self.keeper.joined()?;
        Ok(gap.map(|why| Event::WatchGap { why }))
    }

    fn hear(&mut self, message: FromKeeper, running: &mut Running) {
        let paths = |files: Vec<OsText>| files.into_iter().map(PathBuf::from);
        match message {
            FromKeeper::Closed {
                file,
                how,
                times,
                inode,
            } => {
                if let Some(inode) = inode {
                    self.baseline.renew(file.path(), inode);
                }
                running.note(&Event::NameClosed { file, how, times });
            }
            // Names may have appeared unseen: nobody reads them before they were looked at.
            FromKeeper::Overflow => {
                running.note(&Event::WatchOverflow);
                if !running.is_paused() && running.pause().is_ok() {
                    self.halted = Some(Instant::now() + LOOK_AGAIN);
                }
            }
            FromKeeper::LookedAgain => self.go_on(running),
            FromKeeper::Gap { why } => {
                running.say(&format!(
                    "not every directory can be watched ({why}): names that appear there are closed within 200 ms"
                ));
                running.note(&Event::WatchGap { why });
            }
            FromKeeper::Failed { why } => lost(running, &why),
            FromKeeper::Touched { files } => {
                let scope = Scope::Now(paths(files).collect());
                match Job::start(&self.names, &self.baseline, &self.session, &scope) {
                    Ok(job) => self.job = Some(job),
                    Err(e) => lost(running, &e.to_string()),
                }
            }
            FromKeeper::Done {
                touched,
                born,
                seen,
                more,
            } => {
                self.touched.extend(paths(touched));
                self.born.extend(paths(born));
                self.seen = seen;
                self.over = more == More::Last;
            }
            FromKeeper::Armed { .. } => {}
        }
    }

    /// Ends a halt of our own; a pause that a human asked for stays.
    fn go_on(&mut self, running: &mut Running) {
        if self.halted.take().is_some() {
            running.resume();
        }
    }

    /// Is there something to read, or the end, within this time?
    fn waits(&self, timeout: u16) -> bool {
        let mut set = [PollFd::new(self.keeper.channel.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut set, PollTimeout::from(timeout)), Ok(n) if n > 0)
    }

    fn job_ended(&mut self, running: &mut Running) {
        if let Some(report) = self.job.as_mut().and_then(Job::try_end) {
            self.job = None;
            self.report(report, running);
            let _ = self.keeper.channel.try_send(&ToKeeper::Settled, &[]);
        }
    }

    fn report(&mut self, report: Result<Vec<Act>, String>, running: &mut Running) {
        let acts = match report {
            Ok(acts) => acts,
            Err(why) => {
                running.say(&format!("files could not be compared: {why}"));
                return running.note(&Event::SettleFailed {
                    file: OsText::from(self.session.clone()),
                    why,
                });
            }
        };
        for act in acts {
            self.said += 1;
            match self.said.cmp(&(LINES + 1)) {
                std::cmp::Ordering::Less => running.say(&line(&act, &self.id)),
                std::cmp::Ordering::Equal => running.say(&format!(
                    "more files were put back or moved away: `agentbox restore {}` lists them",
                    self.id.as_str()
                )),
                std::cmp::Ordering::Greater => {}
            }
            running.note(&event(act));
        }
    }

    /// Everything that the end has to look at; nothing, as a rule.
    fn settle(&mut self, running: &mut Running) {
        if let Some(job) = self.job.take() {
            let report = job.end();
            self.report(report, running);
        }
        let seen_all = self.over && self.seen == Seen::All;
        if seen_all
            && self.touched.is_empty()
            && self.born.is_empty()
            && self.baseline.changed().is_empty()
        {
            return;
        }
        let scope = Scope::End {
            touched: std::mem::take(&mut self.touched),
            born: std::mem::take(&mut self.born),
            search: if seen_all { Search::No } else { Search::Yes },
        };
        let report = Job::start(&self.names, &self.baseline, &self.session, &scope)
            .map_err(|e| e.to_string())
            .and_then(Job::end);
        self.report(report, running);
    }
}

/// One line for the terminal.
fn line(act: &Act, id: &SessionId) -> String {
    let (file, id) = (&act.file, id.as_str());
    match &act.did {
        Did::Quarantined => format!(
            "{file} was made in the session under a protected name, and moved away: `agentbox restore {id}` gives it back"
        ),
        Did::PutBack => format!(
            "{file} is protected and was changed; it is again as it was: `agentbox restore {id}` gives the change back"
        ),
        Did::Restored => format!("{file} is protected and was deleted; it is there again"),
        Did::Undone { keys } if keys.is_empty() => format!(
            "{file} could not be read by git, and is again as it was: `agentbox restore {id}` has the other one"
        ),
        Did::Undone { keys } => format!(
            "{file}: entries that run programs were undone ({}): `agentbox restore {id}` has the file as it was",
            keys.join(", ")
        ),
        Did::Failed { why } => format!("{file} is protected and could not be put back: {why}"),
    }
}

fn event(act: Act) -> Event {
    let Act { file, did } = act;
    match did {
        Did::Quarantined => Event::Quarantined { file },
        Did::PutBack | Did::Restored => Event::PutBack { file },
        Did::Undone { keys } => Event::Undone { file, keys },
        Did::Failed { why } => Event::SettleFailed { file, why },
    }
}

/// Names would stay open from now on.
fn lost(running: &mut Running, why: &str) {
    running.stop(Trigger::Lost {
        what: format!("the keeper of names ({why})"),
    });
}

const CHANNEL: usize = 0;
const JOB: usize = 1;

impl Part for Keeping {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        set.add(CHANNEL, self.keeper.channel.as_fd(), PollFlags::POLLIN);
        if let Some(job) = &self.job {
            set.add(JOB, job.as_fd(), PollFlags::POLLIN);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let job = self.job.as_ref().map(Job::deadline);
        [job, self.halted].into_iter().flatten().min()
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        self.job_ended(running);
        if self.halted.is_some_and(|at| at <= Instant::now()) {
            self.halted = None;
            return lost(
                running,
                "it does not come to an end with what it has to look at",
            );
        }
        if !ready.readable(CHANNEL) {
            return;
        }
        // Bounded: a keeper that talks without end must not keep the loop.
        for _ in 0..64 {
            match self.keeper.channel.try_recv::<FromKeeper>() {
                Ok(Received::Message(message, _)) => self.hear(message, running),
                Ok(Received::Nothing) => return,
                Ok(Received::End) => return lost(running, "it ended"),
                Err(e) => return lost(running, &e.to_string()),
            }
        }
    }

    fn finish(&mut self, running: &mut Running) {
        let told = self.keeper.channel.send(&ToKeeper::Finish, &[]).is_ok();
        while told && !self.over && self.waits(LAST_WORDS) {
            match self.keeper.channel.try_recv::<FromKeeper>() {
                Ok(Received::Message(message, _)) => self.hear(message, running),
                Ok(Received::Nothing) => {}
                Ok(Received::End) | Err(_) => break,
            }
        }
        self.settle(running);
        running.session.settled();
    }
}

/// What dead sessions left behind is settled before a new one takes for granted what it finds. Returns what to say.
pub fn settle_dead(sessions: &Sessions) -> Vec<String> {
    let mut lines = Vec::new();
    for id in sessions.unsettled() {
        // Its supervisor is gone, and nobody else settles it meanwhile.
        let Some(dead) = sessions.adopt(&id) else {
            continue;
        };
        let path = sessions.path().join(id.as_str());
        match (sessions.read(&id), Baseline::read(dead.dir())) {
            (Ok(record), Some(baseline)) => {
                lines.extend(settle_one(&record.plan.names, &baseline, &path, &id));
            }
            (Err(e), _) => lines.push(format!(
                "session {} ended by a crash, and its files cannot be compared: {e}",
                id.as_str()
            )),
            // Nothing had begun.
            (Ok(_), None) => {}
        }
        dead.settled();
    }
    lines
}

fn settle_one(names: &Names, baseline: &Baseline, path: &Path, id: &SessionId) -> Vec<String> {
    let scope = Scope::End {
        touched: Vec::new(),
        born: Vec::new(),
        search: Search::Yes,
    };
    let report = Job::start(names, baseline, path, &scope)
        .map_err(|e| e.to_string())
        .and_then(Job::end);
    match report {
        Ok(acts) => acts.iter().map(|act| line(act, id)).collect(),
        Err(why) => vec![format!(
            "files of session {} could not be compared: {why}",
            id.as_str()
        )],
    }
}
