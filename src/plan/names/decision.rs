//! What the rules say of a name.

#![forbid(unsafe_code)]

use super::NameKind;

/// Which rules, by their index, are about a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decision {
    /// It is hidden by that rule.
    pub hide: Option<usize>,
    /// It is hidden by that rule if its content is what the rule is about; no other rule hides it.
    pub hide_if: Option<usize>,
    /// It is frozen by that rule.
    pub freeze: Option<usize>,
    /// It is tracked by that rule.
    pub track: Option<usize>,
}

impl Decision {
    /// Is there a rule about it, be it one that depends on the content?
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.hide_if.is_some() || self.strongest().is_some()
    }

    /// The strongest of those that do not depend on the content: hidden before frozen before tracked.
    #[must_use]
    pub fn strongest(&self) -> Option<(NameKind, usize)> {
        let hide = self.hide.map(|rule| (NameKind::Hide, rule));
        let freeze = self.freeze.map(|rule| (NameKind::Freeze, rule));
        let track = self.track.map(|rule| (NameKind::Track, rule));
        hide.or(freeze).or(track)
    }

    /// The same where `more` rules were put before the one at `from`.
    #[must_use]
    pub fn shifted(self, from: usize, more: usize) -> Decision {
        let shift = |rule: usize| if rule < from { rule } else { rule + more };
        Decision {
            hide: self.hide.map(shift),
            hide_if: self.hide_if.map(shift),
            freeze: self.freeze.map(shift),
            track: self.track.map(shift),
        }
    }
}
