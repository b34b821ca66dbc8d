//! The terminal client: the process that the user started. It owns the terminal while the box runs (raw mode, window size,
//! keys), turns signals into messages, stops when the command stops, and puts everything back at any end. It can be stopped
//! or killed without touching the kill path, which is the supervisor's.
//!
//! One poll loop without a timeout: nothing wakes it when nothing happens. Bytes pass unaltered in both directions, and each
//! direction holds at most one queue of them.

#![forbid(unsafe_code)]

mod answers;
mod called_off;
mod data;
mod flow;
mod job;
pub mod keys;

use super::modes::Modes;
use super::queue::Queue;
pub use super::signals::Signals;
use super::signals::{Arrived, Scope, Sender};
use super::terminal::Terminal;
use crate::launch::channel::{Channel, Received, Sent};
use crate::launch::message::{FromClient, SignalTo, ToClient};
use crate::launch::nursery::Raised;
use crate::launch::pty::HostTerminal;
use crate::paint::{self, Tone};
use crate::plan::text::write_escaped;
use crate::sys::tty::{EdgeWatch, Winsize};
use answers::Answers;
use called_off::CalledOff;
use data::{Data, release_redirected};
use keys::Escape;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::Signal;
use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

/// How many messages wait for a supervisor that does not read.
const OUTBOX: usize = 64;

/// What the client works with.
#[derive(Debug)]
pub struct ClientLink {
    /// Messages from and to the supervisor. Only the client may hold this end.
    pub control: Channel,
    /// Bytes of the pseudo-terminal, if the box has one; for [`Role::Joiner`] it comes with `Started`.
    pub data: Option<OwnedFd>,
    /// Whose client it is.
    pub role: Role,
    /// The signals, blocked before the supervisor was forked.
    pub signals: Signals,
    /// The caller's terminal as it was at the start, if the box has a pseudo-terminal.
    pub terminal: Option<HostTerminal>,
    /// The nursery, which is gone when the command runs.
    pub nursery: Option<Raised>,
    /// The supervisor (a pidfd), for [`Role::Owner`].
    pub supervisor: Option<OwnedFd>,
}

/// What the client is to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It started the session (`run`): its signals are the command's, and its end is a hang-up.
    Owner,
    /// It looks at the session (`attach`): what ends it ends nothing else, and [`keys`] make it leave.
    Viewer,
    /// It started another command in the box (`exec`), on whose terminal or pipes it is.
    Joiner,
}

/// How the client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum ClientEnd {
    /// The supervisor said so.
    Ended {
        /// The exit status of `agentbox run`.
        status: u8,
    },
    /// The same by SIGINT, for which the user pressed a key: [`end_by_it`] is due when nothing is left of the box.
    Interrupted(Scope),
    /// The supervisor is gone without a word; this has been said on stderr.
    Lost,
    /// This signal came while the box was built, which took too long: the supervisor was killed, and this has been said. With
    /// a scope it was typed, and [`end_by_it`] is due. Or a command that joined did not end by it.
    CalledOff(Signal, Option<Scope>),
    /// The client left, and the session goes on.
    Detached,
}

impl ClientEnd {
    /// The exit status of `agentbox run`.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            ClientEnd::Ended { status } => status,
            ClientEnd::Interrupted(_) => INTERRUPTED,
            ClientEnd::Lost => LOST,
            ClientEnd::CalledOff(signal, _) => 128 + signal as u8,
            ClientEnd::Detached => 0,
        }
    }
}

/// As if by SIGKILL, which is what happened to the box.
const LOST: u8 = 137;

/// As shells say of who died of SIGINT.
const INTERRUPTED: u8 = 130;

/// Ctrl-C ended the command. Outside the whole job would have had it: a pipeline's other programs, the script that goes on
/// otherwise, and the shell, which ends a loop when it sees that SIGINT ended a command.
pub fn end_by_it(scope: Scope) {
    let _ignored = nix::sys::signal::kill(scope.target(), Signal::SIGINT);
}

/// The main loop of the client. Returns when the session is over and the terminal is as it was. Once the command runs, a
/// stdin and stdout that are not terminals are replaced by /dev/null: they are the command's.
pub fn run(link: ClientLink) -> ClientEnd {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let stdio = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let size = link.terminal.as_ref().map(|host| host.winsize);
    let mut client = Client {
        control: Some(link.control),
        data: link.data.map(Data::Socket),
        role: link.role,
        escape: Escape::new(),
        signals: link.signals,
        nursery: link.nursery,
        supervisor: link.supervisor,
        called_off: None,
        terminated: None,
        terminal: link.terminal.map(|host| Terminal::open(&host, stdio)),
        keys: Queue::new(),
        screen: Queue::new(),
        modes: Modes::new(),
        midst: false,
        answers: Answers::default(),
        outbox: VecDeque::new(),
        phase: Phase::Building,
        asked_to_stop: false,
        interrupt: Interrupt::No,
        hung_up: false,
        last: Vec::new(),
        size: size.unwrap_or_default(),
        watch: None,
    };
    // Of a command that joins without a terminal only the end is told: the answer to the request was its start.
    if client.role == Role::Joiner && client.terminal.is_none() {
        client.started(false);
    }
    client.work()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The box is being built; the terminal is untouched.
    Building,
    /// The command runs on a pseudo-terminal.
    Terminal,
    /// The command runs on the caller's own pipes and files.
    Pipes,
    /// It is over; what is on its way is still shown.
    Over(ClientEnd),
}

/// What became of the interrupt key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interrupt {
    No,
    /// It was typed. Raw mode kept it from the whole job, or the kernel told all of it.
    Typed(Scope),
    /// It was typed, and SIGINT ended the command.
    Fatal(Scope),
}

struct Client {
    /// `None` when the supervisor has closed it.
    control: Option<Channel>,
    /// `None` when all output has come.
    data: Option<Data>,
    role: Role,
    escape: Escape,
    signals: Signals,
    nursery: Option<Raised>,
    supervisor: Option<OwnedFd>,
    /// The caller wants no start any more.
    called_off: Option<CalledOff>,
    /// When the first SIGTERM for a command that joined came.
    terminated: Option<Instant>,
    terminal: Option<Terminal>,
    /// From the terminal to the box.
    keys: Queue,
    /// From the box to the terminal.
    screen: Queue,
    modes: Modes,
    /// What was shown last was no whole line.
    midst: bool,
    /// Counts what the terminal answers.
    answers: Answers,
    outbox: VecDeque<FromClient>,
    phase: Phase,
    /// A stop signal that came to us was passed on: the stop that will be reported is its effect.
    asked_to_stop: bool,
    interrupt: Interrupt,
    /// SIGHUP was passed on.
    hung_up: bool,
    /// What is said when all has been shown.
    last: Vec<String>,
    /// The size that the box's terminal was made with.
    size: Winsize,
    /// Only in the background: tells of typing, after which it may be our turn.
    watch: Option<EdgeWatch>,
}

/// What the client may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Control,
    Data,
    Keys,
    Screen,
    Watch,
}

impl Client {
    fn work(&mut self) -> ClientEnd {
        loop {
            if self.control.is_none() && self.screen.is_empty() {
                // No supervisor, so what is not there now will not come; nobody else's copy of the socket may hold us up.
                self.read_data();
            }
            if let Phase::Over(end) = self.phase
                && self.data.is_none()
                && self.screen.is_empty()
            {
                return self.finish(end);
            }
            let woken = self.wait();
            while let Some(arrived) = self.signals.next() {
                self.on_signal(arrived);
            }
            // Before the data: `Started` is what makes the terminal raw, and `Stopped` asks for the data by itself.
            self.read_control();
            self.lose_patience();
            self.write_control();
            if woken.contains(&Source::Data) {
                self.read_data();
            }
            if woken.contains(&Source::Screen) || !self.writes_may_wait() {
                self.write_screen();
            }
            if woken.contains(&Source::Keys) {
                self.read_keys();
            }
            self.write_keys();
            if woken.contains(&Source::Watch) && self.watch.as_ref().is_some_and(EdgeWatch::take) {
                self.take_turn();
            }
        }
    }

    /// Waits until something can be done. A descriptor without a wish is left out, since poll(2) reports hang-ups unasked.
    fn wait(&self) -> Vec<Source> {
        let terminal = self.terminal.as_ref();
        let raw = terminal.is_some_and(Terminal::is_raw);
        let data = self.data.is_some();
        let wishes = [
            (Source::Signals, Some(self.signals.as_fd()), true, false),
            (
                Source::Control,
                self.control.as_ref().map(AsFd::as_fd),
                true,
                !self.outbox.is_empty(),
            ),
            (
                Source::Data,
                self.data.as_ref().map(AsFd::as_fd),
                self.screen.is_empty(),
                !self.keys.is_empty(),
            ),
            (
                Source::Keys,
                terminal.and_then(Terminal::input),
                raw && data && self.keys.has_space(),
                false,
            ),
            (
                Source::Screen,
                terminal.and_then(Terminal::output),
                false,
                !self.screen.is_empty(),
            ),
            (
                Source::Watch,
                self.watch.as_ref().map(AsFd::as_fd),
                true,
                false,
            ),
        ];
        let mut set = Vec::with_capacity(wishes.len());
        let mut sources = Vec::with_capacity(wishes.len());
        for (source, fd, input, output) in wishes {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, input);
            flags.set(PollFlags::POLLOUT, output);
            if let Some(fd) = fd
                && !flags.is_empty()
            {
                set.push(PollFd::new(fd, flags));
                sources.push(source);
            }
        }
        // EINTR (a stop and a continue) wakes with nothing found, which only looks once too often.
        let _interrupted = poll(&mut set, self.patience());
        let woken = sources.iter().zip(&set);
        woken
            .filter(|(_, polled)| polled.any().unwrap_or(true))
            .map(|(source, _)| *source)
            .collect()
    }

    fn on_signal(&mut self, arrived: Arrived) {
        let Arrived { signal, from } = arrived;
        let to = match from {
            Sender::Terminal => SignalTo::Foreground,
            Sender::Process => SignalTo::Command,
        };
        let over = matches!(self.phase, Phase::Over(_));
        self.call_off(signal);
        match signal {
            Signal::SIGWINCH => self.resize(),
            Signal::SIGCONT => self.resumed(),
            // Another shell's job: its stop is its own.
            Signal::SIGTSTP if self.role != Role::Owner && !over => {
                self.stop(signal, Scope::Itself)
            }
            Signal::SIGTSTP if self.phase == Phase::Building || over => {
                self.stop(Signal::SIGTSTP, Scope::Itself);
            }
            // Not stopping at once: the command may refuse, and it has to say its last on the terminal. `Stopped` follows.
            Signal::SIGTSTP => {
                self.asked_to_stop = true;
                self.forward(signal, to);
            }
            Signal::SIGUSR1 | Signal::SIGUSR2 if over => {}
            // Whoever is in the way of the last output by not reading it: enough.
            _ if over => {
                self.data = None;
                self.screen.clear();
            }
            _ if self.role == Role::Viewer => self.leave(),
            Signal::SIGINT if from == Sender::Terminal => {
                self.interrupt = Interrupt::Typed(Scope::Itself);
                self.forward(signal, to);
            }
            Signal::SIGHUP => self.hang_up(to),
            Signal::SIGTERM if self.role == Role::Joiner => self.terminate(to),
            _ => self.forward(signal, to),
        }
    }

    fn forward(&mut self, signal: Signal, to: SignalTo) {
        self.post(FromClient::Signal {
            signal: signal as i32,
            to,
        });
    }

    /// The terminal was closed. The kernel, the shell and the read of the terminal all tell of it; the command hears it once.
    fn hang_up(&mut self, to: SignalTo) {
        if !self.hung_up {
            self.hung_up = true;
            self.forward(Signal::SIGHUP, to);
        }
    }

    /// Leaves; the session goes on.
    fn leave(&mut self) {
        self.phase = Phase::Over(ClientEnd::Detached);
        self.data = None;
        self.control = None;
        self.screen.clear();
    }

    fn resize(&mut self) {
        if let (Some(size), Some(data)) =
            (self.terminal.as_ref().and_then(Terminal::size), &self.data)
            && data.resize(size)
        {
            return;
        }
        if let Some(size) = self.terminal.as_ref().and_then(Terminal::size) {
            self.outbox
                .retain(|message| !matches!(message, FromClient::Resize { .. }));
            self.post(FromClient::Resize {
                rows: size.rows,
                cols: size.cols,
                xpixel: size.xpixel,
                ypixel: size.ypixel,
            });
        }
    }

    fn post(&mut self, message: FromClient) {
        if self.control.is_some() && self.outbox.len() < OUTBOX {
            self.outbox.push_back(message);
        }
    }

    fn write_control(&mut self) {
        while let (Some(control), Some(message)) = (&self.control, self.outbox.front()) {
            match control.try_send(message, &[]) {
                Ok(Sent::Full) => return,
                Ok(Sent::Yes) => {
                    self.outbox.pop_front();
                }
                // That the supervisor is gone is learnt by reading, behind its last word.
                Err(_) => self.outbox.clear(),
            }
        }
    }

    fn read_control(&mut self) {
        while let Some(control) = &self.control {
            match control.try_recv::<ToClient>() {
                Ok(Received::Message(message, fds)) => {
                    if let Some(master) = fds.into_iter().next() {
                        self.data = Data::master(master);
                    }
                    self.on_message(message);
                }
                Ok(Received::Nothing) => return,
                // A connection that carries nonsense is as good as none. Closing it ends the session.
                Ok(Received::End) | Err(_) => {
                    self.control = None;
                    if !matches!(self.phase, Phase::Over(_)) {
                        self.phase = Phase::Over(ClientEnd::Lost);
                    }
                }
            }
        }
    }

    fn on_message(&mut self, message: ToClient) {
        match message {
            ToClient::Say { line } => self.say(&line),
            ToClient::Last { line } => self.last.push(line),
            ToClient::Started { pty } => self.started(pty),
            ToClient::Stopped { signal } => self.stopped(signal),
            ToClient::Keyboard => self.take_keyboard(),
            ToClient::Interrupted => {
                if let Interrupt::Typed(scope) = self.interrupt {
                    self.interrupt = Interrupt::Fatal(scope);
                }
            }
            ToClient::Detached { .. } => self.leave(),
            ToClient::Ended { status } => self.phase = Phase::Over(ClientEnd::Ended { status }),
        }
    }

    fn started(&mut self, pty: bool) {
        self.phase = if pty { Phase::Terminal } else { Phase::Pipes };
        release_redirected();
        drop(self.nursery.take());
        if let (Phase::Terminal, Some(terminal)) = (self.phase, &mut self.terminal) {
            terminal.enter_raw();
            if terminal.size().is_some_and(|size| size != self.size) {
                self.resize();
            }
            self.watch_unless_raw();
        }
    }

    /// Lines on the caller's stderr. Control characters are escaped: a path in a message cannot write on the terminal.
    fn say(&self, text: &str) {
        let raw = self.terminal.as_ref().is_some_and(Terminal::is_raw);
        let mut out = String::new();
        for line in text.split('\n') {
            out.push_str(&paint::prefix(Tone::Word));
            // Writing to a String cannot fail.
            let _never = write_escaped(&mut out, line.as_bytes());
            out.push_str(if raw { "\r\n" } else { "\n" });
        }
        // There is nobody left to tell that stderr is closed.
        let _closed = std::io::stderr().write_all(out.as_bytes());
    }
}
