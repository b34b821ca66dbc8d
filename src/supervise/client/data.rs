//! Where the bytes of the box's terminal come from: a socket of the supervisor, or the terminal's master itself (`exec`).
//! Also letting go of what is not the client's any more.

#![forbid(unsafe_code)]

use crate::sys::tty::{self, Winsize};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::{read, write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

/// The other end of the screen and the keyboard. Nothing on it waits.
#[derive(Debug)]
pub(super) enum Data {
    /// The supervisor relays.
    Socket(OwnedFd),
    /// Nobody does.
    Master(OwnedFd),
}

impl Data {
    /// Of a master that came with a message. `None` if it cannot be made non-blocking, which nothing here could live with.
    pub(super) fn master(master: OwnedFd) -> Option<Data> {
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL).ok()?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).ok()?;
        Some(Data::Master(master))
    }

    /// Reads what has come. A master whose slaves are all closed says EIO, which is its end of file.
    pub(super) fn read(&self, room: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Data::Socket(fd) => recv(fd.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT),
            Data::Master(fd) => read(fd, room),
        }
    }

    /// Writes what there is room for.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match self {
            Data::Socket(fd) => send(fd.as_raw_fd(), bytes, flags),
            Data::Master(fd) => write(fd, bytes),
        }
    }

    /// Sets the size of the window, if that is this process's to do.
    pub(super) fn resize(&self, size: Winsize) -> bool {
        match self {
            Data::Socket(_) => false,
            Data::Master(fd) => {
                let _ = tty::set_window_size(fd.as_fd(), size);
                true
            }
        }
    }
}

impl AsFd for Data {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Data::Socket(fd) | Data::Master(fd) => fd.as_fd(),
        }
    }
}

/// Lets go of a redirected stdin and stdout, which are the command's now. Held here, they would keep a pipe from telling its
/// end: `yes | agentbox run head -1` would write on for nobody. stderr stays, for messages.
pub(super) fn release_redirected() {
    let is_terminal = |fd: BorrowedFd<'_>| nix::unistd::isatty(fd).unwrap_or(false);
    let Ok(null) = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
    else {
        return;
    };
    // A failure leaves the descriptor as it is, which only makes the end of the pipe later.
    if !is_terminal(std::io::stdin().as_fd()) {
        let _kept = nix::unistd::dup2_stdin(&null);
    }
    if !is_terminal(std::io::stdout().as_fd()) {
        let _kept = nix::unistd::dup2_stdout(&null);
    }
}
