//! `agentbox stop` and `agentbox start`: stop files that are made and removed by hand of a human, never by an agent's.

#![forbid(unsafe_code)]

use super::args::{StartArgs, StopArgs, WhichArgs};
use super::live::side_by_side;
use super::remote::{self, Set};
use super::say::{self, Said};
use super::status::{Others, others};
use super::{CliError, machine};
use crate::exit;
use crate::host::Host;
use crate::outcome::{How, Outcome, Trigger};
use crate::plan::OsText;
use crate::plan::remote::Remote;
use crate::plan::stop::{NAME, RUN_DIR, StopFile, StopScope, WORKSPACE_NAME};
use crate::policy::Origin;
use crate::record::Timestamp;
use crate::session::store::Liveness;
use crate::session::{SessionId, Sessions};
use crate::supervise::control::client::{self, CallError, Killed};
use crate::supervise::control::message::State;
use crate::supervise::switch::file::{Holder, Made, StopError, Unmade, make, unmake};
use crate::supervise::switch::{self, sentence};
use nix::errno::Errno;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long `stop` waits until nothing is left. Some milliseconds are enough; a box that outlives this is a fault.
const PATIENCE: Duration = Duration::from_secs(30);
/// After this long a supervisor is taken for deaf.
const DEAF: Duration = Duration::from_secs(1);
/// How often it looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Why `stop` or `start` could not do it.
#[derive(Debug, thiserror::Error)]
enum SwitchError {
    #[error(transparent)]
    Cli(#[from] CliError),
    #[error("{0}")]
    File(StopError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{what} needs root: sudo agentbox {what}")]
    Root { what: &'static str },
    #[error("the remote switch {0} cannot be set: {1}")]
    Remote(String, String),
    #[error("{0}: not a directory")]
    NoDirectory(OsText),
}

/// The file of a switch and how its directory is to be.
struct Switch {
    file: PathBuf,
    scope: StopScope,
    holder: Holder,
}

/// Stops. Returns the exit status.
#[must_use]
pub fn stop(args: &StopArgs) -> u8 {
    ended(try_stop(args))
}

/// Lifts. Returns the exit status.
#[must_use]
pub fn start(args: &StartArgs) -> u8 {
    ended(try_start(args))
}

fn ended(done: Result<u8, SwitchError>) -> u8 {
    done.unwrap_or_else(|error| {
        say::error(error);
        exit::NO
    })
}

fn try_stop(args: &StopArgs) -> Result<u8, SwitchError> {
    let host = Host::gather().map_err(CliError::from)?;
    if let Some(id) = &args.which.id {
        return one(id, args.pause, &host);
    }
    if let Some(name) = &args.which.remote {
        return stop_remote(name, &args.which, args.reason.as_deref(), &host);
    }
    let switch = switch(&args.which, &host)?;
    if args.pause {
        return pause(&args.which, &switch, &host);
    }
    let by = format!("{}, uid {}", OsText::from(host.user.as_str()), host.uid);
    let reason = args.reason.clone();
    let reason =
        reason.unwrap_or_else(|| format!("stopped by {}", OsText::from(host.user.as_str())));
    let make = || {
        make(&switch.file, &reason, &by, switch.holder)
            .map_err(|error| needs_root(error, &args.which, "stop --global"))
    };
    let seen = args.which.global.then(machine::supervisors);
    let since = Timestamp::now();
    let begun = Instant::now();
    let made = make()?;
    let name = OsText::from(switch.file.as_path());
    let (stopped, left, took) = match seen {
        Some(seen) => {
            // By their processes: under sudo the records are not even those of the caller.
            let left = machine::wait_for_all(&seen, PATIENCE);
            let took = milliseconds(begun);
            (seen.len().saturating_sub(left.len()), left, took)
        }
        None => {
            let sessions = sessions(&host)?;
            let meant = meant(&sessions, &switch.file);
            let left = wait_for(&meant, &sessions);
            let took = milliseconds(begun);
            // Some are dead before they could be counted, and the record of a supervisor that was killed does not say by what.
            let gone = meant.len().saturating_sub(left.len());
            let told = stopped(&sessions, &switch.file, since);
            (gone.max(told), left, took)
        }
    };
    // In a working copy the agent may have taken it away before it died.
    let _there = make()?;
    if made == Made::Already {
        say::error(format!("{name} was there already"));
    }
    let sessions = match stopped {
        0 => "no session was running".to_owned(),
        n => format!("{} stopped in {took:.1} ms", sessions_of(n)),
    };
    let lift = lift(&args.which, &switch);
    let said = finished(&format!("{sessions}; none starts until {lift} ({name})"));
    for what in &left {
        say::error(format!(
            "{what} is still there after {} s",
            PATIENCE.as_secs()
        ));
    }
    Ok(if left.is_empty() { said } else { exit::NO })
}

fn try_start(args: &StartArgs) -> Result<u8, SwitchError> {
    let host = Host::gather().map_err(CliError::from)?;
    if let Some(id) = &args.which.id {
        let sessions = sessions(&host)?;
        client::find(&sessions, id).and_then(|id| client::resume(&sessions, &id))?;
        return Ok(0);
    }
    if let Some(name) = &args.which.remote {
        return start_remote(name, &args.which, &host);
    }
    let switch = switch(&args.which, &host)?;
    let resumed = resume(&args.which, &switch, &host)?;
    let name = OsText::from(switch.file.as_path());
    let unmade =
        unmake(&switch.file).map_err(|error| needs_root(error, &args.which, "start --global"))?;
    match unmade {
        Unmade::Removed => Ok(match others(&host) {
            Others::Off => finished(&format!("{name} is removed: sessions may start")),
            Others::On => finished(&format!("{name} is removed")),
        }),
        Unmade::Nothing if resumed > 0 => Ok(0),
        Unmade::Nothing => {
            let others = others(&host);
            let said = finished(&format!("nothing to lift: there is no {name}"));
            Ok(match others {
                Others::Off => said,
                Others::On => exit::NO,
            })
        }
        Unmade::NotOurs => {
            let stop = StopFile {
                file: name.clone(),
                scope: switch.scope,
                origin: Origin::agentbox("the kill switch"),
            };
            let mut found = switch::state(&stop, (host.uid, &host.user));
            if let Some(Trigger::Switch { resume, .. }) = &mut found {
                *resume = "if it is yours, remove it by hand".to_owned();
            }
            let known = found.as_ref().map_or_else(|| name.to_string(), sentence);
            say::error(format!("not made by `agentbox stop`, so it stays: {known}"));
            Ok(exit::NO)
        }
    }
}

/// `stop --remote NAME`.
fn stop_remote(
    name: &str,
    which: &WhichArgs,
    reason: Option<&str>,
    host: &Host,
) -> Result<u8, SwitchError> {
    let Remote { switch, .. } = remote::find(host, name)?;
    let one = remote::only(&switch, which.key.as_deref())
        .map_err(|why| SwitchError::Remote(name.to_owned(), why))?;
    let author = remote::author(host);
    let reason = reason.map_or_else(|| format!("stopped by {author}"), str::to_owned);
    let sessions = sessions(host)?;
    let meant = remote::meant(&sessions, &one);
    let begun = Instant::now();
    let set = remote::set(&one, Some((&reason, &author)));
    let set = set.map_err(|why| SwitchError::Remote(name.to_owned(), why))?;
    if matches!(set, Set::Already) {
        say::error(format!("{} was there already", switch.target));
    }
    let left = remote::wait_for(&meant, &sessions, &switch);
    let took = milliseconds(begun);
    let here = match meant.len().saturating_sub(left.len()) {
        0 => "no session of yours was running here with it".to_owned(),
        n => format!("{} here stopped in {took:.1} ms", sessions_of(n)),
    };
    let said = finished(&format!(
        "remote switch {name} is on ({}): {here}; none starts until `agentbox start --remote {name}`",
        one.target
    ));
    for what in &left {
        say::error(format!("{what} is still there"));
    }
    Ok(said.max(remote::status(&left)))
}

/// `start --remote NAME`.
fn start_remote(name: &str, which: &WhichArgs, host: &Host) -> Result<u8, SwitchError> {
    let Remote { switch, .. } = remote::find(host, name)?;
    let one = remote::only(&switch, which.key.as_deref())
        .map_err(|why| SwitchError::Remote(name.to_owned(), why))?;
    let set = remote::set(&one, None).map_err(|why| SwitchError::Remote(name.to_owned(), why))?;
    let target = &one.target;
    match set {
        Set::Done => Ok(finished(&format!(
            "remote switch {name} is off ({target}): sessions may start"
        ))),
        Set::Already => Ok(finished(&format!("nothing to lift: there is no {target}"))),
        Set::NotOurs => {
            say::error(format!(
                "not made by `agentbox stop`, so it stays: {target}; if it is yours, remove it by hand"
            ));
            Ok(exit::NO)
        }
    }
}

/// `stop ID`.
fn one(id: &str, pause: bool, host: &Host) -> Result<u8, SwitchError> {
    let sessions = sessions(host)?;
    let id = client::find(&sessions, id)?;
    if pause {
        client::pause(&sessions, &id)?;
        return Ok(finished(&format!(
            "session {id} is paused until `agentbox start {id}`"
        )));
    }
    let begun = Instant::now();
    client::kill(&sessions, &id)?;
    let took = milliseconds(begun);
    Ok(finished(&format!("session {id} stopped in {took:.1} ms")))
}

/// `stop --pause`: nothing is made, since what is frozen needs nothing that keeps it so.
fn pause(which: &WhichArgs, switch: &Switch, host: &Host) -> Result<u8, SwitchError> {
    let sessions = sessions(host)?;
    let (mut done, mut failed) = (0, 0);
    let meant = meant(&sessions, &switch.file);
    for paused in side_by_side(&meant, |id| client::pause(&sessions, id)) {
        match paused {
            Ok(()) => done += 1,
            Err(CallError::Ended(_)) => {}
            Err(error) => {
                failed += 1;
                say::error(error);
            }
        }
    }
    let lift = lift(which, switch);
    let said = finished(&format!(
        "{} paused until {lift}; others may start",
        sessions_of(done)
    ));
    Ok(if failed == 0 { said } else { exit::NO })
}

/// What `stop --pause` froze goes on: how many sessions.
fn resume(which: &WhichArgs, switch: &Switch, host: &Host) -> Result<usize, SwitchError> {
    if which.global {
        return Ok(0);
    }
    let sessions = sessions(host)?;
    let resumed = side_by_side(&meant(&sessions, &switch.file), |id| {
        let paused = client::status(&sessions, id).is_ok_and(|s| s.state == State::Paused);
        let resumed = paused.then(|| client::resume(&sessions, id))?;
        Some(resumed.map_err(say::error).is_ok())
    });
    let done = resumed.into_iter().flatten().filter(|ok| *ok).count();
    if done > 0 {
        let go = if done == 1 { "goes" } else { "go" };
        let _said = say::out(&format!("{} {go} on\n", sessions_of(done)));
    }
    Ok(done)
}

fn sessions_of(count: usize) -> String {
    match count {
        1 => "1 session".to_owned(),
        n => format!("{n} sessions"),
    }
}

/// What lifts it.
fn lift(which: &WhichArgs, switch: &Switch) -> String {
    match (which.global, &which.workspace) {
        (true, _) => "`agentbox start --global`".to_owned(),
        (_, Some(_)) => format!(
            "`agentbox start --workspace {}`",
            parent(&switch.file).shell_word()
        ),
        _ => "`agentbox start`".to_owned(),
    }
}

fn finished(line: &str) -> u8 {
    match say::out(&format!("{line}\n")) {
        Said::Fine => 0,
        Said::Lost => exit::NO,
    }
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

/// The file that is meant.
fn switch(which: &WhichArgs, host: &Host) -> Result<Switch, SwitchError> {
    if which.global {
        return Ok(Switch {
            file: Path::new(RUN_DIR).join(NAME),
            scope: StopScope::Host,
            holder: Holder::Own(0o755),
        });
    }
    if let Some(dir) = &which.workspace {
        let dir: PathBuf = host.cwd.join(dir).components().collect();
        if !dir.is_dir() {
            return Err(SwitchError::NoDirectory(dir.into()));
        }
        return Ok(Switch {
            file: dir.join(WORKSPACE_NAME),
            scope: StopScope::Workspace,
            holder: Holder::Work,
        });
    }
    // Not where XDG_CONFIG_HOME says: every session looks here, whatever variables it was started with.
    Ok(Switch {
        file: host.home.join(".config/agentbox").join(NAME),
        scope: StopScope::User,
        holder: Holder::Own(0o700),
    })
}

fn needs_root(error: StopError, which: &WhichArgs, what: &'static str) -> SwitchError {
    let denied = matches!(error.errno(), Some(Errno::EACCES | Errno::EPERM));
    if which.global && denied {
        SwitchError::Root { what }
    } else {
        SwitchError::File(error)
    }
}

fn parent(file: &Path) -> OsText {
    OsText::from(file.parent().unwrap_or(Path::new("/")))
}

/// This user's sessions.
fn sessions(host: &Host) -> Result<Sessions, SwitchError> {
    let state = host.var("XDG_STATE_HOME").map(|v| v.as_os_str());
    Ok(Sessions::open(&host.home, state).map_err(CliError::from)?)
}

/// The live sessions that this file stops. Asked after it was made: one that begins later finds it.
fn meant(sessions: &Sessions, file: &Path) -> Vec<SessionId> {
    let dir = |path: &Path| path.parent().and_then(|dir| dir.canonicalize().ok());
    let real = dir(file);
    let is_it = |stop: &StopFile| {
        let path = stop.file.path();
        path == file
            || (path.file_name() == file.file_name() && real.is_some() && dir(path) == real)
    };
    let ids = sessions.ids().unwrap_or_default();
    let live = ids
        .into_iter()
        .filter(|id| sessions.liveness(id) == Liveness::Live);
    // One without a record is just beginning, and will look.
    live.filter(|id| {
        let record = sessions.read(id);
        record.map_or(true, |record| record.plan.stop_files.iter().any(is_it))
    })
    .collect()
}

/// How many sessions have been stopped by this file since then, by what their records say. Many are dead before anybody could
/// have counted them.
fn stopped(sessions: &Sessions, file: &Path, since: Timestamp) -> usize {
    // The end of the path, which is the same by every name of its directory.
    let name = OsText::from(file.file_name().unwrap_or_default()).to_string();
    let by_it = |outcome: &Outcome| match &outcome.how {
        How::Killed {
            trigger: Trigger::Switch { which, .. },
        } => which.contains(&name),
        _ => false,
    };
    let ids = sessions.ids().unwrap_or_default();
    ids.iter()
        .filter(|id| sessions.written_since(id, since))
        .filter_map(|id| sessions.read(id).ok()?.outcome)
        .filter(by_it)
        .count()
}

/// Waits until these are dead, and says which are not. One whose supervisor is stopped or hangs is killed with it.
fn wait_for(ids: &[SessionId], sessions: &Sessions) -> Vec<String> {
    let begun = Instant::now();
    let mut forced = false;
    let mut left: Vec<&SessionId> = ids.iter().collect();
    loop {
        left.retain(|id| sessions.liveness(id) == Liveness::Live);
        if left.is_empty() || begun.elapsed() >= PATIENCE {
            return left.iter().map(|id| format!("session {id}")).collect();
        }
        if !forced && begun.elapsed() >= DEAF {
            forced = true;
            side_by_side(&left, |id| {
                if let Ok(Killed::Forced) = client::kill(sessions, id) {
                    say::error(format!(
                        "session {id}: its supervisor did not answer and was killed with it"
                    ));
                }
            });
        }
        sleep(PAUSE);
    }
}
