//! Listening sockets: nix has no names for some options of IPv6.

use super::cvt;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, listen, setsockopt,
    socket, sockopt,
};
use std::ffi::{c_int, c_long};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Connections that wait to be accepted; the kernel takes at most net.core.somaxconn.
const BACKLOG: i32 = 1024;

/// A TCP socket that is neither bound nor connected.
///
/// # Errors
/// The errno of socket(2); EAFNOSUPPORT where there is no IPv6.
pub fn tcp(family: AddressFamily) -> Result<OwnedFd, Errno> {
    made(family, SockType::Stream)
}

fn made(family: AddressFamily, kind: SockType) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(family, kind, flags, None)
}

/// Binds a socket to exactly that address and listens. Never with SO_REUSEPORT: another listener could share it then.
///
/// # Errors
/// The errno of bind(2) or listen(2): EADDRINUSE where somebody listens already.
pub fn listen_on(socket: BorrowedFd<'_>, address: SocketAddr) -> Result<(), Errno> {
    // Connections of a listener before this one that still linger would keep the port.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bound(socket, address)?;
    listen(&socket, Backlog::new(BACKLOG)?)
}

fn bound(socket: BorrowedFd<'_>, address: SocketAddr) -> Result<(), Errno> {
    match address {
        SocketAddr::V4(v4) => bind(socket.as_raw_fd(), &SockaddrIn::from(v4)),
        SocketAddr::V6(v6) => {
            setsockopt(&socket, sockopt::Ipv6V6Only, &!v6.ip().is_unspecified())?;
            // For IPv4 an address is local by its route. IPv6 asks whether an interface has it, unless told not to.
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_FREEBIND)?;
            bind(socket.as_raw_fd(), &SockaddrIn6::from(v6))
        }
    }
}

/// A listening TCP socket.
///
/// # Errors
/// The errno of socket(2), bind(2) or listen(2).
pub fn tcp_on(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = tcp(family(address))?;
    listen_on(socket.as_fd(), address)?;
    Ok(socket)
}

/// A bound UDP socket that says to which address each datagram was sent, and may answer from it: every address is local
/// here, also for IPv6 (`bound` sets IPV6_FREEBIND).
///
/// # Errors
/// The errno of socket(2), setsockopt(2) or bind(2).
pub fn udp_on(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = made(family(address), SockType::Datagram)?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    if address.is_ipv6() {
        set(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)?;
    }
    bound(socket.as_fd(), address)?;
    Ok(socket)
}

fn family(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

/// Switches an option of one int on.
fn set(socket: BorrowedFd<'_>, level: c_int, option: c_int) -> Result<(), Errno> {
    let on: c_int = 1;
    let size =
        libc::socklen_t::try_from(std::mem::size_of::<c_int>()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel reads `size` bytes of `on`, which lives on this frame.
    let ret = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size,
        )
    };
    cvt(c_long::from(ret)).map(|_| ())
}
