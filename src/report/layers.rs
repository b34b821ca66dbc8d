//! The layer table that `agentbox check --layers` prints and that the README shows.

#![forbid(unsafe_code)]

use super::columns;
use crate::outcome::Layer;

/// One step of the enforcement that makes a layer hold, as plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The layer.
    pub layer: Layer,
    /// What the step does, in words.
    pub what: &'static str,
}

/// Whether a layer stops an agent that tries everything, or only one that makes mistakes.
#[must_use]
pub fn strength(layer: Layer) -> &'static str {
    match layer {
        Layer::Namespaces
        | Layer::View
        | Layer::Identity
        | Layer::Descriptors
        | Layer::Keyring
        | Layer::Capabilities
        | Layer::Landlock
        | Layer::Seccomp
        | Layer::Environment => "boundary",
        // `host` is what the agents' profiles use until there is a gate: no word may promise more.
        Layer::Network => "boundary with none and filtered; nothing with host",
        // An rlimit is for each process, an affinity can be widened from inside.
        Layer::Limits => "boundary by cgroup; else a guard-rail",
    }
}

/// The table: one line for each row, in the order of the rows.
#[must_use]
pub fn table(rows: impl IntoIterator<Item = Row>) -> String {
    let mut lines = vec![["LAYER", "WHAT IT DOES", "STRENGTH"].map(str::to_owned)];
    for Row { layer, what } in rows {
        lines.push([layer.name(), what, strength(layer)].map(str::to_owned));
    }
    columns(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_order_and_say_how_strong_they_are() {
        let row = |layer, what| Row { layer, what };
        assert_eq!(
            table([row(Layer::Seccomp, "calls"), row(Layer::Network, "net")]),
            "LAYER    WHAT IT DOES  STRENGTH\n\
             seccomp  calls         boundary\n\
             network  net           boundary with none and filtered; nothing with host\n"
        );
    }

    #[test]
    fn every_strength_uses_one_of_the_two_words() {
        for layer in Layer::ALL {
            let words = strength(layer);
            assert!(
                words.contains("boundary") || words.contains("guard-rail"),
                "{layer:?}: {words}"
            );
        }
    }
}
