//! [`Ear`]: the session's one source of events for somebody who is not its reader. A user has few of them (128 inotify instances as a rule), and
//! a session must not take two.

#![forbid(unsafe_code)]

use crate::sys::notify::Notify;
use nix::errno::Errno;
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

/// Watches of one's own in the shared instance. Whoever reads it calls [`hear`](Ear::hear) for every event that is not his, of
/// each ear that he gave away: none takes what another one heard.
#[derive(Debug, Clone)]
pub struct Ear {
    notify: Rc<Notify>,
    heard: Rc<Cell<bool>>,
}

impl Ear {
    /// Of that instance.
    #[must_use]
    pub fn new(notify: Rc<Notify>) -> Ear {
        Ear {
            notify,
            heard: Rc::new(Cell::new(false)),
        }
    }

    /// Watches what the path names.
    ///
    /// # Errors
    /// The errno of inotify_add_watch(2).
    pub fn watch(&self, path: &Path, mask: u32) -> Result<i32, Errno> {
        self.notify.watch(path, mask)
    }

    /// Watches no longer.
    pub fn unwatch(&self, watch: i32) {
        self.notify.unwatch(watch);
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
