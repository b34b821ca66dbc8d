//! Which addresses are of the open internet, and how a host is written. Pure.

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

/// 169.254.169.254 (nearly everybody), its neighbour for ECS tasks, Alibaba's, Azure's, Oracle's.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS's and Google's.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
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

/// A host as clients of a proxy write it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, normal.
    Name(String),
    /// An address, canonical.
    Address(IpAddr),
}

/// Why something is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Decimal, octal, hexadecimal or shortened IPv4, or an IPv6 address with a zone: programs disagree what these are.
    #[error("an address must be written as four decimal numbers or as plain IPv6")]
    OddAddress,
    /// Not a name of the DNS.
    #[error("not a name")]
    NotAName,
}

/// Reads a host: `example.com`, `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]`.
///
/// # Errors
/// [`HostError`].
pub fn host(text: &str) -> Result<Host, HostError> {
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(addr) = bare.parse::<IpAddr>() {
        return Ok(Host::Address(addr.to_canonical()));
    }
    if bare.len() != text.len() || bare.contains([':', '%']) {
        return Err(HostError::OddAddress);
    }
    let name = normal(text).ok_or(HostError::NotAName)?;
    // "Ends in a number" of the URL standard: such a host is an IPv4 address for whoever takes the old forms.
    let last = name.rsplit('.').next().unwrap_or_default();
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let hex = |t: &str| t.bytes().all(|b| b.is_ascii_hexdigit());
    if digits(last) || last.strip_prefix("0x").is_some_and(hex) {
        return Err(HostError::OddAddress);
    }
    Ok(Host::Name(name))
}

/// A name in the form in which names are compared: lower case, without the trailing dot, letters, digits, `-` and `_` in
/// labels of 1 to 63, at most 253 in all. `None` for anything else.
#[must_use]
pub fn normal(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(good);
    if name.len() > 253 || !name.split('.').all(label) {
        return None;
    }
    Some(name.to_ascii_lowercase())
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

    #[test]
    fn hosts_are_read_in_one_way_only() {
        let address = |t: &str| Ok(Host::Address(t.parse().unwrap()));
        let name = |t: &str| Ok(Host::Name(t.to_owned()));
        let rows = [
            ("example.com", name("example.com")),
            ("Example.COM.", name("example.com")),
            ("a_b.example.com", name("a_b.example.com")),
            ("1.example.com", name("1.example.com")),
            ("0xfe.com", name("0xfe.com")),
            ("8.8.8.8", address("8.8.8.8")),
            ("[2001:db8::1]", address("2001:db8::1")),
            ("2001:db8::1", address("2001:db8::1")),
            ("[::ffff:10.0.0.1]", address("10.0.0.1")),
            ("2130706433", Err(HostError::OddAddress)),
            ("0x7f000001", Err(HostError::OddAddress)),
            ("0x7f.0.0.1", Err(HostError::OddAddress)),
            ("0177.0.0.1", Err(HostError::OddAddress)),
            ("127.1", Err(HostError::OddAddress)),
            ("127.0.0.1.", Err(HostError::OddAddress)),
            ("127.0.0.0x1", Err(HostError::OddAddress)),
            ("256.0.0.1", Err(HostError::OddAddress)),
            ("a.0x", Err(HostError::OddAddress)),
            ("[fe80::1%1]", Err(HostError::OddAddress)),
            ("fe80::1%eth0", Err(HostError::OddAddress)),
            ("[8.8.8.8", Err(HostError::NotAName)),
            ("", Err(HostError::NotAName)),
            (".", Err(HostError::NotAName)),
            ("a..b", Err(HostError::NotAName)),
            ("a b", Err(HostError::NotAName)),
            ("a/b", Err(HostError::NotAName)),
            ("a@b", Err(HostError::NotAName)),
            ("a\0b", Err(HostError::NotAName)),
            ("bücher.example", Err(HostError::NotAName)),
        ];
        for (text, want) in rows {
            assert_eq!(host(text), want, "{text}");
        }
    }

    #[test]
    fn long_names_are_no_names() {
        let label = "a".repeat(63);
        assert!(normal(&label).is_some());
        assert!(normal(&format!("{label}a")).is_none());
        let long = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(long.len(), 253);
        assert!(normal(&long).is_some());
        assert!(normal(&format!("{long}.")).is_some());
        assert!(normal(&format!("{long}a")).is_none());
    }
}
