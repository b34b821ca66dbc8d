//! `agentbox ask`: a human, in a terminal that is not the agent's, is asked about each host that a live session is refused.
//! Nothing in the box can answer: the question is put to this process's own terminal, and the answer goes to the supervisor by
//! a socket that no box reaches (a boundary). Off unless somebody runs it.

#![forbid(unsafe_code)]

use super::args::{AskArgs, RuleArgs};
use super::network::{NOBODY, only_session};
use super::say;
use super::{live, logs, save};
use crate::exit;
use crate::paint::{self, Tone};
use crate::plan::OsText;
use crate::plan::net::{Network, Rule, Target};
use crate::plan::why::rules::{Place, Verdict};
use crate::profile::edit::List;
use crate::record::Event;
use crate::record::log::parse;
use crate::session::{SessionId, Sessions};
use crate::supervise::control::client;
use crate::supervise::control::message::Change;
use nix::sys::termios::{FlushArg, tcflush};
use std::collections::HashSet;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// Asks until the session ends or the human leaves. Returns the exit status.
#[must_use]
pub fn ask(args: &AskArgs) -> u8 {
    if !std::io::stdin().is_terminal() {
        say::error(
            "stdin is no terminal, so nobody can be asked: `agentbox allow HOST` needs none",
        );
        return exit::USAGE;
    }
    match flow(args) {
        Ok(()) => 0,
        Err(why) => {
            say::error(why);
            exit::NO
        }
    }
}

fn flow(args: &AskArgs) -> Result<(), String> {
    let sessions = live::sessions().map_err(|e| e.to_string())?;
    let id = only_session(&sessions, args.id.as_deref())?.ok_or_else(|| NOBODY.to_owned())?;
    let watch = logs::watch(&sessions, &id);
    say::word(format!(
        "session {id}: you are asked about each host that it is refused; Ctrl-C or q leaves"
    ));
    let mut asked = HashSet::new();
    let mut seen = 0;
    loop {
        let lives = sessions.is_live(&id);
        let text = sessions.events_text(&id).map_err(|e| e.to_string())?;
        let whole = text.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |at| at + 1);
        let new = text.get(seen..whole).unwrap_or_default();
        seen = whole;
        for entry in parse(new).flatten().filter(|_| lives) {
            let Event::Unreached {
                to,
                port,
                policy: true,
                ..
            } = entry.event
            else {
                continue;
            };
            if asked.insert((to.clone(), port))
                && let Next::Leave = question(&sessions, &id, &to, port)?
            {
                return Ok(());
            }
        }
        if !lives {
            say::word(format!("session {id} has ended"));
            return Ok(());
        }
        match &watch {
            Some(inotify) => drop(inotify.read_events()),
            None => std::thread::sleep(std::time::Duration::from_millis(200)),
        }
    }
}

/// What comes after a question.
enum Next {
    GoOn,
    Leave,
}

/// The rule that would grant it, where nothing but a missing rule stands against it now.
fn missing(network: &Network, to: &str, port: Option<u16>) -> Option<String> {
    let text = match port {
        None | Some(443 | 80) => to.to_owned(),
        Some(port) => format!("{to}:{port}"),
    };
    // The box chose the text: a pattern or a mark (`a.com+private`) would be more than what was refused.
    match Rule::allow(&text).ok()?.to {
        Target::Name(name) if name == to => {}
        Target::Net(net) if net.address.to_string() == to => {}
        Target::Name(_) | Target::Net(_) | Target::Under(_) | Target::Any => return None,
    }
    let place = match to.parse() {
        Ok(address) => Place::Address(address),
        Err(_) => Place::Name(to),
    };
    match network.verdict(place, port.unwrap_or(443)) {
        Verdict::NotGranted | Verdict::OtherPorts(..) => Some(text),
        Verdict::Allowed(..) | Verdict::Denied(_) => None,
    }
}

fn question(
    sessions: &Sessions,
    id: &SessionId,
    to: &str,
    port: Option<u16>,
) -> Result<Next, String> {
    let network = client::rules(sessions, id).map_err(|e| e.to_string())?;
    let Some(rule) = missing(&network, to, port) else {
        return Ok(Next::GoOn);
    };
    loop {
        // What was typed before the question is no answer to it.
        let _ = tcflush(std::io::stdin(), FlushArg::TCIFLUSH);
        let _ = write!(
            std::io::stderr(),
            "{}it wants to reach {}: allow? [y]es [a]lways [n]o [q]uit ",
            paint::prefix(Tone::Word),
            OsText::from(rule.as_str())
        );
        let mut answer = String::new();
        if std::io::stdin().lock().read_line(&mut answer).unwrap_or(0) == 0 {
            return Ok(Next::Leave);
        }
        match answer.trim() {
            "y" | "yes" => break told(sessions, id, &rule),
            "a" | "always" => {
                told(sessions, id, &rule)?;
                break saved(&rule);
            }
            "n" | "no" => break Ok(Next::GoOn),
            "q" | "quit" => break Ok(Next::Leave),
            _ => say::word("y, a, n or q"),
        }
    }
}

fn told(sessions: &Sessions, id: &SessionId, rule: &str) -> Result<Next, String> {
    match client::network(sessions, id, &Change::Allow(rule.to_owned())) {
        Ok(()) => say::word(format!("{rule} is allowed: the agent may try again")),
        Err(why) => say::error(why),
    }
    Ok(Next::GoOn)
}

fn saved(rule: &str) -> Result<Next, String> {
    let args = RuleArgs {
        rule: rule.to_owned(),
        session: None,
        save: true,
        profile: None,
    };
    match save::save(&args, List::Allow) {
        Ok(text) => say::word(text.trim_end()),
        Err(why) => say::error(format!("not saved: {why}")),
    }
    Ok(Next::GoOn)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::NetworkMode;
    use crate::policy::Origin;

    #[test]
    fn only_a_missing_rule_is_asked_about() {
        let origin = Origin::agentbox("test");
        let mut network = Network::of(NetworkMode::Filtered, origin);
        network.allow_now("granted.test:22").unwrap();
        network.deny_now("denied.test").unwrap();
        for (to, port, want) in [
            ("a.test", None, Some("a.test")),
            ("a.test", Some(443), Some("a.test")),
            ("a.test", Some(5432), Some("a.test:5432")),
            ("granted.test", Some(22), None),
            ("granted.test", Some(2222), Some("granted.test:2222")),
            ("denied.test", Some(443), None),
            ("192.0.2.1", Some(443), Some("192.0.2.1")),
            // `--host-port` is another thing, and no rule.
            ("127.0.0.1", Some(5432), None),
            ("localhost", Some(5432), None),
            // What anybody in the box may write there.
            ("a.test\u{1b}[2J", None, None),
            ("*", Some(443), None),
            ("*.a.test", Some(443), None),
            ("192.0.2.0/24", Some(443), None),
            ("a.test+private", Some(443), None),
            ("a.test:22", Some(443), None),
        ] {
            let got = missing(&network, to, port);
            assert_eq!(got.as_deref(), want, "{to} {port:?}");
        }
    }
}
