//! What the keeper of a session that crashed did not come to settle.

#![forbid(unsafe_code)]

use crate::keeper::baseline::Baseline;
use crate::keeper::settle::{Scope, Search};
use crate::plan::names::Names;
use crate::session::{Adopted, SessionId, Sessions};
use crate::supervise::keeping_words::{Lines, not_compared};
use crate::supervise::settling::{Settled, settle};
use crate::sys::own;
use std::path::Path;

/// What dead sessions left behind is settled before a new one takes for granted what it finds. Returns what to say.
pub fn settle_dead(sessions: &Sessions) -> Vec<String> {
    let mut lines = Vec::new();
    for id in sessions.unsettled() {
        // Its supervisor is gone, and nobody else settles it meanwhile.
        let Some(dead) = sessions.adopt(&id) else {
            continue;
        };
        let path = sessions.path().join(id.as_str());
        let mut settled = Settled::Yes;
        match (sessions.read(&id), Baseline::read(dead.dir())) {
            (Ok(record), Some(baseline)) => {
                if let Some(bare) = &record.plan.standing.bare {
                    let _ = own::remove_tree(bare.place.path());
                }
                let (one, said) = settle_one(&record.plan.names, &baseline, &dead, &path, &id);
                settled = one;
                lines.extend(said);
            }
            (Err(e), _) => lines.push(format!(
                "session {} ended by a crash, and its files cannot be compared: {e}",
                id.as_str()
            )),
            // Nothing had begun.
            (Ok(_), None) => {}
        }
        if settled == Settled::Yes {
            Baseline::forget(dead.dir());
            dead.settled();
        }
    }
    lines
}

fn settle_one(
    names: &Names,
    baseline: &Baseline,
    dead: &Adopted<'_>,
    path: &Path,
    id: &SessionId,
) -> (Settled, Vec<String>) {
    let scope = Scope::End {
        touched: Vec::new(),
        born: Vec::new(),
        search: Search::Yes,
    };
    let (report, mut lines) = settle(names, baseline, (dead.dir(), path), &scope);
    let settled = Settled::of(&report);
    lines.extend(match report {
        Ok(acts) => Lines::default().of(&acts, id),
        Err(why) => vec![not_compared(
            &format!("files of session {}", id.as_str()),
            &why,
        )],
    });
    (settled, lines)
}
