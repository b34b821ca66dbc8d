//! The table of the rungs that `agentbox check --rungs` prints and that docs/everywhere.md shows.

#![forbid(unsafe_code)]

use crate::plan::rung::{Rung, TABLE};
use std::fmt::Write as _;

/// Each guarantee, and how it is kept on each rung.
#[must_use]
pub fn table() -> String {
    let mut out = String::new();
    let width = Rung::ALL.iter().map(|rung| rung.name().len()).max();
    let width = width.unwrap_or_default();
    for rung in Rung::ALL {
        let _ = writeln!(out, "{:<width$}  {}", rung.name(), rung.what());
    }
    for row in TABLE {
        let _ = writeln!(out, "\n{}", row.what);
        for (rung, how) in Rung::ALL.iter().zip(row.how) {
            let _ = writeln!(out, "  {:<width$}  {how}", rung.name());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rung_says_every_guarantee() {
        let table = table();
        for rung in Rung::ALL {
            let lines = table
                .lines()
                .filter(|line| line.trim_start().starts_with(rung.name()));
            assert_eq!(lines.count(), TABLE.len() + 1, "{rung}");
        }
        assert!(
            table.lines().all(|line| line.chars().count() <= 110),
            "{table}"
        );
    }
}
