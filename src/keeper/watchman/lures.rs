//! Hidden names that lead somewhere: what is behind them may be what the box reads under another name. The settling looks at each
//! at once, see `keeper::settle::lures`.

#![forbid(unsafe_code)]

use super::{Cause, Name, Phase, Watchman};
use crate::keeper::listing::What;
use crate::plan::Access;
use crate::plan::names::Decision;
use std::path::Path;

impl Watchman<'_> {
    /// A hidden name has appeared, or one that may be by its content: is it a link, a pipe, or one of several names of a file?
    pub(super) fn lure(&mut self, it: &Name<'_>, file: &Path, said: &Decision) {
        let is_about = said.hide.is_some() || said.hide_if.is_some();
        let place = self.places.get(it.spot.place);
        let writable = place.is_some_and(|place| place.access == Access::Write);
        if !is_about || !writable || self.phase != Phase::Running || self.shown.contains(file) {
            return;
        }
        let leads = match it.what {
            What::Link | What::Pipe => true,
            What::Dir | What::Socket => false,
            What::Other if it.cause == Cause::Listed => {
                matches!(self.what(it.spot, it.name), Some((_, Some(_))))
            }
            What::Other => it.linked.is_some(),
        };
        if leads {
            self.outbox.now(file.to_owned());
        }
    }
}
