//! Time, processor time, medians.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One run of something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Milliseconds by the wall's clock (CLOCK_MONOTONIC).
    pub(crate) wall: f64,
    /// Milliseconds of user and system time of everything that was waited for.
    pub(crate) cpu: f64,
}

/// User and system time of all children that were waited for, and of theirs, in milliseconds.
fn children() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).expect("a time")).as_secs_f64() * 1000.0
}

/// Runs a command to its end, output thrown away; it has to succeed. std starts it by posix_spawn(3).
pub(crate) fn run(command: &mut Command) -> Cost {
    run_to(command, &[0])
}

/// The same, of one that may end with one of these: grep says 1 when it finds nothing.
pub(crate) fn run_to(command: &mut Command, ends: &[i32]) -> Cost {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    measure(|| {
        let status = command
            .status()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(
            status.code().is_some_and(|code| ends.contains(&code)),
            "{command:?}: {status}"
        );
    })
}

/// What something costs that runs processes.
pub(crate) fn measure(work: impl FnOnce()) -> Cost {
    let before = children();
    let begin = Instant::now();
    work();
    Cost {
        wall: begin.elapsed().as_secs_f64() * 1000.0,
        cpu: children() - before,
    }
}

/// The middle one. Half-way between the two in the middle for an even number.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut list: Vec<f64> = values.into_iter().collect();
    list.sort_by(f64::total_cmp);
    let half = list.len() / 2;
    match list.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => f64::midpoint(list[half - 1], list[half]),
        _ => list[half],
    }
}

/// The median of the ratios of the rounds: `ours` and `theirs` ran next to each other.
pub(crate) fn ratio(ours: &[Cost], theirs: &[Cost], of: fn(&Cost) -> f64) -> f64 {
    median(
        ours.iter()
            .zip(theirs)
            .map(|(ours, theirs)| of(ours) / of(theirs)),
    )
}

/// A program found on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// The size of a file in bytes.
pub(crate) fn size(path: &Path) -> u64 {
    std::fs::metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .len()
}
