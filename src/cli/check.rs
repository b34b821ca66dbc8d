//! `agentbox check`: what this host can enforce, found by building a box and letting it prove itself.

#![forbid(unsafe_code)]

mod fix;
mod found;

use super::args::{CheckArgs, PlanArgs};
use super::say::{self, Said};
use super::{Planned, plan_for};
use crate::enforce::{STEPS, build, limits, verify};
use crate::exit;
use crate::host::{Host, Idmap, RealLookup};
use crate::launch::command::{Descriptor, Inherited};
use crate::launch::{self, Inputs, LaunchError, diagnose};
use crate::outcome::Evidence;
use crate::plan::rung::{Nested, Rung};
use crate::plan::{NetworkMode, Plan};
use crate::report;
use crate::report::found::Found;
use crate::session::{Session, SessionError, Sessions};
use crate::supervise::switch::StopFiles;
pub(super) use found::on_path;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
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
    if args.rungs {
        return match say::out(&report::rungs::table()) {
            Said::Fine => 0,
            Said::Lost => exit::NO,
        };
    }
    let mut host = match Host::gather() {
        Ok(host) => host,
        Err(e) => {
            say::error(&e);
            return exit::NO;
        }
    };
    as_a_run();
    let modes: &[NetworkMode] = if args.fix {
        &[NetworkMode::Filtered]
    } else {
        &[NetworkMode::Filtered, NetworkMode::None, NetworkMode::Host]
    };
    let mut trials: Vec<Trial> = modes
        .iter()
        .map(|mode| trial(&host, *mode, Rung::Full))
        .collect();
    if args.fix {
        return fix::fix(&host, trials.into_iter().next());
    }
    // What is asked is the default run; a floor may well forbid another one.
    let refused = trials.first().is_some_and(|trial| trial.result.is_err());
    launch::place::settle(&mut host);
    let mut best = (!refused).then_some(Rung::Full);
    if let Some(rung) = launch::place::lower(&host.place) {
        // On the rung `landlock` the filtered network asks more of the place than none: a listener of its own.
        let modes: &[NetworkMode] = match rung {
            Rung::Landlock => &[NetworkMode::Filtered, NetworkMode::None],
            _ => &[NetworkMode::None],
        };
        for mode in modes {
            let trial = trial(&host, *mode, rung);
            best = best.or(trial.result.is_ok().then_some(rung));
            trials.push(trial);
        }
    } else if !refused {
        trials.push(trial(&host, NetworkMode::None, Rung::Nested));
    }
    let hints = if refused {
        diagnose::restrictions()
    } else {
        Vec::new()
    };
    let found = match Scratch::new(&host) {
        Ok(scratch) => found::found(&host, &scratch.0),
        Err(_) => Found::default(),
    };
    let text = if args.json {
        report::check::json(&host, best, &trials_data(&trials), &hints, &found)
    } else {
        report::check::text(&host, &trials_data(&trials), &hints) + &report::found::text(&found)
    };
    match say::painted(&text) {
        Said::Fine if !refused => 0,
        _ => exit::NO,
    }
}

/// What a run does of its own at its start, lest a trial fails, or is killed, for what a run does not see: the caller's umask, and
/// the signal of a file that may not grow. (A supervisor blocks all of them.)
fn as_a_run() {
    umask(Mode::from_bits_truncate(0o077));
    let mut set = SigSet::empty();
    set.add(Signal::SIGXFSZ);
    let _ = set.thread_block();
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

fn trial(host: &Host, mode: NetworkMode, rung: Rung) -> Trial {
    if rung == Rung::Nested {
        return Trial {
            what: format!("a run with --nested allow: {}", rung.what()),
            result: attempt(host, mode, rung),
        };
    }
    if rung != Rung::Full {
        return Trial {
            what: match (rung, mode) {
                (Rung::Landlock, NetworkMode::None) => {
                    format!("a run with --rung {rung} and without network (--net none)")
                }
                _ => format!("a run with --rung {rung}: {}", rung.what()),
            },
            result: attempt(host, mode, rung),
        };
    }
    let what = match mode {
        NetworkMode::Filtered => "a default run (--net filtered)",
        NetworkMode::Host => "a run on the host's network (--net host)",
        NetworkMode::None => "a run without network (--net none)",
    };
    Trial {
        what: what.to_owned(),
        result: attempt(host, mode, rung),
    }
}

/// Builds a box in an empty directory, compares what it says with the plan, and takes it down before anything is executed.
fn attempt(host: &Host, mode: NetworkMode, rung: Rung) -> Result<Vec<Evidence>, String> {
    let workspace = Scratch::new(host).map_err(|e| {
        format!(
            "a scratch directory in {}: {e}; make the directory, or set TMPDIR to one that can be written",
            std::env::temp_dir().display()
        )
    })?;
    let mut args = PlanArgs::for_check(&workspace.0, mode, [OsString::from("/bin/sh")].into());
    match rung {
        Rung::Full => {}
        Rung::Nested => args.nested = Some(Nested::Allow),
        Rung::ContainerProc | Rung::Landlock => args.rung = Some(rung),
    }
    let mut host = host.clone();
    let plan = |host: &Host| plan_for(&args, host, &RealLookup).map_err(|e| e.lines().join("; "));
    let mut planned = plan(&host)?;
    if host.uid == 0
        && rung == Rung::ContainerProc
        && let Err(e) = launch::idmap_works(&planned.plan)
    {
        host.idmap = Idmap::Refused(e.to_string());
        planned = plan(&host)?;
    }
    let Planned { plan, given } = planned;
    let state_home = host.var("XDG_STATE_HOME").map(|v| v.as_os_str());
    let sessions = Sessions::open(&host.home, state_home)
        .and_then(|sessions| recorded(&sessions, &plan).map(|()| sessions))
        .map_err(|e| format!("the session's record cannot be written: {e}"))?;
    drop(StopFiles::arm(&plan)?);
    if rung != Rung::Landlock {
        launch::place::joins()?;
    }
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
        relayed: Vec::new(),
        limits: found,
    };
    let built = launch::spawn(&plan, inputs, group.as_ref(), None)
        .and_then(|spawned| spawned.ready(&plan, |_, _| Ok(())));
    let result = built
        .map_err(|e: LaunchError| e.to_string())
        .and_then(|ready| {
            let verified = verify::from_outside(&plan, ready.spawned.init, ready.status.as_ref())
                .and_then(|()| match rung {
                    Rung::Landlock => Ok(()),
                    _ => verify::namespaces(&plan, &ready.namespaces, &build::NAMESPACES),
                });
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

/// Makes a session with its record, as every run begins, and removes it.
fn recorded(sessions: &Sessions, plan: &Plan) -> Result<(), SessionError> {
    let reserved = Session::reserve(sessions)?;
    let path = reserved.path().to_owned();
    let begun = reserved.begin(plan).map(drop);
    // Not by `Sessions::remove`, which spares what has no log yet. The directory is one that nobody else writes in.
    let _ = std::fs::remove_dir_all(path);
    begun
}

/// An empty directory that goes when it is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    /// root's are id-mapped, as a workspace is, and before Linux 6.3 a tmpfs, which `/tmp` often is, cannot be: so root's are
    /// where root's files are. A run needs no directory for files that pass; where there is none, HOME has to do.
    fn new(host: &Host) -> Result<Scratch, nix::errno::Errno> {
        let beside = |dir: &std::path::Path, name: &str| nix::unistd::mkdtemp(&dir.join(name));
        let temporary = || beside(&std::env::temp_dir(), "agentbox-check-XXXXXX");
        if host.uid == 0 {
            return beside(&host.home, ".agentbox-check-XXXXXX")
                .or_else(|_| temporary())
                .map(Scratch);
        }
        temporary()
            .or_else(|errno| beside(&host.home, ".agentbox-check-XXXXXX").map_err(|_| errno))
            .map(Scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}
