//! A [`Plan`] for people ([`text`]) and for programs ([`json`]). Says names of variables, never values.

#![forbid(unsafe_code)]

use super::{WIDTH, columns, stops, wrapped};
use crate::outcome::Layer;
use crate::paint::{BAD, GOOD, TITLE, WEAK, painted};
use crate::plan::{
    Grant, GrantKind, Hangup, IdentityMode, Limit, LimitBy, LimitName, NetworkMode, OsText, Plan,
    Stripped,
};
use crate::policy::Origin;
use std::fmt::{Display, Write as _};

/// The plan as JSON, with a newline at the end.
///
/// # Errors
/// Never for a plan that `resolve` made: its keys are all texts.
pub fn json(plan: &Plan) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(plan).map(|text| text + "\n")
}

/// The plan in groups, each grant with its origin. `steps` are the names of the steps of the enforcement in their order;
/// layers are printed in that order.
#[must_use]
pub fn text(plan: &Plan, steps: &[&str]) -> String {
    let mut out = String::new();
    command(&mut out, plan);
    for (title, kind) in [
        ("reads", GrantKind::Read),
        ("writes", GrantKind::Write),
        ("state (a copy, written back)", GrantKind::State),
        ("private (persistent, the box's own)", GrantKind::Private),
        (
            "project (the same, for this working copy)",
            GrantKind::Project,
        ),
        ("hidden (reads as empty)", GrantKind::Hidden),
        ("protected (never changed)", GrantKind::Protected),
    ] {
        grants(&mut out, plan, title, kind);
    }
    refused(&mut out, plan);
    super::names::text(&mut out, plan);
    variables(&mut out, plan);
    heading(&mut out, "network");
    let mode = match plan.network.mode {
        NetworkMode::None => "none: loopback of the box's own and nothing else",
        NetworkMode::Filtered => "filtered: the names below and nothing else, through the gate",
        NetworkMode::Host => &painted(BAD, "host: the host's network. This is NOT a boundary"),
    };
    let _ = writeln!(out, "  {mode}  [{}]", plan.network.origin);
    super::network::rules(&mut out, &plan.network);
    limits(&mut out, plan);
    stops::stop_files(&mut out, plan);
    stops::remotes(&mut out, plan);
    if let Hangup::Detach { origin } = &plan.hangup {
        heading(&mut out, "when the window is closed");
        let _ = writeln!(
            out,
            "  the session goes on without one  [{}]",
            clean(origin)
        );
    }
    layers(&mut out, plan, steps);
    let notices: Vec<String> = super::banner::standing(plan)
        .into_iter()
        .chain(plan.notices.iter().chain(&plan.notes).map(clean))
        .collect();
    if !notices.is_empty() {
        heading(&mut out, "notices");
        for notice in notices {
            let _ = writeln!(out, "  {notice}");
        }
    }
    out
}

pub(super) fn heading(out: &mut String, title: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "{}", painted(TITLE, title));
}

/// A text of a profile, without what would write on the terminal.
pub(super) fn clean(text: impl Display) -> String {
    OsText::from(text.to_string()).to_string()
}

pub(super) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(" ")
}

fn command(out: &mut String, plan: &Plan) {
    heading(out, "command");
    let c = &plan.command;
    let row = |name: &str, value: String| [format!("  {name}"), value];
    let program = match &c.program {
        Some(program) => program.to_string(),
        None => "not installed".to_owned(),
    };
    let id = &plan.identity;
    let identity = match id.mode {
        IdentityMode::Same => String::new(),
        IdentityMode::Shifted => format!(", a kernel uid of its own ({})", id.outer_uid),
        IdentityMode::Owner => format!(", the owner of the workspace (uid {})", id.outer_uid),
        IdentityMode::KernelRoot => painted(BAD, ", KERNEL UID 0"),
    };
    let workspace = if plan.workspace.path == plan.workspace.real {
        plan.workspace.path.to_string()
    } else {
        format!("{} ({})", plan.workspace.path, plan.workspace.real)
    };
    out.push_str(&columns(&[
        row("runs", list(&c.argv)),
        row("program", program),
        row("profiles", clean(c.profiles.join(" "))),
        row("workspace", workspace),
        row("directory", c.cwd.to_string()),
        row(
            "user",
            format!("{} (uid {}{identity})", clean(&id.user), id.inner_uid),
        ),
        row("home", id.home.to_string()),
    ]));
}

fn grants(out: &mut String, plan: &Plan, title: &str, kind: GrantKind) {
    let grants: Vec<&Grant> = plan.grants.iter().filter(|g| g.kind == kind).collect();
    if grants.is_empty() {
        return;
    }
    heading(out, title);
    // Forty files of /etc are one line for each origin's place, not one each: the plan has to fit two screens, and
    // `--json` has every path with its line.
    let (etc, rest): (Vec<&Grant>, Vec<&Grant>) = grants
        .into_iter()
        .partition(|g| g.path.bytes().starts_with(b"/etc/") && g.note.is_none());
    let mut rows: Vec<[String; 2]> = rest
        .iter()
        .map(|grant| {
            let note = grant
                .note
                .as_deref()
                .map_or(String::new(), |note| format!(" {}", clean(note)));
            [
                format!("  {}", grant.path),
                format!("[{}]{note}", clean(&grant.origin)),
            ]
        })
        .collect();
    if let [one] = etc.as_slice() {
        rows.push([
            format!("  {}", one.path),
            format!("[{}]", clean(&one.origin)),
        ]);
    }
    out.push_str(&columns(&rows));
    if etc.len() > 1 {
        let names = etc
            .iter()
            .map(|g| g.path.to_string().split_off("/etc/".len()));
        wrapped(out, "  /etc: ", 4, names);
        let mut sources: Vec<String> = etc.iter().map(|g| source(&clean(&g.origin))).collect();
        sources.sort();
        sources.dedup();
        let _ = writeln!(out, "    [{}]", sources.join(", "));
    }
}

/// An origin without its line.
fn source(origin: &str) -> String {
    match origin.rsplit_once(':') {
        Some((source, line)) if line.bytes().all(|b| b.is_ascii_digit()) => source.to_owned(),
        _ => origin.to_owned(),
    }
}

/// One paragraph for each source, in the order in which they come.
fn by_source<'a>(out: &mut String, title: &str, items: impl Iterator<Item = (String, &'a Origin)>) {
    let mut sources: Vec<(String, Vec<String>)> = Vec::new();
    for (item, origin) in items {
        let from = source(&clean(origin));
        match sources.iter_mut().find(|(known, _)| *known == from) {
            Some((_, items)) => items.push(item),
            None => sources.push((from, vec![item])),
        }
    }
    for (from, items) in sources {
        wrapped(out, &format!("  {title} [{from}]: "), 4, items);
    }
}

fn refused(out: &mut String, plan: &Plan) {
    let refused = &plan.refused;
    if refused.rules.is_empty() {
        return;
    }
    heading(out, "refused programs");
    let rules = refused.rules.iter();
    by_source(
        out,
        "names",
        rules.map(|rule| (rule.name.clone(), &rule.origin)),
    );
    wrapped(
        out,
        "  covered here: ",
        4,
        refused.places.iter().map(|place| &place.path),
    );
}

fn variables(out: &mut String, plan: &Plan) {
    heading(out, "variables");
    let pass = plan.env.pass.iter();
    by_source(out, "in", pass.map(|p| (p.name.to_string(), &p.origin)));
    wrapped(out, "  given [--env]: ", 4, &plan.env.given);
    let set = plan.env.set.iter();
    by_source(
        out,
        "set",
        set.map(|s| (format!("{}={}", s.name, s.value), &s.origin)),
    );
    for (title, credential, why) in [
        ("  out, looks like a credential", Some(true), None),
        ("  out, denied", Some(false), Some(Stripped::Denied)),
        ("  out, not listed", Some(false), Some(Stripped::NotListed)),
        (
            "  out, the box cannot write what it names",
            Some(false),
            Some(Stripped::NotThere),
        ),
        (
            "  out, value looks like a credential",
            Some(false),
            Some(Stripped::LooksLikeCredential),
        ),
    ] {
        let names: Vec<&OsText> = plan
            .env
            .stripped
            .iter()
            .filter(|s| {
                credential.is_none_or(|c| s.credential == c) && why.is_none_or(|w| s.why == w)
            })
            .map(|s| &s.name)
            .collect();
        wrapped(out, &format!("{title}: "), 4, names);
    }
    wrapped(out, "  PATH without: ", 4, &plan.path_dropped);
}

fn limits(out: &mut String, plan: &Plan) {
    heading(out, "limits");
    let rows: Vec<[String; 3]> = plan
        .limits
        .list
        .iter()
        .map(|limit| {
            let by = match limit.by {
                LimitBy::CgroupV2 => "cgroup v2",
                LimitBy::CgroupV1 => "cgroup v1",
                LimitBy::Rlimit => "rlimit",
                LimitBy::Tmpfs => "tmpfs",
                LimitBy::Affinity => "affinity",
                LimitBy::Timer => "timer",
                LimitBy::Terminal => "terminal",
            };
            [
                format!("  {} {}", limit.name.word(), limit_value(limit)),
                format!("by {by}"),
                format!("[{}]", clean(&limit.origin)),
            ]
        })
        .collect();
    for (line, limit) in columns(&rows).lines().zip(&plan.limits.list) {
        let meaning = clean(&limit.meaning);
        if line.chars().count() + 1 + meaning.chars().count() <= WIDTH {
            let _ = writeln!(
                out,
                "{}",
                format_args!("{line} {meaning}").to_string().trim_end()
            );
        } else {
            let _ = writeln!(out, "{line}");
            wrapped(out, "      ", 6, meaning.split(' '));
        }
    }
    let _ = writeln!(out, "  stop-grace {}", seconds(plan.limits.stop_grace));
}

fn limit_value(limit: &Limit) -> String {
    match limit.name {
        LimitName::Memory | LimitName::FileSize | LimitName::Disk | LimitName::Output => {
            bytes(limit.value)
        }
        LimitName::Time | LimitName::Idle => seconds(limit.value),
        LimitName::Cpu | LimitName::Processes | LimitName::OpenFiles => format!("{}", limit.value),
    }
}

/// `8GiB`, `1.5GiB`, `700B`.
pub(super) fn bytes(value: f64) -> String {
    let mut value = value;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return tenths(value, unit);
        }
        value /= 1024.0;
    }
    tenths(value, "TiB")
}

fn tenths(value: f64, unit: &str) -> String {
    let text = format!("{value:.1}");
    format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// `90s`, `2h`, `1h30m`.
pub(super) fn seconds(value: f64) -> String {
    let (hours, rest) = ((value / 3600.0).floor(), value % 3600.0);
    let (minutes, rest) = ((rest / 60.0).floor(), rest % 60.0);
    let mut out = String::new();
    for (number, unit) in [(hours, "h"), (minutes, "m")] {
        if number > 0.0 {
            let _ = write!(out, "{number}{unit}");
        }
    }
    if rest > 0.0 || out.is_empty() {
        out.push_str(&tenths(rest, "s"));
    }
    out
}

fn layers(out: &mut String, plan: &Plan, steps: &[&str]) {
    heading(out, "layers, in the order of their enforcement");
    let position = |layer: &Layer| {
        steps
            .iter()
            .position(|step| *step == layer.name())
            .unwrap_or(steps.len())
    };
    let mut all = Layer::ALL;
    // Stable: layers without a step of their own come last, in the order of reports.
    all.sort_by_key(position);
    let rows: Vec<[String; 2]> = all
        .iter()
        .map(|layer| {
            let off = plan.off.iter().find(|off| off.layer == *layer);
            let state = match off {
                Some(off) => format!("{}  [{}]", painted(BAD, "OFF"), clean(&off.origin)),
                None if plan.require.contains(layer) => painted(GOOD, "must hold"),
                None if is_hosts(plan, *layer) => "the host's, as asked for".to_owned(),
                None => painted(WEAK, "may be missing"),
            };
            [format!("  {}", layer.name()), state]
        })
        .collect();
    out.push_str(&columns(&rows));
}

/// Whether there is nothing to hold, since the host's network was asked for.
pub(super) fn is_hosts(plan: &Plan, layer: Layer) -> bool {
    layer == Layer::Network && plan.network.mode == NetworkMode::Host
}

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(super) mod tests;
