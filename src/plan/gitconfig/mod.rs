//! Git's configuration, read as git reads it (`git_parse_source` of config.c), character by character. The one reader: what
//! takes secrets out of a configuration and what undoes entries that run programs agree about every text. Pure.
//!
//! One text is refused although git reads it: one with a NUL byte. Git keeps names as C strings, so that
//! `[core "hooksPath\0"]` with any key is `core.hookspath`; no program writes such a file.

#![forbid(unsafe_code)]

pub mod clean;

use std::ops::Range;

/// The most bytes of a file that is looked at.
pub const MAX: usize = 1 << 20;

/// Why a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Git would refuse it as well, or it holds a NUL byte.
    #[error("not a git configuration (byte {at})")]
    Bad {
        /// Where.
        at: usize,
    },
    /// Larger than [`MAX`].
    #[error("larger than 1 MiB")]
    TooLarge,
}

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// In their order.
    pub entries: Vec<Entry>,
    /// What stands behind `#` and `;`.
    pub comments: Vec<Vec<u8>>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In lower case, without a dot. Empty, without a subsection: the entry is in no section.
    pub section: Vec<u8>,
    /// `b` of `[a "b"]` as written, `b` of `[a.b]` in lower case.
    pub subsection: Option<Vec<u8>>,
    /// In lower case.
    pub key: Vec<u8>,
    /// `None`: a key without `=`.
    pub value: Option<Vec<u8>>,
    /// Its bytes, without the end of line.
    pub span: Range<usize>,
}

impl Entry {
    /// Does the other one say the same?
    #[must_use]
    pub fn same_as(&self, other: &Entry) -> bool {
        (&self.section, &self.subsection, &self.key, &self.value)
            == (&other.section, &other.subsection, &other.key, &other.value)
    }

    /// Git's name for it: `section.subsection.key`.
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        let mut name = self.section.clone();
        for part in [self.subsection.as_deref(), Some(self.key.as_slice())]
            .into_iter()
            .flatten()
        {
            if !name.is_empty() || self.subsection.is_some() {
                name.push(b'.');
            }
            name.extend(part);
        }
        name
    }
}

/// Text that git reads as these entries. Those in no section have to come first.
#[must_use]
pub fn write(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut last: (&[u8], Option<&[u8]>) = (b"", None);
    for entry in entries {
        let here = (entry.section.as_slice(), entry.subsection.as_deref());
        if last != here {
            header_of(here, &mut out);
            last = here;
        }
        out.push(b'\t');
        out.extend(&entry.key);
        if let Some(value) = &entry.value {
            out.extend(b" = \"");
            for byte in value {
                match byte {
                    b'\n' => out.extend(b"\\n"),
                    b'\t' => out.extend(b"\\t"),
                    8 => out.extend(b"\\b"),
                    b'"' | b'\\' => out.extend([b'\\', *byte]),
                    byte => out.push(*byte),
                }
            }
            out.push(b'"');
        }
        out.push(b'\n');
    }
    out
}

fn header_of((section, subsection): (&[u8], Option<&[u8]>), out: &mut Vec<u8>) {
    out.push(b'[');
    out.extend(section);
    if let Some(subsection) = subsection {
        out.extend(b" \"");
        for byte in subsection {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        out.push(b'"');
    }
    out.extend(b"]\n");
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// The end was read; it counts as an end of line.
    ended: bool,
    comments: Vec<Vec<u8>>,
}

impl Reader<'_> {
    /// The next character, as git's `get_next_char`.
    fn next(&mut self) -> u8 {
        match self.text.get(self.at) {
            None => {
                self.ended = true;
                b'\n'
            }
            Some(b'\r') if self.text.get(self.at + 1) == Some(&b'\n') => {
                self.at += 2;
                b'\n'
            }
            Some(byte) => {
                self.at += 1;
                *byte
            }
        }
    }

    /// The rest of the line, but for its end.
    fn comment(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let line = rest.split(|b| *b == b'\n').next().unwrap_or_default();
        // A carriage return at the end belongs to the end, which is read next.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.at += line.len();
        self.comments.push(line.to_vec());
    }

    fn bad<T>(&self) -> Result<T, ConfigError> {
        Err(ConfigError::Bad { at: self.at })
    }
}

fn is_space(c: u8) -> bool {
    // Git's own isspace knows no vertical tab and no form feed.
    matches!(c, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_key(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'-'
}

/// Reads a file.
///
/// # Errors
/// See [`ConfigError`].
pub fn parse(text: &[u8]) -> Result<Config, ConfigError> {
    if text.len() > MAX {
        return Err(ConfigError::TooLarge);
    }
    if let Some(at) = text.iter().position(|b| *b == 0) {
        return Err(ConfigError::Bad { at });
    }
    let start = if text.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    let mut reader = Reader {
        text,
        at: start,
        ended: false,
        comments: Vec::new(),
    };
    let mut entries = Vec::new();
    let mut section = (Vec::new(), None);
    loop {
        let at = reader.at;
        let c = reader.next();
        match c {
            b'\n' if reader.ended => {
                return Ok(Config {
                    entries,
                    comments: reader.comments,
                });
            }
            c if is_space(c) => {}
            b'#' | b';' => reader.comment(),
            b'[' => section = header(&mut reader)?,
            c if c.is_ascii_alphabetic() => {
                let (key, value, end) = entry(&mut reader, c)?;
                entries.push(Entry {
                    section: section.0.clone(),
                    subsection: section.1.clone(),
                    key,
                    value,
                    span: at..end,
                });
            }
            _ => return reader.bad(),
        }
    }
}

type Section = (Vec<u8>, Option<Vec<u8>>);

/// `[a.b]` is the older form of `[a "b"]`, and `[a.b "c"]` is `[a "b.c"]`.
fn split(mut name: Vec<u8>, subsection: Option<Vec<u8>>) -> Section {
    let Some(dot) = name.iter().position(|b| *b == b'.') else {
        return (name, subsection);
    };
    let mut dotted = name.split_off(dot + 1);
    name.truncate(dot);
    if let Some(subsection) = subsection {
        dotted.push(b'.');
        dotted.extend(subsection);
    }
    (name, Some(dotted))
}

fn header(reader: &mut Reader<'_>) -> Result<Section, ConfigError> {
    let mut name = Vec::new();
    loop {
        let mut c = reader.next();
        if reader.ended {
            return reader.bad();
        }
        if c == b']' {
            // A section without a name is none.
            if name.is_empty() {
                return reader.bad();
            }
            return Ok(split(name, None));
        }
        if is_space(c) {
            while is_space(c) {
                if c == b'\n' {
                    return reader.bad();
                }
                c = reader.next();
            }
            if c != b'"' {
                return reader.bad();
            }
            let mut subsection = Vec::new();
            loop {
                match reader.next() {
                    b'\n' => return reader.bad(),
                    b'"' => break,
                    b'\\' => match reader.next() {
                        b'\n' => return reader.bad(),
                        c => subsection.push(c),
                    },
                    c => subsection.push(c),
                }
            }
            if reader.next() != b']' {
                return reader.bad();
            }
            return Ok(split(name, Some(subsection)));
        }
        if !is_key(c) && c != b'.' {
            return reader.bad();
        }
        name.push(c.to_ascii_lowercase());
    }
}

type KeyValue = (Vec<u8>, Option<Vec<u8>>, usize);

fn entry(reader: &mut Reader<'_>, first: u8) -> Result<KeyValue, ConfigError> {
    let mut key = vec![first.to_ascii_lowercase()];
    let mut before = reader.at;
    let mut c = reader.next();
    while is_key(c) {
        key.push(c.to_ascii_lowercase());
        before = reader.at;
        c = reader.next();
    }
    while matches!(c, b' ' | b'\t') {
        before = reader.at;
        c = reader.next();
    }
    match c {
        b'\n' => Ok((key, None, before)),
        b'=' => {
            let (value, end) = value(reader)?;
            Ok((key, Some(value), end))
        }
        _ => reader.bad(),
    }
}

fn value(reader: &mut Reader<'_>) -> Result<(Vec<u8>, usize), ConfigError> {
    let mut value = Vec::new();
    // Spaces at the end do not count; those that something follows do.
    let mut spaces = Vec::new();
    let mut quoted = false;
    loop {
        let before = reader.at;
        let c = reader.next();
        if c == b'\n' {
            if quoted {
                return reader.bad();
            }
            return Ok((value, before));
        }
        if is_space(c) && !quoted {
            if !value.is_empty() {
                spaces.push(c);
            }
            continue;
        }
        if !quoted && matches!(c, b'#' | b';') {
            reader.comment();
            // Git cuts spaces at the end, and the comment with them.
            let before = reader.at;
            reader.next();
            return Ok((value, before));
        }
        value.append(&mut spaces);
        match c {
            b'\\' => match reader.next() {
                b'\n' => {}
                b't' => value.push(b'\t'),
                b'b' => value.push(8),
                b'n' => value.push(b'\n'),
                c @ (b'\\' | b'"') => value.push(c),
                _ => return reader.bad(),
            },
            b'"' => quoted = !quoted,
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
