//! What the rules of a network say of a connection, before anything is resolved.

#![forbid(unsafe_code)]

use super::connect::Wanted;
use crate::plan::net::name::literal;
use crate::plan::net::special::is_beyond_networks;
use crate::plan::net::{Allow, Deny, Mark, Network, Target, normalise};
use std::net::IpAddr;

/// What the rules say of a connection, before anything is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'n> {
    /// The first rule that covers it, and the marks of all that do.
    Allowed(&'n Allow, Vec<Mark>),
    /// A rule denies it.
    Denied(&'n Deny),
    /// Rules cover the host on other ports: the first of them, and all their ports.
    OtherPorts(&'n Allow, Vec<u16>),
    /// No rule is about it.
    NotGranted,
}

/// Where to: a name in its one form, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// A name.
    Name(&'a str),
    /// An address without a name.
    Address(IpAddr),
}

impl Network {
    /// What the rules say.
    #[must_use]
    pub fn verdict(&self, place: Place<'_>, port: u16) -> Verdict<'_> {
        let about = |to: &Target| match place {
            Place::Name(name) => to.names(name),
            Place::Address(address) => to.contains(address),
        };
        let on = |ports: &[u16]| ports.is_empty() || ports.contains(&port);
        let mut denies = self.deny.iter();
        if let Some(deny) = denies.find(|deny| about(&deny.to) && on(&deny.ports)) {
            return Verdict::Denied(deny);
        }
        let granted = |to: &Target| match (to, place) {
            (Target::Net(net), Place::Address(address)) => {
                about(to) && !is_beyond_networks(address, net.is_single())
            }
            _ => about(to),
        };
        let covering: Vec<&Allow> = self.allow.iter().filter(|a| granted(&a.to)).collect();
        let here: Vec<&&Allow> = covering
            .iter()
            .filter(|allow| allow.ports.contains(&port))
            .collect();
        if let Some(first) = here.first() {
            let mut marks = Vec::new();
            for mark in here.iter().flat_map(|allow| &allow.marks) {
                if !marks.contains(mark) {
                    marks.push(*mark);
                }
            }
            return Verdict::Allowed(first, marks);
        }
        let Some(first) = covering.first() else {
            return Verdict::NotGranted;
        };
        let mut ports: Vec<u16> = covering
            .iter()
            .flat_map(|allow| allow.ports.iter().copied())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        Verdict::OtherPorts(first, ports)
    }
}

/// Whether the rules grant it, wherever it leads.
#[must_use]
pub fn is_granted(network: &Network, wanted: &Wanted) -> bool {
    let granted =
        |place: Place<'_>| matches!(network.verdict(place, wanted.port), Verdict::Allowed(..));
    match literal(&wanted.host) {
        Some(address) => granted(Place::Address(address)),
        None => normalise(&wanted.host).is_ok_and(|name| granted(Place::Name(&name))),
    }
}
