//! How a host is written, and (from the plan) which addresses are of the open internet. Pure.

#![forbid(unsafe_code)]

pub use crate::plan::net::special::{Special, is_beyond_networks, special};
use std::net::IpAddr;

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
