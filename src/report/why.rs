//! An answer of `agentbox why` for people and for programs.

#![forbid(unsafe_code)]

use crate::paint::{BAD, GOOD, painted};
use crate::plan::OsText;
use crate::plan::why::Answer;
use std::fmt::Write as _;

/// One line, and one more with what would change a no.
#[must_use]
pub fn text(answer: &Answer) -> String {
    let word = match answer.allowed {
        true => painted(GOOD, "yes"),
        false => painted(BAD, "no"),
    };
    let because = OsText::from(answer.because.as_str());
    let mut out = format!("{word}: {}: {because}", answer.thing);
    if let Some(origin) = &answer.origin {
        let _ = write!(out, "  [{}]", OsText::from(origin.to_string()));
    }
    out.push('\n');
    if let Some(remedy) = &answer.remedy {
        let other = match remedy.line.as_deref().map(OsText::from) {
            Some(line) => format!("or in a profile: {line}"),
            None => "or a change of that line, which is stronger than a profile".to_owned(),
        };
        let _ = writeln!(
            out,
            "  the human can change that: agentbox run {}, {other}",
            remedy.flag
        );
    }
    for note in &answer.notes {
        let _ = writeln!(out, "  {}", OsText::from(note.as_str()));
    }
    out
}

/// As JSON, with a newline at the end.
#[must_use]
pub fn json(answer: &Answer) -> String {
    // Its keys are all texts, so this cannot fail.
    serde_json::to_string_pretty(answer).unwrap_or_default() + "\n"
}
