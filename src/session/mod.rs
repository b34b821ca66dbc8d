//! Sessions on disk: `$XDG_STATE_HOME/agentbox/sessions/ID/` with `session.json` and `events.jsonl`.
//!
//! The directory is the user's own (0700) and no box ever sees it. [`store`] finds and guards it, [`live`] is the session
//! that the supervisor writes, [`record`] the data, [`sweep`] what happens to old and to crashed ones. Knows nothing of
//! boxes and processes: whether a session lives is the lock on its `events.jsonl`, which the kernel gives back when the
//! supervisor ends in any way.

#![forbid(unsafe_code)]

pub mod id;
pub mod live;
pub mod record;
pub mod store;
pub mod sweep;

pub use id::SessionId;
pub use live::{Reserved, Session};
pub use record::{SessionRecord, State};
pub use store::{Adopted, CONTROL, EVENTS, SessionError, Sessions};
pub use sweep::{Retention, Swept};

#[cfg(test)]
mod tests;
