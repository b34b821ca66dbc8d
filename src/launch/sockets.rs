//! Sockets of the box's network namespace that init hands out.

#![forbid(unsafe_code)]

use super::channel::{Channel, ChannelError, MAX_FDS};
use super::message::{Family, FromInit};
use crate::plan::net::listen::Listener;
use crate::sys::listen;
use nix::sys::socket::AddressFamily;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Listeners go in as many messages as it takes.
pub(super) fn hand_out(
    listeners: &[(Listener, OwnedFd)],
    channel: &Channel,
) -> Result<(), ChannelError> {
    for some in listeners.chunks(MAX_FDS) {
        let list = some.iter().map(|(what, _)| *what).collect();
        let fds: Vec<BorrowedFd<'_>> = some.iter().map(|(_, socket)| socket.as_fd()).collect();
        channel.send(&FromInit::Listeners { list }, &fds)?;
    }
    Ok(())
}

/// Makes a socket of this network namespace and hands it out. It is neither bound nor connected: both are the supervisor's
/// and the gate's to do, outside of every restriction of the box.
pub(super) fn hand_out_socket(family: Family, channel: &Channel) {
    let family = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    let (errno, socket) = match listen::tcp(family) {
        Ok(socket) => (0, Some(socket)),
        Err(errno) => (errno as i32, None),
    };
    let fds: Vec<BorrowedFd<'_>> = socket.iter().map(AsFd::as_fd).collect();
    let _ = channel.send(&FromInit::Socket { errno }, &fds);
}
