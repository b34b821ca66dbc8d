//! A start that is called off. While the supervisor plans and builds it hears nothing, and a slow disk or a huge tree can make that
//! long: the signal that would have ended the command ends the start.

#![forbid(unsafe_code)]

use super::{Client, ClientEnd, Interrupt, Phase, Role};
use crate::sys::process;
use crate::sys::sigaction::is_ignored;
use nix::poll::PollTimeout;
use nix::sys::signal::Signal;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How long the start may go on all the same. Nearly every one is over by then, and its command gets the signal.
const PATIENCE: Duration = Duration::from_secs(1);

/// A signal that ends a start.
#[derive(Debug, Clone, Copy)]
pub(super) struct CalledOff {
    signal: Signal,
    until: Instant,
}

impl Client {
    /// A signal arrived: of one that ends programs the start gets [`PATIENCE`], of a second SIGTERM none.
    pub(super) fn call_off(&mut self, signal: Signal) {
        let ends = matches!(
            signal,
            Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTERM | Signal::SIGHUP
        );
        if !ends
            || self.phase != Phase::Building
            || self.role != Role::Owner
            // A signal that is blocked comes although it is ignored (`nohup`, a job of the background).
            || is_ignored(signal)
        {
            return;
        }
        let again = self.called_off.is_some();
        let first = self.called_off.get_or_insert(CalledOff {
            signal,
            until: Instant::now() + PATIENCE,
        });
        if again && signal == Signal::SIGTERM {
            first.until = Instant::now();
        }
    }

    /// How long may be waited for the next event.
    pub(super) fn patience(&self) -> PollTimeout {
        let building = self.called_off.filter(|_| self.phase == Phase::Building);
        building.map_or(PollTimeout::NONE, |off| {
            let rest = off.until.saturating_duration_since(Instant::now());
            // Rounded up: a wait of nothing would be a loop.
            let ms = u16::try_from(rest.as_millis() + 1).unwrap_or(u16::MAX);
            PollTimeout::from(ms)
        })
    }

    /// Ends the start when its time is over: everything that builds dies with the supervisor.
    pub(super) fn lose_patience(&mut self) {
        let due = self.called_off.filter(|off| off.until <= Instant::now());
        let (Some(CalledOff { signal, .. }), Phase::Building) = (due, self.phase) else {
            return;
        };
        if let Some(supervisor) = &self.supervisor {
            let _ = process::pidfd_signal(supervisor.as_fd(), libc::SIGKILL);
        }
        let typed = match self.interrupt {
            Interrupt::Typed(scope) | Interrupt::Fatal(scope) if signal == Signal::SIGINT => {
                Some(scope)
            }
            _ => None,
        };
        self.control = None;
        self.data = None;
        self.last.push(format!(
            "the start was ended by {}; the command was not started",
            signal.as_str()
        ));
        self.phase = Phase::Over(ClientEnd::CalledOff(signal, typed));
    }
}
