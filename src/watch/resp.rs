//! The protocol of Redis (RESP2 and RESP3), as much of it as answers need. Small enough to be read here: a client library
//! would bring an executor, a pool and a cluster with it, and waits where this must not.

#![forbid(unsafe_code)]

/// The most bytes of one value, entries of one list, and lists in lists.
const MAX: usize = 64 * 1024;
const MAX_ENTRIES: usize = 1024;
const MAX_DEPTH: u8 = 8;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Text, simple or of a length; also what is only told apart by who cares (a double, a big number).
    Text(Vec<u8>),
    Error(String),
    Integer(i64),
    Nothing,
    List(Vec<Value>),
    /// What was not asked for: news of a subscription.
    Push(Vec<Value>),
}

/// Not RESP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad;

/// A command as it is sent.
pub(super) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The first value of these bytes and its length; `None` while it is not whole.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Value, usize)>, Bad> {
    let mut reader = Reader { bytes, at: 0 };
    Ok(reader.value(0)?.map(|value| (value, reader.at)))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> Result<Option<&'a [u8]>, Bad> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.windows(2).position(|two| two == b"\r\n") {
            Some(end) => {
                self.at += end + 2;
                Ok(rest.get(..end))
            }
            None if rest.len() > MAX => Err(Bad),
            None => Ok(None),
        }
    }

    fn value(&mut self, depth: u8) -> Result<Option<Value>, Bad> {
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let (kind, rest) = line.split_first().ok_or(Bad)?;
        let text = || std::str::from_utf8(rest).map_err(|_| Bad);
        let number = || text()?.parse::<i64>().map_err(|_| Bad);
        let value = match kind {
            b'+' | b',' | b'(' => Value::Text(rest.to_vec()),
            b'-' => Value::Error(String::from_utf8_lossy(rest).into_owned()),
            b':' => Value::Integer(number()?),
            b'_' => Value::Nothing,
            b'#' => Value::Integer(i64::from(rest == b"t")),
            b'$' | b'=' | b'!' => match number()? {
                -1 => Value::Nothing,
                length => {
                    let Some(bytes) = self.bulk(length)? else {
                        return Ok(None);
                    };
                    if *kind == b'!' {
                        Value::Error(String::from_utf8_lossy(&bytes).into_owned())
                    } else {
                        Value::Text(bytes)
                    }
                }
            },
            b'*' | b'~' | b'>' | b'%' => {
                let length = number()?;
                if length == -1 {
                    return Ok(Some(Value::Nothing));
                }
                let mut count = usize::try_from(length).map_err(|_| Bad)?;
                if *kind == b'%' {
                    count = count.saturating_mul(2);
                }
                let Some(list) = self.list(count, depth)? else {
                    return Ok(None);
                };
                if *kind == b'>' {
                    Value::Push(list)
                } else {
                    Value::List(list)
                }
            }
            _ => return Err(Bad),
        };
        Ok(Some(value))
    }

    fn bulk(&mut self, length: i64) -> Result<Option<Vec<u8>>, Bad> {
        let length = usize::try_from(length).map_err(|_| Bad)?;
        if length > MAX {
            return Err(Bad);
        }
        let Some(bytes) = self.bytes.get(self.at..self.at + length + 2) else {
            return Ok(None);
        };
        let bytes = bytes.strip_suffix(b"\r\n").ok_or(Bad)?;
        self.at += length + 2;
        Ok(Some(bytes.to_vec()))
    }

    fn list(&mut self, count: usize, depth: u8) -> Result<Option<Vec<Value>>, Bad> {
        if count > MAX_ENTRIES || depth >= MAX_DEPTH {
            return Err(Bad);
        }
        let mut out = Vec::new();
        for _ in 0..count {
            match self.value(depth + 1)? {
                Some(value) => out.push(value),
                None => return Ok(None),
            }
        }
        Ok(Some(out))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_read_when_they_are_whole() {
        let text = |t: &str| Value::Text(t.into());
        let rows: [(&[u8], Value); 8] = [
            (b"+OK\r\n", text("OK")),
            (b"$5\r\na\r\nbc\r\n", text("a\r\nbc")),
            (b"$-1\r\n", Value::Nothing),
            (b":-7\r\n", Value::Integer(-7)),
            (b"-ERR no\r\n", Value::Error("ERR no".into())),
            (b"_\r\n", Value::Nothing),
            (
                b"%1\r\n+a\r\n:1\r\n",
                Value::List(vec![text("a"), Value::Integer(1)]),
            ),
            (
                b">2\r\n+message\r\n*1\r\n+x\r\n",
                Value::Push(vec![text("message"), Value::List(vec![text("x")])]),
            ),
        ];
        for (bytes, want) in rows {
            assert_eq!(parse(bytes), Ok(Some((want, bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{bytes:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_resp_or_too_much_of_it_is_refused() {
        let deep = b"*1\r\n".repeat(20);
        let long = vec![b'+'; MAX + 10];
        for bytes in [
            &b"HTTP/1.1 200 OK\r\n"[..],
            b"\r\n",
            b"$99999999999\r\n",
            b"*99999\r\n",
            b"$1\r\nabc",
            b":x\r\n",
            b"*-2\r\n",
            &deep,
            &long,
        ] {
            assert_eq!(parse(bytes), Err(Bad), "{:?}", bytes.get(..20));
        }
    }

    #[test]
    fn commands_are_lists_of_texts() {
        assert_eq!(
            command(&[b"GET", b"a b"]),
            b"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n"
        );
    }
}
