//! Names of hosts in one form: lower case, no dot at the end, labels in ASCII (RFC 3492 for what is not). Two texts that the
//! resolver takes for one name are one text here, and what can be read as an address is no name.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, Ipv6Addr};

/// The most bytes of a name without its last dot (RFC 1035, 2.3.4).
pub const MOST: usize = 253;

/// The most bytes of one label.
const LABEL: usize = 63;

/// Why a text is not the name of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing at all, or nothing between two dots.
    #[error("a part of the name is empty")]
    Empty,
    /// More than [`MOST`] bytes, or a label of more than 63.
    #[error("it is longer than a name can be (253 bytes, 63 between two dots)")]
    TooLong,
    /// A byte or character that no name has.
    #[error("`{0}` is not part of a name")]
    Character(char),
    /// A hyphen at an end of a label.
    #[error("a part of the name begins or ends with a hyphen")]
    Hyphen,
    /// It ends in a number: programs read that as an IPv4 address, in decimal, octal or hexadecimal form.
    #[error("it is an address in an odd form, not a name")]
    Number,
}

/// The one form of a name.
///
/// # Errors
/// It is not the name of a host.
pub fn normalise(text: &str) -> Result<String, BadName> {
    let text = text.strip_suffix('.').unwrap_or(text);
    // No name is longer in characters than in bytes: what is far too long is not looked at.
    if text.len() > 4 * MOST {
        return Err(BadName::TooLong);
    }
    let mut out = String::with_capacity(text.len());
    // The ideographic full stops are dots to every resolver that knows them (RFC 3490, 3.1).
    for label in text.split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']) {
        if !out.is_empty() {
            out.push('.');
        }
        push_label(&mut out, label)?;
    }
    if out.len() > MOST {
        return Err(BadName::TooLong);
    }
    if ends_in_number(&out) {
        return Err(BadName::Number);
    }
    Ok(out)
}

fn push_label(out: &mut String, label: &str) -> Result<(), BadName> {
    if label.is_empty() {
        return Err(BadName::Empty);
    }
    let label: String = label.chars().flat_map(char::to_lowercase).collect();
    let start = out.len();
    if label.is_ascii() {
        out.push_str(&label);
    } else {
        out.push_str("xn--");
        punycode(&label, out)?;
    }
    let made = out.get(start..).unwrap_or_default();
    if made.len() > LABEL {
        return Err(BadName::TooLong);
    }
    // The underscore is no letter of host names, but of names that are in use (`_dmarc`, S3 buckets of old).
    let odd = |c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '-' && c != '_';
    if let Some(c) = label.chars().find(|c| c.is_ascii() && odd(*c)) {
        return Err(BadName::Character(c));
    }
    if let Some(c) = label
        .chars()
        .find(|c| !c.is_ascii() && !c.is_alphanumeric())
    {
        return Err(BadName::Character(c));
    }
    if made.starts_with('-') || made.ends_with('-') {
        return Err(BadName::Hyphen);
    }
    Ok(())
}

/// Whether programs (inet_aton(3), the URL standard's "ends in a number") read it as an IPv4 address.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    hex || last.bytes().all(|b| b.is_ascii_digit())
}

/// Normalised names that stand for loopback: by RFC 6761, and agentbox's own for the host.
#[must_use]
pub fn is_local_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost") || name == super::HOST_NAME
}

/// The address that a literal in any of its forms means: dotted, decimal, octal, hexadecimal, with fewer parts, or IPv6 with
/// or without brackets. An IPv4-mapped one is the IPv4 address. `None` for a name.
#[must_use]
pub fn literal(text: &str) -> Option<std::net::IpAddr> {
    use std::net::IpAddr;
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Ok(v6) = bare.unwrap_or(text).parse::<Ipv6Addr>() {
        return Some(IpAddr::V6(v6).to_canonical());
    }
    if bare.is_some() {
        return None;
    }
    aton(text.strip_suffix('.').unwrap_or(text)).map(IpAddr::V4)
}

/// inet_aton(3): one to four parts, the last of which fills what is left; 0x is hexadecimal, a leading 0 octal.
fn aton(text: &str) -> Option<Ipv4Addr> {
    let mut parts = Vec::with_capacity(4);
    for part in text.split('.') {
        let (digits, radix) = match part.as_bytes() {
            [b'0', b'x' | b'X', ..] => (part.get(2..)?, 16),
            [b'0', _, ..] => (part.get(1..)?, 8),
            _ => (part, 10),
        };
        // from_str_radix takes a sign.
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) || parts.len() == 4 {
            return None;
        }
        let number = if digits.is_empty() && radix == 16 {
            0
        } else {
            u64::from_str_radix(digits, radix).ok()?
        };
        parts.push(number);
    }
    let (last, first) = parts.split_last()?;
    let mut bits: u64 = 0;
    for part in first {
        if *part > 255 {
            return None;
        }
        bits = bits << 8 | part;
    }
    let width = 8 * u32::try_from(4 - first.len()).ok()?;
    if *last >> width != 0 {
        return None;
    }
    u32::try_from(bits << width | last)
        .ok()
        .map(Ipv4Addr::from_bits)
}

/// RFC 3492, with the parameters of its section 5. The label is in lower case; it is not otherwise normalised, so a name in
/// another composition of its accents is another name, and matches nothing.
fn punycode(label: &str, out: &mut String) -> Result<(), BadName> {
    const BASE: u32 = 36;
    const MIN: u32 = 1;
    const MAX: u32 = 26;
    let chars: Vec<u32> = label.chars().map(u32::from).collect();
    if chars.len() > LABEL {
        return Err(BadName::TooLong);
    }
    let basic = label.chars().filter(char::is_ascii).count();
    out.extend(label.chars().filter(char::is_ascii));
    if basic > 0 {
        out.push('-');
    }
    let count = |n: usize| u32::try_from(n).map_err(|_| BadName::TooLong);
    let (mut n, mut delta, mut bias) = (128u32, 0u32, 72u32);
    let (mut handled, first) = (count(basic)?, count(basic)?);
    while handled < count(chars.len())? {
        let next = chars.iter().copied().filter(|c| *c >= n).min();
        let next = next.ok_or(BadName::TooLong)?;
        delta = (next - n)
            .checked_mul(handled + 1)
            .and_then(|more| delta.checked_add(more))
            .ok_or(BadName::TooLong)?;
        n = next;
        for c in &chars {
            if *c < n {
                delta += 1;
            }
            if *c != n {
                continue;
            }
            let (mut q, mut k) = (delta, BASE);
            loop {
                let t = k.saturating_sub(bias).clamp(MIN, MAX);
                if q < t {
                    break;
                }
                digit(out, t + (q - t) % (BASE - t));
                q = (q - t) / (BASE - t);
                k += BASE;
            }
            digit(out, q);
            let mut d = if handled == first {
                delta / 700
            } else {
                delta / 2
            };
            d += d / (handled + 1);
            let mut k = 0;
            while d > (BASE - MIN) * MAX / 2 {
                d /= BASE - MIN;
                k += BASE;
            }
            bias = k + (BASE - MIN + 1) * d / (d + 38);
            delta = 0;
            handled += 1;
        }
        delta += 1;
        n += 1;
    }
    Ok(())
}

fn digit(out: &mut String, value: u32) {
    let byte = if value < 26 { 97 + value } else { 22 + value };
    out.extend(char::from_u32(byte));
}
