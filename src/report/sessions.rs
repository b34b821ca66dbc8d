//! The table of `agentbox ps`.

#![forbid(unsafe_code)]

use super::columns;
use super::switches::age;
use crate::paint::{GOOD, TITLE, WEAK, painted};
use crate::plan::OsText;
use serde::Serialize;

/// A live session, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub session: String,
    /// The command's name.
    pub agent: String,
    /// argv, cut where it is very long.
    pub argv: Vec<OsText>,
    /// The profile that was chosen.
    pub profile: String,
    /// The working copy.
    pub workspace: OsText,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// Seconds since it began.
    pub age: u64,
    /// User and system time of everything in the box, in milliseconds.
    pub cpu_ms: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Processes in the box.
    pub processes: usize,
    /// How many look at its terminal.
    pub viewers: usize,
    /// The remote switches that it watches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub switches: Vec<Switch>,
    /// running, stopped, paused, ending, silent.
    pub state: String,
    /// The supervisor's process id.
    pub supervisor: i32,
    /// Init's process id.
    pub init: i32,
}

/// A remote switch of a live session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Switch {
    /// Its name.
    pub name: String,
    /// Milliseconds since its last proof of life.
    pub age_ms: Option<u64>,
    /// Why it gives none at the moment.
    pub unreachable: Option<String>,
}

/// `ops 3.2s`, `ops! 70.1s` for one that is unreachable.
fn switches(row: &Row) -> String {
    let each = row.switches.iter().map(|one| {
        let mark = if one.unreachable.is_some() { "!" } else { "" };
        format!("{}{mark} {}", one.name, age(one.age_ms))
    });
    let all: Vec<String> = each.collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(", ")
    }
}

/// The table, with a heading.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let heading = [
        "SESSION",
        "AGENT",
        "PROFILE",
        "STATE",
        "AGE",
        "CPU",
        "MEMORY",
        "PROCS",
        "WORKSPACE",
    ];
    let mut lines = vec![heading.map(|title| painted(TITLE, title))];
    for row in rows {
        lines.push([
            row.session.clone(),
            // Names that somebody chose: they must not write on the terminal.
            OsText::from(row.agent.clone()).to_string(),
            OsText::from(row.profile.clone()).to_string(),
            state(&row.state),
            duration(row.age),
            format!("{}.{}s", row.cpu_ms / 1000, row.cpu_ms % 1000 / 100),
            size(row.memory),
            row.processes.to_string(),
            row.workspace.to_string(),
        ]);
    }
    if rows.iter().all(|row| row.switches.is_empty()) {
        return columns(&lines);
    }
    // Only where there is one: a column before the last.
    let wide = lines.into_iter().enumerate().map(|(number, line)| {
        let switch = match number.checked_sub(1).and_then(|n| rows.get(n)) {
            None => painted(TITLE, "SWITCHES"),
            Some(row) => switches(row),
        };
        let [a, b, c, d, e, f, g, h, last] = line;
        [a, b, c, d, e, f, g, h, switch, last]
    });
    columns(&wide.collect::<Vec<_>>())
}

fn state(state: &str) -> String {
    let style = match state {
        "running" => GOOD,
        _ => WEAK,
    };
    painted(style, state)
}

/// 12s, 3m, 2h05m, 4d.
fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// In the unit in which it has one to four digits.
fn size(bytes: u64) -> String {
    let kib = bytes.div_ceil(1024);
    match kib {
        0..10_000 => format!("{kib}K"),
        10_000..10_240_000 => format!("{}M", kib / 1024),
        _ => format!("{}G", kib / 1024 / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_readable_and_nothing_writes_on_the_terminal() {
        let row = Row {
            session: "0123456789".into(),
            agent: "cl\x1b[2Jaude".into(),
            argv: vec!["claude".into()],
            profile: "claude".into(),
            workspace: "/w".into(),
            started: 5,
            age: 3700,
            cpu_ms: 12_345,
            memory: 300 << 20,
            processes: 7,
            viewers: 1,
            state: "running".into(),
            switches: Vec::new(),
            supervisor: 2,
            init: 3,
        };
        let table = table(&[row]);
        assert!(table.contains("\x1b[32mrunning\x1b[0m"), "{table:?}");
        assert_eq!(
            anstream::adapter::strip_str(&table).to_string(),
            "SESSION     AGENT            PROFILE  STATE    AGE    CPU    MEMORY  PROCS  WORKSPACE\n\
             0123456789  cl\\u{1b}[2Jaude  claude   running  1h01m  12.3s  300M    7      /w\n"
        );
    }

    #[test]
    fn units_fit_the_amount() {
        let rows = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (7200, "2h00m"),
            (90_000, "1d"),
        ];
        for (seconds, text) in rows {
            assert_eq!(duration(seconds), text);
        }
        let rows = [(0, "0K"), (1, "1K"), (9 << 20, "9216K"), (20 << 30, "20G")];
        for (bytes, text) in rows {
            assert_eq!(size(bytes), text);
        }
    }
}
