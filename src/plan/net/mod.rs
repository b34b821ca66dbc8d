//! The network of the box as data: who may be reached, by which rule. Names are the currency: in `filtered` the box knows no
//! address of the world, only names that were granted, so a rule says a name (or, where there is none, an address range).

#![forbid(unsafe_code)]

pub mod cover;
pub mod endpoint;
pub mod listen;
pub mod name;
pub mod rule;
pub mod special;
pub mod ssh;

use crate::policy::Origin;
pub use name::{BadName, is_local_name, normalise};
pub use rule::{BadRule, Rule};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the box's own HTTP and SOCKS5 proxy listens, on 127.0.0.1: below 1024, where no server of the agent can be.
pub const PROXY_PORT: u16 = 1023;

/// The path under which that proxy, asked as a server, says whether the rules in force allow a connection to the Host field.
pub const QUESTION: &str = "/agentbox/why";

/// The name by which the box calls the host's loopback; `/etc/hosts` of the box says 127.0.0.1 and ::1 for it.
pub const HOST_NAME: &str = "host.agentbox.internal";

/// The address of the box itself in a filtered network. Without one that is not loopback's, programs that ask their C
/// library for addresses "as this host is configured" (AI_ADDRCONFIG, for one family) are told that there are none. No name
/// is ever given it.
pub const OWN_V4: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 254);

/// The same for IPv6.
pub const OWN_V6: Ipv6Addr = Ipv6Addr::new(0xfd61, 0x6765, 0x6e74, 0x626f, 0, 0, 0xc613, 0xfffe);

/// The ports of a rule that names none.
pub const DEFAULT_PORTS: [u16; 2] = [443, 80];

/// The first port that a process without a capability can bind (ip_unprivileged_port_start of a new namespace). The box's
/// own listeners on lower ports can be wildcards without taking anything from the agent.
pub const FIRST_FREE_PORT: u16 = 1024;

/// The network of the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Network {
    /// The mode.
    pub mode: NetworkMode,
    /// Who chose it.
    pub origin: Origin,
    /// Who may be reached (`filtered` only, like everything below).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allow>,
    /// Who may not, whatever `allow` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Deny>,
    /// Names whose addresses the user has given (`[network.hosts]`). Not a grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostEntry>,
    /// Services on the host's loopback that the box reaches under the same port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<HostPort>,
    /// Ports of the box that the host reaches on its 127.0.0.1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<Publish>,
    /// What of the caller's ssh agent the box has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<ssh::Ssh>,
    /// What the organisation's floor leaves of the host's services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_host_ports: Option<Only>,
    /// What it leaves of the host's ports that are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_publish: Option<Only>,
}

/// These ports and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Only {
    /// The ports.
    pub ports: Vec<u16>,
    /// Who says so.
    pub origin: Origin,
}

impl Network {
    /// A network without a rule.
    #[must_use]
    pub fn of(mode: NetworkMode, origin: Origin) -> Network {
        Network {
            mode,
            origin,
            allow: Vec::new(),
            deny: Vec::new(),
            hosts: Vec::new(),
            host_ports: Vec::new(),
            publish: Vec::new(),
            ssh: None,
            only_host_ports: None,
            only_publish: None,
        }
    }
}

/// Changes of a live session.
impl Network {
    /// Allows what the rule says, and lifts a deny of exactly the same. Returns the change in words.
    ///
    /// # Errors
    /// As for [`Rule::allow`], or that the floor denies it.
    pub fn allow_now(&mut self, text: &str) -> Result<String, BadRule> {
        let rule = Rule::allow(text)?;
        if let Some(floor) = (self.deny.iter()).find(|d| d.origin.is_floor() && d.covers(&rule)) {
            return Err(BadRule {
                what: format!("{} denies it ({floor})", floor.origin),
                help: "only who administers this machine can change that".to_owned(),
            });
        }
        // A deny of the floor is lifted by nobody, also where it covers some of the ports only.
        let lifted = |deny: &Deny| deny.to == rule.to && !deny.origin.is_floor();
        self.deny.retain(|deny| !lifted(deny));
        let allow = Allow {
            ports: rule.ports_or_default(),
            to: rule.to,
            marks: rule.marks,
            origin: Origin::Cli {
                flag: "agentbox allow".to_owned(),
            },
            note: None,
        };
        let change = format!("allow {allow}");
        self.allow.push(allow);
        Ok(change)
    }

    /// Whether a port of the host may be published.
    ///
    /// # Errors
    /// That the floor leaves it out.
    pub fn publish_now(&self, host_port: u16) -> Result<(), BadRule> {
        match &self.only_publish {
            Some(only) if !only.ports.contains(&host_port) => Err(BadRule {
                what: format!(
                    "publish of the floor has no such port of the host as {host_port} ({})",
                    only.origin
                ),
                help: "only who administers this machine can change that".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Denies what the rule says. Returns the change in words.
    ///
    /// # Errors
    /// As for [`Rule::deny`].
    pub fn deny_now(&mut self, text: &str) -> Result<String, BadRule> {
        let rule = Rule::deny(text)?;
        let deny = Deny {
            to: rule.to,
            ports: rule.ports,
            origin: Origin::Cli {
                flag: "agentbox deny".to_owned(),
            },
        };
        let change = format!("deny {deny}");
        self.deny.push(deny);
        Ok(change)
    }
}

/// The modes of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// A namespace of its own with loopback and nothing else.
    None,
    /// A namespace of its own, and a gate outside that reaches the names that were granted.
    Filtered,
    /// The host's network: not a boundary.
    Host,
}

impl NetworkMode {
    /// The word of `--net` and `[network] mode`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NetworkMode::None => "none",
            NetworkMode::Filtered => "filtered",
            NetworkMode::Host => "host",
        }
    }
}

/// Who may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Allow {
    /// Whom.
    pub to: Target,
    /// On which TCP ports; never empty.
    pub ports: Vec<u16>,
    /// What is allowed besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// Who says so.
    pub origin: Origin,
    /// What it is for, where agentbox added it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Who may not be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Deny {
    /// Whom.
    pub to: Target,
    /// On which ports; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// Who says so.
    pub origin: Origin,
}

/// As one would write it: `HOST`, `HOST:PORT,...`, `HOST+MARK`. The usual ports are left out.
impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_target(f, &self.to, &self.ports)?;
        self.marks
            .iter()
            .try_for_each(|mark| write!(f, "+{}", mark.name()))
    }
}

impl fmt::Display for Deny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_target(f, &self.to, &self.ports)
    }
}

fn write_target(f: &mut fmt::Formatter<'_>, to: &Target, ports: &[u16]) -> fmt::Result {
    if ports.is_empty() || ports == DEFAULT_PORTS {
        return fmt::Display::fmt(to, f);
    }
    match to {
        Target::Net(net) if net.address.is_ipv6() => {
            write!(f, "[{}]", net.address)?;
            if !net.is_single() {
                write!(f, "/{}", net.prefix)?;
            }
        }
        to => fmt::Display::fmt(to, f)?,
    }
    for (index, port) in ports.iter().enumerate() {
        write!(f, "{}{port}", if index == 0 { ':' } else { ',' })?;
    }
    Ok(())
}

/// Whom a rule is about. Names are normalised ([`normalise()`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// This name and no other.
    Name(String),
    /// `*.NAME`: everything below the name, not the name itself.
    Under(String),
    /// `*`: every name.
    Any,
    /// A range of addresses, for connections that come without a name.
    Net(Cidr),
}

impl Target {
    /// Whether the rule is about this normalised name.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        match self {
            Target::Name(own) => own == name,
            Target::Under(own) => name
                .strip_suffix(own.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            Target::Any => true,
            Target::Net(_) => false,
        }
    }

    /// Whether the rule is about this address, in whatever form it comes (`::ffff:1.2.3.4` is 1.2.3.4).
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        matches!(self, Target::Net(net) if net.contains(address))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Name(name) => f.write_str(name),
            Target::Under(name) => write!(f, "*.{name}"),
            Target::Any => f.write_str("*"),
            Target::Net(net) => net.fmt(f),
        }
    }
}

/// What a rule allows besides the connection itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The name may resolve to a loopback, private, link-local or otherwise local address.
    Private,
    /// On port 443 something else than TLS may be spoken.
    Plain,
    /// TLS without a server name in its first message.
    NoSni,
    /// The pattern is as wide as a public suffix (`*.com`), and that is meant.
    Wide,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Mark; 4] = [Mark::Private, Mark::Plain, Mark::NoSni, Mark::Wide];

    /// As rules write it: `+private`, `private = true`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mark::Private => "private",
            Mark::Plain => "plain",
            Mark::NoSni => "no-sni",
            Mark::Wide => "wide",
        }
    }
}

/// A range of addresses. The address is masked, and never an IPv4-mapped one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cidr {
    /// The first address.
    pub address: IpAddr,
    /// How many leading bits are fixed.
    pub prefix: u8,
}

impl Cidr {
    /// The range with that many fixed bits; `None` if the address has not so many.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Cidr> {
        let (bits, width) = bits(address);
        (u32::from(prefix) <= width).then(|| Cidr {
            address: from_bits(mask(bits, width, prefix), width),
            prefix,
        })
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let ((own, width), (other, other_width)) =
            (bits(self.address), bits(address.to_canonical()));
        width == other_width && mask(other, width, self.prefix) == own
    }

    /// Whether it is one address.
    #[must_use]
    pub fn is_single(&self) -> bool {
        u32::from(self.prefix) == bits(self.address).1
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_single(), self.address) {
            (true, address) => address.fmt(f),
            (false, address) => write!(f, "{address}/{}", self.prefix),
        }
    }
}

/// The bits of an address, and how many there are.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

fn from_bits(bits: u128, width: u32) -> IpAddr {
    match u32::try_from(bits) {
        Ok(v4) if width == 32 => IpAddr::V4(v4.into()),
        _ => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

fn mask(bits: u128, width: u32, prefix: u8) -> u128 {
    let free = width.saturating_sub(u32::from(prefix));
    // A shift by all 128 bits is none at all.
    bits.checked_shr(free)
        .map_or(0, |kept| kept.checked_shl(free).unwrap_or(0))
}

/// A name whose addresses the user has given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostEntry {
    /// The name, normalised.
    pub name: String,
    /// Its addresses; never empty.
    pub addresses: Vec<IpAddr>,
    /// Who gave them.
    pub origin: Origin,
}

/// A service on the host's loopback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostPort {
    /// Its TCP port, on both sides.
    pub port: u16,
    /// Who grants it.
    pub origin: Origin,
    /// What it is for, where agentbox added it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A port of the box on the host's 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Publish {
    /// The port on the host.
    pub host_port: u16,
    /// The port in the box.
    pub box_port: u16,
    /// Who publishes it.
    pub origin: Origin,
}

#[cfg(test)]
mod tests;
