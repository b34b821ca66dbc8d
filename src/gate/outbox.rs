//! What waits to be sent to the supervisor. Requests are few (each has somebody who waits for it); events are as many as the
//! agent likes, so they are limited, and what was left out is counted and told.

#![forbid(unsafe_code)]

use super::message::{FromGate, GateEvent};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Events at once, and events a second when it goes on; refusals have their own, so that traffic cannot hide them.
const BURST: f64 = 1000.0;
const PER_SECOND: f64 = 100.0;

/// The most messages that wait.
const MAX_QUEUE: usize = 4096;

/// How long what was dropped is counted before it is told.
const TELL: Duration = Duration::from_secs(1);

/// The queue.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug)]
struct Queue {
    messages: VecDeque<FromGate>,
    refusals: Bucket,
    others: Bucket,
    dropped: u64,
    refused: u64,
    /// When the first of them was dropped.
    since: Option<Instant>,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            messages: VecDeque::new(),
            refusals: Bucket::full(),
            others: Bucket::full(),
            dropped: 0,
            refused: 0,
            since: None,
        }
    }
}

impl Queue {
    /// What was left out, which is counted anew from here on.
    fn dropped(&mut self) -> FromGate {
        let (count, refused) = (self.dropped, self.refused);
        (self.dropped, self.refused, self.since) = (0, 0, None);
        FromGate::Event(GateEvent::Dropped { count, refused })
    }
}

/// A bucket of permissions that fills again with time.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full() -> Bucket {
        Bucket {
            left: BURST,
            at: Instant::now(),
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = passed.mul_add(PER_SECOND, self.left).min(BURST);
        self.at = now;
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

impl Outbox {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that somebody waits for.
    pub fn request(&self, message: FromGate) {
        self.queue().messages.push_back(message);
        self.wake.notify_one();
    }

    /// Something for the record.
    pub fn event(&self, event: GateEvent) {
        let mut queue = self.queue();
        let is_refusal = matches!(event, GateEvent::Refused(_));
        let now = Instant::now();
        let may = if is_refusal {
            queue.refusals.take(now)
        } else {
            queue.others.take(now)
        };
        if may && queue.messages.len() < MAX_QUEUE {
            queue.messages.push_back(FromGate::Event(event));
            self.wake.notify_one();
        } else {
            if queue.since.is_none() {
                queue.since = Some(now);
                self.wake.notify_one();
            }
            queue.dropped += 1;
            queue.refused += u64::from(is_refusal);
        }
    }

    /// The next message, if there is one; the last is how much was left out.
    pub fn take(&self) -> Option<FromGate> {
        let mut queue = self.queue();
        let message = queue.messages.pop_front();
        message.or_else(|| queue.since.is_some().then(|| queue.dropped()))
    }

    /// Waits for the next message.
    pub async fn next(&self) -> FromGate {
        loop {
            let since = {
                let mut queue = self.queue();
                let due = queue.since.is_some_and(|at| at.elapsed() >= TELL);
                if due {
                    return queue.dropped();
                }
                if let Some(message) = queue.messages.pop_front() {
                    return message;
                }
                queue.since
            };
            match since {
                None => self.wake.notified().await,
                Some(at) => {
                    let _ = tokio::time::timeout_at((at + TELL).into(), self.wake.notified()).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::message::{Refused, Text, Why};
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted_and_hides_no_refusal() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let outbox = Outbox::default();
        for id in 0..5000 {
            outbox.event(GateEvent::Closed {
                id,
                sent: 0,
                received: 0,
            });
        }
        let refused = Refused {
            to: Text::of("x"),
            port: None,
            why: Why::NotGranted,
            rule: Text::default(),
        };
        outbox.event(GateEvent::Refused(refused.clone()));
        outbox.request(FromGate::NeedResolver);
        let (mut closed, mut refusals, mut requests, mut dropped) = (0, 0, 0, 0);
        runtime.block_on(async {
            while dropped == 0 {
                match outbox.next().await {
                    FromGate::Event(GateEvent::Closed { .. }) => closed += 1,
                    FromGate::Event(GateEvent::Refused(got)) => {
                        assert_eq!(got, refused);
                        refusals += 1;
                    }
                    FromGate::NeedResolver => requests += 1,
                    FromGate::Event(GateEvent::Dropped { count, refused }) => {
                        assert_eq!(refused, 0);
                        dropped = count;
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        assert_eq!((refusals, requests), (1, 1));
        assert_eq!(closed + dropped, 5000);
        assert!((1000..1200).contains(&closed), "{closed}");
    }
}
