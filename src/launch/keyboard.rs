//! Init's end of the box's terminal, and who reads it. A command whose stdin is no terminal starts in the terminal's
//! background, as sudo(8) does it: the kernel stops it (SIGTTIN, SIGTTOU) when it first reads /dev/tty or sets it, and that is
//! how it is known that the keyboard is wanted. Taken from the start it would be taken from the pipeline's other programs,
//! from boxes beside this one (`xargs -P`, `make -j`) and from the shell.

#![forbid(unsafe_code)]

use super::message::FromInit;
use super::pty::{HostOutput, HostTerminal, Keyboard};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::termios::{OutputFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpgid, getpgrp, tcgetpgrp, tcsetpgrp};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

/// What the kernel sends to the foreground group, which is init's own while nobody has asked for the keyboard.
const OF_THE_TERMINAL: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTSTP,
    Signal::SIGWINCH,
];

/// Whose the keyboard is.
#[derive(Clone, Copy)]
enum Turn {
    /// Nobody has asked for it; who does the output processing once somebody does.
    Waits(HostOutput),
    /// It was asked for, and the client is making the caller's terminal raw.
    Asked(HostOutput),
    /// The command's.
    Given,
}

/// The box's terminal.
pub(super) struct BoxTerminal {
    /// A master whose last slave is closed reports a hang-up, so init keeps one.
    slave: OwnedFd,
    turn: Turn,
    /// What output processing the caller's terminal does.
    processing: OutputFlags,
}

impl BoxTerminal {
    pub(super) fn new(slave: OwnedFd, host: &HostTerminal) -> BoxTerminal {
        BoxTerminal {
            slave,
            turn: match host.keyboard {
                Keyboard::AtOnce => Turn::Given,
                Keyboard::OnDemand { output } => Turn::Waits(output),
            },
            processing: host.termios.output_flags & OutputFlags::OPOST,
        }
    }

    /// The slave.
    pub(super) fn slave(&self) -> BorrowedFd<'_> {
        self.slave.as_fd()
    }

    /// Signals that init has to pass on.
    pub(super) fn signals(&self) -> SigSet {
        match self.turn {
            Turn::Given => SigSet::empty(),
            Turn::Waits(_) | Turn::Asked(_) => OF_THE_TERMINAL.into_iter().collect(),
        }
    }

    /// The command's process group, in the child: it becomes the foreground, unless the keyboard is to be asked for.
    pub(super) fn take_turn(&self, group: Pid) -> Result<(), Errno> {
        match self.turn {
            // From a background group this asks for SIGTTOU, which is blocked here like everything else.
            Turn::Given => tcsetpgrp(&self.slave, group),
            Turn::Waits(_) | Turn::Asked(_) => Ok(()),
        }
    }

    /// The foreground group, if it is one of the box's programs.
    pub(super) fn foreground(&self) -> Option<Pid> {
        // A group of 0 or -1 would be init itself or everybody.
        let group = tcgetpgrp(&self.slave).ok()?;
        (group.as_raw() > 1 && group != getpgrp()).then_some(group)
    }

    /// The client has taken the caller's keyboard, and what is typed from now on is the command's. It still has to be continued.
    pub(super) fn give(&mut self, command: Pid) {
        let Turn::Asked(output) = self.turn else {
            return;
        };
        self.turn = Turn::Given;
        // Of a terminal that is raw, as the caller's is, the line ends are made here.
        if let (HostOutput::Raw, Ok(mut termios)) = (output, tcgetattr(&self.slave)) {
            termios.output_flags.insert(self.processing);
            let _gone = tcsetattr(&self.slave, SetArg::TCSANOW, &termios);
        }
        let group = getpgid(Some(command)).unwrap_or(command);
        let _gone = tcsetpgrp(&self.slave, group);
    }

    /// A key or a new size that the kernel told init of.
    pub(super) fn pass_on(&self, command: Pid, signal: u32) {
        let is_ours = |s: &&Signal| u32::try_from(**s as i32) == Ok(signal);
        if !matches!(self.turn, Turn::Given)
            && let Some(signal) = OF_THE_TERMINAL.iter().find(is_ours)
        {
            let group = getpgid(Some(command)).unwrap_or(command);
            let _gone = kill(Pid::from_raw(-group.as_raw()), *signal);
        }
    }
}

/// What the supervisor is told of a command that was stopped. Nothing while the keyboard is on its way, which it was told to wait
/// for: a program that read before the caller's terminal is raw would lose a Ctrl-C to the pipeline.
pub(super) fn word_of_stop(terminal: Option<&mut BoxTerminal>, signal: i32) -> Option<FromInit> {
    let asks = [Signal::SIGTTIN as i32, Signal::SIGTTOU as i32].contains(&signal);
    let turn = terminal.filter(|_| asks).map(|terminal| &mut terminal.turn);
    let Some(turn) = turn else {
        return Some(FromInit::Stopped { signal });
    };
    match *turn {
        Turn::Waits(output) => {
            *turn = Turn::Asked(output);
            Some(FromInit::Keyboard)
        }
        Turn::Asked(_) => None,
        Turn::Given => Some(FromInit::Stopped { signal }),
    }
}

/// Continues the command's group and the foreground's (as kill(2) names a group). Once where both are the same: a program that
/// draws its screen anew at SIGCONT would do it twice, the second time over the first.
pub(super) fn go_on(command: Pid, foreground: Pid) {
    let own = Pid::from_raw(-command.as_raw());
    let _gone = kill(own, Signal::SIGCONT);
    if foreground != own {
        let _gone = kill(foreground, Signal::SIGCONT);
    }
}
