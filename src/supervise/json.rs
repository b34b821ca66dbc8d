//! JSON as text with a tree over it: what is not an object or an array is kept byte for byte, so that a merge changes
//! nothing that nobody changed (numbers beyond 64 bits, escapes, lone surrogates). The input may be hostile: the depth is
//! bounded, the time linear, and nothing is copied but keys.

#![forbid(unsafe_code)]

use std::borrow::Cow;

/// How deep objects and arrays may be nested.
pub const DEPTH: usize = 128;

/// A JSON value (RFC 8259).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string, number, true, false or null, as it stands in the text.
    Leaf(&'a str),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object, in the order of the text. A name that occurs twice has its last value, as in JavaScript.
    Object(Vec<(Key<'a>, Value<'a>)>),
}

/// The name of a member.
#[derive(Debug, Clone)]
pub struct Key<'a> {
    /// As it stands in the text, with quotes and escapes.
    raw: &'a str,
    /// What it means, in UTF-8; a lone surrogate in the same form (as WTF-8), so that no two names fall together.
    name: Cow<'a, [u8]>,
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key<'_> {}

impl Key<'_> {
    /// What it means.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

/// Why a text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It breaks the grammar.
    #[error("not JSON (at byte {at})")]
    Syntax {
        /// Where, from 0.
        at: usize,
    },
    /// It is nested more than [`DEPTH`] levels deep.
    #[error("nested more than {DEPTH} levels deep")]
    Depth,
}

/// Reads a whole text.
///
/// # Errors
/// It is not JSON, or nested too deep.
pub fn parse(text: &str) -> Result<Value<'_>, JsonError> {
    // JSON.parse does not take a byte order mark either, but editors write one and programs strip it.
    let mut reader = Reader {
        text,
        at: if text.starts_with('\u{feff}') { 3 } else { 0 },
    };
    let value = reader.value(DEPTH)?;
    reader.space();
    if reader.at == text.len() {
        Ok(value)
    } else {
        Err(reader.syntax())
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn syntax(&self) -> JsonError {
        JsonError::Syntax { at: self.at }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.syntax())
        }
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.space();
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.object(depth.checked_sub(1).ok_or(JsonError::Depth)?),
            Some(b'[') => self.array(depth.checked_sub(1).ok_or(JsonError::Depth)?),
            Some(b'"') => self.string().map(Value::Leaf),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Value::Leaf(self.since(start))),
            _ => {
                let rest = self.text.get(start..).unwrap_or_default();
                let word = ["true", "false", "null"]
                    .into_iter()
                    .find(|word| rest.starts_with(word));
                self.at += word.ok_or(self.syntax())?.len();
                Ok(Value::Leaf(self.since(start)))
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.expect(b'{')?;
        let mut members: Vec<(Key<'a>, Value<'a>)> = Vec::new();
        let mut seen: std::collections::HashMap<Cow<'a, [u8]>, usize> =
            std::collections::HashMap::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            let raw = self.string()?;
            let key = Key {
                raw,
                name: meaning(raw),
            };
            self.space();
            self.expect(b':')?;
            let value = self.value(depth)?;
            match seen
                .get(&key.name)
                .and_then(|index| members.get_mut(*index))
            {
                Some(member) => member.1 = value,
                None => {
                    seen.insert(key.name.clone(), members.len());
                    members.push((key, value));
                }
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => {
                    self.expect(b'}')?;
                    return Ok(Value::Object(members));
                }
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.expect(b'[')?;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => {
                    self.expect(b']')?;
                    return Ok(Value::Array(items));
                }
            }
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(self.since(start));
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                            self.at += 1
                        }
                        Some(b'u') => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                                    return Err(self.syntax());
                                }
                                self.at += 1;
                            }
                        }
                        _ => return Err(self.syntax()),
                    }
                }
                Some(0..=0x1f) | None => return Err(self.syntax()),
                Some(_) => self.at += 1,
            }
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.syntax());
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }
}

/// What a string of the text means. Two spellings of one name must be one name: `"h\u006foks"` is `hooks` to the program.
fn meaning(raw: &str) -> Cow<'_, [u8]> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner.as_bytes());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let kind = escape.as_bytes().get(1).copied().unwrap_or(b'\\');
        let mut used = 2;
        match kind {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                used = 6;
                let mut code = unit(escape);
                let low = escape
                    .get(6..)
                    .filter(|next| next.starts_with("\\u"))
                    .map(unit);
                if let (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) = (code, low) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    used = 12;
                }
                push(&mut out, code);
            }
            other => out.push(other),
        }
        rest = escape.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
    Cow::Owned(out)
}

/// The number of a `\uXXXX` at the beginning of `text`.
fn unit(text: &str) -> u32 {
    text.get(2..6)
        .and_then(|hex| u32::from_str_radix(hex, 16).ok())
        .unwrap_or(0xfffd)
}

/// Appends a code point in UTF-8, a surrogate by the same rule for three bytes.
fn push(out: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let six = |shift: u32| u8::try_from(code >> shift & 0x3f).unwrap_or_default() | 0x80;
            out.extend_from_slice(&[0xed, six(6), six(0)]);
        }
    }
}

/// How a text is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// What one level is indented by; `None` for everything in one line.
    indent: Option<String>,
    /// The text ends with a newline.
    newline: bool,
}

impl Style {
    /// The layout of a text, so that a merge does not change what a diff would show.
    #[must_use]
    pub fn of(text: &str) -> Style {
        let after = text.trim_start().strip_prefix('{').unwrap_or_default();
        let space: String = after
            .chars()
            .take_while(|c| c.is_ascii_whitespace())
            .collect();
        Style {
            indent: space
                .rsplit_once('\n')
                // Cut: the layout may be the box's, and is repeated on every line.
                .map(|(_, indent)| indent.chars().take(16).collect()),
            newline: text.ends_with('\n'),
        }
    }
}

/// The value as text.
#[must_use]
pub fn write(value: &Value<'_>, style: &Style) -> String {
    let mut out = String::new();
    write_value(&mut out, value, style.indent.as_deref(), 0);
    if style.newline {
        out.push('\n');
    }
    out
}

fn write_value(out: &mut String, value: &Value<'_>, indent: Option<&str>, level: usize) {
    let line = |out: &mut String, level: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            (0..level).for_each(|_| out.push_str(indent));
        }
    };
    match value {
        Value::Leaf(text) => out.push_str(text),
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Object(members) if members.is_empty() => out.push_str("{}"),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, level + 1);
                write_value(out, item, indent, level + 1);
            }
            line(out, level);
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, level + 1);
                out.push_str(key.raw);
                out.push_str(if indent.is_some() { ": " } else { ":" });
                write_value(out, value, indent, level + 1);
            }
            line(out, level);
            out.push('}');
        }
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
