//! Refused programs that are installed or upgraded while the box runs.

#![forbid(unsafe_code)]

use super::place::Purpose;
use super::tree::Spot;
use super::view::Covered;
use super::watchman::{Name, Phase, Watchman};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

impl Watchman<'_> {
    /// What a directory is watched for.
    pub(super) fn purpose(&self, spot: &Spot) -> Purpose {
        let place = self.places.get(spot.place);
        place.map_or(Purpose::Names, |place| place.purpose)
    }

    /// A name in a directory of programs.
    pub(super) fn program(&mut self, it: &Name<'_>, file: &Path) -> Result<(), String> {
        let known = || self.refused.places.iter().any(|p| p.path.path() == file);
        if self.refused.rule(it.name.as_bytes()).is_none() && !known() {
            return Ok(());
        }
        let (Some(view), Some(place)) = (&self.view, self.places.get(it.spot.place)) else {
            return Ok(());
        };
        let covered = view
            .refuse(place, it.name)
            .map_err(|errno| format!("{} cannot be refused: {errno}", file.display()))?;
        if covered == Covered::Now && self.phase == Phase::Running {
            self.outbox.refused(file.to_owned());
        }
        Ok(())
    }
}
