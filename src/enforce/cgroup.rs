//! [`BoxCgroup`]: the control group of one box (cgroups(7)), v2 where a directory is delegated, v1 for root where v2 has
//! no such controller. Made by the supervisor before the box is forked and given back by it.

#![forbid(unsafe_code)]

pub use super::cgroup_file::{CgroupError, go_in};
use super::cgroup_file::{errno, failed, get, make, open, put};
use crate::host::Cgroup;
use crate::plan::{LimitBy, LimitName, Limits};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[path = "cgroup_left.rs"]
mod left;

pub use left::{clean_up_after_crash, remove_empty};

/// What the directory of a box is called, before the id of its session.
const PREFIX: &str = "agentbox-";
/// The period of cpu.max and cpu.cfs_period_us in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;
/// The shortest quota that the kernel takes (min_cfs_quota_period).
const QUOTA_MIN: u64 = 1_000;

/// Whether a setting may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// The limit does not hold without it.
    Must,
    /// Only some kernels have the file (swap accounting can be off).
    WherePresent,
}

/// One value of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    controller: &'static str,
    file: &'static str,
    value: String,
    need: Need,
}

/// A limit's value as a whole number; they are never negative.
pub(super) fn whole(value: f64) -> u64 {
    // Through text: `as` would hide the rounding, and a limit is converted once per session.
    format!("{:.0}", value.max(0.0)).parse().unwrap_or(u64::MAX)
}

/// What is to be written for the limits that `by` enforces, in this order.
fn settings(limits: &Limits, by: LimitBy) -> Vec<Setting> {
    use Need::{Must, WherePresent};
    let mut list = Vec::new();
    let mut set = |controller, file, value: String, need| {
        list.push(Setting {
            controller,
            file,
            value,
            need,
        });
    };
    for limit in limits.list.iter().filter(|limit| limit.by == by) {
        let value = whole(limit.value);
        match (limit.name, by) {
            (LimitName::Memory, LimitBy::CgroupV2) => {
                set("memory", "memory.max", value.to_string(), Must);
                // Swap would let a hog grow past the limit and make the host crawl before it is killed.
                set("memory", "memory.swap.max", "0".into(), WherePresent);
                // Half a box is worse than none: the agent's children would fail at random.
                set("memory", "memory.oom.group", "1".into(), Must);
            }
            (LimitName::Memory, _) => {
                set("memory", "memory.limit_in_bytes", value.to_string(), Must);
                // Memory plus swap; may not be below the other, hence the order.
                set(
                    "memory",
                    "memory.memsw.limit_in_bytes",
                    value.to_string(),
                    WherePresent,
                );
            }
            (LimitName::Processes, _) => set("pids", "pids.max", value.max(1).to_string(), Must),
            (LimitName::Cpu, LimitBy::CgroupV2) => {
                set(
                    "cpu",
                    "cpu.max",
                    format!("{} {PERIOD}", quota(limit.value)),
                    Must,
                );
            }
            (LimitName::Cpu, _) => {
                set("cpu", "cpu.cfs_period_us", PERIOD.to_string(), Must);
                set(
                    "cpu",
                    "cpu.cfs_quota_us",
                    quota(limit.value).to_string(),
                    Must,
                );
            }
            // The others are no limits of a control group; `by` cannot say so of them.
            (
                LimitName::FileSize
                | LimitName::OpenFiles
                | LimitName::Disk
                | LimitName::Time
                | LimitName::Idle
                | LimitName::Output,
                _,
            ) => {}
        }
    }
    list
}

/// Microseconds of processor time in each period.
fn quota(cpus: f64) -> u64 {
    whole(cpus * 100_000.0).max(QUOTA_MIN)
}

/// The directories of one box.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Dirs {
    /// The one of v2.
    V2(PathBuf),
    /// One per controller of v1.
    V1(Vec<(String, PathBuf)>),
}

/// The control group of one box. Dropping it removes it, as far as it is empty.
#[derive(Debug)]
pub struct BoxCgroup {
    dirs: Dirs,
    held: Vec<String>,
}

impl BoxCgroup {
    /// Makes `agentbox-ID` and sets the limits that the plan gives to control groups; `None` when there are none.
    ///
    /// # Errors
    /// The call that failed; what was made is removed again.
    pub fn create(
        host: &Cgroup,
        limits: &Limits,
        id: &str,
    ) -> Result<Option<BoxCgroup>, CgroupError> {
        let name = format!("{PREFIX}{id}");
        let by = |by| limits.list.iter().any(|limit| limit.by == by);
        match host {
            Cgroup::V2 { dir, .. } if by(LimitBy::CgroupV2) => {
                BoxCgroup::v2(dir, &name, &settings(limits, LimitBy::CgroupV2)).map(Some)
            }
            Cgroup::V1 { controllers } if by(LimitBy::CgroupV1) => {
                BoxCgroup::v1(controllers, &name, &settings(limits, LimitBy::CgroupV1)).map(Some)
            }
            // A plan that was made for another host must not pass for a limit that holds.
            _ if by(LimitBy::CgroupV2) || by(LimitBy::CgroupV1) => Err(CgroupError {
                call: "mkdir",
                path: PathBuf::from("/sys/fs/cgroup"),
                wrote: String::new(),
                errno: Errno::ENOTSUP,
            }),
            _ => Ok(None),
        }
    }

    fn v2(parent: &Path, name: &str, settings: &[Setting]) -> Result<BoxCgroup, CgroupError> {
        // A controller exists in a child only when its parent passes it on. EBUSY here is the rule of "no internal
        // processes": somebody lives in the delegated directory itself.
        let control = parent.join("cgroup.subtree_control");
        let on = get(&control)?;
        for controller in ["memory", "pids", "cpu"] {
            let wanted = settings
                .iter()
                .any(|setting| setting.controller == controller);
            if wanted && !on.split_whitespace().any(|name| name == controller) {
                put(&control, &format!("+{controller}"))?;
            }
        }
        let dir = parent.join(name);
        make(&dir).map_err(|error| failed("mkdir", &dir, &error))?;
        let mut made = BoxCgroup {
            dirs: Dirs::V2(dir),
            held: Vec::new(),
        };
        made.set(settings)?;
        Ok(made)
    }

    fn v1(
        controllers: &[(String, PathBuf)],
        name: &str,
        settings: &[Setting],
    ) -> Result<BoxCgroup, CgroupError> {
        let mut made = BoxCgroup {
            dirs: Dirs::V1(Vec::new()),
            held: Vec::new(),
        };
        for (controller, parent) in controllers {
            if !settings
                .iter()
                .any(|setting| setting.controller == controller)
            {
                continue;
            }
            let dir = parent.join(name);
            match make(&dir) {
                Ok(()) => {}
                // Two controllers on one mount (cpu,cpuacct) share a directory that was made a moment ago.
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && made.paths().any(|p| p == dir) => {}
                Err(error) => return Err(failed("mkdir", &dir, &error)),
            }
            if let Dirs::V1(dirs) = &mut made.dirs {
                dirs.push((controller.clone(), dir));
            }
        }
        made.set(settings)?;
        Ok(made)
    }

    /// Writes each setting and reads it back: the kernel rounds, and some files take what they then ignore.
    fn set(&mut self, settings: &[Setting]) -> Result<(), CgroupError> {
        for setting in settings {
            let path = self.dir_of(setting.controller)?.join(setting.file);
            match put(&path, &setting.value) {
                Err(error)
                    if setting.need == Need::WherePresent && error.errno == Errno::ENOENT =>
                {
                    continue;
                }
                other => other?,
            }
            let now = get(&path)?;
            if !same(&now, &setting.value) {
                return Err(CgroupError {
                    call: "read back",
                    path,
                    wrote: format!("wrote {}, found {now}", setting.value),
                    errno: Errno::EINVAL,
                });
            }
            self.held.push(format!("{} = {now}", setting.file));
        }
        Ok(())
    }

    fn dir_of(&self, controller: &str) -> Result<&Path, CgroupError> {
        match &self.dirs {
            Dirs::V2(dir) => Ok(dir),
            Dirs::V1(dirs) => dirs
                .iter()
                .find(|(name, _)| name == controller)
                .map(|(_, dir)| dir.as_path())
                .ok_or_else(|| CgroupError {
                    call: "mkdir",
                    path: Path::new("/sys/fs/cgroup").join(controller),
                    wrote: String::new(),
                    errno: Errno::ENODEV,
                }),
        }
    }

    /// Its directories.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let (one, many) = match &self.dirs {
            Dirs::V2(dir) => (Some(dir.as_path()), [].iter()),
            Dirs::V1(dirs) => (None, dirs.iter()),
        };
        one.into_iter().chain(many.map(|(_, dir)| dir.as_path()))
    }

    /// What was written and read back, `FILE = VALUE` each.
    #[must_use]
    pub fn held(&self) -> &[String] {
        &self.held
    }

    /// What init moves itself in by with [`go_in`]: nothing where the supervisor has to do it ([`join`](BoxCgroup::join)).
    /// Another process is moved under a lock of the kernel's that is taken after a grace period of RCU (1 ms, 10 on a busy
    /// machine); a process that moves its one thread itself needs none. cgroup v1 asks who opened the file, which is the
    /// supervisor.
    ///
    /// # Errors
    /// The open(2) that failed.
    pub fn doors(&self) -> Result<Vec<File>, CgroupError> {
        let Dirs::V1(dirs) = &self.dirs else {
            return Ok(Vec::new());
        };
        dirs.iter()
            .map(|(_, dir)| open(&dir.join("tasks")))
            .collect()
    }

    /// Moves a process in, with all its threads. Before it unshares its cgroup namespace, whose root would else be
    /// outside of the limit, and before it has children, which stay where they are.
    ///
    /// # Errors
    /// The write that failed.
    pub fn join(&self, pid: Pid) -> Result<(), CgroupError> {
        self.paths()
            .try_for_each(|dir| put(&dir.join("cgroup.procs"), &pid.to_string()))
    }

    /// Kills every process in it by one write, frozen ones too: cgroup.kill (cgroup v2, Linux 5.14). Never waits; `false` where
    /// there is no such file.
    pub fn kill_at_once(&self) -> bool {
        matches!(&self.dirs, Dirs::V2(dir) if put(&dir.join("cgroup.kill"), "1").is_ok())
    }

    /// Kills every process in it: [`at once`](BoxCgroup::kill_at_once), else SIGKILL to each until none is left or 2 s are over.
    ///
    /// # Errors
    /// The members cannot be read, or (ETIMEDOUT) some still live.
    pub fn kill(&self) -> Result<(), CgroupError> {
        if self.kill_at_once() {
            return Ok(());
        }
        self.paths().try_for_each(kill_each)
    }

    /// Stops every process in it, whatever it does with signals.
    ///
    /// # Errors
    /// ENOTSUP under v1, whose freezer holds back SIGKILL; else the write that failed.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.frozen("1")
    }

    /// Continues what [`freeze`](BoxCgroup::freeze) stopped.
    ///
    /// # Errors
    /// As for [`freeze`](BoxCgroup::freeze).
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.frozen("0")
    }

    /// Is every process in it frozen (cgroup.events)? What cannot be read is not known to move.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let Dirs::V2(dir) = &self.dirs else {
            return false;
        };
        get(&dir.join("cgroup.events"))
            .map_or(true, |text| text.lines().any(|line| line == "frozen 1"))
    }

    fn frozen(&self, value: &str) -> Result<(), CgroupError> {
        match &self.dirs {
            Dirs::V2(dir) => put(&dir.join("cgroup.freeze"), value),
            Dirs::V1(dirs) => Err(CgroupError {
                call: "freeze",
                path: dirs.first().map(|(_, dir)| dir.clone()).unwrap_or_default(),
                wrote: String::new(),
                errno: Errno::ENOTSUP,
            }),
        }
    }

    /// How many processes the kernel killed in it for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let file = match &self.dirs {
            Dirs::V2(_) => "memory.events",
            Dirs::V1(_) => "memory.oom_control",
        };
        self.dir_of("memory")
            .and_then(|dir| get(&dir.join(file)))
            .ok()
            .and_then(|text| {
                text.lines()
                    .find_map(|line| line.strip_prefix("oom_kill "))
                    .and_then(|count| count.trim().parse().ok())
            })
            .unwrap_or(0)
    }

    /// Removes its directories; what is gone already is fine. A process that was just killed is a member until it is
    /// reaped, so EBUSY is tried again until `patience` is over.
    ///
    /// # Errors
    /// The rmdir(2) that failed last.
    pub fn remove(&self, patience: Duration) -> Result<(), CgroupError> {
        let until = Instant::now() + patience;
        // All of them are tried, the first failure is reported.
        self.paths()
            .map(|dir| remove(dir, until))
            .fold(Ok(()), Result::and)
    }
}

impl Drop for BoxCgroup {
    fn drop(&mut self) {
        // The end of a session removes it with patience and says what fails; this is for the paths that did not get there.
        // What stays is found by `clean_up_after_crash`.
        let _ = self.remove(Duration::ZERO);
    }
}

/// Is that the value that was written? The kernel rounds bytes down to whole pages.
fn same(now: &str, wrote: &str) -> bool {
    match (now.parse::<u64>(), wrote.parse::<u64>()) {
        (Ok(now), Ok(wrote)) => now <= wrote && wrote - now < 65_536 && (now > 0 || wrote == 0),
        _ => now == wrote,
    }
}

fn members(dir: &Path) -> Result<Vec<Pid>, CgroupError> {
    Ok(get(&dir.join("cgroup.procs"))?
        .lines()
        .filter_map(|line| line.parse().ok())
        // 0 is a process of a pid namespace that cannot be seen from here; kill(0) would hit ourselves.
        .filter(|pid| *pid > 1)
        .map(Pid::from_raw)
        .collect())
}

fn kill_each(dir: &Path) -> Result<(), CgroupError> {
    let until = Instant::now() + Duration::from_secs(2);
    loop {
        let members = match members(dir) {
            Err(error) if error.errno == Errno::ENOENT => return Ok(()),
            other => other?,
        };
        if members.is_empty() {
            return Ok(());
        }
        for pid in members {
            // Gone in the meantime is what was wanted.
            let _ = kill(pid, Signal::SIGKILL);
        }
        if Instant::now() > until {
            return Err(CgroupError {
                call: "kill",
                path: dir.to_owned(),
                wrote: String::new(),
                errno: Errno::ETIMEDOUT,
            });
        }
        sleep(Duration::from_millis(1));
    }
}

fn remove(dir: &Path, until: Instant) -> Result<(), CgroupError> {
    let mut pause = Duration::from_micros(200);
    loop {
        let error = match std::fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => error,
        };
        // A member may have made groups of its own below.
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let _ = remove(&entry.path(), Instant::now());
            }
        }
        if errno(&error) != Errno::EBUSY || Instant::now() >= until {
            return Err(failed("rmdir", dir, &error));
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
