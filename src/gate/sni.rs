//! The server name in a TLS ClientHello (RFC 8446, RFC 6066). Pure; reads plain records only and never more than
//! [`MAX`] bytes.

#![forbid(unsafe_code)]

use super::address;
use super::dns::Reader;

/// The most bytes of a ClientHello with its record headers: four times what a client with post-quantum keys needs.
pub const MAX: usize = 16 * 1024;

/// What the first bytes of a client are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// Not TLS.
    Other,
    /// TLS so far, but not whole yet.
    More,
    /// A ClientHello for this server, normal.
    Name(String),
    /// A ClientHello that names no server.
    Nameless,
    /// TLS that no client sends: malformed, too long, or with more than one name.
    Bad,
}

/// Looks at the first bytes of a client.
///
/// An encrypted ClientHello (ECH) has the name of the fronting server outside; that is the one that is found, and the only
/// one that a server without the right key answers to.
#[must_use]
pub fn look(bytes: &[u8]) -> Hello {
    // A handshake record. Clients of TLS 1.0 to 1.3 say 3.1 or 3.3 here, but servers take any minor number in a first record.
    match bytes {
        [] | [0x16] => return Hello::More,
        [0x16, 3, ..] => {}
        _ => return Hello::Other,
    }
    match message(bytes) {
        Ok(hello) => client_hello(&hello).unwrap_or(Hello::Bad),
        Err(found) => found,
    }
}

/// Joins the handshake message out of its records.
fn message(bytes: &[u8]) -> Result<Vec<u8>, Hello> {
    let more = if bytes.len() < MAX {
        Hello::More
    } else {
        Hello::Bad
    };
    let mut joined = Vec::new();
    let mut reader = Reader { bytes, at: 0 };
    loop {
        if joined.first().is_some_and(|kind| *kind != 1) {
            return Err(Hello::Bad);
        }
        if let [_, a, b, c, ..] = joined.as_slice() {
            let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if len + 4 > MAX {
                return Err(Hello::Bad);
            }
            if joined.len() >= len + 4 {
                joined.truncate(len + 4);
                return Ok(joined.split_off(4));
            }
        }
        let Some(head) = reader.take(5) else {
            return Err(more);
        };
        let [0x16, 3, _, high, low] = head else {
            return Err(Hello::Bad);
        };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        // An empty handshake record is not allowed, and would let a client send records for ever.
        if len == 0 || len > (1 << 14) {
            return Err(Hello::Bad);
        }
        let rest = bytes.get(reader.at..).unwrap_or_default();
        match reader.take(len) {
            Some(part) => joined.extend_from_slice(part),
            None => {
                // The type and length of a message that is not whole yet are enough to refuse it.
                joined.extend_from_slice(rest);
                if joined.first().is_some_and(|kind| *kind != 1) {
                    return Err(Hello::Bad);
                }
                return Err(more);
            }
        }
    }
}

/// `None`: malformed.
fn client_hello(body: &[u8]) -> Option<Hello> {
    let mut reader = Reader { bytes: body, at: 0 };
    // legacy_version and random.
    reader.take(34)?;
    let session = reader.u8()?;
    reader.take(usize::from(session))?;
    let suites = reader.u16()?;
    reader.take(usize::from(suites))?;
    let compressions = reader.u8()?;
    reader.take(usize::from(compressions))?;
    if reader.at == body.len() {
        // No extensions at all: TLS 1.0 allows it.
        return Some(Hello::Nameless);
    }
    let len = usize::from(reader.u16()?);
    let end = reader.at.checked_add(len)?;
    if end != body.len() {
        return None;
    }
    let mut found = None;
    while reader.at < end {
        let kind = reader.u16()?;
        let len = reader.u16()?;
        let data = reader.take(usize::from(len))?;
        if kind == 0 {
            // RFC 8446 4.2: at most one of each type. Two would let us and the server read different ones.
            if found.is_some() {
                return None;
            }
            found = Some(server_name(data)?);
        }
    }
    Some(match found {
        Some(name) => Hello::Name(name),
        None => Hello::Nameless,
    })
}

fn server_name(data: &[u8]) -> Option<String> {
    let mut reader = Reader { bytes: data, at: 0 };
    let list = usize::from(reader.u16()?);
    if list + 2 != data.len() {
        return None;
    }
    // One entry, of type host_name: RFC 6066 has no other, and at most one of a type.
    let kind = reader.u8()?;
    let len = usize::from(reader.u16()?);
    let name = reader.take(len)?;
    if kind != 0 || reader.at != data.len() {
        return None;
    }
    address::normal(std::str::from_utf8(name).ok()?)
}

#[cfg(test)]
#[path = "sni_tests.rs"]
mod tests;
