//! The poll loop of a running box. Nothing wakes it while nothing happens.

#![forbid(unsafe_code)]

use super::relay::{self, Relay, RelayPipe};
use super::state::StateSync;
use super::{Seen, Voice, kill};
use crate::launch::Spawned;
use crate::launch::channel::Received;
use crate::launch::message::{FromClient, FromInit, SignalTo, ToClient, ToInit};
use crate::outcome::{How, Trigger};
use crate::plan::{LimitName, Plan};
use crate::record::Event;
use crate::session::Session;
use crate::sys::tty::Winsize;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::AsFd as _;

use std::time::{Duration, Instant};

/// How long the output of a command that was stopped waits for a terminal that takes nothing (Ctrl-S) before the stop is told
/// all the same.
const SETTLE: Duration = Duration::from_millis(500);

/// What the loop watches.
pub(super) struct Watch {
    pub(super) spawned: Spawned,
    pub(super) relay: Option<Relay>,
    pub(super) pipes: Vec<RelayPipe>,
    pub(super) state: Option<StateSync>,
    /// When the wall-clock limit ends the session.
    deadline: Option<Instant>,
    /// How long a forwarded SIGTERM or SIGHUP has to work.
    grace: Duration,
    /// Until when the command has to obey which signal.
    obey_until: Option<(Instant, i32)>,
    /// The command was stopped by this signal, and the client is told when its output has arrived, or at that time.
    stopped: Option<(i32, Instant)>,
    /// Why agentbox killed the box.
    trigger: Option<Trigger>,
    /// The client is there.
    client: bool,
    /// Signals to the supervisor itself.
    signals: Option<SignalFd>,
}

impl Watch {
    pub(super) fn new(
        plan: &Plan,
        spawned: Spawned,
        relay: Option<Relay>,
        pipes: Vec<RelayPipe>,
        state: Option<StateSync>,
        begun: Instant,
    ) -> Watch {
        let seconds = |s: f64| Duration::try_from_secs_f64(s).ok();
        let deadline = plan
            .limits
            .get(LimitName::Time)
            .and_then(|limit| seconds(limit.value))
            .and_then(|time| begun.checked_add(time));
        // All signals are blocked in the supervisor. SIGTERM and SIGHUP sent to it mean what they mean to the client.
        let mut set = SigSet::empty();
        set.add(nix::sys::signal::SIGTERM);
        set.add(nix::sys::signal::SIGHUP);
        set.add(nix::sys::signal::SIGINT);
        let signals =
            SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).ok();
        let grace = seconds(plan.limits.stop_grace).unwrap_or(Duration::from_secs(3));
        Watch {
            spawned,
            relay,
            pipes,
            state,
            deadline,
            grace,
            obey_until: None,
            stopped: None,
            trigger: None,
            client: true,
            signals,
        }
    }

    /// Until the command has ended, by itself or because it was killed.
    pub(super) fn run(&mut self, voice: &mut Voice, session: &mut Session) -> Seen {
        loop {
            let ready = match self.wait(voice) {
                Ok(ready) => ready,
                Err(errno) => {
                    // A supervisor that cannot see what happens does not let it happen.
                    self.stop(Trigger::Lost {
                        what: format!("the supervisor's poll: {errno}"),
                    });
                    return self.seen(None);
                }
            };
            if ready.init
                && let Some(seen) = self.hear_init(voice, session)
            {
                return seen;
            }
            // Without a last word: init itself was killed.
            if ready.gone {
                return self
                    .hear_init(voice, session)
                    .unwrap_or_else(|| self.seen(None));
            }
            if ready.client {
                self.hear_client(voice, session);
            }
            if ready.signal {
                while let Some(Ok(Some(info))) = self.signals.as_ref().map(SignalFd::read_signal) {
                    self.signal(
                        i32::try_from(info.ssi_signo).unwrap_or(libc::SIGTERM),
                        SignalTo::Command,
                    );
                }
            }
            if let Some((relay, ready)) = self.relay.as_mut().zip(ready.relay) {
                relay.on_ready(ready);
            }
            for (pipe, ready) in self.pipes.iter_mut().zip(ready.pipes) {
                pipe.on_ready(ready);
            }
            self.tell_stop(voice);
            if let Some(state) = &mut self.state {
                for event in state.on_ready() {
                    voice.note(session, &event);
                    if let Event::StateKept { file, why } = &event {
                        voice.say(&format!("{file} was not written back: {why}"));
                    }
                }
            }
            self.timers();
        }
    }

    fn timers(&mut self) {
        let now = Instant::now();
        if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.stop(Trigger::TimeLimit);
        }
        if let Some((_, signal)) = self.obey_until.take_if(|(at, _)| *at <= now) {
            self.stop(Trigger::Signal {
                signal: u8::try_from(signal).unwrap_or(15),
            });
        }
    }

    /// Every reason to end the box comes here.
    fn stop(&mut self, trigger: Trigger) {
        self.trigger.get_or_insert(trigger);
        kill::kill(&self.spawned.pidfd);
    }

    fn seen(&self, said: Option<Seen>) -> Seen {
        let mut seen = said.unwrap_or(Seen {
            how: How::Killed {
                trigger: Trigger::Lost {
                    what: "init of the box".to_owned(),
                },
            },
            cpu_ms: 0,
            max_rss_kib: 0,
        });
        if let Some(trigger) = &self.trigger {
            seen.how = How::Killed {
                trigger: trigger.clone(),
            };
        }
        seen
    }

    fn hear_init(&mut self, voice: &mut Voice, session: &mut Session) -> Option<Seen> {
        loop {
            match self.spawned.channel.try_recv::<FromInit>() {
                Ok(Received::Nothing) => return None,
                Ok(Received::Message(FromInit::Started, _)) => {
                    let init = self.spawned.init.as_raw();
                    voice.note(session, &Event::Started { init });
                }
                Ok(Received::Message(FromInit::Stopped { signal }, _)) => {
                    voice.note(session, &Event::Stopped { signal });
                    self.stopped = Some((signal, Instant::now() + SETTLE));
                    self.tell_stop(voice);
                }
                Ok(Received::Message(message, _)) => {
                    if let Some(seen) = Seen::of(message) {
                        return Some(self.seen(Some(seen)));
                    }
                }
                Ok(Received::End) | Err(_) => {
                    kill::kill(&self.spawned.pidfd);
                    return Some(self.seen(None));
                }
            }
        }
    }

    /// Tells the client that the command was stopped, as soon as what the command wrote before is on its way: a client that
    /// stops first would show the shell's prompt on the command's screen.
    fn tell_stop(&mut self, voice: &Voice) {
        let Some((signal, until)) = self.stopped else {
            return;
        };
        let settled = self.relay.as_mut().is_none_or(Relay::settle);
        if settled || until <= Instant::now() {
            self.stopped = None;
            voice.tell(&ToClient::Stopped { signal });
        }
    }

    fn hear_client(&mut self, voice: &mut Voice, session: &mut Session) {
        loop {
            match voice.client.try_recv::<FromClient>() {
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
                    self.signal(signal, to)
                }
                Ok(Received::Message(FromClient::Continued, _)) => {
                    // Not told yet, and over.
                    self.stopped = None;
                    voice.note(session, &Event::Continued);
                    let _ = self.spawned.channel.try_send(&ToInit::Continue, &[]);
                }
                // The terminal is gone without a word: as if it had been closed.
                Ok(Received::End) | Err(_) => {
                    self.client = false;
                    self.signal(libc::SIGHUP, SignalTo::Command);
                    return;
                }
            }
        }
    }

    /// Forwards a signal. SIGTERM and SIGHUP have to work within the grace; the second one kills at once.
    fn signal(&mut self, signal: i32, to: SignalTo) {
        if matches!(signal, libc::SIGTERM | libc::SIGHUP) {
            if self.obey_until.is_some() {
                self.stop(Trigger::Signal {
                    signal: u8::try_from(signal).unwrap_or(15),
                });
                return;
            }
            self.obey_until = Some((Instant::now() + self.grace, signal));
        }
        let _ = self
            .spawned
            .channel
            .try_send(&ToInit::Signal { signal, to }, &[]);
    }

    fn next_timer(&self) -> PollTimeout {
        let state = self
            .state
            .as_ref()
            .and_then(StateSync::timeout)
            .and_then(|left| Instant::now().checked_add(left));
        let obey = self.obey_until.map(|(at, _)| at);
        let stopped = self.stopped.map(|(_, until)| until);
        let at = [self.deadline, obey, stopped, state]
            .into_iter()
            .flatten()
            .min();
        let Some(at) = at else {
            return PollTimeout::NONE;
        };
        // Rounded up: a timer that fires a millisecond early would make the loop spin through it.
        let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    }

    /// Sleeps until something happens. What was found is copied out, since the set borrows what it watches.
    fn wait(&self, voice: &Voice) -> Result<Woken, Errno> {
        let mut set = vec![
            PollFd::new(self.spawned.channel.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.spawned.pidfd.as_fd(), PollFlags::POLLIN),
        ];
        let client = self.client.then(|| voice.client.as_fd());
        let signals = self.signals.as_ref().map(|s| s.as_fd());
        let state = self.state.as_ref().and_then(StateSync::watch);
        let job = self.state.as_ref().and_then(StateSync::job);
        let mut index = [None; 4];
        for (fd, index) in [client, signals, state, job].into_iter().zip(&mut index) {
            if let Some(fd) = fd {
                *index = Some(set.len());
                set.push(PollFd::new(fd, PollFlags::POLLIN));
            }
        }
        let relay = self.relay.as_ref().map(|relay| relay.pollfds(&mut set));
        let pipes: Vec<_> = self
            .pipes
            .iter()
            .map(|pipe| pipe.pollfds(&mut set))
            .collect();
        match poll(&mut set, self.next_timer()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let ready = |index: Option<usize>| {
            index
                .and_then(|i| set.get(i))
                .and_then(PollFd::any)
                .unwrap_or(false)
        };
        let [client, signal, _, _] = index.map(ready);
        Ok(Woken {
            init: ready(Some(0)),
            gone: ready(Some(1)),
            client,
            signal,
            relay: relay.map(|slots| slots.ready(&set)),
            pipes: pipes.into_iter().map(|slots| slots.ready(&set)).collect(),
        })
    }
}

/// What poll(2) found.
struct Woken {
    init: bool,
    gone: bool,
    client: bool,
    signal: bool,
    relay: Option<relay::Ready>,
    pipes: Vec<relay::Ready>,
}
