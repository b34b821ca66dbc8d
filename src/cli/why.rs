//! `agentbox why`: one question to the plan, outside of a box or in it.

#![forbid(unsafe_code)]

use super::args::{PlanArgs, Verb, WhyArgs};
use super::say::{self, Said};
use super::{CliError, plan_for};
use crate::exit;
use crate::host::{Host, RealLookup};
use crate::plan::refused::PLAN;
use crate::plan::why::{Answer, Question, Side, ask};
use crate::plan::{OsText, Plan};
use crate::report;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the plan of a box that has just been started may take to be there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers. Returns the exit status.
#[must_use]
pub fn why(args: &WhyArgs) -> u8 {
    let answered = if Path::new(PLAN).exists() {
        inside(args)
    } else {
        outside(args)
    };
    let answer = match answered {
        Ok(answer) => answer,
        Err(e) => {
            // 1 is an answer.
            e.lines().iter().for_each(say::error);
            return exit::USAGE;
        }
    };
    let text = if args.json {
        report::why::json(&answer)
    } else {
        report::why::text(&answer)
    };
    match (say::out(&text), answer.allowed) {
        (Said::Lost, _) => exit::USAGE,
        (Said::Fine, true) => 0,
        (Said::Fine, false) => exit::NO,
    }
}

fn outside(args: &WhyArgs) -> Result<Answer, CliError> {
    let mut host = Host::gather()?;
    let mut plan_args = args.plan.clone();
    if plan_args.command.is_empty() {
        plan_args.command = vec![OsString::from("/bin/sh")];
    }
    // A variable that is not set is asked for as if it were: the plan speaks of those that are.
    let unset = args.verb == Verb::Env && !host.env.iter().any(|(name, _)| *name == args.thing);
    if unset {
        host.env.push((args.thing.clone(), OsString::new()));
    }
    let question = question(args, &host.cwd, &host.home);
    let planned = plan_for(&plan_args, &host, &RealLookup)?;
    let mut answer = ask(&planned.plan, &question, Side::Outside, &RealLookup);
    let given = planned.plan.env.given.iter();
    let value_elsewhere = || {
        let set = planned.plan.env.set.iter().map(|set| &set.name);
        given.chain(set).any(|name| name.os() == args.thing)
    };
    if unset && !value_elsewhere() {
        answer.because.push_str("; the caller has not set it");
    }
    Ok(answer)
}

fn inside(args: &WhyArgs) -> Result<Answer, CliError> {
    if args.plan != PlanArgs::default() {
        return Err(CliError::Fixed);
    }
    let plan = own_plan()?;
    let cwd = std::env::current_dir().map_err(CliError::io("getcwd"))?;
    let question = question(args, &cwd, plan.identity.home.path());
    Ok(ask(&plan, &question, Side::Inside, &RealLookup))
}

/// The plan of this box. It is written beside the start of the command, which may be faster.
fn own_plan() -> Result<Plan, CliError> {
    let begun = Instant::now();
    loop {
        let text = std::fs::read(PLAN).map_err(CliError::io("read the plan"))?;
        match serde_json::from_slice(&text) {
            Ok(plan) => return Ok(plan),
            Err(e) if begun.elapsed() > PATIENCE => return Err(CliError::Json(e)),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn question(args: &WhyArgs, cwd: &Path, home: &Path) -> Question {
    let path = || match args.thing.to_str().and_then(|text| text.strip_prefix("~/")) {
        Some(below) => home.join(below),
        None => cwd.join(&args.thing),
    };
    let program = || -> PathBuf {
        let is_path = args.thing.as_encoded_bytes().contains(&b'/');
        if is_path {
            path()
        } else {
            PathBuf::from(&args.thing)
        }
    };
    match args.verb {
        Verb::Read => Question::Read(path()),
        Verb::Write => Question::Write(path()),
        Verb::Exec => Question::Exec(OsText::from(program())),
        Verb::Env => Question::Env(OsText::from(args.thing.as_os_str())),
    }
}
