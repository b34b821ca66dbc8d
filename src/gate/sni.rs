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

/// The kinds of record, and of a message in one, that are looked at (RFC 8446 B.1, B.3).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// The longest record: an encrypted one of TLS 1.2.
const LONGEST: usize = (1 << 14) + 2048;

/// The `random` of a ServerHello that is a HelloRetryRequest (RFC 8446 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Looks at the first bytes of a client.
///
/// An encrypted ClientHello (ECH) has the name of the fronting server outside; that is the one that is found, and the only
/// one that a server without the right key answers to.
#[must_use]
pub fn look(bytes: &[u8]) -> Hello {
    let before = dropped(bytes);
    match hello(bytes.get(before..).unwrap_or_default()) {
        // No client sends anything before its hello.
        Hello::Name(_) | Hello::Nameless if before > 0 => Hello::Bad,
        Hello::More if bytes.len() >= MAX => Hello::Bad,
        found => found,
    }
}

/// How many bytes at the beginning are records that a server drops before it reads the hello behind them: an empty one (OpenSSL,
/// JSSE), a ChangeCipherSpec (GnuTLS), a warning (Go, JSSE). What is there instead may begin so by chance.
fn dropped(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        at += match rest {
            [HANDSHAKE | CHANGE_CIPHER_SPEC, _, _, 0, 0, ..] => 5,
            [CHANGE_CIPHER_SPEC, _, _, 0, 1, 1, ..] => 6,
            [ALERT, _, _, 0, 2, 1, _, ..] => 7,
            _ => break,
        };
    }
    at
}

/// The same of what is behind those records.
fn hello(bytes: &[u8]) -> Hello {
    // The version of a record is not looked at: servers take any minor one (OpenSSL), any below 16 (Go), or any at all (JSSE).
    match bytes {
        // Another message than a ClientHello is one that no server takes, and no TLS but by chance.
        [HANDSHAKE, _, _, high, low, ..] if length(*high, *low) > LONGEST => return Hello::Other,
        [HANDSHAKE, _, _, _, _] => return Hello::More,
        [HANDSHAKE, _, _, _, _, kind, ..] if *kind != CLIENT_HELLO => return Hello::Other,
        [] | [HANDSHAKE, ..] => {}
        [CHANGE_CIPHER_SPEC | ALERT] | [CHANGE_CIPHER_SPEC | ALERT, _] => return Hello::More,
        [CHANGE_CIPHER_SPEC | ALERT, _, _, rest @ ..] => {
            return match (bytes.first(), rest) {
                (_, [] | [0]) | (Some(&ALERT), [0, 2] | [0, 2, 1]) => Hello::More,
                (Some(&CHANGE_CIPHER_SPEC), [0, 1]) => Hello::More,
                _ => Hello::Other,
            };
        }
        _ => return Hello::Other,
    }
    match message(bytes) {
        Ok((hello, _)) => client_hello(&hello).unwrap_or(Hello::Bad),
        Err(found) => found,
    }
}

fn length(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high, low]))
}

/// Where the ClientHello at the beginning ends; `None` if there is none.
#[must_use]
pub fn end(bytes: &[u8]) -> Option<usize> {
    message(bytes).ok().map(|(_, end)| end)
}

/// Has the server asked for a second ClientHello (HelloRetryRequest)? `None` while these are too few of its bytes to know.
#[must_use]
pub fn is_retry(bytes: &[u8]) -> Option<bool> {
    let mut joined = Vec::new();
    let mut reader = Reader { bytes, at: 0 };
    // Type, length and version of a message are in front of its random.
    let random = 6..6 + RETRY.len();
    loop {
        if joined.first().is_some_and(|kind| *kind != SERVER_HELLO) {
            return Some(false);
        }
        if let Some(found) = joined.get(random.clone()) {
            return Some(found == RETRY);
        }
        let head = reader.take(5)?;
        let (kind, len) = match head {
            [kind @ (HANDSHAKE | ALERT), 3, _, high, low] => (*kind, length(*high, *low)),
            _ => return Some(false),
        };
        if len == 0 || len > LONGEST {
            return Some(false);
        }
        let rest = bytes.get(reader.at..).unwrap_or_default();
        let part = rest.get(..len).unwrap_or(rest);
        // What may come before is a warning (unrecognized_name).
        if kind == HANDSHAKE {
            joined.extend_from_slice(part);
        }
        reader.at += len;
    }
}

/// Looks at what a client sends after a HelloRetryRequest, for its second ClientHello: behind what it sent early, or to please
/// middle boxes (RFC 8446 D.4), and behind alerts, of which servers drop some.
#[must_use]
pub fn look_again(bytes: &[u8]) -> Hello {
    const APPLICATION_DATA: u8 = 23;
    let mut reader = Reader { bytes, at: 0 };
    loop {
        let rest = bytes.get(reader.at..).unwrap_or_default();
        match reader.take(5) {
            None => return Hello::More,
            Some(
                [
                    CHANGE_CIPHER_SPEC | APPLICATION_DATA | ALERT,
                    _,
                    _,
                    high,
                    low,
                ],
            ) => {
                if reader.take(length(*high, *low)).is_none() {
                    return Hello::More;
                }
            }
            Some([HANDSHAKE, _, _, 0, 0]) => return Hello::Bad,
            Some([HANDSHAKE, ..]) => {
                return match look(rest) {
                    Hello::Other => Hello::Bad,
                    hello => hello,
                };
            }
            Some(_) => return Hello::Bad,
        }
    }
}

/// Joins the handshake message out of its records; with where it ends.
fn message(bytes: &[u8]) -> Result<(Vec<u8>, usize), Hello> {
    let more = if bytes.len() < MAX {
        Hello::More
    } else {
        Hello::Bad
    };
    let mut joined = Vec::new();
    let mut reader = Reader { bytes, at: 0 };
    loop {
        if joined.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(Hello::Bad);
        }
        if let [_, a, b, c, ..] = joined.as_slice() {
            let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            // More in its last record is what no client sends, and might be a second one.
            if len + 4 > MAX || joined.len() > len + 4 {
                return Err(Hello::Bad);
            }
            if joined.len() == len + 4 {
                return Ok((joined.split_off(4), reader.at));
            }
        }
        let Some(head) = reader.take(5) else {
            return Err(more);
        };
        let [HANDSHAKE, _, _, high, low] = head else {
            return Err(Hello::Bad);
        };
        let len = length(*high, *low);
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
                if joined.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
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
