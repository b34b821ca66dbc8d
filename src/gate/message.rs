//! What the supervisor and the gate say to each other. The gate parses bytes that the agent chose, so what it sends is not
//! believed to be well-formed: text is [`Text`], which is checked when it is read and may be printed as it is.

#![forbid(unsafe_code)]

use super::address::{self, Special};
use super::rules::{Allowlist, Deny, Grant};
use crate::launch::channel::{Channel, ChannelError};
use crate::plan::net::listen::Pass;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// From the supervisor to the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToGate {
    /// Replaces what was told before; comes first.
    Config(Config),
    /// A part of the rules. With `Done` they replace the ones in force, and connections that they no longer allow are cut.
    Rules {
        /// What is allowed.
        allow: Vec<Grant>,
        /// What is refused.
        deny: Vec<Deny>,
        /// Is this all?
        then: Then,
    },
    /// With a listening TCP socket of the box. What a connection is for follows from the address it was made to: a
    /// synthetic one is a name, a loopback one is a port of the host, any other one is itself.
    Listener,
    /// With a listening TCP socket on the box's loopback: an HTTP proxy and SOCKS5.
    Proxy {
        /// Where that loopback is the host's: what a connection of the box begins with.
        pass: Option<Pass>,
    },
    /// With a unix socket that the box reaches: its ssh agent.
    Agent,
    /// With a UDP socket of the box, bound to port 53 with IP_PKTINFO and IPV6_RECVPKTINFO set.
    DnsUdp,
    /// With a TCP socket of the box that listens on port 53.
    DnsTcp,
    /// With a TCP socket that listens on the host's loopback: relayed to a port of the box's loopback.
    Publish {
        /// The port in the box.
        box_port: u16,
    },
    /// With the socket that was asked for by [`FromGate::NeedSocket`].
    Socket {
        /// The number of the request.
        id: u32,
    },
    /// There is no such socket.
    NoSocket {
        /// The number of the request.
        id: u32,
        /// Why: EADDRINUSE when a server of the agent has the port.
        errno: i32,
    },
    /// With these files, opened for reading, in this order.
    Resolver {
        /// What they are.
        has: Vec<ResolverFile>,
    },
}

/// Does more follow?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Another part follows.
    More,
    /// That was all.
    Done,
}

/// A file by which names are resolved on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResolverFile {
    /// /etc/resolv.conf.
    ResolvConf,
    /// /etc/hosts.
    Hosts,
}

/// What the gate has to know besides the rules. Holds the password of a proxy: never part of a plan or a record.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// `[network.hosts]`: names with their addresses, asked before the host's resolver.
    pub hosts: Vec<(String, Vec<IpAddr>)>,
    /// Ports of the host's loopback that the box reaches on its own.
    pub host_ports: Vec<u16>,
    /// The caller's HTTPS_PROXY, as it is.
    pub https_proxy: Option<String>,
    /// The caller's HTTP_PROXY, as it is.
    pub http_proxy: Option<String>,
    /// The caller's NO_PROXY.
    pub no_proxy: String,
    /// Servers that the ssh agent signs for: name and key in base64.
    #[serde(default)]
    pub ssh_hosts: Vec<(String, String)>,
    /// Keys that it signs with: name and public key in base64.
    #[serde(default)]
    pub ssh_keys: Vec<(String, String)>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the proxies: their URLs hold passwords.
        f.debug_struct("Config")
            .field("hosts", &self.hosts)
            .field("host_ports", &self.host_ports)
            .finish_non_exhaustive()
    }
}

/// From the gate to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromGate {
    /// The gate has confined itself and serves.
    Ready,
    /// The gate could not confine itself or read its configuration; it ends.
    Failed {
        /// What failed.
        why: Text,
    },
    /// A TCP socket of the box's network namespace is needed: `ToGate::Socket` or `NoSocket` answers.
    NeedSocket {
        /// Comes back with the answer.
        id: u32,
        /// Bound there and listening; `None`: unbound, to connect with.
        bind: Option<SocketAddr>,
        /// Of which family an unbound one is.
        family: Family,
    },
    /// A connection to the caller's ssh agent is needed: `ToGate::Socket` or `NoSocket` answers.
    NeedAgent {
        /// Comes back with the answer.
        id: u32,
    },
    /// The files of the host's resolver are needed: `ToGate::Resolver` answers.
    NeedResolver,
    /// Something for the record.
    Event(GateEvent),
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// AF_INET.
    V4,
    /// AF_INET6.
    V6,
}

/// What happened at the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateEvent {
    /// A granted name was asked for and got its addresses of the box.
    Resolved {
        /// The name.
        name: Text,
        /// Its IPv4 address; the IPv6 one follows from it.
        address: IpAddr,
    },
    /// Something was refused.
    Refused(Refused),
    /// A connection out of the box was made.
    Opened {
        /// Counts up from 1 in one gate.
        id: u64,
        /// The name or address that the box asked for.
        to: Text,
        /// The port.
        port: u16,
        /// Where it leads.
        address: Option<SocketAddr>,
    },
    /// It ended.
    Closed {
        /// As in `Opened`.
        id: u64,
        /// Bytes out of the box.
        sent: u64,
        /// Bytes into the box.
        received: u64,
    },
    /// The ssh agent signed.
    Signed {
        /// For which server.
        host: Text,
        /// With which key.
        key: Text,
    },
    /// Events were not sent because there were too many.
    Dropped {
        /// How many.
        count: u64,
        /// How many of them were refusals.
        refused: u64,
    },
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Refused {
    /// The name or address that the box asked for.
    pub to: Text,
    /// The port; `None` where only the name was asked for.
    pub port: Option<u16>,
    /// Why.
    pub why: Why,
    /// The rule that refused it, empty if none did.
    pub rule: Text,
}

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Nothing grants it.
    NotGranted,
    /// The name is granted, the port is not.
    Port {
        /// These are.
        granted: Vec<u16>,
    },
    /// A rule refuses it.
    Denied,
    /// The name leads to an address that is none of the open internet.
    Private {
        /// The address.
        address: IpAddr,
        /// What it is.
        kind: Special,
    },
    /// A TLS client wants another server than the one that it connected to.
    Sni {
        /// The name in its ClientHello.
        found: Text,
    },
    /// A TLS client does not say which server it wants.
    NoSni,
    /// Port 443, and not TLS.
    NotTls,
    /// An HTTP request for another host than the one that it was sent to.
    Host {
        /// The host in the request.
        found: Text,
    },
    /// Port 80, and not a request that has one meaning only.
    NotHttp {
        /// What is wrong with it.
        what: Text,
    },
    /// An HTTP request that wants to speak something else from then on.
    Upgrade,
    /// An address in a form that programs read in different ways, or no host at all.
    OddHost,
    /// The host's resolver does not know the name.
    Unresolved {
        /// What it said.
        what: Text,
    },
    /// The server, or the host's proxy, cannot be reached.
    Unreachable {
        /// What the kernel or the proxy said.
        what: Text,
    },
    /// The ssh agent does not do it.
    Agent {
        /// What it does instead, or why.
        what: Text,
    },
    /// The gate's bounds are reached.
    TooMany {
        /// Of what.
        what: Text,
    },
}

impl Why {
    /// Is it the policy that refuses, and not the state of the network?
    #[must_use]
    pub fn is_policy(&self) -> bool {
        !matches!(
            self,
            Why::Unresolved { .. } | Why::Unreachable { .. } | Why::TooMany { .. }
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NotGranted => f.write_str("no rule grants it"),
            Why::Port { granted } => {
                let ports: Vec<String> = granted.iter().map(ToString::to_string).collect();
                write!(f, "it is granted on port {} only", ports.join(", "))
            }
            Why::Denied => f.write_str("a rule denies it"),
            Why::Private {
                address,
                kind: Special::Own,
            } => write!(f, "it leads to {address}, an address of this host"),
            Why::Private { address, kind } => {
                write!(f, "it leads to {address}, a {} address", kind.word())
            }
            Why::Sni { found } => write!(f, "the TLS client asked for {found}"),
            Why::NoSni => f.write_str("the TLS client named no server"),
            Why::NotTls => f.write_str("not TLS on port 443"),
            Why::Host { found } => write!(f, "the HTTP request is for {found}"),
            Why::NotHttp { what } => write!(f, "not a plain HTTP request: {what}"),
            Why::Upgrade => f.write_str("the HTTP request asks for another protocol"),
            Why::OddHost => f.write_str("not a name or an address in its usual form"),
            Why::Unresolved { what } => write!(f, "the name cannot be resolved: {what}"),
            Why::Unreachable { what } => write!(f, "it cannot be reached: {what}"),
            Why::Agent { what } => what.fmt(f),
            Why::TooMany { what } => write!(f, "too many {what}"),
        }
    }
}

impl Refused {
    fn is_loopback(&self) -> bool {
        let addr = self.to.as_str().parse::<IpAddr>();
        addr.is_ok_and(|addr| addr.to_canonical().is_loopback())
    }

    /// What the human can do, if there is something.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let to = &self.to;
        // Of what is no host the box has chosen every word: it would write a rule for the user to copy.
        let is_host = |text: &Text| address::host(text.as_str()).is_ok();
        if !is_host(to) {
            return None;
        }
        // The usual ports are what a rule without one is about.
        let port = self.port.filter(|port| !matches!(port, 443 | 80));
        let allow = |host: &str, mark| Some(flag(host, port, mark));
        match &self.why {
            Why::NotGranted if self.is_loopback() => {
                self.port.map(|port| format!("--host-port {port}"))
            }
            // Service records (RFC 2782, RFC 9460) are asked for beside a host; no rule is about them.
            Why::NotGranted if to.as_str().starts_with('_') => None,
            Why::NotGranted | Why::Port { .. } => allow(to.as_str(), ""),
            Why::Private {
                kind: Special::Metadata,
                address,
            } => allow(&address.to_string(), ""),
            Why::Private { .. } => allow(to.as_str(), "+private"),
            Why::NoSni => allow(to.as_str(), "+no-sni"),
            // With its port even where that is a usual one: it is not meant for the other.
            Why::NotTls | Why::NotHttp { .. } | Why::Upgrade => {
                Some(flag(to.as_str(), self.port, "+plain"))
            }
            Why::Sni { found } | Why::Host { found } => is_host(found).then(|| {
                let allow = flag(found.as_str(), port, "");
                format!("connect to {found} by its own name ({allow})")
            }),
            Why::Denied
            | Why::Agent { .. }
            | Why::OddHost
            | Why::Unresolved { .. }
            | Why::Unreachable { .. }
            | Why::TooMany { .. } => None,
        }
    }
}

/// The flag that grants it, as a shell takes it. The rule in it also goes behind `agentbox allow` and into a profile.
fn flag(host: &str, port: Option<u16>, mark: &str) -> String {
    match port {
        None => format!("--allow {host}{mark}"),
        // Without brackets the port would be one more part of the address; a shell takes brackets for a pattern.
        Some(port) if host.contains(':') => format!("--allow '[{host}]:{port}{mark}'"),
        Some(port) => format!("--allow {host}:{port}{mark}"),
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.why.is_policy() {
            "refused"
        } else {
            "failed"
        };
        write!(f, "{verb} {}", self.to)?;
        if let Some(port) = self.port {
            write!(f, " port {port}")?;
        }
        write!(f, ": {}", self.why)?;
        if !self.rule.as_str().is_empty() {
            write!(f, " ({})", self.rule)?;
        }
        match self.remedy() {
            Some(remedy) => write!(f, "; to allow it: {remedy}"),
            None => Ok(()),
        }
    }
}

/// Text of the gate: at most [`Text::MAX`] bytes of printable ASCII. Whatever else was there is a `?`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Text(String);

impl Text {
    /// The most bytes.
    pub const MAX: usize = 300;

    /// Makes text of anything.
    #[must_use]
    pub fn of(text: impl AsRef<str>) -> Text {
        Text::lossy(text.as_ref().as_bytes())
    }

    /// Makes text of any bytes.
    #[must_use]
    pub fn lossy(bytes: &[u8]) -> Text {
        let printable = |b: &u8| match b {
            b' '..=b'~' => char::from(*b),
            _ => '?',
        };
        Text(bytes.iter().take(Text::MAX).map(printable).collect())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that the gate must not have sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("text of the gate that is too long or not printable")]
pub struct BadText;

impl TryFrom<String> for Text {
    type Error = BadText;

    fn try_from(text: String) -> Result<Text, BadText> {
        let good = text.len() <= Text::MAX && text.bytes().all(|b| (b' '..=b'~').contains(&b));
        good.then_some(Text(text)).ok_or(BadText)
    }
}

/// How many rules go into one message: far below its bound even if each is as long as a rule can be.
const CHUNK: usize = 64;

/// The rules in as many messages as they need.
#[must_use]
pub fn rules(rules: &Allowlist) -> Vec<ToGate> {
    let part = |allow: &[Grant], deny: &[Deny], then| ToGate::Rules {
        allow: allow.to_vec(),
        deny: deny.to_vec(),
        then,
    };
    let allow = rules.allow.chunks(CHUNK);
    let deny = rules.deny.chunks(CHUNK);
    allow
        .map(|allow| part(allow, &[], Then::More))
        .chain(deny.map(|deny| part(&[], deny, Then::More)))
        .chain([part(&[], &[], Then::Done)])
        .collect()
}

/// Sends the rules in as many messages as they need. Waits while the channel is full.
///
/// # Errors
/// The channel's error.
pub fn send_rules(channel: &Channel, allowlist: &Allowlist) -> Result<(), ChannelError> {
    rules(allowlist)
        .iter()
        .try_for_each(|message| channel.send(message, &[]))
}
