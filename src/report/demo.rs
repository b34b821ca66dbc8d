//! What `agentbox demo` prints.

#![forbid(unsafe_code)]

use crate::paint::{BAD, GOOD, painted};
use std::fmt::Write as _;
use std::time::Duration;

/// What came of one thing on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was done; what that means.
    Through(String),
    /// It was not; by what.
    Stopped(String),
    /// It could not be tried; what is missing.
    Untried(String),
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Honest work, which must be possible.
    Work,
    /// What must not get through.
    Harm,
}

/// One thing that the agent does, on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it does.
    pub title: &'static str,
    /// Work or harm.
    pub kind: Kind,
    /// Without the box.
    pub without: Verdict,
    /// In the box.
    pub within: Verdict,
}

impl Row {
    /// Did the box do what it is for?
    #[must_use]
    pub fn is_good(&self) -> bool {
        match (self.kind, &self.within) {
            (_, Verdict::Untried(_)) => true,
            (Kind::Work, verdict) => matches!(verdict, Verdict::Through(_)),
            (Kind::Harm, verdict) => matches!(verdict, Verdict::Stopped(_)),
        }
    }
}

const TITLE: usize = 50;
const WITHOUT: usize = 32;

/// The first lines.
#[must_use]
pub fn head() -> String {
    format!(
        "An agent does these things in a scratch world, once without the box and once in it.\n\n  {:TITLE$}{:WITHOUT$}in the box\n",
        "it ...", "without the box"
    )
}

/// One line.
#[must_use]
pub fn row(row: &Row) -> String {
    let mut out = format!("  {:TITLE$}", row.title);
    out.push_str(&cell(row.kind, &row.without, WITHOUT));
    out.push_str(&cell(row.kind, &row.within, 0));
    let len = out.trim_end().len();
    out.truncate(len);
    out.push('\n');
    out
}

fn cell(kind: Kind, verdict: &Verdict, width: usize) -> String {
    let (good, text) = match (kind, verdict) {
        (Kind::Work, Verdict::Through(what)) => (true, what.clone()),
        (Kind::Work, Verdict::Stopped(why)) => (false, format!("failed: {why}")),
        (Kind::Harm, Verdict::Through(what)) => (false, what.clone()),
        (Kind::Harm, Verdict::Stopped(why)) => (true, format!("stopped: {why}")),
        (_, Verdict::Untried(what)) => return format!("{:width$}", format!("not tried: {what}")),
    };
    let style = match good {
        true => GOOD,
        false => BAD,
    };
    painted(style, format_args!("{text:width$}"))
}

/// The last lines: what it comes to, and the command to run next.
#[must_use]
pub fn tail(rows: &[Row], took: Duration, next: &str) -> String {
    let harm = || rows.iter().filter(|row| row.kind == Kind::Harm);
    let through = |verdict: fn(&Row) -> &Verdict| {
        harm()
            .filter(|row| matches!(verdict(row), Verdict::Through(_)))
            .count()
    };
    let mut out = String::new();
    let _ = writeln!(
        out,
        "\nWithout the box {} of {} got through, in it {}. All of it was really run, in {:.1} s; nothing is left.\nNext: {next}",
        through(|row| &row.without),
        harm().count(),
        through(|row| &row.within),
        took.as_secs_f64(),
    );
    out
}

/// For programs.
#[must_use]
pub fn json(rows: &[Row], took: Duration, next: &str) -> String {
    let side = |verdict: &Verdict| {
        let (what, detail) = match verdict {
            Verdict::Through(detail) => ("through", detail),
            Verdict::Stopped(detail) => ("stopped", detail),
            Verdict::Untried(detail) => ("untried", detail),
        };
        serde_json::json!({"verdict": what, "detail": detail})
    };
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "what": row.title,
                "kind": match row.kind { Kind::Work => "work", Kind::Harm => "harm" },
                "without": side(&row.without),
                "box": side(&row.within),
                "good": row.is_good(),
            })
        })
        .collect();
    let all = serde_json::json!({
        "version": 1,
        "rows": rows,
        "seconds": took.as_secs_f64(),
        "next": next,
    });
    format!("{all:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kind: Kind, without: Verdict, within: Verdict) -> Row {
        Row {
            title: "does it",
            kind,
            without,
            within,
        }
    }

    #[test]
    fn work_must_be_done_and_harm_must_not() {
        let (through, stopped, untried) = (
            || Verdict::Through("a".to_owned()),
            || Verdict::Stopped("b".to_owned()),
            || Verdict::Untried("c".to_owned()),
        );
        for (kind, within, good) in [
            (Kind::Work, through(), true),
            (Kind::Work, stopped(), false),
            (Kind::Work, untried(), true),
            (Kind::Harm, through(), false),
            (Kind::Harm, stopped(), true),
            (Kind::Harm, untried(), true),
        ] {
            assert_eq!(sample(kind, through(), within).is_good(), good, "{kind:?}");
        }
        let rows = [
            sample(Kind::Harm, through(), stopped()),
            sample(Kind::Harm, untried(), untried()),
            sample(Kind::Work, through(), through()),
        ];
        let text = tail(&rows, Duration::from_millis(1234), "agentbox run bash");
        assert!(text.contains("1 of 2 got through, in it 0"), "{text}");
        assert!(text.ends_with("Next: agentbox run bash\n"), "{text}");
    }

    #[test]
    fn good_is_green_and_bad_is_red() {
        let harm = sample(
            Kind::Harm,
            Verdict::Through("gone".to_owned()),
            Verdict::Stopped("no".to_owned()),
        );
        let coloured = row(&harm);
        let plain = anstream::adapter::strip_str(&coloured).to_string();
        assert!(plain.is_ascii() && !plain.contains('\x1b'), "{plain:?}");
        assert!(coloured.contains("\x1b[31mgone"), "{coloured:?}");
        assert!(
            coloured.contains("\x1b[32mstopped: no\x1b[0m"),
            "{coloured:?}"
        );
    }
}
