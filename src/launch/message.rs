//! What the processes of one session say to each other. One message is one packet of a SOCK_SEQPACKET socket, JSON by
//! serde; descriptors ride along by SCM_RIGHTS. An unknown or oversized message is an error for that connection.

#![forbid(unsafe_code)]

use crate::launch::join::Join;
use crate::outcome::{Evidence, How};
use crate::plan::net::listen::Listener;
use serde::{Deserialize, Serialize};

/// The most bytes of one message.
pub const MAX: usize = 128 * 1024;

/// Whether who asked for a command was told of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// By init.
    Already,
    /// By nobody.
    NotYet,
}

/// From the supervisor to init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToInit {
    /// The id maps are written (root callers only; others write their own) and the cgroup is joined.
    Mapped,
    /// The evidence was accepted: execute the command.
    Go,
    /// Make a TCP socket in the box's network namespace: [`FromInit::Socket`] answers, in the order of the requests.
    Socket {
        /// Of which family.
        family: Family,
    },
    /// Send a signal to the command.
    Signal {
        /// Its number.
        signal: i32,
        /// To whom.
        to: SignalTo,
    },
    /// The client runs again: continue what was stopped.
    Continue,
    /// The keyboard of [`FromInit::Keyboard`] is the command's; [`ToInit::Continue`] follows.
    Keyboard,
    /// Stop everything; answered by [`FromInit::Still`].
    Pause,
    /// Let everything go on.
    Resume,
    /// Start a command beside the first, with the descriptors of [`Join::stdio`] and, behind them, the connection of who
    /// asked; answered by [`FromInit::Joined`] if it has a terminal.
    Join {
        /// Its number, which the supervisor chose.
        id: u32,
        /// What to start.
        join: Join,
        /// Where its terminal comes from, if it has one.
        pty: PtyFrom,
    },
    /// Send a signal to the process group of a command that joined.
    JoinSignal {
        /// Which one.
        id: u32,
        /// The number of the signal.
        signal: i32,
    },
}

/// Where the pseudo-terminal of a command that joins comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PtyFrom {
    /// Init makes it in the box's own devpts.
    Init,
    /// Master and slave are in the message, before the connection of who asked: where the terminals are the place's, Landlock
    /// lets nobody in the box open one.
    Message,
}

/// The family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Who receives a forwarded signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignalTo {
    /// The command alone: somebody used kill(1) on agentbox.
    Command,
    /// The foreground process group: a key was pressed on a terminal.
    Foreground,
}

/// From init to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromInit {
    /// Listeners of a filtered network, with as many descriptors; as often as it takes, and before `Ready`.
    Listeners {
        /// What each descriptor is.
        list: Vec<Listener>,
    },
    /// A socket that was asked for, neither bound nor connected; without a descriptor if it could not be made.
    Socket {
        /// The errno of socket(2), 0 if it was made.
        errno: i32,
    },
    /// The view is the box's own root. With the namespaces as descriptors, in the order of `enforce::build::NAMESPACES`, so that
    /// the keeper can join while init goes on.
    Rooted,
    /// The box stands. With descriptors: the file of the plan in the box (if there is a view), the pseudo-terminal's master (if
    /// there is one), HOME of the box (if there are state files), in this order.
    Ready {
        /// What was found to hold.
        evidence: Vec<Evidence>,
    },
    /// A step failed; init ends.
    Failed {
        /// The step of `enforce::STEPS`.
        step: String,
        /// What was tried, on what, with what errno in words, and the remedy.
        why: String,
        /// The errno, 0 if there is none.
        errno: i32,
    },
    /// The command runs.
    Started,
    /// The command was stopped by a signal of its terminal (Ctrl-Z).
    Stopped {
        /// The signal.
        signal: i32,
    },
    /// The command reads its terminal, which it did not have as stdin, and is stopped until [`ToInit::Keyboard`].
    Keyboard,
    /// Everything is stopped, after [`ToInit::Pause`].
    Still,
    /// The command was told that its terminal is gone, which the terminal is to bear out.
    HungUp,
    /// What was stopped so goes on however often it is stopped again.
    Restless,
    /// A command that joined runs, with the master of its pseudo-terminal. Not said of one without.
    Joined {
        /// Which one.
        id: u32,
    },
    /// A command that joined ended, or could not be started.
    JoinEnded {
        /// Which one.
        id: u32,
        /// How.
        how: How,
        /// Whether who asked knows it already.
        told: Told,
    },
    /// The command ended; init ends with it.
    Ended {
        /// How.
        how: How,
        /// User and system time of what was reaped, in milliseconds.
        cpu_ms: u64,
        /// The largest resident set, in KiB.
        max_rss_kib: u64,
    },
}

/// From the terminal client to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromClient {
    /// The window has this size now.
    Resize {
        /// Rows of text.
        rows: u16,
        /// Columns of text.
        cols: u16,
        /// Pixels across.
        xpixel: u16,
        /// Pixels down.
        ypixel: u16,
    },
    /// The client received a signal that is to be forwarded.
    Signal {
        /// Its number.
        signal: i32,
        /// To whom it goes.
        to: SignalTo,
    },
    /// The client runs again after a stop.
    Continued,
    /// The terminal is raw, after [`ToClient::Keyboard`], or cannot be had.
    Keyboard,
}

/// From the supervisor to the terminal client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToClient {
    /// Lines for the caller's stderr, each without the prefix and newline.
    Say {
        /// The text.
        line: String,
    },
    /// The same, but behind all that the box has put on the terminal.
    Last {
        /// The text.
        line: String,
    },
    /// The command runs; from now on the terminal is its.
    Started {
        /// It has a pseudo-terminal: relay the data socket, raw mode if stdin is a terminal.
        pty: bool,
    },
    /// The command was stopped: give the terminal back and stop yourself the same way.
    Stopped {
        /// The signal.
        signal: i32,
    },
    /// The command reads its terminal, which is not its stdin: from now on what is typed is its.
    Keyboard,
    /// It was SIGINT that ended the command; `Ended` follows.
    Interrupted,
    /// You may leave: the session goes on (`run --detach`, `agentbox detach`).
    Detached {
        /// Its name.
        session: String,
    },
    /// The session is over and nothing of it is left; all output has been written to the data socket before.
    Ended {
        /// The exit status of `agentbox run`.
        status: u8,
    },
}
