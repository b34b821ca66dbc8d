//! A start that is called off. While the supervisor plans and builds it hears nothing, and a slow disk or a huge tree can make that
//! long: the signal that would have ended the command ends the start.
//!
//! And a command of `agentbox exec` that is given up: what is in the box may stop it, again and again, or have it ignore SIGTERM.

#![forbid(unsafe_code)]

use super::{Client, ClientEnd, Interrupt, Phase, Role};
use crate::launch::message::SignalTo;
use crate::sys::process;
use crate::sys::sigaction::is_ignored;
use nix::poll::PollTimeout;
use nix::sys::signal::Signal;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How long the start may go on all the same. Nearly every one is over by then, and its command gets the signal.
const PATIENCE: Duration = Duration::from_secs(1);

/// SIGTERMs this close together are one wish: timeout(1) sends one to the command and one to the group.
const TOGETHER: Duration = Duration::from_millis(50);

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

    /// SIGTERM for a command that joined. The first is the command's; the second is SIGKILL, as for `run`, and if not even
    /// that has an answer within [`PATIENCE`] (the box is frozen, the supervisor stopped), the client leaves.
    pub(super) fn terminate(&mut self, to: SignalTo) {
        let now = Instant::now();
        let first = *self.terminated.get_or_insert(now);
        if first == now || self.called_off.is_some() {
            return self.forward(Signal::SIGTERM, to);
        }
        if now < first + TOGETHER {
            return;
        }
        self.called_off = Some(CalledOff {
            signal: Signal::SIGTERM,
            until: now + PATIENCE,
        });
        self.forward(Signal::SIGKILL, to);
    }

    /// How long may be waited for the next event.
    pub(super) fn patience(&self) -> PollTimeout {
        self.called_off
            .filter(|_| self.waits_for_end())
            .map_or(PollTimeout::NONE, |off| {
                let rest = off.until.saturating_duration_since(Instant::now());
                // Rounded up: a wait of nothing would be a loop.
                let ms = u16::try_from(rest.as_millis() + 1).unwrap_or(u16::MAX);
                PollTimeout::from(ms)
            })
    }

    /// Is it still the start, or the command that joined, whose end is waited for?
    fn waits_for_end(&self) -> bool {
        match self.role {
            Role::Joiner => !matches!(self.phase, Phase::Over(_)),
            Role::Owner | Role::Viewer => self.phase == Phase::Building,
        }
    }

    /// Ends the start when its time is over: everything that builds dies with the supervisor.
    pub(super) fn lose_patience(&mut self) {
        let due = self.called_off.filter(|off| off.until <= Instant::now());
        let Some(CalledOff { signal, .. }) = due.filter(|_| self.waits_for_end()) else {
            return;
        };
        if self.role == Role::Joiner {
            // The supervisor hangs up on the command when the connection is gone.
            self.control = None;
            self.data = None;
            self.last.push(
                "the command did not end by SIGKILL within a second (the session is paused, or its supervisor is stopped): it \
                 was left; `agentbox ps` shows the session, `agentbox kill ID` ends it"
                    .to_owned(),
            );
            self.phase = Phase::Over(ClientEnd::CalledOff(signal, None));
            return;
        }
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
