//! `agentbox exec`.

#![forbid(unsafe_code)]

use super::args::ExecArgs;
use super::{CliError, live, relays, say};
use crate::exit;
use crate::launch::command::Descriptor;
use crate::launch::join::{Join, Settings, Stdio};
use crate::launch::pty::HostTerminal;
use crate::launch::stdio;
use crate::plan::OsText;
use crate::supervise::client::{self, ClientEnd, ClientLink, Role, Signals};
use crate::supervise::control::client::{Line, find};
use crate::supervise::control::message::Request;
use crate::supervise::relay::{Direction, RelayPipe};
use std::io::PipeWriter;
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long output that is still in a pipe is waited for when the command has ended: a process of the background may keep the
/// pipe open for as long as the session lives.
const PATIENCE: Duration = Duration::from_millis(500);

/// Runs a command in a box that stands. Returns the exit status.
#[must_use]
pub fn exec(args: &ExecArgs) -> u8 {
    match flow(args) {
        Ok(status) => status,
        Err(e) => {
            say::error(&e);
            exit::REFUSED
        }
    }
}

fn flow(args: &ExecArgs) -> Result<u8, CliError> {
    let (sessions, _host) = live::as_they_are()?;
    let id = find(&sessions, &args.id)?;
    // First of all: the supervisor looks who it is while the rest is made ready.
    let line = Line::open(&sessions, &id)?;
    let classes = stdio::classify().map_err(CliError::Stdio)?;
    let terminal = (args.tty || stdio::wants_pty(&classes))
        .then(HostTerminal::capture)
        .flatten();
    if args.tty && terminal.is_none() {
        return Err(CliError::NoTerminal);
    }
    // Before there is a thread, which would take those that are to be forwarded.
    let signals = Signals::block().map_err(|errno| CliError::Call("sigprocmask", errno))?;
    let mut ends: Vec<OwnedFd> = Vec::new();
    let mut pipes = Vec::new();
    let mut become_of = [Stdio::Terminal; 3];
    if !args.tty {
        // What is the caller's never enters a box: a pipe does in its place.
        let descriptors = relays::descriptors(&classes, &mut pipes)?;
        for (number, (found, becomes)) in (0u8..).zip(descriptors.into_iter().zip(&mut become_of)) {
            *becomes = match found {
                Descriptor::Pty => Stdio::Terminal,
                Descriptor::Null => Stdio::Null,
                Descriptor::Inherit => {
                    ends.push(relays::duplicate(number)?);
                    Stdio::Given
                }
                Descriptor::Pipe(end) => {
                    ends.push(end);
                    Stdio::Given
                }
            };
        }
    }
    let copies = Copies::start(pipes)?;
    let join = Join {
        argv: args
            .command
            .iter()
            .map(|a| OsText::from(a.as_os_str()))
            .collect(),
        cwd: args.cwd.as_ref().map(|dir| OsText::from(dir.as_os_str())),
        terminal: terminal
            .as_ref()
            .map(|host| Settings::of(&host.for_box(), host.winsize)),
        stdio: become_of,
    };
    let fds: Vec<_> = ends.iter().map(|fd| fd.as_fd()).collect();
    line.ask(&Request::Exec(join), &fds)?;
    // They are the command's now: held here, a pipe would never tell its end.
    drop(ends);
    let end = client::run(ClientLink {
        control: line.into_channel(),
        data: None,
        role: Role::Joiner,
        signals,
        terminal,
        nursery: None,
        supervisor: None,
    });
    copies.end();
    if let ClientEnd::Interrupted(scope) = end {
        client::end_by_it(scope);
    }
    Ok(end.status())
}

/// Threads that relay between the caller's descriptors and pipes of the box.
struct Copies {
    /// stdin, until the command has ended.
    stdin: Option<JoinHandle<()>>,
    out: Vec<JoinHandle<()>>,
    /// Closed at the end; the threads have the other one.
    wake: PipeWriter,
}

impl Copies {
    fn start(pipes: Vec<RelayPipe>) -> Result<Copies, CliError> {
        let (woken, wake) = std::io::pipe().map_err(CliError::io("pipe2"))?;
        let (mut stdin, mut out) = (None, Vec::new());
        for relay in pipes {
            let direction = relay.direction();
            let wake = woken.try_clone().map_err(CliError::io("dup"))?;
            let thread = std::thread::spawn(move || relay.run(wake.as_fd()));
            match direction {
                Direction::In => stdin = Some(thread),
                Direction::Out => out.push(thread),
            }
        }
        Ok(Copies { stdin, out, wake })
    }

    /// The command has ended: its output is waited for, and what it did not read is the caller's again.
    fn end(self) {
        let until = Instant::now() + PATIENCE;
        while self.out.iter().any(|copy| !copy.is_finished()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(self.wake);
        for thread in self.stdin.into_iter().chain(self.out) {
            let _ = thread.join();
        }
    }
}
