//! agentbox starts a coding agent on Linux so that it can run with every confirmation switched off.
//!
//! ```text
//! agentbox run (client)  the terminal: raw mode, window size, signals; can be stopped and closed
//! supervisor             owns the record, the kill path, the pseudo-terminal; a poll loop in its own session
//!  ├─ watch              one remote kill switch: can say stop, clear, unreachable, and nothing else
//!  ├─ gate               the network of the box: names, rules, relay; parses what the agent sends
//!  └─ init               PID 1 of the box: builds it, proves it, starts the agent, forwards signals, reaps
//!      └─ the agent and everything it starts
//! ```
//!
//! Data flows one way: `argv + profile files -> Fragment* -> Policy -> Plan -> Evidence -> Outcome`.
//! `scripts/layers` holds the direction of the imports.

pub mod cli;
pub mod demo;
pub mod enforce;
pub mod exit;
pub mod gate;
pub mod host;
pub mod keeper;
pub mod launch;
pub mod outcome;
pub mod paint;
pub mod plan;
pub mod policy;
pub mod profile;
pub mod record;
pub mod report;
pub mod session;
pub mod stage;
pub mod supervise;
pub mod sys;
pub mod watch;

/// The whole program.
#[must_use]
pub fn main() -> std::process::ExitCode {
    match stage::Stage::of(std::env::args_os()) {
        stage::Stage::Program => cli::main(),
        stage::Stage::Gate { channel } => gate::process::main(channel),
        stage::Stage::Watch { channel } => watch::process::main(channel),
    }
}
