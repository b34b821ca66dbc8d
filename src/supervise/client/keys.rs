//! The keys by which a viewer leaves: Ctrl-\\ and then `d` or Ctrl-D. Ctrl-\\ twice is one for the box; Ctrl-\\ and
//! anything else is both.

#![forbid(unsafe_code)]

/// How they are written for people.
pub const NAMES: &str = "Ctrl-\\ d";

const PREFIX: u8 = 0x1c;
const LEAVE: [u8; 2] = [b'd', 0x04];

/// The keys, read one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escape {
    /// The prefix was typed and is held back.
    held: bool,
}

/// What became of what was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// So many bytes are left in the buffer, and are for the box.
    Keys(usize),
    /// The viewer leaves; what was typed before is for the box.
    Leave(usize),
}

impl Escape {
    /// Nothing was typed.
    #[must_use]
    pub const fn new() -> Escape {
        Escape { held: false }
    }

    /// Takes the keys that are not for the box out of `buf[..len]`. A prefix that was held back needs the byte that is kept
    /// free behind them: `buf` must be one longer than what was read.
    pub fn sift(&mut self, buf: &mut [u8], len: usize) -> Typed {
        let typed: Vec<u8> = buf.get(..len).unwrap_or_default().to_vec();
        let mut kept = 0;
        let mut keep = |byte| {
            if let Some(place) = buf.get_mut(kept) {
                *place = byte;
                kept += 1;
            }
        };
        for byte in typed {
            if !std::mem::replace(&mut self.held, false) {
                if byte == PREFIX {
                    self.held = true;
                } else {
                    keep(byte);
                }
            } else if LEAVE.contains(&byte) {
                return Typed::Leave(kept);
            } else {
                keep(PREFIX);
                if byte != PREFIX {
                    keep(byte);
                }
            }
        }
        Typed::Keys(kept)
    }
}

impl Default for Escape {
    fn default() -> Escape {
        Escape::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_pass_and_the_escape_does_not() {
        type Row<'a> = (&'a [&'a [u8]], &'a [u8], bool);
        let rows: [Row<'_>; 8] = [
            (&[b"abc"], b"abc", false),
            (&[b"a\x1cd"], b"a", true),
            (&[b"a\x1c", b"\x04b"], b"a", true),
            (&[b"\x1c\x1c"], b"\x1c", false),
            (&[b"\x1c", b"x"], b"\x1cx", false),
            (&[b"\x1c", b"\x1c", b"d"], b"\x1cd", false),
            (&[b"d\x04"], b"d\x04", false),
            (&[b"\x1c\x1c\x1cd"], b"\x1c", true),
        ];
        for (pieces, expected, leaves) in rows {
            let (mut escape, mut all, mut left) = (Escape::new(), Vec::new(), false);
            for piece in pieces {
                let mut buf = piece.to_vec();
                buf.push(0);
                let kept = match escape.sift(&mut buf, piece.len()) {
                    Typed::Keys(kept) => kept,
                    Typed::Leave(kept) => {
                        left = true;
                        kept
                    }
                };
                all.extend_from_slice(&buf[..kept]);
            }
            assert_eq!((all.as_slice(), left), (expected, leaves), "{pieces:?}");
        }
    }
}
