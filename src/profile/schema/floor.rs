//! `floor.toml`: which keys it may have. It lies under everything, so it forbids and grants nothing.

#![forbid(unsafe_code)]

use super::{Role, Walk};
use crate::plan::names::Verdict;
use crate::profile::keys::dotted;
use std::ops::Range;

/// What a floor can say, by table; "" is the top of the file.
pub(in crate::profile) const FLOOR: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "description",
            "files",
            "commands",
            "env",
            "network",
            "limits",
            "layers",
            "kill-switch",
        ],
    ),
    ("files", &["hide", "protect", "hard-links"]),
    ("commands", &["deny"]),
    ("env", &["deny"]),
    ("network", &["mode", "deny", "host-ports", "publish"]),
    (
        "limits",
        &[
            "memory",
            "processes",
            "cpu",
            "file-size",
            "open-files",
            "disk",
            "time",
            "idle",
            "output",
        ],
    ),
    ("layers", &["require", "rung", "nested"]),
    ("kill-switch", &["files", "remote", "team"]),
];

impl Walk<'_> {
    /// Whether a text of this role may have that key; says so if not.
    pub(super) fn is_for_floor(&mut self, table: &str, name: &str, at: Range<usize>) -> bool {
        let has = |(known, keys): &(&str, &[&str])| *known == table && keys.contains(&name);
        if self.role != Role::Floor || FLOOR.iter().any(has) {
            return true;
        }
        self.problem(
            at,
            format!(
                "`{}` has no place in a floor, which only forbids",
                dotted(table, name)
            ),
            "what is for everybody and can be changed goes into config.toml beside it",
        );
        false
    }

    /// A rule that lifts, or one with a condition, could end a stronger one of the same name.
    pub(super) fn only_forbids(&mut self) {
        if self.role != Role::Floor {
            return;
        }
        let files = &self.out.fragment.files;
        let mut problems = Vec::new();
        for wish in files.hide.iter().chain(&files.protect) {
            let what = match (wish.value.verdict, wish.value.holds) {
                (Verdict::Applies, None) => continue,
                (Verdict::Lifted, _) => "a pattern with `!` lifts, and a floor only forbids",
                (Verdict::Applies, Some(_)) => "a condition would show what another rule hides",
            };
            let line = wish.origin.line().unwrap_or(1);
            problems.push((self.start_of(line), what));
        }
        for (at, what) in problems {
            self.problem(at..at, what, "write the names that nobody may have");
        }
    }

    /// Ports of a floor are the only ones, and an empty list leaves none: they are no wishes.
    pub(super) fn only_ports(&mut self, at: &Range<usize>, name: &str) {
        if self.role != Role::Floor {
            return;
        }
        let egress = &mut self.out.fragment.egress;
        let ports: Vec<u16> = match name {
            "publish" => egress.publish.drain(..).map(|w| w.value.host).collect(),
            _ => egress.host_ports.drain(..).map(|w| w.value).collect(),
        };
        let only = Some(self.wish(ports, at));
        match name {
            "publish" => self.out.fragment.egress.only_publish = only,
            _ => self.out.fragment.egress.only_host_ports = only,
        }
    }

    /// The offset of a line's first byte.
    pub(super) fn start_of(&self, line: u32) -> usize {
        let before = usize::try_from(line).unwrap_or(1).saturating_sub(2);
        match line {
            0 | 1 => 0,
            _ => self.newlines.get(before).map_or(0, |newline| newline + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::keys::TABLES;

    #[test]
    fn what_a_floor_says_is_part_of_the_format() {
        for (table, names) in FLOOR {
            let keys = TABLES
                .iter()
                .find(|(t, _)| t == table)
                .map(|(_, keys)| keys);
            for name in *names {
                let known = keys.is_some_and(|keys| keys.iter().any(|key| key.name == *name));
                assert!(known, "[{table}] {name}");
            }
        }
    }
}
