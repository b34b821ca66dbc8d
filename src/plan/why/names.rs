//! What becomes of a name that is made while the box runs.

#![forbid(unsafe_code)]

use super::{Answer, Verdict, no, remedy};
use crate::plan::names::NameKind;
use crate::plan::names::git::in_dot_git;
use crate::plan::names::matcher::{Matcher, literal};
use crate::plan::{OsText, Plan};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

fn strongest(plan: &Plan, file: &Path) -> Option<(NameKind, usize)> {
    let rules = &plan.names.rules;
    let roots: BTreeSet<&Path> = rules.iter().map(|rule| rule.root.path()).collect();
    let said = roots.iter().filter_map(|root| {
        let way = file.strip_prefix(root).ok()?;
        Matcher::new(rules, root).strongest(way)
    });
    said.min_by_key(|(kind, _)| *kind)
}

/// What becomes of a change of the host's `file`, where a rule tracks it.
pub(super) fn tracked(plan: &Plan, file: &Path) -> Option<String> {
    let (NameKind::Track, rule) = strongest(plan, file)? else {
        return None;
    };
    let what = match file.file_name().map(|name| name.as_bytes()) {
        Some(b"config" | b"config.worktree") if in_dot_git(file) => {
            "what it comes to say of programs that run is undone"
        }
        _ => "a change is put back in the end, and what was made there is moved away",
    };
    let origin = plan.names.rules.get(rule).map(|rule| &rule.origin)?;
    let path = OsText::from(file);
    let path = path.shell_word();
    Some(format!(
        "but it is tracked: {what}, unless the human starts with --write {path}  [{origin}]"
    ))
}

/// The no of a rule that is about the host's `file`, which is not there yet. What is tracked may be made.
pub(super) fn made(plan: &Plan, thing: &Path, file: &Path) -> Option<Answer> {
    let (kind, rule) = strongest(plan, file)?;
    let (because, list, verdict) = match kind {
        NameKind::Hide => (
            "a rule hides what appears under that name: it cannot be opened unless git has its content",
            "hide",
            Verdict::Hidden,
        ),
        NameKind::Freeze => (
            "it is protected: what is made under that name is moved away at once",
            "protect",
            Verdict::Protected,
        ),
        NameKind::Track => return None,
    };
    let mut free = b"!".to_vec();
    free.extend(literal(file.as_os_str().as_bytes()));
    let free = OsText::from(OsString::from_vec(free));
    let origin = plan.names.rules.get(rule).map(|rule| &rule.origin);
    let remedy = remedy(&format!("--{list}"), "files", list, &free);
    Some(no(thing, because, origin, Some(remedy)).which(verdict))
}
