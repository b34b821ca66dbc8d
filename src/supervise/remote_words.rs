//! What is said of remote switches.

#![forbid(unsafe_code)]

use crate::outcome::Trigger;
use crate::plan::remote::{OnUnreachable, Remote, Target};
use crate::watch::message::{By, Notice};
use std::time::Duration;

/// How one is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Said<'a> {
    /// It was asked and is not on.
    Clear(By),
    /// It gives no answer.
    Unreachable(&'a str),
    /// It answers again after that time.
    Back(Duration),
}

/// `remote switch ops (https://...): ...`.
pub(super) fn line(remote: &Remote, said: Said<'_>) -> String {
    let switch = &remote.switch;
    let what = match said {
        Said::Clear(By::Asking) => format!("clear; asked every {}", time(switch.interval)),
        Said::Clear(By::Push) => format!(
            "clear; tells at once, and is asked every {}",
            time(switch.interval)
        ),
        Said::Unreachable(why) => {
            let then = match switch.on_unreachable {
                OnUnreachable::Continue => "the session goes on without it",
                OnUnreachable::Pause => "everything is paused until it answers",
                OnUnreachable::Stop => "everything is killed",
            };
            match switch.on_unreachable {
                OnUnreachable::Continue => format!("unreachable: {why}; {then}"),
                _ => format!(
                    "unreachable: {why}; after {} without an answer {then}",
                    time(switch.grace)
                ),
            }
        }
        Said::Back(silent) => format!("answers again after {} s", silent.as_secs()),
    };
    format!("remote switch {} ({}): {what}", switch.name, switch.target)
}

/// What is recorded and said of one that is on.
#[must_use]
pub fn stopped(remote: &Remote, notice: &Notice) -> Trigger {
    let resume = match remote.switch.target {
        Target::Exec { .. } => "to start again: lift it where it was set".to_owned(),
        _ => format!(
            "to start again: `agentbox start --remote {}`",
            remote.switch.name
        ),
    };
    Trigger::Switch {
        which: which(remote),
        owner: notice.by.as_ref().map(ToString::to_string),
        since: None,
        reason: notice.reason.as_ref().map(ToString::to_string),
        resume,
    }
}

/// It has been unreachable for its grace.
pub(super) fn unreachable(remote: &Remote, why: &str) -> Trigger {
    let grace = time(remote.switch.grace);
    Trigger::Switch {
        which: format!(
            "{}, which has given no proof of life for {grace}: {why}",
            which(remote)
        ),
        owner: None,
        since: None,
        reason: None,
        resume: remedy(remote),
    }
}

/// It is unreachable before the start.
pub(super) fn refusal(remote: &Remote, why: &str) -> String {
    format!(
        "not started: {} is unreachable: {why}; {}",
        which(remote),
        remedy(remote)
    )
}

fn which(remote: &Remote) -> String {
    format!(
        "the remote switch {} ({})",
        remote.switch.name, remote.switch.target
    )
}

fn remedy(remote: &Remote) -> String {
    format!(
        "make it reachable (`agentbox status` asks it), or set on-unreachable = \"continue\" at {}",
        remote.origin
    )
}

/// Seconds for people.
pub(super) fn time(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{} ms", (seconds * 1000.0).round())
    } else {
        format!("{} s", (seconds * 10.0).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(
            (time(0.2), time(1.0), time(2.55)),
            ("200 ms".into(), "1 s".into(), "2.6 s".into())
        );
    }
}
