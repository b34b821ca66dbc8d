//! [`Voice`]: what the supervisor says: to the client, on stderr, to `--status-fd`, to the record.

#![forbid(unsafe_code)]

use super::running::PATIENCE;
use super::status_lines::{StatusLines, Taken};
use crate::launch::channel::{Channel, Sent};
use crate::launch::message::ToClient;
use crate::paint::{self, Tone};
use crate::plan::text::write_escaped;
use crate::record::Event;
use crate::session::Session;
use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Everything that the supervisor says, and to whom.
pub(super) struct Voice {
    /// `None` when it is gone.
    pub(super) client: Option<Channel>,
    /// `--status-fd`.
    status: Option<StatusLines>,
    /// Those that attached, once nothing but the end is to be told.
    pub(super) viewers: Vec<Channel>,
    /// The box is dead, and these lines were said since.
    pub(super) over: Option<RefCell<Vec<String>>>,
}

impl Voice {
    /// Of a session whose client is there.
    pub(super) fn new(client: Channel, status: Option<File>) -> Voice {
        Voice {
            client: Some(client),
            status: status.map(StatusLines::new),
            viewers: Vec::new(),
            over: None,
        }
    }

    /// A line on the caller's stderr while the terminal may be in raw mode: the client writes it. When the box is dead it comes behind
    /// all that was shown, and behind what takes its modes off the terminal: on a screen that goes away nobody would read it.
    pub(super) fn say(&self, line: &str) {
        if self.over.is_some() {
            return self.last(line);
        }
        self.tell(&ToClient::Say {
            line: line.to_owned(),
        });
    }

    /// A line behind all that was shown.
    pub(super) fn last(&self, line: &str) {
        if let Some(said) = &self.over {
            said.borrow_mut().push(line.to_owned());
        }
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
        let _ = self.try_tell(message);
    }

    /// The same; [`Sent::Full`] where nobody will read it.
    pub(super) fn try_tell(&self, message: &ToClient) -> Sent {
        let sent = self.client.as_ref().map(|to| to.try_send(message, &[]));
        sent.and_then(Result::ok).unwrap_or(Sent::Full)
    }

    /// The box is dead: what is said from now on is said to all that look.
    pub(super) fn box_is_dead(&mut self) {
        self.over = Some(RefCell::default());
    }

    /// The session is over, for who started it and for who attached: what became of it, and the status.
    pub(super) fn ended(&mut self, status: u8) {
        let said = self.over.take().unwrap_or_default().into_inner();
        for viewer in self.viewers.drain(..) {
            for line in &said {
                let line = line.clone();
                let _ = viewer.try_send(&ToClient::Last { line }, &[]);
            }
            let _ = viewer.try_send(&ToClient::Ended { status }, &[]);
        }
        self.tell(&ToClient::Ended { status });
    }

    /// Writes an event to the record and to `--status-fd`.
    pub(super) fn note(&mut self, session: &mut Session, event: &Event) {
        let _the_session_remembers = session.record(event);
        self.status(event);
    }

    pub(super) fn status(&mut self, event: &Event) {
        let taken = self.status.as_mut().map(|lines| lines.add(event));
        self.status_taken(taken);
    }

    /// `--status-fd`, while lines wait for it.
    pub(super) fn status_wish(&self) -> Option<BorrowedFd<'_>> {
        self.status.as_ref().and_then(StatusLines::wish)
    }

    /// Writes what waits for `--status-fd`, as far as that takes it.
    pub(super) fn status_goes_on(&mut self) {
        let taken = self.status.as_mut().map(StatusLines::go_on);
        self.status_taken(taken);
    }

    fn status_taken(&mut self, taken: Option<Taken>) {
        match taken {
            None | Some(Taken::Yes) => {}
            Some(Taken::Gone) => self.status = None,
            Some(Taken::TooMuch) => {
                self.status = None;
                self.say("nobody reads --status-fd: what happens from now on is in the record alone (`agentbox logs`)");
            }
        }
    }

    /// Hands over what waits for `--status-fd`; gives up when nothing is read for so long, or when the client is told to end. Without
    /// one nobody could tell.
    pub(super) fn drain_status(&mut self, patience: Duration) {
        let patience = match &self.client {
            Some(_) => patience,
            None => patience.min(PATIENCE),
        };
        if let Some(mut lines) = self.status.take() {
            lines.drain(patience, self.client.as_ref());
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
