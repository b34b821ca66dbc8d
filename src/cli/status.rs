//! `agentbox status`: the kill switch, as it stands.

#![forbid(unsafe_code)]

use super::args::{PlanArgs, StatusArgs};
use super::say::{self, Said};
use super::{CliError, places, policy_for, remote};
use crate::exit;
use crate::host::{Host, RealLookup};
use crate::plan::NetworkMode;
use crate::plan::remote::OnUnreachable;
use crate::plan::resolve::resolve_all;
use crate::plan::stop::{StopFile, everywhere};
use crate::record::Event;
use crate::report::switches::{
    PulseRow, RemoteRow, RemoteState, Row, Switches as Report, json, text,
};
use crate::session::store::Liveness;
use crate::session::{SessionId, Sessions};
use crate::supervise::remote_stopped;
use crate::supervise::switch::{Switches, Watched, sentence, state};
use crate::watch::source::{Answer, Said as Heard};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// Prints each switch. Returns the exit status: 1 if a session that is started here would be stopped.
#[must_use]
pub fn status(args: &StatusArgs) -> u8 {
    match flow(args) {
        Ok(status) => status,
        Err(error) => {
            say::error(&error);
            exit::NO
        }
    }
}

/// A live session, its stop files and those that it polls.
struct Live {
    id: SessionId,
    files: Vec<StopFile>,
    polled: BTreeSet<Vec<u8>>,
}

fn flow(args: &StatusArgs) -> Result<u8, CliError> {
    let host = Host::gather()?;
    let here = here(&host)?;
    let state_home = host.var("XDG_STATE_HOME").map(|v| v.as_os_str());
    let sessions = Sessions::open(&host.home, state_home)?;
    let live = live(&sessions);
    let mut files = here.clone();
    for stop in live.iter().flat_map(|live| &live.files) {
        if !files.iter().any(|known| known.file == stop.file) {
            files.push(stop.clone());
        }
    }
    let caller = (host.uid, host.user.as_str());
    let armed = Switches::arm(&files);
    let rows = armed.watched().map(|(stop, watched)| {
        let of = || {
            live.iter()
                .filter(|live| live.files.iter().any(|f| f.file == stop.file))
        };
        let polls = |live: &&Live| live.polled.contains(stop.file.bytes());
        Row {
            file: stop.file.clone(),
            scope: stop.scope,
            on: state(stop, caller).as_ref().map(sentence),
            polled: match watched {
                Watched::Events => None,
                Watched::Polled { why } => Some(why.clone()),
            },
            sessions: of().map(|live| live.id.to_string()).collect(),
            polled_by: of().filter(polls).map(|live| live.id.to_string()).collect(),
        }
    });
    let mut rows: Vec<Row> = rows.collect();
    // In the order in which they were named, not by directory.
    rows.sort_by_key(|row| files.iter().position(|stop| stop.file == row.file));
    let stops_here = |row: &Row| row.on.is_some() && here.iter().any(|s| s.file == row.file);
    let remotes = remotes(&host, &sessions)?;
    // Stopped is also who could not start.
    let on = |row: &RemoteRow| match row.state {
        RemoteState::Off => false,
        RemoteState::On => true,
        RemoteState::Unreachable => row.on_unreachable != OnUnreachable::Continue.name(),
    };
    let report = Report {
        stopped: rows.iter().any(stops_here) || remotes.iter().any(on),
        remotes,
        sessions: live.len(),
        switches: rows,
    };
    let out = if args.json {
        json(&report).map_err(CliError::Json)?
    } else {
        text(&report)
    };
    Ok(match say::out(&out) {
        Said::Fine if !report.stopped => 0,
        Said::Fine | Said::Lost => exit::NO,
    })
}

/// Asks every remote switch, now and from here, and the sessions for what they know.
fn remotes(host: &Host, sessions: &Sessions) -> Result<Vec<RemoteRow>, CliError> {
    let rows = remote::configured(host)?.into_iter().map(|found| {
        let (state, why) = match remote::ask(&found.switch) {
            Ok(Answer {
                said: Heard::Clear, ..
            }) => (RemoteState::Off, None),
            Ok(Answer {
                said: Heard::Stop(notice),
                ..
            }) => {
                let trigger = remote_stopped(&found, &notice);
                (RemoteState::On, Some(sentence(&trigger)))
            }
            Err(why) => (RemoteState::Unreachable, Some(why)),
        };
        let pulses = remote::pulses(sessions, &found.switch).into_iter();
        let switch = found.switch;
        RemoteRow {
            name: switch.name,
            target: switch.target.to_string(),
            state,
            why,
            on_unreachable: switch.on_unreachable.name().to_owned(),
            grace_ms: u64::try_from(Duration::from_secs_f64(switch.grace).as_millis())
                .unwrap_or(u64::MAX),
            sessions: pulses
                .map(|pulse| PulseRow {
                    session: pulse.session,
                    age_ms: pulse.age_ms,
                    unreachable: pulse.unreachable,
                    push: pulse.push,
                })
                .collect(),
        }
    });
    Ok(rows.collect())
}

/// The stop files of a session that would be started here; in a directory that is no workspace, those of every session.
fn here(host: &Host) -> Result<Vec<StopFile>, CliError> {
    let args = PlanArgs {
        net: Some(NetworkMode::None),
        command: vec!["true".into()],
        ..PlanArgs::default()
    };
    let (policy, _) = policy_for(&args, host, &places(host))?;
    let resolution = resolve_all(&policy, host, &RealLookup);
    Ok(match resolution.plan {
        Some(plan) => plan.stop_files,
        None => {
            let config = host.var("XDG_CONFIG_HOME").map(Path::new);
            let config = config.filter(|dir| dir.is_absolute()).map(Path::to_owned);
            let config = config.unwrap_or_else(|| host.home.join(".config"));
            everywhere(&host.home, &config)
        }
    })
}

/// Whether another switch than the one that is meant stops what is started here.
pub(super) enum Others {
    Off,
    On,
}

/// Names each that does.
pub(super) fn others(host: &Host) -> Others {
    // A profile with an error is no reason to say nothing of the rest: `run` says it.
    let on = stopped_here(host).unwrap_or_default();
    for sentence in &on {
        say::error(format!("no session starts here: {sentence}"));
    }
    if on.is_empty() {
        Others::Off
    } else {
        Others::On
    }
}

/// What stops a session that would be started here: a sentence for each stop file that is there.
fn stopped_here(host: &Host) -> Result<Vec<String>, CliError> {
    let files = here(host)?;
    let caller = (host.uid, host.user.as_str());
    let on = files.iter().filter_map(|stop| state(stop, caller));
    Ok(on.map(|trigger| sentence(&trigger)).collect())
}

fn live(sessions: &Sessions) -> Vec<Live> {
    let ids = sessions.ids().unwrap_or_default();
    let live = ids
        .into_iter()
        .filter(|id| sessions.liveness(id) == Liveness::Live);
    live.filter_map(|id| {
        let files = sessions.read(&id).ok()?.plan.stop_files;
        let events = sessions.events(&id).unwrap_or_default();
        let polled = events.into_iter().flat_map(|entry| match entry.event {
            Event::StopFilesPolled { files, .. } => files,
            _ => Vec::new(),
        });
        let polled = polled.map(|file| file.bytes().to_owned()).collect();
        Some(Live { id, files, polled })
    })
    .collect()
}
