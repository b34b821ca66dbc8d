//! The sockets that a gate serves: what they are for, and ports of the host.

#![forbid(unsafe_code)]

use crate::gate::message::ToGate;
use crate::plan::net::listen::{Listener, Pass, Serves};
use crate::sys::listen;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// They are kept by the supervisor, so that the next gate gets them too.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    of_box: Vec<(Listener, OwnedFd)>,
    /// Ports of the host, by the box's.
    published: Vec<(u16, OwnedFd)>,
    /// What connections to the proxy begin with, where others could make some too.
    pass: Option<Pass>,
}

impl Listeners {
    /// Those of a box that stands.
    pub(super) fn stand(&mut self, of_box: Vec<(Listener, OwnedFd)>, pass: Option<Pass>) {
        self.of_box = of_box;
        self.pass = pass;
    }

    /// Does the box share the host's network, with nothing but the proxy for it (the rung `landlock`)? What listens there listens to everybody.
    pub(super) fn are_hosts(&self) -> bool {
        self.pass.is_some()
    }

    /// One more of the box; what the gate is told of it.
    pub(super) fn add(&mut self, listener: Listener, socket: OwnedFd) -> Option<(ToGate, OwnedFd)> {
        let copy = socket.try_clone().ok()?;
        self.of_box.push((listener, socket));
        Some((self.served(listener), copy))
    }

    /// One more port of the host; what the gate is told of it.
    ///
    /// # Errors
    /// The port cannot be had, in words.
    pub(super) fn publish(
        &mut self,
        host_port: u16,
        box_port: u16,
    ) -> Result<(ToGate, OwnedFd), String> {
        let socket = published(host_port)?;
        let copy = socket.try_clone().map_err(|e| e.to_string())?;
        self.published.push((box_port, socket));
        Ok((ToGate::Publish { box_port }, copy))
    }

    /// Is there such a one of the box?
    pub(super) fn has(&self, listener: Listener) -> bool {
        self.of_box.iter().any(|(known, _)| *known == listener)
    }

    /// What a new gate is told.
    pub(super) fn all(&self) -> impl Iterator<Item = (ToGate, OwnedFd)> {
        let of_box = self.of_box.iter();
        of_box
            .map(|(listener, socket)| (self.served(*listener), socket))
            .chain(self.published.iter().map(|(port, socket)| {
                let box_port = *port;
                (ToGate::Publish { box_port }, socket)
            }))
            .filter_map(|(message, socket)| Some((message, socket.try_clone().ok()?)))
    }

    fn served(&self, listener: Listener) -> ToGate {
        match listener.serves {
            Serves::Tcp => ToGate::Listener,
            Serves::Proxy => ToGate::Proxy { pass: self.pass },
            Serves::DnsUdp => ToGate::DnsUdp,
            Serves::DnsTcp => ToGate::DnsTcp,
        }
    }
}

/// Takes a port of the host's 127.0.0.1.
fn published(port: u16) -> Result<OwnedFd, String> {
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    listen::tcp_on(address).map_err(|errno| {
        let remedy = match errno {
            nix::errno::Errno::EADDRINUSE => {
                "another program listens there, or a box has it published already; --publish OTHERPORT:PORT"
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
