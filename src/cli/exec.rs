//! `agentbox exec`.

#![forbid(unsafe_code)]

use super::args::ExecArgs;
use super::{CliError, live, say};
use crate::exit;
use crate::launch::join::{Join, Settings, Stdio};
use crate::launch::pty::HostTerminal;
use crate::launch::stdio;
use crate::plan::OsText;
use crate::supervise::client::{self, ClientLink, Role, Signals};
use crate::supervise::control::client::{Line, find};
use crate::supervise::control::message::Request;
use crate::sys::process;
use nix::errno::Errno;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
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
    let mut ends = Vec::new();
    let mut copies = Vec::new();
    let mut become_of = [Stdio::Terminal; 3];
    for (number, (found, becomes)) in (0..).zip(classes.iter().zip(&mut become_of)) {
        if args.tty {
            continue;
        }
        *becomes = match found {
            stdio::Stdio::Pty => Stdio::Terminal,
            stdio::Stdio::Null => Stdio::Null,
            stdio::Stdio::Inherit => {
                ends.push(duplicate(number)?);
                Stdio::Given
            }
            // A socket of the caller's never enters a box: a pipe does in its place.
            stdio::Stdio::Relay { .. } => {
                ends.push(relayed(number, &mut copies)?);
                Stdio::Given
            }
        };
    }
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
    let signals = Signals::block().map_err(|errno| CliError::Call("sigprocmask", errno))?;
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
    });
    let until = Instant::now() + PATIENCE;
    while copies.iter().any(|copy| !copy.is_finished()) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(end.status())
}

fn duplicate(number: RawFd) -> Result<OwnedFd, CliError> {
    process::duplicate(number).map_err(|errno| CliError::Call("dup", errno))
}

/// A pipe for the box, and a thread that copies between it and the caller's socket.
fn relayed(
    number: RawFd,
    copies: &mut Vec<std::thread::JoinHandle<()>>,
) -> Result<OwnedFd, CliError> {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map_err(|errno: Errno| CliError::Call("pipe2", errno))?;
    let socket = File::from(duplicate(number)?);
    let (ours, theirs) = if number == 0 {
        (writer, reader)
    } else {
        (reader, writer)
    };
    let pipe = File::from(ours);
    let copy = move || {
        let (mut from, mut to) = if number == 0 {
            (socket, pipe)
        } else {
            (pipe, socket)
        };
        // Whoever is gone on either side ends it.
        let _ = std::io::copy(&mut from, &mut to);
    };
    let handle = std::thread::spawn(copy);
    // What is read ends with this process, not with its reader.
    if number != 0 {
        copies.push(handle);
    }
    Ok(theirs)
}
