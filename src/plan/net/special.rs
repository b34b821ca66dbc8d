//! Which addresses are none of the open internet. Pure.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is none of the open internet (the special-purpose registries of RFC 6890 and what clouds put beside them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Special {
    /// 127.0.0.0/8, ::1.
    Loopback,
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, fec0::/10.
    Private,
    /// 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// 100.64.0.0/10: carrier-grade NAT, also overlay networks.
    Shared,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// A cloud's metadata service, which gives out the machine's credentials.
    Metadata,
    /// An address of this host.
    Own,
    /// Anything else that no server of the internet has: 0.0.0.0/8, 198.18.0.0/15, 240.0.0.0/4, tunnels that hold another address.
    Reserved,
}

impl Special {
    /// A word for messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Special::Loopback => "loopback",
            Special::Private => "private",
            Special::LinkLocal => "link-local",
            Special::Shared => "carrier-grade NAT",
            Special::Multicast => "multicast",
            Special::Metadata => "cloud metadata",
            Special::Own => "this host's own",
            Special::Reserved => "reserved",
        }
    }
}

/// Judges an address, an IPv4-mapped one as the IPv4 address that it is. `None`: of the open internet.
#[must_use]
pub fn special(addr: IpAddr) -> Option<Special> {
    match addr.to_canonical() {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

/// Is it an address that a granted network does not reach? Loopback, and the unspecified address, which connects there, are
/// this machine's own services, and `0.0.0.0/0` means none of them. `single`: the network is this one address, which is how
/// whoever means a metadata service says so.
#[must_use]
pub fn is_beyond_networks(addr: IpAddr, single: bool) -> bool {
    match special(addr) {
        Some(Special::Loopback) => true,
        Some(Special::Metadata) => !single,
        _ => addr.to_canonical().is_unspecified(),
    }
}

/// 169.254.169.254 (nearly everybody), its neighbours for ECS tasks and EKS pods, Tencent's, Scaleway's, Alibaba's, Azure's,
/// Oracle's.
const METADATA_V4: [Ipv4Addr; 8] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(169, 254, 0, 23),
    Ipv4Addr::new(169, 254, 42, 42),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS's (of machines, and of EKS pods), Scaleway's and Google's.
const METADATA_V6: [Ipv6Addr; 4] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

fn special_v4(addr: Ipv4Addr) -> Option<Special> {
    if METADATA_V4.contains(&addr) {
        return Some(Special::Metadata);
    }
    Some(match addr.octets() {
        [127, ..] => Special::Loopback,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Special::Private,
        [169, 254, ..] => Special::LinkLocal,
        [100, 64..=127, ..] => Special::Shared,
        [224..=239, ..] => Special::Multicast,
        [0 | 240..=255, ..] | [192, 0, 0, _] | [198, 18..=19, ..] => Special::Reserved,
        _ => return None,
    })
}

fn special_v6(addr: Ipv6Addr) -> Option<Special> {
    if METADATA_V6.contains(&addr) {
        return Some(Special::Metadata);
    }
    let s = addr.segments();
    Some(match s {
        [0, 0, 0, 0, 0, 0, 0, 1] => Special::Loopback,
        // NAT64 (RFC 6052): hosts without IPv4 reach it this way, so what counts is the address inside.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => return special_v4(joined(high, low)),
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Special::Private,
        [0xfe80..=0xfebf, ..] => Special::LinkLocal,
        [0xff00..=0xffff, ..] => Special::Multicast,
        // Unspecified and IPv4-compatible, local NAT64, discard-only, Teredo, ORCHID, 6to4.
        [0, 0, 0, 0, 0, 0, ..]
        | [0x64, 0xff9b, 1, ..]
        | [0x100, 0, 0, 0, ..]
        | [0x2001, 0, ..]
        | [0x2001, 0x10..=0x2f, ..]
        | [0x2002, ..] => Special::Reserved,
        _ => return None,
    })
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_judged() {
        let rows = [
            ("127.0.0.1", Some(Special::Loopback)),
            ("127.255.255.255", Some(Special::Loopback)),
            ("::1", Some(Special::Loopback)),
            ("::ffff:127.0.0.1", Some(Special::Loopback)),
            ("10.0.0.1", Some(Special::Private)),
            ("172.15.0.1", None),
            ("172.16.0.1", Some(Special::Private)),
            ("172.31.255.255", Some(Special::Private)),
            ("172.32.0.1", None),
            ("192.168.1.1", Some(Special::Private)),
            ("::ffff:192.168.1.1", Some(Special::Private)),
            ("169.254.0.1", Some(Special::LinkLocal)),
            ("169.254.169.254", Some(Special::Metadata)),
            ("::ffff:169.254.169.254", Some(Special::Metadata)),
            ("64:ff9b::a9fe:a9fe", Some(Special::Metadata)),
            ("64:ff9b::7f00:1", Some(Special::Loopback)),
            ("64:ff9b::808:808", None),
            ("64:ff9b:1::1", Some(Special::Reserved)),
            ("100.100.100.200", Some(Special::Metadata)),
            ("168.63.129.16", Some(Special::Metadata)),
            ("169.254.170.23", Some(Special::Metadata)),
            ("169.254.0.23", Some(Special::Metadata)),
            ("169.254.42.42", Some(Special::Metadata)),
            ("169.254.42.43", Some(Special::LinkLocal)),
            ("100.63.255.255", None),
            ("100.64.0.1", Some(Special::Shared)),
            ("100.127.255.255", Some(Special::Shared)),
            ("100.128.0.1", None),
            ("0.0.0.0", Some(Special::Reserved)),
            ("0.1.2.3", Some(Special::Reserved)),
            ("198.17.255.255", None),
            ("198.18.0.1", Some(Special::Reserved)),
            ("198.20.0.0", None),
            ("224.0.0.1", Some(Special::Multicast)),
            ("255.255.255.255", Some(Special::Reserved)),
            ("8.8.8.8", None),
            ("fd00:ec2::254", Some(Special::Metadata)),
            ("fd00:ec2::23", Some(Special::Metadata)),
            ("fd00:42::42", Some(Special::Metadata)),
            ("fd00::1", Some(Special::Private)),
            ("fc00::1", Some(Special::Private)),
            ("fe80::1", Some(Special::LinkLocal)),
            ("febf::1", Some(Special::LinkLocal)),
            ("fec0::1", Some(Special::Private)),
            ("ff02::1", Some(Special::Multicast)),
            ("::", Some(Special::Reserved)),
            ("::7f00:1", Some(Special::Reserved)),
            ("2001::1", Some(Special::Reserved)),
            ("2002:7f00:1::", Some(Special::Reserved)),
            ("2001:4860:4860::8888", None),
            ("2606:4700::1111", None),
        ];
        for (text, want) in rows {
            assert_eq!(special(text.parse().unwrap()), want, "{text}");
        }
    }
}
