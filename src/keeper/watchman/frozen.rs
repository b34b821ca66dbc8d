//! A name that becomes read-only, and whose content that is.

#![forbid(unsafe_code)]

use super::{Cause, Name, Phase, Told, Watchman};
use crate::keeper::listing::What;
use crate::keeper::place;
use crate::keeper::tree::Filled;
use crate::keeper::view::{Covered, Stay};
use crate::plan::Access;
use crate::plan::names::NameKind;
use nix::sys::inotify::AddWatchFlags;
use std::path::Path;

impl Watchman<'_> {
    pub(super) fn freeze(&mut self, it: &Name<'_>, file: &Path) -> Result<Covered, String> {
        let rel = it.rel();
        let Some(place) = self.places.get(it.spot.place) else {
            return Ok(Covered::Gone);
        };
        if place.access == Access::Read || self.is_born(file) {
            return Ok(Covered::Already);
        }
        let Some(view) = &self.view else {
            self.early
                .insert((it.spot.place, rel.clone(), NameKind::Freeze));
            if it.what != What::Link {
                self.frozen.entry(file.to_owned()).or_default();
            }
            return Ok(Covered::Already);
        };
        // A second event may speak of a name that is looked at already.
        let known = self.frozen.contains_key(file) && !self.secrets.is_suspect(file);
        let stay = if self.phase == Phase::Before || known {
            Stay::Here
        } else {
            Stay::NotForLong
        };
        let (covered, inode) = view
            .freeze(place, &rel, stay)
            .map_err(|errno| format!("{} cannot be frozen: {errno}", file.display()))?;
        if self.phase == Phase::Before {
            // A link is no mount point: the box can replace it by another one.
            if covered != Covered::Link {
                self.frozen.insert(file.to_owned(), inode);
            }
            return Ok(covered);
        }
        match covered {
            Covered::Gone | Covered::Link => return Ok(covered),
            // Frozen as it was, or again because an earlier event spoke of it.
            Covered::Already if self.frozen.contains_key(file) => return Ok(covered),
            Covered::Already | Covered::Now => {}
        }
        let told = self.watch_writers(it, file);
        let Some(place) = self.places.get(it.spot.place) else {
            return Ok(Covered::Gone);
        };
        let writer = place::has_writer(place, &rel);
        // Everything that happened before the name was closed has been told by now, if that was all.
        let all = self.tree.fill() == Filled::All;
        let meanwhile = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM;
        let hosts = all
            && told != Told::Later
            && it.cause == Cause::MovedIn
            && self.frozen.contains_key(file)
            && !self.tree.is_waiting(it.spot, it.name, meanwhile)
            && writer == Ok(false)
            // Another name of it is one that the box can write by.
            && matches!(self.what(it.spot, it.name), Some((_, None)));
        self.frozen.insert(file.to_owned(), inode);
        if hosts {
            self.renewed.insert(file.to_owned());
            self.outbox.frozen(file.to_owned(), inode);
        } else {
            // It may be the box's: closed all the same, and looked at.
            self.outbox.now(file.to_owned());
            self.secrets.suspect(file, (it.spot.place, rel));
        }
        Ok(covered)
    }
}
