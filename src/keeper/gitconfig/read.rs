//! Git's own way of reading a configuration (`git_parse_source` of config.c), character by character.

#![forbid(unsafe_code)]

use super::{ConfigError, MAX};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// In lower case; may have a dot in it (`[a.b]`).
    pub(super) section: Vec<u8>,
    /// As written.
    pub(super) subsection: Option<Vec<u8>>,
    /// In lower case.
    pub(super) key: Vec<u8>,
    /// `None`: a key without `=`.
    pub(super) value: Option<Vec<u8>>,
    /// Its bytes, without the end of line.
    pub(super) span: std::ops::Range<usize>,
}

impl Entry {
    pub(super) fn same_as(&self, other: &Entry) -> bool {
        (&self.section, &self.subsection, &self.key, &self.value)
            == (&other.section, &other.subsection, &other.key, &other.value)
    }

    /// As text that git reads as this entry.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let escaped = |out: &mut Vec<u8>, text: &[u8]| {
            for byte in text {
                match byte {
                    b'\n' => out.extend(b"\\n"),
                    b'\t' => out.extend(b"\\t"),
                    b'"' | b'\\' => out.extend([b'\\', *byte]),
                    other => out.push(*other),
                }
            }
        };
        out.push(b'[');
        out.extend(&self.section);
        if let Some(subsection) = &self.subsection {
            out.extend(b" \"");
            for byte in subsection {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(*byte);
            }
            out.push(b'"');
        }
        out.extend(b"]\n\t");
        out.extend(&self.key);
        if let Some(value) = &self.value {
            out.extend(b" = \"");
            escaped(out, value);
            out.push(b'"');
        }
        out.push(b'\n');
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// The end was read; it counts as an end of line.
    ended: bool,
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

/// Every entry of a file.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Entry>, ConfigError> {
    if text.len() > MAX {
        return Err(ConfigError::TooLarge);
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
    };
    let mut entries = Vec::new();
    let mut section = (Vec::new(), None);
    let mut comment = false;
    loop {
        let at = reader.at;
        let c = reader.next();
        match c {
            b'\n' if reader.ended => return Ok(entries),
            b'\n' => comment = false,
            _ if comment || is_space(c) => {}
            b'#' | b';' => comment = true,
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

fn header(reader: &mut Reader<'_>) -> Result<Section, ConfigError> {
    let mut name = Vec::new();
    loop {
        let mut c = reader.next();
        if reader.ended {
            return reader.bad();
        }
        if c == b']' {
            return Ok((name, None));
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
            return Ok((name, Some(subsection)));
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
    let (mut quoted, mut comment) = (false, false);
    loop {
        let before = reader.at;
        let c = reader.next();
        if c == b'\n' {
            if quoted {
                return reader.bad();
            }
            return Ok((value, before));
        }
        if comment {
            continue;
        }
        if is_space(c) && !quoted {
            if !value.is_empty() {
                spaces.push(c);
            }
            continue;
        }
        if !quoted && matches!(c, b'#' | b';') {
            comment = true;
            continue;
        }
        value.append(&mut spaces);
        match c {
            b'\\' => match reader.next() {
                b'\n' if reader.ended => return reader.bad(),
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
