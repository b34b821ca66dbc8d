//! Colours: what is worth one. Whether a stream takes them is `anstream`'s to know: `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR`,
//! `TERM`, and whether it is a terminal. A colour never says what the words do not.

#![forbid(unsafe_code)]

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use std::fmt::{Display, Write as _};
use std::sync::OnceLock;

/// What starts every line on stderr.
pub const PREFIX: &str = "agentbox:";

/// How much a line on stderr matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Good to know.
    Word,
    /// Nothing was done: agentbox refused or failed.
    Refusal,
}

/// Titles.
pub const TITLE: Style = Style::new().bold();
/// As it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Not as it should be.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Weaker than usual.
pub const WEAK: Style = AnsiColor::Yellow.on_default();

/// For stderr. Asked for once, before a process wipes its environment; forked processes inherit the answer.
static STDERR: OnceLock<ColorChoice> = OnceLock::new();

/// Whether stderr takes colours.
pub fn stderr() -> ColorChoice {
    *STDERR.get_or_init(|| AutoStream::choice(&std::io::stderr()))
}

/// The prefix of a line on stderr, with the space behind it.
#[must_use]
pub fn prefix(tone: Tone) -> String {
    prefix_for(tone, stderr())
}

fn prefix_for(tone: Tone, choice: ColorChoice) -> String {
    let style = match (choice, tone) {
        (ColorChoice::Never, _) => return format!("{PREFIX} "),
        (_, Tone::Word) => AnsiColor::Cyan.on_default(),
        (_, Tone::Refusal) => BAD.bold(),
    };
    format!("{} ", painted(style, PREFIX))
}

/// `text` in that style. What is printed of it on a stream that takes none is `text`.
#[must_use]
pub fn painted(style: Style, text: impl Display) -> String {
    let mut out = String::new();
    // Into a String: never an error.
    let _ = write!(out, "{style}{text}{style:#}");
    out
}

/// How many columns `text` takes, its colours left out.
#[must_use]
pub fn width(text: &str) -> usize {
    if !text.contains('\x1b') {
        return text.chars().count();
    }
    anstream::adapter::strip_str(text)
        .map(|piece| piece.chars().count())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_only_where_they_are_wanted() {
        for tone in [Tone::Word, Tone::Refusal] {
            assert_eq!(prefix_for(tone, ColorChoice::Never), "agentbox: ");
            let coloured = prefix_for(tone, ColorChoice::Always);
            assert!(coloured.starts_with("\x1b["), "{coloured:?}");
            assert_eq!(width(&coloured), "agentbox: ".len(), "{coloured:?}");
        }
        assert_eq!(painted(BAD, "no"), "\x1b[31mno\x1b[0m");
        assert_eq!(
            (width(""), width("äb"), width(&painted(GOOD, "äb"))),
            (0, 2, 2)
        );
    }
}
