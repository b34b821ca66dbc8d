//! The sockets that a gate serves: what they are for, and ports of the host.

#![forbid(unsafe_code)]

use crate::gate::message::ToGate;
use crate::plan::net::listen::{Listener, Pass, Serves};
use crate::sys::listen;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// What a listener of the box is for the gate; `pass` is what connections to its proxy begin with.
pub(super) fn served(listener: Listener, pass: Option<Pass>) -> ToGate {
    match listener.serves {
        Serves::Tcp => ToGate::Listener,
        Serves::Proxy => ToGate::Proxy { pass },
        Serves::DnsUdp => ToGate::DnsUdp,
        Serves::DnsTcp => ToGate::DnsTcp,
    }
}

/// Takes a port of the host's 127.0.0.1.
pub(super) fn published(port: u16) -> Result<OwnedFd, String> {
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    listen::tcp_on(address).map_err(|errno| {
        let remedy = match errno {
            nix::errno::Errno::EADDRINUSE => {
                "another program listens there; --publish OTHERPORT:PORT"
            }
            nix::errno::Errno::EACCES => "ports below 1024 are root's; --publish OTHERPORT:PORT",
            _ => "--publish OTHERPORT:PORT takes another one",
        };
        format!(
            "port {port} of the host cannot be taken: {}; {remedy}",
            errno.desc()
        )
    })
}
