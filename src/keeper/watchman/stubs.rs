//! Mount points of a sandbox within the box, on the rung that allows one.
//!
//! Such a sandbox (bubblewrap, as agents call it) makes an empty file or directory under a name that it covers, mounts on it, and
//! removes it again. Were it frozen, it could not be removed; were it moved away, the sandbox would not start. It holds nothing, so it
//! is left, and looked at again until something is in it. Where there can be no sandbox, nothing is left.

#![forbid(unsafe_code)]

use super::{Cause, Name, Phase, Watchman};
use crate::keeper::files;
use crate::keeper::listing;
use crate::keeper::tree::{POLL, Spot};
use crate::plan::Plan;
use crate::plan::rung::Rung;
use nix::errno::Errno;
use nix::sys::stat::SFlag;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The most names that are left; the others are frozen.
const MOST: usize = 1_000;

/// What was left, by the host's path.
pub(super) struct Stubs {
    left: BTreeMap<PathBuf, (Spot, OsString)>,
    next: Instant,
}

impl Stubs {
    /// `None` where no sandbox can be made within.
    pub(super) fn of(plan: &Plan) -> Option<Stubs> {
        (plan.standing.rung == Rung::Nested).then(|| Stubs {
            left: BTreeMap::new(),
            next: Instant::now(),
        })
    }
}

impl Watchman<'_> {
    /// Whether a name that would be frozen is left: there is nothing in it.
    pub(super) fn leaves(&mut self, it: &Name<'_>, file: &Path) -> bool {
        // What is frozen already is no mount point of the box's own.
        if self.stubs.is_none() || self.phase == Phase::Before || self.frozen.contains_key(file) {
            return false;
        }
        let empty = self.is_empty(it).unwrap_or(false);
        let Some(stubs) = &mut self.stubs else {
            return false;
        };
        if !empty || stubs.left.len() >= MOST {
            stubs.left.remove(file);
            return false;
        }
        if stubs.left.is_empty() {
            stubs.next = Instant::now() + POLL;
        }
        let at = (it.spot.clone(), it.name.to_owned());
        stubs.left.insert(file.to_owned(), at);
        // What is still there at the end is settled like everything under such a name.
        self.outbox.touched(file.to_owned());
        true
    }

    fn is_empty(&self, it: &Name<'_>) -> Result<bool, Errno> {
        let place = self.places.get(it.spot.place).ok_or(Errno::ENOENT)?;
        let dir = place.open_dir(&it.spot.rel)?;
        let stat = files::stat(dir.as_fd(), it.name)?;
        if files::is(&stat, SFlag::S_IFDIR) {
            return Ok(listing::list(place.open_dir(&it.rel())?).is_empty());
        }
        Ok(files::is(&stat, SFlag::S_IFREG) && stat.st_size == 0)
    }

    /// When what was left is looked at again.
    pub(in crate::keeper) fn stubs_due(&self) -> Option<Instant> {
        let stubs = self.stubs.as_ref()?;
        (!stubs.left.is_empty()).then_some(stubs.next)
    }

    /// Looks at it, if it is time.
    ///
    /// # Errors
    /// A name that cannot be closed.
    pub(super) fn look_at_stubs(&mut self) -> Result<(), String> {
        if self.stubs_due().is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        let Some(stubs) = &mut self.stubs else {
            return Ok(());
        };
        for (spot, name) in std::mem::take(&mut stubs.left).into_values() {
            let Some((what, linked)) = self.what(&spot, &name) else {
                continue;
            };
            self.name(&Name {
                spot: &spot,
                name: &name,
                what,
                cause: Cause::Made,
                linked,
            })?;
        }
        Ok(())
    }
}
