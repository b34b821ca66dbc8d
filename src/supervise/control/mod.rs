//! The control socket: how other processes of the user reach a live session. Nothing of a box can: the socket is in the
//! session's directory, which no box sees, it is close-on-exec, and a peer in another pid namespace is refused.
//!
//! One request per connection. What this part cannot do itself it hands over with its connection (`Asked`): attach and
//! detach to the clients, exec to the joins, later requests to whoever knows them.

#![forbid(unsafe_code)]

pub mod client;
mod deaf;
pub mod message;
pub mod peer;
pub mod socket;

use super::holds::Holder;
use super::part::{Part, PollSet, Ready};
use super::running::{Pulse, Running};
use crate::launch::channel::{Channel, Received};
use crate::outcome::Trigger;
use crate::plan::{OsText, Plan};
use crate::record::Timestamp;
use message::{Reply, Request, State, Status, Switch};
use nix::errno::Errno;
use nix::poll::PollFlags;
use peer::Peer;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// How many connections may be open before their request has come.
const MOST: usize = 32;

/// How long a connection may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of argv is told.
const ARGV: usize = 4096;

/// A request for another part, with its connection: whoever takes it answers.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) fds: Vec<OwnedFd>,
    pub(crate) channel: Channel,
}

impl Asked {
    /// Answers and forgets: a peer that does not read is its own problem.
    pub(crate) fn refuse(self, why: &str) {
        let why = why.to_owned();
        let _ = self.channel.try_send(&Reply::Refused { why }, &[]);
    }
}

/// What is told of the session, besides its state.
struct About {
    started: Timestamp,
    argv: Vec<OsText>,
    profile: Option<String>,
    workspace: OsText,
    cgroup: Vec<OsText>,
}

/// The socket and its connections.
pub(super) struct Control {
    listener: OwnedFd,
    owner: u32,
    about: About,
    /// Connections that have not said what they want, and until when they may take.
    fresh: Vec<(Channel, Peer, Instant)>,
    /// Connections that wait for the end: it is told by closing them.
    until_end: Vec<Channel>,
    /// Connections that wait for stillness.
    until_still: Vec<Channel>,
}

/// Why a box stands still although it was resumed.
const HELD: &str = "a remote switch is unreachable, and by `on-unreachable = \"pause\"` everything stands still until it answers: `agentbox status` says which";

const LISTENER: usize = 0;
const FIRST: usize = 1;

impl Control {
    pub(super) fn new(
        listener: OwnedFd,
        plan: &Plan,
        started: Timestamp,
        cgroup: Vec<OsText>,
    ) -> Control {
        let mut length = 0;
        let argv = plan.command.argv.iter().take_while(|word| {
            length += word.bytes().len();
            length <= ARGV
        });
        Control {
            listener,
            owner: nix::unistd::geteuid().as_raw(),
            about: About {
                started,
                argv: argv.cloned().collect(),
                profile: plan.command.profiles.first().cloned(),
                workspace: plan.workspace.real.clone(),
                cgroup,
            },
            fresh: Vec::new(),
            until_end: Vec::new(),
            until_still: Vec::new(),
        }
    }

    fn accept(&mut self) {
        while self.fresh.len() < MOST {
            let channel = match socket::accept(self.listener.as_fd()) {
                Ok(channel) => channel,
                // A full table of descriptors: the peer waits, and the loop must not spin on it for ever.
                Err(Errno::EINTR | Errno::ECONNABORTED) => continue,
                Err(_) => return,
            };
            match Peer::of(channel.as_fd()) {
                Ok(peer) => self.fresh.push((channel, peer, Instant::now() + PATIENCE)),
                Err(stranger) => refuse(&channel, &stranger.to_string()),
            }
        }
    }

    fn hear(&mut self, number: usize, running: &mut Running) {
        let Some((channel, peer, _)) = self.fresh.get(number) else {
            return;
        };
        let (request, fds) = match channel.try_recv::<Request>() {
            Ok(Received::Nothing) => return,
            Ok(Received::Message(request, fds)) => (request, fds),
            // Not a request of this version, or nobody any more.
            Err(e) => {
                refuse(
                    channel,
                    &format!("not a request that this version knows: {e}"),
                );
                self.fresh.remove(number);
                return;
            }
            Ok(Received::End) => {
                self.fresh.remove(number);
                return;
            }
        };
        let refused = peer
            .may(request.who(), self.owner)
            .err()
            .map(|stranger| stranger.to_string());
        let refused = refused.or_else(|| {
            (fds.len() != request.fds()).then(|| "not the descriptors of this request".to_owned())
        });
        let (channel, peer, _) = self.fresh.remove(number);
        match refused {
            Some(why) => refuse(&channel, &why),
            None => self.answer(request, fds, channel, peer, running),
        }
    }

    fn answer(
        &mut self,
        request: Request,
        fds: Vec<OwnedFd>,
        channel: Channel,
        peer: Peer,
        running: &mut Running,
    ) {
        match request {
            Request::Status => {
                let status = Box::new(self.status(running));
                let _ = channel.try_send(&Reply::Status(status), &[]);
            }
            Request::Kill => {
                let _ = channel.try_send(&Reply::Done, &[]);
                self.until_end.push(channel);
                running.stop(Trigger::Kill { by: peer.uid });
            }
            Request::Pause => match running.pause(Holder::Human) {
                Ok(()) => self.until_still.push(channel),
                Err(why) => refuse(&channel, &why),
            },
            Request::Resume => {
                running.resume(Holder::Human);
                if running.is_held(Holder::Switch) {
                    refuse(&channel, HELD);
                } else {
                    let _ = channel.try_send(&Reply::Done, &[]);
                }
            }
            Request::Network(_)
            | Request::Rules
            | Request::Detach
            | Request::Attach { .. }
            | Request::Exec(_) => running.asked.push(Asked {
                request,
                fds,
                channel,
            }),
        }
    }

    fn status(&self, running: &Running) -> Status {
        let about = &self.about;
        Status {
            supervisor: i32::try_from(std::process::id()).unwrap_or(0),
            init: running.spawned.init.as_raw(),
            state: running.state(),
            started: about.started,
            argv: about.argv.clone(),
            profile: about.profile.clone(),
            workspace: about.workspace.clone(),
            cgroup: about.cgroup.clone(),
            viewers: running.viewers,
            switches: running.pulses.iter().map(told).collect(),
        }
    }
}

fn told(pulse: &Pulse) -> Switch {
    let age = pulse.life.map(|at| at.elapsed().as_millis());
    Switch {
        name: pulse.name.clone(),
        target: pulse.target.clone(),
        age_ms: age.map(|age| u64::try_from(age).unwrap_or(u64::MAX)),
        unreachable: pulse.unreachable.clone(),
        push: pulse.push,
    }
}

fn refuse(channel: &Channel, why: &str) {
    let _ = channel.try_send(
        &Reply::Refused {
            why: why.to_owned(),
        },
        &[],
    );
}

impl Part for Control {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        if self.fresh.len() < MOST {
            set.add(LISTENER, self.listener.as_fd(), PollFlags::POLLIN);
        }
        for (key, (channel, _, _)) in (FIRST..).zip(&self.fresh) {
            set.add(key, channel.as_fd(), PollFlags::POLLIN);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.fresh.iter().map(|(_, _, until)| *until).min()
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        // From the back, since a connection that has spoken is taken out.
        for number in (0..self.fresh.len()).rev() {
            if ready.readable(FIRST + number) {
                self.hear(number, running);
            }
        }
        let now = Instant::now();
        self.fresh.retain(|(_, _, until)| *until > now);
        if ready.readable(LISTENER) {
            let before = self.fresh.len();
            self.accept();
            // Who connects asks at once, as a rule: it need not wait for the next turn.
            for number in (before..self.fresh.len()).rev() {
                self.hear(number, running);
            }
        }
        if running.is_still() {
            for channel in self.until_still.drain(..) {
                let _ = channel.try_send(&Reply::Done, &[]);
            }
        } else if matches!(running.state(), State::Running | State::Stopped) {
            // It will not be still: who waits would take the silence for a supervisor that does not answer.
            for channel in self.until_still.drain(..) {
                refuse(&channel, "somebody else has resumed it");
            }
        }
    }

    fn finish(&mut self, running: &mut Running) {
        // Before the last events are written: who asks from now on is told by the record.
        socket::remove(running.session.dir());
        for channel in self.until_still.drain(..) {
            refuse(&channel, "the session has ended");
        }
    }
}
