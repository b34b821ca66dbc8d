//! [`resolve`]: a policy and the facts of a host become a plan.

#![forbid(unsafe_code)]

use super::{Plan, problem::Problem};
use crate::host::{Host, Lookup};
use crate::policy::Policy;

/// Makes everything concrete, or says everything that is wrong at once.
///
/// # Errors
/// Every problem found, not only the first.
pub fn resolve(_policy: &Policy, _host: &Host, _look: &dyn Lookup) -> Result<Plan, Vec<Problem>> {
    Err(Vec::new())
}
