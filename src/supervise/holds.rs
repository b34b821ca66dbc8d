//! Who wants everything in the box to stand still: it goes on when nobody does any more.

#![forbid(unsafe_code)]

/// Who may hold a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holder {
    /// `agentbox pause`, `agentbox stop --pause`.
    Human,
    /// A remote switch that is unreachable, with `on-unreachable = "pause"`.
    Switch,
    /// The keeper, which missed events and looks again.
    Keeper,
}

/// Those who hold it.
#[derive(Debug, Default)]
pub(super) struct Holds(Vec<Holder>);

impl Holds {
    /// Returns whether it was free before.
    pub(super) fn add(&mut self, holder: Holder) -> bool {
        let free = self.0.is_empty();
        if !self.0.contains(&holder) {
            self.0.push(holder);
        }
        free
    }

    /// Returns whether it is free by that.
    pub(super) fn remove(&mut self, holder: Holder) -> bool {
        let held = !self.0.is_empty();
        self.0.retain(|other| *other != holder);
        held && self.0.is_empty()
    }

    pub(super) fn has(&self, holder: Holder) -> bool {
        self.0.contains(&holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_who_lets_go_frees_it() {
        let mut holds = Holds::default();
        assert!(!holds.remove(Holder::Human), "nobody holds it");
        assert!(holds.add(Holder::Human));
        assert!(!holds.add(Holder::Switch));
        assert!(!holds.add(Holder::Human), "once for each");
        assert!(!holds.remove(Holder::Human));
        assert!(!holds.remove(Holder::Human));
        assert!(holds.has(Holder::Switch) && !holds.has(Holder::Human));
        assert!(holds.remove(Holder::Switch));
    }
}
