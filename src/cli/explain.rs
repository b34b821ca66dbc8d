//! `agentbox explain`.

#![forbid(unsafe_code)]

use super::args::ExplainArgs;
use super::{plan_for, say};
use crate::exit;
use crate::host::{Host, Lookup};
use crate::report;
use std::process::ExitCode;

/// Prints the plan of a run. `steps` are the names of the layers in the order in which they are enforced.
#[must_use]
pub fn run(args: &ExplainArgs, host: &Host, look: &dyn Lookup, steps: &[&str]) -> ExitCode {
    let plan = match plan_for(&args.plan, host, look) {
        Ok(planned) => planned.plan,
        Err(error) => {
            say::error(&error);
            return ExitCode::from(error.status());
        }
    };
    let text = if args.json {
        match report::plan::json(&plan) {
            Ok(text) => text,
            Err(error) => {
                say::error(format_args!("the plan cannot be written as JSON: {error}"));
                return ExitCode::from(exit::NO);
            }
        }
    } else {
        report::plan::text(&plan, steps)
    };
    match say::out(&text) {
        say::Said::Fine => ExitCode::SUCCESS,
        say::Said::Lost => ExitCode::from(exit::NO),
    }
}
