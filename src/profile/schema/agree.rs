//! What one source says of the same thing in several lists.

#![forbid(unsafe_code)]

use super::Walk;
use crate::outcome::Layer;
use crate::policy::{Origin, Wish};

impl Walk<'_> {
    /// One source that says two things of one layer means neither.
    pub(super) fn layers_agree(&mut self) {
        let fragment = &self.out.fragment;
        let said: [(&str, &[Wish<Layer>]); 3] = [
            ("require", &fragment.require),
            ("allow-missing", &fragment.allow_missing),
            ("off", &fragment.layers_off),
        ];
        let mut problems = Vec::new();
        for layer in Layer::ALL {
            let lists: Vec<(&str, &Wish<Layer>)> = said
                .iter()
                .filter_map(|(name, list)| Some((*name, list.iter().find(|w| w.value == layer)?)))
                .collect();
            if let [(first, _), .., (last, wish)] = lists.as_slice() {
                let line = match &wish.origin {
                    Origin::Builtin { line, .. }
                    | Origin::File { line, .. }
                    | Origin::Project { line, .. } => *line,
                    Origin::Cli { .. } | Origin::Agentbox { .. } => 1,
                };
                let before = usize::try_from(line).unwrap_or(1).saturating_sub(2);
                let at = match line {
                    0 | 1 => 0,
                    _ => self.newlines.get(before).map_or(0, |newline| newline + 1),
                };
                problems.push((
                    at,
                    format!(
                        "the layer `{}` is in `{first}` and in `{last}`",
                        layer.name()
                    ),
                ));
            }
        }
        for (at, what) in problems {
            self.problem(at..at, what, "choose one");
        }
    }
}
