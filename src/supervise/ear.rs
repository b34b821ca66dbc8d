//! [`Ear`]: the session's one inotify instance for somebody who is not its reader. A user has few instances (128 as a rule), and
//! a session must not take two.

#![forbid(unsafe_code)]

use crate::sys::inotify::Inotify;
use nix::errno::Errno;
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

/// Watches of one's own in the shared instance. Whoever reads it calls [`hear`](Ear::hear) for every event that is not his, of
/// each ear that he gave away: none takes what another one heard.
#[derive(Debug, Clone)]
pub struct Ear {
    inotify: Rc<Inotify>,
    heard: Rc<Cell<bool>>,
}

impl Ear {
    /// Of that instance.
    #[must_use]
    pub fn new(inotify: Rc<Inotify>) -> Ear {
        Ear {
            inotify,
            heard: Rc::new(Cell::new(false)),
        }
    }

    /// Watches what the path names.
    ///
    /// # Errors
    /// The errno of inotify_add_watch(2).
    pub fn watch(&self, path: &Path, mask: u32) -> Result<i32, Errno> {
        self.inotify.watch(path, mask)
    }

    /// Watches no longer.
    pub fn unwatch(&self, watch: i32) {
        self.inotify.unwatch(watch);
    }

    /// There was an event, or events were lost.
    pub fn hear(&self) {
        self.heard.set(true);
    }

    /// Whether there was one since this was last asked.
    #[must_use]
    pub fn take(&self) -> bool {
        self.heard.take()
    }
}
