//! [`Answers`]: how many answers of the terminal are among what comes from it. A program may ask many questions at once, and
//! those that it did not read are nobody's.

#![forbid(unsafe_code)]

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    Csi,
    /// With `?`: the answer about kitty's flags, and no key.
    Private,
    /// DCS, OSC, APC: up to ST or BEL.
    Text,
    TextEscape,
}

/// Where the bytes are in an answer, from one read to the next.
#[derive(Debug, Default)]
pub(super) struct Answers {
    state: State,
}

impl Answers {
    /// Looks at input; how many answers end in it. Keys are sequences, too, but end in other letters.
    pub(super) fn see(&mut self, bytes: &[u8]) -> u32 {
        let mut count = 0;
        for byte in bytes {
            self.state = match (self.state, *byte) {
                (State::Text, 0x1b) => State::TextEscape,
                (State::Text, 0x07) | (State::TextEscape, b'\\') => {
                    count += 1;
                    State::Ground
                }
                (State::Text, _) => State::Text,
                (_, 0x1b) => State::Escape,
                (State::Escape | State::TextEscape, b'[') => State::Csi,
                (State::Escape | State::TextEscape, b']' | b'P' | b'_') => State::Text,
                (State::Csi, b'?') => State::Private,
                (state @ (State::Csi | State::Private), 0x20..=0x3f) => state,
                // DA, CPR, DSR, DECRPM, sizes, DECREPTPARM; what graphics can do.
                (State::Csi | State::Private, b'c' | b'R' | b'n' | b'y' | b't' | b'x')
                | (State::Private, b'u' | b'S') => {
                    count += 1;
                    State::Ground
                }
                (State::Csi | State::Private, _) => State::Ground,
                (State::Ground | State::Escape | State::TextEscape, _) => State::Ground,
            };
        }
        count
    }

    /// The last one has not come to its end.
    pub(super) fn is_within(&self) -> bool {
        self.state != State::Ground
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_and_keys_are_not() {
        for (input, count) in [
            (&b"\x1b[1;1R"[..], 1),
            (b"\x1b[?62;22c\x1b[>0;1;0c", 2),
            (b"\x1b]11;rgb:0/0/0\x07\x1b]10;rgb:1/1/1\x1b\\", 2),
            (b"\x1bP>|xterm(1)\x1b\\x\x1b[?2026;2$y\x1b[?1u", 3),
            (b"\x1b[8;24;80t\x1b[?997;1n", 2),
            (
                b"\x1b_Gi=31;OK\x1b\\\x1b[?1;0;256S\x1b[2;1;1;128;128;1;0x",
                3,
            ),
            (
                b"ls\r\x1b[A\x1bOB\x1b[3~\x1bb\x1b\x1b[97;5u\x1b[200~x\x1b[201~\x1b[I",
                0,
            ),
        ] {
            assert_eq!(Answers::default().see(input), count, "{input:?}");
            let mut split = Answers::default();
            let split: u32 = input.iter().map(|byte| split.see(&[*byte])).sum();
            assert_eq!(split, count, "{input:?}");
        }
    }
}
