//! The lines that `run` says at the start: what runs where, what is weaker than one would think, and what else is not as
//! usual. At most [`MOST`] lines, however much there is to say: lines of one kind become one. None of them is broken, so that
//! a path can be copied, and nothing that somebody may have to act upon is left out.

#![forbid(unsafe_code)]

use super::plan::{clean, is_hosts, list};
use crate::outcome::{Evidence, Layer, Status};
use crate::plan::rung::Rung;
use crate::plan::{Grant, GrantKind, NetworkMode, OsText, Plan};
use crate::policy::Origin;

/// The most lines.
pub const MOST: usize = 4;

/// Between the parts of a line that has several.
const JOINT: &str = " | ";

/// The lines, without the prefix. `evidence` is what was found to hold, `standing` what the supervisor has to say of the
/// whole session. That the network is the host's and that a layer is off is among the notices of the plan.
#[must_use]
pub fn banner(plan: &Plan, evidence: &[Evidence], standing: &[String]) -> Vec<String> {
    let mut lines = vec![subject(plan)];
    lines.extend(weak(plan, evidence));
    let warnings: Vec<String> = plan.notices.iter().chain(standing).map(clean).collect();
    let notes = notes(plan);
    let room = MOST - lines.len() - usize::from(notes.is_some());
    if warnings.len() > room {
        lines.push(warnings.join(JOINT));
    } else {
        lines.extend(warnings);
    }
    lines.extend(notes);
    lines
}

/// What runs, where, with what.
fn subject(plan: &Plan) -> String {
    let profile = plan.command.profiles.first().map_or("?", String::as_str);
    let network = match plan.network.mode {
        NetworkMode::None => "no network",
        NetworkMode::Filtered => "a filtered network",
        NetworkMode::Host => "the host's network",
    };
    format!(
        "{} in {} with profile {}, {network}{}",
        plan.command.name,
        plan.workspace.path,
        clean(profile),
        also_writes(plan),
    )
}

/// What is writable besides. Whoever asked for a path sees it; those of the built-in profiles are counted.
fn also_writes(plan: &Plan) -> String {
    let besides = |g: &&Grant| {
        matches!(g.kind, GrantKind::Write | GrantKind::State) && g.path != plan.workspace.path
    };
    let (built_in, asked): (Vec<&Grant>, Vec<&Grant>) = plan
        .grants
        .iter()
        .filter(besides)
        .partition(|g| matches!(g.origin, Origin::Builtin { .. }));
    let mut parts: Vec<String> = asked.iter().map(|g| g.path.to_string()).collect();
    match built_in.as_slice() {
        [] => {}
        [one] => parts.push(one.path.to_string()),
        several => parts.push(format!(
            "{} files and directories of its profile",
            several.len()
        )),
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!(" (also writes {})", parts.join(" ")),
    }
}

/// One line about every layer that does not hold in full, and those that need not.
fn weak(plan: &Plan, evidence: &[Evidence]) -> Option<String> {
    let gaps: Vec<(&str, &str)> = evidence.iter().filter_map(gap).collect();
    let named = |layer: &Layer| gaps.iter().any(|(name, _)| *name == layer.name());
    let missing = list(
        Layer::ALL
            .iter()
            .filter(|l| !plan.require.contains(l) && !plan.off.iter().any(|off| off.layer == **l))
            .filter(|l| !is_hosts(plan, **l) && !named(l))
            .map(|l| l.name()),
    );
    let mut parts = Vec::new();
    match gaps.as_slice() {
        [] => {}
        [(layer, why)] => parts.push(format!(
            "layer {layer} does not hold in full: {}",
            clean(why)
        )),
        several => parts.push(format!(
            "layers that do not hold in full: {}",
            list(several.iter().map(|(layer, _)| layer))
        )),
    }
    if !missing.is_empty() {
        parts.push(format!("layers that may be missing: {missing}"));
    }
    parts.extend(rung(plan));
    if parts.is_empty() {
        return None;
    }
    let ask = match plan.standing.rung {
        Rung::Full => "`agentbox check` says what this host can enforce",
        Rung::Nested | Rung::ContainerProc | Rung::Landlock => {
            "`agentbox check --rungs` says what still holds"
        }
    };
    parts.push(ask.to_owned());
    Some(parts.join("; "))
}

/// Which layer does not hold in full, and why.
fn gap(evidence: &Evidence) -> Option<(&'static str, &str)> {
    match &evidence.status {
        Status::Full => None,
        Status::Partial { why } | Status::Absent { why } => Some((evidence.layer.name(), why)),
    }
}

/// The rung, where it is a low one, and why.
fn rung(plan: &Plan) -> Option<String> {
    let why = plan.standing.why.as_ref()?;
    if plan.standing.rung == Rung::Nested {
        let by = plan.standing.origin.as_ref();
        let by = by.map_or_else(String::new, |by| format!(" by {}", clean(by)));
        return Some(format!("rung nested{by}: {}", clean(why)));
    }
    Some(format!(
        "rung {}, since here it is \"{}\"",
        plan.standing.rung,
        clean(why)
    ))
}

/// The same at length, for what has more room.
pub(super) fn standing(plan: &Plan) -> Option<String> {
    let said = rung(plan)?;
    let what = plan.standing.rung.what();
    Some(format!(
        "{said}: {what}; `agentbox check --rungs` says what it guarantees"
    ))
}

/// What is good to know: one line. Where there are several, what to do about each is left to `explain`.
fn notes(plan: &Plan) -> Option<String> {
    let credentials: Vec<&OsText> = plan
        .env
        .stripped
        .iter()
        .filter(|s| s.credential && !s.origin.as_ref().is_some_and(Origin::is_floor))
        .map(|s| &s.name)
        .collect();
    let mut notes = Vec::new();
    if !credentials.is_empty() {
        notes.push(format!(
            "kept out, looks like a credential: {}  (--env NAME lets one in)",
            list(credentials)
        ));
    }
    notes.extend(plan.notes.iter().map(clean));
    if notes.len() < 2 {
        return notes.pop();
    }
    // The guide for messages: behind the semicolon is what to do.
    let mut is_cut = false;
    for note in &mut notes {
        if let Some(at) = note.find("; ") {
            note.truncate(at);
            is_cut = true;
        }
    }
    if is_cut {
        notes.push("more: `agentbox explain COMMAND`".to_owned());
    }
    Some(notes.join(JOINT))
}

#[cfg(test)]
#[path = "banner_tests.rs"]
mod tests;
