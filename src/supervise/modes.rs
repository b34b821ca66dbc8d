//! [`Modes`]: which modes of the terminal the passing output has switched on, so that those of a command that was killed can
//! be switched off. It only looks; no byte is altered or held back, and a sequence may be split anywhere.
//!
//! Sequences as in ECMA-48 and xterm's ctlseqs; the kitty keyboard protocol has a stack of its own for each screen.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// What a private mode (`CSI ? N h` and `l`) is at the start.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Initially {
    Off,
    On,
}

/// The private modes that spoil a shell when they are left: application cursor keys, cursor, mouse (9, 1000 to 1016), focus
/// events, bracketed paste, synchronized output, colour scheme and size reports. The alternate screens are apart, below.
const PRIVATE: [(u16, Initially); 18] = [
    (1, Initially::Off),
    (7, Initially::On),
    (9, Initially::Off),
    (25, Initially::On),
    (66, Initially::Off),
    (1000, Initially::Off),
    (1001, Initially::Off),
    (1002, Initially::Off),
    (1003, Initially::Off),
    (1004, Initially::Off),
    (1005, Initially::Off),
    (1006, Initially::Off),
    (1015, Initially::Off),
    (1016, Initially::Off),
    (2004, Initially::Off),
    (2026, Initially::Off),
    (2031, Initially::Off),
    (2048, Initially::Off),
];

/// The modes that switch to the alternate screen.
const ALTERNATE: [u16; 3] = [47, 1047, 1049];

/// How long a terminal may take to answer a question.
const ANSWER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    Escape,
    /// ESC with intermediate bytes (a character set): one more byte ends it.
    EscapeMore,
    Csi,
    /// OSC, DCS, APC, PM or SOS, up to ST (OSC also up to BEL).
    Text,
    /// ESC inside such a text: `\` ends it.
    TextEscape,
    /// The first byte of U+0080 to U+00BF, and the same inside a text: the second one may be a control (C1), which means what
    /// ESC and a letter do. xterm and VTE obey these in UTF-8.
    C1,
    TextC1,
}

/// What the output has switched on.
#[derive(Debug)]
pub(super) struct Modes {
    state: State,
    /// The private marker of the CSI (`?`, `>`, `=`, `<`), 0 if none.
    marker: u8,
    /// The intermediate byte of the CSI (`$`, `!`, ` `), 0 if none.
    intermediate: u8,
    params: [u16; 16],
    count: usize,
    /// Which text it is, by the letter behind its ESC, and the byte before the one that is looked at.
    text: u8,
    last: u8,
    /// One bit per entry of `PRIVATE`: it is not as at the start.
    changed: u32,
    /// One bit per entry of `ALTERNATE`.
    alternate: u32,
    /// Depth of the kitty keyboard stack of the main and of the alternate screen, and whether flags were set without a push.
    kitty: [u16; 2],
    kitty_set: [bool; 2],
    modify_other_keys: bool,
    keypad: bool,
    /// How many questions have had no answer, and when the last one was asked.
    asked: u32,
    last_asked: Option<Instant>,
}

impl Modes {
    pub(super) fn new() -> Modes {
        Modes {
            state: State::Ground,
            marker: 0,
            intermediate: 0,
            params: [0; 16],
            count: 0,
            text: 0,
            last: 0,
            changed: 0,
            alternate: 0,
            kitty: [0; 2],
            kitty_set: [false; 2],
            modify_other_keys: false,
            keypad: false,
            asked: 0,
            last_asked: None,
        }
    }

    /// Looks at output on its way to the terminal.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.state == State::Ground {
                // Nearly all bytes are text: skip to the next ESC at the speed of a search.
                match rest.iter().position(|&byte| matches!(byte, 0x1b | 0xc2)) {
                    Some(at) => {
                        rest = rest.get(at..).unwrap_or_default();
                        if let Some((&byte, after)) = rest.split_first() {
                            self.step(byte);
                            rest = after;
                        }
                    }
                    None => return,
                }
            } else if let Some((&byte, after)) = rest.split_first() {
                self.step(byte);
                rest = after;
            }
        }
    }

    /// So many questions have had their answers.
    pub(super) fn answered(&mut self, answers: u32) {
        self.asked = self.asked.saturating_sub(answers);
    }

    /// The terminal has been asked something and may still answer.
    pub(super) fn awaits_answer(&self) -> bool {
        self.asked > 0 && self.last_asked.is_some_and(|at| at.elapsed() < ANSWER)
    }

    /// No escape sequence is half seen.
    pub(super) fn is_between_sequences(&self) -> bool {
        self.state == State::Ground
    }

    /// Another screen than the one that is there afterwards is shown.
    pub(super) fn is_alternate(&self) -> bool {
        self.alternate != 0
    }

    /// The bytes that switch everything off that is still on; empty if nothing is.
    pub(super) fn resets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.state {
            State::Ground | State::C1 => {}
            // ST ends a text, and CAN whatever else was cut short. Else the terminal would swallow what follows.
            State::Text | State::TextEscape | State::TextC1 => out.extend_from_slice(b"\x1b\\"),
            State::Escape | State::EscapeMore | State::Csi => out.push(0x18),
        }
        let kitty = |out: &mut Vec<u8>, depth: u16, set: bool| {
            if depth > 0 {
                out.extend_from_slice(format!("\x1b[<{depth}u").as_bytes());
            }
            if set {
                out.extend_from_slice(b"\x1b[=0u");
            }
        };
        let [main, other] = self.kitty;
        let [main_set, other_set] = self.kitty_set;
        if self.alternate != 0 {
            kitty(&mut out, other, other_set);
        }
        // Synchronized output first: behind it the terminal would show nothing of the rest.
        for (bit, (mode, initially)) in PRIVATE.iter().enumerate().rev() {
            if self.changed & (1 << bit) != 0 {
                let end = if *initially == Initially::On {
                    'h'
                } else {
                    'l'
                };
                out.extend_from_slice(format!("\x1b[?{mode}{end}").as_bytes());
            }
        }
        for (bit, mode) in ALTERNATE.iter().enumerate() {
            if self.alternate & (1 << bit) != 0 {
                out.extend_from_slice(format!("\x1b[?{mode}l").as_bytes());
            }
        }
        kitty(&mut out, main, main_set);
        if self.modify_other_keys {
            out.extend_from_slice(b"\x1b[>4m");
        }
        if self.keypad {
            out.extend_from_slice(b"\x1b>");
        }
        if !out.is_empty() {
            // Whoever leaves modes behind leaves colours behind.
            out.extend_from_slice(b"\x1b[0m");
        }
        out
    }

    fn step(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            // CAN and SUB end everything.
            (_, 0x18 | 0x1a) => State::Ground,
            (State::Text | State::TextC1, 0x1b) => State::TextEscape,
            (State::TextEscape, b'\\') => State::Ground,
            // Anything but ST starts a sequence anew.
            (State::TextEscape, _) => {
                self.state = State::Escape;
                return self.step(byte);
            }
            (State::Text | State::TextC1, 0x07) => State::Ground,
            (State::Text | State::TextC1, 0xc2) => State::TextC1,
            (State::TextC1, 0x9c) => State::Ground,
            (State::Text | State::TextC1, _) => {
                let asks = match self.text {
                    b']' => self.last == b';' && byte == b'?',
                    // DECRQSS, XTGETTCAP; kitty's remote control, which answers.
                    b'P' => {
                        matches!(self.last, b'$' | b'+') && byte == b'q'
                            || self.last == 0 && byte == b'@'
                    }
                    // Graphics of kitty's, which are acknowledged.
                    b'_' => self.last == 0 && byte == b'G',
                    _ => false,
                };
                if asks {
                    self.ask();
                }
                self.last = byte;
                State::Text
            }
            (_, 0x1b) => State::Escape,
            (State::C1, 0x90 | 0x98 | 0x9a | 0x9b | 0x9d..=0x9f) => {
                self.state = State::Escape;
                return self.step(byte - 0x40);
            }
            (State::C1, _) => State::Ground,
            (State::Ground, 0xc2) => State::C1,
            // Other controls act in the middle of a sequence and do not end it.
            (state, 0..=0x1f | 0x7f) => state,
            (State::Escape, b'[') => {
                (self.marker, self.intermediate) = (0, 0);
                (self.params, self.count) = ([0; 16], 0);
                State::Csi
            }
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => {
                self.text = byte;
                self.last = 0;
                State::Text
            }
            (State::Escape | State::EscapeMore, 0x20..=0x2f) => State::EscapeMore,
            (State::Escape, _) => {
                self.escape(byte);
                State::Ground
            }
            (State::EscapeMore, _) => State::Ground,
            (State::Csi, b'0'..=b'9') => {
                if let Some(param) = self.params.get_mut(self.count) {
                    *param = param
                        .saturating_mul(10)
                        .saturating_add(u16::from(byte - b'0'));
                }
                State::Csi
            }
            (State::Csi, b';' | b':') => {
                self.count = self.count.saturating_add(1);
                State::Csi
            }
            (State::Csi, 0x3c..=0x3f) => {
                self.marker = byte;
                State::Csi
            }
            (State::Csi, 0x20..=0x2f) => {
                self.intermediate = byte;
                State::Csi
            }
            (State::Csi, _) => {
                self.csi(byte);
                State::Ground
            }
            (State::Ground, _) => State::Ground,
        };
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b'=' => self.keypad = true,
            b'>' => self.keypad = false,
            // RIS: everything as at the start.
            b'c' => {
                let (asked, last_asked) = (self.asked, self.last_asked);
                *self = Modes::new();
                (self.asked, self.last_asked) = (asked, last_asked);
            }
            // DECID.
            b'Z' => self.ask(),
            _ => {}
        }
    }

    fn csi(&mut self, end: u8) {
        let first = self.params.first().copied().unwrap_or(0);
        let screen = usize::from(self.alternate != 0);
        match (self.marker, self.intermediate, end) {
            (b'?', 0, b'h' | b'l') => {
                let count = self.count.saturating_add(1).min(self.params.len());
                for mode in self.params.into_iter().take(count) {
                    self.private(mode, end == b'h');
                }
            }
            (b'>', 0, b'u') => bump(self.kitty.get_mut(screen), 1),
            (b'<', 0, b'u') => bump(self.kitty.get_mut(screen), -i32::from(first.max(1))),
            (b'=', 0, b'u') => {
                // Mode 3 takes flags away, the others set them; without a push nothing takes them back.
                let on = first != 0 && self.params.get(1) != Some(&3);
                if let Some(set) = self.kitty_set.get_mut(screen)
                    && (on || first == 0)
                {
                    *set = on;
                }
            }
            (b'>', 0, b'm') if first == 4 => {
                self.modify_other_keys =
                    self.count > 0 && self.params.get(1).is_some_and(|&v| v > 0);
            }
            // Questions: DA1 to DA3, DSR, DECRQM, kitty flags, XTVERSION; what sixel graphics can do (XTSMGRAPHICS),
            // XTQMODKEYS, DECREQTPARM, DECRQCRA, DECRQPSR; sizes.
            (0 | b'>' | b'=', 0, b'c')
            | (0 | b'?', 0, b'n')
            | (0 | b'?', b'$', b'p')
            | (b'?', 0, b'u')
            | (b'>', 0, b'q')
            | (b'?', 0, b'S' | b'm')
            | (0, 0, b'x')
            | (0, b'*', b'y')
            | (0, b'$', b'w') => self.ask(),
            (0, 0, b't') if matches!(first, 11..=21) => self.ask(),
            _ => {}
        }
    }

    fn private(&mut self, mode: u16, on: bool) {
        if let Some(bit) = ALTERNATE.iter().position(|&m| m == mode) {
            set(&mut self.alternate, bit, on);
        }
        if let Some(bit) = PRIVATE.iter().position(|&(m, _)| m == mode) {
            let initially = PRIVATE
                .get(bit)
                .is_some_and(|(_, initially)| *initially == Initially::On);
            set(&mut self.changed, bit, on != initially);
        }
    }

    fn ask(&mut self) {
        if !self.awaits_answer() {
            // What it has not answered by now it does not know.
            self.asked = 0;
        }
        self.asked = self.asked.saturating_add(1);
        self.last_asked = Some(Instant::now());
    }
}

fn set(bits: &mut u32, bit: usize, on: bool) {
    let mask = 1u32 << bit;
    if on {
        *bits |= mask;
    } else {
        *bits &= !mask;
    }
}

fn bump(depth: Option<&mut u16>, by: i32) {
    if let Some(depth) = depth {
        *depth = u16::try_from(i32::from(*depth).saturating_add(by).max(0)).unwrap_or(u16::MAX);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn resets(output: &[u8]) -> String {
        let mut whole = Modes::new();
        whole.see(output);
        // A split at any place, and at every place at once, changes nothing.
        let mut single = Modes::new();
        for byte in output {
            single.see(&[*byte]);
        }
        assert_eq!(single.resets(), whole.resets());
        for at in 0..output.len() {
            let mut split = Modes::new();
            split.see(&output[..at]);
            split.see(&output[at..]);
            assert_eq!(split.resets(), whole.resets(), "split at {at}");
        }
        String::from_utf8(whole.resets()).unwrap()
    }

    #[test]
    fn what_is_left_on_is_switched_off_and_nothing_else() {
        let rows: [(&str, &[u8], &str); 23] = [
            ("nothing", b"hello\r\n", ""),
            ("colours alone stay", b"\x1b[31mred", ""),
            ("alternate", b"\x1b[?1049h", "\x1b[?1049l\x1b[0m"),
            ("on and off", b"\x1b[?1049h..\x1b[?1049l", ""),
            ("old alternate", b"\x1b[?47h", "\x1b[?47l\x1b[0m"),
            ("paste", b"a\x1b[?2004hb", "\x1b[?2004l\x1b[0m"),
            (
                "several at once",
                b"\x1b[?1000;1006h",
                "\x1b[?1006l\x1b[?1000l\x1b[0m",
            ),
            (
                "one of several off",
                b"\x1b[?1000;1006h\x1b[?1000l",
                "\x1b[?1006l\x1b[0m",
            ),
            ("hidden cursor", b"\x1b[?25l", "\x1b[?25h\x1b[0m"),
            ("cursor shown is as at the start", b"\x1b[?25l\x1b[?25h", ""),
            ("kitty pushes", b"\x1b[>1u\x1b[>3u", "\x1b[<2u\x1b[0m"),
            ("kitty popped", b"\x1b[>1u\x1b[<u\x1b[<5u", ""),
            (
                "kitty of the alternate screen goes before it",
                b"\x1b[>1u\x1b[?1049h\x1b[>1u",
                "\x1b[<1u\x1b[?1049l\x1b[<1u\x1b[0m",
            ),
            ("modifyOtherKeys", b"\x1b[>4;2m", "\x1b[>4m\x1b[0m"),
            ("modifyOtherKeys off", b"\x1b[>4;2m\x1b[>4m", ""),
            ("not private", b"\x1b[1049h\x1b[4h", ""),
            ("inside a text it means nothing", b"\x1b]0;[?1049h\x07", ""),
            ("full reset", b"\x1b[?1049h\x1b[?25l\x1bc", ""),
            ("cut in a text", b"\x1b]52;c;aGVs", "\x1b\\\x1b[0m"),
            ("cut in a sequence", b"\x1b[?10", "\x18\x1b[0m"),
            (
                "one byte for ESC [",
                b"\xc2\x9b?2004h",
                "\x1b[?2004l\x1b[0m",
            ),
            (
                "one byte for the end of a text",
                b"\x1b]0;\xc2\xa7\xc2\x9c\x1b[?25l",
                "\x1b[?25h\x1b[0m",
            ),
            ("letters that begin like one", b"\xc2\xa9 \xc3\xa9", ""),
        ];
        for (name, output, expected) in rows {
            assert_eq!(resets(output), expected, "{name}");
            // Resets are complete: after them nothing is on.
            let mut modes = Modes::new();
            modes.see(output);
            let bytes = modes.resets();
            modes.see(&bytes);
            assert!(modes.resets().is_empty(), "{name}: still on");
        }
    }

    #[test]
    fn odd_streams_do_no_harm() {
        // Controls inside a sequence, colon parameters, too many and too large parameters, an aborted one, character sets.
        assert_eq!(resets(b"\x1b[?10\n49h"), "\x1b[?1049l\x1b[0m");
        assert_eq!(resets(b"\x1b[?1049\x18h"), "");
        assert_eq!(resets(b"\x1b[?99999999999h"), "");
        assert_eq!(resets(b"\x1b(0\x1b)B\x1b#8"), "");
        assert_eq!(resets(b"\x1b]0;t\x1b\\\x1b[?2004h"), "\x1b[?2004l\x1b[0m");
        let mut many = b"\x1b[?".to_vec();
        many.extend_from_slice("1;".repeat(100).as_bytes());
        many.push(b'l');
        assert_eq!(resets(&many), "");
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let noise: Vec<u8> = (0..200_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                b"\x1b[?>=<;:0123456789hlucm]P\\\x07\x18x$ "[usize::try_from(state % 31).unwrap()]
            })
            .collect();
        let mut modes = Modes::new();
        modes.see(&noise);
        let bytes = modes.resets();
        modes.see(&bytes);
        assert!(modes.resets().is_empty());
    }

    #[test]
    fn questions_are_noticed() {
        let questions: [&[u8]; 20] = [
            b"\x1b[c",
            b"\x1b[>c",
            b"\x1b[6n",
            b"\x1b[?996n",
            b"\x1b[?2026$p",
            b"\x1b[?u",
            b"\x1b[>0q",
            b"\x1b[14t",
            b"\x1b]11;?\x07",
            b"\x1bP$qm\x1b\\",
            b"\x1bP+q544e\x1b\\",
            b"\x1bP@kitty-cmd{}\x1b\\",
            b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\",
            b"\x1b[?1;1;0S",
            b"\x1b[?4m",
            b"\x1b[x",
            b"\x1b[1;1;1;1;9;9*y",
            b"\x1b[1$w",
            b"\xc2\x9b6n",
            b"\xc2\x90$qm\xc2\x9c",
        ];
        for question in questions {
            let mut modes = Modes::new();
            modes.see(question);
            assert!(modes.awaits_answer(), "{question:?}");
            modes.see(b"\x1b[6n");
            modes.answered(1);
            assert!(modes.awaits_answer(), "two were asked");
            modes.answered(1);
            assert!(!modes.awaits_answer());
        }
        for none in [
            &b"what?;?"[..],
            b"\x1b]0;title\x07",
            b"\x1b[2J",
            b"\x1b[?25h",
            b"\x1bP0;1;0q#0\x1b\\",
            b"\x1b_Xi=G\x1b\\",
            b"\x1b[2S\x1b[1m\x1b[>4;1m",
            b"\xc2\xb0C",
        ] {
            let mut modes = Modes::new();
            modes.see(none);
            assert!(!modes.awaits_answer(), "{none:?}");
        }
    }
}
