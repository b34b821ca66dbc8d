//! `agentbox ps`.

#![forbid(unsafe_code)]

use super::args::PsArgs;
use super::say::{self, Said};
use super::{CliError, live};
use crate::exit;
use crate::host::usage::Tree;
use crate::plan::OsText;
use crate::record::Timestamp;
use crate::report::sessions::{Row, Switch, table};
use crate::session::{SessionId, Sessions};
use crate::supervise::control::client::{self, CallError};
use crate::supervise::control::message::{self, Status};
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

/// Clears the screen and the cursor's way back (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Lists the live sessions. Returns the exit status.
#[must_use]
pub fn ps(args: &PsArgs) -> u8 {
    loop {
        let text = match rows().and_then(|rows| text(args, &rows)) {
            Ok(text) => text,
            Err(e) => {
                say::error(&e);
                return e.status();
            }
        };
        // A terminal that knows no sequences gets one list after the other.
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let clear = args.watch && std::io::stdout().is_terminal() && !dumb;
        if clear {
            let _seen_below = say::out(CLEAR);
        }
        let said = say::painted(&text);
        match said {
            Said::Fine if args.watch => std::thread::sleep(Duration::from_secs(1)),
            Said::Fine => return 0,
            Said::Lost => return exit::NO,
        }
    }
}

fn text(args: &PsArgs, rows: &[Row]) -> Result<String, CliError> {
    if args.json {
        let text = serde_json::to_string(rows).map_err(CliError::Json)?;
        return Ok(text + "\n");
    }
    if args.quiet {
        return Ok(rows
            .iter()
            .map(|row| format!("{}\n", row.session))
            .collect());
    }
    Ok(table(rows))
}

fn rows() -> Result<Vec<Row>, CliError> {
    let sessions = live::sessions()?;
    let ids = client::live(&sessions)?;
    let asked = live::side_by_side(&ids, |id| client::status(&sessions, id));
    let asked = ids.iter().zip(asked);
    // After the answers: whoever is listed with costs was alive.
    let tree = Tree::read();
    let found = asked.filter_map(|(id, status)| match status {
        Ok(status) => Some(row(id, &status, &tree)),
        Err(CallError::Ended(_)) => None,
        Err(_) => silent(&sessions, id),
    });
    Ok(found.collect())
}

fn row(id: &SessionId, status: &Status, tree: &Tree) -> Row {
    let usage = tree.usage(status.init, status.cgroup.iter().map(OsText::path));
    Row {
        session: id.to_string(),
        agent: agent(&status.argv),
        argv: status.argv.clone(),
        profile: status.profile.clone().unwrap_or_default(),
        workspace: status.workspace.clone(),
        started: status.started.seconds(),
        age: status.started.until(Timestamp::now()).as_secs(),
        cpu_ms: usage.cpu_ms,
        memory: usage.memory,
        processes: usage.processes,
        viewers: status.viewers,
        switches: status.switches.iter().map(switch).collect(),
        state: status.state.name().to_owned(),
        supervisor: status.supervisor,
        init: status.init,
    }
}

fn switch(known: &message::Switch) -> Switch {
    Switch {
        name: known.name.clone(),
        age_ms: known.age_ms,
        unreachable: known.unreachable.clone(),
    }
}

/// A session whose supervisor does not answer: what its record says.
fn silent(sessions: &Sessions, id: &SessionId) -> Option<Row> {
    let record = sessions.read(id).ok()?;
    Some(Row {
        session: id.to_string(),
        agent: agent(&record.plan.command.argv),
        argv: record.plan.command.argv.clone(),
        profile: record
            .plan
            .command
            .profiles
            .first()
            .cloned()
            .unwrap_or_default(),
        workspace: record.plan.workspace.real.clone(),
        started: record.started.seconds(),
        age: record.started.until(Timestamp::now()).as_secs(),
        cpu_ms: 0,
        memory: 0,
        processes: 0,
        viewers: 0,
        switches: Vec::new(),
        state: "silent".to_owned(),
        supervisor: i32::try_from(record.supervisor).unwrap_or(0),
        init: 0,
    })
}

/// The last component of `argv[0]`.
fn agent(argv: &[OsText]) -> String {
    let first = argv.first().map(OsText::path);
    let name = first.and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().into_owned()
}
