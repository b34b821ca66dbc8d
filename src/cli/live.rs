//! What the subcommands for live sessions share.

#![forbid(unsafe_code)]

use super::CliError;
use super::say;
use crate::exit;
use crate::host::Host;
use crate::session::{SessionId, Sessions};
use crate::supervise;
use crate::supervise::control::client::{self, CallError};

/// This user's sessions; those that crashed are marked and cleaned up first.
pub(super) fn sessions() -> Result<Sessions, CliError> {
    let (sessions, host) = as_they_are()?;
    supervise::clean_up_after_crashes(&sessions, &host.cgroup);
    Ok(sessions)
}

/// This user's sessions, for a command that goes to a live one at once.
pub(super) fn as_they_are() -> Result<(Sessions, Host), CliError> {
    let host = Host::gather()?;
    let state = host.var("XDG_STATE_HOME").map(|v| v.as_os_str());
    let sessions = Sessions::open(&host.home, state)?;
    Ok((sessions, host))
}

/// Does something to each of these live sessions; what fails is said, and the others are done all the same.
pub(super) fn each(
    ids: &[String],
    act: impl Fn(&Sessions, &SessionId) -> Result<(), CallError>,
) -> u8 {
    let sessions = match sessions() {
        Ok(sessions) => sessions,
        Err(e) => {
            say::error(&e);
            return exit::NO;
        }
    };
    let mut status = 0;
    for text in ids {
        let done = client::find(&sessions, text).and_then(|id| act(&sessions, &id));
        if let Err(e) = done {
            say::error(e);
            status = exit::NO;
        }
    }
    status
}
