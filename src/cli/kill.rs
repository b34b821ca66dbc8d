//! `agentbox kill`.

#![forbid(unsafe_code)]

use super::args::KillArgs;
use super::{live, say};
use crate::exit;
use crate::session::{SessionId, Sessions};
use crate::supervise::control::client::{self, CallError, Killed};

/// Kills boxes and returns when nothing of them is left. Returns the exit status.
#[must_use]
pub fn kill(args: &KillArgs) -> u8 {
    let ids = match all(args) {
        Ok(ids) => ids,
        Err(e) => {
            say::error(e);
            return exit::NO;
        }
    };
    let status = live::each(&ids, one);
    // What a killed supervisor could not do any more.
    let _ = live::sessions();
    status
}

fn all(args: &KillArgs) -> Result<Vec<String>, String> {
    if !args.all {
        return Ok(args.ids.clone());
    }
    let sessions = live::sessions().map_err(|e| e.to_string())?;
    let ids = client::live(&sessions).map_err(|e| e.to_string())?;
    Ok(ids.iter().map(ToString::to_string).collect())
}

fn one(sessions: &Sessions, id: &SessionId) -> Result<(), CallError> {
    match client::kill(sessions, id) {
        Ok(Killed::Asked) => Ok(()),
        Ok(Killed::Forced) => {
            say::error(format!(
                "session {id}: its supervisor did not answer and was killed with it"
            ));
            Ok(())
        }
        // Meanwhile, by itself or by somebody else: that is what was asked for.
        Err(CallError::Ended(_)) => Ok(()),
        Err(e) => Err(e),
    }
}
