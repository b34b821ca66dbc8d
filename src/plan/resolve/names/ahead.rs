//! [`Ahead`]: a second thread that asks for the inodes of files while the first one goes on through the tree. Where nothing is
//! remembered that is most of the work of a start in a large tree: one fstatat(2) for each file. It ends before anything is
//! made of the answers; a process that forks has one thread.

#![forbid(unsafe_code)]

use crate::host::{FileType, Lookup, Stat};
use crate::plan::links::UNFINISHED;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// A tree of fewer directories is looked through before a thread would have begun.
const FEW: usize = 64;

/// More files than that do not wait: who asks then does some of the work.
const MOST: usize = 1 << 16;

/// What is asked of a directory.
struct Job {
    dir: PathBuf,
    files: Vec<Vec<u8>>,
}

/// What matters of its files: those with more than one name, and those that a copy left unfinished.
#[derive(Debug)]
pub(super) struct Hits {
    pub(super) dir: PathBuf,
    pub(super) found: Vec<(Vec<u8>, Stat)>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Files in all of them.
    waiting: usize,
    hits: Vec<Hits>,
    /// The thread sleeps.
    sleeps: bool,
    /// No more jobs come.
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done by a panic, which aborts in any case.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks ahead.
pub(super) struct Ahead {
    look: Arc<dyn Lookup + Send + Sync>,
    shared: Arc<Shared>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Ahead {
    /// `None` where only one thread may ask.
    pub(super) fn new(look: &dyn Lookup) -> Option<Ahead> {
        Some(Ahead {
            look: look.shared()?,
            shared: Arc::new(Shared::default()),
            worker: Mutex::new(None),
        })
    }

    /// These files of that directory were listed a moment ago.
    pub(super) fn ask(&self, dir: &Path, files: Vec<Vec<u8>>) {
        if files.is_empty() {
            return;
        }
        let mut state = self.shared.lock();
        state.waiting += files.len();
        state.jobs.push_back(Job {
            dir: dir.to_owned(),
            files,
        });
        let (begin, help) = (state.jobs.len() >= FEW, state.waiting > MOST);
        let wake = std::mem::take(&mut state.sleeps);
        drop(state);
        if wake {
            self.shared.more.notify_one();
        }
        if begin {
            self.begin();
        }
        if help {
            self.step();
        }
    }

    /// Starts the thread. Without one everything is asked in the end, by who wants the answers.
    fn begin(&self) {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if worker.is_some() {
            return;
        }
        let (look, shared) = (self.look.clone(), self.shared.clone());
        let thread = Builder::new().stack_size(256 << 10);
        *worker = thread.spawn(move || work(&*look, &shared)).ok();
    }

    /// Does one job. `false` if there is none.
    fn step(&self) -> bool {
        let mut state = self.shared.lock();
        let Some(job) = next(&mut state) else {
            return false;
        };
        drop(state);
        let hits = done(&*self.look, job);
        self.shared.lock().hits.extend(hits);
        true
    }

    /// The answers, when all of them are there. The thread has ended.
    pub(super) fn finish(&self) -> Vec<Hits> {
        while self.step() {}
        self.end();
        std::mem::take(&mut self.shared.lock().hits)
    }

    fn end(&self) {
        self.shared.lock().closed = true;
        self.shared.more.notify_one();
        let worker = self.worker.lock().map(|mut worker| worker.take());
        if let Ok(Some(worker)) = worker {
            let _ = worker.join();
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.lock().jobs.clear();
        self.end();
    }
}

fn next(state: &mut State) -> Option<Job> {
    let job = state.jobs.pop_front()?;
    state.waiting -= job.files.len();
    Some(job)
}

fn work(look: &dyn Lookup, shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if let Some(job) = next(&mut state) {
            drop(state);
            let hits = done(look, job);
            state = shared.lock();
            state.hits.extend(hits);
        } else if state.closed {
            return;
        } else {
            state.sleeps = true;
            state = shared
                .more
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn done(look: &dyn Lookup, job: Job) -> Option<Hits> {
    let found = matter(look, &job.dir, &job.files);
    (!found.is_empty()).then_some(Hits {
        dir: job.dir,
        found,
    })
}

/// What matters of these files of a directory.
pub(super) fn matter(look: &dyn Lookup, dir: &Path, files: &[Vec<u8>]) -> Vec<(Vec<u8>, Stat)> {
    let names: Vec<&OsStr> = files.iter().map(|name| OsStr::from_bytes(name)).collect();
    let stats = look.lstat_listed(dir, &names).into_iter();
    stats
        .filter_map(|(at, stat)| Some((files.get(at)?, stat)))
        .filter(|(name, stat)| {
            let matters = stat.nlink > 1 || name.starts_with(UNFINISHED.as_bytes());
            stat.file_type == FileType::File && matters
        })
        .map(|(name, stat)| (name.clone(), stat))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::host::RealLookup;
    use std::fs;

    /// More than one thread waits for, in directories of which some matter.
    #[test]
    fn every_answer_arrives_once() {
        let scratch = crate::sys::testing::scratch("ahead");
        let other = scratch.path().join("other");
        fs::write(&other, "x").unwrap();
        let mut wanted = Vec::new();
        let ahead = Ahead::new(&RealLookup).unwrap();
        for number in 0..3 * FEW {
            let dir = scratch.path().join(format!("d{number}"));
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("single"), "x").unwrap();
            fs::create_dir(dir.join("sub")).unwrap();
            if number % 3 == 0 {
                fs::hard_link(&other, dir.join("linked")).unwrap();
                wanted.push(dir.clone());
            }
            let files = ["single", "linked", "sub", "gone"].map(|name| name.as_bytes().to_vec());
            ahead.ask(&dir, files.to_vec());
        }
        let mut found: Vec<PathBuf> = Vec::new();
        for hits in ahead.finish() {
            let names: Vec<&[u8]> = hits.found.iter().map(|(name, _)| &name[..]).collect();
            assert_eq!(names, [b"linked"]);
            found.push(hits.dir);
        }
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn one_that_is_not_wanted_any_more_ends() {
        let ahead = Ahead::new(&RealLookup).unwrap();
        for _ in 0..10 * FEW {
            ahead.ask(Path::new("/"), vec![b"etc".to_vec()]);
        }
        drop(ahead);
    }
}
