//! What the rules say of a name that the keeper meets.

#![forbid(unsafe_code)]

use super::Watchman;
use crate::keeper::listing::What;
use crate::keeper::place::Place;
use crate::keeper::tree::{Spot, Within};
use crate::plan::Kind;
use crate::plan::names::{Decision, NameKind};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

impl Watchman<'_> {
    /// The strongest rule about a name, with its number; below a tracked directory everything is tracked.
    pub(super) fn rule(&self, spot: &Spot, name: &OsStr, what: What) -> Option<(NameKind, usize)> {
        self.strongest(self.said(spot, name, what), spot, name)
    }

    /// What the rules say of a name.
    pub(super) fn said(&self, spot: &Spot, name: &OsStr, what: What) -> Decision {
        let kind = match what {
            What::Dir => Kind::Dir,
            What::Link | What::Socket | What::Pipe | What::Other => Kind::File,
        };
        let place = self.places.get(spot.place);
        let said = |place: &Place| place.matcher.entry_of(&spot.cursor, name.as_bytes(), kind);
        place.map_or_else(Decision::default, said)
    }

    /// Of that the strongest.
    pub(super) fn strongest(
        &self,
        said: Decision,
        spot: &Spot,
        name: &OsStr,
    ) -> Option<(NameKind, usize)> {
        let mut said = said;
        // The start has looked into it; whatever has its name now is taken for the same.
        let known = |_: &usize| self.secrets.is_known(&self.host_path(spot, name));
        said.hide = said.hide.or(said.hide_if.filter(known));
        match spot.within {
            Within::Rules => said.strongest(),
            Within::Tracked => said.strongest().or(Some((NameKind::Track, usize::MAX))),
        }
    }
}
