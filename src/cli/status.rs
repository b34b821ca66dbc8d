//! `agentbox status`: the kill switch, as it stands.

#![forbid(unsafe_code)]

use super::args::{PlanArgs, StatusArgs};
use super::say::{self, Said};
use super::{CliError, places, policy_for};
use crate::exit;
use crate::host::{Host, RealLookup};
use crate::plan::NetworkMode;
use crate::plan::resolve::resolve_all;
use crate::plan::stop::{StopFile, everywhere};
use crate::record::Event;
use crate::report::switches::{Row, Switches as Report, json, text};
use crate::session::store::Liveness;
use crate::session::{SessionId, Sessions};
use crate::supervise::switch::{Switches, Watched, sentence, state};
use std::collections::BTreeSet;
use std::path::Path;

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
    let live = live(&Sessions::open(&host.home, state_home)?);
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
    let report = Report {
        stopped: rows.iter().any(stops_here),
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
