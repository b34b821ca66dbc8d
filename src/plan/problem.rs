//! [`Problem`]: what could not be resolved, and what to do about it.

#![forbid(unsafe_code)]

use crate::policy::Origin;
use std::fmt;

/// What could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in one sentence without a full stop.
    pub what: String,
    /// What the human can do.
    pub remedy: String,
    /// Which wish it comes from, if one.
    pub origin: Option<Origin>,
    /// What kind of end that is for `run`.
    pub kind: ProblemKind,
}

/// How `run` ends because of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// 125.
    Refused,
    /// 127: there is no such command.
    CommandNotFound,
    /// 126: the command is not executable.
    NotExecutable,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}
