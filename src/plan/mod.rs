//! The [`Plan`]: what shall hold, concrete and complete. Plain data without a secret value: it is what `explain` prints,
//! what the record keeps and what `enforce` and `launch` carry out. Nothing here touches the system.

#![forbid(unsafe_code)]

mod credential;
pub mod gitconfig;
mod grant;
pub mod links;
pub mod names;
pub mod net;
pub mod private;
pub mod problem;
pub mod refused;
pub mod remote;
pub mod resolve;
pub mod rung;
pub mod stop;
pub mod text;
mod view;
pub mod why;

use crate::outcome::Layer;
use crate::policy::Origin;
pub use grant::{Grant, GrantKind};
pub use links::{HardLinks, Links};
pub use names::Names;
pub use net::{Network, NetworkMode};
use serde::{Deserialize, Serialize};
use std::path::Path;
pub use text::OsText;

/// The version of the serialised form.
pub const VERSION: u32 = 1;

/// What shall hold for one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// [`VERSION`].
    pub version: u32,
    /// What is executed, and where.
    pub command: Command,
    /// The working copy.
    pub workspace: Workspace,
    /// Who the agent is, inside and for the kernel.
    pub identity: Identity,
    /// The mount view.
    pub view: View,
    /// Programs that are refused; covered after the view was built.
    #[serde(default)]
    pub refused: refused::Refused,
    /// Landlock rules, the same grants as the view.
    pub landlock: Vec<LandlockRule>,
    /// The environment.
    pub env: Env,
    /// The network.
    pub network: Network,
    /// Limits and what enforces each.
    pub limits: Limits,
    /// Files that their program replaces by rename: the box has a copy, written back.
    pub state: Vec<StateFile>,
    /// Names that are hidden, frozen or tracked, and what of it exists.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub names: Names,
    /// Files with hard links out of what the box may write.
    #[serde(default, skip_serializing_if = "Links::is_empty")]
    pub links: Links,
    /// How it is built, where this place does not allow everything.
    #[serde(default, skip_serializing_if = "rung::Standing::is_full")]
    pub standing: rung::Standing,
    /// Layers that must hold in full; anything else is exit 125.
    pub require: Vec<Layer>,
    /// Layers that were switched off on purpose (`[layers] off` of a profile), each with its origin.
    pub off: Vec<LayerOff>,
    /// Names that end the session as soon as they exist, and keep one from starting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_files: Vec<stop::StopFile>,
    /// What becomes of the session when its window is closed.
    #[serde(default, skip_serializing_if = "Hangup::is_the_end")]
    pub hangup: Hangup,
    /// Kill switches that are somewhere else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<remote::Remote>,
    /// The session is a drill: its switches have names of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<remote::Drill>,
    /// Every grant with its origin, for `explain`.
    pub grants: Vec<Grant>,
    /// Directories of the caller's PATH that are not visible in the box.
    pub path_dropped: Vec<OsText>,
    /// What the banner has to say besides (net is host, signing is off, `.agentbox.toml` is not read, ...).
    pub notices: Vec<String>,
    /// What the profiles say of their programs: `[agent] notices`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Host directories that are made (0700, with parents) before the view is built: the places behind `private` paths. The last
    /// of all: the box is told the text of everything before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub private_dirs: Vec<OsText>,
}

impl Plan {
    /// Its text. `room` is how long it may be expected to be.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn json(&self, room: usize) -> serde_json::Result<String> {
        let mut text = Vec::with_capacity(room);
        serde_json::to_writer(&mut text, self)?;
        String::from_utf8(text).map_err(serde::ser::Error::custom)
    }

    /// Of that text what the box is told, in two parts: all but agentbox's own places. `None` if it is not this plan's.
    #[must_use]
    pub fn told<'a>(&self, json: &'a str) -> Option<[&'a str; 2]> {
        if self.private_dirs.is_empty() {
            return Some([json, ""]);
        }
        let places = serde_json::to_string(&self.private_dirs).ok()?;
        let rest = json.strip_suffix('}')?.strip_suffix(&places)?;
        Some([rest.strip_suffix(r#","private-dirs":"#)?, "}"])
    }
}

/// What becomes of a session whose window is closed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "then")]
pub enum Hangup {
    /// The command gets SIGHUP, and what does not obey is killed.
    #[default]
    End,
    /// It goes on without a window, where it has a terminal that can be attached to.
    Detach {
        /// Who says so.
        origin: Origin,
    },
}

impl Hangup {
    fn is_the_end(&self) -> bool {
        *self == Hangup::End
    }
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Command {
    /// As typed.
    pub name: OsText,
    /// The absolute path inside the box; `None` if it is not installed (only `explain` gets that far).
    pub program: Option<OsText>,
    /// argv, with `argv[0]` as typed.
    pub argv: Vec<OsText>,
    /// The working directory inside the box.
    pub cwd: OsText,
    /// The profile that was chosen and everything it extends, the chosen one first.
    pub profiles: Vec<String>,
}

/// The working copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Workspace {
    /// The path as the caller knows it (symlinks kept).
    pub path: OsText,
    /// The canonical path.
    pub real: OsText,
}

/// How the uid inside relates to the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityMode {
    /// An ordinary caller keeps uid and gid.
    Same,
    /// A root caller: a kernel uid that is not 0, and id-mapped mounts so that files belong to the caller outside.
    Shifted,
    /// A root caller in a workspace of another owner: that owner's uid.
    Owner,
    /// A root caller where id-mapping is refused and the plan allows kernel uid 0.
    KernelRoot,
}

/// Who the agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// How the ids were chosen.
    pub mode: IdentityMode,
    /// The effective uid of the caller.
    pub caller_uid: u32,
    /// The effective gid of the caller.
    pub caller_gid: u32,
    /// The uid inside the box's user namespace.
    pub inner_uid: u32,
    /// The gid inside the box's user namespace.
    pub inner_gid: u32,
    /// The uid as the initial namespace (the caller's) sees it.
    pub outer_uid: u32,
    /// The gid as the initial namespace (the caller's) sees it.
    pub outer_gid: u32,
    /// The user's name inside (generated passwd, USER, LOGNAME).
    pub user: String,
    /// HOME inside.
    pub home: OsText,
    /// Where that is, if it is a link or lies behind one (`/home -> /var/home`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_real: Option<OsText>,
    /// The login shell inside.
    pub shell: OsText,
}

impl Identity {
    /// HOME inside, without links.
    #[must_use]
    pub fn real_home(&self) -> &OsText {
        self.home_real.as_ref().unwrap_or(&self.home)
    }
}

/// The mount view: how the new root is built, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct View {
    /// Operations, applied in this order. Parents of a target that are missing are made (0755) in the root's own tmpfs.
    pub ops: Vec<MountOp>,
}

/// One operation of the view. Every `target` is an absolute path inside the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "op")]
pub enum MountOp {
    /// mkdir.
    Dir {
        /// Where.
        target: OsText,
        /// Permission bits.
        mode: u32,
    },
    /// A file of the box's own.
    File {
        /// Where.
        target: OsText,
        /// Permission bits.
        mode: u32,
        /// Its content.
        content: String,
    },
    /// symlink(2).
    Symlink {
        /// Where.
        target: OsText,
        /// What it says.
        to: OsText,
    },
    /// A clone of a host tree (open_tree(2) with OPEN_TREE_CLONE and AT_RECURSIVE), moved to `target`.
    Bind {
        /// The host's path, canonical: no component of it may be a symlink when it is opened.
        source: OsText,
        /// Where.
        target: OsText,
        /// Read-only (recursively) or writable.
        access: Access,
        /// A directory or anything else; decides what the mount point is.
        kind: Kind,
        /// The mount is id-mapped so that the caller's files belong to the agent (root callers).
        idmap: bool,
        /// A directory that agentbox makes (0700, with parents) when it is missing.
        create: bool,
    },
    /// A copy of a small file of the host's, as it is at the start: cheaper than a mount, and a host program that replaces
    /// the file changes nothing inside either way. A larger one, and one that the agent's uid may not
    /// read, is bound read-only.
    Copy {
        /// The host's path, canonical.
        source: OsText,
        /// Where.
        target: OsText,
    },
    /// A tmpfs of the box's own.
    Tmpfs {
        /// Where.
        target: OsText,
        /// Permission bits of its root.
        mode: u32,
        /// Its size in bytes.
        size: u64,
    },
    /// A fresh, read-only mount of a cgroup hierarchy, whose root is the box's own cgroup (cgroup_namespaces(7)). Where the
    /// kernel refuses it, an empty directory.
    Cgroup {
        /// Where.
        target: OsText,
        /// The controllers of a v1 hierarchy; empty for v2.
        controllers: Vec<String>,
    },
    /// A fresh procfs with the dangerous parts masked and /proc/sys read-only.
    Proc,
    /// The procfs of the container around the box, with the same masks and with what ran before covered
    /// ([`rung::Rung::ContainerProc`]).
    ContainerProc,
    /// The minimal /dev.
    Dev,
    /// An empty file over what is there: it reads as empty and a write fails with EROFS.
    MaskFile {
        /// Where.
        target: OsText,
    },
    /// An empty directory over what is there.
    MaskDir {
        /// Where.
        target: OsText,
    },
    /// A file of the box's own over what is there, read-only.
    Cover {
        /// Where.
        target: OsText,
        /// Its content.
        content: OsText,
    },
    /// What nobody may open (EACCES, its owner included) over what is there.
    Refuse {
        /// Where.
        target: OsText,
        /// A directory or anything else.
        kind: Kind,
    },
}

impl MountOp {
    /// Where it puts something, in the box.
    #[must_use]
    pub fn target(&self) -> &Path {
        match self {
            MountOp::Dir { target, .. }
            | MountOp::File { target, .. }
            | MountOp::Symlink { target, .. }
            | MountOp::Bind { target, .. }
            | MountOp::Copy { target, .. }
            | MountOp::Tmpfs { target, .. }
            | MountOp::Cgroup { target, .. }
            | MountOp::MaskFile { target }
            | MountOp::MaskDir { target }
            | MountOp::Cover { target, .. }
            | MountOp::Refuse { target, .. } => target.path(),
            MountOp::Proc | MountOp::ContainerProc => Path::new("/proc"),
            MountOp::Dev => Path::new("/dev"),
        }
    }
}

/// What a grant allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read and execute.
    Read,
    /// Read, execute and write.
    Write,
}

/// What kind of thing is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A directory.
    Dir,
    /// A file, a device, ... anything else.
    File,
}

/// One `path_beneath` rule of Landlock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LandlockRule {
    /// The path inside the box.
    pub path: OsText,
    /// What it allows.
    pub access: LandlockAccess,
}

/// The access of a Landlock rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LandlockAccess {
    /// Directory listing only.
    List,
    /// Read and execute.
    Read,
    /// Read, execute, write existing files and ioctl on devices: /proc, /dev.
    Device,
    /// Every right the kernel knows.
    Full,
}

/// The environment. Values come from the caller's environment at the start and never enter the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Env {
    /// Names whose value is the caller's.
    pub pass: Vec<EnvPass>,
    /// Names with the value that a profile or agentbox gives.
    pub set: Vec<EnvSet>,
    /// Names with a value that was given on the command line (`--env NAME=VALUE`); the value is not in the plan.
    pub given: Vec<OsText>,
    /// Names of the caller's environment that do not reach the box.
    pub stripped: Vec<EnvStripped>,
}

/// A variable that passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EnvPass {
    /// Its name.
    pub name: OsText,
    /// Who let it in.
    pub origin: Origin,
}

/// A variable with a value of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EnvSet {
    /// Its name.
    pub name: OsText,
    /// Its value.
    pub value: OsText,
    /// Who set it.
    pub origin: Origin,
}

/// A variable that does not reach the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EnvStripped {
    /// Its name.
    pub name: OsText,
    /// Why.
    pub why: Stripped,
    /// Its name or value looks like a credential.
    pub credential: bool,
    /// Whose rule removes it, if it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Why a variable was stripped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stripped {
    /// Nothing lets it in.
    NotListed,
    /// A pattern or group let it in, but its value looks like a credential: only an exact name passes that.
    LooksLikeCredential,
    /// A rule of a profile removes it.
    Denied,
    /// It would pass, but names a place that the box cannot write, and its program takes that for another thing than it is.
    NotThere,
}

/// The limits. `None` is "no limit".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limits {
    /// Each limit that is asked for.
    pub list: Vec<Limit>,
    /// Seconds between a forwarded SIGTERM or SIGHUP and SIGKILL.
    pub stop_grace: f64,
}

impl Limits {
    /// The limit of that name.
    #[must_use]
    pub fn get(&self, name: LimitName) -> Option<&Limit> {
        self.list.iter().find(|limit| limit.name == name)
    }
}

/// The names of limits (`--limit NAME=VALUE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitName {
    /// Bytes of memory.
    Memory,
    /// Processes and threads.
    Processes,
    /// CPUs (1.5 = one and a half).
    Cpu,
    /// Bytes of one file.
    FileSize,
    /// Open files of one process.
    OpenFiles,
    /// Bytes in each private place on tmpfs (HOME, /tmp, /dev/shm).
    Disk,
    /// Seconds of wall-clock time.
    Time,
    /// Seconds in which nothing passes the terminal in either direction.
    Idle,
    /// Bytes that are written to the terminal.
    Output,
}

impl LimitName {
    /// Every limit.
    pub const ALL: [LimitName; 9] = [
        LimitName::Memory,
        LimitName::Processes,
        LimitName::Cpu,
        LimitName::FileSize,
        LimitName::OpenFiles,
        LimitName::Disk,
        LimitName::Time,
        LimitName::Idle,
        LimitName::Output,
    ];

    /// As profiles and `--limit` write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            LimitName::Memory => "memory",
            LimitName::Processes => "processes",
            LimitName::Cpu => "cpu",
            LimitName::FileSize => "file-size",
            LimitName::OpenFiles => "open-files",
            LimitName::Disk => "disk",
            LimitName::Time => "time",
            LimitName::Idle => "idle",
            LimitName::Output => "output",
        }
    }
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limit {
    /// Which.
    pub name: LimitName,
    /// Its value in the unit of [`LimitName`].
    pub value: f64,
    /// What enforces it.
    pub by: LimitBy,
    /// What that means, where it is not what one would expect.
    pub meaning: String,
    /// Who asked for it.
    pub origin: Origin,
}

impl Limit {
    /// The value as a whole number of its unit; negative and not-a-number are 0, too large is the largest.
    #[must_use]
    pub fn whole(&self) -> u64 {
        // A float to int `as` saturates and takes NaN for 0, which is what is wanted here.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let whole = self.value as u64;
        whole
    }
}

/// What enforces a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitBy {
    /// A controller of cgroup v2 (boundary, whole box).
    CgroupV2,
    /// A controller of cgroup v1 (boundary, whole box).
    CgroupV1,
    /// An rlimit (per process, except `processes`, which is per box).
    Rlimit,
    /// The size of a tmpfs (each).
    Tmpfs,
    /// sched_setaffinity(2): a guard-rail, the agent can widen it.
    Affinity,
    /// A timer of the supervisor.
    Timer,
    /// What the supervisor counts as it relays the terminal.
    Terminal,
}

/// A file that its program replaces through a lock directory and rename.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StateFile {
    /// The host's path (canonical parent); may not exist yet.
    pub source: OsText,
    /// Where the copy is inside the box.
    pub target: OsText,
    /// Who asked for it.
    pub origin: Origin,
}

impl StateFile {
    /// Is it written back? Not what says which folders a human trusts, and no TOML: it is settings, and is not merged name by
    /// name. Then the box's copy goes with the box: Codex and Gemini CLI do not begin where they cannot save such an answer.
    #[must_use]
    pub fn travels(&self) -> bool {
        let name = self.source.path().file_name().unwrap_or_default();
        let is_toml = Path::new(name).extension().is_some_and(|end| end == "toml");
        !is_toml && name != "trustedFolders.json"
    }
}

/// A layer that was switched off on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LayerOff {
    /// Which.
    pub layer: Layer,
    /// Who did.
    pub origin: Origin,
}
