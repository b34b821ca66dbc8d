//! The process that writes the head of a session's record beside a switch. It holds no more power than one that asks, and
//! outlives its supervisor by one question: so that the last word is written and nobody waits for it. A supervisor that ends
//! without one was killed, and that is what is written then.

#![forbid(unsafe_code)]

use super::head::{Head, State};
use super::message::{FromWatch, ToWatch};
use super::process::{AGAIN, jitter, seconds};
use super::source::Source;
use crate::gate::message::Text;
use crate::launch::channel::{Channel, Received};
use crate::plan::remote::RemoteSwitch;
use crate::record::Timestamp;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often at most it is written: an agent may stop and continue itself as often as it likes.
const AT_MOST: Duration = Duration::from_secs(1);
/// How often at least, so that who reads it knows that it is not of a host that was switched off.
const AT_LEAST: Duration = Duration::from_secs(3600);

/// Publishes until the channel ends or the session has.
pub(super) fn publish(
    switch: &RemoteSwitch,
    mut source: Box<dyn Source>,
    channel: &Channel,
) -> ExitCode {
    let Some(to) = switch.publish.as_deref() else {
        return ExitCode::FAILURE;
    };
    let (interval, timeout) = (seconds(switch.interval), seconds(switch.timeout));
    let mut write = |head: &mut Head| {
        head.written = Timestamp::now();
        let body = serde_json::to_string(head).map_err(|e| e.to_string())?;
        source.publish(to, &body, Instant::now() + timeout)
    };
    let mut head: Option<Head> = None;
    let mut failures = 0u32;
    let mut due = Instant::now() + AT_LEAST;
    let mut soonest = Instant::now();
    loop {
        let over = match hear(channel, &mut head) {
            Heard::News => {
                due = soonest;
                false
            }
            Heard::Nothing => false,
            Heard::End => true,
        };
        if let Some(head) = &mut head {
            if over && !head.state.is_last() {
                (head.state, head.changed) = (State::Lost, Timestamp::now());
            }
            if over || head.state.is_last() {
                return match write(head) {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(why) => {
                        let why = Text::of(why);
                        let _ = channel.try_send(&FromWatch::Unpublished { why }, &[]);
                        ExitCode::FAILURE
                    }
                };
            }
        } else if over {
            return ExitCode::SUCCESS;
        }
        let now = Instant::now();
        if let Some(head) = head.as_mut().filter(|_| due <= now) {
            match write(head) {
                Ok(()) => {
                    if std::mem::take(&mut failures) > 0 {
                        let _ = channel.try_send(&FromWatch::Published, &[]);
                    }
                    let now = Instant::now();
                    (soonest, due) = (now + AT_MOST, now + AT_LEAST);
                }
                Err(why) => {
                    let why = Text::of(why);
                    let _ = channel.try_send(&FromWatch::Unpublished { why }, &[]);
                    let pause = AGAIN.saturating_mul(1 << failures.min(16)).min(interval);
                    failures += 1;
                    soonest = Instant::now() + pause + jitter(switch);
                    due = soonest;
                }
            }
        }
        wait(channel, due);
    }
}

enum Heard {
    News,
    Nothing,
    End,
}

/// Takes all that was said: the last of it counts.
fn hear(channel: &Channel, head: &mut Option<Head>) -> Heard {
    let mut heard = Heard::Nothing;
    loop {
        match channel.try_recv::<ToWatch>() {
            Ok(Received::Message(ToWatch::Head(news), _)) => {
                *head = Some(*news);
                heard = Heard::News;
            }
            Ok(Received::Nothing) => return heard,
            Ok(Received::Message(..) | Received::End) | Err(_) => return Heard::End,
        }
    }
}

fn wait(channel: &Channel, until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    let timeout =
        PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
    let mut set = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut set, timeout);
}
