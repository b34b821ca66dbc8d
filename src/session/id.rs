//! [`SessionId`]: ten characters, the first six of them the time, so that names sort as sessions began.

#![forbid(unsafe_code)]

use crate::record::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Crockford's base 32 in lower case: no i, l, o and u, so that an id can be read aloud and typed. Ascending in ASCII.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 2026-01-01T00:00:00Z. 30 bits of seconds last until January 2060.
const EPOCH: u64 = 1_767_225_600;
/// Characters of an id.
pub const LENGTH: usize = 10;

/// The name of a session. Valid by construction: ten characters of the alphabet, so never `.`, `..` or a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

/// The text is not the name of a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a session")]
pub struct NotAnId;

impl SessionId {
    /// An id of that moment: 30 bits of time and 20 random ones. mkdir(2) decides whether it is free.
    #[must_use]
    pub fn new(at: Timestamp, random: [u8; 4]) -> SessionId {
        let seconds = at.seconds().saturating_sub(EPOCH) & 0x3fff_ffff;
        let bits = seconds << 20 | u64::from(u32::from_le_bytes(random) >> 12);
        let name = (0..LENGTH)
            .rev()
            .map(|place| digit(bits >> (5 * place)))
            .collect();
        SessionId(name)
    }

    /// When the session with this id began, to the second.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        let seconds = self.0.bytes().take(6).fold(0u64, |sum, c| {
            let value = ALPHABET.iter().position(|a| *a == c).unwrap_or_default();
            sum << 5 | u64::try_from(value).unwrap_or_default()
        });
        Timestamp::from_millis((EPOCH + seconds).saturating_mul(1000))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// May somebody who typed that mean this session? By the beginning of its name, which is its time, or the end, which is random.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        self.0.starts_with(text) || self.0.ends_with(text)
    }
}

fn digit(bits: u64) -> char {
    let index = usize::try_from(bits & 31).unwrap_or_default();
    ALPHABET.get(index).copied().map_or('0', char::from)
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SessionId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<SessionId, NotAnId> {
        let fits = text.len() == LENGTH && text.bytes().all(|c| ALPHABET.contains(&c));
        fits.then_some(SessionId(text)).ok_or(NotAnId)
    }
}

impl TryFrom<&str> for SessionId {
    type Error = NotAnId;

    fn try_from(text: &str) -> Result<SessionId, NotAnId> {
        SessionId::try_from(text.to_owned())
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> String {
        id.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_sort_as_sessions_began() {
        let mut last = String::new();
        for seconds in [0, 1, 31, 32, 1000, 86_400, 40_000_000, 0x3fff_ffff] {
            let at = Timestamp::from_millis((EPOCH + seconds) * 1000 + 999);
            let id = SessionId::new(at, [7, 9, 200, 13]);
            assert!(id.as_str() > last.as_str(), "{id} after {last}");
            assert_eq!(id.began().seconds(), EPOCH + seconds);
            assert_eq!(SessionId::try_from(id.as_str()).unwrap(), id);
            last = id.to_string();
        }
    }

    #[test]
    fn a_clock_before_2026_still_gives_a_name() {
        let id = SessionId::new(Timestamp::from_millis(5), [255; 4]);
        assert_eq!(id.as_str(), "000000zzzz");
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "",
            ".",
            "..",
            "0123456789a",
            "012345678",
            "../../../x",
            "012345678i",
            "012345678A",
        ] {
            assert_eq!(SessionId::try_from(text), Err(NotAnId), "{text}");
        }
        assert!(serde_json::from_str::<SessionId>("\"../../etc/\"").is_err());
    }
}
