//! The host's terminal in the client: raw mode with a guard, whose turn it is, and reading and writing without waiting.

#![forbid(unsafe_code)]

use crate::launch::pty::{HostOutput, HostTerminal, Keyboard};
use crate::sys::tty::{self, EdgeWatch, Winsize};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{
    FlushArg, OutputFlags, SetArg, SpecialCharacterIndices, Termios, cfmakeraw, tcflush, tcgetattr,
    tcsetattr,
};
use nix::unistd::{getpgrp, isatty, read, tcgetpgrp, write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// The most bytes written at once where a write may wait: what a terminal that poll(2) calls writable takes.
const SMALL: usize = 256;

/// What becomes of input that nobody has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It stays for whoever reads next.
    Keep,
    /// It is thrown away: answers of the terminal to questions of a program that is gone.
    Discard,
}

/// One direction of the terminal.
#[derive(Debug)]
struct Side {
    fd: OwnedFd,
    /// Bytes of one write.
    chunk: usize,
}

/// The host's terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    /// `None`: stdin is no terminal and nobody asked for the keyboard, so it is not ours and raw mode is not entered.
    input: Option<Side>,
    /// `None`: there is nothing to write to.
    output: Option<Side>,
    processing: HostOutput,
    keyboard: Keyboard,
    /// The settings to put back, while the terminal is raw.
    saved: Option<Termios>,
    /// The same, after the turn was lost without a chance to put them back (SIGSTOP, then `bg`).
    owed: Option<Termios>,
}

impl Terminal {
    /// The terminal of the three descriptors: the keyboard is the first, if it is one; output goes to the first terminal of
    /// stdout, stderr, stdin.
    pub(super) fn open(host: &HostTerminal, stdio: [BorrowedFd<'_>; 3]) -> Terminal {
        let [stdin, stdout, stderr] = stdio;
        let is = |fd: &BorrowedFd<'_>| isatty(*fd).unwrap_or(false);
        Terminal {
            input: Some(stdin).filter(is).and_then(Side::open),
            output: [stdout, stderr, stdin]
                .into_iter()
                .find(is)
                .and_then(Side::open),
            processing: host.output,
            keyboard: host.keyboard,
            saved: None,
            owed: None,
        }
    }

    /// From now on the keyboard is ours, though stdin is something else.
    pub(super) fn take_keyboard(&mut self) {
        let Keyboard::OnDemand { output } = self.keyboard else {
            return;
        };
        // By this name and not by the screen's descriptor, which need not be open for reading.
        if self.input.is_none() {
            self.input = Side::open_at("/dev/tty").ok();
            self.processing = output;
        }
    }

    /// Was the interrupt key typed? The kernel tells nobody, while the terminal is raw.
    pub(super) fn is_interrupted_by(&self, typed: &[u8]) -> bool {
        let keys = self.saved.as_ref().map(|saved| saved.control_chars);
        let key = keys.and_then(|keys| keys.get(SpecialCharacterIndices::VINTR as usize).copied());
        key.is_some_and(|key| typed.contains(&key))
    }

    /// The keyboard.
    pub(super) fn input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().map(|side| side.fd.as_fd())
    }

    /// The screen.
    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(|side| side.fd.as_fd())
    }

    /// The terminal was hung up: no call on it works any more.
    pub(super) fn is_gone(&self) -> bool {
        self.input().is_none_or(|fd| tcgetattr(fd).is_err())
    }

    /// The keyboard is gone (hang-up).
    pub(super) fn close_input(&mut self) {
        self.leave_raw(Unread::Keep);
        self.input = None;
    }

    /// The screen is gone.
    pub(super) fn close_output(&mut self) {
        self.output = None;
    }

    /// Reads what was typed. End of file and EIO are hang-ups.
    pub(super) fn read(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        match &self.input {
            Some(side) => read(&side.fd, buf),
            None => Ok(0),
        }
    }

    /// Writes as much as the terminal takes now.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match &self.output {
            Some(side) => {
                let chunk = bytes.get(..side.chunk.min(bytes.len())).unwrap_or(bytes);
                write(&side.fd, chunk)
            }
            None => Err(Errno::EIO),
        }
    }

    /// A write may wait, so poll(2) has to be asked before each.
    pub(super) fn write_may_wait(&self) -> bool {
        self.output.as_ref().is_some_and(|side| side.chunk == SMALL)
    }

    /// Its size.
    pub(super) fn size(&self) -> Option<Winsize> {
        let fd = self.input().or_else(|| self.output())?;
        tty::window_size(fd).ok()
    }

    /// True while the terminal is raw.
    pub(super) fn is_raw(&self) -> bool {
        self.saved.is_some()
    }

    /// True if this process group is the one that the terminal's keys belong to.
    pub(super) fn is_foreground(&self) -> bool {
        match self.input().map(tcgetpgrp) {
            Some(Ok(group)) => group == getpgrp(),
            // Not our controlling terminal (ENOTTY): job control does not apply to us there.
            Some(Err(Errno::ENOTTY)) => true,
            Some(Err(_)) | None => false,
        }
    }

    /// Raw mode, if the keyboard is ours and it is our turn; else it counts as not raw. In the background the call would stop
    /// us by SIGTTOU.
    pub(super) fn enter_raw(&mut self) {
        if !self.is_foreground() {
            self.owed = self.saved.take().or(self.owed.take());
            return;
        }
        let Some(fd) = self.input() else { return };
        let before = match self.saved.as_ref().or(self.owed.as_ref()) {
            // Continued after a SIGSTOP, which left no time to put anything back: what is set now is the shell's or ours.
            Some(saved) => saved.clone(),
            None => match tcgetattr(fd) {
                Ok(termios) => termios,
                Err(_) => return,
            },
        };
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        if self.processing == HostOutput::Cooked {
            let post = before.output_flags & OutputFlags::OPOST;
            raw.output_flags.insert(post);
        }
        // Not TCSAFLUSH: what was typed ahead is for the command. Not TCSADRAIN: it waits, for ever on a stopped terminal.
        if tcsetattr(fd, SetArg::TCSANOW, &raw).is_ok() {
            self.saved = Some(before);
            self.owed = None;
        }
    }

    /// Puts the settings back as they were.
    pub(super) fn leave_raw(&mut self, unread: Unread) {
        let Some(saved) = self.saved.take() else {
            return;
        };
        // In the background the shell has its own settings there; putting ours back would spoil them.
        if !self.is_foreground() {
            return;
        }
        let Some(fd) = self.input() else { return };
        let mut ttou = SigSet::empty();
        ttou.add(Signal::SIGTTOU);
        // If the turn is lost between the look and the call, the call must neither stop us nor fail.
        let before = ttou.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK);
        // TCSANOW and not TCSADRAIN or TCSAFLUSH: those wait until the terminal has taken all output, for ever if it is
        // stopped. An error means that the terminal is gone, and its settings with it.
        let _gone = tcsetattr(fd, SetArg::TCSANOW, &saved);
        if unread == Unread::Discard {
            let _gone = tcflush(fd, FlushArg::TCIFLUSH);
        }
        if let Ok(before) = before {
            let _restored = before.thread_set_mask();
        }
    }

    /// Tells of input that arrives while the keyboard is not ours. `None` if it cannot be watched.
    pub(super) fn watch(&self) -> Option<EdgeWatch> {
        EdgeWatch::new(self.input()?).ok()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.leave_raw(Unread::Discard);
    }
}

impl Side {
    /// A new open file of the same terminal, so that O_NONBLOCK is not set for the caller's shell, too. Where it cannot be
    /// opened (no /proc, a terminal of another user after su(1)), a duplicate that may wait.
    fn open(fd: BorrowedFd<'_>) -> Option<Side> {
        Side::open_at(&format!("/proc/self/fd/{}", fd.as_raw_fd())).map_or_else(
            |_| {
                let fd = fd.try_clone_to_owned().ok()?;
                Some(Side { fd, chunk: SMALL })
            },
            Some,
        )
    }

    fn open_at(path: &str) -> std::io::Result<Side> {
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags.bits())
            .open(path)?;
        Ok(Side {
            fd: file.into(),
            chunk: usize::MAX,
        })
    }
}
