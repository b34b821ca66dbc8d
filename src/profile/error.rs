//! What can be wrong with profiles, said with file, line, column, the cited line and a suggestion.

#![forbid(unsafe_code)]

use crate::plan::text::write_escaped;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// One problem at one place of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, for people.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// The line, without control characters, cut to what a terminal shows.
    pub cited: String,
    /// Characters of [`Diagnostic::cited`] before the marked part.
    pub before: usize,
    /// Characters of the marked part; at least 1.
    pub marked: usize,
    /// What is wrong, in one sentence without a full stop.
    pub what: String,
    /// What would be right; may be empty.
    pub help: String,
}

/// The most characters of a line that are cited.
const CITED: usize = 100;

impl Diagnostic {
    /// At that range of bytes of `text`. A range that is not inside, or not on boundaries of characters, is moved.
    #[must_use]
    pub fn new(
        file: &str,
        text: &str,
        range: Range<usize>,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> Diagnostic {
        let at = floor(text, range.start);
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..]
            .find('\n')
            .map_or(text.len(), |newline| at + newline);
        let line = text[..start].bytes().filter(|b| *b == b'\n').count() + 1;
        let column = text[start..at].chars().count() + 1;
        let to = floor(text, range.end).clamp(at, end);

        // A long line is shown from a little before the marked part.
        let skip = column.saturating_sub(CITED / 2);
        let from = if column <= CITED / 2 { 0 } else { skip };
        let shown: String = text[start..end].chars().skip(from).take(CITED).collect();
        let lead: String = text[start..at].chars().skip(from).collect();
        let part: String = text[at..to]
            .chars()
            .take(CITED.saturating_sub(column - 1 - from))
            .collect();
        Diagnostic {
            file: file.to_owned(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            cited: printable(&shown),
            before: printable(&lead).chars().count(),
            marked: printable(&part).chars().count().max(1),
            what: what.into(),
            help: help.into(),
        }
    }
}

/// The nearest boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Tabs as one space, other control characters escaped: a file cannot write on the terminal, and carets stay below.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Writing into a String cannot fail.
    let _ = write_escaped(
        &mut out,
        text.replace('\t', " ").trim_end_matches('\r').as_bytes(),
    );
    out
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.what
        )?;
        let number = self.line.to_string();
        writeln!(f, "  {number} | {}", self.cited)?;
        write!(
            f,
            "  {:width$} | {:before$}{}",
            "",
            "",
            "^".repeat(self.marked),
            width = number.len(),
            before = self.before
        )?;
        if !self.help.is_empty() {
            write!(f, " {}", self.help)?;
        }
        Ok(())
    }
}

/// Why a profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Something is wrong in a file: everything that was found in it.
    #[error("{}", list(.0))]
    Invalid(Vec<Diagnostic>),
    /// A system call failed.
    #[error("{path}: {call}: {}", describe(*.errno), path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The call that failed.
        call: &'static str,
        /// Its errno, 0 if there is none.
        errno: i32,
    },
    /// The file could have been written by somebody else.
    #[error("{path}: {why}; {remedy}", path = path.display())]
    NotTrusted {
        /// The file.
        path: PathBuf,
        /// Why it is not trusted.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// Not a regular file.
    #[error("{path}: not a regular file", path = path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// More than [`super::MAX_SIZE`].
    #[error("{path}: {size} bytes, more than a profile may have ({max})", path = path.display(), max = super::MAX_SIZE)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// There is no profile of that name.
    #[error("there is no profile `{name}`; {help}")]
    NotFound {
        /// The name.
        name: String,
        /// A suggestion and the list of names.
        help: String,
    },
    /// Several profiles want the same command.
    #[error("the profiles {} all list `{command}` in [agent] commands; choose one with -p", .profiles.join(", "))]
    Ambiguous {
        /// The base name of COMMAND.
        command: String,
        /// The files.
        profiles: Vec<String>,
    },
}

fn list(diagnostics: &[Diagnostic]) -> String {
    let texts: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

fn describe(errno: i32) -> String {
    nix::errno::Errno::from_raw(errno).desc().to_owned()
}

/// The word nearest to `word`, if one is near enough to be a slip of the finger.
#[must_use]
pub fn closest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Long words are not names of anything here, and the distance is quadratic.
    if word.len() > 64 {
        return None;
    }
    let most = (word.chars().count() / 3).clamp(1, 3);
    words
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insert, delete, replace, swap of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let width = b.len() + 1;
    let mut older = vec![0; width];
    let mut old: Vec<usize> = (0..width).collect();
    for (i, x) in a.iter().enumerate() {
        let mut new = vec![i + 1; width];
        for (j, y) in b.iter().enumerate() {
            let replace = old[j] + usize::from(x != y);
            let mut best = replace.min(old[j + 1] + 1).min(new[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(older[j - 1] + 1);
            }
            new[j + 1] = best;
        }
        older = old;
        old = new;
    }
    old[width - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_cites_the_line_and_points_at_the_place() {
        let text = "[files]\nwirte = [\"x\"]\n";
        let shown = Diagnostic::new(
            "p.toml",
            text,
            8..13,
            "unknown key `wirte`",
            "did you mean `write`?",
        )
        .to_string();
        assert_eq!(
            shown,
            "p.toml:2:1: unknown key `wirte`\n  2 | wirte = [\"x\"]\n    | ^^^^^ did you mean `write`?"
        );
    }

    #[test]
    fn odd_lines_do_not_break_the_terminal_or_the_caret() {
        let text = "\tk = \"\u{1b}[31mé\" # x";
        let at = text.find('é').unwrap_or(0);
        let d = Diagnostic::new("f", text, at..at + 2, "w", "");
        assert!(!d.to_string().contains('\u{1b}'));
        assert_eq!(d.cited.chars().nth(d.before), Some('é'));
        assert_eq!(d.marked, 1);
        // In the middle of a character, behind the end, the wrong way round: moved, never a panic.
        for range in [at + 1..at + 1, 900..1000] {
            let _ = Diagnostic::new("f", text, range, "w", "").to_string();
        }
        let _ = Diagnostic::new("f", text, Range { start: 5, end: 2 }, "w", "").to_string();
        let _ = Diagnostic::new("f", "", 0..0, "w", "").to_string();
        let long = "x".repeat(5000);
        let d = Diagnostic::new("f", &long, 4000..4900, "w", "");
        assert!(
            d.cited.len() <= CITED && d.before + d.marked <= CITED,
            "{d}"
        );
        assert_eq!(d.column, 4001);
    }

    #[test]
    fn slips_are_suggested_and_nothing_else() {
        let words = ["read", "write", "state", "private", "open-files"];
        for (word, want) in [
            ("wirte", Some("write")),
            ("reads", Some("read")),
            ("openfiles", Some("open-files")),
            ("open_files", Some("open-files")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(closest(word, words.iter().copied()), want, "{word}");
        }
    }
}
