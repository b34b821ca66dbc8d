//! What `explain` says of hidden and protected names besides the names themselves.

#![forbid(unsafe_code)]

use super::wrapped;
use crate::plan::{OsText, Plan};
use std::fmt::Write as _;

/// What is shown although a rule is about it, and what was not looked for.
pub(super) fn text(out: &mut String, plan: &Plan) {
    let names = &plan.names;
    if names.shown.is_empty() && names.skipped.is_empty() {
        return;
    }
    out.push_str("\nhidden and protected names\n");
    if !names.shown.is_empty() {
        let shown = names.shown.iter().map(ToString::to_string);
        wrapped(
            out,
            "  not hidden, since git has them as they are (--hide hides them): ",
            4,
            shown,
        );
    }
    for line in &names.skipped {
        let line = OsText::from(line.as_str()).to_string();
        wrapped(out, "  ", 4, line.split(' ').map(str::to_owned));
    }
    let _ = writeln!(
        out,
        "  --read PATH shows one, --hide '!PATTERN' several, --write PATH also lets it be changed"
    );
}
