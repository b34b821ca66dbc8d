//! [`Id`]: what git calls an object, in both of its formats (gitformat-pack(5), git-hash-function-transition).

#![forbid(unsafe_code)]

use super::index::Format;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// The name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    /// Of 20 bytes.
    Sha1([u8; 20]),
    /// Of 32, with `extensions.objectFormat = sha256`.
    Sha256([u8; 32]),
}

impl Id {
    /// Of these bytes, if there are as many as one has.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Id> {
        let sha1 = bytes.try_into().map(Id::Sha1);
        sha1.or_else(|_| bytes.try_into().map(Id::Sha256)).ok()
    }

    /// Of forty or sixty-four hexadecimal digits.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Id> {
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        let bytes = text.chunks(2).map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        });
        Id::of(&bytes.collect::<Option<Vec<u8>>>()?)
    }

    /// Of an object of that kind (`blob`) and content.
    #[must_use]
    pub fn name(format: Format, kind: &str, content: &[u8]) -> Id {
        let head = format!("{kind} {}\0", content.len());
        match format {
            Format::Sha1 => {
                let hash = Sha1::new().chain_update(head).chain_update(content);
                Id::Sha1(hash.finalize().into())
            }
            Format::Sha256 => {
                let hash = Sha256::new().chain_update(head).chain_update(content);
                Id::Sha256(hash.finalize().into())
            }
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Id::Sha1(bytes) => bytes,
            Id::Sha256(bytes) => bytes,
        }
    }

    /// The format that it is of: a repository has one.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Id::Sha1(_) => Format::Sha1,
            Id::Sha256(_) => Format::Sha256,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::text::hex;

    #[test]
    fn ids_are_forty_or_sixty_four_digits() {
        let text = "0123456789abcdefABCDEF0123456789abcdef010123456789abcdef01234567";
        for digits in [40, 64] {
            let id = Id::parse(&text.as_bytes()[..digits]).unwrap();
            assert_eq!(hex(id.bytes()), text[..digits].to_lowercase());
        }
        for wrong in [
            "",
            "0",
            &text[..39],
            &text[..42],
            "g123456789abcdef0123456789abcdef01234567",
        ] {
            assert_eq!(Id::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    /// As git-hash-object(1) says.
    #[test]
    fn the_empty_blob() {
        for (format, is) in [
            (Format::Sha1, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            (
                Format::Sha256,
                "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
            ),
        ] {
            let id = Id::name(format, "blob", b"");
            assert_eq!(hex(id.bytes()), is);
            assert_eq!(id.format(), format);
        }
    }
}
