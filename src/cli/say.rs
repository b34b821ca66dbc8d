//! Writes for people: stderr with the prefix `agentbox:`, stdout without. A closed pipe is not an error of ours and never a
//! panic, which is what the print macros would make of it.

#![forbid(unsafe_code)]

use crate::paint::{self, Tone};
use crate::plan::text::{for_terminals, write_escaped};
use anstream::AutoStream;
use std::fmt::Display;
use std::io::{self, Write};

/// Every line of `text` on stderr, each with the prefix, in one write so that lines of several processes do not mix. What it
/// cites may be of a file that an agent wrote: control characters are escaped.
pub fn error(text: impl Display) {
    let lines = prefixed(&text.to_string(), &paint::prefix(Tone::Refusal));
    // Nobody is left to be told when stderr is closed.
    let _ = io::stderr().write_all(lines.as_bytes());
}

fn prefixed(text: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        out.push_str(prefix);
        // Into a String: never an error.
        let _ = write_escaped(&mut out, line.as_bytes());
        out.push('\n');
    }
    out
}

/// A line on stderr that is no refusal: like [`error`].
pub fn word(text: impl Display) {
    let lines = prefixed(&text.to_string(), &paint::prefix(Tone::Word));
    let _ = io::stderr().write_all(lines.as_bytes());
}

/// A help on stderr, as it is on stdout where it was asked for.
pub fn help(text: &str) {
    // Nobody is left to be told when stderr is closed.
    let _ = written(&mut AutoStream::auto(io::stderr().lock()), text);
}

/// What became of a report on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It was written, or the reader wanted no more of it (EPIPE).
    Fine,
    /// It was not (ENOSPC, EIO, ...): a report that is not complete must not end with 0.
    Lost,
}

/// `text` on stdout, without colours. JSON cites names that an agent chose, and stdout may be a terminal.
pub fn out(text: &str) -> Said {
    said(written(&mut io::stdout().lock(), &for_terminals(text)))
}

/// `text` on stdout, without its colours where stdout takes none; else as [`out`].
pub fn painted(text: &str) -> Said {
    let mut stdout = AutoStream::auto(io::stdout().lock());
    said(written(&mut stdout, &for_terminals(text)))
}

fn written(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

fn said(written: io::Result<()>) -> Said {
    match written {
        Ok(()) => Said::Fine,
        Err(failure) if failure.kind() == io::ErrorKind::BrokenPipe => Said::Fine,
        Err(failure) => {
            error(format_args!("stdout: {failure}"));
            Said::Lost
        }
    }
}

#[cfg(test)]
mod tests {
    use super::prefixed;

    fn plain(text: &str) -> String {
        prefixed(text, "agentbox: ")
    }

    #[test]
    fn every_line_has_the_prefix() {
        assert_eq!(plain("a\n\n  b\n"), "agentbox: a\nagentbox:   b\n");
        assert_eq!(plain(""), "");
        assert_eq!(
            plain("a\x1b[31m\u{9b}2J"),
            "agentbox: a\\u{1b}[31m\\u{9b}2J\n"
        );
    }
}
