//! The box's pseudo-terminal (pty(7)): made by init in the box's own devpts, with the settings of the caller's terminal.
//! The slave is never opened by path, and the caller's own terminal never enters the box.

#![forbid(unsafe_code)]

use crate::sys::tty::{self, Winsize};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::termios::{
    InputFlags, LocalFlags, OutputFlags, SetArg, Termios, tcgetattr, tcsetattr,
};
use nix::unistd::{getpgrp, tcgetpgrp};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Who turns a newline into carriage return and newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostOutput {
    /// The box's terminal, as its programs set it: stdin and stdout are terminals, and the host's is raw in both directions.
    Raw,
    /// The host's terminal goes on doing it, because other programs may write there: a pipeline's next (`run x | tee`),
    /// or the shell, where stdin is no terminal and raw mode is not entered unasked. The box's terminal then must not.
    Cooked,
}

/// When the box's programs get what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyboard {
    /// From the start: it is their stdin. Or never, where the terminal is not the caller's own to read.
    AtOnce,
    /// Once one of them reads the terminal by another way (`git log | agentbox run less` by /dev/tty). Until then it stays
    /// whose it is: of a pipeline's other programs, of boxes beside this one, and of the shell that reads what is typed ahead.
    OnDemand {
        /// Who does the output processing from then on.
        output: HostOutput,
    },
}

/// The caller's terminal as it was before anything was changed.
#[derive(Debug, Clone)]
pub struct HostTerminal {
    /// Its settings (termios(3)).
    pub termios: Termios,
    /// Its size.
    pub winsize: Winsize,
    /// Who does the output processing.
    pub output: HostOutput,
    /// When it is read.
    pub keyboard: Keyboard,
}

/// Why there is no pseudo-terminal.
#[derive(Debug, thiserror::Error)]
pub enum PtyError {
    /// The multiplexer cannot be opened.
    #[error("cannot open {}: {errno}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// A call on the terminal failed.
    #[error("{call} on the box's pseudo-terminal: {errno}")]
    Call {
        /// The call.
        call: &'static str,
        /// Why.
        errno: Errno,
    },
}

impl PtyError {
    /// What the kernel said.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            PtyError::Open { errno, .. } | PtyError::Call { errno, .. } => *errno,
        }
    }
}

/// A pseudo-terminal. Both ends are close-on-exec.
#[derive(Debug)]
pub struct Pty {
    /// For the supervisor.
    pub master: OwnedFd,
    /// For the box. Init keeps a descriptor of it open as long as it lives: a master whose last slave is closed reports a
    /// hang-up, and the relay takes that as the end.
    pub slave: OwnedFd,
}

impl HostTerminal {
    /// Looks at descriptors 0 to 2, in this order; `None` if none is a terminal. Changes nothing.
    #[must_use]
    pub fn capture() -> Option<HostTerminal> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        HostTerminal::of([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
    }

    /// The same, or a terminal of 24 lines with the kernel's own settings if none of them is one.
    ///
    /// # Errors
    /// The errno of openpty(3).
    pub fn capture_or_default() -> Result<HostTerminal, Errno> {
        if let Some(found) = HostTerminal::capture() {
            return Ok(HostTerminal {
                output: HostOutput::Raw,
                keyboard: Keyboard::AtOnce,
                ..found
            });
        }
        let pty = nix::pty::openpty(None, None)?;
        Ok(HostTerminal {
            termios: tcgetattr(&pty.slave)?,
            winsize: Winsize {
                rows: 24,
                cols: 80,
                ..Winsize::default()
            },
            output: HostOutput::Raw,
            keyboard: Keyboard::AtOnce,
        })
    }

    /// The same for any three descriptors.
    #[must_use]
    pub fn of(stdio: [BorrowedFd<'_>; 3]) -> Option<HostTerminal> {
        let mut found = stdio.iter().map(|fd| (fd, tcgetattr(fd)));
        let (fd, mut termios) = found.find_map(|(fd, got)| Some((fd, got.ok()?)))?;
        // In the background (`agentbox run x &`) the settings are those of who has the terminal: of a shell's line editor.
        if tcgetpgrp(fd).is_ok_and(|foreground| foreground != getpgrp()) {
            line_by_line(&mut termios);
        }
        let [stdin, stdout, _] = stdio.map(|fd| tcgetattr(fd).is_ok());
        let by = |raw| {
            if raw {
                HostOutput::Raw
            } else {
                HostOutput::Cooked
            }
        };
        // Of another session's terminal a read says EIO, and /dev/tty is none outside either.
        let is_ours = tcgetpgrp(fd).is_ok();
        Some(HostTerminal {
            termios,
            // A terminal without a size (a serial line) says zeroes; so will the box's.
            winsize: tty::window_size(*fd).unwrap_or_default(),
            output: by(stdin && stdout),
            keyboard: if !stdin && is_ours {
                Keyboard::OnDemand { output: by(stdout) }
            } else {
                Keyboard::AtOnce
            },
        })
    }

    /// The settings for the box's terminal: the caller's keys, erase characters and flags.
    #[must_use]
    pub fn for_box(&self) -> Termios {
        let mut termios = self.termios.clone();
        if self.output == HostOutput::Cooked {
            termios.output_flags.remove(OutputFlags::OPOST);
        }
        termios
    }
}

/// The settings with which a shell starts a command.
fn line_by_line(termios: &mut Termios) {
    use LocalFlags as L;
    termios.local_flags |= L::ICANON | L::ECHO | L::ECHOE | L::ECHOK | L::ISIG | L::IEXTEN;
    termios.input_flags |= InputFlags::ICRNL | InputFlags::IXON;
    termios.input_flags -= InputFlags::INLCR | InputFlags::IGNCR;
    termios.output_flags |= OutputFlags::OPOST | OutputFlags::ONLCR;
}

/// What opens one in the box's own devpts.
pub const OWN: &str = "/dev/pts/ptmx";

/// What opens one where there is none of the box's: the file in devpts itself may be nobody's to open there.
pub const OF_THE_PLACE: &str = "/dev/ptmx";

/// Opens a pseudo-terminal in the devpts instance of `ptmx` (`/dev/pts/ptmx`) and gives it the settings and the size of the
/// caller's terminal. It becomes nobody's controlling terminal.
pub fn open_in(ptmx: &Path, host: &HostTerminal) -> Result<Pty, PtyError> {
    let call = |call: &'static str| move |errno| PtyError::Call { call, errno };
    let pty = open_new(ptmx)?;
    tcsetattr(&pty.slave, SetArg::TCSANOW, &host.for_box()).map_err(call("tcsetattr"))?;
    tty::set_window_size(pty.slave.as_fd(), host.winsize).map_err(call("TIOCSWINSZ"))?;
    Ok(pty)
}

/// The same with the kernel's own settings.
pub fn open_new(ptmx: &Path) -> Result<Pty, PtyError> {
    let call = |call: &'static str| move |errno| PtyError::Call { call, errno };
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = open(ptmx, flags, Mode::empty()).map_err(|errno| PtyError::Open {
        path: ptmx.to_owned(),
        errno,
    })?;
    tty::unlock(master.as_fd()).map_err(call("TIOCSPTLCK"))?;
    let slave = tty::peer(master.as_fd()).map_err(call("TIOCGPTPEER"))?;
    Ok(Pty { master, slave })
}

/// Makes the terminal the controlling one of the caller, which must be a session leader without one (setsid(2)).
pub fn make_controlling(slave: BorrowedFd<'_>) -> Result<(), PtyError> {
    tty::set_controlling(slave).map_err(|errno| PtyError::Call {
        call: "TIOCSCTTY",
        errno,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use nix::sys::termios::{LocalFlags, SpecialCharacterIndices};
    use nix::unistd::{read, write};

    fn host() -> (OwnedFd, OwnedFd) {
        let pty = nix::pty::openpty(None, None).unwrap();
        (pty.master, pty.slave)
    }

    #[test]
    fn settings_and_size_of_the_host_terminal_are_taken_over() {
        let (_keep, terminal) = host();
        let mut termios = tcgetattr(&terminal).unwrap();
        termios.control_chars[SpecialCharacterIndices::VINTR as usize] = 0x07;
        termios.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&terminal, SetArg::TCSANOW, &termios).unwrap();
        let size = Winsize {
            rows: 33,
            cols: 101,
            xpixel: 7,
            ypixel: 9,
        };
        tty::set_window_size(terminal.as_fd(), size).unwrap();

        let null = std::fs::File::open("/dev/null").unwrap();
        let host = HostTerminal::of([terminal.as_fd(), terminal.as_fd(), null.as_fd()]).unwrap();
        assert_eq!((host.winsize, host.output), (size, HostOutput::Raw));
        let pty = open_in(Path::new("/dev/ptmx"), &host).unwrap();
        let inside = tcgetattr(&pty.slave).unwrap();
        assert_eq!(
            inside.control_chars[SpecialCharacterIndices::VINTR as usize],
            0x07
        );
        assert!(!inside.local_flags.contains(LocalFlags::ECHO));
        assert_eq!(tty::window_size(pty.slave.as_fd()).unwrap(), size);
        assert_eq!(tty::window_size(pty.master.as_fd()).unwrap(), size);
        assert!(HostTerminal::of([null.as_fd(); 3]).is_none());
    }

    #[test]
    fn newlines_are_translated_once() {
        let (_keep, terminal) = host();
        let null = std::fs::File::open("/dev/null").unwrap();
        let (t, n) = (terminal.as_fd(), null.as_fd());
        // (stdio, what the master reads for "x\n" written by the box)
        let rows: [(_, _, &[u8]); 3] = [
            ("both terminals", [t, t, t], b"x\r\n"),
            ("stdout is a pipe", [t, n, t], b"x\n"),
            ("stdin is a pipe", [n, t, t], b"x\n"),
        ];
        for (name, stdio, expected) in rows {
            let host = HostTerminal::of(stdio).unwrap();
            let pty = open_in(Path::new("/dev/ptmx"), &host).unwrap();
            write(&pty.slave, b"x\n").unwrap();
            let mut buf = [0; 16];
            let len = read(&pty.master, &mut buf).unwrap();
            assert_eq!(&buf[..len], expected, "{name}");
        }
    }

    #[test]
    fn failures_name_path_and_errno() {
        let (_keep, terminal) = host();
        let host = HostTerminal::of([terminal.as_fd(); 3]).unwrap();
        let missing = Path::new("/nonexistent/ptmx");
        match open_in(missing, &host) {
            Err(PtyError::Open { path, errno }) => {
                assert_eq!((path.as_path(), errno), (missing, Errno::ENOENT));
            }
            other => panic!("{other:?}"),
        }
        // Not a session leader: the twin that succeeds is in tests/terminal.rs.
        assert!(matches!(
            make_controlling(terminal.as_fd()),
            Err(PtyError::Call {
                call: "TIOCSCTTY",
                errno: Errno::EPERM
            })
        ));
    }
}
