//! What the gate says, written down and said to the human.

#![forbid(unsafe_code)]

use super::running::Running;
use crate::gate::message::GateEvent;
use crate::record::Event;
use std::collections::HashSet;

/// The most distinct refusals that are said; all of them are in the record.
const MOST: usize = 20;

/// When refusals are said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Say {
    /// When they happen.
    #[default]
    AtOnce,
    /// When the command has given its terminal back: a line in between would spoil its picture.
    AtTheEnd,
}

/// What has been said so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// When.
    pub(super) say: Say,
    lines: HashSet<String>,
    /// In order, those that a terminal in use kept back.
    kept: Vec<String>,
    /// Refusals that were not said: those in the record, and those of which it has the number only.
    more: u64,
    counted: u64,
    serves: bool,
}

impl Told {
    /// A gate serves: from here on something may have happened that it has not told yet.
    pub(super) fn serves(&mut self) {
        self.serves = true;
    }

    /// Whether one ever did.
    pub(super) fn may_know_more(&self) -> bool {
        self.serves
    }

    /// Records an event, and says a refusal that is new.
    pub(super) fn event(&mut self, event: GateEvent, running: &mut Running) {
        let noted = match event {
            GateEvent::Resolved { name, address } => Event::Resolved {
                name: name.to_string(),
                address: address.to_string(),
            },
            GateEvent::Refused(refused) => {
                self.refused(refused.to_string(), running);
                Event::Unreached {
                    to: refused.to.to_string(),
                    port: refused.port,
                    why: refused.why.to_string(),
                    policy: refused.why.is_policy(),
                    rule: refused.rule.to_string(),
                }
            }
            GateEvent::Opened {
                id,
                to,
                port,
                address,
            } => Event::Connected {
                id,
                to: to.to_string(),
                port,
                address: address.map(|address| address.to_string()),
            },
            GateEvent::Signed { host, key } => Event::Signed {
                host: host.to_string(),
                key: key.to_string(),
            },
            GateEvent::Closed { id, sent, received } => Event::Disconnected { id, sent, received },
            GateEvent::Dropped { count, refused } => {
                self.counted += refused;
                Event::NetworkDropped { count, refused }
            }
        };
        running.note(&noted);
    }

    fn refused(&mut self, line: String, running: &Running) {
        if self.lines.contains(&line) {
            return;
        }
        if self.lines.len() >= MOST {
            self.more += 1;
            return;
        }
        self.lines.insert(line.clone());
        let line = format!("network: {line}");
        match self.say {
            Say::AtOnce => running.say(&line),
            Say::AtTheEnd => self.kept.push(line),
        }
    }

    /// Says what was kept back, and that there is more.
    pub(super) fn at_the_end(&mut self, running: &Running) {
        for line in self.kept.drain(..) {
            running.say(&line);
        }
        let counted = match self.counted {
            0 => String::new(),
            counted => format!("; {counted} came too fast and were only counted"),
        };
        if self.more > 0 || self.counted > 0 {
            running.say(&format!(
                "network: {} more refusals are in the record (agentbox logs {}){counted}",
                self.more,
                running.session.id()
            ));
        }
    }
}
