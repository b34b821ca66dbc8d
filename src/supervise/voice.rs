//! [`Voice`]: what the supervisor says: to the client, on stderr, to `--status-fd`, to the record.

#![forbid(unsafe_code)]

use crate::launch::channel::Channel;
use crate::launch::message::ToClient;
use crate::paint::{self, Tone};
use crate::plan::text::write_escaped;
use crate::record::Event;
use crate::session::Session;
use std::fs::File;
use std::io::Write as _;

/// Everything that the supervisor says, and to whom.
pub(super) struct Voice {
    /// `None` when it is gone.
    pub(super) client: Option<Channel>,
    /// `--status-fd`.
    pub(super) status: Option<File>,
}

impl Voice {
    /// A line on the caller's stderr while the terminal may be in raw mode: the client writes it.
    pub(super) fn say(&self, line: &str) {
        self.tell(&ToClient::Say {
            line: line.to_owned(),
        });
    }

    /// A line behind all that was shown.
    pub(super) fn last(&self, line: &str) {
        self.tell(&ToClient::Last {
            line: line.to_owned(),
        });
    }

    /// A line on the caller's stderr before the command runs.
    pub(super) fn direct(&self, tone: Tone, line: &str) {
        say_directly(tone, line);
    }

    pub(super) fn tell(&self, message: &ToClient) {
        // A client that is gone or does not read is no reason to stop supervising.
        if let Some(client) = &self.client {
            let _ = client.try_send(message, &[]);
        }
    }

    /// Writes an event to the record and to `--status-fd`.
    pub(super) fn note(&mut self, session: &mut Session, event: &Event) {
        let _the_session_remembers = session.record(event);
        self.status(event);
    }

    pub(super) fn status(&mut self, event: &Event) {
        if let Some(file) = &mut self.status
            && let Ok(mut line) = serde_json::to_vec(event)
        {
            line.push(b'\n');
            if file.write_all(&line).is_err() {
                self.status = None;
            }
        }
    }
}

pub(super) fn say_directly(tone: Tone, line: &str) {
    let mut out = paint::prefix(tone);
    // A path in it cannot write on the terminal. Into a String: never an error.
    let _ = write_escaped(&mut out, line.as_bytes());
    out.push('\n');
    let _ = std::io::stderr().write_all(out.as_bytes());
}
