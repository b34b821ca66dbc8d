//! Messages of the DNS, the other way round: what the gate asks the host's name servers, and what they answer. Pure.

#![forbid(unsafe_code)]

use super::address;
use super::dns::{A, AAAA, CNAME, IN, Reader, put_name};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The largest answer by UDP: what fits into one packet everywhere (DNS flag day 2020).
pub const MAX_UDP: u16 = 1232;

/// The most addresses that are taken from an answer.
const MAX_ADDRESSES: usize = 32;

/// The longest chain of aliases that is followed.
const MAX_ALIASES: usize = 8;

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Kind::A => A,
            Kind::Aaaa => AAAA,
        }
    }
}

/// What a name server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses, for so many seconds. None: the name has no such address.
    Addresses(Vec<IpAddr>, u32),
    /// There is no such name.
    NoName,
    /// It did not fit: ask by TCP.
    Truncated,
    /// The server failed or refused.
    Failed,
}

/// A question.
#[must_use]
pub fn question(id: u16, name: &str, kind: Kind) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 32);
    out.extend_from_slice(&id.to_be_bytes());
    // RD; one question, one additional record.
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    put_name(&mut out, name);
    out.extend_from_slice(&kind.number().to_be_bytes());
    out.extend_from_slice(&IN.to_be_bytes());
    out.extend_from_slice(&[0, 0, 41]);
    out.extend_from_slice(&MAX_UDP.to_be_bytes());
    out.extend_from_slice(&[0; 6]);
    out
}

/// Reads an answer. `None`: not the answer to this question.
#[must_use]
pub fn parse(message: &[u8], id: u16, name: &str, kind: Kind) -> Option<Answer> {
    let mut reader = Reader {
        bytes: message,
        at: 0,
    };
    if reader.u16()? != id {
        return None;
    }
    let flags = reader.u16()?;
    // An answer to a standard query.
    if flags & 0xf800 != 0x8000 {
        return None;
    }
    let (questions, answers) = (reader.u16()?, reader.u16()?);
    reader.take(4)?;
    if questions == 0 && flags & 0xf != 0 {
        return Some(Answer::Failed);
    }
    if questions != 1 || compressed_name(&mut reader)? != name {
        return None;
    }
    if (reader.u16()?, reader.u16()?) != (kind.number(), IN) {
        return None;
    }
    if flags & 0x0200 != 0 {
        return Some(Answer::Truncated);
    }
    match flags & 0xf {
        0 => {}
        3 => return Some(Answer::NoName),
        _ => return Some(Answer::Failed),
    }
    addresses(&mut reader, answers, name, kind).or(Some(Answer::Failed))
}

enum Rdata {
    Address(IpAddr),
    Alias(String),
}

fn addresses(reader: &mut Reader<'_>, count: u16, name: &str, kind: Kind) -> Option<Answer> {
    let mut records: Vec<(String, u32, Rdata)> = Vec::new();
    for _ in 0..count.min(256) {
        // An owner that is no name of ours cannot belong to the chain; but the rest has to be read on.
        let owner = compressed_name(reader)?;
        let (found, class, ttl) = (reader.u16()?, reader.u16()?, reader.u32()?);
        let len = usize::from(reader.u16()?);
        let end = reader.at.checked_add(len)?;
        if class == IN && found == CNAME {
            let alias = compressed_name(reader)?;
            records.push((owner, ttl, Rdata::Alias(alias)));
        } else if class == IN && found == kind.number() {
            let addr = match kind {
                Kind::A => Ipv4Addr::from(<[u8; 4]>::try_from(reader.take(len)?).ok()?).into(),
                Kind::Aaaa => Ipv6Addr::from(<[u8; 16]>::try_from(reader.take(len)?).ok()?).into(),
            };
            records.push((owner, ttl, Rdata::Address(addr)));
        } else {
            reader.take(len)?;
        }
        if reader.at != end {
            return None;
        }
    }
    let mut current = name.to_owned();
    let mut lifetime = u32::MAX;
    for _ in 0..=MAX_ALIASES {
        let alias = records.iter().find_map(|(owner, ttl, data)| match data {
            Rdata::Alias(to) if *owner == current => Some((to.clone(), *ttl)),
            _ => None,
        });
        let Some((to, ttl)) = alias else {
            break;
        };
        current = to;
        lifetime = lifetime.min(ttl);
    }
    let mut found = Vec::new();
    for (owner, ttl, data) in &records {
        if let Rdata::Address(addr) = data
            && *owner == current
            && found.len() < MAX_ADDRESSES
        {
            found.push(*addr);
            lifetime = lifetime.min(*ttl);
        }
    }
    Some(Answer::Addresses(found, lifetime))
}

/// A name that may end in a pointer. Each pointer has to lead further to the front, so that there is no loop. A name that
/// is not normal (see [`address::normal`]) is empty.
fn compressed_name(reader: &mut Reader<'_>) -> Option<String> {
    let mut name = Vec::new();
    let mut after = None;
    let mut limit = reader.at;
    let mut labels = Reader {
        bytes: reader.bytes,
        at: reader.at,
    };
    loop {
        let len = labels.u8()?;
        match len {
            0 => break,
            1..=63 => {
                if !name.is_empty() {
                    name.push(b'.');
                }
                let label = labels.take(usize::from(len))?;
                if label.contains(&b'.') || name.len() + label.len() > 254 {
                    return None;
                }
                name.extend_from_slice(label);
            }
            0xc0..=0xff => {
                let low = labels.u8()?;
                after.get_or_insert(labels.at);
                let target = (usize::from(len & 0x3f) << 8) | usize::from(low);
                if target >= limit {
                    return None;
                }
                limit = target;
                labels.at = target;
            }
            _ => return None,
        }
    }
    reader.at = after.unwrap_or(labels.at);
    Some(
        std::str::from_utf8(&name)
            .ok()
            .and_then(address::normal)
            .unwrap_or_default(),
    )
}

#[cfg(test)]
#[path = "dns_client_tests.rs"]
mod tests;
