//! The client as a job of the caller's shell: stopping with the command, going on, and whose turn it is on the terminal.

#![forbid(unsafe_code)]

use super::{Client, Phase};
use crate::launch::message::FromClient;
use crate::supervise::signals::Scope;
use crate::supervise::terminal::{Terminal, Unread};
use nix::sys::signal::Signal;

impl Client {
    /// The command was stopped, and so are we, so that the caller's shell takes over.
    pub(super) fn stopped(&mut self, signal: i32) {
        let asked = std::mem::take(&mut self.asked_to_stop);
        let raw = self.terminal.as_ref().is_some_and(Terminal::is_raw);
        let signal = match Signal::try_from(signal) {
            Ok(Signal::SIGSTOP) if !raw || asked => Signal::SIGSTOP,
            Ok(signal @ (Signal::SIGTTIN | Signal::SIGTTOU)) => signal,
            // On a terminal never SIGSTOP: where no shell could continue us (the entrypoint of a container), it would stop
            // for good, while the kernel ignores the terminal's own signals there.
            _ => Signal::SIGTSTP,
        };
        // A key pressed in raw mode reached the box only. Outside it would have stopped the whole job: the other programs of
        // a pipeline, and the script that called us and that the shell waits for.
        let scope = if raw && !asked {
            Scope::Group
        } else {
            Scope::Itself
        };
        self.show_all();
        self.stop(signal, scope);
        self.resumed();
    }

    /// Gives the terminal back, stops, and returns when continued.
    pub(super) fn stop(&mut self, signal: Signal, scope: Scope) {
        self.watch = None;
        self.discard_answers(Unread::Keep);
        if let Some(terminal) = &mut self.terminal {
            terminal.leave_raw(Unread::Keep);
        }
        self.signals.stop(signal, scope);
        let mut rest = Vec::new();
        while let Some(arrived) = self.signals.next() {
            // This is the end of this very stop, and a stop is not answered by another.
            if !matches!(arrived.signal, Signal::SIGCONT | Signal::SIGTSTP) {
                rest.push(arrived);
            }
        }
        for arrived in rest {
            self.on_signal(arrived);
        }
    }

    /// Continued: after a stop of our own, or after a SIGSTOP that nobody could prepare for.
    pub(super) fn resumed(&mut self) {
        if self.phase == Phase::Terminal {
            if let Some(terminal) = &mut self.terminal {
                terminal.enter_raw();
            }
            self.watch_unless_raw();
            self.resize();
        }
        if matches!(self.phase, Phase::Terminal | Phase::Pipes) {
            self.post(FromClient::Continued);
        }
    }

    /// The command asked for the keyboard.
    pub(super) fn take_keyboard(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.take_keyboard();
            if self.phase == Phase::Terminal {
                terminal.enter_raw();
                self.watch_unless_raw();
            }
        }
        // It waits for this with its terminal, whether it is raw now or not our turn.
        self.post(FromClient::Keyboard);
    }

    pub(super) fn watch_unless_raw(&mut self) {
        self.watch = self
            .terminal
            .as_ref()
            .filter(|terminal| !terminal.is_raw())
            .and_then(Terminal::watch);
    }

    /// In the background, something happened on the terminal: perhaps the shell has given it to us since (`fg` tells a job
    /// that was not stopped nothing).
    pub(super) fn take_turn(&mut self) {
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        terminal.enter_raw();
        if terminal.is_raw() {
            self.watch = None;
            self.resize();
        }
    }
}
