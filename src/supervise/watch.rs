//! The poll loop of a running box. Nothing wakes it while nothing happens.

#![forbid(unsafe_code)]

use super::Seen;
use super::control::message::State as Doing;
use super::part::{GONE, INIT, Part, PollSet, Ready, STATUS, wait};
use super::relay::RelayPipe;
use super::running::Running;
use super::state::StateSync;
use crate::launch::message::SignalTo;
use crate::outcome::Trigger;
use crate::record::Event;
use nix::poll::PollFlags;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// Until the command has ended, by itself or because it was killed.
pub(super) fn run(running: &mut Running, parts: &mut [Box<dyn Part>]) -> Seen {
    loop {
        let woken = match wait(running, parts) {
            Ok(woken) => woken,
            Err(errno) => {
                // A supervisor that cannot see what happens does not let it happen.
                running.stop(Trigger::Lost {
                    what: format!("the supervisor's poll: {errno}"),
                });
                return running.seen(None);
            }
        };
        let own = woken.of(0);
        if own.readable(INIT)
            && let Some(seen) = running.hear_init()
        {
            return seen;
        }
        // Without a last word: init itself was killed.
        if own.readable(GONE) {
            let said = running.hear_init();
            return said.unwrap_or_else(|| running.seen(None));
        }
        // Before the parts: what a timer finds (a box that its cgroup has frozen) is what somebody who asked a part waits for,
        // and nothing else may ever wake this loop again.
        running.timers();
        if !own.of(STATUS).is_empty() {
            running.voice.status_goes_on();
        }
        for (number, part) in (1..).zip(parts.iter_mut()) {
            part.on_ready(&woken.of(number), running);
        }
    }
}

/// Signals to the supervisor itself: SIGTERM, SIGHUP and SIGINT sent to it mean what they mean to the client. All signals are
/// blocked in it.
pub(super) struct Signals(SignalFd);

impl Signals {
    pub(super) fn new() -> Option<Signals> {
        let mut set = SigSet::empty();
        set.add(nix::sys::signal::SIGTERM);
        set.add(nix::sys::signal::SIGHUP);
        set.add(nix::sys::signal::SIGINT);
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        SignalFd::with_flags(&set, flags).ok().map(Signals)
    }
}

impl Part for Signals {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        set.add(0, self.0.as_fd(), PollFlags::POLLIN);
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        if !ready.readable(0) {
            return;
        }
        while let Ok(Some(info)) = self.0.read_signal() {
            let signal = i32::try_from(info.ssi_signo).unwrap_or(libc::SIGTERM);
            running.signal(signal, SignalTo::Command);
        }
    }
}

impl Part for RelayPipe {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        for (key, wish) in self.wishes().into_iter().enumerate() {
            if let Some((fd, flags)) = wish {
                set.add(key, fd, flags);
            }
        }
    }

    fn on_ready(&mut self, ready: &Ready<'_>, _: &mut Running) {
        self.moved([ready.of(0), ready.of(1)]);
    }

    fn finish(&mut self, running: &mut Running) {
        // Of a command that ended by itself nothing is lost, however slowly it is read: so long it would have waited itself.
        let patience = match running.state() {
            Doing::Ending => running.patience(),
            _ => Duration::MAX,
        };
        let _ = self.drain(patience);
    }
}

/// State files: written back when they change, and at the end.
pub(super) struct State(pub(super) Option<StateSync>);

impl Part for State {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        let Some(sync) = &self.0 else { return };
        if let Some(fd) = sync.job() {
            set.add(0, fd, PollFlags::POLLIN);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let left = self.0.as_ref().and_then(StateSync::timeout)?;
        Instant::now().checked_add(left)
    }

    fn on_ready(&mut self, _: &Ready<'_>, running: &mut Running) {
        if let Some(sync) = &mut self.0 {
            tell(sync.on_ready(), running);
        }
    }

    fn finish(&mut self, running: &mut Running) {
        if let Some(sync) = self.0.take() {
            tell(sync.finish(), running);
        }
    }
}

fn tell(events: Vec<Event>, running: &mut Running) {
    for event in events {
        running.note(&event);
        if let Event::StateKept { file, why } = &event {
            running.say(&format!("{file} was not written back: {why}"));
        }
    }
}
