//! Which process this is. Stages are the same program, executed again: an address space without anything of its parent's,
//! an empty environment, and the descriptors that it needs.

#![forbid(unsafe_code)]

use std::ffi::{CStr, OsStr};
use std::os::fd::RawFd;

/// What this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Started by a caller: the command line decides.
    Program,
    /// Between the box and the network.
    Gate {
        /// The descriptor of its channel to the supervisor.
        channel: RawFd,
    },
    /// Between the session and a remote kill switch.
    Watch {
        /// The descriptor of its channel to the supervisor.
        channel: RawFd,
    },
}

/// The gate's `argv[0]`, which is also what `ps` shows. No file has this name.
pub const GATE: &CStr = c"agentbox: gate";
/// The same of a watch.
pub const WATCH: &CStr = c"agentbox: watch";

impl Stage {
    /// Reads argv: `argv[0]` is the name of a stage, `argv[1]` the number of its descriptor.
    pub fn of(mut argv: impl Iterator<Item = impl AsRef<OsStr>>) -> Stage {
        let Some(name) = argv.next() else {
            return Stage::Program;
        };
        let is = |stage: &CStr| name.as_ref().as_encoded_bytes() == stage.to_bytes();
        let (gate, watch) = (is(GATE), is(WATCH));
        if !gate && !watch {
            return Stage::Program;
        }
        let channel = argv
            .next()
            .and_then(|number| number.as_ref().to_str()?.parse().ok())
            .unwrap_or(-1);
        if gate {
            Stage::Gate { channel }
        } else {
            Stage::Watch { channel }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_name_is_a_stage() {
        let of = |argv: &[&str]| Stage::of(argv.iter());
        assert_eq!(of(&[]), Stage::Program);
        assert_eq!(of(&["agentbox"]), Stage::Program);
        assert_eq!(of(&["/usr/bin/agentbox: gate", "3"]), Stage::Program);
        assert_eq!(of(&["agentbox: gate", "7"]), Stage::Gate { channel: 7 });
        assert_eq!(of(&["agentbox: watch", "7"]), Stage::Watch { channel: 7 });
        assert_eq!(of(&["agentbox: watches", "7"]), Stage::Program);
        assert_eq!(of(&["agentbox: gate", "x"]), Stage::Gate { channel: -1 });
        assert_eq!(of(&["agentbox: gate"]), Stage::Gate { channel: -1 });
    }
}
