//! The terminal client and the pseudo-terminal that it shows.

#![forbid(unsafe_code)]

use super::part::{Part, PollSet, Ready};
use super::relay::Relay;
use super::running::Running;
use super::watch::PATIENCE;
use crate::launch::channel::Received;
use crate::launch::message::{FromClient, SignalTo, ToClient};
use crate::sys::tty::Winsize;

/// Who looks at the session.
pub(super) struct Clients {
    relay: Option<Relay>,
}

/// Keys of the poll set.
const MASTER: usize = 0;
const DATA: usize = 1;

impl Clients {
    pub(super) fn new(relay: Option<Relay>) -> Clients {
        Clients { relay }
    }

    fn hear(&mut self, running: &mut Running) {
        while let Some(client) = &running.voice.client {
            match client.try_recv::<FromClient>() {
                Ok(Received::Nothing) => return,
                Ok(Received::Message(
                    FromClient::Resize {
                        rows,
                        cols,
                        xpixel,
                        ypixel,
                    },
                    _,
                )) => {
                    if let Some(relay) = &self.relay {
                        let _ = relay.set_winsize(Winsize {
                            rows,
                            cols,
                            xpixel,
                            ypixel,
                        });
                    }
                }
                Ok(Received::Message(FromClient::Signal { signal, to }, _)) => {
                    running.signal(signal, to);
                }
                Ok(Received::Message(FromClient::Continued, _)) => running.continued(),
                // The terminal is gone without a word: as if it had been closed.
                Ok(Received::End) | Err(_) => {
                    running.voice.client = None;
                    running.signal(libc::SIGHUP, SignalTo::Command);
                    return;
                }
            }
        }
    }

    fn tell_stop(&mut self, running: &mut Running) {
        let relay = &mut self.relay;
        let settled = || relay.as_mut().is_none_or(Relay::settle);
        if let Some(signal) = running.take_stop(settled) {
            running.voice.tell(&ToClient::Stopped { signal });
        }
    }
}

impl Part for Clients {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        let wishes = self.relay.as_ref().map(Relay::wishes).unwrap_or_default();
        for (key, wish) in [MASTER, DATA].into_iter().zip(wishes) {
            if let Some((fd, flags)) = wish {
                set.add(key, fd, flags);
            }
        }
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        self.hear(running);
        if let Some(relay) = &mut self.relay {
            relay.moved([ready.of(MASTER), ready.of(DATA)]);
        }
        self.tell_stop(running);
    }

    fn finish(&mut self, _: &mut Running) {
        if let Some(relay) = &mut self.relay {
            let _ = relay.drain(PATIENCE);
        }
    }
}
