//! Hidden names: what is masked, by what, and what is shown again.
//!
//! Whose file is it that appears under a hidden name? The kernel does not say it to an unprivileged process: no event of the
//! file system has a pid or a mount in it. So every one is taken for the host's and masked at once. What the box cannot have
//! made reads as empty, as at the start. Anything else can be opened by nobody, so that git stops instead of committing
//! nothing; and it is shown where its content is in the object store of its repository, since the box can read it there
//! (`git checkout`, `git clone`). That is decided for this one inode: the next one under the name is masked again, and so is this
//! one when somebody writes into it, where git has its content under another name (`cp .env.example .env`).

#![forbid(unsafe_code)]

use super::{Cause, Name, Phase, Watchman};
use crate::keeper::listing::What;
use crate::keeper::message::{Known, Until};
use crate::keeper::place::{self, Place};
use crate::keeper::tree::{Happened, Spot};
use crate::keeper::view::{Covered, Inode, Mask};
use crate::plan::names::{Decision, How, NameKind, Names};
use crate::plan::{Access, Kind, OsText};
use nix::errno::Errno;
use nix::sys::inotify::AddWatchFlags;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// The most files that wait to be shown.
const MOST: usize = 20_000;

/// What is known of hidden files.
#[derive(Default)]
pub(super) struct Secrets {
    /// How those of the start were masked.
    masks: HashMap<PathBuf, Mask>,
    /// The inodes of hidden files, and a name of each: under another one they are the same secret. The number of an inode
    /// that is gone is given to the next file, so a number counts only while its name has it.
    inodes: HashMap<Inode, (usize, PathBuf)>,
    /// Masked in the session where the box can write: the directory.
    doubtful: HashMap<PathBuf, Spot>,
    /// Shown, as long as they are what was looked at.
    shown: HashMap<PathBuf, Known>,
    /// Files that a rule hides for their content: the directory of those that are looked into, ...
    unread: HashMap<PathBuf, Spot>,
    /// ... what those were that held nothing of that kind, ...
    read: HashMap<PathBuf, Known>,
    /// ... and those that did.
    holding: HashSet<PathBuf>,
    /// There was no room for some.
    left_out: bool,
    /// Of the directory that was listed last it is known when files are written.
    ends: bool,
    /// Frozen names that appeared in the session and are looked at: the place and the path below it.
    suspects: HashMap<PathBuf, (usize, PathBuf)>,
    /// Those that were what a commit had there: ordinary files, until somebody writes them.
    thawed: HashSet<PathBuf>,
}

impl Secrets {
    /// What the plan has hidden.
    pub(super) fn of(names: &Names, places: &[Place]) -> Secrets {
        let mut secrets = Secrets::default();
        let hidden = names.found.iter().filter(|f| f.kind == NameKind::Hide);
        for found in hidden {
            let file = found.host.path();
            let mask = match found.how {
                How::Refused => Mask::Refused,
                _ => Mask::Empty,
            };
            secrets.masks.insert(file.to_owned(), mask);
            let at = places.iter().enumerate().find_map(|(number, place)| {
                let rel = file.strip_prefix(&place.path).ok()?;
                Some((number, place, rel.to_owned()))
            });
            if let Some((number, place, rel)) = at.filter(|_| found.dir == Kind::File)
                && let Ok(inode) = place::inode(place, &rel)
            {
                secrets.inodes.insert(inode, (number, rel));
            }
        }
        secrets
    }

    /// Another directory was listed.
    pub(super) fn listing(&mut self) {
        self.ends = false;
    }

    /// Has the start hidden it?
    pub(super) fn is_known(&self, file: &Path) -> bool {
        self.masks.contains_key(file)
    }

    /// A frozen name that appeared in the session.
    pub(super) fn suspect(&mut self, file: &Path, at: (usize, PathBuf)) {
        self.thawed.remove(file);
        if self.suspects.len() < MOST {
            self.suspects.insert(file.to_owned(), at);
        }
    }

    /// Does it wait to be looked at?
    pub(super) fn is_suspect(&self, file: &Path) -> bool {
        self.suspects.contains_key(file)
    }

    /// It is gone.
    pub(super) fn forget(&mut self, file: &Path) {
        self.suspects.remove(file);
        self.thawed.remove(file);
    }
}

impl Watchman<'_> {
    /// A name has appeared, or a file of that name was written: where a rule is about the content it is looked into, since the keeper
    /// reads none. What existed at the start was then; when it is written matters.
    pub(super) fn look_into(&mut self, it: &Name<'_>, file: &Path, said: &Decision) {
        let may_hold = said.hide.is_none() && said.hide_if.is_some();
        if it.what != What::Other || !may_hold || self.secrets.is_known(file) {
            return;
        }
        // Once for each listing.
        if it.cause != Cause::Listed || !std::mem::replace(&mut self.secrets.ends, true) {
            self.tree.watch_ends(&self.places, it.spot);
        }
        if it.cause == Cause::Listed {
            let same = |place: &Place| {
                let read = self.secrets.read.get(file);
                read.is_some_and(|known| place::is_as_known(place, &it.rel(), known))
            };
            if self.phase == Phase::Before || self.places.get(it.spot.place).is_some_and(same) {
                return;
            }
        }
        if self.outbox.read(file) {
            self.secrets.unread.insert(file.to_owned(), it.spot.clone());
        } else {
            self.secrets.left_out = true;
        }
    }

    /// Files for which there was no room are found again when there is.
    pub(super) fn look_into_the_rest(&mut self) {
        if self.secrets.left_out && self.outbox.has_read_all() && !self.tree.is_behind() {
            self.secrets.left_out = false;
            self.everything_again();
        }
    }

    /// The directory of a file that was looked into. One that was written meanwhile will be again.
    fn was_read(&mut self, file: &Path) -> Option<Spot> {
        if self.outbox.waits(file) {
            return self.secrets.unread.get(file).cloned();
        }
        self.secrets.unread.remove(file)
    }

    /// Closes files that were looked into and hold what a rule hides.
    ///
    /// # Errors
    /// One that cannot be closed.
    pub(in crate::keeper) fn close_secrets(&mut self, secret: &[OsText]) -> Result<(), String> {
        for file in secret {
            let file = file.path();
            let Some(spot) = self.was_read(file) else {
                continue;
            };
            // From now on the name is as one that the start has found.
            let mask = self.mask_of(spot.place, file);
            self.secrets.masks.insert(file.to_owned(), mask);
            self.secrets.holding.insert(file.to_owned());
            let Some(name) = file.file_name() else {
                continue;
            };
            let it = Name {
                spot: &spot,
                name,
                what: What::Other,
                cause: Cause::Listed,
                linked: None,
            };
            self.name(&it)?;
        }
        Ok(())
    }

    /// Is the rule about what is there?
    pub(super) fn hides(&self, it: &Name<'_>, rule: usize, file: &Path) -> bool {
        let Some(rule) = self.rules.get(rule) else {
            return false;
        };
        // A rule about the content: the start looked into the file, the keeper reads none.
        if rule.holds.is_some() {
            return self.secrets.is_known(file);
        }
        if rule.is_builtin() && self.shown.contains(file) {
            return false;
        }
        // A Python environment that is called `.env` is no secret, and nothing would run without it.
        !(rule.is_builtin() && it.what == What::Dir && self.holds(it, "pyvenv.cfg"))
    }

    fn holds(&self, it: &Name<'_>, inner: &str) -> bool {
        let place = self.places.get(it.spot.place);
        place.is_some_and(|place| place::inode(place, &it.rel().join(inner)).is_ok())
    }

    /// Closes a name that is hidden.
    ///
    /// # Errors
    /// It cannot be closed.
    pub(super) fn hide(&mut self, it: &Name<'_>, file: &Path, rule: usize) -> Result<(), String> {
        let rel = it.rel();
        let Some(place) = self.places.get(it.spot.place) else {
            return Ok(());
        };
        if self.view.is_none() {
            self.early.insert((it.spot.place, rel, NameKind::Hide));
            return Ok(());
        }
        if let Some(known) = self.secrets.shown.get(file)
            && match known.until {
                Until::Replaced => place::inode(place, &rel) == Ok(known.inode),
                Until::Written => place::is_as_known(place, &rel, known),
            }
        {
            return Ok(());
        }
        let builtin = self.rules.get(rule).is_some_and(|rule| rule.is_builtin());
        let (covered, inode) = self
            .mask(it.spot.place, &rel, file)
            .map_err(|errno| format!("{} cannot be hidden: {errno}", file.display()))?;
        if covered != Covered::Now || self.phase != Phase::Running {
            return Ok(());
        }
        match self.mask_of(it.spot.place, file) {
            Mask::Empty => self.outbox.masked(file.to_owned()),
            Mask::Refused => self.outbox.shut(file.to_owned()),
        }
        let is_file = it.what == What::Other;
        if let Some(inode) = inode.filter(|_| is_file) {
            let at = (it.spot.place, rel.clone());
            self.secrets.inodes.insert(inode, at);
        }
        let writable = self.mask_of(it.spot.place, file) == Mask::Refused;
        if is_file && writable {
            self.outbox.held(file);
        }
        if is_file && builtin && writable && self.secrets.doubtful.len() < MOST {
            self.secrets
                .doubtful
                .insert(file.to_owned(), it.spot.clone());
            self.secrets.shown.remove(file);
            // It may be half written: it is asked about again when its writer has closed it.
            self.tree.watch_ends(&self.places, it.spot);
            self.outbox.judge(file.to_owned());
        }
        Ok(())
    }

    /// By what a name is covered: as at the start, or so that nothing empty is committed.
    fn mask_of(&self, place: usize, file: &Path) -> Mask {
        let read_only = self
            .places
            .get(place)
            .is_none_or(|place| place.access == Access::Read);
        let made = if read_only {
            Mask::Empty
        } else {
            Mask::Refused
        };
        self.secrets.masks.get(file).copied().unwrap_or(made)
    }

    /// Puts the mask over a name.
    pub(super) fn mask(
        &self,
        place: usize,
        rel: &Path,
        file: &Path,
    ) -> Result<(Covered, Option<Inode>), Errno> {
        let mask = self.mask_of(place, file);
        match (&self.view, self.places.get(place)) {
            (Some(view), Some(place)) => view.mask(place, rel, mask),
            _ => Ok((Covered::Gone, None)),
        }
    }

    /// A file that appeared under a name that no rule hides, with an inode that is hidden under another one.
    ///
    /// # Errors
    /// It cannot be closed.
    pub(super) fn alias(&mut self, it: &Name<'_>, file: &Path) -> Result<bool, String> {
        let hidden = it.linked.is_some_and(|inode| {
            let known = self.secrets.inodes.get(&inode);
            known.is_some_and(|(number, rel)| {
                let place = self.places.get(*number);
                place.is_some_and(|place| place::inode(place, rel) == Ok(inode))
            })
        });
        if !hidden {
            return Ok(false);
        }
        let covered = self
            .mask(it.spot.place, &it.rel(), file)
            .map_err(|errno| format!("{} cannot be hidden: {errno}", file.display()))?;
        if covered.0 == Covered::Now && self.phase == Phase::Running {
            self.outbox.masked(file.to_owned());
        }
        Ok(true)
    }

    /// A file that was written to is closed: if it waits, it is looked at again.
    pub(super) fn written(&mut self, file: &Path) {
        if self.secrets.doubtful.contains_key(file) {
            self.outbox.judge(file.to_owned());
            self.outbox.held(file);
        }
        if self.secrets.suspects.contains_key(file) || self.secrets.thawed.contains(file) {
            self.outbox.now(file.to_owned());
        }
    }

    /// Somebody has written into a file, or has closed it: one that was shown for its content alone is closed again, and looked at
    /// anew.
    ///
    /// # Errors
    /// It cannot be closed.
    pub(super) fn overwritten(
        &mut self,
        event: &Happened,
        spot: &Spot,
        file: &Path,
    ) -> Result<(), String> {
        let shown = self.secrets.shown.get(file);
        let (Some(known), Some(place), Some(name)) = (
            shown.filter(|known| known.until == Until::Written),
            self.places.get(spot.place),
            file.file_name(),
        ) else {
            return Ok(());
        };
        // Of what is written through a mapping only the end is an event. That one says nothing of whether it was; else the clock of
        // the file system may be too coarse to tell.
        if !event.has(AddWatchFlags::IN_MODIFY)
            && place::is_as_known(place, &spot.rel.join(name), known)
        {
            return Ok(());
        }
        self.secrets.shown.remove(file);
        self.name(&Name::listed(spot, name))
    }

    /// Takes the masks off what is no secret from the box, if it still is what was looked at.
    ///
    /// # Errors
    /// A name that cannot be closed again.
    pub(in crate::keeper) fn show(&mut self, known: &[Known]) -> Result<(), String> {
        for known in known {
            let file = known.file.path();
            if self.was_read(file).is_some() && self.secrets.read.len() < MOST {
                self.secrets.read.insert(file.to_owned(), known.clone());
            }
            if let Some((number, rel)) = self.secrets.suspects.get(file).cloned()
                // Who writes it later would not be told.
                && !self.writers.waits(file)
                && let (Some(view), Some(place)) = (&self.view, self.places.get(number))
            {
                let thawed = view.thaw(place, &rel, known);
                if thawed.map_err(|errno| format!("{}: {errno}", file.display()))? {
                    self.frozen.remove(file);
                    self.secrets.suspects.remove(file);
                    self.secrets.thawed.insert(file.to_owned());
                }
                continue;
            }
            let Some(spot) = self.secrets.doubtful.get(file).cloned() else {
                continue;
            };
            let (Some(view), Some(place)) = (&self.view, self.places.get(spot.place)) else {
                continue;
            };
            let rel = spot.rel.join(file.file_name().unwrap_or_default());
            if known.until == Until::Written {
                // Before: what is written from now on is an event, and what was written until then has made it a younger file.
                self.tree.watch_closely(&self.places, &spot);
            }
            match view.uncover(place, &rel, known) {
                Ok(true) => {
                    self.secrets.doubtful.remove(file);
                    self.outbox.free(file);
                    // A link to the other kind stays closed: its name says nothing of what is written through it.
                    if known.until == Until::Replaced {
                        self.secrets.inodes.remove(&known.inode);
                    }
                    if self.secrets.holding.remove(file) {
                        // It is looked into again when it was written.
                        self.secrets.masks.remove(file);
                    } else {
                        self.secrets.shown.insert(file.to_owned(), known.clone());
                    }
                }
                // Another one by now: it is masked as it appeared, or here.
                Ok(false) => {
                    self.mask(spot.place, &rel, file)
                        .map_err(|errno| format!("{} cannot be hidden: {errno}", file.display()))?;
                }
                Err(errno) => {
                    return Err(format!("{} cannot be shown: {errno}", file.display()));
                }
            }
        }
        Ok(())
    }
}
