//! [`Outbox`]: what the keeper has to say. It never waits for the supervisor, and a box that makes names without end fills
//! neither the socket nor the record: what is said often is said once with its count.

#![forbid(unsafe_code)]

use super::message::{FromKeeper, More, Seen};
use super::view::Inode;
use crate::launch::channel::{Channel, ChannelError, Sent};
use crate::plan::OsText;
use crate::record::Closed;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the same is said.
const PACE: Duration = Duration::from_millis(250);

/// The most names that are remembered; more than that is "everything".
const MOST: usize = 20_000;

/// Bytes of names in one message; a byte can take six in JSON.
const ROOM: usize = 16 * 1024;

/// The same of files that are read to be judged: names that run things must not wait long for the end of that.
const JUDGE_ROOM: usize = 1024;

/// The same of files that a rule hides for their content: most hold nothing of that kind, and a build may write thousands.
const READ_ROOM: usize = 4 * 1024;

/// How often such files are read, while one message has room for all of them.
const READ_PACE: Duration = Duration::from_millis(50);

/// How long after a hidden file has appeared it is asked who has it open: who writes it should have closed it by then.
const HELD: Duration = Duration::from_secs(2);

/// How often that is asked: it is a walk through all processes.
const HELD_PACE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Outbox {
    closed: BTreeMap<(PathBuf, Closed), (u32, Option<Inode>)>,
    said: Option<Instant>,
    /// Names that run things.
    now: BTreeSet<PathBuf>,
    /// Files under hidden names that may be no secrets.
    judge: BTreeSet<PathBuf>,
    /// Files that a rule hides for what they hold, in their order: who makes many must not keep others from being read.
    read: VecDeque<PathBuf>,
    waiting: HashSet<PathBuf>,
    /// Files under hidden names that appeared, and when it is asked who has each open.
    held: VecDeque<(Instant, PathBuf)>,
    appeared: HashSet<PathBuf>,
    /// When that was last asked.
    was_held: Option<Instant>,
    /// When some were last read.
    was_read: Option<Instant>,
    /// The supervisor is at work on the last ones.
    asked: bool,
    /// Names for the end.
    touched: BTreeSet<PathBuf>,
    born: BTreeSet<PathBuf>,
    missed: bool,
    gap_said: bool,
}

impl Outbox {
    pub(super) fn masked(&mut self, file: PathBuf) {
        self.closed(file, Closed::Masked, None);
    }

    /// A copy lies over it.
    pub(super) fn copied(&mut self, file: PathBuf) {
        self.closed(file, Closed::Copied, None);
    }

    /// Masked so that nobody can open it.
    pub(super) fn shut(&mut self, file: PathBuf) {
        self.closed(file, Closed::Shut, None);
    }

    /// Refused again.
    pub(super) fn refused(&mut self, file: PathBuf) {
        self.closed(file, Closed::Refused, None);
    }

    /// Frozen again, with what the host put there.
    pub(super) fn frozen(&mut self, file: PathBuf, inode: Option<Inode>) {
        self.closed(file, Closed::Frozen, inode);
    }

    fn closed(&mut self, file: PathBuf, how: Closed, inode: Option<Inode>) {
        if self.closed.len() < MOST {
            let (times, last) = self.closed.entry((file, how)).or_default();
            *times += 1;
            *last = inode;
        }
    }

    /// A name that runs something: to be looked at now.
    pub(super) fn now(&mut self, file: PathBuf) {
        self.touched(file.clone());
        if self.now.len() < MOST {
            self.now.insert(file);
        }
    }

    /// A file under a hidden name that may be no secret.
    pub(super) fn judge(&mut self, file: PathBuf) {
        if self.judge.len() < MOST {
            self.judge.insert(file);
        }
    }

    /// A file under a hidden name that the box may have open.
    pub(super) fn held(&mut self, file: &Path) {
        if self.held.len() < MOST && self.appeared.insert(file.to_owned()) {
            self.held
                .push_back((Instant::now() + HELD, file.to_owned()));
        }
    }

    /// The box may have it open.
    pub(super) fn free(&mut self, file: &Path) {
        self.appeared.remove(file);
    }

    /// When it is asked who has the first of them open.
    fn held_at(&self) -> Option<Instant> {
        let next = self.was_held.map(|at| at + HELD_PACE);
        let first = self
            .held
            .front()
            .map(|(at, _)| next.map_or(*at, |next| next.max(*at)));
        first.filter(|_| !self.asked)
    }

    /// A file that a rule hides for what it holds: somebody has to look into it. Whether there was room for it.
    pub(super) fn read(&mut self, file: &Path) -> bool {
        if self.waiting.contains(file) {
            return true;
        }
        let room = self.read.len() < MOST;
        if room {
            self.waiting.insert(file.to_owned());
            self.read.push_back(file.to_owned());
        }
        room
    }

    /// Does it wait for that?
    pub(super) fn waits(&self, file: &Path) -> bool {
        self.waiting.contains(file)
    }

    /// None of these waits.
    pub(super) fn has_read_all(&self) -> bool {
        self.read.is_empty()
    }

    /// When the next of them may be read.
    fn read_at(&self, now: Instant) -> Option<Instant> {
        let some = self.read.iter().take(READ_ROOM / 8).map(|file| size(file));
        let more = some.sum::<usize>() > READ_ROOM;
        let at = match self.was_read {
            Some(at) if !more => at + READ_PACE,
            _ => now,
        };
        (!self.read.is_empty() && !self.asked).then_some(at)
    }

    /// A name to be looked at in the end.
    pub(super) fn touched(&mut self, file: PathBuf) {
        if self.touched.len() < MOST {
            self.touched.insert(file);
        } else {
            self.missed = true;
        }
    }

    pub(super) fn born(&mut self, dir: PathBuf) {
        if self.born.len() < MOST {
            self.born.insert(dir);
        } else {
            self.missed = true;
        }
    }

    /// Something may have happened that was not seen.
    pub(super) fn missed(&mut self) {
        self.missed = true;
    }

    pub(super) fn settled(&mut self) {
        self.asked = false;
    }

    /// When [`flush`](Outbox::flush) has something to say that it kept back.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let said = || self.said.map_or_else(Instant::now, |at| at + PACE);
        let said = (!self.closed.is_empty()).then(said);
        let files = self
            .read_at(Instant::now())
            .into_iter()
            .chain(self.held_at());
        said.into_iter().chain(files).min()
    }

    /// Says what can be said without waiting.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub(super) fn flush(&mut self, channel: &Channel) -> Result<(), ChannelError> {
        let now = Instant::now();
        if !self.closed.is_empty() && self.said.is_none_or(|at| at + PACE <= now) {
            self.said = Some(now);
            // Bounded by the pace; the rest comes with the next one.
            for _ in 0..32 {
                let Some(((file, how), (times, inode))) = self.closed.pop_first() else {
                    break;
                };
                let message = FromKeeper::Closed {
                    file: OsText::from(file.clone()),
                    how,
                    times,
                    inode,
                };
                if channel.try_send(&message, &[])? == Sent::Full {
                    self.closed.insert((file, how), (times, inode));
                    break;
                }
            }
        }
        let reads = self.read_at(now).is_some_and(|at| at <= now);
        let held = match self.held_at().is_some_and(|at| at <= now) {
            true => {
                let appeared = &self.appeared;
                self.held.retain(|(_, file)| appeared.contains(file));
                let due = self.held.iter().take_while(|(at, _)| *at <= now);
                batch(due.map(|(_, file)| file), READ_ROOM)
            }
            false => Vec::new(),
        };
        let nothing = self.now.is_empty() && self.judge.is_empty() && !reads && held.is_empty();
        if !self.asked && !nothing {
            let files = batch(&self.now, ROOM);
            let mut judge = batch(&self.judge, JUDGE_ROOM);
            let read = match reads {
                true => batch(&self.read, READ_ROOM),
                false => Vec::new(),
            };
            judge.extend(read.iter().cloned());
            let texts = |paths: &[PathBuf]| paths.iter().cloned().map(OsText::from).collect();
            let message = FromKeeper::Touched {
                files: texts(&files),
                judge: texts(&judge),
                held: texts(&held),
            };
            if channel.try_send(&message, &[])? == Sent::Yes {
                self.asked = true;
                for file in files {
                    self.now.remove(&file);
                }
                for file in judge {
                    self.judge.remove(&file);
                }
                for file in held {
                    self.was_held = Some(now);
                    self.held.pop_front();
                    self.appeared.remove(&file);
                }
                for file in read {
                    self.read.pop_front();
                    self.waiting.remove(&file);
                    self.was_read = Some(now);
                }
            }
        }
        Ok(())
    }

    /// A directory cannot be watched: said once.
    pub(super) fn gap(&mut self, channel: &Channel, why: &str) -> Result<(), ChannelError> {
        if !self.gap_said {
            let message = FromKeeper::Gap {
                why: why.to_owned(),
            };
            self.gap_said = channel.try_send(&message, &[])? == Sent::Yes;
        }
        Ok(())
    }

    /// The last words; waits for room.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub(super) fn finish(mut self, channel: &Channel) -> Result<(), ChannelError> {
        while let Some(((file, how), (times, inode))) = self.closed.pop_first() {
            let message = FromKeeper::Closed {
                file: OsText::from(file),
                how,
                times,
                inode,
            };
            channel.send(&message, &[])?;
        }
        let seen = if self.missed { Seen::Part } else { Seen::All };
        loop {
            let touched = batch(&self.touched, ROOM);
            let born = if touched.is_empty() {
                batch(&self.born, ROOM)
            } else {
                Vec::new()
            };
            for file in &touched {
                self.touched.remove(file);
            }
            for dir in &born {
                self.born.remove(dir);
            }
            let more = if self.touched.is_empty() && self.born.is_empty() {
                More::Last
            } else {
                More::Follows
            };
            let texts = |paths: Vec<PathBuf>| paths.into_iter().map(OsText::from).collect();
            channel.send(
                &FromKeeper::Done {
                    touched: texts(touched),
                    born: texts(born),
                    seen,
                    more,
                },
                &[],
            )?;
            if more == More::Last {
                return Ok(());
            }
        }
    }
}

/// What a path takes of a message.
fn size(path: &Path) -> usize {
    path.as_os_str().len() + 8
}

/// As many as fit into a message, and at least one.
fn batch<'a>(paths: impl IntoIterator<Item = &'a PathBuf>, room: usize) -> Vec<PathBuf> {
    let mut room = room;
    let mut batch = Vec::new();
    for path in paths {
        let size = size(path);
        if size > room && !batch.is_empty() {
            break;
        }
        room = room.saturating_sub(size);
        batch.push(path.clone());
    }
    batch
}
