//! What one source says of the same thing in several lists.

#![forbid(unsafe_code)]

use super::Walk;
use crate::outcome::Layer;
use crate::policy::Wish;

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
                let line = wish.origin.line().unwrap_or(1);
                let at = self.start_of(line);
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
