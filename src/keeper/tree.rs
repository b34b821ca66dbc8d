//! [`Tree`]: which directories are watched (inotify(7)), and what happens in them. A directory is watched first and listed
//! after, so that nothing is made unseen in between.

#![forbid(unsafe_code)]

use super::inodes::{At, Found, Inodes};
use super::listing::{What, list};
use super::place::Place;
use crate::plan::names::matcher::{self, Cursor};
use crate::sys::inotify::{Inotify, Read};
use nix::errno::Errno;
use nix::sys::inotify::AddWatchFlags;
use nix::sys::stat::fstat;
use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a directory that cannot be watched is looked at.
pub(super) const POLL: Duration = Duration::from_millis(200);

/// The most directories that are watched.
const MOST: usize = 200_000;

/// Why a directory or file is not watched.
const USED_UP: &str = "the user's inotify watches are used up";

/// What appears.
const APPEAR: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_ONLYDIR);

/// And, where names are frozen or tracked, what happens to them.
const CLOSELY: AddWatchFlags = APPEAR
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_MODIFY)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_FROM);

/// A watched directory.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    /// Which place.
    pub(super) place: usize,
    /// The path below it.
    pub(super) rel: PathBuf,
    /// Where in its rules.
    pub(super) cursor: Cursor,
    /// Whether all of it is tracked.
    pub(super) within: Within,
}

/// Whether a directory is covered by a rule about one above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// The rules say what is in it.
    Rules,
    /// Everything in it is tracked.
    Tracked,
}

/// What happened.
#[derive(Debug, Clone)]
pub(super) struct Happened {
    /// What [`Inotify::watch`] gave.
    pub(super) wd: i32,
    /// The name; empty where it is about a watched file itself.
    pub(super) name: OsString,
    /// What.
    pub(super) mask: AddWatchFlags,
}

impl Happened {
    pub(super) fn has(&self, mask: AddWatchFlags) -> bool {
        self.mask.intersects(mask)
    }
}

/// What was read from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    /// All that there was.
    All,
    /// As much as one read may take: there can be more.
    Part,
    /// Events were lost.
    Lost,
}

/// What a directory is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A directory that was changed less than this before may change again within the same tick of its clock.
const RACY: Duration = Duration::from_secs(3);

/// The watched directories.
pub(super) struct Tree {
    inotify: Option<Inotify>,
    /// One directory can be seen by the rules of two roots.
    spots: HashMap<i32, Vec<Spot>>,
    /// Watched files.
    inodes: Inodes,
    events: VecDeque<Happened>,
    /// Events were lost, and nobody was told so far.
    lost: bool,
    /// A directory could not be opened, nobody knows what is in it.
    unopened: bool,
    /// Directories that are still to be watched and listed.
    queue: VecDeque<Spot>,
    /// Directories that cannot be watched.
    polled: Vec<Spot>,
    /// What those were when they were listed last, if they had been so for a while.
    stamps: HashMap<(usize, PathBuf), Stamp>,
    next_poll: Instant,
    /// Why there are any; said once.
    gap: Option<String>,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let (inotify, gap) = match Inotify::new() {
            Ok(inotify) => (Some(inotify), None),
            Err(errno) => (None, Some(format!("inotify_init: {errno}"))),
        };
        Tree {
            inotify,
            spots: HashMap::new(),
            inodes: Inodes::default(),
            events: VecDeque::new(),
            lost: false,
            unopened: false,
            queue: VecDeque::new(),
            polled: Vec::new(),
            stamps: HashMap::new(),
            next_poll: Instant::now(),
            gap,
        }
    }

    /// Readable when something happened.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// To be watched and listed, later.
    pub(super) fn later(&mut self, spot: Spot) {
        self.queue.push_back(spot);
    }

    /// The next directory to be watched and listed.
    pub(super) fn next(&mut self) -> Option<Spot> {
        self.queue.pop_front()
    }

    /// A directory that was queued last and is directly in that one.
    pub(super) fn next_below(&mut self, spot: &Spot) -> Option<Spot> {
        let last = self.queue.back()?;
        let below = last.place == spot.place && last.rel.parent() == Some(spot.rel.as_path());
        if below { self.queue.pop_back() } else { None }
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next thing that happened.
    pub(super) fn event(&mut self) -> Option<Happened> {
        self.events.pop_front()
    }

    /// Was something read that was not acted upon?
    pub(super) fn has_read(&self) -> bool {
        self.lost || !self.events.is_empty()
    }

    /// Were events lost since this was asked last?
    pub(super) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// Was there a directory that could not be opened, since this was asked last?
    pub(super) fn take_unopened(&mut self) -> bool {
        std::mem::take(&mut self.unopened)
    }

    /// Reads what the kernel has, without waiting.
    pub(super) fn fill(&mut self) -> Filled {
        let Some(inotify) = &self.inotify else {
            return Filled::All;
        };
        let mut filled = Filled::Part;
        let (spots, inodes, events) = (&mut self.spots, &mut self.inodes, &mut self.events);
        let mut buffer = [0; 4096];
        // Bounded: a box that makes events without end must not keep them from being acted upon.
        for _ in 0..64 {
            let read = inotify.read(&mut buffer, |seen| {
                let mask = AddWatchFlags::from_bits_retain(seen.mask);
                if mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    filled = Filled::Lost;
                } else if mask.contains(AddWatchFlags::IN_IGNORED) {
                    spots.remove(&seen.watch);
                    inodes.forget(seen.watch);
                } else if !seen.name.is_empty() || inodes.has(seen.watch) {
                    events.push_back(Happened {
                        wd: seen.watch,
                        name: seen.name.to_owned(),
                        mask,
                    });
                }
            });
            if !matches!(read, Ok(Read::Some)) {
                if filled == Filled::Part {
                    filled = Filled::All;
                }
                break;
            }
        }
        self.lost |= filled == Filled::Lost;
        filled
    }

    /// Does an event that was read and not acted upon speak of this name, and say one of these things?
    pub(super) fn is_waiting(&self, spot: &Spot, name: &OsStr, mask: AddWatchFlags) -> bool {
        self.events.iter().any(|event| {
            event.name == name
                && event.has(mask)
                && self.spots.get(&event.wd).is_some_and(|spots| {
                    spots
                        .iter()
                        .any(|s| s.place == spot.place && s.rel == spot.rel)
                })
        })
    }

    /// Watches the file of that name itself, instead of the one that had the name before.
    ///
    /// # Errors
    /// As [`Inodes::watch`].
    pub(super) fn watch_inode(
        &mut self,
        places: &[Place],
        spot: &Spot,
        name: &OsStr,
    ) -> Result<Found, Errno> {
        let inotify = self.inotify.as_ref().ok_or(Errno::EMFILE)?;
        let place = places.get(spot.place).ok_or(Errno::ENOENT)?;
        let watched = self.inodes.watch(inotify, place, spot, name);
        if watched == Err(Errno::ENOSPC) {
            self.gap(USED_UP.to_owned());
        }
        watched
    }

    /// The file that had that name is watched no longer.
    pub(super) fn forget_inode(&mut self, place: usize, rel: &Path) {
        if let Some(inotify) = &self.inotify {
            self.inodes.remove(inotify, place, rel);
        }
    }

    /// The names of the watched file that is written, where an event is about one.
    pub(super) fn written(&mut self, event: &Happened) -> Vec<At> {
        self.inodes.written(event)
    }

    /// As [`Inodes::unheld`].
    pub(super) fn unheld(&mut self, event: &Happened) -> Vec<At> {
        let inotify = self.inotify.as_ref();
        inotify.map_or_else(Vec::new, |inotify| self.inodes.unheld(inotify, event))
    }

    /// The directories that an event is about.
    pub(super) fn spots(&self, event: &Happened) -> Vec<Spot> {
        self.spots.get(&event.wd).cloned().unwrap_or_default()
    }

    /// Watches a directory and lists it. Nothing if it is gone, or no directory.
    pub(super) fn watch_and_list(
        &mut self,
        places: &[Place],
        spot: &Spot,
    ) -> Vec<(OsString, What)> {
        let Some(dir) = self.open(places, spot) else {
            return Vec::new();
        };
        if self.spots.len() >= MOST {
            self.gap(format!("more than {MOST} directories"));
            self.polled.push(spot.clone());
        } else if let Err(errno) = self.add(dir.as_fd(), spot, APPEAR) {
            self.cannot(errno, spot);
        }
        list(dir)
    }

    /// Watches a directory and does not list it.
    pub(super) fn watch(&mut self, places: &[Place], spot: &Spot) {
        if let Some(dir) = self.open(places, spot)
            && let Err(errno) = self.add(dir.as_fd(), spot, APPEAR)
        {
            self.cannot(errno, spot);
        }
    }

    /// What happens to the names of a directory matters as well.
    pub(super) fn watch_closely(&mut self, places: &[Place], spot: &Spot) {
        if let Some(dir) = self.open(places, spot)
            && let Err(errno) = self.add(dir.as_fd(), spot, CLOSELY)
        {
            self.cannot(errno, spot);
        }
    }

    /// When a file of a directory was written matters as well.
    pub(super) fn watch_ends(&mut self, places: &[Place], spot: &Spot) {
        let mask = APPEAR.union(AddWatchFlags::IN_CLOSE_WRITE);
        if let Some(dir) = self.open(places, spot)
            && let Err(errno) = self.add(dir.as_fd(), spot, mask)
        {
            self.cannot(errno, spot);
        }
    }

    /// A directory, if it is there. One that may not be opened (the box can make it so) is remembered.
    pub(super) fn open(&mut self, places: &[Place], spot: &Spot) -> Option<OwnedFd> {
        let opened = places.get(spot.place)?.open_dir(&spot.rel);
        let gone = [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP];
        self.unopened |= matches!(&opened, Err(errno) if !gone.contains(errno));
        opened.ok()
    }

    /// Is this directory watched, under whatever name? If not, it is from now on, and nothing that happens in it is told.
    pub(super) fn is_watched(&mut self, places: &[Place], spot: &Spot) -> bool {
        self.open(places, spot)
            .and_then(|dir| self.descriptor(dir.as_fd(), APPEAR).ok())
            .is_some_and(|wd| self.spots.contains_key(&wd))
    }

    /// Watches a directory; the number is the same as before if it was watched.
    fn descriptor(&self, dir: BorrowedFd<'_>, mask: AddWatchFlags) -> Result<i32, Errno> {
        let inotify = self.inotify.as_ref().ok_or(Errno::EMFILE)?;
        // The working directory is the one way to name a descriptor of the host's from within the box's mount namespace.
        nix::unistd::fchdir(dir)?;
        // IN_MASK_ADD: a directory that is watched closely stays so.
        inotify.watch(Path::new("."), mask.bits() | libc::IN_MASK_ADD)
    }

    fn add(&mut self, dir: BorrowedFd<'_>, spot: &Spot, mask: AddWatchFlags) -> Result<(), Errno> {
        let wd = self.descriptor(dir, mask)?;
        let spots = self.spots.entry(wd).or_default();
        // A directory that was moved has another path now.
        spots.retain(|known| known.place != spot.place);
        spots.push(spot.clone());
        Ok(())
    }

    fn cannot(&mut self, errno: Errno, spot: &Spot) {
        match errno {
            // It was removed.
            Errno::ENOENT | Errno::ENOTDIR => return,
            Errno::ENOSPC => self.gap(USED_UP.to_owned()),
            errno => self.gap(format!("inotify: {errno}")),
        }
        let known = |p: &Spot| p.place == spot.place && p.rel == spot.rel;
        if !self.polled.iter().any(known) {
            self.polled.push(spot.clone());
        }
    }

    fn gap(&mut self, why: String) {
        self.gap.get_or_insert(why);
    }

    /// Why not every directory is watched.
    pub(super) fn why_polled(&self) -> Option<&str> {
        self.gap.as_deref()
    }

    /// When to look at what cannot be watched.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.polled.is_empty()).then_some(self.next_poll)
    }

    /// What cannot be watched, if it is time to look at it.
    pub(super) fn due(&mut self) -> Vec<Spot> {
        let now = Instant::now();
        if self.polled.is_empty() || now < self.next_poll {
            return Vec::new();
        }
        self.next_poll = now + POLL;
        self.polled.clone()
    }

    /// Has a directory that is polled the names that it had when it was listed last? Its identity and times say so, once they are
    /// older than the coarsest clock of a file system.
    pub(super) fn is_as_listed(&mut self, places: &[Place], spot: &Spot) -> bool {
        let opened = places
            .get(spot.place)
            .map(|place| place.open_dir(&spot.rel));
        let Some(stat) = opened.and_then(|dir| fstat(dir.ok()?).ok()) else {
            return false;
        };
        let changed = Duration::new(stat.st_ctime.unsigned_abs(), 0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let is_settled = now.is_ok_and(|now| now > changed + RACY);
        let place = (spot.place, spot.rel.clone());
        let stamp = Stamp {
            inode: (stat.st_dev, stat.st_ino),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        };
        if !is_settled {
            self.stamps.remove(&place);
            return false;
        }
        self.stamps.insert(place, stamp) == Some(stamp)
    }

    /// Lists a directory that cannot be watched.
    pub(super) fn list_again(&self, places: &[Place], spot: &Spot) -> Vec<(OsString, What)> {
        places
            .get(spot.place)
            .and_then(|place| place.open_dir(&spot.rel).ok())
            .map_or_else(Vec::new, list)
    }
}

/// The directory `name` of `spot`, if rules may be about something in it and it is not one of those that are never searched.
pub(super) fn below(places: &[Place], spot: &Spot, name: &OsStr, within: Within) -> Option<Spot> {
    let place = places.get(spot.place)?;
    let above = spot.rel.file_name().or_else(|| place.path.file_name());
    let (above, name_bytes) = (above.unwrap_or_default().as_bytes(), name.as_bytes());
    let entered = place.matcher.search(&spot.cursor, above, name_bytes);
    let cursor = match (entered, within) {
        (None, _) if matcher::heavy(above, name_bytes) => return None,
        (Some(cursor), _) => cursor,
        (None, Within::Tracked) => Cursor::default(),
        (None, Within::Rules) => return None,
    };
    Some(Spot {
        place: spot.place,
        rel: spot.rel.join(name),
        cursor,
        within,
    })
}

/// The same of a directory that was watched under another name: what is not searched by its name is not what this one is.
pub(super) fn still_below(places: &[Place], spot: &Spot, name: &OsStr) -> Option<Spot> {
    let cursor = places
        .get(spot.place)?
        .matcher
        .enter(&spot.cursor, name.as_bytes());
    Some(Spot {
        place: spot.place,
        rel: spot.rel.join(name),
        cursor: cursor?,
        within: Within::Rules,
    })
}
