//! Whether a rule hides a file, before anything is searched: for what agentbox grants by itself.

#![forbid(unsafe_code)]

use super::super::expand::{below, within};
use super::super::gitconfig;
use super::super::scene::Scene;
use super::rules;
use crate::plan::Kind;
use crate::plan::names::matcher::Matcher;
use std::path::Path;

/// Does a rule hide this file, or a directory above it? One that depends on the content counts.
pub(in super::super) fn is_hidden(scene: &mut Scene<'_>, real: &Path) -> bool {
    // What is wrong with a rule is said when the names are searched.
    let problems = scene.problems.len();
    let rules = rules::rules(scene, &gitconfig::in_workspace(scene));
    scene.problems.truncate(problems);
    let mut roots: Vec<&Path> = rules.iter().map(|rule| rule.root.path()).collect();
    roots.retain(|root| within(real, root));
    roots.sort_unstable();
    roots.dedup();
    roots.into_iter().any(|root| {
        let matcher = Matcher::new(&rules, root);
        let mut cursor = Some(matcher.start());
        let mut names = below(real, root)
            .unwrap_or_default()
            .split(|b| *b == b'/')
            .peekable();
        while let (Some(at), Some(name)) = (cursor.take(), names.next()) {
            let kind = match names.peek() {
                Some(_) => Kind::Dir,
                None => Kind::File,
            };
            let decision = matcher.entry_of(&at, name, kind);
            if decision.hide.or(decision.hide_if).is_some() {
                return true;
            }
            cursor = matcher.enter(&at, name);
        }
        false
    })
}
