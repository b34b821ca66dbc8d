//! What `agentbox check` prints.

#![forbid(unsafe_code)]

use crate::host::{Cgroup, Host};
use crate::outcome::{Evidence, Status};
use std::fmt::Write as _;

/// One trial, as plain data.
pub struct Trial<'a> {
    /// What was tried, in words.
    pub what: &'a str,
    /// The evidence, or why there is no box.
    pub result: Result<&'a [Evidence], &'a str>,
}

/// For people.
#[must_use]
pub fn text(host: &Host, trials: &[Trial<'_>], hints: &[String]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "caller       {} (uid {}), {} CPUs, {} MiB",
        host.user,
        host.uid,
        host.cpus,
        host.memory >> 20
    );
    let _ = writeln!(out, "limits by    {}", cgroup(&host.cgroup));
    for trial in trials {
        let _ = writeln!(out);
        match trial.result {
            Ok(evidence) => {
                let _ = writeln!(out, "yes  {}", trial.what);
                for e in evidence {
                    let (word, why) = match &e.status {
                        Status::Full => ("holds", ""),
                        Status::Partial { why } => ("in part", why.as_str()),
                        Status::Absent { why } => ("missing", why.as_str()),
                    };
                    let proof = e.proof.join("; ");
                    let gap = if why.is_empty() || proof.is_empty() {
                        ""
                    } else {
                        "; "
                    };
                    let _ = writeln!(out, "     {:<13}{word:<9}{why}{gap}{proof}", e.layer.name());
                }
            }
            Err(why) => {
                let _ = writeln!(out, "no   {}\n     {why}", trial.what);
            }
        }
    }
    if !hints.is_empty() {
        let _ = writeln!(out, "\nwhat this host says of itself");
        for hint in hints {
            let _ = writeln!(out, "     {hint}");
        }
    }
    out
}

fn cgroup(cgroup: &Cgroup) -> String {
    match cgroup {
        Cgroup::None => "rlimits (no cgroup is delegated to this caller)".to_owned(),
        Cgroup::V2 { dir, controllers } => {
            format!("cgroup v2 {} ({})", dir.display(), controllers.join(", "))
        }
        Cgroup::V1 { controllers } => {
            let names: Vec<_> = controllers.iter().map(|(name, _)| name.as_str()).collect();
            format!("cgroup v1 ({})", names.join(", "))
        }
    }
}

/// For programs.
#[must_use]
pub fn json(host: &Host, trials: &[Trial<'_>], hints: &[String]) -> String {
    let trials: Vec<_> = trials
        .iter()
        .map(|trial| match trial.result {
            Ok(evidence) => {
                serde_json::json!({"what": trial.what, "ok": true, "evidence": evidence})
            }
            Err(why) => serde_json::json!({"what": trial.what, "ok": false, "why": why}),
        })
        .collect();
    let all = serde_json::json!({
        "version": 1,
        "uid": host.uid,
        "limits-by": cgroup(&host.cgroup),
        "trials": trials,
        "hints": hints,
    });
    format!("{all:#}\n")
}
