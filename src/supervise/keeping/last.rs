//! What a session's keeper leaves to be compared, and where that is: the working copy may be in another place by then.

#![forbid(unsafe_code)]

use super::moved::Home;
use super::{Keeping, Settled};
use crate::keeper::job::Job;
use crate::keeper::message::Seen;
use crate::keeper::settle::{Held, Scope, Search, Sees};
use crate::plan::OsText;
use crate::supervise::running::Running;
use crate::supervise::settling::settle;
use std::path::{Path, PathBuf};

impl Keeping {
    /// What is settled in the end is where the working copy is now. Says whether that is another place than it was.
    pub(super) fn follow(&mut self, running: &mut Running) -> bool {
        let moved = self
            .home
            .as_ref()
            .and_then(|home| Some((home, home.moved()?)));
        let Some((home, now)) = moved else {
            return false;
        };
        let place = OsText::from(now.as_path());
        match (
            home.followed(&now, &self.names),
            self.baseline.followed(|b| home.followed(&now, b)),
        ) {
            (Some(names), Some(baseline)) => {
                (self.names, self.baseline) = (names, baseline);
                if let Some(home) = &mut self.home {
                    home.is_at(now);
                }
                running.say(&format!(
                    "the working copy was moved to {place} while the box ran: protected files are compared there"
                ));
            }
            _ => {
                self.home = None;
                running.say(&format!(
                "the working copy was moved to {place} while the box ran, and protected files there were not compared: look at its \
                 .git/config and hooks before you run git in it"
                ));
            }
        }
        true
    }

    /// Where a file is that the keeper names.
    pub(super) fn place(&self, file: &Path) -> PathBuf {
        let home = self.home.as_ref();
        home.map_or_else(|| file.to_owned(), |home| home.place(file))
    }

    pub(super) fn places(&self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        files.iter().map(|file| self.place(file)).collect()
    }

    /// Hidden names that stayed closed until the end, also those that nobody has compared with what git has.
    pub(super) fn last_doubt(&mut self, running: &mut Running) {
        let mut judge = self.doubt.unjudged();
        // What a floor hides nobody can show, and which rule it was is not known here.
        if self.names.floor_hides() {
            judge.clear();
        }
        if !judge.is_empty() {
            let names = Vec::new();
            let scope = Scope::Now {
                names,
                judge,
                held: Held::default(),
                sees: Sees::default(),
            };
            let report = Job::start(&self.names, &self.baseline, &self.session, &scope)
                .map_err(|e| e.to_string())
                .and_then(Job::end);
            self.report(report, running);
        }
        for line in self.doubt.rest(&self.id) {
            running.say(&line);
        }
    }

    /// Everything that the end has to look at; nothing, as a rule.
    pub(super) fn settle(&mut self, running: &mut Running) -> Settled {
        if let Some(job) = self.job.take() {
            let report = job.end();
            self.report(report, running);
        }
        let unknown = self.follow(running);
        let followed = unknown || self.home.as_ref().is_some_and(Home::has_moved);
        let seen_all = self.over && self.seen == Seen::All && !followed;
        if seen_all
            && self.touched.is_empty()
            && self.born.is_empty()
            && !self.baseline.has_changed(&self.names)
        {
            return Settled::Yes;
        }
        let (touched, born) = (
            std::mem::take(&mut self.touched),
            std::mem::take(&mut self.born),
        );
        let scope = Scope::End {
            touched: self.places(touched),
            born: self.places(born),
            search: if seen_all { Search::No } else { Search::Yes },
        };
        let dir = running.session.dir();
        let (report, lines) = settle(&self.names, &self.baseline, (dir, &self.session), &scope);
        let settled = Settled::of(&report);
        for line in lines {
            running.say(&line);
        }
        self.report(report, running);
        settled
    }
}
