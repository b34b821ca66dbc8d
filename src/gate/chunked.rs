//! Where the body of an HTTP/1 request ends. Pure; the bytes pass on as they are.

#![forbid(unsafe_code)]

use super::http::Body;

/// The most bytes of all trailer fields.
const MAX_TRAILERS: usize = 8 * 1024;

/// Follows a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follow(State);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Length(u64),
    /// The digits of a chunk's size.
    Size {
        value: u64,
        digits: u8,
    },
    /// The line feed after them.
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// Trailer fields, then an empty line. `line` bytes of this line so far, `all` in all.
    Trailer {
        line: usize,
        all: usize,
    },
    TrailerLf {
        line: usize,
        all: usize,
    },
    Done,
}

impl Follow {
    /// At the start of a body.
    #[must_use]
    pub fn new(body: Body) -> Follow {
        Follow(match body {
            Body::Length(0) => State::Done,
            Body::Length(length) => State::Length(length),
            Body::Chunked => State::Size {
                value: 0,
                digits: 0,
            },
        })
    }

    /// Is the body over?
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// How many of these bytes belong to the body.
    ///
    /// # Errors
    /// What is wrong with a chunk. Extensions of chunks are refused: servers read them in different ways.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut at = 0;
        while at < bytes.len() && self.0 != State::Done {
            let left = bytes.len() - at;
            match &mut self.0 {
                State::Length(rest) | State::Data(rest) => {
                    let part = usize::try_from(*rest).unwrap_or(usize::MAX).min(left);
                    *rest -= part as u64;
                    at += part;
                    if *rest == 0 {
                        self.0 = match self.0 {
                            State::Data(_) => State::DataCr,
                            _ => State::Done,
                        };
                    }
                    continue;
                }
                _ => {}
            }
            let byte = bytes.get(at).copied().unwrap_or_default();
            self.0 = next(&self.0, byte)?;
            at += 1;
        }
        Ok(at)
    }
}

fn next(state: &State, byte: u8) -> Result<State, &'static str> {
    Ok(match (state, byte) {
        (State::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
            let digit = char::from(byte).to_digit(16).unwrap_or(0);
            if *digits == 15 {
                return Err("a chunk that is too long");
            }
            State::Size {
                value: (value << 4) | u64::from(digit),
                digits: digits + 1,
            }
        }
        (State::Size { value, digits: 1.. }, b'\r') => State::SizeEnd(*value),
        (State::Size { .. }, _) => return Err("a chunk without a size, or with an extension"),
        (State::SizeEnd(0), b'\n') => State::Trailer { line: 0, all: 0 },
        (State::SizeEnd(size), b'\n') => State::Data(*size),
        (State::DataCr, b'\r') => State::DataLf,
        (State::DataLf, b'\n') => State::Size {
            value: 0,
            digits: 0,
        },
        (State::Trailer { line, all }, b'\r') => State::TrailerLf {
            line: *line,
            all: *all,
        },
        (State::TrailerLf { line: 0, .. }, b'\n') => State::Done,
        (State::TrailerLf { all, .. }, b'\n') => State::Trailer {
            line: 0,
            all: all + 2,
        },
        (State::Trailer { line, all }, b'\t' | b' '..=b'~' | 128..) if *all < MAX_TRAILERS => {
            // A folded line.
            if *line == 0 && matches!(byte, b' ' | b'\t') {
                return Err("a trailer that is folded");
            }
            State::Trailer {
                line: line + 1,
                all: all + 1,
            }
        }
        _ => return Err("a chunk that does not end where it should"),
    })
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
