//! Which limit is enforced by what, and what that means.

#![forbid(unsafe_code)]

use super::scene::Scene;
use crate::host::{Cgroup, Host};
use crate::outcome::Layer;
use crate::plan::rung::Rung;
use crate::plan::{IdentityMode, Limit, LimitBy, LimitName, Limits};
use crate::policy::{LimitWish, Origin};

/// Seconds between SIGTERM and SIGKILL when nobody asked for another.
const STOP_GRACE: f64 = 3.0;

/// Of less memory, init of the box dies while it builds it (below 2 MiB), or a control group refuses the value. `memory=8` is a
/// slip of somebody who means GiB.
const LEAST_MEMORY: f64 = 4.0 * 1024.0 * 1024.0;

/// The limits, the last wish of each name.
pub(super) fn limits(scene: &mut Scene<'_>, mode: IdentityMode) -> Limits {
    let wishes = &scene.policy.wishes;
    let stop_grace = match &wishes.stop_grace {
        Some(wish) if wish.value.is_finite() && wish.value >= 0.0 => wish.value,
        Some(wish) => {
            let what = format!("stop-grace = {} is no number of seconds", wish.value);
            scene.problem(what, "write for example \"3s\"", Some(&wish.origin));
            STOP_GRACE
        }
        None => STOP_GRACE,
    };
    let mut list: Vec<Limit> = Vec::new();
    for (at, (name, wish)) in wishes.limits.iter().enumerate() {
        if wishes.limits.iter().skip(at + 1).any(|(n, _)| n == name) {
            continue;
        }
        let value = match wish.value {
            LimitWish::Value(value) => value,
            LimitWish::Percent(percent) => match share(scene.host, percent) {
                Some(bytes) => bytes,
                None => {
                    let what = format!(
                        "{} = {percent}%: the host's memory is not known",
                        name.word()
                    );
                    scene.problem(what, "write a size, or \"none\"", Some(&wish.origin));
                    continue;
                }
            },
            // Without a percentage of anything the value alone counts.
            LimitWish::Least { percent, value } => {
                share(scene.host, percent).map_or(value, |bytes| bytes.min(value))
            }
            LimitWish::Unlimited => continue,
        };
        if !value.is_finite() || value <= 0.0 {
            let what = format!("the limit {} = {value} is not above 0", name.word());
            scene.problem(what, "write a number, or \"none\"", Some(&wish.origin));
            continue;
        }
        if *name == LimitName::Memory && value < LEAST_MEMORY {
            let what =
                format!("the limit memory = {value} bytes is less than what starts the box (4MiB)");
            let remedy = "write a size with its unit, as 512MiB or 8GiB";
            scene.problem(what, remedy, Some(&wish.origin));
            continue;
        }
        list.push(limit(scene.host, *name, value, wish.origin.clone(), mode));
    }
    list.sort_by_key(|limit| limit.name);
    kernel_root(scene, mode, &list);
    Limits { list, stop_grace }
}

/// That part of the host's memory in whole bytes.
fn share(host: &Host, percent: f64) -> Option<f64> {
    // Memory is below 2^53 bytes: the conversion is exact.
    #[allow(clippy::cast_precision_loss)]
    let memory = host.memory as f64;
    (host.memory > 0).then(|| (memory * percent / 100.0).floor())
}

/// A fork bomb of kernel uid 0 is stopped by a cgroup or by nothing.
pub(super) fn uncounted(host: &Host, mode: IdentityMode) -> bool {
    mode == IdentityMode::KernelRoot && has(&host.cgroup, "pids").is_none()
}

fn kernel_root(scene: &mut Scene<'_>, mode: IdentityMode, list: &[Limit]) {
    if !uncounted(scene.host, mode) {
        return;
    }
    let wishes = &scene.policy.wishes;
    let may_miss = wishes
        .allow_missing
        .iter()
        .chain(&wishes.layers_off)
        .any(|wish| wish.value == Layer::Limits);
    if may_miss {
        return;
    }
    let rung = scene.policy.wishes.rung.as_ref().map(|wish| wish.value);
    if rung.unwrap_or_default() > Rung::Nested {
        scene.notices.push(
            "nothing limits the number of processes: the agent's kernel uid is 0, and no cgroup with the pids controller can be made"
                .to_owned(),
        );
        return;
    }
    let origin = list
        .iter()
        .find(|limit| limit.name == LimitName::Processes)
        .map(|limit| limit.origin.clone());
    scene.problem(
        "nothing can limit the number of processes: the agent's kernel uid is 0, and there is no cgroup with the pids controller",
        "run agentbox as an ordinary user, or pass --allow-missing limits as well",
        origin.as_ref(),
    );
}

fn has(cgroup: &Cgroup, controller: &str) -> Option<LimitBy> {
    match cgroup {
        Cgroup::None => None,
        Cgroup::V2 { controllers, .. } => controllers
            .iter()
            .any(|c| c == controller)
            .then_some(LimitBy::CgroupV2),
        Cgroup::V1 { controllers } => controllers
            .iter()
            .any(|(c, _)| c == controller)
            .then_some(LimitBy::CgroupV1),
    }
}

fn limit(host: &Host, name: LimitName, value: f64, origin: Origin, mode: IdentityMode) -> Limit {
    let (by, meaning) = match name {
        LimitName::Memory => match has(&host.cgroup, "memory") {
            Some(by) => (by, "the whole box, with its files in memory"),
            None => (
                LimitBy::Rlimit,
                "the data of each process by itself (RLIMIT_DATA), not a total: no cgroup with the memory controller is delegated",
            ),
        },
        LimitName::Processes => match has(&host.cgroup, "pids") {
            Some(by) => (by, "processes and threads of the whole box"),
            None if mode == IdentityMode::KernelRoot => (
                LimitBy::Rlimit,
                "RLIMIT_NPROC, which does not bind kernel uid 0: no limit in effect",
            ),
            None => (
                LimitBy::Rlimit,
                "processes and threads of the box (RLIMIT_NPROC, counted in its user namespace)",
            ),
        },
        LimitName::Cpu => match has(&host.cgroup, "cpu") {
            Some(by) => (by, "time of the whole box"),
            None => (
                LimitBy::Affinity,
                "whole CPUs, rounded up, by affinity: a guard-rail that the agent can widen; no cgroup with the cpu controller is delegated",
            ),
        },
        LimitName::FileSize => (LimitBy::Rlimit, "each file that is written"),
        LimitName::OpenFiles => (LimitBy::Rlimit, "each process by itself"),
        LimitName::Disk => (
            LimitBy::Tmpfs,
            "HOME, /tmp and /dev/shm of the box, each by itself; the workspace and persistent private directories are on the host's disk and cannot be bounded",
        ),
        LimitName::Time => (
            LimitBy::Timer,
            "wall-clock time from the start of the command",
        ),
        LimitName::Idle => (
            LimitBy::Terminal,
            "time in which nothing is written to its terminal or typed on it; a run without a terminal is refused",
        ),
        LimitName::Output => (
            LimitBy::Terminal,
            "bytes that it writes to its terminal; a run without a terminal is refused",
        ),
    };
    Limit {
        name,
        value,
        by,
        meaning: meaning.to_owned(),
        origin,
    }
}

/// The size of each tmpfs in bytes: the limit, else half of the memory as the kernel has it by default (tmpfs(5)).
pub(super) fn tmpfs_size(host: &Host, limits: &Limits) -> u64 {
    const FLOOR: u64 = 64 << 20;
    let half = (host.memory / 2).max(FLOOR);
    match limits.get(LimitName::Disk) {
        None => half,
        Some(limit) => bytes(limit.value).max(4096),
    }
}

/// A positive, finite number of bytes. Beyond 2^53 a byte more or less does not exist in an f64 anyway.
fn bytes(value: f64) -> u64 {
    const MAX: f64 = 9_007_199_254_740_992.0;
    format!("{:.0}", value.clamp(0.0, MAX).floor())
        .parse()
        .unwrap_or(u64::MAX)
}
