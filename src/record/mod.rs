//! The record of one session: what happened, one line per event. Events are plain data; the log is written by the
//! supervisor alone and knows nothing of what the events mean.

#![forbid(unsafe_code)]

pub mod event;
pub mod log;
pub mod time;

pub use event::{Closed, Entry, Event};
pub use log::{Appended, EventLog};
pub use time::Timestamp;

#[cfg(test)]
pub(crate) mod testing;
