//! The limits of the plan: control groups by the supervisor ([`prepare`]), rlimits and affinity by init ([`apply`]). Each
//! half says what it read back; [`combine`] makes one [`Evidence`] of them.

#![forbid(unsafe_code)]

use crate::enforce::cgroup::{BoxCgroup, whole};
use crate::host::Cgroup;
use crate::outcome::{Evidence, Layer, Status};
use crate::plan::{Limit, LimitBy, LimitName, Limits};
use crate::sys::process;
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// The supervisor's half: the control group, if the plan has limits for one, and what holds of it.
#[must_use]
pub fn prepare(limits: &Limits, host: &Cgroup, id: &str) -> (Option<BoxCgroup>, Evidence) {
    match BoxCgroup::create(host, limits, id) {
        Ok(None) => (None, Evidence::full(Layer::Limits)),
        Ok(Some(group)) => {
            let mut evidence = Evidence::full(Layer::Limits);
            evidence.proof = group.held().to_vec();
            (Some(group), evidence)
        }
        Err(error) => (
            None,
            Evidence::absent(
                Layer::Limits,
                format!("no control group for the box: {error}"),
            ),
        ),
    }
}

/// Makes this process, and what it starts, the kernel's first choice when the host runs out of memory. To be called while
/// `/proc` is still the caller's: a box's own shows it too, but may be read-only.
///
/// # Errors
/// The errno of the write. Not part of the evidence: the limit holds without it.
pub fn volunteer_for_oom() -> std::io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", "1000")
}

/// Init's half: rlimits (setrlimit(2)) and affinity (sched_setaffinity(2)), inherited by everything in the box. After the
/// user namespace was made: RLIMIT_NPROC counts per namespace since Linux 5.14. `kernel_uid` is the uid as the initial
/// namespace sees it.
#[must_use]
pub fn apply(limits: &Limits, kernel_uid: u32) -> Evidence {
    let mut proof = Vec::new();
    let mut missing = Vec::new();
    // A core file of the agent would hold its keys, and a core_pattern with a pipe runs a program outside, as root. Not 0: the
    // kernel asks no limit before it starts that program, but takes 1 for the sign of a dump within a dump (core(5)).
    match cap(Resource::RLIMIT_CORE, 1) {
        Ok(now) => proof.push(format!("RLIMIT_CORE = {now}")),
        Err(errno) => missing.push(format!("RLIMIT_CORE: {errno}")),
    }
    // All count for the user over all namespaces (getrlimit(2)): with all of them taken here, timer_create(2), mq_open(3) and
    // shmctl(SHM_LOCK) failed outside. The user keeps half.
    for (resource, label) in [
        (Resource::RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING"),
        (Resource::RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"),
        (Resource::RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"),
    ] {
        match half(resource) {
            Ok(now) => proof.extend(now.map(|now| format!("{label} = {now}"))),
            Err(errno) => missing.push(format!("{label}: {errno}")),
        }
    }
    // Who may take real-time turns, or a high priority (audio groups, pam_limits(8)), would keep those from the processor that end
    // the box; and a real-time caller's box would by itself. As it is for who may not: nothing to be told.
    for (resource, label) in [
        (Resource::RLIMIT_RTPRIO, "RLIMIT_RTPRIO"),
        (Resource::RLIMIT_NICE, "RLIMIT_NICE"),
    ] {
        if let Err(errno) = cap(resource, 0) {
            missing.push(format!("{label}: {errno}"));
        }
    }
    if let Err(errno) = process::ordinary_turns() {
        missing.push(format!("sched_setscheduler: {errno}"));
    }
    for limit in &limits.list {
        let done = match (limit.by, limit.name) {
            (LimitBy::Rlimit, name) => match resource(name) {
                Some((resource, label)) => rlimit(resource, label, limit),
                None => Err(format!("there is no rlimit for {name:?}")),
            },
            (LimitBy::Affinity, _) => affinity(limit.value),
            // Enforced by others: the supervisor's half, the view, a timer.
            (
                LimitBy::CgroupV2
                | LimitBy::CgroupV1
                | LimitBy::Tmpfs
                | LimitBy::Timer
                | LimitBy::Terminal,
                _,
            ) => {
                continue;
            }
        };
        match done {
            Ok(seen) => proof.push(seen),
            Err(why) => missing.push(why),
        }
        if limit.by == LimitBy::Rlimit && limit.name == LimitName::Processes && kernel_uid == 0 {
            missing.push(
                "RLIMIT_NPROC does not bind kernel uid 0: the number of processes is not limited"
                    .to_owned(),
            );
        }
    }
    let mut evidence = if missing.is_empty() {
        Evidence::full(Layer::Limits)
    } else {
        Evidence::partial(Layer::Limits, missing.join("; "))
    };
    evidence.proof = proof;
    evidence
}

/// Both halves as one.
#[must_use]
pub fn combine(supervisor: Evidence, init: Evidence) -> Evidence {
    let mut proof = supervisor.proof;
    proof.extend(init.proof);
    let status = match (supervisor.status, init.status) {
        (Status::Full, other) | (other, Status::Full) => match other {
            // One half holds, so it is not nothing.
            Status::Absent { why } if !proof.is_empty() => Status::Partial { why },
            other => other,
        },
        (Status::Absent { why: one }, Status::Absent { why: two }) => Status::Absent {
            why: format!("{one}; {two}"),
        },
        (
            Status::Partial { why: one } | Status::Absent { why: one },
            Status::Partial { why: two } | Status::Absent { why: two },
        ) => Status::Partial {
            why: format!("{one}; {two}"),
        },
    };
    Evidence {
        layer: Layer::Limits,
        status,
        proof,
    }
}

/// The rlimit for a limit of the plan.
fn resource(name: LimitName) -> Option<(Resource, &'static str)> {
    match name {
        // RLIMIT_AS counts address space, which WebAssembly reserves by the gigabyte; DATA counts what can be written.
        LimitName::Memory => Some((Resource::RLIMIT_DATA, "RLIMIT_DATA")),
        LimitName::Processes => Some((Resource::RLIMIT_NPROC, "RLIMIT_NPROC")),
        LimitName::FileSize => Some((Resource::RLIMIT_FSIZE, "RLIMIT_FSIZE")),
        LimitName::OpenFiles => Some((Resource::RLIMIT_NOFILE, "RLIMIT_NOFILE")),
        LimitName::Cpu
        | LimitName::Disk
        | LimitName::Time
        | LimitName::Idle
        | LimitName::Output => None,
    }
}

fn rlimit(resource: Resource, label: &str, limit: &Limit) -> Result<String, String> {
    let mut value = whole(limit.value);
    if resource == Resource::RLIMIT_NPROC {
        // The box's processes are the user's as well, and outside he could start none (nor `agentbox kill`) where the box
        // has all of them. What counts there is the soft limit.
        let (soft, _) = getrlimit(resource).map_err(|errno| format!("{label}: {errno}"))?;
        value = value.min(soft / 2);
    }
    let now = cap(resource, value).map_err(|errno| format!("{label}: {errno}"))?;
    Ok(format!("{label} = {now}"))
}

/// Sets soft and hard limit to `value`, or to the present hard limit when that is lower, and reads them back. Both: a soft
/// limit alone can be raised by the agent.
fn cap(resource: Resource, value: u64) -> Result<u64, Errno> {
    let (_, hard) = getrlimit(resource)?;
    let value = value.min(hard);
    setrlimit(resource, value, value)?;
    if getrlimit(resource)? == (value, value) {
        Ok(value)
    } else {
        Err(Errno::EINVAL)
    }
}

/// Sets soft and hard limit to half of the hard one; `None` where that is none.
fn half(resource: Resource) -> Result<Option<u64>, Errno> {
    let (_, hard) = getrlimit(resource)?;
    if hard == RLIM_INFINITY {
        return Ok(None);
    }
    cap(resource, hard / 2).map(Some)
}

/// The soft limit on open files, which is raised to the hard one while a box is built: each mount of the view has a descriptor
/// until it hangs in its place, some for every nested repository, and 1024 is what most users have. The command gets its own again
/// when this is dropped.
#[derive(Debug)]
pub struct OpenFiles {
    soft: Option<u64>,
}

impl OpenFiles {
    /// Raises it.
    #[must_use]
    pub fn raised() -> OpenFiles {
        let mut open_files = OpenFiles { soft: None };
        open_files.raise();
        open_files
    }

    /// Raises it again, from what it is now.
    pub(super) fn raise(&mut self) {
        let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
            Ok(soft)
        });
        self.soft = raised.ok();
    }

    /// Makes it what it was.
    pub(super) fn put_back(&mut self) {
        if let Some(soft) = self.soft.take()
            && let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        {
            // Should it fail, the command may open more.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard);
        }
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        self.put_back();
    }
}

/// Keeps this process on the first processors of those that it may use.
fn affinity(cpus: f64) -> Result<String, String> {
    let this = Pid::from_raw(0);
    let wanted = usize::try_from(whole(cpus.ceil()).max(1)).unwrap_or(usize::MAX);
    let failed = |call| move |errno: Errno| format!("{call}: {errno}");
    let may = sched_getaffinity(this).map_err(failed("sched_getaffinity"))?;
    let mut set = CpuSet::new();
    let mut count = 0;
    for cpu in 0..CpuSet::count() {
        if count < wanted && may.is_set(cpu).unwrap_or(false) {
            set.set(cpu).map_err(failed("CPU_SET"))?;
            count += 1;
        }
    }
    sched_setaffinity(this, &set).map_err(failed("sched_setaffinity"))?;
    let now = sched_getaffinity(this).map_err(failed("sched_getaffinity"))?;
    if now == set {
        Ok(format!("affinity = {count} processors"))
    } else {
        Err("sched_setaffinity: the kernel chose other processors".to_owned())
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
pub(super) mod tests;
