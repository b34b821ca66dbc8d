//! The environment of the box, built from nothing (environ(7)).

#![forbid(unsafe_code)]

use crate::plan::{Env, OsText};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// `NAME=VALUE` for execve(2). Stronger sources replace weaker ones of the same name.
#[must_use]
pub fn build(
    env: &Env,
    caller: &[(OsString, OsString)],
    given: &BTreeMap<OsText, OsText>,
    session: &str,
) -> Vec<CString> {
    let mut all: BTreeMap<&OsStr, &OsStr> = BTreeMap::new();
    let passed = |name: &OsStr| {
        caller
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_os_str())
    };
    let made: Vec<_> = MAKE
        .iter()
        .map(|name| without_jobserver(passed(OsStr::new(name))))
        .collect();
    for pass in &env.pass {
        let own = MAKE.iter().position(|name| pass.name.os() == *name);
        let own = own.and_then(|at| made.get(at)?.as_deref());
        if let Some(value) = own.or_else(|| passed(pass.name.os())) {
            all.insert(pass.name.os(), value);
        }
    }
    for set in &env.set {
        all.insert(set.name.os(), set.value.os());
    }
    for name in &env.given {
        if let Some(value) = given.get(name) {
            all.insert(name.os(), value.os());
        }
    }
    all.insert(OsStr::new("AGENTBOX_SESSION"), OsStr::new(session));
    all.into_iter()
        .filter_map(|(name, value)| {
            // Neither can hold a NUL: both came out of an environment, argv or a validated profile.
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        })
        .collect()
}

/// In which make(1) and cargo tell the programs below them where the jobserver is.
const MAKE: [&str; 3] = ["MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS"];

/// The flags without the descriptors, or the fifo, of a jobserver outside, none of which is in the box: a make that does not find
/// it there falls to one job at a time, and one that is told of none makes its own.
fn without_jobserver(value: Option<&OsStr>) -> Option<OsString> {
    const SERVER: [&[u8]; 2] = [b"--jobserver-auth=", b"--jobserver-fds="];
    // Behind `--` are variables, whose values are anybody's.
    let mut in_flags = true;
    let words = value?.as_bytes().split(|b| *b == b' ').filter(|word| {
        in_flags &= *word != b"--";
        !in_flags || !SERVER.iter().any(|server| word.starts_with(server))
    });
    let words: Vec<_> = words.collect();
    Some(OsString::from_vec(words.join(&b' ')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::{EnvPass, EnvSet};
    use crate::policy::Origin;

    #[test]
    fn the_jobserver_of_a_make_outside_is_not_named_in_the_box() {
        for (outside, inside) in [
            (" -j4 --jobserver-auth=3,4", " -j4"),
            (
                "rw -j8 --jobserver-auth=fifo:/tmp/GMfifo1 -- X=--jobserver-auth=1",
                "rw -j8 -- X=--jobserver-auth=1",
            ),
            ("-j --jobserver-fds=3,4 --jobserver-auth=3,4", "-j"),
            (
                "k -- A=b --jobserver-fds=1,2",
                "k -- A=b --jobserver-fds=1,2",
            ),
            ("", ""),
        ] {
            let got = without_jobserver(Some(OsStr::new(outside)));
            assert_eq!(got.unwrap(), inside, "{outside}");
        }
        assert_eq!(without_jobserver(None), None);
        let pass = |name: &str| EnvPass {
            name: name.into(),
            origin: Origin::agentbox("test"),
        };
        let env = Env {
            pass: ["MAKEFLAGS", "OTHER"].map(pass).into(),
            ..Env::default()
        };
        let value = "-j2 --jobserver-auth=3,4";
        let caller = ["MAKEFLAGS", "MFLAGS", "OTHER"].map(|name| (name.into(), value.into()));
        let built = build(&env, &caller, &BTreeMap::new(), "s1");
        let built: Vec<_> = built.iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(
            built,
            [
                "AGENTBOX_SESSION=s1",
                "MAKEFLAGS=-j2",
                "OTHER=-j2 --jobserver-auth=3,4"
            ]
        );
    }

    #[test]
    fn stronger_sources_replace_weaker_ones_and_nothing_else_gets_in() {
        let origin = Origin::agentbox("test");
        let env = Env {
            pass: ["A", "B", "EMPTY", "MISSING"]
                .map(|name| EnvPass {
                    name: name.into(),
                    origin: origin.clone(),
                })
                .into(),
            set: vec![EnvSet {
                name: "B".into(),
                value: "set".into(),
                origin,
            }],
            given: vec!["C".into(), "A".into()],
            stripped: Vec::new(),
        };
        let caller = [("A", "a"), ("B", "b"), ("EMPTY", ""), ("SECRET", "s")]
            .map(|(n, v)| (OsString::from(n), OsString::from(v)));
        let given = BTreeMap::from([("A".into(), "given".into()), ("C".into(), "c=d".into())]);
        let built = build(&env, &caller, &given, "s1");
        let text: Vec<_> = built.iter().map(|c| c.to_str().unwrap()).collect();
        assert_eq!(
            text,
            ["A=given", "AGENTBOX_SESSION=s1", "B=set", "C=c=d", "EMPTY="]
        );
    }
}
