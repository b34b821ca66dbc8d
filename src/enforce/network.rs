//! The network namespace of the modes `none` and `filtered`. Both have loopback and no other interface: nothing can leave.
//! In `filtered` a route makes every address local besides, so that a connection to anywhere arrives at a listener of this
//! namespace, which was made here and is served by the gate outside. In mode `host` there is no such layer.
//!
//! ip_unprivileged_port_start stays at 1024: below it the box listens on every address without taking a port from the
//! agent, and a server on port 80 fails as it does for every ordinary user outside.

#![forbid(unsafe_code)]

use super::build::Build;
use super::{StepError, bare};
use crate::outcome::{Evidence, Layer};
use crate::plan::NetworkMode;
use crate::plan::net::listen::{Listener, On, Serves, listeners};
use crate::plan::net::{OWN_V4, OWN_V6};
use crate::plan::rung::Rung;
use crate::sys::netlink::{Family, add_address, everything_is_local};
use crate::sys::{listen, process};
use nix::errno::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// Brings loopback up, so that servers on localhost work, and makes the listeners of a filtered network.
pub(super) fn apply(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    if b.plan.standing.rung == Rung::Landlock {
        return bare::network(b);
    }
    let network = &b.plan.network;
    if network.mode == NetworkMode::Host {
        return Ok(None);
    }
    loopback()?;
    if network.mode == NetworkMode::None {
        return Ok(Some(Evidence::full(Layer::Network)));
    }
    everything_is_local(Family::V4)
        .map_err(|errno| StepError::new("rtnetlink RTM_NEWROUTE", "local 0.0.0.0/0", errno))?;
    let v6 = match everything_is_local(Family::V6) {
        Ok(()) => V6::Yes,
        Err(errno) if is_absence(errno) => V6::No,
        Err(errno) => {
            return Err(StepError::new(
                "rtnetlink RTM_NEWROUTE",
                "local ::/0",
                errno,
            ));
        }
    };
    let own = |address: IpAddr| {
        add_address(address)
            .map_err(|errno| StepError::new("rtnetlink RTM_NEWADDR", address, errno))
    };
    own(OWN_V4.into())?;
    if v6 == V6::Yes {
        own(OWN_V6.into())?;
    }
    for listener in listeners(network) {
        if let Some(socket) = open(listener, v6)? {
            b.listeners.push((listener, socket));
        }
    }
    let found = format!(
        "loopback only; {} listeners of the gate{}",
        b.listeners.len(),
        if v6 == V6::No { ", no IPv6" } else { "" }
    );
    Ok(Some(Evidence::full(Layer::Network).proven(found)))
}

/// Brings the loopback interface of this process's network namespace up.
///
/// # Errors
/// The ioctl failed.
pub fn loopback() -> Result<(), StepError> {
    process::interface_up(c"lo").map_err(|errno| StepError::new("ioctl SIOCSIFFLAGS", "lo", errno))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum V6 {
    Yes,
    No,
}

/// The kernel was built, booted or configured without IPv6.
fn is_absence(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EAFNOSUPPORT
            | Errno::EOPNOTSUPP
            | Errno::EPROTONOSUPPORT
            | Errno::ENODEV
            | Errno::EACCES
            | Errno::ENETDOWN
    )
}

/// `None` where it would be IPv6's and there is none.
fn open(listener: Listener, v6: V6) -> Result<Option<OwnedFd>, StepError> {
    let ip: IpAddr = match (listener.on, v6) {
        (On::Every, V6::Yes) => Ipv6Addr::UNSPECIFIED.into(),
        (On::Every, V6::No) => Ipv4Addr::UNSPECIFIED.into(),
        (On::Loopback4, _) => Ipv4Addr::LOCALHOST.into(),
        (On::Loopback6, V6::Yes) => Ipv6Addr::LOCALHOST.into(),
        (On::Loopback6, V6::No) => return Ok(None),
    };
    let address = SocketAddr::new(ip, listener.port);
    let socket = match listener.serves {
        Serves::DnsUdp => listen::udp_on(address),
        Serves::Tcp | Serves::Proxy | Serves::DnsTcp => listen::tcp_on(address),
    };
    socket
        .map(Some)
        .map_err(|errno| StepError::new("listen on", address, errno))
}
