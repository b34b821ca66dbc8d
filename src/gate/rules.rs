//! What the box may connect to: [`Allowlist::decide`]. Pure; `agentbox why connect` asks the same function.

#![forbid(unsafe_code)]

use super::address::{self, Special};
use super::message::Why;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// This name, normal (see [`address::normal`]).
    Name(String),
    /// Every name below this one, but not the name itself: `*.example.com`.
    Under(String),
    /// Every name: `*`.
    Any,
    /// Addresses, by whichever name.
    Net {
        /// The network's address.
        address: IpAddr,
        /// How many bits of it count.
        prefix: u8,
    },
}

impl Target {
    fn has_name(&self, name: &str) -> bool {
        match self {
            Target::Name(own) => own == name,
            Target::Under(apex) => name
                .strip_suffix(apex.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            Target::Any => true,
            Target::Net { .. } => false,
        }
    }

    /// Does a grant of this cover the address? A network covers neither loopback, where the host's own services are and which
    /// `host-ports` alone grants, nor what gives out a machine's credentials, unless that is the one address it has.
    fn grants_address(&self, addr: IpAddr) -> bool {
        let Target::Net { prefix, .. } = self else {
            return false;
        };
        let whole = if addr.to_canonical().is_ipv4() {
            32
        } else {
            128
        };
        self.has_address(addr) && !address::is_beyond_networks(addr, *prefix >= whole)
    }

    fn has_address(&self, addr: IpAddr) -> bool {
        let Target::Net { address, prefix } = self else {
            return false;
        };
        match (address.to_canonical(), addr.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(addr)) => {
                let mask = u32::MAX
                    .checked_shl(32u32.saturating_sub(u32::from(*prefix)))
                    .unwrap_or(0);
                (u32::from(net) ^ u32::from(addr)) & mask == 0
            }
            (IpAddr::V6(net), IpAddr::V6(addr)) => {
                let mask = u128::MAX
                    .checked_shl(128u32.saturating_sub(u32::from(*prefix)))
                    .unwrap_or(0);
                (u128::from(net) ^ u128::from(addr)) & mask == 0
            }
            _ => false,
        }
    }
}

/// What a grant allows besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The name may resolve to private, loopback and link-local addresses.
    Private,
    /// On 443 something else than TLS may be spoken, on 80 something else than HTTP.
    Plain,
    /// A ClientHello may come without a server name.
    NoSni,
}

/// Something that is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Grant {
    /// Where to.
    pub to: Target,
    /// On which TCP ports; never empty.
    pub ports: Vec<u16>,
    /// What else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// The rule as a human wrote it, and where.
    pub rule: String,
}

/// Something that is refused although a grant covers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Deny {
    /// Where to.
    pub to: Target,
    /// On which ports; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// The rule as a human wrote it, and where.
    pub rule: String,
}

impl Deny {
    fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port)
    }
}

/// All rules of a box.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Allowlist {
    /// What is allowed.
    pub allow: Vec<Grant>,
    /// What is refused all the same: a deny is stronger than any grant.
    pub deny: Vec<Deny>,
}

/// A wish to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// To a name, normal.
    Name(&'a str, u16),
    /// To an address that has no name.
    Address(IpAddr, u16),
}

/// Under which terms a connection is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The marks of all grants that cover it.
    pub marks: Vec<Mark>,
    /// The first rule that covers it.
    pub rule: String,
}

impl Terms {
    /// Is this mark among them?
    #[must_use]
    pub fn has(&self, mark: Mark) -> bool {
        self.marks.contains(&mark)
    }
}

/// A refusal and the rule that made it, if one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub why: Why,
    /// The rule, empty if there is none.
    pub rule: String,
}

impl Refusal {
    pub(super) fn of(why: Why) -> Refusal {
        Refusal {
            why,
            rule: String::new(),
        }
    }
}

impl Allowlist {
    /// May the box connect there? What was resolved is judged later, by [`judge`](Self::judge).
    ///
    /// # Errors
    /// The refusal.
    pub fn decide(&self, request: &Request<'_>) -> Result<Terms, Refusal> {
        let covers = |to: &Target| match request {
            Request::Name(name, _) => to.has_name(name),
            Request::Address(addr, _) => to.has_address(*addr),
        };
        let (Request::Name(_, port) | Request::Address(_, port)) = request;
        if let Some(deny) = self
            .deny
            .iter()
            .find(|deny| covers(&deny.to) && deny.has_port(*port))
        {
            return Err(Refusal {
                why: Why::Denied,
                rule: deny.rule.clone(),
            });
        }
        let mut terms: Option<Terms> = None;
        let mut other_ports = Vec::new();
        let grants = |to: &Target| match request {
            Request::Name(name, _) => to.has_name(name),
            Request::Address(addr, _) => to.grants_address(*addr),
        };
        for grant in self.allow.iter().filter(|grant| grants(&grant.to)) {
            if !grant.ports.contains(port) {
                other_ports.extend_from_slice(&grant.ports);
                continue;
            }
            let terms = terms.get_or_insert_with(|| Terms {
                marks: Vec::new(),
                rule: grant.rule.clone(),
            });
            for mark in &grant.marks {
                if !terms.has(*mark) {
                    terms.marks.push(*mark);
                }
            }
        }
        if let Some(terms) = terms {
            return Ok(terms);
        }
        if other_ports.is_empty() {
            return Err(Refusal::of(Why::NotGranted));
        }
        other_ports.sort_unstable();
        other_ports.dedup();
        Err(Refusal::of(Why::Port {
            granted: other_ports,
        }))
    }

    /// The ports on which a name is granted; empty: none, and then the name does not exist for the box.
    #[must_use]
    pub fn ports(&self, name: &str) -> Vec<u16> {
        let mut ports: Vec<u16> = self
            .allow
            .iter()
            .filter(|grant| grant.to.has_name(name))
            .flat_map(|grant| grant.ports.iter().copied())
            .filter(|port| {
                !self
                    .deny
                    .iter()
                    .any(|deny| deny.to.has_name(name) && deny.has_port(*port))
            })
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// May a granted name lead to this address? `own`: it is one of this host's.
    ///
    /// # Errors
    /// The refusal: a special address without a grant for it, or a deny of its network.
    pub fn judge(
        &self,
        terms: &Terms,
        addr: IpAddr,
        port: u16,
        own: impl FnOnce() -> bool,
    ) -> Result<(), Refusal> {
        let by_address = self.decide(&Request::Address(addr, port));
        if let Err(refusal) = &by_address
            && refusal.why == Why::Denied
        {
            return Err(refusal.clone());
        }
        if by_address.is_ok() {
            return Ok(());
        }
        let special = address::special(addr).or_else(|| own().then_some(Special::Own));
        match special {
            None => Ok(()),
            // A name is not enough for what gives out credentials of the machine: whoever means it says so by address.
            Some(kind) if kind != Special::Metadata && terms.has(Mark::Private) => Ok(()),
            Some(kind) => Err(Refusal::of(Why::Private {
                address: addr.to_canonical(),
                kind,
            })),
        }
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
