//! The remote switches of this machine, as humans ask, set and clear them: `status`, `stop --remote`, `start --remote`.

#![forbid(unsafe_code)]

use super::args::PlanArgs;
use super::{CliError, places, policy_for};
use crate::exit;
use crate::gate::message::Text;
use crate::host::{Host, RealLookup};
use crate::plan::remote::{Remote, RemoteSwitch, Target};
use crate::plan::{NetworkMode, OsText, resolve};
use crate::record::Timestamp;
use crate::session::store::Liveness;
use crate::session::{SessionId, Sessions};
use crate::supervise::control::client;
use crate::supervise::switch::file::{Holder, Made, Unmade, make, unmake};
use crate::watch::message::Notice;
use crate::watch::reader::Reader;
use crate::watch::source::{self, Answer, Patience, Source};
use crate::watch::way::Way;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How much longer than its interval, jitter and timeout a session may take to be dead.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked.
const PAUSE: Duration = Duration::from_millis(1);

/// Those of a session that would be started here with no profile of its own.
///
/// # Errors
/// A configuration that cannot be read, or a switch that is not whole.
pub(super) fn configured(host: &Host) -> Result<Vec<Remote>, CliError> {
    let args = PlanArgs {
        net: Some(NetworkMode::None),
        command: vec!["true".into()],
        ..PlanArgs::default()
    };
    let (policy, _) = policy_for(&args, host, &places(host))?;
    if policy.wishes.remotes.is_empty() {
        return Ok(Vec::new());
    }
    resolve::remotes(&policy, host, &RealLookup).map_err(CliError::Problems)
}

/// The one of that name.
///
/// # Errors
/// There is none.
pub(super) fn find(host: &Host, name: &str) -> Result<Remote, CliError> {
    let all = configured(host)?;
    let names: Vec<String> = all.iter().map(|one| one.switch.name.clone()).collect();
    let found = all.into_iter().find(|one| one.switch.name == name);
    found.ok_or_else(|| CliError::NoRemote(name.to_owned(), names.join(", ")))
}

/// The switch with one key of it: who sets one means no other.
///
/// # Errors
/// It has several and none was named, or not that one.
pub(super) fn only(switch: &RemoteSwitch, key: Option<&str>) -> Result<RemoteSwitch, String> {
    let mut out = switch.clone();
    match (&mut out.target, key) {
        (Target::Redis { keys, .. }, None) if keys.len() > 1 => {
            return Err(format!(
                "it has several keys; `--key` says which: {}",
                keys.join(", ")
            ));
        }
        (Target::Redis { keys, .. }, Some(key)) => {
            if !keys.iter().any(|known| known == key) {
                return Err(format!("`{key}` is no key of it: {}", keys.join(", ")));
            }
            *keys = vec![key.to_owned()];
        }
        (_, Some(_)) => return Err("it has no keys".to_owned()),
        (_, None) => {}
    }
    Ok(out)
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::from_secs(10))
}

fn open(switch: &RemoteSwitch) -> Result<Box<dyn Source>, String> {
    let reader = Reader::here(switch.token.clone(), seconds(switch.timeout));
    let way = Way::of(|name| std::env::var(name).ok());
    source::open(switch, reader, &way)
}

/// Asks it, in this very process.
///
/// # Errors
/// Why there is no answer.
pub(super) fn ask(switch: &RemoteSwitch) -> Result<Answer, String> {
    open(switch)?.ask(Patience::None, seconds(switch.timeout))
}

/// What [`set`] did.
pub(super) enum Set {
    /// It is as it should be.
    Done,
    /// It was so already.
    Already,
    /// Somebody else made the file: it stays.
    NotOurs,
}

/// Switches it on, with who and why, or off (`None`).
///
/// # Errors
/// Why not.
pub(super) fn set(switch: &RemoteSwitch, on: Option<(&str, &str)>) -> Result<Set, String> {
    if let Target::File { path } = &switch.target {
        let failed = |e: crate::supervise::switch::file::StopError| e.to_string();
        return match on {
            Some((reason, by)) => {
                match make(path.path(), reason, by, Holder::Other).map_err(failed)? {
                    Made::New => Ok(Set::Done),
                    Made::Already => Ok(Set::Already),
                }
            }
            None => match unmake(path.path()).map_err(failed)? {
                Unmade::Removed => Ok(Set::Done),
                Unmade::Nothing => Ok(Set::Already),
                Unmade::NotOurs => Ok(Set::NotOurs),
            },
        };
    }
    let until = Instant::now() + seconds(switch.timeout);
    let text = on.map(|(reason, by)| Notice::written(reason, by, &Timestamp::now().to_string()));
    open(switch)?.set(text.as_deref(), until)?;
    Ok(Set::Done)
}

/// Removes what a drill has made.
///
/// # Errors
/// Why not.
pub(super) fn forget(switch: &RemoteSwitch) -> Result<(), String> {
    if matches!(switch.target, Target::File { .. }) {
        return set(switch, None).map(|_set| ());
    }
    open(switch)?.forget(Instant::now() + seconds(switch.timeout))
}

/// Who says it, for who reads it elsewhere.
pub(super) fn author(host: &Host) -> String {
    Text::of(format!(
        "{}@{}",
        OsText::from(host.user.as_str()),
        host.name
    ))
    .to_string()
}

/// Does who watches the one see what is set at the other? Of several keys one is enough: they differ from repository to
/// repository.
fn watches(watched: &Target, set: &Target) -> bool {
    match (watched, set) {
        (
            Target::Redis { host, db, keys, .. },
            Target::Redis {
                host: other,
                db: number,
                keys: wanted,
                ..
            },
        ) => host == other && db == number && wanted.iter().any(|key| keys.contains(key)),
        _ => watched == set,
    }
}

/// The live sessions of this user that this switch stops.
pub(super) fn meant(sessions: &Sessions, switch: &RemoteSwitch) -> Vec<SessionId> {
    let is_it = |remote: &Remote| watches(&remote.switch.target, &switch.target);
    let ids = sessions.ids().unwrap_or_default();
    let live = ids
        .into_iter()
        .filter(|id| sessions.liveness(id) == Liveness::Live);
    live.filter(|id| {
        let record = sessions.read(id);
        record.is_ok_and(|record| record.plan.remotes.iter().any(is_it))
    })
    .collect()
}

/// Waits until these are dead: those that are not.
pub(super) fn wait_for(
    ids: &[SessionId],
    sessions: &Sessions,
    switch: &RemoteSwitch,
) -> Vec<String> {
    let longest =
        seconds(switch.interval) + seconds(switch.jitter) + seconds(switch.timeout) + PATIENCE;
    let until = Instant::now() + longest;
    let mut left: Vec<&SessionId> = ids.iter().collect();
    loop {
        left.retain(|id| sessions.liveness(id) == Liveness::Live);
        if left.is_empty() || Instant::now() >= until {
            return left.iter().map(|id| format!("session {id}")).collect();
        }
        sleep(PAUSE);
    }
}

/// What a session knows of one of its switches.
pub(super) struct Pulse {
    pub(super) session: String,
    pub(super) age_ms: Option<u64>,
    pub(super) unreachable: Option<String>,
    pub(super) push: bool,
}

/// What every live session of this user knows of this switch.
pub(super) fn pulses(sessions: &Sessions, switch: &RemoteSwitch) -> Vec<Pulse> {
    let mut out = Vec::new();
    for id in meant(sessions, switch) {
        let status = client::status(sessions, &id).ok();
        let found = status.and_then(|status| {
            status
                .switches
                .into_iter()
                .find(|one| one.name == switch.name)
        });
        if let Some(found) = found {
            out.push(Pulse {
                session: id.to_string(),
                age_ms: found.age_ms,
                unreachable: found.unreachable,
                push: found.push,
            });
        }
    }
    out
}

/// The status of a command that did it, or not.
pub(super) fn status(left: &[String]) -> u8 {
    if left.is_empty() { 0 } else { exit::NO }
}
