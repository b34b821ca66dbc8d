//! Files that run something by what is in them, and that the box can write: git's configuration, and frozen names that are not
//! mount points or were written under another name before. They are watched themselves, by whatever name they are written.

#![forbid(unsafe_code)]

use super::{Name, Phase, Watchman};
use crate::keeper::files;
use crate::keeper::inodes::Found;
use crate::keeper::tree::{Happened, POLL, Spot, Within};
use crate::keeper::view::Inode;
use crate::plan::Access;
use nix::errno::Errno;
use nix::sys::stat::fstat;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The most files of which more is known than that they are there.
const MOST: usize = 20_000;

/// How far the clock of a file system may be behind.
const COARSE: Duration = Duration::from_millis(20);

/// What a file was: its inode, and when it was changed.
type Stamp = (Inode, (i64, i64));

/// What is known of such files.
pub(super) struct Writers {
    /// What was changed before is as the start has seen it.
    since: (i64, i64),
    /// What was there when it was looked at last.
    seen: HashMap<PathBuf, Stamp>,
    /// Those that cannot be watched: they are looked at again and again.
    unwatched: BTreeMap<PathBuf, (Spot, OsString)>,
    next: Instant,
}

impl Writers {
    pub(super) fn new() -> Writers {
        Writers {
            since: coarse_now(),
            seen: HashMap::new(),
            unwatched: BTreeMap::new(),
            next: Instant::now(),
        }
    }

    /// Can this one not be watched so far?
    pub(super) fn waits(&self, file: &Path) -> bool {
        self.unwatched.contains_key(file)
    }

    /// When those that cannot be watched are looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.unwatched.is_empty()).then_some(self.next)
    }
}

/// What a file that is changed from now on has as its time, at the least.
fn coarse_now() -> (i64, i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().saturating_sub(COARSE);
    (
        i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        i64::from(now.subsec_nanos()),
    )
}

/// Whether everything that is written into a file is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Yes,
    /// The same from now on. It was written a moment ago, or somebody has it open to do so, which made no event.
    Written,
    /// It cannot be watched: it is looked at, several times a second.
    Later,
}

impl Watchman<'_> {
    /// Watches the file that has this name now.
    pub(super) fn watch_writers(&mut self, it: &Name<'_>, file: &Path) -> Told {
        let place = self.places.get(it.spot.place);
        if place.is_none_or(|place| place.access == Access::Read) {
            return Told::Yes;
        }
        let began = coarse_now();
        let told = match self.tree.watch_inode(&self.places, it.spot, it.name) {
            Ok(Found::Open) => Told::Written,
            Ok(Found::Still { changed }) if changed >= began => Told::Written,
            // What is gone, or became something else, made an event.
            Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Told::Yes,
            Err(_) => Told::Later,
        };
        let writers = &mut self.writers;
        if told != Told::Later {
            writers.unwatched.remove(file);
            return told;
        }
        if writers.unwatched.is_empty() {
            writers.next = Instant::now() + POLL;
        }
        if writers.waits(file) || writers.unwatched.len() < MOST {
            let at = (it.spot.clone(), it.name.to_owned());
            writers.unwatched.insert(file.to_owned(), at);
        }
        told
    }

    /// The name is gone.
    pub(super) fn forget_writers(&mut self, spot: &Spot, file: &Path) {
        self.writers.unwatched.remove(file);
        let name = file.file_name().unwrap_or_default();
        self.tree.forget_inode(spot.place, &spot.rel.join(name));
    }

    /// Something happened to a watched file.
    pub(super) fn inode_event(&mut self, event: &Happened) {
        for (number, rel) in self.tree.written(event) {
            let place = self.places.get(number);
            let file = place.map_or_else(PathBuf::new, |place| place.path.join(&rel));
            self.was_written(file);
        }
        for (number, rel) in self.tree.unheld(event) {
            let (Some(place), Some(name)) = (self.places.get(number), rel.file_name()) else {
                continue;
            };
            let file = place.path.join(&rel);
            let spot = Spot {
                place: number,
                rel: rel.parent().unwrap_or(Path::new("")).to_owned(),
                cursor: place.start.clone(),
                within: Within::Rules,
            };
            if self.watch_writers(&Name::listed(&spot, name), &file) != Told::Yes {
                self.was_written(file);
            }
        }
    }

    fn was_written(&mut self, file: PathBuf) {
        if !self.is_born(&file) {
            self.outbox.now(file);
        }
    }

    /// Watches a git configuration, and has it looked at if it was opened for writing before.
    pub(super) fn watch_config(&mut self, it: &Name<'_>, file: &Path) {
        if self.watch_writers(it, file) == Told::Written && self.phase == Phase::Running {
            self.was_written(file.to_owned());
        }
    }

    /// Was a file changed since the start, and since it was looked at last?
    pub(super) fn is_younger(&mut self, spot: &Spot, file: &Path) -> bool {
        let place = self.places.get(spot.place);
        let (Some(dir), Some(name)) = (
            place.and_then(|place| place.open_dir(&spot.rel).ok()),
            file.file_name(),
        ) else {
            return true;
        };
        let Ok(stat) = files::stat(dir.as_fd(), name) else {
            return true;
        };
        let changed = (stat.st_ctime, stat.st_ctime_nsec);
        let now = ((stat.st_dev, stat.st_ino), changed);
        let writers = &mut self.writers;
        match writers.seen.get_mut(file) {
            Some(before) => std::mem::replace(before, now) != now,
            None => {
                if writers.seen.len() < MOST {
                    writers.seen.insert(file.to_owned(), now);
                }
                changed >= writers.since || self.has_moved_in(spot)
            }
        }
    }

    /// May another directory have a name on the way to this one since the start? What is in it is older then. To be renamed
    /// changes a directory, but so does each name that is made in it.
    fn has_moved_in(&self, spot: &Spot) -> bool {
        let since = self.writers.since;
        let Some(place) = self.places.get(spot.place) else {
            return true;
        };
        let way = spot
            .rel
            .ancestors()
            .filter(|dir| !dir.as_os_str().is_empty());
        way.into_iter().any(|dir| {
            let stat = place.open_dir(dir).and_then(|dir| fstat(&dir));
            stat.map_or(true, |stat| (stat.st_ctime, stat.st_ctime_nsec) >= since)
        })
    }

    /// Looks at what cannot be watched, if it is time.
    pub(super) fn look_at_writers(&mut self) {
        if self.writers.due().is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.writers.next = Instant::now() + POLL;
        for (file, (spot, name)) in self.writers.unwatched.clone() {
            let it = Name::listed(&spot, &name);
            // What was written until it is watched is not told.
            let told = self.watch_writers(&it, &file) != Told::Later;
            if self.is_younger(&spot, &file) || told {
                self.was_written(file);
            }
        }
    }
}
