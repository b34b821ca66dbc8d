//! Writes for people: stderr with the prefix `agentbox:`, stdout without. A closed pipe is not an error of ours and never a
//! panic, which is what the print macros would make of it.

#![forbid(unsafe_code)]

use crate::plan::text::write_escaped;
use std::fmt::Display;
use std::io::{self, Write};

/// What starts every line on stderr.
pub const PREFIX: &str = "agentbox: ";

/// Every line of `text` on stderr, each with the prefix, in one write so that lines of several processes do not mix. What it
/// cites may be of a file that an agent wrote: control characters are escaped.
pub fn error(text: impl Display) {
    let lines = prefixed(&text.to_string());
    // Nobody is left to be told when stderr is closed.
    let _ = io::stderr().write_all(lines.as_bytes());
}

fn prefixed(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        out.push_str(PREFIX);
        // Into a String: never an error.
        let _ = write_escaped(&mut out, line.as_bytes());
        out.push('\n');
    }
    out
}

/// What became of a report on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It was written, or the reader wanted no more of it (EPIPE).
    Fine,
    /// It was not (ENOSPC, EIO, ...): a report that is not complete must not end with 0.
    Lost,
}

/// `text` on stdout as it is.
pub fn out(text: &str) -> Said {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
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

    #[test]
    fn every_line_has_the_prefix() {
        assert_eq!(prefixed("a\n\n  b\n"), "agentbox: a\nagentbox:   b\n");
        assert_eq!(prefixed(""), "");
        assert_eq!(
            prefixed("a\x1b[31m\u{9b}2J"),
            "agentbox: a\\u{1b}[31m\\u{9b}2J\n"
        );
    }
}
