//! [`OsText`]: bytes of the system (paths, arguments, names of variables) in plain data. Paths are bytes; a plan with one
//! that is not UTF-8 still has to be written as JSON and read back unchanged.

#![forbid(unsafe_code)]

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Two hexadecimal digits for each byte, in small letters.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of the system. Serialised as a string, or as `{"bytes": "hex"}` when they are not UTF-8.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OsText(OsString);

impl OsText {
    /// As a path.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// As bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// As one word of a shell, for lines that people copy: whoever chose the name must not choose what else is run.
    #[must_use]
    pub fn shell_word(&self) -> String {
        let text = self.to_string();
        if !text.is_empty() && self.bytes().iter().all(is_plain) {
            text
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    }

    /// As an `OsStr`.
    #[must_use]
    pub fn os(&self) -> &OsStr {
        &self.0
    }
}

/// Means nothing but itself to a shell, wherever it stands in a word.
#[must_use]
pub fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+,:@%=~".contains(byte)
}

/// For people: control characters and what is not UTF-8 are escaped, so that a file name cannot write on a terminal.
impl fmt::Display for OsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0.as_bytes())
    }
}

/// Writes bytes for people: printable UTF-8 as it is, everything else as `\xNN` or `\u{NN}`.
pub fn write_escaped(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    // Nearly every name is plain.
    if bytes.iter().all(|b| matches!(b, b' '..=b'~'))
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return f.write_str(text);
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if acts(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Does it write on a terminal, or turn the order of a line around? C1 controls (0x80..0x9f) are controls for terminals too;
/// `char::is_control` covers both ranges.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of lines, or JSON, in which what would act on a terminal and JSON lets through (DEL, C1 controls, changes of direction) is written
/// as JSON writes the others.
#[must_use]
pub fn for_terminals(text: &str) -> Cow<'_, str> {
    let wrong = |c: char| acts(c) && !c.is_ascii_control() || c == '\u{7f}';
    if !text.contains(wrong) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if wrong(c) {
            // Into a String: never an error.
            let _ = fmt::Write::write_fmt(&mut out, format_args!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

impl fmt::Debug for OsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<Path> for OsText {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

impl AsRef<OsStr> for OsText {
    fn as_ref(&self) -> &OsStr {
        &self.0
    }
}

macro_rules! from {
    ($($t:ty),*) => { $(impl From<$t> for OsText { fn from(v: $t) -> Self { OsText(v.into()) } })* };
}
from!(OsString, PathBuf, String, &str, &OsStr);

impl From<&Path> for OsText {
    fn from(v: &Path) -> Self {
        OsText(v.as_os_str().to_owned())
    }
}

impl From<OsText> for PathBuf {
    fn from(v: OsText) -> Self {
        v.0.into()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Bytes { bytes: String },
}

impl Serialize for OsText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => Form::Bytes {
                bytes: hex(self.0.as_bytes()),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for OsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(OsText(text.into())),
            Form::Bytes { bytes: hex } => {
                let nibble = |c: u8| {
                    char::from(c)
                        .to_digit(16)
                        .and_then(|d| u8::try_from(d).ok())
                };
                let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(de::Error::custom("an odd number of hexadecimal digits"));
                }
                pairs
                    .iter()
                    .map(|[hi, lo]| Some(nibble(*hi)? << 4 | nibble(*lo)?))
                    .collect::<Option<Vec<u8>>>()
                    .map(|bytes| OsText(OsString::from_vec(bytes)))
                    .ok_or_else(|| de::Error::custom("not hexadecimal"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_survive_json() {
        for bytes in [&b"plain"[..], b"", b"caf\xc3\xa9", b"\xff\x00\x80x"] {
            let text = OsText::from(OsStr::from_bytes(bytes));
            let json = serde_json::to_string(&text).unwrap();
            assert_eq!(
                serde_json::from_str::<OsText>(&json).unwrap(),
                text,
                "{json}"
            );
        }
        assert!(serde_json::from_str::<OsText>(r#"{"bytes":"fff"}"#).is_err());
        assert!(serde_json::from_str::<OsText>(r#"{"bytes":"zz"}"#).is_err());
    }

    #[test]
    fn a_shell_word_is_one_word() {
        for (name, word) in [
            ("/w/.env.local", "/w/.env.local"),
            ("", "''"),
            ("a;touch b", "'a;touch b'"),
            ("$(id)`id`", "'$(id)`id`'"),
            ("it's", "'it'\\''s'"),
            ("a\nb", "'a\\nb'"),
        ] {
            assert_eq!(OsText::from(name).shell_word(), word);
        }
    }

    #[test]
    fn display_cannot_write_on_a_terminal() {
        let text = OsText::from(OsStr::from_bytes(b"a\x1b[31m\xffb\nc"));
        assert_eq!(text.to_string(), "a\\u{1b}[31m\\xffb\\nc");
    }
}
