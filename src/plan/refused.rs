//! What the plan says of refused programs (`[commands] deny`), and which name is one. Plain data and a pure question: the
//! keeper asks it of names that appear later.

#![forbid(unsafe_code)]

use super::OsText;
use crate::policy::Origin;
use crate::policy::pattern;
use serde::{Deserialize, Serialize};

/// The directory that is first on the box's PATH: agentbox itself and a stub for every refused name.
pub const BIN: &str = "/run/agentbox/bin";

/// agentbox in the box: what runs a stub, and `agentbox why`.
pub const PROGRAM: &str = "/run/agentbox/agentbox";

/// The stub in [`BIN`], of which the names beside it are links and which covers the programs that were found.
pub const STUB: &str = "/run/agentbox/bin/.refused";

/// Who refuses what, one line for each rule: beside the stub, for its message.
pub const RULES: &str = "/run/agentbox/bin/.rules";

/// The plan of the box, for `agentbox why` in it.
pub const PLAN: &str = "/run/agentbox/plan.json";
/// The same below the session's directory, where there is no view.
pub const BARE_PLAN: &str = "run/plan.json";

/// Where a stub reports to: a datagram socket of the supervisor.
pub const REPORT: &str = "/run/agentbox/report";

/// The programs that are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Refused {
    /// The rules: a name or a pattern each.
    pub rules: Vec<RefuseRule>,
    /// Names that a rule would hit and that a stronger source allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<AllowedName>,
    /// What was found of them: each is covered by the stub.
    pub places: Vec<RefusedPlace>,
    /// The directories that were searched, as the box sees them: what appears there later under such a name is to be
    /// covered, too.
    pub searched: Vec<OsText>,
    /// The host's directory behind [`BIN`]; made at the start when it is not there.
    pub stubs: OsText,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RefuseRule {
    /// A name, or a pattern with `*`.
    pub name: String,
    /// Who says so.
    pub origin: Origin,
}

/// A name that is allowed against a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AllowedName {
    /// The name.
    pub name: String,
    /// Who says so.
    pub origin: Origin,
}

/// A file that the stub covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RefusedPlace {
    /// Its canonical directory and its name: a symlink at this place is covered itself and not followed.
    pub path: OsText,
    /// The rule that refuses it.
    pub rule: String,
    /// What is covered.
    pub covers: Covers,
    /// The place that led here, where that is another one (a link to it, another name of the same file).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<OsText>,
}

/// What a cover covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Covers {
    /// The program: its bytes cannot be read by this name, and every other name that was found is covered as well.
    Program,
    /// Only this name: the file has other names that are not refused (busybox, a version manager's shim), and runs by them.
    Name,
}

impl Refused {
    /// The rule that refuses a program of this name.
    #[must_use]
    pub fn rule(&self, name: &[u8]) -> Option<&RefuseRule> {
        // Exact names first: nearly all are, and their rule is the better answer.
        let exact = |r: &&RefuseRule| r.name.as_bytes() == name;
        let pattern = |r: &&RefuseRule| pattern::matches(&r.name, name);
        // The floor's rule is the one that nobody can lift.
        let floor = self
            .rules
            .iter()
            .filter(|r| r.origin.is_floor())
            .find(pattern);
        let found = floor
            .or_else(|| self.rules.iter().find(exact))
            .or_else(|| self.rules.iter().find(pattern))?;
        let allowed = self.allowed.iter().any(|a| a.name.as_bytes() == name);
        (!allowed).then_some(found)
    }
}

/// The stub. The kernel hands it to agentbox with the path by which it was started (execve(2), "Interpreter scripts"), also
/// where it is itself the interpreter of a script; whoever reads it instead of running it reads why.
#[must_use]
pub fn stub_text() -> String {
    format!(
        "#!{PROGRAM} refused\n\
         # agentbox: this program is refused in the box by [commands] deny, and its own bytes are not here.\n\
         # `agentbox why exec NAME` says by which rule, and what the human can do.\n"
    )
}

impl Refused {
    /// What stands in [`RULES`]: a rule and its origin in each line.
    #[must_use]
    pub fn rules_text(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::with_capacity(self.rules.len() * 32);
        for rule in &self.rules {
            let _ = writeln!(out, "{}\t{}", rule.name, rule.origin);
        }
        out
    }

    /// The names of the stubs in [`BIN`].
    pub fn stub_names(&self) -> impl Iterator<Item = &str> {
        let names = self.rules.iter().map(|rule| rule.name.as_str());
        names.filter(|name| {
            let allowed = self.allowed.iter().any(|allowed| allowed.name == **name);
            // A name that begins with a dot could be the stub's own.
            !pattern::is_pattern(name) && !name.starts_with('.') && *name != "agentbox" && !allowed
        })
    }
}

/// The rule and its origin for a name, from [`Refused::rules_text`].
#[must_use]
pub fn rule_in<'t>(text: &'t str, name: &[u8]) -> Option<(&'t str, &'t str)> {
    let rules = || text.lines().filter_map(|line| line.split_once('\t'));
    rules()
        .filter(|(_, origin)| origin.starts_with("floor "))
        .find(|(rule, _)| pattern::matches(rule, name))
        .or_else(|| rules().find(|(rule, _)| rule.as_bytes() == name))
        .or_else(|| rules().find(|(rule, _)| pattern::matches(rule, name)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refused(rules: &[&str], allowed: &[&str]) -> Refused {
        let origin = |why: &str| Origin::agentbox(why);
        Refused {
            rules: rules
                .iter()
                .map(|name| RefuseRule {
                    name: (*name).to_owned(),
                    origin: origin(name),
                })
                .collect(),
            allowed: allowed
                .iter()
                .map(|name| AllowedName {
                    name: (*name).to_owned(),
                    origin: origin(name),
                })
                .collect(),
            ..Refused::default()
        }
    }

    #[test]
    fn a_name_and_its_rule() {
        for (rules, allowed, name, want) in [
            (&["terraform"][..], &[][..], "terraform", Some("terraform")),
            (&["terraform"], &[], "terraform2", None),
            (&["terra*"], &[], "terraform", Some("terra*")),
            (
                &["terra*", "terraform"],
                &[],
                "terraform",
                Some("terraform"),
            ),
            (&["terra*"], &["terraform"], "terraform", None),
            (&["terra*"], &["terraform"], "terragrunt", Some("terra*")),
            (&[], &[], "terraform", None),
        ] {
            let refused = refused(rules, allowed);
            let got = refused.rule(name.as_bytes()).map(|rule| rule.name.as_str());
            assert_eq!(got, want, "{rules:?} {allowed:?} {name}");
            let text = refused.rules_text();
            let told = rule_in(&text, name.as_bytes()).map(|(rule, _)| rule);
            assert!(want.is_none() || told == want, "{rules:?} {name}");
        }
    }

    #[test]
    fn stubs_are_plain_names() {
        let refused = refused(&["a", "b*", ".refused", "agentbox", "c"], &["c"]);
        assert_eq!(refused.stub_names().collect::<Vec<_>>(), ["a"]);
    }
}
