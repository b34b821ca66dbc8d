//! Where the box's own listeners are before the command starts: which ports a connection finds somebody behind.
//!
//! Below [`FIRST_FREE_PORT`] no server of the agent can be, so there they listen on every address: a
//! connection to a raw address is refused with words then, and not only by the kernel. Higher ports belong to the agent; a
//! granted name has its listeners there on its own address, made when the name is first asked for.

#![forbid(unsafe_code)]

use super::{FIRST_FREE_PORT, Network, NetworkMode, PROXY_PORT, Target};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The ports where refusals are said in the protocol's own words, whatever is granted: SSH, HTTP, HTTPS.
const SPOKEN: [u16; 3] = [22, 80, 443];

/// The port of DNS.
const DNS: u16 = 53;

/// One listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listener {
    /// What is served there.
    pub serves: Serves,
    /// On which addresses.
    pub on: On,
    /// On which port.
    pub port: u16,
}

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Serves {
    /// Connections, told apart by the address they were made to.
    Tcp,
    /// HTTP proxy and SOCKS5.
    Proxy,
    /// DNS messages.
    DnsUdp,
    /// The same over TCP.
    DnsTcp,
}

/// The first bytes of every connection to a proxy that is not on a loopback of the box's own: who does not know them is
/// another program of the host, and is not served. Made for one session, in no plan and no record.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pass([u8; Pass::LEN]);

impl Pass {
    /// Its length in bytes.
    pub const LEN: usize = 32;

    /// One of these bytes of the kernel's generator.
    #[must_use]
    pub fn new(random: [u8; Pass::LEN]) -> Pass {
        Pass(random)
    }

    /// What is written.
    #[must_use]
    pub fn bytes(&self) -> &[u8; Pass::LEN] {
        &self.0
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pass(..)")
    }
}

/// The addresses of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// Every address of both families.
    Every,
    /// 127.0.0.1.
    Loopback4,
    /// ::1, where there is IPv6.
    Loopback6,
}

/// The listeners of a network, in a fixed order; none unless it is filtered.
#[must_use]
pub fn listeners(network: &Network) -> Vec<Listener> {
    if network.mode != NetworkMode::Filtered {
        return Vec::new();
    }
    let listener = |serves, on, port| Listener { serves, on, port };
    let mut out = vec![
        listener(Serves::DnsUdp, On::Every, DNS),
        listener(Serves::DnsTcp, On::Every, DNS),
        listener(Serves::Proxy, On::Loopback4, PROXY_PORT),
    ];
    let mut every: BTreeSet<u16> = SPOKEN.into();
    for allow in &network.allow {
        // An address has no name that could be asked for: its ports are served everywhere, also the agent's.
        let raw = matches!(allow.to, Target::Net(_));
        every.extend(
            allow
                .ports
                .iter()
                .filter(|port| raw || **port < FIRST_FREE_PORT),
        );
    }
    // What is taken: the gate has no names on these.
    every.remove(&DNS);
    every.remove(&PROXY_PORT);
    out.extend(
        every
            .iter()
            .map(|port| listener(Serves::Tcp, On::Every, *port)),
    );
    let ports: BTreeSet<u16> = network.host_ports.iter().map(|host| host.port).collect();
    for port in ports {
        if !every.contains(&port) && port != DNS && port != PROXY_PORT {
            out.push(listener(Serves::Tcp, On::Loopback4, port));
            out.push(listener(Serves::Tcp, On::Loopback6, port));
        }
    }
    out
}
