//! [`EventLog`]: the append-only writer of `events.jsonl`. One write(2) per event on an O_APPEND descriptor, no fsync: a
//! record that survives the supervisor is wanted, one that survives a power cut is not worth the start of every session.
//!
//! Of a session that is more than a moment long it keeps blocks in reserve where the file system can (fallocate(2)): a disk that
//! is full for a while costs nothing, and of one that stays full the last event, which says so, is still written.

#![forbid(unsafe_code)]

use crate::record::event::VERSION;
use crate::record::{Entry, Event, Timestamp};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::stat::fstat;
use nix::unistd::{ftruncate, write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Whether an event reached the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// It did.
    Yes,
    /// It did, and there is room for the end of the session and for nothing else. Said once.
    Last(String),
    /// It did not, and this is the first one that was lost: say it.
    LostFirst(String),
    /// It did not, and that was said before.
    Lost,
}

/// The writer of `events.jsonl`.
#[derive(Debug)]
pub struct EventLog {
    file: OwnedFd,
    lost: u64,
    /// A write was cut short (disk full): the next event must begin on a line of its own.
    torn: bool,
    reserve: Reserve,
}

/// The blocks that the file has beyond its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reserve {
    /// None yet: most sessions are over before it is worth its price.
    NotYet,
    /// Up to this offset.
    To(i64),
    /// They cannot be renewed: what there is is for the end.
    Last,
    /// The file system keeps none.
    Unknown,
}

/// How much is kept in reserve.
const AHEAD: i64 = 64 * 1024;
/// How much of it is for the end of the session.
const FOR_THE_END: i64 = 24 * 1024;

impl EventLog {
    /// Takes a descriptor that was opened for writing with O_APPEND.
    #[must_use]
    pub fn new(file: OwnedFd) -> EventLog {
        EventLog {
            file,
            lost: 0,
            torn: false,
            reserve: Reserve::NotYet,
        }
    }

    /// How many events were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Appends one event with the present time. What anything else than [`Appended::Yes`] means for the session is decided by
    /// its supervisor.
    pub fn append(&mut self, event: &Event) -> Appended {
        match self.try_append(event) {
            Ok(None) => Appended::Yes,
            Ok(Some(why)) => Appended::Last(why),
            Err(why) => {
                self.lost += 1;
                if self.lost == 1 {
                    Appended::LostFirst(why)
                } else {
                    Appended::Lost
                }
            }
        }
    }

    /// From now on blocks are kept in reserve. Says why they cannot be: the disk is full.
    pub fn keep_in_reserve(&mut self) -> Option<String> {
        if self.reserve != Reserve::NotYet {
            return None;
        }
        self.reserve = Reserve::To(0);
        self.keep_ahead(0)
    }

    /// Gives back what was kept in reserve.
    pub fn finish(&mut self) {
        if self.reserve != Reserve::NotYet {
            give_back(self.file.as_fd());
        }
    }

    /// Takes care that this much can be written, and the end behind it. Says, once, why it will not be so for long.
    fn keep_ahead(&mut self, length: usize) -> Option<String> {
        let Reserve::To(reserved) = self.reserve else {
            return None;
        };
        let size = fstat(&self.file).map_or(0, |stat| stat.st_size);
        let length = i64::try_from(length).unwrap_or(i64::MAX / 2);
        let end = size.saturating_add(length);
        if end.saturating_add(FOR_THE_END) <= reserved {
            return None;
        }
        // KEEP_SIZE: the file ends where its last event does.
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(&self.file, keep, size, length.saturating_add(AHEAD)) {
            Ok(()) => {
                self.reserve = Reserve::To(end.saturating_add(AHEAD));
                None
            }
            Err(Errno::EINTR) => None,
            Err(errno @ (Errno::ENOSPC | Errno::EDQUOT)) => {
                self.reserve = Reserve::Last;
                Some(format!("{NAME}: {}", errno.desc()))
            }
            Err(_) => {
                self.reserve = Reserve::Unknown;
                None
            }
        }
    }

    fn try_append(&mut self, event: &Event) -> Result<Option<String>, String> {
        /// [`Entry`] by reference, so that an event with a long evidence is not copied.
        #[derive(serde::Serialize)]
        struct Line<'a> {
            v: u32,
            at: Timestamp,
            #[serde(flatten)]
            event: &'a Event,
        }
        let mut line = if self.torn { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(
            &mut line,
            &Line {
                v: VERSION,
                at: Timestamp::now(),
                event,
            },
        )
        .map_err(|error| format!("an event cannot be written as JSON: {error}"))?;
        line.push(b'\n');
        let last = self.keep_ahead(line.len());
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            match write(&self.file, rest) {
                Ok(n) => {
                    rest = rest.get(n..).unwrap_or_default();
                    self.torn = !rest.is_empty();
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(format!("{NAME}: {}", errno.desc())),
            }
        }
        Ok(last)
    }
}

/// What the file is called, for people.
const NAME: &str = "events.jsonl";

/// Frees the blocks beyond the end of a log: its writer is done or dead.
pub fn give_back(file: BorrowedFd<'_>) {
    // To the size that it has (truncate(2) frees what is beyond). A reserve that stays costs 64 KiB and nothing else.
    if let Ok(stat) = fstat(file) {
        let _ = ftruncate(file, stat.st_size);
    }
}

impl AsFd for EventLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Reads the lines of `events.jsonl`. A line that is not an event (torn by a full disk, or of a later version) is kept as
/// an error with its number, from 1.
pub fn parse(text: &[u8]) -> impl Iterator<Item = Result<Entry, BadLine>> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| {
            serde_json::from_slice(line).map_err(|error| BadLine {
                line: index + 1,
                why: error.to_string(),
            })
        })
}

/// A line of `events.jsonl` that is not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("events.jsonl:{line}: {why}")]
pub struct BadLine {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs::OpenOptions;

    #[test]
    fn lines_are_appended_and_read_back() {
        let dir = crate::sys::testing::scratch("log");
        let path = dir.path().join("events.jsonl");
        let open = || {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .unwrap()
                .into()
        };
        let mut log = EventLog::new(open());
        assert_eq!(log.append(&Event::Continued), Appended::Yes);
        // A second writer on the same file must not overwrite.
        let mut other = EventLog::new(open());
        assert_eq!(other.append(&Event::Stopped { signal: 20 }), Appended::Yes);
        assert_eq!(log.append(&Event::Started { init: 3 }), Appended::Yes);
        let events: Vec<_> = parse(&std::fs::read(&path).unwrap())
            .map(|entry| entry.unwrap().event)
            .collect();
        assert_eq!(
            events,
            [
                Event::Continued,
                Event::Stopped { signal: 20 },
                Event::Started { init: 3 }
            ]
        );
    }

    #[test]
    fn a_full_disk_is_said_once() {
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut log = EventLog::new(full.into());
        assert!(matches!(
            log.append(&Event::Continued),
            Appended::LostFirst(why) if why.contains("No space left")
        ));
        assert_eq!(log.append(&Event::Continued), Appended::Lost);
        assert_eq!(log.lost(), 2);
    }

    /// The blocks of a file, in units of 512 bytes.
    fn blocks(path: &std::path::Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).unwrap().blocks()
    }

    #[test]
    fn a_reserve_is_kept_and_given_back() {
        let dir = crate::sys::testing::scratch("log-reserve");
        let path = dir.path().join("events.jsonl");
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        let mut log = EventLog::new(file.into());
        assert_eq!(log.append(&Event::Continued), Appended::Yes);
        assert!(blocks(&path) * 512 < 64 * 1024, "not yet");
        assert_eq!(log.keep_in_reserve(), None);
        if log.reserve == Reserve::Unknown {
            return; // This file system keeps none.
        }
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length < 200, "the reserve is beyond the end: {length}");
        assert!(blocks(&path) * 512 >= 64 * 1024);
        // It moves along.
        let long = Event::Refused {
            why: "x".repeat(50_000),
        };
        assert_eq!(log.append(&long), Appended::Yes);
        assert!(blocks(&path) * 512 >= 50_000 + 64 * 1024);
        log.finish();
        assert!(blocks(&path) * 512 < 50_000 + 16 * 1024);
        assert_eq!(parse(&std::fs::read(&path).unwrap()).count(), 2);
    }

    #[test]
    fn a_torn_line_costs_one_event_only() {
        let text = b"{\"v\":1,\"at\":\"1970-01-01T00:00:00.000Z\",\"ev\n{\"v\":1,\"at\":\"1970-01-01T00:00:00.000Z\",\"event\":\"continued\"}\n";
        let lines: Vec<_> = parse(text).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines.first().unwrap().as_ref().unwrap_err().line, 1);
        assert_eq!(
            lines.last().unwrap().as_ref().unwrap().event,
            Event::Continued
        );
    }
}
