//! `agentbox attach` and `agentbox detach`.

#![forbid(unsafe_code)]

use super::args::IdArgs;
use super::say::Said;
use super::{CliError, live, say};
use crate::exit;
use crate::launch::channel::{self, Channel};
use crate::launch::message::ToClient;
use crate::launch::pty::HostTerminal;
use crate::plan::OsText;
use crate::supervise::client::{self, ClientEnd, ClientLink, Role, Signals, keys};
use crate::supervise::control::client::{Line, find};
use crate::supervise::control::message::Request;
use std::os::fd::AsFd as _;

/// Shows the terminal of a session until it ends or the human leaves. Returns the exit status: the session's, or 0.
#[must_use]
pub fn attach(args: &IdArgs) -> u8 {
    ended(show(args))
}

/// Makes every terminal client of a session leave. Returns the exit status.
#[must_use]
pub fn detach(args: &IdArgs) -> u8 {
    ended(leave(args))
}

/// The client of `run --detach`: says what there is to say, and returns when the command runs or the session is over. `None` if
/// the supervisor is gone without a word.
pub(super) fn sent_away(control: &Channel) -> Option<u8> {
    while let Ok(Some((message, _))) = control.recv::<ToClient>() {
        match message {
            ToClient::Say { line } | ToClient::Last { line } => say::error(OsText::from(line)),
            ToClient::Detached { session } => {
                return Some(match say::out(&format!("{session}\n")) {
                    Said::Fine => 0,
                    Said::Lost => exit::NO,
                });
            }
            ToClient::Ended { status } => return Some(status),
            ToClient::Started { .. }
            | ToClient::Stopped { .. }
            | ToClient::Keyboard
            | ToClient::Interrupted => {}
        }
    }
    say::error("the supervisor is gone without a word; the box died with it");
    None
}

fn ended(status: Result<u8, CliError>) -> u8 {
    status.unwrap_or_else(|e| {
        say::error(&e);
        exit::NO
    })
}

fn show(args: &IdArgs) -> Result<u8, CliError> {
    let sessions = live::sessions()?;
    let id = find(&sessions, &args.id)?;
    let terminal = HostTerminal::capture().ok_or(CliError::NoTerminal)?;
    let signals = Signals::block().map_err(|errno| CliError::Call("sigprocmask", errno))?;
    let (ours, theirs) = channel::stream_pair().map_err(CliError::io("socketpair"))?;
    let line = Line::open(&sessions, &id)?;
    let size = terminal.winsize.into();
    line.ask(&Request::Attach { size }, &[theirs.as_fd()])?;
    drop(theirs);
    say::error(format!("session {id}; {} leaves it", keys::NAMES));
    let end = client::run(ClientLink {
        control: line.into_channel(),
        data: Some(ours),
        role: Role::Viewer,
        signals,
        terminal: Some(terminal),
        nursery: None,
        supervisor: None,
    });
    if end == ClientEnd::Detached {
        say::error(format!(
            "left session {id}, which goes on: agentbox attach {id}"
        ));
    }
    Ok(end.status())
}

fn leave(args: &IdArgs) -> Result<u8, CliError> {
    let sessions = live::sessions()?;
    let id = find(&sessions, &args.id)?;
    Line::open(&sessions, &id)?.ask(&Request::Detach, &[])?;
    Ok(0)
}
