//! `Keeping`: the supervisor's side of the keeper. It starts it beside the building of the box, lets it join, records what it
//! says, has files settled that it names, and ends the box when it is gone.

#![forbid(unsafe_code)]

mod dead;
mod doubt;
mod holding;
mod last;
mod lures;
mod moved;

pub use self::dead::settle_dead;
use self::doubt::Doubt;
use self::holding::Holding;
pub(super) use self::holding::known;
use self::lures::Lures;
use self::moved::Home;
use super::holds::Holder;
use super::keeping_words::{Lines, event, not_compared, required};
use super::part::{Part, PollSet, Ready};
use super::running::Running;
use super::settling::{Settled, baseline};
use crate::keeper::baseline::Baseline;
use crate::keeper::job::Job;
use crate::keeper::message::{FromKeeper, Known, More, Seen, ToKeeper, Until};
use crate::keeper::process::{self, Keeper};
use crate::keeper::settle::{Act, Did, Held, Scope};
use crate::launch::channel::{Received, Sent};
use crate::outcome::Trigger;
use crate::plan::names::{Names, Watch};
use crate::plan::rung::Rung;
use crate::plan::{OsText, Plan};
use crate::record::{Closed, Event};
use crate::session::{Session, SessionId};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long the keeper may take for its last words, in milliseconds.
const LAST_WORDS: u16 = 10_000;

/// How long it may take to look at everything anew after events were lost.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How many names that were shown are recorded.
const SHOWN: usize = 1_000;

/// The keeper of a box.
pub(super) struct Keeping {
    keeper: Keeper,
    names: Names,
    baseline: Baseline,
    home: Option<Home>,
    session: PathBuf,
    id: SessionId,
    job: Option<Job>,
    said: Lines,
    touched: Vec<PathBuf>,
    born: Vec<PathBuf>,
    seen: Seen,
    /// It was told that the box ends.
    told: bool,
    over: bool,
    /// Hidden names that appeared and stay closed.
    doubt: Doubt,
    /// Those that were shown.
    shown: BTreeSet<PathBuf>,
    /// Hidden names that were taken away.
    lures: Lures,
    /// What the box sees of git's configuration.
    holding: Holding,
    /// The box stands still while the keeper looks at everything anew; it is lost if that has not ended by then.
    halted: Option<Instant>,
}

impl Keeping {
    /// Starts the keeper, if the plan needs one.
    ///
    /// # Errors
    /// Why it cannot be started: the box must not be without it.
    pub(super) fn start(plan: &Plan) -> Result<Option<Keeper>, String> {
        if plan.standing.rung == Rung::Landlock || !process::is_needed(plan) {
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
        let baseline = baseline(plan, session)?;
        Ok(Keeping {
            keeper,
            names: Names {
                watch: plan.names.watch,
                ..Names::default()
            },
            baseline,
            home: Home::of(plan),
            session: session.path().to_owned(),
            id: session.id().clone(),
            job: None,
            said: Lines::default(),
            touched: Vec::new(),
            born: Vec::new(),
            seen: Seen::All,
            told: false,
            over: false,
            doubt: Doubt::default(),
            shown: BTreeSet::new(),
            lures: Lures::default(),
            holding: Holding::default(),
            halted: None,
        })
    }

    /// The box stands and its command does not run: the keeper joins it. It says when it has: [`Keeping::joined`].
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn join(&self, namespaces: &[OwnedFd], init: BorrowedFd<'_>) -> Result<(), String> {
        let [user, mnt, ..] = namespaces else {
            return Err("init gave no namespaces".to_owned());
        };
        self.keeper.join(user, mnt, init)
    }

    /// Returns once everything that existed at the start is covered.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn joined(&self) -> Result<Option<Event>, String> {
        let gap = self.keeper.joined()?;
        if let Some(why) = gap.as_ref().filter(|_| self.names.watch == Watch::Always) {
            return Err(required(why));
        }
        Ok(gap.map(|why| Event::WatchGap { why }))
    }

    /// The command runs: now there is time for a copy of the rules, which are needed when the first file is settled. `known`: see
    /// [`known`].
    pub(super) fn with_rules(
        mut self,
        plan: &Plan,
        namespaces: &[OwnedFd],
        known: Vec<Vec<u8>>,
    ) -> Keeping {
        self.names.clone_from(&plan.names);
        self.holding = Holding::new(plan, namespaces, known);
        self
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
                    let place = self.place(file.path());
                    self.baseline.renew(&place, inode);
                }
                // Of a configuration without a copy it was said.
                let place = self.place(file.path());
                if how == Closed::Shut && !self.holding.sees.covered.contains(&place) {
                    self.doubt.appeared(&place);
                }
                running.note(&Event::NameClosed { file, how, times });
            }
            // Names may have appeared unseen: nobody reads them before they were looked at.
            FromKeeper::Overflow => {
                running.note(&Event::WatchOverflow);
                if running.pause(Holder::Keeper).is_ok() {
                    self.halted = Some(Instant::now() + LOOK_AGAIN);
                }
            }
            FromKeeper::LookedAgain => self.go_on(running),
            FromKeeper::Gap { why } if self.names.watch == Watch::Always => {
                lost(running, &required(&why));
            }
            FromKeeper::Gap { why } => {
                running.say(&format!(
                    "not every directory can be watched ({why}): names that appear there are closed within 200 ms"
                ));
                running.note(&Event::WatchGap { why });
            }
            FromKeeper::Failed { why } => lost(running, &why),
            FromKeeper::Touched { files, judge, held } => {
                self.follow(running);
                let scope = Scope::Now {
                    names: self.places(paths(files).collect()),
                    judge: self.places(paths(judge).collect()),
                    held: Held {
                        files: self.places(paths(held).collect()),
                        settled: self.settled_inodes(),
                        init: Some(running.init()),
                    },
                    sees: self.holding.sees.clone(),
                };
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

    /// Ends a halt of our own; a pause that somebody else asked for stays.
    fn go_on(&mut self, running: &mut Running) {
        if self.halted.take().is_some() {
            running.resume(Holder::Keeper);
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
            let settled = self.report(report, running);
            // What the keeper does not hear stays masked, and it asks for nothing more: the box must not go on so.
            if !matches!(self.keeper.channel.try_send(&settled, &[]), Ok(Sent::Yes)) {
                lost(running, "it does not listen");
            }
        }
    }

    /// Says and records what was done. What comes back is for the keeper.
    fn report(&mut self, report: Result<Vec<Act>, String>, running: &mut Running) -> ToKeeper {
        let (mut known, mut secret, mut covers) = (Vec::new(), Vec::new(), Vec::new());
        let acts = match report {
            Ok(acts) => self.holding.of_the_living(acts),
            Err(why) => {
                running.say(&not_compared("files", &why));
                running.note(&Event::SettleFailed {
                    file: OsText::from(self.session.clone()),
                    why,
                });
                return ToKeeper::Settled {
                    known,
                    secret,
                    covers,
                };
            }
        };
        for line in self.said.of(&acts, &self.id) {
            running.say(&line);
        }
        for act in acts {
            match act.did {
                Did::Known {
                    inode,
                    changed,
                    until,
                } => {
                    self.doubt.known(act.file.path());
                    // Once for each: a branch may be checked out again and again.
                    if self.shown.len() < SHOWN && self.shown.insert(act.file.clone().into()) {
                        running.note(&Event::NameShown {
                            file: act.file.clone(),
                        });
                    }
                    known.push(Known {
                        file: act.file,
                        inode,
                        changed,
                        until,
                    });
                    continue;
                }
                Did::Followed { inode, changed } => {
                    known.push(Known {
                        file: act.file,
                        inode,
                        changed,
                        until: Until::Replaced,
                    });
                    continue;
                }
                Did::Secret => {
                    self.doubt.secret(act.file.path());
                    secret.push(act.file);
                    continue;
                }
                Did::Holding { text } => {
                    covers.extend(self.cover(&act.file, &text, running));
                    continue;
                }
                Did::Harmless { inode, changed } => {
                    self.doubt.known(act.file.path());
                    known.push(Known {
                        file: act.file,
                        inode,
                        changed,
                        until: Until::Written,
                    });
                    continue;
                }
                Did::Lured => self.lured(&act.file, lures::LURED, running),
                Did::Detached { .. } => self.detached(&act.file, running),
                Did::Diverted => self.diverted(&act.file, running),
                Did::Parted => self.parted(&act.file, running),
                Did::Renewed { whose, was, copy } => {
                    self.renewed(&act.file, whose, (was, copy), running);
                }
                _ => {}
            }
            if let Some(event) = event(act) {
                running.note(&event);
            }
        }
        ToKeeper::Settled {
            known,
            secret,
            covers,
        }
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
        let doubt = self.doubt.deadline();
        [job, self.halted, doubt].into_iter().flatten().min()
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        self.job_ended(running);
        for line in self.doubt.due(&self.id) {
            running.say(&line);
        }
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

    fn ending(&mut self) {
        self.holding.end();
        self.told = self.keeper.channel.send(&ToKeeper::Finish, &[]).is_ok();
    }

    fn finish(&mut self, running: &mut Running) {
        while self.told && !self.over && self.waits(LAST_WORDS) {
            match self.keeper.channel.try_recv::<FromKeeper>() {
                Ok(Received::Message(message, _)) => self.hear(message, running),
                Ok(Received::Nothing) => {}
                Ok(Received::End) | Err(_) => break,
            }
        }
        // The mark stays: the next session settles it.
        if running.silent {
            return;
        }
        let settled = self.settle(running);
        self.last_doubt(running);
        settled.done(&running.session);
    }
}
