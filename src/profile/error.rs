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
    /// Columns of [`Diagnostic::cited`] before the marked part.
    pub before: usize,
    /// Columns of the marked part; at least 1.
    pub marked: usize,
    /// What is wrong, in one sentence without a full stop.
    pub what: String,
    /// What would be right; may be empty.
    pub help: String,
}

/// The most columns of a line that are cited, with the dots where it is cut.
const CITED: usize = 100;
/// Of these, the most before the marked part.
const LEAD: usize = 50;
/// The most characters of a sentence: names of all built-in profiles fit.
const SENTENCE: usize = 300;
/// Stands for what was cut off a line.
const DOTS: &str = "...";
/// The most problems of one file that are told.
pub(super) const MOST: usize = 50;

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
        let rest = text[to..end].trim_end_matches('\r');
        let (cited, before, marked) = cite(&text[start..at], &text[at..to], rest);
        Diagnostic {
            file: printable(file),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            cited,
            before,
            marked,
            what: short(&what.into()),
            help: short(&help.into()),
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

/// A line as it is shown, given in three parts of which the middle one is marked: the text, the columns before the mark, and
/// those of the mark. What is far from the mark is cut off on both sides.
fn cite(lead: &str, part: &str, rest: &str) -> (String, usize, usize) {
    let room = LEAD - DOTS.len();
    let (near, mut before) = fitting(lead.chars().rev(), room);
    let mut cited = String::new();
    if near < lead.chars().count() {
        cited.push_str(DOTS);
        before += DOTS.len();
    }
    let from = lead.char_indices().rev().take(near).last();
    cited.push_str(&printable(&lead[from.map_or(lead.len(), |(at, _)| at)..]));
    let room = CITED - DOTS.len() - before;
    let (inside, marked) = fitting(part.chars(), room);
    let (behind, _) = fitting(rest.chars(), room - marked);
    let shown: String = part.chars().take(inside).collect();
    cited.push_str(&printable(&shown));
    let whole = shown.len() == part.len();
    let shown: String = rest.chars().take(if whole { behind } else { 0 }).collect();
    cited.push_str(&printable(&shown));
    if !whole || shown.len() < rest.len() {
        cited.push_str(DOTS);
    }
    (cited, before, marked.max(1))
}

/// How many of these characters fit into that many columns, and how many columns they take.
fn fitting(text: impl Iterator<Item = char>, room: usize) -> (usize, usize) {
    let (mut count, mut used) = (0, 0);
    for c in text {
        let more = columns(c);
        if used + more > room {
            break;
        }
        used += more;
        count += 1;
    }
    (count, used)
}

/// The columns that a character takes where it is printed by [`printable`].
fn columns(c: char) -> usize {
    match c {
        ' '..='~' | '\t' => 1,
        // Combining marks, joiners and selectors of a variant stand on the character before them.
        '\u{300}'..='\u{36f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}' => 0,
        // What Unicode calls wide (UAX #11): Hangul, the scripts of China and Japan, full-width forms, most pictures.
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97c}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff01}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => printable(c.encode_utf8(&mut [0; 4])).chars().count(),
    }
}

/// A sentence that cites a file: printable, and what is too long left out in the middle, where the cited part is.
fn short(text: &str) -> String {
    let count = text.chars().count();
    if count <= SENTENCE {
        return printable(text);
    }
    let begin: String = text.chars().take(SENTENCE / 2).collect();
    let end: String = text.chars().skip(count - SENTENCE / 2).collect();
    printable(&begin) + DOTS + &printable(&end)
}

/// Tabs as one space, other control characters escaped: a file cannot write on the terminal, and carets stay below.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Writing into a String cannot fail.
    let _ = write_escaped(&mut out, text.replace('\t', " ").as_bytes());
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
    #[error("{path}: {call}: {}{}", describe(*.errno), way_out(call, *.errno), path = printable(&path.to_string_lossy()))]
    Io {
        /// The file.
        path: PathBuf,
        /// The call that failed.
        call: &'static str,
        /// Its errno, 0 if there is none.
        errno: i32,
    },
    /// The file could have been written by somebody else.
    #[error("{path}: {why}; {remedy}", path = printable(&path.to_string_lossy()))]
    NotTrusted {
        /// The file.
        path: PathBuf,
        /// Why it is not trusted.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// Not a regular file.
    #[error("{path}: not a regular file", path = printable(&path.to_string_lossy()))]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// More than [`super::MAX_SIZE`].
    #[error("{path}: {size} bytes, more than a profile may have ({max})", path = printable(&path.to_string_lossy()), max = super::MAX_SIZE)]
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
    let mut texts: Vec<String> = Vec::new();
    for diagnostic in diagnostics.iter().take(MOST) {
        let text = diagnostic.to_string();
        // The parser tells some mistakes twice.
        if texts.last() != Some(&text) {
            texts.push(text);
        }
    }
    if diagnostics.len() > MOST {
        texts.push(format!("more is wrong in it than these {MOST}"));
    }
    texts.join("\n")
}

fn describe(errno: i32) -> String {
    nix::errno::Errno::from_raw(errno).desc().to_owned()
}

/// What can be done about a file that cannot be opened.
fn way_out(call: &str, errno: i32) -> &'static str {
    match (call, errno) {
        ("open", libc::ENOENT) => {
            "; name a file that is there, or a profile of `agentbox profiles list`"
        }
        // `sudo -u USER` leaves HOME as it was.
        ("open", libc::EACCES) => {
            "; whose profiles count says HOME (and XDG_CONFIG_HOME): set it to your own home directory, or make the file readable"
        }
        _ => "",
    }
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
        // Nor can what is told about it: a key may have any character.
        let d = Diagnostic::new("f\n2", "", 0..0, "a\nagentbox: b", "\u{9b}2J");
        assert_eq!(d.to_string().lines().count(), 3, "{d}");
        assert!(!d.to_string().contains('\u{9b}'), "{d}");
    }

    #[test]
    fn a_sentence_cites_no_megabyte() {
        let long = format!("`{}\u{1b}` is not a size", "9".repeat(1 << 20));
        let d = Diagnostic::new("f", "", 0..0, long, "");
        assert!(
            d.what.starts_with("`999") && d.what.len() < SENTENCE + 20,
            "{d}"
        );
        assert!(d.what.ends_with("9\\u{1b}` is not a size"), "{d}");
    }

    #[test]
    fn carets_stand_below_what_they_mark_whatever_is_before() {
        for (lead, part, before, marked) in [
            ("k = ", "ab", 4, 2),
            ("# 日本 ", "ab", 7, 2),
            ("# e\u{301} ", "ab", 4, 2),
            ("# \u{1f600} ", "日本", 5, 4),
            ("\t\u{1b}", "ab", 7, 2),
            ("", "", 0, 1),
        ] {
            let (cited, got, mark) = cite(lead, part, "\u{1b}");
            assert_eq!((got, mark), (before, marked), "{lead:?}");
            assert!(cited.contains(&printable(part)), "{cited:?}");
        }
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let wide = |text: &str| text.chars().map(columns).sum::<usize>();
        for filler in ["x", "日", "\u{1b}"] {
            let long = filler.repeat(5000);
            for (at, len) in [
                (0, 3),
                (10, 900),
                (2000, 1),
                (4900, 90),
                (4990, 10),
                (5000, 0),
            ] {
                let bytes = |count: usize| count * filler.len();
                let d = Diagnostic::new("f", &long, bytes(at)..bytes(at + len), "w", "");
                assert!(wide(&d.cited) <= CITED, "{d}");
                assert!(d.before <= LEAD && d.before + d.marked <= CITED, "{d}");
                assert_eq!(d.column as usize, at + 1);
                let cut = at * wide(&printable(filler)) > LEAD - DOTS.len();
                assert_eq!(d.cited.starts_with(DOTS), cut, "{at} {len}\n{d}");
                let all = at + len == 5000 && d.marked == (len * wide(&printable(filler))).max(1);
                assert_eq!(d.cited.ends_with(DOTS), !all, "{at} {len}\n{d}");
            }
        }
        let text = format!("a = \"{}\", ~x, \"{}\"", "y".repeat(300), "z".repeat(300));
        let at = text.find('~').unwrap_or(0);
        let d = Diagnostic::new("f", &text, at..at + 2, "w", "");
        assert_eq!(&d.cited[d.before..d.before + d.marked], "~x", "{d}");
        assert!(
            d.cited.contains("...yyy") && d.cited.ends_with("zzz..."),
            "{d}"
        );
    }

    #[test]
    fn a_file_of_mistakes_is_not_told_in_full() {
        let one = Diagnostic::new("f", "x", 0..1, "w", "");
        assert_eq!(list(&vec![one.clone(); 2]), one.to_string());
        let many: Vec<Diagnostic> = (0..=MOST)
            .map(|i| Diagnostic::new("f", "x", 0..1, i.to_string(), ""))
            .collect();
        assert!(!list(&many[..MOST]).contains("more is wrong"));
        assert!(list(&many).ends_with("\nmore is wrong in it than these 50"));
        assert!(!list(&many).contains(": 50\n"));
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
