//! The entry of the stage: is told what to watch, confines itself, and asks until its channel ends.

#![forbid(unsafe_code)]

use super::message::{self, FromWatch, Order, ToWatch};
use super::reader::Reader;
use super::source::{self, Answer, Next, Patience, Said, Source};
use super::{confine, publish};
use crate::gate::message::Text;
use crate::launch::channel::{Channel, Received};
use crate::plan::remote::{RemoteSwitch, Target};
use crate::sys::{process, random};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::CStr;
use std::os::fd::{AsFd as _, RawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The first pause after a question without an answer; it doubles up to the interval.
pub(super) const AGAIN: Duration = Duration::from_millis(500);
/// How often at most it is asked when the other side says that there is news.
const AT_MOST: Duration = Duration::from_millis(20);

/// The watch, until its channel ends.
pub fn main(channel: RawFd) -> ExitCode {
    // Nothing can be said without it: whoever starts this by hand has no channel.
    let Ok(channel) = process::take_descriptor(channel) else {
        return ExitCode::FAILURE;
    };
    let channel = Channel::from(channel);
    let (name, order, publishes) = match channel.recv::<ToWatch>() {
        Ok(Some((ToWatch::Begin(order), _))) => (c"agentbox-watch", order, false),
        Ok(Some((ToWatch::Publish(order), _))) => {
            // The last word is written when the supervisor is gone: its end is learnt by the channel's.
            if process::outlive_parent().is_err() {
                return ExitCode::FAILURE;
            }
            (c"agentbox-head", order, true)
        }
        _ => return ExitCode::FAILURE,
    };
    let (source, channel) = match begin(&order, name, channel) {
        Ok(begun) => begun,
        Err((why, channel)) => {
            // Nothing that could be better in a moment: it is said, and the supervisor starts another one.
            let why = Text::of(why);
            let message = if publishes {
                FromWatch::Unpublished { why }
            } else {
                FromWatch::Unreachable { why }
            };
            let _ = channel.send(&message, &[]);
            return ExitCode::FAILURE;
        }
    };
    if publishes {
        publish::publish(&order.switch, source, &channel)
    } else {
        watch(&order.switch, source, &channel)
    }
}

type Begun = (Box<dyn Source>, Channel);

fn begin(order: &Order, name: &CStr, channel: Channel) -> Result<Begun, (String, Channel)> {
    let switch = &order.switch;
    let timeout = seconds(switch.timeout);
    let needs = !matches!(switch.target, Target::File { .. } | Target::Exec { .. });
    let reader = if needs {
        match Reader::forked(switch.token.clone(), timeout) {
            Ok(reader) => reader,
            Err(why) => return Err((why, channel)),
        }
    } else {
        Reader::here(None, timeout)
    };
    let source = match source::open(switch, reader, &order.way) {
        Ok(source) => source,
        Err(why) => return Err((why, channel)),
    };
    match confine::confine(&switch.target, name) {
        Ok(()) => Ok((source, channel)),
        Err(why) => Err((format!("it cannot confine itself: {why}"), channel)),
    }
}

fn watch(switch: &RemoteSwitch, mut source: Box<dyn Source>, channel: &Channel) -> ExitCode {
    let (interval, timeout) = (seconds(switch.interval), seconds(switch.timeout));
    let mut failures = 0u32;
    // The first answer is waited for: the box does not start before.
    let mut patience = Patience::None;
    loop {
        let asked = Instant::now();
        let found = source.ask(patience, timeout);
        let (message, pause) = match &found {
            Ok(Answer { said, next, by }) => {
                failures = 0;
                patience = Patience::For(interval);
                let message = match said {
                    Said::Clear => FromWatch::Clear {
                        by: *by,
                        at: message::now(),
                    },
                    Said::Stop(notice) => FromWatch::Stop(notice.clone()),
                };
                let pause = match next {
                    Next::Now => AT_MOST.saturating_sub(asked.elapsed()),
                    Next::Later => interval + jitter(switch),
                };
                (message, pause)
            }
            Err(why) => {
                patience = Patience::None;
                let pause = AGAIN.saturating_mul(1 << failures.min(16)).min(interval);
                failures += 1;
                (
                    FromWatch::Unreachable { why: Text::of(why) },
                    pause + jitter(switch),
                )
            }
        };
        if channel.send(&message, &[]).is_err() {
            return ExitCode::SUCCESS;
        }
        if wait(source.as_ref(), channel, pause, asked) == Waited::End {
            return ExitCode::SUCCESS;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Waited {
    Ask,
    End,
}

/// Until the time is over, there is news, or the channel ends.
fn wait(source: &dyn Source, channel: &Channel, pause: Duration, asked: Instant) -> Waited {
    let until = Instant::now() + pause;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout =
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let timeout = if left.is_zero() {
            PollTimeout::ZERO
        } else {
            timeout
        };
        let mut set = vec![PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        set.extend(source.wakes().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let found = poll(&mut set, timeout);
        let ready = |number: usize| {
            let events = set.get(number).and_then(PollFd::revents);
            found.is_ok() && events.is_some_and(|events| !events.is_empty())
        };
        if ready(0) {
            match channel.try_recv::<ToWatch>() {
                Ok(Received::Nothing) => {}
                // It begins once; and what else could be said is not of this version.
                Ok(Received::Message(..) | Received::End) | Err(_) => return Waited::End,
            }
        }
        if ready(1) {
            let soonest = asked + AT_MOST;
            let early = soonest.saturating_duration_since(Instant::now());
            // Not sleep(3), which is another system call.
            let _ = poll(
                &mut [],
                PollTimeout::try_from(early).unwrap_or(PollTimeout::ZERO),
            );
            return Waited::Ask;
        }
        if left.is_zero() {
            return Waited::Ask;
        }
    }
}

pub(super) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::from_secs(10))
}

/// Some of the switch's jitter.
pub(super) fn jitter(switch: &RemoteSwitch) -> Duration {
    let share = random::bytes::<2>().map_or(0, u16::from_be_bytes);
    seconds(switch.jitter).mul_f64(f64::from(share) / f64::from(u16::MAX))
}
