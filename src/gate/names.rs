//! Names and the addresses that stand for them in the box. Pure.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most names that one box can have asked for; more than a session of any tool needs, and a bound for what an agent
/// can make the gate remember.
pub const MAX: usize = 4096;

/// The network of the IPv6 twins: unique local (RFC 4193), so that no server has one.
const TWINS: u128 = 0xfd61_6765_6e74_626f << 64;

/// The addresses of the name with this index: in 198.18.0.0/15 (RFC 2544), which no server of the internet has either, and
/// its twin.
#[must_use]
pub fn synthetic(index: u32) -> (Ipv4Addr, Ipv6Addr) {
    // The last byte is 1 to 254: some programs take .0 and .255 for networks and broadcasts.
    let offset = (index / 254) * 256 + index % 254 + 1;
    let v4 = u32::from(Ipv4Addr::new(198, 18, 0, 0)).wrapping_add(offset);
    (v4.into(), (TWINS | u128::from(v4)).into())
}

/// Is it an address that could be a name's?
#[must_use]
pub fn index_of(addr: IpAddr) -> Option<u32> {
    let v4 = match addr.to_canonical() {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) if u128::from(v6) >> 32 == TWINS >> 32 => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d)
        }
        IpAddr::V6(_) => return None,
    };
    let [198, 18 | 19, high, low @ 1..=254] = v4.octets() else {
        return None;
    };
    let block = (u32::from(v4) >> 8) & 0x1ff;
    debug_assert_eq!(block & 0xff, u32::from(high));
    Some(block * 254 + u32::from(low) - 1)
}

/// Which names have addresses.
#[derive(Debug, Default)]
pub struct Names {
    by_name: HashMap<String, u32>,
    by_index: Vec<String>,
}

impl Names {
    /// The index of a name, a new one if it has none. `None`: there are too many.
    pub fn index(&mut self, name: &str) -> Option<u32> {
        if let Some(index) = self.by_name.get(name) {
            return Some(*index);
        }
        if self.by_index.len() >= MAX {
            return None;
        }
        let index = u32::try_from(self.by_index.len()).ok()?;
        self.by_index.push(name.to_owned());
        self.by_name.insert(name.to_owned(), index);
        Some(index)
    }

    /// The name that an address stands for.
    #[must_use]
    pub fn name(&self, addr: IpAddr) -> Option<&str> {
        let index = usize::try_from(index_of(addr)?).ok()?;
        self.by_index.get(index).map(String::as_str)
    }

    /// All names with their indices.
    pub fn all(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..).zip(self.by_index.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_boxs_own_address_is_nobodys() {
        use crate::plan::net::{OWN_V4, OWN_V6};
        let index = index_of(OWN_V4.into()).unwrap();
        assert_eq!(synthetic(index), (OWN_V4, OWN_V6));
        assert!(index > u32::try_from(MAX).unwrap() * 2);
    }

    #[test]
    fn every_index_has_its_own_addresses_and_comes_back() {
        let mut seen = std::collections::HashSet::new();
        for index in 0..=u32::try_from(MAX).unwrap() * 2 {
            let (v4, v6) = synthetic(index);
            assert!(seen.insert(v4));
            assert!(matches!(v4.octets(), [198, 18 | 19, _, 1..=254]), "{v4}");
            assert_eq!(index_of(v4.into()), Some(index));
            assert_eq!(index_of(v6.into()), Some(index));
            assert_eq!(index_of(v4.to_ipv6_mapped().into()), Some(index));
        }
        assert_eq!(synthetic(0).0, Ipv4Addr::new(198, 18, 0, 1));
        assert_eq!(synthetic(254).0, Ipv4Addr::new(198, 18, 1, 1));
        for other in [
            "198.17.0.1",
            "198.20.0.1",
            "198.18.0.0",
            "198.18.0.255",
            "fd00::c612:1",
            "::1",
        ] {
            assert_eq!(index_of(other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn names_are_stable_and_bounded() {
        let mut names = Names::default();
        let first = names.index("a.example").unwrap();
        let second = names.index("b.example").unwrap();
        assert_ne!(first, second);
        assert_eq!(names.index("a.example"), Some(first));
        assert_eq!(names.name(synthetic(second).1.into()), Some("b.example"));
        assert_eq!(names.name(synthetic(2).0.into()), None);
        for i in 2..MAX {
            assert!(names.index(&format!("{i}.example")).is_some());
        }
        assert_eq!(names.index("one.more"), None);
        assert_eq!(names.index("a.example"), Some(first));
    }
}
