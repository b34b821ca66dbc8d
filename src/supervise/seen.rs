//! What the loop saw of the command's end.

#![forbid(unsafe_code)]

use crate::launch::message::FromInit;
use crate::outcome::How;

/// What the loop saw.
pub(crate) struct Seen {
    pub(super) how: How,
    pub(super) cpu_ms: u64,
    pub(super) max_rss_kib: u64,
}

impl Seen {
    pub(super) fn of(message: FromInit) -> Option<Seen> {
        match message {
            FromInit::Ended {
                how,
                cpu_ms,
                max_rss_kib,
            } => Some(Seen {
                how,
                cpu_ms,
                max_rss_kib,
            }),
            _ => None,
        }
    }
}
