//! What the box costs, beside the same command without it and beside bubblewrap. `scripts/bench` runs it.
//!
//! Machines differ and other work runs beside, so everything is a ratio within one run: the contenders take turns, and a
//! ratio is the median of the ratios of the rounds. It prints; it asserts no time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exec;
mod gate;
mod idle;
mod kill;
mod measure;
mod names;
mod start;
mod steady;
mod table;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// What is compared, and where.
pub(crate) struct Setting {
    /// The product's binary.
    pub(crate) agentbox: PathBuf,
    /// bubblewrap, if it is installed.
    pub(crate) bwrap: Option<PathBuf>,
    /// cargo and rustc (a toolchain's own, not rustup's proxies), if there are any.
    pub(crate) toolchain: Option<PathBuf>,
    /// A directory of its own, not below /tmp, which is a tmpfs on many machines.
    pub(crate) place: PathBuf,
    /// This program, where the box can see it.
    pub(crate) itself: PathBuf,
    /// Fewer rounds and smaller trees: to see that it works.
    pub(crate) quick: bool,
}

fn main() {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "inner") {
        steady::inner(&arguments[1..]);
        return;
    }
    if arguments.first().is_some_and(|word| word == "names-spin") {
        names::inner(&arguments[1..]);
        return;
    }
    if arguments.first().is_some_and(|word| word == "gate") {
        gate::inner(&arguments[1..]);
        return;
    }
    if let Some(word) = arguments.first().and_then(|word| word.to_str())
        && word.starts_with("kill")
    {
        match word {
            "kill" => kill::inner(&arguments[1..]),
            _ => kill::beat(&arguments[1..]),
        }
        return;
    }
    // `cargo bench` says so; anything else (`cargo test --all-targets`) only wants to know that it builds.
    if !arguments.iter().any(|word| word == "--bench") {
        table::line("run it by scripts/bench");
        return;
    }
    let place = PathBuf::from(format!("/var/tmp/agentbox-bench-{}", std::process::id()));
    std::fs::create_dir(&place).expect("a directory in /var/tmp");
    let setting = Setting {
        agentbox: env::var_os("AGENTBOX").map_or_else(
            || PathBuf::from(env!("CARGO_BIN_EXE_agentbox")),
            PathBuf::from,
        ),
        bwrap: measure::on_path("bwrap"),
        toolchain: env::var_os("AGENTBOX_BENCH_TOOLCHAIN").map(PathBuf::from),
        itself: env::current_exe().expect("the path of this program"),
        place,
        quick: arguments.iter().any(|word| word == "--quick"),
    };
    let only = |name: &str| {
        let named = [
            "--start", "--exec", "--steady", "--idle", "--gate", "--kill", "--names",
        ];
        let any = arguments
            .iter()
            .any(|word| named.iter().any(|name| word == name));
        !any || arguments.iter().any(|word| word == name)
    };
    table::line(&format!(
        "binary: {} KiB",
        measure::size(&setting.agentbox) / 1024
    ));
    if only("--start") {
        start::compare(&setting);
    }
    if only("--exec") {
        exec::compare(&setting);
    }
    if only("--idle") {
        idle::compare(&setting);
    }
    if only("--names") {
        names::compare(&setting);
    }
    if only("--kill") {
        kill::compare(&setting);
    }
    if only("--gate") {
        gate::compare(&setting);
    }
    if only("--steady") {
        steady::compare(&setting);
    }
    std::fs::remove_dir_all(&setting.place).expect("the directory can be removed");
}
