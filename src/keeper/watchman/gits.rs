//! What the keeper knows of git directories: which are born in the session, and which have another name than `.git`.

#![forbid(unsafe_code)]

use super::{Cause, Name, Phase, Watchman};
use crate::keeper::listing::{self, What};
use crate::keeper::place::Place;
use crate::keeper::tree::Spot;
use crate::keeper::{git, search};
use crate::plan::Access;
use crate::plan::names::git::Shape;
use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

impl Watchman<'_> {
    /// The directory with the rules about git directories, if it is one by what is in it.
    pub(super) fn as_git(&mut self, spot: Spot, names: &[(OsString, What)]) -> Spot {
        let mut shape = Shape::default();
        for (name, _) in names {
            shape.see(name.as_bytes());
        }
        if shape.is_git() {
            self.now_git(&spot).unwrap_or(spot)
        } else {
            spot
        }
    }

    /// A directory that is a git directory, and was not known to be one.
    fn now_git(&mut self, spot: &Spot) -> Option<Spot> {
        let place = self.places.get(spot.place)?;
        let dir = place.path.join(&spot.rel);
        let cursor = place.matcher.as_git(&spot.cursor, &dir);
        if cursor == spot.cursor {
            return None;
        }
        // Not the working copy itself, whose other names would be the repository's then.
        if !spot.rel.as_os_str().is_empty() {
            self.birth(&dir);
        }
        let spot = Spot {
            cursor,
            ..spot.clone()
        };
        self.tree.watch_closely(&self.places, &spot);
        Some(spot)
    }

    /// A name that makes a git directory of the one that it is in.
    pub(super) fn shapes(&mut self, spot: &Spot) -> Result<(), String> {
        let dir = self
            .places
            .get(spot.place)
            .and_then(|place| place.open_dir(&spot.rel).ok());
        if dir.is_some_and(|dir| listing::is_git(dir.as_fd()))
            && let Some(spot) = self.now_git(spot)
        {
            let names = self.tree.list_again(&self.places, &spot);
            self.names(&spot, names)?;
        }
        Ok(())
    }

    pub(super) fn track(&mut self, spot: &Spot, file: &Path, cause: Cause) {
        if self.phase == Phase::Before || self.is_born(file) {
            return;
        }
        // Listed only now, in a large tree, or where events were lost: it may have been changed before it was watched.
        let old = cause == Cause::Listed && self.tracked.contains(file);
        if self.is_config(spot, file) && (!old || self.is_younger(spot, file)) {
            self.outbox.now(file.to_owned());
        } else {
            self.outbox.touched(file.to_owned());
        }
    }

    /// Is it the configuration of a git directory?
    pub(super) fn is_config(&self, spot: &Spot, file: &Path) -> bool {
        git::is_config(file)
            || git::is_named_config(file)
                && self.places.get(spot.place).is_some_and(|place| {
                    let dir = place.path.join(&spot.rel);
                    git::is_as_git(&place.matcher, &spot.cursor, &dir)
                })
    }

    /// A git directory is born, unless it is known.
    pub(super) fn birth(&mut self, dir: &Path) {
        if self.phase == Phase::Running && !self.born.contains(dir) && !self.has_found_below(dir) {
            self.born.insert(dir.to_owned());
            self.outbox.born(dir.to_owned());
        }
    }

    fn has_found_below(&self, dir: &Path) -> bool {
        self.frozen.keys().any(|file| file.starts_with(dir))
            || self.tracked.iter().any(|file| file.starts_with(dir))
    }

    pub(super) fn is_born(&self, file: &Path) -> bool {
        let below = |dir: &Path| file.strip_prefix(dir).is_ok_and(git::is_gits);
        !self.born.is_empty()
            && file
                .ancestors()
                .any(|dir| self.born.contains(dir) && below(dir))
    }

    /// A link that may be the box's: where it leads is looked at in the end. But for one through which git outside writes meanwhile:
    /// the message of a commit that the user makes while the box runs.
    pub(super) fn link(&mut self, it: &Name<'_>, file: &Path) {
        let writable = |place: &Place| place.access == Access::Write;
        if it.what != What::Link
            || self.phase != Phase::Running
            || !self.places.get(it.spot.place).is_some_and(writable)
        {
            return;
        }
        // Listed when the command ran already, and there before: it is the user's, also if something was made beside it since.
        if it.cause == Cause::Listed && !self.is_younger(it.spot, file) {
            return;
        }
        let place = self.places.get(it.spot.place);
        // Of the links in a directory that is never searched only those on the way to a name.
        let on_the_way = place.is_some_and(|place| {
            let next = place
                .matcher
                .enter(&it.spot.cursor, it.name.as_bytes())
                .is_some_and(|next| place.matcher.is_inside(&next));
            next && search::is_on_the_way(self.rules, file)
        });
        if on_the_way || self.is_gits_to_write(it.spot, file) {
            self.outbox.now(file.to_owned());
        } else if !it.spot.cursor.is_spelled() {
            self.outbox.touched(file.to_owned());
        }
    }

    /// Does git write there? In a repository that the session has made nobody commits as yet but the box.
    fn is_gits_to_write(&self, spot: &Spot, file: &Path) -> bool {
        let Some(place) = self.places.get(spot.place) else {
            return false;
        };
        if self.born.iter().any(|dir| file.starts_with(dir)) {
            return false;
        }
        let is_git = |dir: &Path| {
            let way = dir.strip_prefix(&place.path);
            way.is_ok_and(|way| {
                let dir = place.open_dir(way);
                dir.is_ok_and(|dir| listing::is_git(dir.as_fd()))
            })
        };
        let ways = file.ancestors().skip(1);
        let mut ways = ways
            .filter_map(|dir| Some((dir, file.strip_prefix(dir).ok()?)))
            .filter(|(_, rel)| git::is_written(rel, git::Whose::Known))
            .filter(|(dir, _)| is_git(dir))
            .peekable();
        // git-annex makes the links that it adds to the working copy in a directory of its own there.
        ways.peek().is_some() && ways.all(|(_, rel)| !rel.starts_with("annex"))
    }

    /// Something that stands where a rule's name would be, and may be the box's.
    pub(super) fn suspect(&mut self, it: &Name<'_>, file: &Path) {
        let writable = self
            .places
            .get(it.spot.place)
            .is_some_and(|place| place.access == Access::Write);
        let known = self.frozen.contains_key(file) || self.tracked.contains(file);
        if self.phase == Phase::Running && writable && !known && !self.is_born(file) {
            self.outbox.now(file.to_owned());
        }
    }
}
