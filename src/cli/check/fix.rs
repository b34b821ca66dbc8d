//! `agentbox check --fix`: the commands against what this host lacks. Nothing of it is run, and nothing is asked of sudo.

#![forbid(unsafe_code)]

use super::super::say::{self, Said};
use super::Trial;
use crate::exit;
use crate::host::{Cause, Host, Need};
use crate::launch::diagnose;
use crate::report::fix::{Asker, script};

/// Prints them, for what the trial of a default run and a look at the host found. 1 if something is needed.
pub(super) fn fix(host: &Host, trial: Option<Trial>) -> u8 {
    let refusal = trial.and_then(|trial| trial.result.err());
    // A setting that forbids namespaces matters where a box cannot be built, and only there: root is not bound by some, and a
    // program with a profile not by AppArmor's.
    let mut causes: Vec<Cause> = match refusal {
        Some(_) => diagnose::forbidden(),
        None => Vec::new(),
    };
    causes.extend(diagnose::lacking(host));
    let asker = Asker {
        root: host.uid == 0,
        program: &host.exe,
    };
    let needed = refusal.is_some() || causes.iter().any(|cause| cause.need() == Need::Needed);
    match say::out(&script(&causes, refusal.as_deref(), &asker)) {
        Said::Fine if !needed => 0,
        _ => exit::NO,
    }
}
