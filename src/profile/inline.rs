//! What a profile says beside its wishes: questions with the answers that are expected (`[[test]]`), and parts that count only
//! under a condition (`[[when]]`). Only what was written; who asks and who looks is elsewhere.

#![forbid(unsafe_code)]

use crate::plan::why::Verdict;
use std::ops::Range;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Open a file for reading, list a directory.
    Read,
    /// Write or make a file.
    Write,
    /// Execute a program.
    Exec,
    /// Have a variable.
    Env,
    /// Connect to a host.
    Connect,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Verb; 5] = [
        Verb::Read,
        Verb::Write,
        Verb::Exec,
        Verb::Env,
        Verb::Connect,
    ];

    /// Its key.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verb::Read => "read",
            Verb::Write => "write",
            Verb::Exec => "exec",
            Verb::Env => "env",
            Verb::Connect => "connect",
        }
    }
}

/// What is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Yes.
    Allowed,
    /// No, for whatever reason.
    Refused,
    /// No, since it is not in the box.
    Absent,
    /// No, since its name is hidden.
    Hidden,
    /// No, since its name is protected.
    Protected,
}

impl Expect {
    /// By its word.
    #[must_use]
    pub fn of(word: &str) -> Option<Expect> {
        Some(match word {
            "allowed" => Expect::Allowed,
            "refused" => Expect::Refused,
            "absent" => Expect::Absent,
            "hidden" => Expect::Hidden,
            "protected" => Expect::Protected,
            _ => return None,
        })
    }

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Expect::Allowed => "allowed",
            Expect::Refused => "refused",
            Expect::Absent => "absent",
            Expect::Hidden => "hidden",
            Expect::Protected => "protected",
        }
    }

    /// Whether that is what was expected.
    #[must_use]
    pub fn is(self, verdict: Verdict) -> bool {
        match self {
            Expect::Allowed => verdict == Verdict::Allowed,
            Expect::Refused => verdict != Verdict::Allowed,
            Expect::Absent => verdict == Verdict::Absent,
            Expect::Hidden => verdict == Verdict::Hidden,
            Expect::Protected => verdict == Verdict::Protected,
        }
    }
}

/// One `[[test]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineTest {
    /// What is asked.
    pub verb: Verb,
    /// Of what.
    pub thing: String,
    /// What is expected.
    pub expect: Expect,
    /// Where it stands in the text.
    pub at: Range<usize>,
}
