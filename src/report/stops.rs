//! What ends a session from outside, in `explain`.

#![forbid(unsafe_code)]

use super::columns;
use super::plan::{clean, heading};
use crate::plan::{OsText, Plan};

/// One line for each place, with the names that count there.
pub(super) fn stop_files(out: &mut String, plan: &Plan) {
    if plan.stop_files.is_empty() {
        return;
    }
    heading(out, "killed as soon as one of these exists");
    let mut rows: Vec<[String; 2]> = Vec::new();
    for stop in &plan.stop_files {
        let origin = format!("[{}]", clean(&stop.origin));
        rows.push([format!("  {}", stop.file), origin]);
    }
    out.push_str(&columns(&rows));
}

/// The switches that are somewhere else.
pub(super) fn remotes(out: &mut String, plan: &Plan) {
    if plan.remotes.is_empty() {
        return;
    }
    heading(out, "killed as soon as one of these is on");
    let rows = plan.remotes.iter().map(|remote| {
        let switch = &remote.switch;
        [
            format!("  {}", switch.name),
            OsText::from(switch.target.to_string()).to_string(),
            format!("every {}s", switch.interval),
            format!(
                "unreachable for {}s: {}",
                switch.grace,
                switch.on_unreachable.name()
            ),
            format!("[{}]", clean(&remote.origin)),
        ]
    });
    out.push_str(&columns(&rows.collect::<Vec<_>>()));
    for remote in &plan.remotes {
        if let Some(key) = &remote.switch.publish {
            let (name, key) = (&remote.switch.name, OsText::from(key.as_str()));
            out.push_str(&format!(
                "  {name} is told that this session exists, at {key}\n"
            ));
        }
    }
}
