//! Who looks at the session: the client that started it, and those that attached.

#![forbid(unsafe_code)]

use super::Attendance;
use super::control::Asked;
use super::control::message::{Reply, Request, State};
use super::part::{Part, PollSet, Ready};
use super::quiet::Meter;
use super::running::{Line, Running};
use super::screen::Screen;
use crate::launch::channel::{Channel, Received};
use crate::launch::message::{FromClient, SignalTo, ToClient};
use crate::plan::Hangup;
use crate::record::Event;
use crate::sys::tty::Winsize;
use crate::sys::{process, procfs};
use nix::poll::PollFlags;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// How many may look at once.
const MOST: usize = 16;

/// How long a window is one line lower than it is, so that a program draws itself again for who attached.
const NUDGE: Duration = Duration::from_millis(60);

/// How long a client that was told to stop may take to do so.
const ABOUT_TO_STOP: Duration = Duration::from_millis(500);

/// One that attached.
struct Viewer {
    /// Its number in the screen.
    id: u32,
    channel: Channel,
    /// It was told to stop, and has not said that it goes on.
    stopped: bool,
}

/// Who looks at the session.
pub(super) struct Clients {
    screen: Option<Screen>,
    /// The number of the client that started the session.
    owner: Option<u32>,
    viewers: Vec<Viewer>,
    /// The size that the window is given back, and when.
    nudged: Option<(Instant, Winsize)>,
    /// The client that started the session waits for being sent away.
    attendance: Attendance,
    /// What becomes of the session when the window of that client is closed.
    hangup: Hangup,
    meter: Meter,
    /// The client that started the session was told to stop with the command, and has not said that it goes on. It is not told
    /// again: a command that stops and goes on by itself would have it stop once more for each time, long after the end.
    stopped: bool,
}

/// Keys of the poll set: the screen's wishes, and behind them the viewers' channels.
const SCREEN: usize = 0;
const CHANNELS: usize = 1000;

impl Clients {
    /// `owner` is the data socket of the client that started the session.
    pub(super) fn new(
        mut screen: Option<Screen>,
        owner: Option<OwnedFd>,
        attendance: Attendance,
        hangup: Hangup,
        meter: Meter,
    ) -> Clients {
        let owner = screen
            .as_mut()
            .zip(owner)
            .map(|(screen, data)| screen.add(data));
        Clients {
            screen,
            owner,
            viewers: Vec::new(),
            nudged: None,
            attendance,
            hangup,
            meter,
            stopped: false,
        }
    }

    /// The command runs, and nobody need stay for it.
    fn send_away(&mut self, running: &mut Running) {
        self.attendance = Attendance::Stays;
        let session = running.session.id().to_string();
        running.voice.tell(&ToClient::Detached { session });
        running.client_left();
        // The caller's pipes end with the client: nobody may wait for the session by them.
        let Ok(null) = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
        else {
            return;
        };
        for number in 0..3 {
            let _ = process::dup_to(null.as_fd(), number);
        }
    }

    fn hear_owner(&mut self, running: &mut Running) {
        while let Some(client) = &running.voice.client {
            match client.try_recv::<FromClient>() {
                Ok(Received::Nothing) => return,
                Ok(Received::Message(FromClient::Signal { signal, to }, _)) => match signal {
                    libc::SIGHUP => self.hung_up(to, running),
                    _ => running.signal(signal, to),
                },
                Ok(Received::Message(message, _)) => {
                    self.stopped &= !matches!(message, FromClient::Continued);
                    self.told(&message, running);
                }
                // The terminal is gone without a word: as if it had been closed.
                Ok(Received::End) | Err(_) => {
                    self.hung_up(SignalTo::Command, running);
                    running.client_left();
                    return;
                }
            }
        }
    }

    /// The window of the client that started the session was closed. A session that nobody could attach to ends in any case.
    fn hung_up(&mut self, to: SignalTo, running: &mut Running) {
        match (&self.hangup, &self.screen) {
            (Hangup::Detach { .. }, Some(_)) => self.owner_leaves(running),
            _ => running.signal(libc::SIGHUP, to),
        }
    }

    fn hear_viewer(&mut self, number: usize, running: &mut Running) {
        while let Some(viewer) = self.viewers.get_mut(number) {
            let Viewer { id, channel, .. } = viewer;
            match channel.try_recv::<FromClient>() {
                Ok(Received::Nothing) => return,
                // A signal to who looks is not for the command.
                Ok(Received::Message(FromClient::Signal { .. }, _)) => {}
                Ok(Received::Message(message, _)) => {
                    viewer.stopped &= !matches!(message, FromClient::Continued);
                    self.told(&message, running);
                }
                Ok(Received::End) | Err(_) => {
                    let id = *id;
                    self.viewers.remove(number);
                    self.left(id, running);
                    return;
                }
            }
        }
    }

    fn told(&mut self, message: &FromClient, running: &mut Running) {
        match message {
            FromClient::Resize {
                rows,
                cols,
                xpixel,
                ypixel,
            } => {
                self.nudged = None;
                self.resize(Winsize {
                    rows: *rows,
                    cols: *cols,
                    xpixel: *xpixel,
                    ypixel: *ypixel,
                });
            }
            FromClient::Continued => running.continued(),
            FromClient::Keyboard => running.give_keyboard(),
            FromClient::Signal { .. } => {}
        }
    }

    /// The window is as large as that of who changed it last.
    fn resize(&self, size: Winsize) {
        if let Some(screen) = &self.screen {
            let _ = screen.set_winsize(size);
        }
    }

    fn left(&mut self, id: u32, running: &mut Running) {
        if let Some(screen) = &mut self.screen {
            screen.remove(id);
        }
        running.note(&Event::Detached);
    }

    fn asked(&mut self, asked: Asked, running: &mut Running) {
        match asked.request {
            Request::Attach { size } => self.attach(asked, size.into(), running),
            Request::Detach => {
                let _ = asked.channel.try_send(&Reply::Done, &[]);
                self.all_leave(running);
            }
            _ => running.asked.push(asked),
        }
    }

    fn attach(&mut self, mut asked: Asked, size: Winsize, running: &mut Running) {
        let refuse = |asked: Asked, why: &str| asked.refuse(why);
        let Some(screen) = &mut self.screen else {
            return refuse(
                asked,
                "it has no terminal: its stdin, stdout and stderr are pipes or files",
            );
        };
        if self.viewers.len() >= MOST {
            return refuse(asked, "too many look at it");
        }
        if running.state() == State::Ending {
            return refuse(asked, "it is ending");
        }
        let Some(data) = asked.fds.pop() else {
            return refuse(asked, "no data socket came with the request");
        };
        let _ = asked.channel.try_send(&Reply::Done, &[]);
        let _ = asked
            .channel
            .try_send(&ToClient::Started { pty: true }, &[]);
        let before = screen.winsize();
        let id = screen.add(data);
        self.viewers.push(Viewer {
            id,
            channel: asked.channel,
            stopped: false,
        });
        running.note(&Event::Attached);
        // A program draws itself again when the size of its window changes.
        if before == Some(size) && size.rows > 1 {
            self.nudged = Some((Instant::now() + NUDGE, size));
            let rows = size.rows - 1;
            self.resize(Winsize { rows, ..size });
        } else {
            self.resize(size);
        }
        // Whoever stopped it has left; who comes wants to see it work.
        if running.state() == State::Stopped {
            running.continued();
        }
    }

    /// The client that started the session leaves; it goes on.
    fn owner_leaves(&mut self, running: &mut Running) {
        if running.voice.client.is_none() {
            return;
        }
        let id = running.session.id().clone();
        running.say_last(&format!(
            "left session {id}, which goes on: agentbox attach {id}"
        ));
        let session = id.to_string();
        running.voice.tell(&ToClient::Detached { session });
        running.client_left();
        match self.owner.take() {
            Some(owner) => self.left(owner, running),
            None => running.note(&Event::Detached),
        }
    }

    /// Everybody leaves, also the client that started the session; it goes on.
    fn all_leave(&mut self, running: &mut Running) {
        self.owner_leaves(running);
        for viewer in std::mem::take(&mut self.viewers) {
            let session = running.session.id().to_string();
            let _ = viewer
                .channel
                .try_send(&ToClient::Detached { session }, &[]);
            self.left(viewer.id, running);
        }
    }

    /// Who is in the box has no terminal any more.
    fn follow_line(&mut self, running: &Running) {
        if let (Line::Down, Some(screen)) = (running.line, &mut self.screen) {
            screen.hang_up();
        }
    }

    /// A stop on the terminal is for who typed it: its client stops, too, and the shell behind it takes over.
    fn tell_stop(&mut self, running: &mut Running) {
        let screen = &mut self.screen;
        let settled = || screen.as_mut().is_none_or(Screen::settle);
        let Some(signal) = running.take_stop(settled) else {
            return;
        };
        let active = self.screen.as_ref().and_then(Screen::active);
        let message = ToClient::Stopped { signal };
        match self
            .viewers
            .iter_mut()
            .find(|viewer| Some(viewer.id) == active)
        {
            Some(viewer) if viewer.stopped => {}
            Some(viewer) => {
                viewer.stopped = true;
                let _ = viewer.channel.try_send(&message, &[]);
            }
            None if self.stopped => {}
            None => {
                self.stopped = true;
                running.voice.tell(&message);
            }
        }
    }

    /// Without a terminal nobody would continue the client that stopped with the command: a script would wait for it for ever. It
    /// may only be about to stop: what comes before that continues nothing.
    fn let_owner_go_on(&self, running: &Running) {
        let client = nix::unistd::getppid();
        let Some(channel) = &running.voice.client else {
            return;
        };
        let until = Instant::now() + ABOUT_TO_STOP;
        let mut was_stopped = false;
        while client.as_raw() > 1 && Instant::now() < until {
            // A /proc that hides it (hidepid) does not say.
            let state = procfs::state(client.as_raw());
            let stands = state == Some(b'T');
            if stands || state.is_none() {
                let _ = nix::sys::signal::kill(client, nix::sys::signal::Signal::SIGCONT);
            } else if was_stopped {
                return;
            }
            was_stopped |= stands;
            match channel.try_recv::<FromClient>() {
                Ok(Received::End) | Err(_) => return,
                Ok(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }
}

impl Part for Clients {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        let wishes = self.screen.as_ref().map(Screen::wishes).unwrap_or_default();
        for (key, wish) in (SCREEN..).zip(wishes) {
            if let Some((fd, flags)) = wish {
                set.add(key, fd, flags);
            }
        }
        for (key, viewer) in (CHANNELS..).zip(&self.viewers) {
            set.add(key, viewer.channel.as_fd(), PollFlags::POLLIN);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let nudged = self.nudged.map(|(at, _)| at);
        nudged.into_iter().chain(self.meter.deadline()).min()
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        self.hear_owner(running);
        if self.attendance == Attendance::Leaves && running.has_started() {
            self.send_away(running);
        }
        if let Some(screen) = &mut self.screen {
            let found: Vec<_> = (SCREEN..=screen.viewers())
                .map(|key| ready.of(key))
                .collect();
            screen.moved(&found);
            let paused = running.state() == State::Paused;
            let enough = self.meter.see(screen.traffic(), paused, Instant::now());
            if let Some(trigger) = enough {
                running.stop(trigger);
            }
        }
        for number in (0..self.viewers.len()).rev() {
            if ready.readable(CHANNELS + number) {
                self.hear_viewer(number, running);
            }
        }
        if let Some((_, size)) = self.nudged.take_if(|(at, _)| *at <= Instant::now()) {
            self.resize(size);
        }
        for asked in std::mem::take(&mut running.asked) {
            self.asked(asked, running);
        }
        self.follow_line(running);
        self.tell_stop(running);
        running.viewers = self.screen.as_ref().map_or(0, Screen::viewers);
    }

    fn finish(&mut self, running: &mut Running) {
        // A command that was over in the turn in which it started: it has run, and its name is what the caller waits for.
        if self.attendance == Attendance::Leaves && running.has_started() {
            self.send_away(running);
        }
        if let Some(screen) = &mut self.screen {
            let _ = screen.drain(running.patience());
        }
        if self.stopped && self.screen.is_none() {
            self.let_owner_go_on(running);
        }
        // They are told of the end behind what is said of it.
        let viewers = self.viewers.drain(..).map(|viewer| viewer.channel);
        running.voice.viewers.extend(viewers);
    }
}
