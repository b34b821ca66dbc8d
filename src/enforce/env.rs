//! The environment of the box, built from nothing (environ(7)).

#![forbid(unsafe_code)]

use crate::plan::{Env, OsText};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

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
    for pass in &env.pass {
        if let Some(value) = passed(pass.name.os()) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::{EnvPass, EnvSet};
    use crate::policy::Origin;

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
