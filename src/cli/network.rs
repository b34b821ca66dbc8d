//! `agentbox allow`, `agentbox deny` and `agentbox publish`: the network of a live session, changed at once.

#![forbid(unsafe_code)]

use super::args::{PublishArgs, RuleArgs};
use super::{live, save, say};
use crate::exit;
use crate::plan::net::{BadRule, Rule};
use crate::profile::edit::List;
use crate::session::{SessionId, Sessions};
use crate::supervise::control::client::{self, CallError};
use crate::supervise::control::message::Change;

/// Lets a host be reached. Returns the exit status.
#[must_use]
pub fn allow(args: &RuleArgs) -> u8 {
    rule(args, List::Allow, Rule::allow, Change::Allow)
}

/// Lets a host be reached no more. Returns the exit status.
#[must_use]
pub fn deny(args: &RuleArgs) -> u8 {
    rule(args, List::Deny, Rule::deny, Change::Deny)
}

fn rule(
    args: &RuleArgs,
    list: List,
    read: fn(&str) -> Result<Rule, BadRule>,
    change: fn(String) -> Change,
) -> u8 {
    // Bad usage is said as such, and before a session is looked for; the session reads the rule once more.
    if let Err(bad) = read(&args.rule) {
        say::error(format!("{}; {}", bad.what, bad.help));
        return exit::USAGE;
    }
    let change = change(args.rule.clone());
    if !args.save {
        return tell(args.session.as_deref(), &change, Nobody::IsAnError);
    }
    // The session first: what it refuses is not saved either.
    let status = tell(args.session.as_deref(), &change, Nobody::IsFine);
    if status != 0 {
        say::error("nothing was saved");
        return status;
    }
    match save::save(args, list) {
        Ok(text) => match say::out(&text) {
            say::Said::Fine => 0,
            say::Said::Lost => exit::NO,
        },
        Err(why) => {
            say::error(format!("not saved: {why}"));
            exit::NO
        }
    }
}

/// What is said then.
pub(super) const NOBODY: &str = "there is no live session; `agentbox run COMMAND` starts one";

/// What it means that no session is live.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nobody {
    IsAnError,
    IsFine,
}

/// Lets the host reach a port of the box. Returns the exit status.
#[must_use]
pub fn publish(args: &PublishArgs) -> u8 {
    let change = Change::Publish {
        host_port: args.ports.host,
        box_port: args.ports.inside,
    };
    tell(args.session.as_deref(), &change, Nobody::IsAnError)
}

/// The session that was named, else the only one that is live; `None`: there is none.
pub(super) fn only_session(
    sessions: &Sessions,
    named: Option<&str>,
) -> Result<Option<SessionId>, String> {
    let said = |e: CallError| e.to_string();
    if let Some(text) = named {
        return client::find(sessions, text).map(Some).map_err(said);
    }
    match client::live(sessions).map_err(said)?.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        many => Err(format!(
            "{} sessions are live: say which with --session ID (agentbox ps)",
            many.len()
        )),
    }
}

fn tell(session: Option<&str>, change: &Change, nobody: Nobody) -> u8 {
    let done = live::sessions()
        .map_err(|e| e.to_string())
        .and_then(|sessions| match only_session(&sessions, session)? {
            Some(id) => client::network(&sessions, &id, change).map_err(|e| e.to_string()),
            None if nobody == Nobody::IsFine => Ok(()),
            None => Err(NOBODY.to_owned()),
        });
    match done {
        Ok(()) => 0,
        Err(why) => {
            say::error(why);
            exit::NO
        }
    }
}
