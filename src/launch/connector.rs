//! The connector: makes the connections of a box that has no network namespace, and makes them to the gate alone.
//!
//! Landlock judges the port of a connection and not its address, and so allows none at all there. The filter hands every
//! connect(2) of the box to this process (seccomp_unotify(2)), which reads the address once from the caller's memory, and where
//! it is the gate's proxy connects a socket of its own and puts that in the place of the caller's. Anything else is EACCES. The
//! kernel never goes on with the call: what the address says by then is the caller's to change.
//!
//! The proxy is on the host's loopback, where others can connect to it: what the connector makes begins with a pass, and the
//! gate serves nothing else.
//!
//! It is a child of the warden, outside of the box's Landlock domain. When it is dead, connect(2) is ENOSYS.

#![forbid(unsafe_code)]

use super::channel::Channel;
use crate::enforce::build::close_all_but;
use crate::plan::net::listen::Pass;
use crate::sys::unotify::{self, Asked};
use crate::sys::{errno_of, listen, process};
use caps::CapSet;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockaddrIn, SockaddrIn6, connect, getsockopt, setsockopt, sockopt,
};
use std::net::{Ipv4Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;

/// Connections that may be under way: those for which the gate has no room at once.
const MOST: usize = 128;

/// The longest address that is looked at: `struct sockaddr_in6`.
const LONGEST: usize = 28;

/// Serves until nobody of the box is left. Returns the exit status.
pub(super) fn serve(door: Channel, port: u16, pass: Pass) -> u8 {
    let _ = process::set_name(c"agentbox-connec");
    if process::signal_when_parent_dies(libc::SIGKILL).is_err()
        || process::set_undumpable().is_err()
    {
        return 1;
    }
    let _ = process::wipe_startup_block(c"agentbox: connector");
    super::command::let_go_of_stdio();
    let _ = close_all_but(vec![door.as_fd().as_raw_fd()]);
    for set in [
        CapSet::Ambient,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ] {
        let _ = caps::clear(None, set);
    }
    let Ok(Some(((), fds))) = door.recv::<()>() else {
        return 1;
    };
    drop(door);
    let Some(listener) = fds.into_iter().next() else {
        return 1;
    };
    let mut connector = Connector {
        listener,
        port,
        pass,
        under_way: Vec::new(),
    };
    while connector.turn().is_ok() {}
    0
}

struct Connector {
    listener: OwnedFd,
    port: u16,
    pass: Pass,
    under_way: Vec<Made>,
}

/// A connection, and whose.
struct Made {
    socket: OwnedFd,
    id: u64,
    /// The number of the caller's descriptor, ...
    at: u32,
    /// ... and the flags that it has.
    flags: OFlag,
}

impl Connector {
    /// Waits for something and does it. An error is the end.
    fn turn(&mut self) -> Result<(), Errno> {
        let mut set = vec![PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        let waits = self.under_way.iter();
        set.extend(waits.map(|made| PollFd::new(made.socket.as_fd(), PollFlags::POLLOUT)));
        match poll(&mut set, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        let mut ready = set
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let asked = ready.next().unwrap_or(PollFlags::POLLERR);
        let mut ready: Vec<bool> = ready.map(|events| !events.is_empty()).collect();
        drop(set);
        self.under_way
            .extract_if(.., |_| !ready.is_empty() && ready.remove(0))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|made| self.hand_in(&made));
        if asked.contains(PollFlags::POLLIN) {
            return self.take();
        }
        // Nobody is left whom the filter binds.
        match asked.is_empty() {
            true => Ok(()),
            false => Err(Errno::EPIPE),
        }
    }

    fn take(&mut self) -> Result<(), Errno> {
        let asked = match unotify::next(self.listener.as_fd()) {
            Ok(asked) => asked,
            // It died before it was heard.
            Err(Errno::ENOENT | Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        match begin(&asked, self.port) {
            Ok(made) if is_there(&made.socket) => self.hand_in(&made),
            // The gate's queue is full. Who would not wait waits too: the socket has to begin with the pass.
            Ok(made) if self.under_way.len() < MOST => self.under_way.push(made),
            Ok(_) => {
                let _ = unotify::answer(self.listener.as_fd(), asked.id, Err(Errno::EAGAIN));
            }
            Err(errno) => {
                let _ = unotify::answer(self.listener.as_fd(), asked.id, Err(errno));
            }
        }
        Ok(())
    }

    /// Gives the caller its connection, and the answer. That it died meanwhile is nobody's concern.
    fn hand_in(&self, made: &Made) {
        let done = match getsockopt(&made.socket, sockopt::SocketError) {
            Ok(0) => show(&made.socket, &self.pass).and_then(|()| put(&self.listener, made)),
            Ok(error) => Err(Errno::from_raw(error)),
            Err(errno) => Err(errno),
        };
        let _ = unotify::answer(self.listener.as_fd(), made.id, done);
    }
}

/// Begins a connection to the gate, if that is what was asked for. All that is read of the caller decides whether, and what it
/// is put in the place of, and never where to: a thread that died, and whose number another one has, changes nothing.
fn begin(asked: &Asked, port: u16) -> Result<Made, Errno> {
    // The kernel takes `int` of the first and the last.
    let low = |argument: u64| u32::try_from(argument & 0xffff_ffff).unwrap_or_default();
    let [fd, address, length, ..] = asked.args;
    let (at, length) = (low(fd), low(length) as usize);
    let mut bytes = [0; LONGEST];
    let wanted = bytes.get_mut(..length).ok_or(Errno::EACCES)?;
    std::fs::File::open(format!("/proc/{}/mem", asked.pid))
        .and_then(|memory| memory.read_exact_at(wanted, address))
        .map_err(|e| match errno_of(&e) {
            Errno::EIO => Errno::EFAULT,
            _ => Errno::EACCES,
        })?;
    let family = gate(wanted, port).ok_or(Errno::EACCES)?;
    let flags = flags(asked.pid, at)?;
    let socket = listen::tcp(family)?;
    // What the caller has set before is lost with its socket, and a proxy's client waits for no more to send.
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let begun = if family == AddressFamily::Inet {
        connect(socket.as_raw_fd(), &SockaddrIn::from(to))
    } else {
        let to = SocketAddrV6::new(to.ip().to_ipv6_mapped(), port, 0, 0);
        connect(socket.as_raw_fd(), &SockaddrIn6::from(to))
    };
    match begun {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(Made {
            socket,
            id: asked.id,
            at,
            flags,
        }),
        Err(errno) => Err(errno),
    }
}

/// The family of an address (`struct sockaddr_in`, `sockaddr_in6`) that is the gate's.
fn gate(address: &[u8], port: u16) -> Option<AddressFamily> {
    let family = u16::from_ne_bytes(*address.first_chunk()?);
    let at = |from: usize| address.get(from..);
    let is_port = u16::from_be_bytes(*at(2)?.first_chunk()?) == port;
    let localhost = Ipv4Addr::LOCALHOST;
    let is_gate = match i32::from(family) {
        libc::AF_INET if address.len() >= 16 => *at(4)?.first_chunk()? == localhost.octets(),
        libc::AF_INET6 if address.len() >= 24 => {
            *at(8)?.first_chunk()? == localhost.to_ipv6_mapped().octets()
        }
        _ => false,
    };
    let family = match i32::from(family) {
        libc::AF_INET => AddressFamily::Inet,
        _ => AddressFamily::Inet6,
    };
    (is_gate && is_port).then_some(family)
}

/// The flags of the caller's socket of that number.
fn flags(pid: u32, at: u32) -> Result<OFlag, Errno> {
    let failed = |e: std::io::Error| match errno_of(&e) {
        Errno::ENOENT => Errno::EBADF,
        _ => Errno::EACCES,
    };
    let what = std::fs::read_link(format!("/proc/{pid}/fd/{at}")).map_err(failed)?;
    if !what.as_os_str().as_encoded_bytes().starts_with(b"socket:") {
        return Err(Errno::ENOTSOCK);
    }
    let text = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{at}")).map_err(failed)?;
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    Ok(OFlag::from_bits_retain(flags.ok_or(Errno::EACCES)?))
}

/// Connected, or failed: on loopback it is while connect(2) returns.
fn is_there(socket: &OwnedFd) -> bool {
    let mut set = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    poll(&mut set, PollTimeout::ZERO) == Ok(1)
}

/// Writes the pass, for which a new connection has room.
fn show(socket: &OwnedFd, pass: &Pass) -> Result<(), Errno> {
    match nix::unistd::write(socket, pass.bytes())? {
        Pass::LEN => Ok(()),
        _ => Err(Errno::ECONNABORTED),
    }
}

fn put(listener: &OwnedFd, made: &Made) -> Result<(), Errno> {
    let flags = made.flags & OFlag::O_NONBLOCK;
    fcntl(&made.socket, FcntlArg::F_SETFL(flags))?;
    let close_on_exec = made.flags.contains(OFlag::O_CLOEXEC);
    unotify::put(
        listener.as_fd(),
        made.id,
        made.socket.as_fd(),
        made.at,
        close_on_exec,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_gate_is_the_gate() {
        let v4 = |family: i32, port: u16, ip: [u8; 4]| {
            let mut bytes = u16::try_from(family).unwrap_or(0).to_ne_bytes().to_vec();
            bytes.extend(port.to_be_bytes());
            bytes.extend(ip);
            bytes.resize(16, 0);
            bytes
        };
        let v6 = |port: u16, ip: &str| {
            let mut bytes = 10u16.to_ne_bytes().to_vec();
            bytes.extend(port.to_be_bytes());
            bytes.extend([0; 4]);
            let ip: std::net::Ipv6Addr = ip.parse().unwrap_or(std::net::Ipv6Addr::UNSPECIFIED);
            bytes.extend(ip.octets());
            bytes.resize(28, 0);
            bytes
        };
        let yes = Some(AddressFamily::Inet);
        let rows: [(Vec<u8>, Option<AddressFamily>); 13] = [
            (v4(2, 8080, [127, 0, 0, 1]), yes),
            (v4(2, 8080, [127, 0, 0, 2]), None),
            (v4(2, 8081, [127, 0, 0, 1]), None),
            (v4(2, 8080, [0, 0, 0, 0]), None),
            (v4(0, 8080, [127, 0, 0, 1]), None),
            (v4(1, 8080, [127, 0, 0, 1]), None),
            (v4(2, 8080, [127, 0, 0, 1])[..15].to_vec(), None),
            (vec![2, 0], None),
            (Vec::new(), None),
            (v6(8080, "::ffff:127.0.0.1"), Some(AddressFamily::Inet6)),
            (v6(8080, "::1"), None),
            (v6(8080, "::127.0.0.1"), None),
            (v6(8080, "::ffff:127.0.0.1")[..23].to_vec(), None),
        ];
        for (bytes, want) in rows {
            assert_eq!(gate(&bytes, 8080), want, "{bytes:?}");
        }
    }
}
