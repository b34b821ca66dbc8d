//! The syntax of git's configuration (git-config(1), "Syntax"). The text may be anybody's.

#![forbid(unsafe_code)]

/// A variable with the section that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    /// Lower case.
    pub(super) section: Vec<u8>,
    /// As written: its case counts.
    pub(super) subsection: Option<Vec<u8>>,
    /// Lower case.
    pub(super) key: Vec<u8>,
    /// `None` where there is no `=`: true.
    pub(super) value: Option<Vec<u8>>,
}

/// Every variable, and the comments. `None` if git would not read it either.
pub(super) fn variables(text: &[u8]) -> Option<(Vec<Variable>, Vec<Vec<u8>>)> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut from = Reader { text, at: 0 };
    let (mut found, mut comments) = (Vec::new(), Vec::new());
    let mut section: Option<(Vec<u8>, Option<Vec<u8>>)> = None;
    while let Some(byte) = from.next() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b'\x0b' | b'\x0c' => {}
            b'#' | b';' => comments.push(from.line()),
            b'[' => section = Some(from.section()?),
            byte if byte.is_ascii_alphabetic() => {
                let (section, subsection) = section.clone()?;
                let mut key = vec![byte.to_ascii_lowercase()];
                while let Some(byte) = from
                    .peek()
                    .filter(|b| b.is_ascii_alphanumeric() || *b == b'-')
                {
                    key.push(byte.to_ascii_lowercase());
                    from.at += 1;
                }
                while from.peek().is_some_and(|b| matches!(b, b' ' | b'\t')) {
                    from.at += 1;
                }
                let value = match from.next() {
                    None | Some(b'\n') => None,
                    Some(b'\r') if matches!(from.peek(), None | Some(b'\n')) => None,
                    Some(b'#' | b';') => {
                        comments.push(from.line());
                        None
                    }
                    Some(b'=') => Some(from.value(&mut comments)?),
                    Some(_) => return None,
                };
                found.push(Variable {
                    section,
                    subsection,
                    key,
                    value,
                });
            }
            _ => return None,
        }
    }
    Some((found, comments))
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn line(&mut self) -> Vec<u8> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let line = rest.split(|b| *b == b'\n').next().unwrap_or_default();
        self.at += line.len();
        line.to_vec()
    }

    /// Behind the `[`.
    fn section(&mut self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let mut name = Vec::new();
        loop {
            match self.next()? {
                b']' => break,
                b' ' | b'\t' => {
                    while self.peek().is_some_and(|b| matches!(b, b' ' | b'\t')) {
                        self.at += 1;
                    }
                    if self.next()? != b'"' {
                        return None;
                    }
                    let mut subsection = Vec::new();
                    loop {
                        match self.next()? {
                            b'"' => break,
                            b'\n' => return None,
                            b'\\' => subsection.push(self.next().filter(|b| *b != b'\n')?),
                            byte => subsection.push(byte),
                        }
                    }
                    if self.next()? != b']' {
                        return None;
                    }
                    return Some((name, Some(subsection)));
                }
                byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') => {
                    name.push(byte.to_ascii_lowercase());
                }
                _ => return None,
            }
        }
        // `[a.b]` is the older form of `[a "b"]`.
        match name.iter().position(|b| *b == b'.') {
            Some(dot) => {
                let subsection = name.split_off(dot + 1);
                name.truncate(dot);
                Some((name, Some(subsection)))
            }
            None => Some((name, None)),
        }
    }

    /// Behind the `=`.
    fn value(&mut self, comments: &mut Vec<Vec<u8>>) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        // Spaces at the end do not count, unless they are quoted.
        let mut keep = 0;
        let mut quoted = false;
        loop {
            match self.next() {
                None | Some(b'\n') if quoted => return None,
                None | Some(b'\n') => break,
                Some(b'"') => {
                    quoted = !quoted;
                    keep = value.len();
                }
                Some(b'\\') => {
                    let byte = match self.next()? {
                        b'\n' => continue,
                        b'\r' if self.peek() == Some(b'\n') => {
                            self.at += 1;
                            continue;
                        }
                        b'n' => b'\n',
                        b't' => b'\t',
                        b'b' => 8,
                        byte @ (b'"' | b'\\') => byte,
                        _ => return None,
                    };
                    value.push(byte);
                    keep = value.len();
                }
                Some(b'#' | b';') if !quoted => {
                    comments.push(self.line());
                }
                Some(byte @ (b' ' | b'\t' | b'\r')) if !quoted => {
                    if !value.is_empty() {
                        value.push(byte);
                    }
                }
                Some(byte) => {
                    value.push(byte);
                    keep = value.len();
                }
            }
        }
        value.truncate(keep);
        Some(value)
    }
}

/// Writes variables so that git reads the same.
pub(super) fn write(variables: &[Variable]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut last: Option<(&[u8], Option<&[u8]>)> = None;
    for variable in variables {
        let here = (variable.section.as_slice(), variable.subsection.as_deref());
        if last != Some(here) {
            out.push(b'[');
            out.extend(here.0);
            if let Some(subsection) = here.1 {
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
            last = Some(here);
        }
        out.push(b'\t');
        out.extend(&variable.key);
        if let Some(value) = &variable.value {
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
