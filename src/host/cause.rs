//! [`Cause`]: what a host forbids or lacks, as `agentbox check` found it. The commands against it are in `report::fix`.

#![forbid(unsafe_code)]

/// What a host forbids or lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// There is no procfs.
    NoProc,
    /// There is no /dev/null.
    NoDevNull,
    /// The procfs shows this user only what it may trace: not init of a box, which nobody may.
    HiddenProc,
    /// The sysctl `user.max_user_namespaces` is 0.
    MaxUserNamespaces,
    /// Debian's sysctl `kernel.unprivileged_userns_clone` is 0.
    UnprivilegedClone,
    /// AppArmor takes the capabilities from user namespaces of programs without a profile.
    AppArmor,
    /// The kernel is built without user namespaces.
    NoUserNamespaces,
    /// An engine's container: the engine may forbid namespaces and mounts.
    Container,
    /// Landlock is switched off. The security modules that are on, as `/sys/kernel/security/lsm` lists them, if it can be read.
    LandlockOff(Option<String>),
    /// The kernel has no Landlock, or a filter around this process refuses its calls.
    NoLandlock,
    /// No inotify instance is left to this user: the limit, and the sysctl that sets it.
    InotifyInstances(Limit),
    /// No watch is left to this user.
    InotifyWatches(Limit),
    /// No cgroup is delegated to this user: what the machine has.
    NoCgroup(Cgroups),
}

/// A limit that is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The sysctl, by its name with dots.
    pub sysctl: &'static str,
    /// What it says.
    pub value: u64,
}

/// What a machine has of cgroups where none is delegated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// Version 2, under systemd: its user sessions can be told to delegate.
    Systemd,
    /// Version 2, and no systemd.
    Unified,
    /// Version 1, or both: a user is never given one.
    Old,
    /// None are mounted.
    Missing,
}

/// Is it needed for a default run, or does something that is only worse stand in for it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Without it there is no box, or one on a lower rung.
    Needed,
    /// A run does without.
    Wished,
}

impl Cause {
    /// What is the case, in a line.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Cause::NoProc => "/proc is not mounted here".to_owned(),
            Cause::NoDevNull => "/dev/null is not there, or not the device of that name".to_owned(),
            Cause::HiddenProc => {
                "/proc hides processes from you (hidepid), init of a box among them".to_owned()
            }
            Cause::MaxUserNamespaces => "user.max_user_namespaces is 0".to_owned(),
            Cause::UnprivilegedClone => "kernel.unprivileged_userns_clone is 0".to_owned(),
            Cause::AppArmor => {
                "AppArmor takes the capabilities from user namespaces here (Ubuntu 24.04 and later)".to_owned()
            }
            Cause::NoUserNamespaces => "this kernel has no user namespaces (CONFIG_USER_NS)".to_owned(),
            Cause::Container => {
                "this is a container: its engine may forbid namespaces and mounts (docker's default seccomp profile does)".to_owned()
            }
            Cause::LandlockOff(_) => "Landlock is switched off on this kernel".to_owned(),
            Cause::NoLandlock => "this kernel has no Landlock".to_owned(),
            Cause::InotifyInstances(limit) => {
                format!("no inotify instance is left to this user: {} is {}", limit.sysctl, limit.value)
            }
            Cause::InotifyWatches(limit) => {
                format!("no inotify watch is left to this user: {} is {}", limit.sysctl, limit.value)
            }
            Cause::NoCgroup(_) => "no cgroup is delegated to this user: limits are rlimits of each process".to_owned(),
        }
    }

    /// The remedy in a line, where there is one that short; `agentbox check --fix` has the commands.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Cause::NoProc => Some("`mount -t proc proc /proc` (in a chroot: bind it from outside)"),
            Cause::NoDevNull => {
                Some("bind /dev from outside, or `rm -f /dev/null; mknod -m 666 /dev/null c 1 3`")
            }
            Cause::HiddenProc => Some(
                "`mount -o remount,hidepid=off /proc`, or be in the group that its option gid= names",
            ),
            Cause::MaxUserNamespaces => Some("`sysctl user.max_user_namespaces=10000`"),
            Cause::UnprivilegedClone => Some("`sysctl kernel.unprivileged_userns_clone=1`"),
            Cause::AppArmor => Some(
                "`agentbox check --fix` prints a profile for /etc/apparmor.d, with which agentbox may have them",
            ),
            _ => None,
        }
    }

    /// How much it matters.
    #[must_use]
    pub fn need(&self) -> Need {
        match self {
            Cause::NoCgroup(_) => Need::Wished,
            _ => Need::Needed,
        }
    }
}
