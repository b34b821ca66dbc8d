//! `agentbox explain`.

#![forbid(unsafe_code)]

use super::args::ExplainArgs;
use super::say::{self, Said};
use super::{CliError, places, policy_for};
use crate::exit;
use crate::host::{Host, RealLookup};
use crate::plan::problem::ProblemKind;
use crate::plan::resolve::{Resolution, resolve_all};
use crate::report;

/// Prints the plan of a run. Returns the exit status: 1 if the run would be refused; 0 if only the command is not there,
/// which is said beside the plan.
#[must_use]
pub fn explain(args: &ExplainArgs) -> u8 {
    match flow(args) {
        Ok(status) => status,
        Err(error) => {
            say::error(&error);
            error.status()
        }
    }
}

fn flow(args: &ExplainArgs) -> Result<u8, CliError> {
    let host = Host::gather()?;
    let (policy, _) = policy_for(&args.plan, &host, &places(&host))?;
    let Resolution { plan, problems } = resolve_all(&policy, &host, &RealLookup);
    let Some(plan) = plan else {
        return Err(CliError::Problems(problems));
    };
    let text = if args.json {
        report::plan::json(&plan).map_err(CliError::Json)?
    } else {
        report::plan::text(&plan, &super::steps())
    };
    let said = say::painted(&text);
    for problem in &problems {
        say::error(problem);
    }
    let refused = problems.iter().any(|p| p.kind == ProblemKind::Refused);
    Ok(match said {
        Said::Fine if !refused => 0,
        Said::Fine | Said::Lost => exit::NO,
    })
}
