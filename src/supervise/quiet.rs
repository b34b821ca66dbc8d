//! [`Meter`]: the limits `idle` and `output`, which count what passes the terminal.

#![forbid(unsafe_code)]

use crate::outcome::Trigger;
use crate::plan::{LimitName, Plan};
use std::time::{Duration, Instant};

/// Counts, and says when it is enough.
#[derive(Debug)]
pub(super) struct Meter {
    idle: Option<Duration>,
    most: Option<u64>,
    /// What had passed when it was looked at last, and when something last did.
    seen: (u64, u64),
    since: Instant,
    /// When it is to be looked at: moved only when it has come, so that a busy terminal costs no timer.
    look: Option<Instant>,
}

impl Meter {
    pub(super) fn new(plan: &Plan, now: Instant) -> Meter {
        let idle = plan
            .limits
            .get(LimitName::Idle)
            .and_then(|limit| Duration::try_from_secs_f64(limit.value).ok());
        Meter {
            idle,
            most: plan
                .limits
                .get(LimitName::Output)
                .map(crate::plan::Limit::whole),
            seen: (0, 0),
            since: now,
            look: idle.and_then(|idle| now.checked_add(idle)),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.look
    }

    /// `traffic` is what was written and typed since the start. A box that was paused is not idle.
    pub(super) fn see(
        &mut self,
        traffic: (u64, u64),
        paused: bool,
        now: Instant,
    ) -> Option<Trigger> {
        if traffic != self.seen || paused {
            self.seen = traffic;
            self.since = now;
        }
        if self.most.is_some_and(|most| traffic.0 > most) {
            return Some(Trigger::Output);
        }
        let (idle, look) = (self.idle?, self.look?);
        if look > now {
            return None;
        }
        if now.saturating_duration_since(self.since) >= idle {
            self.look = None;
            return Some(Trigger::Idle);
        }
        self.look = self.since.checked_add(idle);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(idle: Option<u64>, most: Option<u64>, now: Instant) -> Meter {
        let idle = idle.map(Duration::from_secs);
        Meter {
            idle,
            most,
            seen: (0, 0),
            since: now,
            look: idle.map(|idle| now + idle),
        }
    }

    #[test]
    fn only_silence_is_idle() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut meter = meter(Some(10), None, start);
        assert_eq!(meter.see((5, 0), false, at(9)), None);
        assert_eq!(meter.see((5, 0), false, at(10)), None);
        assert_eq!(meter.deadline(), Some(at(19)));
        // Typed, then paused.
        assert_eq!(meter.see((5, 1), false, at(18)), None);
        assert_eq!(meter.see((5, 1), true, at(27)), None);
        assert_eq!(meter.see((5, 1), false, at(36)), None);
        assert_eq!(meter.see((5, 1), false, at(37)), Some(Trigger::Idle));
        assert_eq!(meter.deadline(), None);
    }

    #[test]
    fn output_is_counted_and_input_is_not() {
        let now = Instant::now();
        let mut meter = meter(None, Some(100), now);
        assert_eq!(meter.deadline(), None);
        assert_eq!(meter.see((100, 5000), false, now), None);
        assert_eq!(meter.see((101, 5000), false, now), Some(Trigger::Output));
    }
}
