//! Looking again: at a path that leads elsewhere since something on it moved, and at everything when events were lost.

#![forbid(unsafe_code)]

use super::look::{self, Cause, Look, Tripped};
use super::walk::{End, Identity};
use super::{Switches, Watched};
use std::time::{Duration, Instant};

/// How often a directory may be replaced by another within [`WINDOW`]. Whoever does it faster could have a stop file made in
/// one that is never looked at.
const REPLACED: u32 = 16;
const WINDOW: Duration = Duration::from_secs(10);

/// Which walk of a path it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    /// At the start.
    First,
    /// Because something on it has moved.
    Again,
}

impl Switches {
    /// Follows a path anew and looks there.
    pub(super) fn walk_again(&mut self, number: usize) -> Option<Tripped> {
        let original = self.places.get(number)?.original;
        for (watch, roles) in &mut self.roles {
            roles.entries.retain(|(_, place)| *place != number);
            roles.steps.retain(|place| *place != number);
            roles
                .stops
                .retain(|place| *place != number || Some(*watch) == original);
        }
        let before = self.places.get(number)?.now;
        let end = self.walk(number);
        self.settle(number, end, Walk::Again);
        let inotify = self.inotify.clone()?;
        self.roles.retain(|watch, roles| {
            let keep = !roles.is_empty();
            if !keep {
                inotify.unwatch(*watch);
            }
            keep
        });
        if let Some(tripped) = self.look(number) {
            return Some(tripped);
        }
        let place = self.places.get_mut(number)?;
        let same = |a: &Identity, b: &Identity| (a.dev, a.ino) == (b.dev, b.ino);
        let replaced = match (&before, &place.now) {
            (Some(before), Some(now)) => !same(before, now),
            (None, None) => false,
            _ => true,
        };
        if replaced {
            if place.replaced.1.elapsed() > WINDOW {
                place.replaced = (0, Instant::now());
            }
            place.replaced.0 += 1;
            if place.replaced.0 > REPLACED {
                let file = place.names.first().and_then(|(_, n)| self.files.get(*n));
                return Some(Tripped::new(file, Cause::Replaced));
            }
        }
        None
    }

    /// Takes note of where a walk has come to.
    pub(super) fn settle(&mut self, number: usize, end: End, walk: Walk) {
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        match end {
            End::Here { watch, identity } => {
                if walk == Walk::First {
                    place.original = Some(watch);
                }
                place.current = Some(watch);
                place.now = Some(identity);
                place.stale = false;
            }
            End::Missing => (place.current, place.now) = (None, None),
            End::Unwatched { why } => {
                (place.current, place.now) = (None, None);
                place.watched = Watched::Polled { why };
            }
        }
    }

    /// Looks for the stop files of a place by their paths.
    pub(super) fn look(&self, number: usize) -> Option<Tripped> {
        let place = self.places.get(number)?;
        place.names.iter().find_map(|(_, number)| {
            let file = self.files.get(*number)?;
            match look::look(file.file.path()) {
                Look::Nothing => None,
                Look::There => Some(Tripped::new(Some(file), Cause::Found)),
                Look::Unknown(errno) => Some(Tripped::new(Some(file), Cause::Unknown(errno))),
            }
        })
    }

    /// Events were lost. A directory that is what it was, to its last change, cannot have had one in it; of any other that
    /// cannot be excluded.
    pub(super) fn overflow(&mut self) -> Option<Tripped> {
        for number in 0..self.places.len() {
            let (dir, before, sure) = {
                let place = self.places.get(number)?;
                if matches!(place.watched, Watched::Polled { .. }) {
                    continue;
                }
                // The box may be in a directory that the path does not lead to any more.
                let moved = place.original.is_some() && place.original != place.current;
                (place.dir.clone(), place.now, !place.stale && !moved)
            };
            if let Some(tripped) = self.look(number) {
                return Some(tripped);
            }
            let same = before.is_some() && Identity::of(&dir).ok() == before;
            let still_missing = before.is_none() && matches!(look::look(&dir), Look::Nothing);
            if !sure || (!same && !still_missing) {
                let place = self.places.get(number)?;
                let file = place.names.first().and_then(|(_, n)| self.files.get(*n));
                return Some(Tripped::new(file, Cause::Overflow));
            }
            // What was lost may have been a step of the path that moved.
            if let Some(tripped) = self.walk_again(number) {
                return Some(tripped);
            }
        }
        None
    }

    /// Every event was read: the directories are known as they are now.
    pub(super) fn calm(&mut self) {
        for place in &mut self.places {
            if std::mem::take(&mut place.stale) {
                // Gone, or another one: the events that say so come, and until then nothing is excluded.
                place.now = match (Identity::of(&place.dir), place.now) {
                    (Ok(now), Some(before)) if (now.dev, now.ino) == (before.dev, before.ino) => {
                        Some(now)
                    }
                    (_, before) => before,
                };
            }
        }
    }
}
