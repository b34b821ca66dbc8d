//! The system call filter: [`rules`] is the table, [`compile`](mod@compile) makes one program of it, [`Program::apply`] puts it in force.
//!
//! The filter is a boundary for what it names, and it is the last step: Landlock and the descriptors are in place, and
//! no_new_privs was set before. It does not know who the agent is and does not read the plan: it is the same for every box of a
//! rung.

#![forbid(unsafe_code)]

mod arms;
pub mod bare;
pub mod compile;
pub mod nested;
pub mod rules;

#[cfg(test)]
mod kernel;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use crate::outcome::{Evidence, Layer};
use crate::sys;
use compile::{Arch, CompileError, compile, compile_with};
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// A filter, ready to be put in force.
#[derive(Debug, Clone)]
pub struct Program {
    instructions: Vec<libc::sock_filter>,
    /// A rule of it hands calls to a listener.
    asks: bool,
}

/// Why the filter is not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    /// seccomp(2) failed.
    #[error("seccomp(SECCOMP_SET_MODE_FILTER): {errno}")]
    Install {
        /// Why.
        errno: Errno,
    },
    /// prctl(2) failed.
    #[error("prctl(PR_GET_SECCOMP): {errno}")]
    Mode {
        /// Why.
        errno: Errno,
    },
    /// The kernel took the filter, but does not say so.
    #[error("seccomp: the mode is {mode} after the filter was installed, not 2")]
    NotFiltered {
        /// The mode it gave.
        mode: i32,
    },
    /// The kernel took the filter, but the filter does not answer.
    #[error("seccomp: the filter was installed but does not answer (it gave {answer:?})")]
    Silent {
        /// The errno of the call that only this filter knows.
        answer: Option<i32>,
    },
}

/// The filter is in force for the calling thread and everything it starts, for ever.
#[derive(Debug)]
#[must_use]
pub struct Installed {
    /// Instructions of the filter.
    pub instructions: usize,
    /// Who has this answers the calls that the filter hands over.
    pub listener: Option<OwnedFd>,
}

impl Installed {
    /// What was found, for the record.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        Evidence::full(Layer::Seccomp)
            .proven("prctl(PR_GET_SECCOMP) is 2")
            .proven(format!(
                "the filter ({} instructions) answered a call that only it knows",
                self.instructions
            ))
    }
}

/// Compiles the filter for this machine: some ten microseconds.
///
/// # Errors
///
/// A table that contradicts itself; the tests compile it, so this is a mistake of a build and not of a host.
pub fn prepare() -> Result<Program, CompileError> {
    Ok(Program {
        instructions: compile(rules::RULES, Arch::NATIVE)?,
        asks: false,
    })
}

/// Compiles a filter for a process of agentbox's own: what no rule names is EPERM.
///
/// # Errors
///
/// As [`prepare`].
pub fn prepare_only(rules: &'static [rules::Rule]) -> Result<Program, CompileError> {
    Ok(Program {
        instructions: compile_with(rules, Arch::NATIVE, rules::Action::Errno(1))?,
        asks: false,
    })
}

impl Program {
    /// Puts the filter in force for the calling thread, which should be the only one, and proves by use that it is.
    /// Allocates nothing, so it may be called between fork and exec. no_new_privs must be set before.
    ///
    /// # Errors
    ///
    /// [`SeccompError`]: the layer does not hold and nothing may be executed.
    pub fn apply(&self) -> Result<Installed, SeccompError> {
        let install = |errno| SeccompError::Install { errno };
        let listener = if self.asks {
            Some(sys::seccomp::set_filter_that_asks(&self.instructions).map_err(install)?)
        } else {
            sys::seccomp::set_filter(&self.instructions).map_err(install)?;
            None
        };

        // 2 is SECCOMP_MODE_FILTER. In a container this holds already by the container's filter, so it is not enough.
        let mode = sys::seccomp::mode().map_err(|errno| SeccompError::Mode { errno })?;
        if mode != 2 {
            return Err(SeccompError::NotFiltered { mode });
        }

        let answer = sys::seccomp::unknown_call(rules::TELLTALE);
        if answer != Some(i32::from(rules::TELLTALE_ERRNO)) {
            return Err(SeccompError::Silent { answer });
        }
        Ok(Installed {
            instructions: self.instructions.len(),
            listener,
        })
    }
}
