//! [`EventLog`]: the append-only writer of `events.jsonl`. One write(2) per event on an O_APPEND descriptor, no fsync: a
//! record that survives the supervisor is wanted, one that survives a power cut is not worth the start of every session.

#![forbid(unsafe_code)]

use crate::record::event::VERSION;
use crate::record::{Entry, Event, Timestamp};
use nix::errno::Errno;
use nix::unistd::write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Whether an event reached the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// It did.
    Yes,
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
}

impl EventLog {
    /// Takes a descriptor that was opened for writing with O_APPEND.
    #[must_use]
    pub fn new(file: OwnedFd) -> EventLog {
        EventLog {
            file,
            lost: 0,
            torn: false,
        }
    }

    /// How many events were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Appends one event with the present time. Never fails: a session does not end because its record cannot be
    /// written, but the loss must be said once.
    pub fn append(&mut self, event: &Event) -> Appended {
        match self.try_append(event) {
            Ok(()) => Appended::Yes,
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

    fn try_append(&mut self, event: &Event) -> Result<(), String> {
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
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            match write(&self.file, rest) {
                Ok(n) => {
                    rest = rest.get(n..).unwrap_or_default();
                    self.torn = !rest.is_empty();
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(format!("write of events.jsonl: {}", errno.desc())),
            }
        }
        Ok(())
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
