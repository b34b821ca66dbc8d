//! [`Running`]: the box while it runs, as the parts of the loop act on it: say, record, forward, stop.

#![forbid(unsafe_code)]

pub(super) mod laggards;

use super::control::{Asked, message::State};
use super::holds::{Holder, Holds};
use super::part::{CLIENT, GONE, INIT, PollSet, STATUS};
use super::voice::Voice;
use super::{Seen, kill};
use crate::enforce::cgroup::BoxCgroup;
use crate::launch::Spawned;
use crate::launch::channel::{Received, Sent};
use crate::launch::message::{FromInit, SignalTo, ToClient, ToInit, Told};
use crate::outcome::{How, Trigger};
use crate::plan::{LimitName, Plan};
use crate::record::Event;
use crate::session::Session;
use laggards::Laggards;
use nix::poll::PollFlags;
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long the output of a command that was stopped waits for a terminal that takes nothing (Ctrl-S) before the stop is told
/// all the same.
const SETTLE: Duration = Duration::from_millis(500);

/// Signals this close together are one wish: timeout(1) sends its SIGTERM to the command and once more to the group, and a
/// closed terminal's SIGHUP comes from the kernel and from the shell.
const TOGETHER: Duration = Duration::from_millis(50);

/// How long output of a box that was killed waits for a reader that does not read, before the rest of it is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The least of that: a reader that lives has read by then.
const MOMENT: Duration = Duration::from_millis(250);

/// The box while it runs.
pub(crate) struct Running {
    pub(super) spawned: Spawned,
    pub(super) voice: Voice,
    pub(super) session: Session,
    /// When the wall-clock limit ends the session.
    time_limit: Option<Instant>,
    /// How long a forwarded SIGTERM or SIGHUP has to work.
    grace: Duration,
    /// Until when the command has to obey which signal.
    obey_until: Option<(Instant, i32)>,
    /// When that was said.
    obey_since: Option<Instant>,
    /// The command was stopped by this signal, and the client is told when its output has arrived, or at that time.
    stopped: Option<(i32, Instant)>,
    /// Who of a box that was killed is still there.
    laggards: Laggards,
    /// Why agentbox killed the box.
    trigger: Option<Trigger>,
    /// The command was executed.
    started: bool,
    /// The command is stopped on its terminal.
    command: CommandState,
    pause: Pause,
    /// Who wants it so.
    holds: Holds,
    /// It was continued on its terminal while everything stood still.
    owes_continue: bool,
    /// The command waits for the keyboard, which the client is taking.
    owes_keyboard: bool,
    /// The cgroup of the box, where it has one.
    pub(super) group: Option<BoxCgroup>,
    /// What the control socket was asked and other parts have to answer: each takes what it knows.
    pub(crate) asked: Vec<Asked>,
    /// What init said of commands that joined.
    pub(super) joins: Vec<(JoinEvent, Vec<OwnedFd>)>,
    /// Does the box still have its terminal?
    pub(super) line: Line,
    /// Sockets of the box's network that init made, or the errno, in the order in which they were asked for.
    pub(super) sockets: VecDeque<Result<OwnedFd, i32>>,
    /// The remote switches, as they are known to be.
    pub(super) pulses: Vec<Pulse>,
    /// How many look at the terminal.
    pub(super) viewers: usize,
    /// Until when what the dead box has written waits for readers that do not read, once the first of them is waited for.
    last_words: Option<Instant>,
    /// The working copy is on a file system that may stop to answer.
    pub(super) far: bool,
    /// It does not answer, and nothing is to be done there.
    pub(super) silent: bool,
    /// What the session ends with, when it is over: for who looks at it.
    pub(super) exit_status: u8,
}

/// What the command does, as far as its terminal is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommandState {
    Runs,
    Stopped,
}

/// Is everything in the box still?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// It moves.
    No,
    /// It was told to stop: by init, or by the cgroup, which is looked at again at that time.
    Stopping(Option<Instant>),
    /// It stands still.
    Still,
}

/// The box's terminal, for who is in the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// It stands, or there is none.
    Up,
    /// The window was closed, and the command knows.
    Down,
}

/// What happened to a command that joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JoinEvent {
    /// It runs.
    Started(u32),
    /// It ended, and who asked for it was told so or not.
    Ended(u32, How, Told),
}

/// What is lost when init ends without a word.
pub(super) const LOST_INIT: &str = "init of the box";

/// A remote switch, for who asks.
#[derive(Debug, Clone)]
pub(super) struct Pulse {
    pub(super) name: String,
    pub(super) target: String,
    /// Its last proof of life.
    pub(super) life: Option<Instant>,
    /// Why it gives none, if so.
    pub(super) unreachable: Option<String>,
    /// Whether it says by itself what changes.
    pub(super) push: bool,
}

/// How often a cgroup that freezes is looked at.
const LOOK: Duration = Duration::from_millis(2);

impl Running {
    pub(super) fn new(
        plan: &Plan,
        spawned: Spawned,
        voice: Voice,
        session: Session,
        group: Option<BoxCgroup>,
        begun: Instant,
    ) -> Running {
        let seconds = |s: f64| Duration::try_from_secs_f64(s).ok();
        let time = plan.limits.get(LimitName::Time);
        Running {
            spawned,
            voice,
            session,
            time_limit: time
                .and_then(|limit| seconds(limit.value))
                .and_then(|time| begun.checked_add(time)),
            grace: seconds(plan.limits.stop_grace).unwrap_or(Duration::from_secs(3)),
            obey_until: None,
            obey_since: None,
            stopped: None,
            laggards: Laggards::default(),
            trigger: None,
            started: false,
            command: CommandState::Runs,
            pause: Pause::No,
            holds: Holds::default(),
            owes_continue: false,
            owes_keyboard: false,
            group,
            asked: Vec::new(),
            joins: Vec::new(),
            line: Line::Up,
            sockets: VecDeque::new(),
            pulses: Vec::new(),
            viewers: 0,
            last_words: None,
            far: false,
            silent: false,
            exit_status: crate::exit::REFUSED,
        }
    }

    /// What the session does.
    pub(super) fn state(&self) -> State {
        if self.trigger.is_some() {
            State::Ending
        } else if self.pause != Pause::No {
            State::Paused
        } else if self.command == CommandState::Stopped {
            State::Stopped
        } else {
            State::Running
        }
    }

    /// Stops everything in the box where it is: by its cgroup, else by init. Not at once: see [`Running::is_still`]. It stands
    /// until each [`Holder`] has let go.
    ///
    /// # Errors
    /// Init does not read.
    pub(crate) fn pause(&mut self, holder: Holder) -> Result<(), String> {
        if self.pause != Pause::No {
            self.holds.add(holder);
            return Ok(());
        }
        let frozen = self
            .group
            .as_ref()
            .is_some_and(|group| group.freeze().is_ok());
        if frozen {
            self.pause = Pause::Stopping(Some(Instant::now()));
        } else if self.tell_init(&ToInit::Pause, &[]) == Sent::Yes {
            self.pause = Pause::Stopping(None);
        } else {
            return Err("init of the box does not answer".to_owned());
        }
        self.holds.add(holder);
        self.note(&Event::Paused);
        Ok(())
    }

    /// Lets everything go on that [`Running::pause`] stopped, if nobody else holds it.
    pub(crate) fn resume(&mut self, holder: Holder) {
        if !self.holds.remove(holder) {
            return;
        }
        self.pause = Pause::No;
        let thawed = self
            .group
            .as_ref()
            .is_some_and(|group| group.thaw().is_ok());
        if !thawed {
            let _ = self.tell_init(&ToInit::Resume, &[]);
        }
        self.note(&Event::Resumed);
        if std::mem::take(&mut self.owes_continue) {
            let _ = self.tell_init(&ToInit::Continue, &[]);
        }
    }

    /// Does that one hold it?
    pub(crate) fn is_held(&self, holder: Holder) -> bool {
        self.holds.has(holder)
    }

    /// How long the next output of a box that was killed may wait for a reader that does not read: one patience for all of them,
    /// and a moment for who reads while another does not.
    pub(super) fn patience(&mut self) -> Duration {
        let now = Instant::now();
        let until = *self.last_words.get_or_insert(now + PATIENCE);
        until.saturating_duration_since(now).max(MOMENT)
    }

    /// The command was executed.
    pub(super) fn has_started(&self) -> bool {
        self.started
    }

    /// Paused, and nothing moves any more.
    pub(crate) fn is_still(&self) -> bool {
        self.pause == Pause::Still
    }

    /// A line on the caller's stderr.
    pub(crate) fn say(&self, line: &str) {
        self.voice.say(line);
    }

    /// A line behind all that the box has put on the terminal.
    pub(super) fn say_last(&self, line: &str) {
        self.voice.last(line);
    }

    /// Writes an event to the record and to `--status-fd`. A record that cannot be written any more is the end: an agent that
    /// fills the disk would else go on unseen.
    pub(crate) fn note(&mut self, event: &Event) {
        self.voice.note(&mut self.session, event);
        self.stop_unrecorded();
    }

    /// The session is longer than a moment: room for its record is kept in reserve.
    pub(super) fn keep_in_reserve(&mut self) {
        self.session.keep_in_reserve();
        self.stop_unrecorded();
    }

    fn stop_unrecorded(&mut self) {
        if let Some(why) = self.session.failing() {
            let what = lost_record(why);
            self.stop(Trigger::Lost { what });
        }
    }

    /// Every reason to end the box comes here. The first one is the one that is told.
    pub(crate) fn stop(&mut self, trigger: Trigger) {
        self.trigger.get_or_insert(trigger);
        kill::kill(&self.spawned, self.group.as_ref());
        self.laggards.expect();
    }

    /// Its number in the pid namespace of agentbox.
    pub(super) fn init(&self) -> Pid {
        self.spawned.init
    }

    /// Sends a message to init, which never waits for long; [`Sent::Full`] when it does not read.
    pub(crate) fn tell_init(&mut self, message: &ToInit, fds: &[BorrowedFd<'_>]) -> Sent {
        match self.spawned.channel.try_send(message, fds) {
            Ok(sent) => sent,
            // That init is gone is learnt by its pidfd.
            Err(_) => Sent::Full,
        }
    }

    /// Forwards a signal. SIGTERM and SIGHUP have to work within the grace; the second one kills at once, unless it comes
    /// together with the first.
    pub(crate) fn signal(&mut self, signal: i32, to: SignalTo) {
        if matches!(signal, libc::SIGTERM | libc::SIGHUP) {
            let now = Instant::now();
            match (self.obey_until, self.obey_since) {
                (Some((_, first)), Some(since)) if now < since + TOGETHER => {
                    if signal == first {
                        return;
                    }
                }
                (Some(_), _) => {
                    self.stop(disobeyed(signal));
                    return;
                }
                (None, _) => {
                    self.obey_since = Some(now);
                    self.obey_until = Some((now + self.grace, signal));
                }
            }
        }
        let _ = self.tell_init(&ToInit::Signal { signal, to }, &[]);
    }

    /// The signal that stopped the command, if the client has not been told. `settled` says that what the command wrote before
    /// is on its way: a client that stops first would show the shell's prompt on the command's screen.
    pub(super) fn take_stop(&mut self, settled: impl FnOnce() -> bool) -> Option<i32> {
        let (signal, until) = self.stopped?;
        if !settled() && until > Instant::now() {
            return None;
        }
        self.stopped = None;
        Some(signal)
    }

    /// The client runs again after a stop; so does the command.
    pub(super) fn continued(&mut self) {
        // Not told yet, and over.
        self.stopped = None;
        self.command = CommandState::Runs;
        self.note(&Event::Continued);
        self.let_go_on();
    }

    /// The keyboard is the command's, if it waits for it.
    pub(super) fn give_keyboard(&mut self) {
        if std::mem::take(&mut self.owes_keyboard) {
            let _ = self.tell_init(&ToInit::Keyboard, &[]);
            self.let_go_on();
        }
    }

    /// The client that started the session is gone, and the keyboard that it was to take with it.
    pub(super) fn client_left(&mut self) {
        self.voice.client = None;
        self.give_keyboard();
    }

    fn let_go_on(&mut self) {
        // Of a paused box nothing moves: it is told when that is over.
        if self.pause == Pause::No {
            let _ = self.tell_init(&ToInit::Continue, &[]);
        } else {
            self.owes_continue = true;
        }
    }

    pub(super) fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        set.add(INIT, self.spawned.channel.as_fd(), PollFlags::POLLIN);
        set.add(GONE, self.spawned.pidfd.as_fd(), PollFlags::POLLIN);
        // Only to wake: `clients` reads it.
        if let Some(client) = &self.voice.client {
            set.add(CLIENT, client.as_fd(), PollFlags::POLLIN);
        }
        if let Some(status) = self.voice.status_wish() {
            set.add(STATUS, status, PollFlags::POLLOUT);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let obey = self.obey_until.map(|(at, _)| at);
        let stopped = self.stopped.map(|(_, until)| until);
        let still = match self.pause {
            Pause::Stopping(look) => look,
            Pause::No | Pause::Still => None,
        };
        let laggards = self.laggards.deadline();
        [self.time_limit, obey, stopped, still, laggards]
            .into_iter()
            .flatten()
            .min()
    }

    /// What is due.
    pub(super) fn timers(&mut self) {
        let now = Instant::now();
        if let Pause::Stopping(Some(at)) = self.pause
            && at <= now
        {
            let frozen = self.group.as_ref().is_none_or(BoxCgroup::is_frozen);
            self.pause = if frozen {
                Pause::Still
            } else {
                Pause::Stopping(Some(now + LOOK))
            };
        }
        if self.time_limit.take_if(|at| *at <= now).is_some() {
            self.stop(Trigger::TimeLimit);
        }
        if let Some((_, signal)) = self.obey_until.take_if(|(at, _)| *at <= now) {
            self.stop(disobeyed(signal));
        }
        self.laggards.look(&self.spawned);
    }

    /// Reads what init says; its last word ends the loop.
    pub(super) fn hear_init(&mut self) -> Option<Seen> {
        loop {
            match self.spawned.channel.try_recv::<FromInit>() {
                Ok(Received::Nothing) => return None,
                Ok(Received::Message(FromInit::Started, _)) => {
                    let init = self.spawned.init.as_raw();
                    self.started = true;
                    self.note(&Event::Started { init });
                }
                Ok(Received::Message(FromInit::Stopped { signal }, _)) => {
                    self.note(&Event::Stopped { signal });
                    self.command = CommandState::Stopped;
                    self.stopped = Some((signal, Instant::now() + SETTLE));
                }
                Ok(Received::Message(FromInit::Keyboard, _)) => {
                    self.owes_keyboard = true;
                    if self.voice.try_tell(&ToClient::Keyboard) == Sent::Full {
                        self.give_keyboard();
                    }
                }
                Ok(Received::Message(FromInit::Still, _)) => {
                    if self.pause == Pause::Stopping(None) {
                        self.pause = Pause::Still;
                    }
                }
                Ok(Received::Message(FromInit::HungUp, _)) => self.line = Line::Down,
                Ok(Received::Message(FromInit::Restless, _)) => {
                    let what = "the pause: a process of the box went on each time it was stopped";
                    self.stop(Trigger::Lost { what: what.into() });
                }
                Ok(Received::Message(FromInit::Socket { errno }, fds)) => {
                    let socket = fds.into_iter().next();
                    self.sockets.push_back(socket.ok_or(errno));
                }
                Ok(Received::Message(FromInit::Joined { id }, fds)) => {
                    self.joins.push((JoinEvent::Started(id), fds));
                }
                Ok(Received::Message(FromInit::JoinEnded { id, how, told }, fds)) => {
                    self.joins.push((JoinEvent::Ended(id, how, told), fds));
                }
                Ok(Received::Message(message, _)) => {
                    if let Some(seen) = Seen::of(message) {
                        return Some(self.seen(Some(seen)));
                    }
                }
                Ok(Received::End) | Err(_) => {
                    kill::kill(&self.spawned, self.group.as_ref());
                    return Some(self.seen(None));
                }
            }
        }
    }

    /// How it ended: why agentbox killed it, else what init said.
    pub(super) fn seen(&self, said: Option<Seen>) -> Seen {
        let mut seen = said.unwrap_or(Seen {
            how: How::Killed {
                trigger: Trigger::Lost {
                    what: LOST_INIT.to_owned(),
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
}

/// For people: what became of the record.
pub(super) fn lost_record(why: &str) -> String {
    format!("the session's record ({why})")
}

fn disobeyed(signal: i32) -> Trigger {
    Trigger::Signal {
        signal: u8::try_from(signal).unwrap_or(15),
    }
}
