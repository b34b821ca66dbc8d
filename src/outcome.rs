//! What was found to hold ([`Evidence`]) and what happened ([`Outcome`]). Plain data: nothing here acts.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// A layer of the box, by the name that `--require` and `--allow-missing` use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// user, mount, pid, ipc, uts and cgroup namespaces (namespaces(7)).
    Namespaces,
    /// The new root: only what the plan grants is mounted.
    View,
    /// The agent's kernel uid is not 0 and its files belong to the caller.
    Identity,
    /// The network namespace (`none`, later `filtered`).
    Network,
    /// cgroup or rlimits of the plan.
    Limits,
    /// No inherited descriptor above 2; 0 to 2 are harmless.
    Descriptors,
    /// A session keyring of its own (keyrings(7)).
    Keyring,
    /// Five empty capability sets, locked securebits, no_new_privs.
    Capabilities,
    /// Landlock rules (landlock(7)).
    Landlock,
    /// The system call filter (seccomp(2)).
    Seccomp,
    /// The environment is the plan's.
    Environment,
}

impl Layer {
    /// Every layer, in the order in which reports print them.
    pub const ALL: [Layer; 11] = [
        Layer::Namespaces,
        Layer::View,
        Layer::Identity,
        Layer::Network,
        Layer::Limits,
        Layer::Descriptors,
        Layer::Keyring,
        Layer::Capabilities,
        Layer::Landlock,
        Layer::Seccomp,
        Layer::Environment,
    ];

    /// The name used on the command line and in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Layer::Namespaces => "namespaces",
            Layer::View => "view",
            Layer::Identity => "identity",
            Layer::Network => "network",
            Layer::Limits => "limits",
            Layer::Descriptors => "descriptors",
            Layer::Keyring => "keyring",
            Layer::Capabilities => "capabilities",
            Layer::Landlock => "landlock",
            Layer::Seccomp => "seccomp",
            Layer::Environment => "environment",
        }
    }

    /// The layer of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Layer> {
        Layer::ALL.into_iter().find(|layer| layer.name() == name)
    }
}

/// How far a layer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum Status {
    /// Everything the plan asked of this layer holds.
    Full,
    /// Some of it holds; `why` says what does not.
    Partial {
        /// What is missing and why.
        why: String,
    },
    /// Nothing of it holds.
    Absent {
        /// Why not.
        why: String,
    },
}

/// What one step of the enforcement found to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The layer this is about.
    pub layer: Layer,
    /// How far it holds.
    #[serde(flatten)]
    pub status: Status,
    /// What was tried or read to know it, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proof: Vec<String>,
}

impl Evidence {
    /// A layer that holds in full.
    #[must_use]
    pub fn full(layer: Layer) -> Self {
        Evidence {
            layer,
            status: Status::Full,
            proof: Vec::new(),
        }
    }

    /// A layer that holds in part.
    #[must_use]
    pub fn partial(layer: Layer, why: impl Into<String>) -> Self {
        Evidence {
            layer,
            status: Status::Partial { why: why.into() },
            proof: Vec::new(),
        }
    }

    /// A layer that does not hold.
    #[must_use]
    pub fn absent(layer: Layer, why: impl Into<String>) -> Self {
        Evidence {
            layer,
            status: Status::Absent { why: why.into() },
            proof: Vec::new(),
        }
    }

    /// The same, holding in part only.
    #[must_use]
    pub fn but(mut self, why: impl Into<String>) -> Self {
        self.status = Status::Partial { why: why.into() };
        self
    }

    /// The same with one more thing that was seen.
    #[must_use]
    pub fn proven(mut self, by: impl Into<String>) -> Self {
        self.proof.push(by.into());
        self
    }
}

/// What ended a session that did not end by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "trigger")]
pub enum Trigger {
    /// The wall-clock limit.
    TimeLimit,
    /// A signal to agentbox that the command did not obey within the grace.
    Signal {
        /// The number of the signal.
        signal: u8,
    },
    /// A memory limit of the whole box.
    Memory,
    /// Nothing was read or written for as long as the limit `idle` allows.
    Idle,
    /// More was written than the limit `output` allows.
    Output,
    /// `agentbox kill`.
    Kill {
        /// The uid of who called it.
        by: u32,
    },
    /// A stop file or another kill switch.
    Switch {
        /// Which one, in words.
        which: String,
        /// Who owns the file, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// When it was last changed, in milliseconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<u64>,
        /// What it says: the bytes of whoever made it, escaped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// What a human does to start again; may be empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        resume: String,
    },
    /// A process that must live is gone (init, the client).
    Lost {
        /// Which one, in words.
        what: String,
    },
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum How {
    /// The command exited.
    Exited {
        /// Its status.
        code: u8,
    },
    /// A signal ended the command.
    Signaled {
        /// The number of the signal.
        signal: u8,
    },
    /// agentbox ended it.
    Killed {
        /// Why.
        #[serde(flatten)]
        trigger: Trigger,
    },
    /// execve(2) failed.
    CannotExecute {
        /// The errno.
        errno: i32,
    },
    /// There is no such command.
    NotFound {
        /// The errno.
        errno: i32,
    },
    /// The box could not be built or proven; nothing was executed.
    Refused {
        /// The whole message.
        why: String,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    #[serde(flatten)]
    pub how: How,
    /// The status that `agentbox run` ended with.
    pub exit_status: u8,
    /// Wall-clock time from start to end in milliseconds.
    pub wall_ms: u64,
    /// User and system time of everything in the box in milliseconds, as far as init reaped it.
    pub cpu_ms: u64,
    /// The largest resident set of one process in KiB.
    pub max_rss_kib: u64,
}
