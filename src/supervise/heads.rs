//! What is published of this session, as a part of the supervisor's loop: one process for each switch that has `publish`,
//! which is told how the session is whenever that changes.

#![forbid(unsafe_code)]

use super::control::message::State;
use super::part::{Part, PollSet, Ready};
use super::running::Running;
use crate::launch::channel::{Received, Sent};
use crate::plan::Plan;
use crate::plan::remote::{About, RemoteSwitch, SESSION};
use crate::record::{Event, Timestamp};
use crate::session::Session;
use crate::sys::process;
use crate::watch::head::{self, Head};
use crate::watch::message::{FromWatch, Order, ToWatch};
use crate::watch::way::Way;
use crate::watch::{self, Process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// When the next process is started after one that ended.
const PAUSE: Duration = Duration::from_secs(10);

/// How long the end of the session waits for its last word to be written. What takes longer is written all the same.
const LAST: Duration = Duration::from_millis(300);

/// All of them.
pub(super) struct Heads {
    list: Vec<One>,
    way: Way,
    state: Option<head::State>,
}

/// Where something is published.
struct One {
    /// With the session's name in `publish`.
    switch: RemoteSwitch,
    head: Head,
    process: Option<Process>,
    again: Option<Instant>,
    /// How often it was tried in vain since it last was not.
    failures: u64,
}

impl Heads {
    /// Starts a process for each; `None` where nothing is published.
    pub(super) fn start(plan: &Plan, session: &Session, way: Way) -> Option<Heads> {
        let id = session.id().to_string();
        let one = |switch: &RemoteSwitch, about: &About| {
            let publish = switch.publish.as_ref()?.replace(SESSION, &id);
            let started = session.started();
            let workspace = plan.workspace.real.path().file_name();
            Some(One {
                switch: RemoteSwitch {
                    publish: Some(publish),
                    ..switch.clone()
                },
                head: Head {
                    version: head::VERSION,
                    session: id.clone(),
                    user: about.user.clone(),
                    host: about.host.clone(),
                    team: about.team.clone(),
                    workspace: workspace.unwrap_or_default().to_string_lossy().into_owned(),
                    repo: about.repo.clone(),
                    agent: plan.command.profiles.first().cloned(),
                    state: head::State::Running,
                    started,
                    changed: started,
                    written: started,
                    exit_status: None,
                },
                process: None,
                // At the first turn of the loop.
                again: Some(Instant::now()),
                failures: 0,
            })
        };
        let list: Vec<One> = plan
            .remotes
            .iter()
            .filter_map(|remote| one(&remote.switch, remote.about.as_ref()?))
            .collect();
        (!list.is_empty()).then_some(Heads {
            list,
            way,
            state: None,
        })
    }
}

impl One {
    fn begin(&mut self, way: &Way) -> Result<(), String> {
        let process = watch::start()?;
        self.process = Some(process);
        let order = Order {
            switch: self.switch.clone(),
            way: way.clone(),
        };
        self.tell(&ToWatch::Publish(Box::new(order)));
        self.tell(&ToWatch::Head(Box::new(self.head.clone())));
        Ok(())
    }

    /// One that does not read is told again what is then the case when it is started anew.
    fn tell(&mut self, message: &ToWatch) {
        if let Some(process) = &self.process
            && !matches!(process.channel.try_send(message, &[]), Ok(Sent::Yes))
        {
            self.gone();
        }
    }

    fn gone(&mut self) {
        if let Some(process) = self.process.take() {
            let _ = process::signal_child(process.pid, process.pidfd.as_fd(), libc::SIGKILL);
            let _ = process::reap_killed(process.pid);
        }
        self.again = Some(Instant::now() + PAUSE);
    }

    /// Said once, and once more when it works again: the box does not depend on it.
    fn failed(&mut self, why: String, running: &mut Running) {
        self.failures += 1;
        if self.failures == 1 {
            let name = self.switch.name.clone();
            running.say(&format!(
                "remote switch {name}: that this session exists cannot be published: {why}"
            ));
            running.note(&Event::HeadUnpublished { name, why });
        }
    }

    fn hear(&mut self, running: &mut Running) {
        while let Some(process) = &self.process {
            match process.channel.try_recv::<FromWatch>() {
                Ok(Received::Nothing) => return,
                Ok(Received::Message(FromWatch::Published, _)) => {
                    let failures = std::mem::take(&mut self.failures);
                    let name = self.switch.name.clone();
                    running.note(&Event::HeadPublished { name, failures });
                }
                Ok(Received::Message(FromWatch::Unpublished { why }, _)) => {
                    self.failed(why.to_string(), running);
                }
                Ok(Received::End) => {
                    self.gone();
                    self.failed("its process has ended".to_owned(), running);
                }
                Ok(Received::Message(..)) | Err(_) => {
                    self.gone();
                    self.failed("its process says what it cannot know".to_owned(), running);
                }
            }
        }
    }
}

impl Part for Heads {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        for (key, one) in self.list.iter().enumerate() {
            if let Some(process) = &one.process {
                set.add(key, process.channel.as_fd(), PollFlags::POLLIN);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.list.iter().filter_map(|one| one.again).min()
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        let state = match running.state() {
            State::Running => head::State::Running,
            State::Stopped => head::State::Stopped,
            State::Paused => head::State::Paused,
            // Ended is what follows, in a moment.
            State::Ending => return,
        };
        let changed = self.state.replace(state).is_some_and(|last| last != state);
        let now = Instant::now();
        for (key, one) in self.list.iter_mut().enumerate() {
            if ready.readable(key) {
                one.hear(running);
            }
            if changed {
                (one.head.state, one.head.changed) = (state, Timestamp::now());
                one.tell(&ToWatch::Head(Box::new(one.head.clone())));
            }
            if one.again.take_if(|at| *at <= now).is_some()
                && let Err(why) = one.begin(&self.way)
            {
                one.gone();
                one.failed(why, running);
            }
        }
    }

    fn finish(&mut self, running: &mut Running) {
        let until = Instant::now() + LAST;
        for one in &mut self.list {
            one.head.state = head::State::Ended;
            one.head.changed = Timestamp::now();
            one.head.exit_status = Some(running.exit_status);
            match one.process {
                // Shorter than the loop's first turn.
                None if one.failures == 0 => drop(one.begin(&self.way)),
                _ => one.tell(&ToWatch::Head(Box::new(one.head.clone()))),
            }
        }
        for one in self.list.iter().filter(|one| one.failures == 0) {
            if let Some(process) = &one.process {
                let left = until.saturating_duration_since(Instant::now());
                let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                let mut set = [PollFd::new(process.pidfd.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut set, timeout);
            }
        }
    }
}
