//! Where the socket is: in the session's directory, which is the user's own (0700) and which no box sees. Reached through a
//! descriptor of that directory, so that no path is too long for a sockaddr_un (108 bytes, unix(7)).

#![forbid(unsafe_code)]

use crate::launch::channel::Channel;
use crate::session::CONTROL;
use crate::sys::socket::accept as accept_fd;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// How many connections wait to be accepted.
const BACKLOG: i32 = 32;

fn new() -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
}

fn address(dir: BorrowedFd<'_>) -> Result<UnixAddr, Errno> {
    UnixAddr::new(format!("/proc/self/fd/{}/{CONTROL}", dir.as_raw_fd()).as_str())
}

/// Makes the socket and listens.
///
/// # Errors
/// The errno of bind(2) or listen(2): a file system may have no sockets.
pub fn open(dir: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let socket = new()?;
    bind(socket.as_raw_fd(), &address(dir)?)?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(socket)
}

/// The next connection.
///
/// # Errors
/// The errno of accept4(2).
pub fn accept(listener: BorrowedFd<'_>) -> Result<Channel, Errno> {
    accept_fd(listener).map(Channel::from)
}

/// Connects to the session of that directory.
///
/// # Errors
/// ENOENT and ECONNREFUSED where nobody listens, EAGAIN where too many wait.
pub fn call(dir: BorrowedFd<'_>) -> Result<Channel, Errno> {
    let socket = new()?;
    connect(socket.as_raw_fd(), &address(dir)?)?;
    Ok(Channel::from(socket))
}

/// Removes its name.
pub fn remove(dir: BorrowedFd<'_>) {
    let _ = unlinkat(dir, CONTROL, UnlinkatFlags::NoRemoveDir);
}
