//! Commands that join the box (`agentbox exec`), each with the connection of the process that asked. The bytes of their
//! terminals do not pass here: the asking process gets the master itself. Where it has no terminal, init tells it the end itself.

#![forbid(unsafe_code)]

use super::control::Asked;
use super::control::message::{Reply, Request, State};
use super::ending::not_started;
use super::part::{Part, PollSet, Ready};
use super::running::{JoinEvent, Running};
use crate::enforce::pty;
use crate::launch::channel::{Channel, Received, Sent};
use crate::launch::join::Join;
use crate::launch::message::{FromClient, PtyFrom, ToClient, ToInit, Told};
use crate::launch::stdio;
use crate::outcome::How;
use crate::plan::Plan;
use crate::plan::rung::Rung;
use crate::record::Event;
use nix::poll::PollFlags;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

/// One command that joined.
struct Joined {
    id: u32,
    /// What it is called, for messages.
    name: String,
    /// `None` when who asked is gone.
    channel: Option<Channel>,
}

/// All of them.
pub(super) struct Joins {
    list: Vec<Joined>,
    last: u32,
    /// The box's, as the supervisor sees it.
    uid: u32,
    rung: Rung,
}

impl Joins {
    pub(super) fn new(plan: &Plan) -> Joins {
        Joins {
            list: Vec::new(),
            last: 0,
            uid: plan.identity.outer_uid,
            rung: plan.standing.rung,
        }
    }

    fn ask(&mut self, asked: Asked, running: &mut Running) {
        let Request::Exec(join) = &asked.request else {
            return;
        };
        if let Err(why) = may_join(join, &asked.fds, running.state()) {
            asked.refuse(&why);
            return;
        }
        self.last = self.last.wrapping_add(1);
        let (id, argv) = (self.last, join.argv.clone());
        let pty = match (&join.terminal, self.rung) {
            (Some(_), Rung::Landlock) => match pty::open_new(Path::new(pty::OF_THE_PLACE)) {
                Ok(pty) => Some(pty),
                Err(e) => return asked.refuse(&format!("no terminal can be had: {e}")),
            },
            _ => None,
        };
        let message = ToInit::Join {
            id,
            join: join.clone(),
            pty: match pty {
                Some(_) => PtyFrom::Message,
                None => PtyFrom::Init,
            },
        };
        for fd in &asked.fds {
            stdio::lend(fd.as_fd(), self.uid);
        }
        let fds = asked.fds.iter().map(|fd| fd.as_fd());
        let pty = pty
            .iter()
            .flat_map(|pty| [pty.master.as_fd(), pty.slave.as_fd()]);
        let fds: Vec<_> = fds.chain(pty).chain([asked.channel.as_fd()]).collect();
        // Before init hears of it: what init says to who asked comes behind this.
        let _ = asked.channel.try_send(&Reply::Done, &[]);
        if running.tell_init(&message, &fds) != Sent::Yes {
            let line = "init of the box takes no command now".to_owned();
            let _ = asked.channel.try_send(&ToClient::Say { line }, &[]);
            let status = crate::exit::REFUSED;
            let _ = asked.channel.try_send(&ToClient::Ended { status }, &[]);
            return;
        }
        self.list.push(Joined {
            id,
            name: argv.first().map(ToString::to_string).unwrap_or_default(),
            channel: Some(asked.channel),
        });
        running.note(&Event::Joined { argv });
    }

    fn told(&mut self, event: JoinEvent, fds: Vec<OwnedFd>) {
        let (JoinEvent::Started(id) | JoinEvent::Ended(id, ..)) = &event;
        let Some(at) = self.list.iter().position(|join| join.id == *id) else {
            return;
        };
        match event {
            JoinEvent::Started(_) => {
                // Init says so of one with a terminal alone.
                let message = ToClient::Started { pty: true };
                let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
                let join = self.list.get(at);
                if let Some(channel) = join.and_then(|join| join.channel.as_ref()) {
                    let _ = channel.try_send(&message, &fds);
                }
            }
            JoinEvent::Ended(_, how, told) => {
                let join = self.list.swap_remove(at);
                let Some(channel) = join.channel.filter(|_| told == Told::NotYet) else {
                    return;
                };
                if let Some(line) = not_started(&join.name, &how) {
                    let _ = channel.try_send(&ToClient::Say { line }, &[]);
                }
                if how == (How::Signaled { signal: 2 }) {
                    let _ = channel.try_send(&ToClient::Interrupted, &[]);
                }
                let status = crate::exit::status(&how);
                let _ = channel.try_send(&ToClient::Ended { status }, &[]);
            }
        }
    }
}

/// May it join now, and may these descriptors?
fn may_join(join: &Join, fds: &[OwnedFd], state: State) -> Result<(), String> {
    match state {
        State::Running | State::Stopped => {}
        State::Paused => return Err("the session is paused; `agentbox resume` it first".to_owned()),
        State::Ending => return Err("the session is ending".to_owned()),
    }
    if join.argv.is_empty() {
        return Err("no command".to_owned());
    }
    // Looked at again here: who asked may be another version.
    if fds.iter().all(|fd| stdio::may_enter(fd.as_fd())) {
        Ok(())
    } else {
        Err("a descriptor that would give the box a way out".to_owned())
    }
}

impl Part for Joins {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        for (key, join) in self.list.iter().enumerate() {
            if let Some(channel) = &join.channel {
                set.add(key, channel.as_fd(), PollFlags::POLLIN);
            }
        }
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        for (key, join) in self.list.iter_mut().enumerate() {
            if ready.readable(key) {
                hear(join, running);
            }
        }
        for (event, fds) in std::mem::take(&mut running.joins) {
            self.told(event, fds);
        }
        let (ours, others) = std::mem::take(&mut running.asked)
            .into_iter()
            .partition(|asked: &Asked| matches!(asked.request, Request::Exec(_)));
        running.asked = others;
        for asked in ours {
            self.ask(asked, running);
        }
    }

    fn finish(&mut self, _: &mut Running) {
        // They ended with the box, by its SIGKILL.
        for join in self.list.drain(..) {
            if let Some(channel) = join.channel {
                let status = crate::exit::status(&How::Signaled { signal: 9 });
                let _ = channel.try_send(&ToClient::Ended { status }, &[]);
            }
        }
    }
}

fn hear(join: &mut Joined, running: &mut Running) {
    let id = join.id;
    while let Some(channel) = &join.channel {
        match channel.try_recv::<FromClient>() {
            Ok(Received::Nothing) => return,
            Ok(Received::Message(FromClient::Signal { signal, .. }, _)) => {
                let _ = running.tell_init(&ToInit::JoinSignal { id, signal }, &[]);
            }
            // The size is set on the master, which the asking process has.
            Ok(Received::Message(
                FromClient::Resize { .. } | FromClient::Continued | FromClient::Keyboard,
                _,
            )) => {}
            Ok(Received::End) | Err(_) => {
                join.channel = None;
                let signal = libc::SIGHUP;
                let _ = running.tell_init(&ToInit::JoinSignal { id, signal }, &[]);
            }
        }
    }
}
