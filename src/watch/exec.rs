//! `exec:`: a program that says it. With status 0 the first line is `clear`, or `stop` and a reason; everything else is no
//! answer. A program and not its status: a script that fails must not count as either.

#![forbid(unsafe_code)]

use super::command;
use super::message::Notice;
use super::source::{Answer, Patience, Said, Source};
use crate::gate::message::Text;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A program.
pub struct Program(PathBuf);

impl Program {
    /// That one.
    #[must_use]
    pub fn new(path: &Path) -> Program {
        Program(path.to_owned())
    }
}

impl Source for Program {
    fn ask(&mut self, _: Patience, timeout: Duration) -> Result<Answer, String> {
        let bytes = command::output(&self.0, timeout)?;
        read(&bytes).map(Answer::asked)
    }

    fn set(&mut self, _: Option<&str>, _: Instant) -> Result<(), String> {
        Err("a program can be asked, not switched".to_owned())
    }
}

fn read(bytes: &[u8]) -> Result<Said, String> {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.trim_ascii();
    if line == b"clear" {
        return Ok(Said::Clear);
    }
    match line.strip_prefix(b"stop") {
        Some(b"") => Ok(Said::Stop(Notice::default())),
        Some(rest) if rest.first() == Some(&b' ') => {
            Ok(Said::Stop(Notice::read(rest.trim_ascii())))
        }
        _ => Err(format!(
            "it said neither `clear` nor `stop`: {}",
            Text::lossy(line.get(..60).unwrap_or(line))
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_decides() {
        assert_eq!(read(b"clear\nmore"), Ok(Said::Clear));
        assert_eq!(read(b"stop"), Ok(Said::Stop(Notice::default())));
        let reason = Some(Text::of("too dear"));
        assert_eq!(
            read(b"stop too dear\n"),
            Ok(Said::Stop(Notice { by: None, reason }))
        );
        for bad in ["", "stopped", "ok", "Clear", "clearly", "error: stop"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
