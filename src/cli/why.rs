//! `agentbox why`: one question to the plan, outside of a box or in it.

#![forbid(unsafe_code)]

use super::args::{PlanArgs, Verb, WhyArgs};
use super::say::{self, Said};
use super::{CliError, places, policy_for, why_live};
use crate::exit;
use crate::host::{Host, RealLookup};
use crate::launch::diagnose::own_plan_file;
use crate::plan::NetworkMode;
use crate::plan::net::rule;
use crate::plan::problem::{Problem, ProblemKind};
use crate::plan::resolve::{Resolution, resolve_all};
use crate::plan::why::connect::{OwnServer, Wanted};
use crate::plan::why::{Answer, Question, Remedy, Side, ask};
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
    let answered = match own_plan_file() {
        Some(file) => inside(args, &file),
        None => outside(args),
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
    match (say::painted(&text), answer.allowed) {
        (Said::Lost, _) => exit::USAGE,
        (Said::Fine, true) => 0,
        (Said::Fine, false) => exit::NO,
    }
}

fn outside(args: &WhyArgs) -> Result<Answer, CliError> {
    let mut host = Host::gather()?;
    if let Some(session) = &args.session {
        if args.plan != PlanArgs::default() {
            return Err(CliError::Settled);
        }
        let plan = why_live::plan(session)?;
        let home = plan.identity.home.path().to_owned();
        let question = question(args, &host.cwd, &home, Side::Outside)?;
        let mut answer = ask(&plan, &question, Side::Outside, &RealLookup);
        allowed_live(&mut answer, &plan, Some(session));
        return Ok(answer);
    }
    let mut plan_args = args.plan.clone();
    if plan_args.command.is_empty() {
        plan_args.command = vec![OsString::from("/bin/sh")];
    }
    // A variable that is not set is asked for as if it were: the plan speaks of those that are.
    let unset = args.verb == Verb::Env && !host.env.iter().any(|(name, _)| *name == args.thing);
    if unset {
        host.env.push((args.thing.clone(), OsString::new()));
    }
    let question = question(args, &host.cwd, &host.home, Side::Outside)?;
    let (plan, problems) = as_far_as(&plan_args, &host)?;
    problems.iter().for_each(say::error);
    let mut answer = ask(&plan, &question, Side::Outside, &RealLookup);
    let given = plan.env.given.iter();
    let value_elsewhere = || {
        let set = plan.env.set.iter().map(|set| &set.name);
        given.chain(set).any(|name| name.os() == args.thing)
    };
    if unset && !value_elsewhere() {
        answer.because.push_str("; the caller has not set it");
    }
    if let Some(remedy) = answer.remedy.take() {
        tried(&mut answer, &remedy, &plan_args, &host, &question);
    }
    Ok(answer)
}

/// The plan also of a command that is not installed, as `explain` has it: what an agent's profile says can be asked before the agent is
/// there. That it is not is said beside the answer.
fn as_far_as(args: &PlanArgs, host: &Host) -> Result<(Plan, Vec<Problem>), CliError> {
    let (policy, _) = policy_for(args, host, &places(host))?;
    let Resolution { plan, problems } = resolve_all(&policy, host, &RealLookup);
    match plan {
        Some(plan) if problems.iter().all(|p| p.kind != ProblemKind::Refused) => {
            Ok((plan, problems))
        }
        _ => Err(CliError::Problems(problems)),
    }
}

/// Of files a way out is tried before it is named: much is never granted, has permissions of its own, or is reached by a link that
/// the agent could have made. Then the real path may be one. What is left is said without a flag that would be refused.
fn tried(answer: &mut Answer, first: &Remedy, args: &PlanArgs, host: &Host, question: &Question) {
    let real = first.of_path(answer.thing.path());
    let candidates = [Some(first.clone()), real];
    for remedy in candidates.into_iter().flatten() {
        let mut args = args.clone();
        let value = remedy.value.os().to_owned();
        match remedy.flag.split(' ').next() {
            Some("--read") => args.read.push(value),
            Some("--write") => args.write.push(value),
            _ => {
                answer.remedy = Some(remedy);
                return;
            }
        }
        let planned = as_far_as(&args, host);
        let leads = |plan: &Plan| ask(plan, question, Side::Outside, &RealLookup).allowed;
        if planned.is_ok_and(|(plan, _)| leads(&plan)) {
            answer.remedy = Some(remedy);
            return;
        }
    }
    let note = format!("`{}` would not change that", first.flag);
    answer.notes.push(note);
}

fn inside(args: &WhyArgs, file: &Path) -> Result<Answer, CliError> {
    if args.plan != PlanArgs::default() || args.session.is_some() {
        return Err(CliError::Fixed);
    }
    let plan = own_plan(file)?;
    let cwd = std::env::current_dir().map_err(CliError::io("getcwd"))?;
    let question = question(args, &cwd, plan.identity.home.path(), Side::Inside)?;
    let mut answer = ask(&plan, &question, Side::Inside, &RealLookup);
    if let Question::Connect(wanted) = &question {
        why_live::correct(&mut answer, &plan, wanted);
        // Not by its name: the variable that has it is the agent's to set, and a human may copy the line.
        allowed_live(&mut answer, &plan, None);
    }
    Ok(answer)
}

/// A session that runs needs no other start: what would grant a host to a new one grants it to this one, too. Unless it has no gate:
/// a network is not given to a box that was made without.
fn allowed_live(answer: &mut Answer, plan: &Plan, session: Option<&str>) {
    if plan.network.mode != NetworkMode::Filtered {
        return;
    }
    let remedy = answer.remedy.as_ref();
    let Some(rule) = remedy.and_then(|remedy| remedy.flag.strip_prefix("--allow ")) else {
        return;
    };
    let named = session.map_or_else(String::new, |id| format!(" --session {id}"));
    let note = format!("or in the session that runs: agentbox allow {rule}{named}");
    answer.notes.insert(0, note);
}

/// The plan of this box. It is written beside the start of the command, which may be faster.
fn own_plan(file: &Path) -> Result<Plan, CliError> {
    let begun = Instant::now();
    loop {
        let text = std::fs::read(file).map_err(CliError::io("read the plan"))?;
        match serde_json::from_slice(&text) {
            Ok(plan) => return Ok(plan),
            Err(e) if begun.elapsed() > PATIENCE => return Err(CliError::Json(e)),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn question(args: &WhyArgs, cwd: &Path, home: &Path, side: Side) -> Result<Question, CliError> {
    no_thing(args)?;
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
    Ok(match args.verb {
        Verb::Read => Question::Read(path()),
        Verb::Write => Question::Write(path()),
        Verb::Exec => Question::Exec(OsText::from(program())),
        Verb::Env => Question::Env(OsText::from(args.thing.as_os_str())),
        Verb::Connect => {
            let thing = args.thing.to_string_lossy();
            let (host, port) = rule::place(&thing).map_err(CliError::NoHost)?;
            let server = match side {
                Side::Outside => OwnServer::Unknown,
                Side::Inside => own_server(port),
            };
            Question::Connect(Wanted { host, port, server })
        }
    })
}

/// The empty text would be the current directory, and no program and no variable is called so: an unset variable of a script.
fn no_thing(args: &WhyArgs) -> Result<(), CliError> {
    let (what, example) = match args.verb {
        Verb::Read => ("a path", "`agentbox why read .` asks about this directory"),
        Verb::Write => ("a path", "`agentbox why write .` asks about this directory"),
        Verb::Exec => (
            "a program",
            "name it as a shell does: `agentbox why exec make`",
        ),
        Verb::Env => ("a variable", "name it: `agentbox why env HOME`"),
        // Says itself what a host is.
        Verb::Connect => return Ok(()),
    };
    let thing = args.thing.as_encoded_bytes();
    if thing.is_empty() {
        return Err(CliError::NoThing(format!("`` is not {what}; {example}")));
    }
    if args.verb == Verb::Env
        && let Some(end) = thing.iter().position(|byte| *byte == b'=')
    {
        let name = String::from_utf8_lossy(thing.get(..end).unwrap_or_default());
        return Err(CliError::NoThing(match name.is_empty() {
            true => format!("a variable has a name; {example}"),
            // Never the value.
            false => format!(
                "a variable is asked for by its name alone: `agentbox why env {}`",
                OsText::from(&*name)
            ),
        }));
    }
    Ok(())
}

/// Who listens on a port of this box: what the kernel says of the network namespace.
fn own_server(port: u16) -> OwnServer {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    own_server_of(
        &(read("/proc/self/net/tcp") + &read("/proc/self/net/tcp6")),
        port,
    )
}

/// The lines of /proc/net/tcp and tcp6: `sl local_address rem_address st ...`, addresses in hexadecimal, 0A is LISTEN.
fn own_server_of(table: &str, port: u16) -> OwnServer {
    let listens = table.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (address, at) = words.next()?.split_once(':')?;
        let state = words.nth(1)?;
        let here = u16::from_str_radix(at, 16) == Ok(port) && state == "0A";
        here.then_some(address)
    });
    let mut found = OwnServer::Absent;
    for address in listens {
        let everywhere = address.bytes().all(|b| b == b'0');
        let loopback = ["0100007F", "00000000000000000000000001000000"].contains(&address);
        match found {
            _ if everywhere => return OwnServer::Everywhere,
            OwnServer::Absent if loopback => found = OwnServer::Loopback,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_told_apart() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
            0: 0100007F:1538 00000000:0000 0A 00000000:00000000\n\
            1: 00000000:0BB8 00000000:0000 0A 00000000:00000000\n\
            2: 00000000:0BB9 00000000:0000 01 00000000:00000000\n\
            3: 000012C6:1F90 00000000:0000 0A 00000000:00000000\n\
            4: 00000000000000000000000000000000:0BBA 00000000000000000000000000000000:0000 0A 0\n\
            5: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A 0\n";
        for (port, want) in [
            (5432, OwnServer::Loopback),
            (3000, OwnServer::Everywhere),
            (3001, OwnServer::Absent),
            (3002, OwnServer::Everywhere),
            (8080, OwnServer::Absent),
            (8081, OwnServer::Loopback),
            (1, OwnServer::Absent),
        ] {
            assert_eq!(own_server_of(table, port), want, "{port}");
        }
    }
}
