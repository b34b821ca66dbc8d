//! What the banner says, and in how many lines.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::super::plan::tests::{builtin, plan};
use super::*;
use crate::plan::rung::Standing;

fn lines(plan: &Plan, evidence: &[Evidence]) -> Vec<String> {
    let lines = banner(plan, evidence, &[]);
    assert!(lines.len() <= MOST, "{lines:#?}");
    lines
}

/// Nothing is as one would think.
fn weakest() -> (Plan, Vec<Evidence>) {
    let mut plan = plan();
    plan.network.mode = NetworkMode::Filtered;
    plan.standing = Standing {
        rung: Rung::Landlock,
        why: Some("clone with new namespaces: EPERM".into()),
        ..Standing::default()
    };
    let gone = [Layer::Namespaces, Layer::View, Layer::Network];
    plan.require.retain(|layer| !gone.contains(layer));
    plan.notices = (1..=9).map(|n| format!("warning {n}")).collect();
    plan.notes = vec![
        "git does not sign here: why; what to do".into(),
        "the agent does not update itself here; outside: update".into(),
    ];
    let evidence = gone.map(|layer| Evidence::absent(layer, "a long reason"));
    (plan, evidence.into())
}

#[test]
fn it_is_loud_about_what_is_weak_and_quiet_else() {
    let loud = plan();
    assert_eq!(
        lines(&loud, &[]),
        [
            "claude in /home/a/w with profile claude, the host's network (also writes 2 files and directories of its profile)",
            "layers that may be missing: limits; `agentbox check` says what this host can enforce",
            "signing is off\\u{1b}",
            "kept out, looks like a credential: AWS_SECRET_ACCESS_KEY ANTHROPIC_CUSTOM  (--env NAME lets one in)",
        ]
    );
    let mut quiet = plan();
    quiet.network.mode = NetworkMode::None;
    quiet.off.clear();
    quiet.require = Layer::ALL.to_vec();
    quiet.env.stripped.retain(|s| !s.credential);
    quiet.notices.clear();
    quiet.grants.truncate(5);
    let full = Layer::ALL.map(Evidence::full);
    assert_eq!(
        lines(&quiet, &full),
        ["claude in /home/a/w with profile claude, no network"]
    );
}

#[test]
fn four_lines_hold_everything_that_is_weak() {
    let (plan, evidence) = weakest();
    let said = lines(&plan, &evidence);
    assert_eq!(
        said[1],
        "layers that do not hold in full: namespaces view network; layers that may be missing: limits; \
         rung landlock, since here it is \"clone with new namespaces: EPERM\"; \
         `agentbox check --rungs` says what still holds"
    );
    let warnings: Vec<String> = (1..=9).map(|n| format!("warning {n}")).collect();
    assert_eq!(said[2], warnings.join(" | "), "none is left out");
    assert_eq!(
        said[3],
        "kept out, looks like a credential: AWS_SECRET_ACCESS_KEY ANTHROPIC_CUSTOM  (--env NAME lets one in) | \
         git does not sign here: why | the agent does not update itself here | more: `agentbox explain COMMAND`"
    );
    // What the supervisor adds is a warning like the others.
    let said = banner(&plan, &evidence, &["looked for every 50 ms".into()]);
    assert!(
        said.len() <= MOST && said[2].ends_with("| looked for every 50 ms"),
        "{said:#?}"
    );
}

#[test]
fn one_layer_says_why_itself() {
    let mut plan = plan();
    plan.require = Layer::ALL.to_vec();
    plan.off.clear();
    let evidence = [Evidence::partial(Layer::Landlock, "ABI 3")];
    let said = lines(&plan, &evidence);
    assert!(
        said[1].starts_with("layer landlock does not hold in full: ABI 3; "),
        "{said:#?}"
    );
}

#[test]
fn one_note_is_whole_and_a_warning_always() {
    let mut plan = plan();
    plan.env.stripped.clear();
    plan.notices = vec!["a warning; and what to do".into()];
    plan.notes = vec!["a note; and what to do".into()];
    let said = lines(&plan, &[]);
    assert_eq!(
        said[2..],
        ["a warning; and what to do", "a note; and what to do"]
    );
}

/// A long path is not broken, and nobody has to count spaces to copy it.
#[test]
fn long_paths_stay_whole() {
    let mut plan = plan();
    let long = format!("/home/a/{}", "very/long/".repeat(60));
    plan.workspace.path = long.as_str().into();
    plan.grants[4].path = long.as_str().into();
    for (grant, origin) in plan.grants.iter_mut().skip(5).zip([
        Origin::Cli {
            flag: "--write".into(),
        },
        builtin("claude", 1),
    ]) {
        grant.path = format!("{long}{}", grant.path).as_str().into();
        grant.origin = origin;
    }
    let said = lines(&plan, &[]);
    let want = format!("(also writes {long}/home/a/.claude {long}/home/a/.claude.json)");
    assert!(said[0].contains(&format!("in {long} with")), "{said:#?}");
    assert!(said[0].ends_with(&want), "{said:#?}");
}
