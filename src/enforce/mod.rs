//! The layers of the box and the one ordered list of steps that makes them hold.
//!
//! The order is the kernel's: mounts before Landlock (which forbids mount(2) from then on), a fresh procfs while an unmasked
//! one is still visible, namespace descriptors before the process is non-dumpable, securebits while CAP_SETPCAP is still
//! there, seccomp last.

#![forbid(unsafe_code)]

mod bare;
pub mod build;
pub mod caps;
pub mod cell;
pub mod cgroup;
mod cgroup_file;
pub mod consult;
pub mod env;
pub mod forecast;
pub mod identity;
pub mod landlock;
pub mod leavings;
pub mod limits;
pub mod mounts;
pub mod nest;
pub mod network;
pub mod newroot;
pub mod prepare;
pub mod prove;
pub mod pseudo;
pub mod pty;
pub mod seccomp;
pub mod sources;
mod stubs;
pub mod sweep;
pub mod userns_limits;
pub mod verify;

use crate::outcome::{Evidence, Layer};
use build::Build;
use nix::errno::Errno;
use prepare::Prepare;
use std::fmt;

/// A step that failed: what was tried, on what, and what the kernel said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct StepError {
    /// The system call or what was to be done.
    pub call: &'static str,
    /// On what.
    pub on: String,
    /// What the kernel said.
    pub errno: Errno,
    /// What the human can do; may be empty.
    pub remedy: &'static str,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.call)?;
        if !self.on.is_empty() {
            write!(f, " {}", self.on)?;
        }
        write!(f, ": {}", self.errno)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl StepError {
    /// Without a remedy.
    pub fn new(call: &'static str, on: impl fmt::Display, errno: Errno) -> Self {
        StepError {
            call,
            on: on.to_string(),
            errno,
            remedy: "",
        }
    }

    /// With a remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: &'static str) -> Self {
        // What is used up has a remedy of its own, which `crate::launch::diagnose` says: nothing was forbidden.
        if !matches!(self.errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) {
            self.remedy = remedy;
        }
        self
    }
}

/// Who carries out a step.
#[derive(Clone, Copy)]
pub enum Act {
    /// The supervisor, before the box exists: may fail in comfort.
    Supervisor(fn(&mut Prepare<'_>) -> Result<(), StepError>),
    /// Init, inside the new namespaces.
    Init(fn(&mut Build<'_>) -> Result<Option<Evidence>, StepError>),
}

/// One step.
#[derive(Clone, Copy)]
pub struct Step {
    /// Its name, as messages use it.
    pub name: &'static str,
    /// The layer that it makes hold, if it is one.
    pub layer: Option<Layer>,
    /// What it does, for `explain`, `check` and the README.
    pub what: &'static str,
    /// Who does it.
    pub act: Act,
}

const fn supervisor(
    name: &'static str,
    what: &'static str,
    run: fn(&mut Prepare<'_>) -> Result<(), StepError>,
) -> Step {
    Step {
        name,
        layer: None,
        what,
        act: Act::Supervisor(run),
    }
}

const fn init(
    name: &'static str,
    layer: Option<Layer>,
    what: &'static str,
    run: fn(&mut Build<'_>) -> Result<Option<Evidence>, StepError>,
) -> Step {
    Step {
        name,
        layer,
        what,
        act: Act::Init(run),
    }
}

/// Every step, in the order in which it happens. Reports, README and the code itself take the order from here.
pub const STEPS: &[Step] = &[
    supervisor(
        "directories",
        "make the directories that grants ask for",
        prepare::directories,
    ),
    supervisor(
        "stubs",
        "make the stubs of refused programs where they are new",
        stubs::apply,
    ),
    supervisor("filter", "compile the system call filter", prepare::filter),
    supervisor(
        "groups",
        "drop supplementary groups where the kernel allows",
        prepare::groups,
    ),
    supervisor(
        "sources",
        "open and id-map the host trees (root callers)",
        prepare::sources,
    ),
    init(
        "identity",
        Some(Layer::Identity),
        "user namespace, id maps, a kernel uid that is not 0",
        identity::apply,
    ),
    init(
        "namespaces",
        Some(Layer::Namespaces),
        "mount, pid, ipc, uts and cgroup namespaces; no further ones from inside",
        build::namespaces,
    ),
    init(
        "limits",
        Some(Layer::Limits),
        "cgroup and rlimits",
        build::limits,
    ),
    init(
        "network",
        Some(Layer::Network),
        "network namespace with loopback only; granted names through the gate",
        network::apply,
    ),
    init(
        "view",
        Some(Layer::View),
        "new root with what the plan grants; pivot_root; the old root is gone",
        mounts::apply,
    ),
    init(
        "terminal",
        None,
        "pseudo-terminal of the box's own devpts",
        build::terminal,
    ),
    init(
        "keyring",
        Some(Layer::Keyring),
        "a new session keyring",
        build::keyring,
    ),
    init(
        "environment",
        Some(Layer::Environment),
        "built from nothing; what init inherited is wiped",
        build::environment,
    ),
    init(
        "descriptors",
        Some(Layer::Descriptors),
        "nothing inherited above 2; init is not dumpable",
        build::descriptors,
    ),
    init(
        "capabilities",
        Some(Layer::Capabilities),
        "five empty sets, locked securebits, no_new_privs",
        caps::apply,
    ),
    init(
        "landlock",
        Some(Layer::Landlock),
        "the grants once more, abstract sockets and signals",
        build::landlock,
    ),
    init(
        "seccomp",
        Some(Layer::Seccomp),
        "the system call filter",
        build::seccomp,
    ),
    init("proof", None, "try what must not work", prove::apply),
];
