//! Messages of the DNS (RFC 1035): the questions of the box and our answers to them. Pure; every loop is bounded by the
//! length of the message. The gate as a client of the host's name servers is in [`dns_client`](super::dns_client).

#![forbid(unsafe_code)]

use super::address;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest question that is looked at: one name, an OPT record, and room for options.
pub const MAX_QUERY: usize = 1232;

/// Record types.
pub(super) const A: u16 = 1;
pub(super) const CNAME: u16 = 5;
pub(super) const PTR: u16 = 12;
pub(super) const AAAA: u16 = 28;
pub(super) const OPT: u16 = 41;
const ANY: u16 = 255;
pub(super) const IN: u16 = 1;

/// How long the box may keep an answer: names keep their addresses, but a rule may go.
const TTL: u32 = 60;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    id: u16,
    /// RD and CD, which the answer repeats.
    flags: u16,
    /// The question as it came: clients compare the case of its letters.
    question: Vec<u8>,
    edns: bool,
    /// What is asked for.
    pub asks: Asks,
    /// The name as it came, for messages; may hold any byte.
    pub raw: Vec<u8>,
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asks {
    /// The IPv4 addresses of a name.
    V4(String),
    /// The IPv6 addresses of a name.
    V6(String),
    /// Another record of a name.
    Other(String),
    /// The name of an address.
    Name(IpAddr),
    /// Nothing that can exist.
    Nonsense,
}

/// What is wrong with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// No answer: it is an answer itself or too short to have a number.
    Silent,
    /// Answered with this code.
    Code {
        /// The number of the question.
        id: u16,
        /// The code.
        code: Code,
    },
}

/// Response codes (RFC 1035 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// There is an answer, or the name exists without such a record.
    NoError = 0,
    /// Malformed.
    FormErr = 1,
    /// Something went wrong; ask again.
    ServFail = 2,
    /// No such name.
    NxDomain = 3,
    /// Not a query.
    NotImp = 4,
    /// Not answered here.
    Refused = 5,
}

/// An answer record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A.
    V4(Ipv4Addr),
    /// AAAA.
    V6(Ipv6Addr),
    /// PTR.
    Name(String),
}

/// Reads a message from its start.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A name without compression: its labels joined by dots, or `None` if it is none. At most 255 bytes.
    fn plain_name(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        loop {
            let len = usize::from(self.u8()?);
            if len == 0 {
                return Some(name);
            }
            // 64 and above: a pointer, or a label type that never came to be. A question has nothing to point to.
            if len > 63 || name.len() + len > 254 {
                return None;
            }
            if !name.is_empty() {
                name.push(b'.');
            }
            name.extend_from_slice(self.take(len)?);
        }
    }
}

/// Reads a question.
///
/// # Errors
/// [`Bad`]: what to answer instead, if anything.
pub fn parse(message: &[u8]) -> Result<Query, Bad> {
    let mut reader = Reader {
        bytes: message,
        at: 0,
    };
    let id = reader.u16().ok_or(Bad::Silent)?;
    let flags = reader.u16().ok_or(Bad::Silent)?;
    // QR: an answer. To answer it could go back and forth for ever.
    if flags & 0x8000 != 0 {
        return Err(Bad::Silent);
    }
    let bad = |code| Bad::Code { id, code };
    if flags & 0x7800 != 0 {
        return Err(bad(Code::NotImp));
    }
    if message.len() > MAX_QUERY {
        return Err(bad(Code::FormErr));
    }
    question(&mut reader, id, flags).unwrap_or(Err(bad(Code::FormErr)))
}

/// `None`: malformed.
fn question(reader: &mut Reader<'_>, id: u16, flags: u16) -> Option<Result<Query, Bad>> {
    let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
    let [1, 0, 0, additional @ 0..=4] = counts else {
        return None;
    };
    let start = reader.at;
    let raw = reader.plain_name()?;
    let (kind, class) = (reader.u16()?, reader.u16()?);
    let question = reader.bytes.get(start..reader.at)?.to_vec();
    let mut edns = false;
    for _ in 0..additional {
        let root = reader.plain_name()?.is_empty();
        let kind = reader.u16()?;
        reader.take(6)?;
        let len = reader.u16()?;
        reader.take(usize::from(len))?;
        edns |= root && kind == OPT;
    }
    if class != IN {
        return Some(Err(Bad::Code {
            id,
            code: Code::Refused,
        }));
    }
    // A dot inside of a label would make one name look like another.
    let dots = raw.iter().filter(|b| **b == b'.').count();
    let labels = labels_of(&question);
    let name = std::str::from_utf8(&raw)
        .ok()
        .filter(|_| dots + 1 == labels)
        .and_then(address::normal);
    let asks = match (name, kind) {
        (None, _) => Asks::Nonsense,
        (Some(name), A | ANY) => Asks::V4(name),
        (Some(name), AAAA) => Asks::V6(name),
        (Some(name), PTR) => match reverse(&name) {
            Some(addr) => Asks::Name(addr),
            None => Asks::Other(name),
        },
        (Some(name), _) => Asks::Other(name),
    };
    Some(Ok(Query {
        id,
        flags: flags & 0x0110,
        question,
        edns,
        asks,
        raw,
    }))
}

fn labels_of(question: &[u8]) -> usize {
    let (mut at, mut labels) = (0, 0);
    while let Some(len @ 1..) = question.get(at) {
        at += usize::from(*len) + 1;
        labels += 1;
    }
    labels
}

/// The address that a name of in-addr.arpa or ip6.arpa stands for.
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0u8; 4];
        let mut parts = rest.split('.');
        for octet in octets.iter_mut().rev() {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| octets.into());
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let mut value = 0u128;
    let mut count = 0;
    for nibble in rest.rsplit('.') {
        let digit = u8::from_str_radix(nibble, 16)
            .ok()
            .filter(|_| nibble.len() == 1)?;
        value = (value << 4) | u128::from(digit);
        count += 1;
        if count > 32 {
            return None;
        }
    }
    (count == 32).then(|| Ipv6Addr::from(value).into())
}

/// Writes a name as labels. Only normal names come here, so no label is longer than its length can say.
pub(super) fn put_name(out: &mut Vec<u8>, name: &str) {
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).unwrap_or(0));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
}

/// Writes an answer. It always fits into the smallest message that everybody takes: 512 bytes hold one question and one
/// record of at most 255 bytes each... so nothing is ever truncated.
#[must_use]
pub fn answer(query: &Query, code: Code, records: &[Record]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let count = u16::try_from(records.len()).unwrap_or(0);
    // QR and RA, and what the question had.
    header(&mut out, query.id, 0x8080 | query.flags, code);
    for value in [1, count, 0, u16::from(query.edns)] {
        out.extend_from_slice(&value.to_be_bytes());
    }
    out.extend_from_slice(&query.question);
    for record in records.iter().take(usize::from(count)) {
        // A pointer to the question, which starts behind the header.
        out.extend_from_slice(&[0xc0, 12]);
        let (kind, data) = match record {
            Record::V4(addr) => (A, addr.octets().to_vec()),
            Record::V6(addr) => (AAAA, addr.octets().to_vec()),
            Record::Name(name) => {
                let mut data = Vec::with_capacity(name.len() + 2);
                put_name(&mut data, name);
                (PTR, data)
            }
        };
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&IN.to_be_bytes());
        out.extend_from_slice(&TTL.to_be_bytes());
        out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(&data);
    }
    if query.edns {
        // The root, OPT, the size that we take, no flags, no options.
        out.extend_from_slice(&[0, 0, 41]);
        out.extend_from_slice(&1232u16.to_be_bytes());
        out.extend_from_slice(&[0; 6]);
    }
    out
}

/// The answer to what is no question, if there is one.
#[must_use]
pub fn answer_bad(bad: Bad) -> Option<Vec<u8>> {
    let Bad::Code { id, code } = bad else {
        return None;
    };
    let mut out = Vec::with_capacity(12);
    header(&mut out, id, 0x8080, code);
    out.extend_from_slice(&[0; 8]);
    Some(out)
}

fn header(out: &mut Vec<u8>, id: u16, flags: u16, code: Code) {
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&(flags | code as u16).to_be_bytes());
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
