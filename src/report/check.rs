//! What `agentbox check` prints.

#![forbid(unsafe_code)]

use super::found::Found;
use super::wrapped;
use crate::host::{Cgroup, Host, Place};
use crate::outcome::{Evidence, Status};
use crate::paint::{self, BAD, GOOD, TITLE, WEAK, painted};
use crate::plan::rung::Rung;
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
    let _ = writeln!(out, "namespaces   {}", place(&host.place));
    let mut shown: Vec<&Evidence> = Vec::new();
    for trial in trials {
        let _ = writeln!(out);
        match trial.result {
            Ok(evidence) => {
                let _ = writeln!(out, "{}  {}", painted(GOOD, "yes"), trial.what);
                // One screen: what was found before is not told again.
                let (known, new): (Vec<&Evidence>, Vec<&Evidence>) =
                    evidence.iter().partition(|e| shown.contains(e));
                for e in &new {
                    layer(&mut out, e);
                }
                if !known.is_empty() {
                    let _ = writeln!(out, "     the other layers as above");
                }
                shown.extend(new);
            }
            Err(why) => {
                let _ = writeln!(out, "{}   {}\n     {why}", painted(BAD, "no"), trial.what);
            }
        }
    }
    if !hints.is_empty() {
        let _ = writeln!(out, "\n{}", painted(TITLE, "what this host says of itself"));
        for hint in hints {
            let _ = writeln!(out, "     {hint}");
        }
    }
    out
}

fn layer(out: &mut String, evidence: &Evidence) {
    let (style, word, why) = match &evidence.status {
        Status::Full => (GOOD, "holds", None),
        Status::Partial { why } => (WEAK, "in part", Some(why)),
        Status::Absent { why } => (BAD, "missing", Some(why)),
    };
    let said: Vec<&str> = why
        .into_iter()
        .chain(&evidence.proof)
        .map(String::as_str)
        .collect();
    let word = painted(style, format_args!("{word:<9}"));
    let title = format!("     {:<13}{word}", evidence.layer.name());
    if said.is_empty() {
        let _ = writeln!(out, "{}", title.trim_end());
    }
    let text = said.join("; ");
    wrapped(
        out,
        &title,
        paint::width(&title),
        text.split(' ').filter(|word| !word.is_empty()),
    );
}

fn place(place: &Place) -> String {
    match place {
        Place::Untried => "not tried".to_owned(),
        Place::Whole => "all can be had: the rung `full`".to_owned(),
        Place::NoProc(why) => format!("{why}: at most the rung `container-proc`"),
        Place::Nothing(why) => format!("{why}: at most the rung `landlock`"),
        Place::Unfit(cause) => format!("{}: no rung can be had", cause.what()),
    }
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

/// For programs. `rung` is the highest one on which a box stands here.
#[must_use]
pub fn json(
    host: &Host,
    rung: Option<Rung>,
    trials: &[Trial<'_>],
    hints: &[String],
    found: &Found,
) -> String {
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
        "namespaces": place(&host.place),
        "rung": rung,
        "trials": trials,
        "hints": hints,
        "agents": found.agents,
        "toolchains": found.toolchains,
        "credentials": found.credentials,
    });
    format!("{all:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Layer;

    #[test]
    fn a_layer_is_told_once_and_fits_a_screen() {
        let long = (0..30).fold(Evidence::full(Layer::Namespaces), |e, i| {
            e.proven(format!("max_thing_{i} = 0"))
        });
        let first = [
            long.clone(),
            Evidence::partial(Layer::Limits, "no cgroup").proven("rlimit"),
        ];
        let second = [long, Evidence::absent(Layer::Network, "EPERM")];
        let trial = |what, evidence| Trial {
            what,
            result: Ok(evidence),
        };
        let trials = [
            trial("one", &first[..]),
            trial("two", &second[..]),
            Trial {
                what: "three",
                result: Err("why not"),
            },
        ];
        let text = text(&Host::default(), &trials, &["a hint".to_owned()]);
        assert!(text.contains("\x1b[32myes\x1b[0m"), "{text}");
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(text.matches("max_thing_7 = 0").count(), 1, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 111),
            "{text}"
        );
        for line in [
            "yes  one",
            "     limits       in part  no cgroup; rlimit",
            "yes  two",
            "     network      missing  EPERM",
            "     the other layers as above",
            "no   three",
            "     why not",
            "     a hint",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
