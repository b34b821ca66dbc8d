//! Questions about variables.

#![forbid(unsafe_code)]

use super::{Answer, Remedy, Verdict, no, remedy, yes};
use crate::plan::{OsText, Plan, Stripped};
use crate::policy::Origin;

pub(super) fn env(plan: &Plan, name: &OsText) -> Answer {
    let env = &plan.env;
    if name.bytes() == b"AGENTBOX_SESSION" {
        let own = Origin::agentbox("the session's name");
        return yes(name.clone(), "agentbox sets it", Some(&own));
    }
    if env.given.contains(name) {
        let flag = Origin::Cli {
            flag: "--env".to_owned(),
        };
        return yes(name.clone(), "its value was given", Some(&flag));
    }
    if let Some(set) = env.set.iter().find(|set| set.name == *name) {
        return yes(
            name.clone(),
            format!("it is set to {}", set.value),
            Some(&set.origin),
        );
    }
    if let Some(pass) = env.pass.iter().find(|pass| pass.name == *name) {
        return yes(
            name.clone(),
            "the caller's value passes",
            Some(&pass.origin),
        );
    }
    let stripped = env.stripped.iter().find(|s| s.name == *name);
    let why = match stripped.map(|stripped| stripped.why) {
        Some(Stripped::Denied) if stripped.is_some_and(|s| s.origin.is_none()) => {
            "it can make programs run or load something else, and only its exact name lets it in"
        }
        Some(Stripped::Denied) => "a rule of [env] deny removes it",
        Some(Stripped::LooksLikeCredential) => {
            "its value looks like a credential, and only its exact name lets that in"
        }
        Some(Stripped::NotThere) => {
            "the box cannot write the directory that it names (--write DIRECTORY)"
        }
        Some(Stripped::NotListed) => "no rule of [env] keep lets it in",
        None => "the caller has not set it",
    };
    let is_not_there = stripped.is_some_and(|s| s.why == Stripped::NotThere);
    let remedy: Option<Remedy> =
        (!name.bytes().is_empty() && !is_not_there).then(|| remedy("--env", "env", "keep", name));
    no(
        name.clone(),
        why,
        stripped.and_then(|s| s.origin.as_ref()),
        remedy,
    )
    .which(Verdict::Absent)
}
