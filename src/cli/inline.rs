//! The tests of a profile, on a host on which everything that they ask for exists: what a profile says of `~/.aws` must not
//! depend on who has one.

#![forbid(unsafe_code)]

use crate::host::{Host, Pretend, RealLookup};
use crate::plan::net::rule;
use crate::plan::resolve::{Resolution, decide, project_name, resolve_all};
use crate::plan::why::connect::{OwnServer, Wanted};
use crate::plan::why::{Question, Side, ask};
use crate::plan::{OsText, Plan};
use crate::policy::{Fragment, Origin, PathWish, Policy, Request, Wish, merge};
use crate::profile::inline::{InlineTest, Verb};
use crate::profile::{Diagnostic, Tested};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The home of the one who asks. Nobody has it.
const HOME: &str = "/home/agentbox-profile-tests";
/// The working copy.
const WORKSPACE: &str = "/home/agentbox-profile-tests/project";
/// The uid and gid of whom.
const ID: u32 = 1000;
/// Where a program is that is asked for by its name and that this host does not have.
const BIN: &str = "/usr/bin";
/// The PATH.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// 16 GiB, for shares of it.
const MEMORY: u64 = 16 << 30;

/// What is not as a test expects it; empty if everything is.
#[must_use]
pub(super) fn failed(profile: &Tested) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    for test in &profile.tests {
        let why = match answer(profile, test) {
            Ok((verdict, _)) if test.expect.is(verdict) => continue,
            Ok((_, why)) => why,
            Err(problems) => problems,
        };
        out.push(Diagnostic::new(
            &profile.label,
            &profile.text,
            test.at.clone(),
            format!(
                "{} {}: `{}` is expected, and {why}",
                test.verb.name(),
                test.thing,
                test.expect.word()
            ),
            "",
        ));
    }
    out
}

/// Why there is no box with that profile on any host: what it grants is never granted. Its tests say so as well; a profile need not
/// have one.
#[must_use]
pub(super) fn refused(profile: &Tested) -> Vec<String> {
    if !profile.tests.is_empty() {
        return Vec::new();
    }
    let mut look = Pretend::new(&RealLookup, (ID, ID));
    let mut policy = policy(profile, &host(), &mut look);
    // Of the files alone: a remote switch or a key may want what only the user's own host has.
    policy.wishes = Fragment {
        files: policy.wishes.files,
        ..Fragment::default()
    };
    let problems = resolve_all(&policy, &host(), &look).problems;
    // What nobody wished is of this host, or of the command.
    let wished = problems
        .iter()
        .filter(|problem| matches!(problem.origin, Some(Origin::File { .. })));
    wished.map(ToString::to_string).collect()
}

/// What it asks for, on a host that has what it needs.
fn policy(profile: &Tested, host: &Host, look: &mut Pretend<'_>) -> Policy {
    look.dir(Path::new(WORKSPACE));
    let request = Request {
        argv: vec![OsText::from("/bin/sh")],
        workspace: Some(PathBuf::from(WORKSPACE)),
        drill: None,
    };
    let fragments = decide(profile.fragments.clone(), &request, host, look);
    for fragment in &fragments {
        exist(fragment, look);
    }
    merge(vec![profile.label.clone()], fragments, request)
}

/// The answer, and it in words.
fn answer(
    profile: &Tested,
    test: &InlineTest,
) -> Result<(crate::plan::why::Verdict, String), String> {
    let mut look = Pretend::new(&RealLookup, (ID, ID));
    let mut host = host();
    let question = question(test, &mut look, &mut host);
    let policy = policy(profile, &host, &mut look);
    let plan = plan(&policy, &host, &look)?;
    let answer = ask(&plan, &question, Side::Outside, &look);
    let word = if answer.allowed { "yes" } else { "no" };
    let origin = answer
        .origin
        .map_or(String::new(), |origin| format!(" [{origin}]"));
    Ok((
        answer.verdict,
        format!("the answer is {word}: {}{origin}", answer.because),
    ))
}

fn plan(policy: &Policy, host: &Host, look: &Pretend<'_>) -> Result<Plan, String> {
    let Resolution { plan, problems } = resolve_all(policy, host, look);
    plan.ok_or_else(|| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("there is no such box: {}", problems.join("; "))
    })
}

fn host() -> Host {
    let env = [
        ("HOME", HOME),
        ("PATH", PATH),
        ("USER", "user"),
        ("TERM", "xterm"),
    ];
    Host {
        uid: ID,
        gid: ID,
        name: "host".to_owned(),
        user: "user".to_owned(),
        exe: std::env::current_exe().unwrap_or_default(),
        home: HOME.into(),
        shell: "/bin/sh".into(),
        cwd: WORKSPACE.into(),
        env: env.map(|(name, value)| (name.into(), value.into())).into(),
        memory: MEMORY,
        cpus: 8,
        ..Host::default()
    }
}

/// A grant that must exist does: whether it is there is a question of each host.
fn exist(fragment: &Fragment, look: &mut Pretend<'_>) {
    let files = &fragment.files;
    let needed = |list: &[Wish<PathWish>]| -> Vec<PathBuf> {
        let wishes = list.iter().filter(|wish| !wish.value.optional);
        wishes
            .map(|wish| place(&wish.value.path.to_string()))
            .collect()
    };
    for path in needed(&files.read).into_iter().chain(needed(&files.write)) {
        look.dir(&path);
    }
    for path in needed(&files.state) {
        look.file(&path);
    }
}

/// A path of a profile on that host.
fn place(text: &str) -> PathBuf {
    let below = |base: &str, rest: &str| Path::new(base).join(rest.trim_start_matches('/'));
    let starts = [
        ("${workspace}", WORKSPACE.to_owned()),
        ("${home}", HOME.to_owned()),
        ("${xdg_config}", format!("{HOME}/.config")),
        ("${xdg_cache}", format!("{HOME}/.cache")),
        ("${xdg_data}", format!("{HOME}/.local/share")),
        ("${xdg_state}", format!("{HOME}/.local/state")),
        ("~", HOME.to_owned()),
    ];
    let text = text.replace("${project}", &project_name(Path::new(WORKSPACE)));
    let found = starts
        .iter()
        .find_map(|(start, base)| Some(below(base, text.strip_prefix(start)?)));
    found.unwrap_or_else(|| PathBuf::from(&text))
}

fn question(test: &InlineTest, look: &mut Pretend<'_>, host: &mut Host) -> Question {
    let thing = test.thing.as_str();
    match test.verb {
        Verb::Read | Verb::Write => {
            let path = place(thing);
            if thing.ends_with('/') {
                look.dir(&path);
            } else {
                look.file(&path);
            }
            match test.verb {
                Verb::Read => Question::Read(path),
                _ => Question::Write(path),
            }
        }
        Verb::Exec if thing.contains('/') => {
            let path = place(thing);
            look.file(&path);
            Question::Exec(OsText::from(path))
        }
        Verb::Exec => {
            look.file(&Path::new(BIN).join(thing));
            Question::Exec(OsText::from(thing))
        }
        Verb::Env => {
            let (name, value) = thing.split_once('=').unwrap_or((thing, "x"));
            let is_it = |(known, _): &(OsString, OsString)| known == name;
            if !host.env.iter().any(is_it) {
                host.env.push((name.into(), value.into()));
            }
            Question::Env(OsText::from(name))
        }
        Verb::Connect => {
            // The parser has read it.
            let (host, port) = rule::place(thing).unwrap_or((thing.to_owned(), 443));
            Question::Connect(Wanted {
                host,
                port,
                server: OwnServer::Unknown,
            })
        }
    }
}

#[cfg(test)]
#[path = "inline_tests.rs"]
mod tests;
