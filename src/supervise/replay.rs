//! What who attaches is shown of before: what was written, without the questions that a terminal has had. Another one would answer
//! them again, and who reads the keyboard by now (a shell, after the editor that asked) would take that for something typed.

#![forbid(unsafe_code)]

use super::modes::Modes;

/// `kept` without the questions in its first `shown` bytes.
pub(super) fn without_questions(kept: &[u8], shown: usize) -> Vec<u8> {
    let (before, since) = kept.split_at(shown.min(kept.len()));
    let mut modes = Modes::new();
    let mut out = Vec::with_capacity(kept.len());
    // Where the sequence begins that is being looked at, in what is given out.
    let mut begun = 0;
    let mut asks = false;
    for byte in before {
        if modes.is_between_sequences() {
            (begun, asks) = (out.len(), false);
        }
        out.push(*byte);
        modes.see(&[*byte]);
        asks |= modes.awaits_answer();
        modes.answered(u32::MAX);
        if asks && modes.is_between_sequences() {
            out.truncate(begun);
        }
    }
    out.extend_from_slice(since);
    out
}

#[cfg(test)]
mod tests {
    use super::without_questions;

    #[test]
    fn questions_are_left_out_and_nothing_else() {
        let rows: [(&[u8], &[u8]); 9] = [
            (
                b"plain \xe6\xbc\xa2 \xc2\xa7\r\n",
                b"plain \xe6\xbc\xa2 \xc2\xa7\r\n",
            ),
            (b"a\x1b[cb", b"ab"),
            (
                b"a\x1b[>0c\x1b[>q\x1b[?u\x1b[6nb\x1b[31mred",
                b"ab\x1b[31mred",
            ),
            (b"a\x1b]11;?\x07b\x1b]0;title\x07", b"ab\x1b]0;title\x07"),
            (b"a\x1b]4;1;?\x1b\\b", b"ab"),
            (b"a\x1bP+q544e\x1b\\b", b"ab"),
            (b"a\xc2\x9bcb", b"ab"),
            (b"\x1b[?1049h\x1b[2J\x1b[?2026$p.", b"\x1b[?1049h\x1b[2J."),
            // Not at its end yet.
            (b"a\x1b]11;?", b"a\x1b]11;?"),
        ];
        for (kept, left) in rows {
            assert_eq!(without_questions(kept, kept.len()), left, "{kept:?}");
            // Nobody has been asked.
            assert_eq!(without_questions(kept, 0), kept);
        }
        assert_eq!(without_questions(b"\x1b[ca\x1b[cb", 4), b"a\x1b[cb");
    }
}
