//! [`StopFiles`]: the switches as a part of the supervisor's loop.

#![forbid(unsafe_code)]

use super::{Mounts, Switches, Tripped, Watched, sentence, trigger};
use crate::plan::stop::StopFile;
use crate::plan::{OsText, Plan};
use crate::record::Event;
use crate::supervise::ear::Ear;
use crate::supervise::kill;
use crate::supervise::part::{Part, PollSet, Ready};
use crate::supervise::running::Running;
use std::path::PathBuf;
use std::time::Instant;

/// Keys of the descriptors, in the order of [`Switches::descriptors`].
const EVENTS: usize = 0;
const MOUNTS: usize = 1;
const HELPER: usize = 2;

/// The stop files of the session that this supervisor has.
pub(crate) struct StopFiles {
    switches: Switches,
    /// Of who else listens to the instance.
    ears: Vec<Ear>,
    /// For the owner's name.
    caller: (u32, String),
    done: bool,
}

impl StopFiles {
    /// Watches and looks.
    ///
    /// # Errors
    /// One is there, or nobody can say: why there is no start.
    pub(crate) fn arm(plan: &Plan) -> Result<StopFiles, String> {
        let switches = Switches::arm(&plan.stop_files);
        let mut armed = StopFiles {
            switches,
            ears: Vec::new(),
            caller: (plan.identity.caller_uid, plan.identity.user.clone()),
            done: false,
        };
        match armed.switches.found() {
            Ok(None) => Ok(armed),
            Ok(Some(tripped)) => Err(armed.refusal(&tripped)),
            Err(errno) => Err(format!(
                "not started: the helper that looks for stop files cannot be started: {errno}"
            )),
        }
    }

    /// For what else the session watches.
    pub(crate) fn ear(&mut self) -> Option<Ear> {
        let ear = self.switches.inotify().map(Ear::new)?;
        self.ears.push(ear.clone());
        Some(ear)
    }

    /// Whether there is none since it was armed.
    ///
    /// # Errors
    /// Why there is no start.
    pub(crate) fn still_none(&mut self) -> Result<(), String> {
        match self
            .switches
            .on_ready(Mounts::Ask, |_| self.ears.iter().for_each(Ear::hear))
        {
            None => Ok(()),
            Some(tripped) => Err(self.refusal(&tripped)),
        }
    }

    fn refusal(&self, tripped: &Tripped) -> String {
        let caller = (self.caller.0, self.caller.1.as_str());
        format!("not started: {}", sentence(&trigger(tripped, caller)))
    }

    /// The files that are looked for by another process, since their file system may not answer.
    pub(crate) fn asked_for(&self) -> Vec<PathBuf> {
        let polled = |(stop, watched): (&StopFile, &Watched)| {
            let is_polled = matches!(watched, Watched::Polled { .. });
            is_polled.then(|| stop.file.path().to_owned())
        };
        self.switches.watched().filter_map(polled).collect()
    }

    /// What is looked for instead of watched, for the record and for people, by reason.
    pub(crate) fn polled(&self) -> Vec<(Event, String)> {
        let mut by_reason: Vec<(&str, Vec<OsText>)> = Vec::new();
        for (stop, watched) in self.switches.watched() {
            let Watched::Polled { why } = watched else {
                continue;
            };
            match by_reason.iter_mut().find(|(known, _)| known == why) {
                Some((_, files)) => files.push(stop.file.clone()),
                None => by_reason.push((why, vec![stop.file.clone()])),
            }
        }
        let said = by_reason.into_iter().map(|(why, files)| {
            let names: Vec<String> = files.iter().map(ToString::to_string).collect();
            let line = format!(
                "stop files are looked for five times a second, not watched ({why}): {}",
                names.join(", ")
            );
            let why = why.to_owned();
            (Event::StopFilesPolled { files, why }, line)
        });
        said.collect()
    }
}

impl Part for StopFiles {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        if !self.done {
            for (key, wish) in self.switches.descriptors().into_iter().enumerate() {
                if let Some((fd, flags)) = wish {
                    set.add(key, fd, flags);
                }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.switches.deadline().filter(|_| !self.done)
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        let late = self.deadline().is_some_and(|at| at <= Instant::now());
        let quiet = (EVENTS..=HELPER).all(|key| ready.of(key).is_empty());
        if self.done || (quiet && !late) {
            return;
        }
        let mounts = if ready.of(MOUNTS).is_empty() {
            Mounts::Same
        } else {
            Mounts::Changed
        };
        if let Some(tripped) = self
            .switches
            .on_ready(mounts, |_| self.ears.iter().for_each(Ear::hear))
        {
            // First the deed; who did it and why is read from the disk at leisure.
            kill::kill(&running.spawned, running.group.as_ref());
            self.done = true;
            running.stop(trigger(&tripped, (self.caller.0, &self.caller.1)));
        }
    }
}
