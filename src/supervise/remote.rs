//! Remote switches as a part of the supervisor's loop: one watch process for each, and the policy for when it falls silent.
//!
//! Life is what this process has seen of it: the grace counts from the last answer that arrived here, so a back end that is
//! cut off, a watch that hangs and one that was killed are the same. Time is the monotonic clock's: who turns the clock of
//! the host changes nothing.

#![forbid(unsafe_code)]

use super::holds::Holder;
use super::part::{Part, PollSet, Ready};
use super::remote_words::{Said, line, refusal, stopped, unreachable};
use super::running::{Pulse, Running};
use super::switch;
use crate::launch::channel::{Received, Sent};
use crate::outcome::Trigger;
use crate::plan::remote::{OnUnreachable, Remote};
use crate::record::Event;
use crate::sys::process;
use crate::watch::message::{By, FromWatch, Notice, Order, ToWatch, now};
use crate::watch::way::Way;
use crate::watch::{self, Process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How often a watch may end within [`SOON`] before the next one is started only after a [`PAUSE`].
const MANY: usize = 5;
const SOON: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(10);

/// And otherwise.
const AGAIN: Duration = Duration::from_millis(200);

/// How much later than it may be an answer is before it is missed: processes are started, machines are busy.
const SLACK: Duration = Duration::from_secs(1);

/// All of them.
#[derive(Default)]
pub(crate) struct Remotes {
    list: Vec<One>,
}

/// A switch and its watch.
struct One {
    remote: Remote,
    way: Way,
    process: Option<Process>,
    /// When watches ended.
    ended: VecDeque<Instant>,
    again: Option<Instant>,
    begun: Instant,
    /// The last proof of life.
    life: Option<Instant>,
    by: By,
    /// It gives none.
    lost: Option<Lost>,
    /// It answers again: how long it did not, and how often it was asked meanwhile.
    back: Option<(Duration, u64)>,
    /// It is on.
    stop: Option<Notice>,
}

struct Lost {
    why: String,
    failures: u64,
    /// It was said and recorded.
    told: bool,
    /// The grace is over, and what has to be done was done.
    acted: bool,
}

impl Remotes {
    /// Starts a watch for each. One that cannot be started counts as unreachable.
    pub(crate) fn start(remotes: &[Remote], way: &Way) -> Remotes {
        let one = |remote: &Remote| {
            let mut one = One {
                remote: remote.clone(),
                way: way.clone(),
                process: None,
                ended: VecDeque::new(),
                again: None,
                begun: Instant::now(),
                life: None,
                by: By::Asking,
                lost: None,
                back: None,
                stop: None,
            };
            one.restart();
            one
        };
        Remotes {
            list: remotes.iter().map(one).collect(),
        }
    }

    /// Waits until each has answered, or not answered, once: what to record, and what to say.
    ///
    /// # Errors
    /// Why there is no start: one is on, or unreachable and that is not allowed.
    pub(crate) fn first_answers(&mut self) -> Result<Vec<(Event, String)>, String> {
        let longest = self.list.iter().map(One::timeout).max().unwrap_or_default();
        let until = Instant::now() + longest + SLACK;
        loop {
            for one in &mut self.list {
                one.hear();
                if let Some(notice) = &one.stop {
                    let trigger = stopped(&one.remote, notice);
                    return Err(format!("not started: {}", switch::sentence(&trigger)));
                }
            }
            let open = |one: &&One| one.life.is_none() && one.lost.is_none();
            let left = until.saturating_duration_since(Instant::now());
            let waits: Vec<&One> = self.list.iter().filter(open).collect();
            if waits.is_empty() || left.is_zero() {
                break;
            }
            let mut set: Vec<PollFd<'_>> = waits
                .iter()
                .filter_map(|one| one.process.as_ref())
                .map(|process| PollFd::new(process.channel.as_fd(), PollFlags::POLLIN))
                .collect();
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
            let _ = poll(&mut set, timeout.unwrap_or(PollTimeout::MAX));
        }
        let mut out = Vec::new();
        for one in &mut self.list {
            if one.life.is_none() && one.lost.is_none() {
                one.fails("no answer".to_owned());
            }
            if let Some(lost) = &mut one.lost {
                // It is in the banner.
                lost.told = true;
            }
            let why = one.lost.as_ref().map(|lost| lost.why.clone());
            if let Some(why) = &why
                && one.remote.switch.on_unreachable != OnUnreachable::Continue
            {
                return Err(refusal(&one.remote, why));
            }
            let said = match &why {
                Some(why) => Said::Unreachable(why),
                None => Said::Clear(one.by),
            };
            out.push((
                Event::SwitchAsked {
                    name: one.remote.switch.name.clone(),
                    target: one.remote.switch.target.to_string(),
                    unreachable: why.clone(),
                },
                line(&one.remote, said),
            ));
        }
        Ok(out)
    }

    /// What happened to each, and what is due.
    fn act(&mut self, running: &mut Running) {
        let now = Instant::now();
        for number in 0..self.list.len() {
            let Some(one) = self.list.get_mut(number) else {
                continue;
            };
            if let Some(notice) = one.stop.take() {
                running.stop(stopped(&one.remote, &notice));
                continue;
            }
            if one.lost.is_none() && one.late() <= now {
                one.fails("it does not answer".to_owned());
            }
            one.tell(running);
            let over = one.base() + one.grace() <= now;
            let policy = one.remote.switch.on_unreachable;
            if let Some(lost) = one.lost.as_mut().filter(|lost| over && !lost.acted) {
                lost.acted = true;
                let why = lost.why.clone();
                running.note(&Event::SwitchGraceOver {
                    name: one.remote.switch.name.clone(),
                    policy: policy.name().to_owned(),
                });
                match policy {
                    OnUnreachable::Continue => {}
                    OnUnreachable::Stop => running.stop(unreachable(&one.remote, &why)),
                    OnUnreachable::Pause => {
                        let unreachable = unreachable(&one.remote, &why);
                        Remotes::pause(running, unreachable);
                    }
                }
            }
        }
        self.resume(running);
        running.pulses = self.list.iter().map(One::pulse).collect();
    }

    /// Everything stands still. What cannot be stopped so is killed: it was asked that it does not go on.
    fn pause(running: &mut Running, why: Trigger) {
        if running.is_held(Holder::Switch) {
            return;
        }
        match running.pause(Holder::Switch) {
            Ok(()) => running.say(&format!("paused: {}", switch::sentence(&why))),
            Err(_) => running.stop(why),
        }
    }

    fn resume(&self, running: &mut Running) {
        let holds = |one: &One| {
            let pauses = one.remote.switch.on_unreachable == OnUnreachable::Pause;
            pauses && one.lost.as_ref().is_some_and(|lost| lost.acted)
        };
        if running.is_held(Holder::Switch) && !self.list.iter().any(holds) {
            running.resume(Holder::Switch);
        }
    }
}

impl One {
    fn timeout(&self) -> Duration {
        seconds(self.remote.switch.timeout)
    }

    fn grace(&self) -> Duration {
        seconds(self.remote.switch.grace)
    }

    fn base(&self) -> Instant {
        self.life.unwrap_or(self.begun)
    }

    /// When an answer is missed.
    fn late(&self) -> Instant {
        let switch = &self.remote.switch;
        let most = seconds(switch.interval) + seconds(switch.jitter) + self.timeout() + SLACK;
        self.base() + most.min(self.grace())
    }

    /// Reads what its watch says.
    fn hear(&mut self) {
        while let Some(process) = &self.process {
            match process.channel.try_recv::<FromWatch>() {
                Ok(Received::Message(FromWatch::Clear { by, at }, _)) => {
                    self.by = by;
                    self.lives(at);
                }
                Ok(Received::Message(FromWatch::Stop(notice), _)) => {
                    self.lives(now());
                    self.stop = Some(notice);
                }
                Ok(Received::Message(FromWatch::Unreachable { why }, _)) => {
                    self.fails(why.to_string());
                }
                Ok(Received::Nothing) => return,
                Ok(Received::End) => return self.gone(),
                // Not what a watch says: it is not one any more.
                Ok(Received::Message(FromWatch::Published | FromWatch::Unpublished { .. }, _))
                | Err(_) => {
                    let _ =
                        process::signal_child(process.pid, process.pidfd.as_fd(), libc::SIGKILL);
                    return self.gone();
                }
            }
        }
    }

    /// It gave a proof of life, at that time of [`now`].
    fn lives(&mut self, at: u64) {
        if let Some(lost) = self.lost.take() {
            self.back = lost.told.then(|| (self.base().elapsed(), lost.failures));
        }
        let age = Duration::from_millis(now().saturating_sub(at));
        self.life = Instant::now().checked_sub(age);
    }

    fn fails(&mut self, why: String) {
        let lost = self.lost.get_or_insert_with(|| Lost {
            why: String::new(),
            failures: 0,
            told: false,
            acted: false,
        });
        lost.failures += 1;
        lost.why = why;
    }

    /// Its watch has ended, or ends.
    fn gone(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        let _ = process::signal_child(process.pid, process.pidfd.as_fd(), libc::SIGKILL);
        let _ = process::reap_killed(process.pid);
        // What it said last is why, if it said something.
        if self.lost.is_none() {
            self.fails("its watch has ended".to_owned());
        }
        let now = Instant::now();
        self.ended.push_back(now);
        self.ended.retain(|at| now.duration_since(*at) < SOON);
        let pause = if self.ended.len() >= MANY {
            PAUSE
        } else {
            AGAIN
        };
        self.again = Some(now + pause);
    }

    fn restart(&mut self) {
        self.again = None;
        let begun = watch::start().and_then(|process| {
            let begin = ToWatch::Begin(Box::new(Order {
                switch: self.remote.switch.clone(),
                way: self.way.clone(),
            }));
            match process.channel.try_send(&begin, &[]) {
                Ok(Sent::Yes) => Ok(process),
                Ok(Sent::Full) => Err("the watch does not read".to_owned()),
                Err(e) => Err(e.to_string()),
            }
        });
        match begun {
            Ok(process) => self.process = Some(process),
            Err(why) => {
                self.fails(why);
                self.again = Some(Instant::now() + PAUSE);
            }
        }
    }

    /// Says once that it is silent, and once that it is back.
    fn tell(&mut self, running: &mut Running) {
        let name = self.remote.switch.name.clone();
        if let Some((silent, failures)) = self.back.take() {
            running.say(&line(&self.remote, Said::Back(silent)));
            running.note(&Event::SwitchReachable {
                name: name.clone(),
                seconds: silent.as_secs(),
                failures,
            });
        }
        let Some(lost) = self.lost.as_mut().filter(|lost| !lost.told) else {
            return;
        };
        lost.told = true;
        let why = lost.why.clone();
        running.say(&line(&self.remote, Said::Unreachable(&why)));
        running.note(&Event::SwitchUnreachable { name, why });
    }

    fn pulse(&self) -> Pulse {
        Pulse {
            name: self.remote.switch.name.clone(),
            target: self.remote.switch.target.to_string(),
            life: self.life,
            unreachable: self.lost.as_ref().map(|lost| lost.why.clone()),
            push: self.by == By::Push,
        }
    }

    /// When something is due although nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let grace = match &self.lost {
            None => Some(self.late()),
            Some(lost) if !lost.acted => Some(self.base() + self.grace()),
            Some(_) => None,
        };
        [grace, self.again].into_iter().flatten().min()
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::from_secs(60))
}

impl Part for Remotes {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        for (key, one) in self.list.iter().enumerate() {
            if let Some(process) = &one.process {
                set.add(key, process.channel.as_fd(), PollFlags::POLLIN);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.list.iter().filter_map(One::deadline).min()
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        let now = Instant::now();
        for (key, one) in self.list.iter_mut().enumerate() {
            if ready.readable(key) {
                one.hear();
            }
            if one.again.is_some_and(|at| at <= now) {
                one.restart();
            }
        }
        self.act(running);
    }

    fn finish(&mut self, _: &mut Running) {
        for one in &mut self.list {
            if let Some(process) = one.process.take() {
                let _ = process::signal_child(process.pid, process.pidfd.as_fd(), libc::SIGKILL);
                let _ = process::reap_killed(process.pid);
            }
        }
    }
}
