//! [`Part`]: what plugs into the supervisor's poll loop. A part brings descriptors and a deadline, is called after every
//! wake-up, and acts on the session through [`Running`]. Whatever must live for the session to be safe is a part that polls
//! the pidfd of its process and calls [`Running::stop`] when that is gone: the loop itself knows nothing of helpers.

#![forbid(unsafe_code)]

use super::running::Running;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// One source of events. Nothing in it may wait: a part that blocks is a kill path that blocks.
pub(crate) trait Part {
    /// Adds what it waits for, each under a key of its own choice. A descriptor without a wish is left out: poll(2) reports
    /// hang-ups unasked, and a part that cannot act on one would make the loop spin.
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>);

    /// When it wants to be called although nothing happens; `None` is never. One that has passed wakes at once, so the part
    /// has to move it when called.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Called after every wake-up of the loop, whoever caused it: `ready` may be empty.
    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running);

    /// The box ends: its init has said its last word, is gone, or is killed next. Called once, before [`Part::finish`].
    fn ending(&mut self) {}

    /// Every process of the box is dead. Called once, in the order of the parts, before the record is closed; may wait.
    fn finish(&mut self, _running: &mut Running) {}
}

/// What one wake-up waits for.
pub(crate) struct PollSet<'a> {
    fds: Vec<PollFd<'a>>,
    keys: Vec<(usize, usize)>,
    part: usize,
}

impl<'a> PollSet<'a> {
    /// Adds a descriptor of the part that is being asked.
    pub(crate) fn add(&mut self, key: usize, fd: BorrowedFd<'a>, flags: PollFlags) {
        self.fds.push(PollFd::new(fd, flags));
        self.keys.push((self.part, key));
    }
}

/// What poll(2) found for one part.
pub(crate) struct Ready<'a> {
    part: usize,
    found: &'a [Found],
}

impl Ready<'_> {
    /// The events of the descriptor that was added under this key; empty if there are none.
    pub(crate) fn of(&self, key: usize) -> PollFlags {
        self.found
            .iter()
            .find(|found| found.part == self.part && found.key == key)
            .map_or(PollFlags::empty(), |found| found.events)
    }

    /// Something is to be read there, or it is the end or an error.
    pub(crate) fn readable(&self, key: usize) -> bool {
        self.of(key).intersects(
            PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL,
        )
    }
}

/// The events of one descriptor. Copied out of the set, which borrows the parts.
struct Found {
    part: usize,
    key: usize,
    events: PollFlags,
}

/// Keys of the loop's own descriptors.
pub(super) const INIT: usize = 0;
pub(super) const GONE: usize = 1;
pub(super) const CLIENT: usize = 2;
pub(super) const STATUS: usize = 3;

/// What one wake-up found.
pub(super) struct Woken(Vec<Found>);

impl Woken {
    /// For the part of that number, from 1; 0 is the loop itself.
    pub(super) fn of(&self, part: usize) -> Ready<'_> {
        Ready {
            part,
            found: &self.0,
        }
    }
}

/// Sleeps until something happens to one of them, or until the first deadline.
///
/// # Errors
/// The errno of poll(2); EINTR is a wake-up in which nothing was found.
pub(super) fn wait(running: &Running, parts: &[Box<dyn Part>]) -> Result<Woken, Errno> {
    let mut set = PollSet {
        fds: Vec::with_capacity(8),
        keys: Vec::with_capacity(8),
        part: 0,
    };
    running.pollfds(&mut set);
    let mut first = running.deadline();
    for (number, part) in (1..).zip(parts) {
        set.part = number;
        part.pollfds(&mut set);
        first = first.into_iter().chain(part.deadline()).min();
    }
    match poll(&mut set.fds, timeout(first)) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(Woken(Vec::new())),
        Err(errno) => return Err(errno),
    }
    let found = set.keys.iter().zip(&set.fds);
    Ok(Woken(
        found
            .filter_map(|((part, key), fd)| {
                let events = fd.revents()?;
                (!events.is_empty()).then_some(Found {
                    part: *part,
                    key: *key,
                    events,
                })
            })
            .collect(),
    ))
}

fn timeout(at: Option<Instant>) -> PollTimeout {
    let Some(at) = at else {
        return PollTimeout::NONE;
    };
    // Rounded up: a timer that fires a millisecond early would make the loop spin through it.
    let left = at.saturating_duration_since(Instant::now());
    let left = if left.is_zero() {
        left
    } else {
        left + Duration::from_millis(1)
    };
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}
