//! `agentbox check`: what this host can enforce, found by building a box and letting it prove itself.

#![forbid(unsafe_code)]

use super::args::{CheckArgs, PlanArgs};
use super::say::{self, Said};
use super::{Planned, plan_for};
use crate::enforce::{STEPS, build, limits, verify};
use crate::exit;
use crate::host::{Host, RealLookup};
use crate::launch::command::{Descriptor, Inherited};
use crate::launch::{self, Inputs, LaunchError, diagnose};
use crate::outcome::Evidence;
use crate::plan::NetworkMode;
use crate::report;
use crate::session::Sessions;
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;
use std::ffi::OsString;

/// What a trial found.
pub struct Trial {
    /// What was tried, in words.
    pub what: String,
    /// The evidence, or why there is no box.
    pub result: Result<Vec<Evidence>, String>,
}

/// Prints what holds. Exit status 1 if a default run would be refused.
#[must_use]
pub fn run(args: &CheckArgs) -> u8 {
    if args.layers {
        return match say::out(&report::layers::table(layers())) {
            Said::Fine => 0,
            Said::Lost => exit::NO,
        };
    }
    let host = match Host::gather() {
        Ok(host) => host,
        Err(e) => {
            say::error(&e);
            return exit::NO;
        }
    };
    let trials: Vec<Trial> = [NetworkMode::Filtered, NetworkMode::None, NetworkMode::Host]
        .map(|mode| trial(&host, mode))
        .into();
    // What is asked is the default run; a floor may well forbid another one.
    let refused = trials.first().is_some_and(|trial| trial.result.is_err());
    let hints = if refused {
        diagnose::restrictions()
    } else {
        Vec::new()
    };
    let text = if args.json {
        report::check::json(&host, &trials_data(&trials), &hints)
    } else {
        report::check::text(&host, &trials_data(&trials), &hints)
    };
    match say::out(&text) {
        Said::Fine if !refused => 0,
        _ => exit::NO,
    }
}

/// The steps that make a layer hold, in their order.
fn layers() -> impl Iterator<Item = report::layers::Row> {
    STEPS.iter().filter_map(|step| {
        step.layer.map(|layer| report::layers::Row {
            layer,
            what: step.what,
        })
    })
}

fn trials_data(trials: &[Trial]) -> Vec<report::check::Trial<'_>> {
    trials
        .iter()
        .map(|t| report::check::Trial {
            what: &t.what,
            result: t.result.as_deref().map_err(String::as_str),
        })
        .collect()
}

fn trial(host: &Host, mode: NetworkMode) -> Trial {
    let what = match mode {
        NetworkMode::Filtered => "a default run (--net filtered)",
        NetworkMode::Host => "a run on the host's network (--net host)",
        NetworkMode::None => "a run without network (--net none)",
    };
    Trial {
        what: what.to_owned(),
        result: attempt(host, mode),
    }
}

/// Builds a box in an empty directory, compares what it says with the plan, and takes it down before anything is executed.
fn attempt(host: &Host, mode: NetworkMode) -> Result<Vec<Evidence>, String> {
    let workspace = Scratch::new().map_err(|e| {
        format!(
            "a scratch directory in {}: {e}",
            std::env::temp_dir().display()
        )
    })?;
    let args = PlanArgs::for_check(&workspace.0, mode, [OsString::from("/bin/sh")].into());
    let planned = plan_for(&args, host, &RealLookup).map_err(|e| e.lines().join("; "))?;
    let Planned { plan, given } = planned;
    let state_home = host.var("XDG_STATE_HOME").map(|v| v.as_os_str());
    let sessions = Sessions::open(&host.home, state_home).map_err(|e| e.to_string())?;
    let (group, found) = limits::prepare(
        &plan.limits,
        &host.cgroup,
        &format!("check-{}", std::process::id()),
    );
    let inputs = Inputs {
        caller_env: host.env.clone(),
        given,
        session: "check".to_owned(),
        outside: sessions.path().to_owned(),
        terminal: None,
        stdio: [const { Descriptor::Null }; 3],
        state: Vec::new(),
        report: None,
        agent: None,
        inherited: Inherited {
            mask: SigSet::empty(),
            ignored: Vec::new(),
            umask: Mode::from_bits_truncate(0o077),
        },
        limits: found,
    };
    let built = launch::spawn(&plan, inputs, group.as_ref(), None)
        .and_then(|spawned| spawned.ready(&plan, |_, _| Ok(())));
    let result = built
        .map_err(|e: LaunchError| e.to_string())
        .and_then(|ready| {
            let verified = verify::from_outside(&plan, ready.spawned.init)
                .and_then(|()| verify::namespaces(&plan, &ready.namespaces, &build::NAMESPACES));
            ready.spawned.destroy();
            verified.map(|()| ready.evidence)
        });
    if let Some(group) = group {
        group
            .remove(std::time::Duration::from_secs(2))
            .map_err(|e| e.to_string())?;
    }
    result
}

/// An empty directory that goes when it is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, nix::errno::Errno> {
        nix::unistd::mkdtemp(&std::env::temp_dir().join("agentbox-check-XXXXXX")).map(Scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}
