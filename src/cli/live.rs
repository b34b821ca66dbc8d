//! What the subcommands for live sessions share.

#![forbid(unsafe_code)]

use super::CliError;
use super::say;
use crate::exit;
use crate::host::Host;
use crate::session::{SessionId, Sessions};
use crate::supervise;
use crate::supervise::control::client::{self, CallError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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

/// How many sessions are spoken to at once. A supervisor that is stopped is waited for, and the others must not wait behind it.
const AT_ONCE: usize = 32;

/// Bytes of stack for one of them.
const STACK: usize = 512 << 10;

/// Does something to each, several at once; the answers are in their order. Where no thread can be had (a fork bomb of the box's
/// has used up the user's processes), one after the other.
pub(super) fn side_by_side<T: Sync, R: Send>(all: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(number) else {
                return done;
            };
            done.push((number, act(one)));
        }
    };
    let mut done = thread::scope(|scope| {
        let helper = |_| {
            let builder = thread::Builder::new().stack_size(STACK);
            builder.spawn_scoped(scope, work).ok()
        };
        let helpers: Vec<_> = (1..all.len().min(AT_ONCE)).map_while(helper).collect();
        let mut done = work();
        for helper in helpers {
            match helper.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, answer)| answer).collect()
}

/// Does something to each of these live sessions; what fails is said, and the others are done all the same.
pub(super) fn each(
    ids: &[String],
    act: impl Fn(&Sessions, &SessionId) -> Result<(), CallError> + Sync,
) -> u8 {
    let sessions = match sessions() {
        Ok(sessions) => sessions,
        Err(e) => {
            say::error(&e);
            return exit::NO;
        }
    };
    let done = side_by_side(ids, |text| {
        let done = client::find(&sessions, text).and_then(|id| act(&sessions, &id));
        done.map_or_else(
            |e| {
                say::error(e);
                exit::NO
            },
            |()| 0,
        )
    });
    done.into_iter().max().unwrap_or(0)
}
