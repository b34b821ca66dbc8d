//! [`Fragment`]: the wishes of one source (a profile, the user's file, the command line). [`Policy`]: all of them merged.
//! Still abstract: `~` and `${workspace}` are not yet paths. Knows nothing of the system.

#![forbid(unsafe_code)]

pub mod egress;
pub mod floor;
pub mod merge;
pub mod origin;
pub mod pattern;
mod tighten;

use crate::outcome::Layer;
use crate::plan::names::{Holds, Verdict};
use crate::plan::remote::{Drill, RemoteSwitch};
use crate::plan::rung::{Nested, Rung};
use crate::plan::{HardLinks, LimitName, NetworkMode, OsText};
pub use egress::EgressWishes;
pub use floor::Breach;
pub use merge::{merge, merge_floor};
pub use origin::Origin;
use std::path::PathBuf;

/// One wish and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish<T> {
    /// What is wished.
    pub value: T,
    /// By whom.
    pub origin: Origin,
}

/// A path of a profile: `~/.cache`, `${workspace}`, `~/.config/git?`, `~/.claude/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathWish {
    /// The path with its variables, without the trailing `?` or `/`. Bytes, since the command line may name any file.
    pub path: OsText,
    /// `?`: fine if missing.
    pub optional: bool,
    /// trailing `/`: a directory, made (0700) when missing.
    pub make_dir: bool,
}

/// A pattern of names (`${workspace}/**/.env`, `!~/.ssh/config`): which files, wherever they turn up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameWish {
    /// The pattern with its variables, without the leading `!`: `**` is any number of directories, `*` any part of a name,
    /// `\` makes the next byte literal.
    pub pattern: OsText,
    /// [`Verdict::Lifted`] with a leading `!`.
    pub verdict: Verdict,
    /// Only files with such a content.
    pub holds: Option<Holds>,
}

/// What is wished of the file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileWishes {
    /// Read and execute.
    pub read: Vec<Wish<PathWish>>,
    /// Read, execute and write.
    pub write: Vec<Wish<PathWish>>,
    /// A copy, written back (see `StateFile`).
    pub state: Vec<Wish<PathWish>>,
    /// Persistent, but the box's own.
    pub private: Vec<Wish<PathWish>>,
    /// The same, for each working copy by itself.
    pub project: Vec<Wish<PathWish>>,
    /// Names whose content the box never sees.
    pub hide: Vec<Wish<NameWish>>,
    /// Names that the box cannot change.
    pub protect: Vec<Wish<NameWish>>,
    /// Names that the box can change, and whose changes are looked at.
    pub track: Vec<Wish<NameWish>>,
}

/// What is wished of the programs in the box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandWishes {
    /// Names and patterns ([`pattern`]) of programs that are replaced by a refusal.
    pub deny: Vec<Wish<String>>,
    /// Exact names that no weaker source's `deny` refuses. In a merged policy this has been decided, as for [`EnvWishes`].
    pub allow: Vec<Wish<String>>,
    /// Directories besides PATH in which `deny` looks; `*` stands for one component.
    pub search: Vec<Wish<PathWish>>,
}

/// What is wished of the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvWishes {
    /// Names and patterns (`LC_*`, see [`pattern`]) that pass.
    pub keep: Vec<Wish<String>>,
    /// Names and patterns that never pass, unless named exactly by a stronger source. In a merged policy this has been
    /// decided: an exact name that is still in `keep` passes, a pattern in `keep` passes only what `deny` does not hit.
    pub deny: Vec<Wish<String>>,
    /// Values set by a profile.
    pub set: Vec<(OsText, Wish<OsText>)>,
    /// Names whose value is given on the command line (`--env NAME=VALUE`); values are not policy.
    pub given: Vec<Wish<OsText>>,
}

/// A limit: a value in the unit of its name, or none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LimitWish {
    /// `"8GiB"`, `4096`, `"90s"`.
    Value(f64),
    /// `"75%"`: percent of the host's memory (only for `memory`).
    Percent(f64),
    /// The lower one of both: what a project's file makes of another's percentage.
    Least {
        /// Percent of the host's memory.
        percent: f64,
        /// A value.
        value: f64,
    },
    /// `"none"`.
    Unlimited,
}

/// How far the word of a source counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Authority {
    /// It may grant and forbid.
    #[default]
    Full,
    /// It may only forbid: whatever would make the box wider is left out.
    Tighten,
}

/// What becomes of a session whose window is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnHangup {
    /// The command gets SIGHUP, and what does not obey is killed.
    End,
    /// It goes on without a window.
    Detach,
}

/// Something that is so or not when a session starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is something at this path, links followed.
    Exists(OsText),
    /// There is nothing.
    Missing(OsText),
}

impl Condition {
    /// Its path, with its variable.
    #[must_use]
    pub fn path(&self) -> &OsText {
        match self {
            Condition::Exists(path) | Condition::Missing(path) => path,
        }
    }

    /// Whether whoever can write the working copy decides it.
    #[must_use]
    pub fn is_of_workspace(&self) -> bool {
        self.path().bytes().starts_with(b"${workspace}")
    }
}

/// A part of a source that counts only under conditions (`[[when]]`).
#[derive(Debug, Clone, PartialEq)]
pub struct Conditional {
    /// All of them; never empty.
    pub conditions: Vec<Wish<Condition>>,
    /// What is wished then.
    pub fragment: Box<Fragment>,
}

/// The wishes of one source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fragment {
    /// The name of the profile, or the file, or "command line".
    pub name: String,
    /// Whether it may make the box wider.
    pub authority: Authority,
    /// `description`.
    pub description: Option<String>,
    /// `[agent] commands`: base names that select this profile.
    pub commands: Vec<String>,
    /// `[files]`.
    pub files: FileWishes,
    /// `[files] hard-links`.
    pub hard_links: Option<Wish<HardLinks>>,
    /// `[commands]`.
    pub programs: CommandWishes,
    /// `[env]`.
    pub env: EnvWishes,
    /// `[network] mode`.
    pub network: Option<Wish<NetworkMode>>,
    /// The rest of `[network]`.
    pub egress: EgressWishes,
    /// `[limits]`, later ones of the same name win.
    pub limits: Vec<(LimitName, Wish<LimitWish>)>,
    /// `[limits] stop-grace` in seconds.
    pub stop_grace: Option<Wish<f64>>,
    /// `[layers] require` and `--require`.
    pub require: Vec<Wish<Layer>>,
    /// `[layers] allow-missing` and `--allow-missing`.
    pub allow_missing: Vec<Wish<Layer>>,
    /// `[layers] off`: not even tried (for an inner sandbox that needs mount(2), and for testing one layer alone).
    pub layers_off: Vec<Wish<Layer>>,
    /// `[layers] rung` and `--rung`: the lowest one that is accepted.
    pub rung: Option<Wish<Rung>>,
    /// `[layers] nested` and `--nested`.
    pub nested: Option<Wish<Nested>>,
    /// `[kill-switch] files`: names that stop the session when they appear in the workspace or at its repository's root.
    pub stop_files: Vec<Wish<String>>,
    /// `[session] hangup` and `--hangup`.
    pub hangup: Option<Wish<OnHangup>>,
    /// `[[kill-switch.remote]]`.
    pub remotes: Vec<Wish<RemoteSwitch>>,
    /// `[kill-switch] team`: what `${team}` is.
    pub team: Option<Wish<String>>,
    /// `[agent] notices`: lines that the banner and the plan carry (self-update is off, how to update).
    pub notices: Vec<Wish<String>>,
    /// `[agent] arguments`: what COMMAND gets before the caller's own arguments; those of the strongest source that has some.
    pub arguments: Vec<Wish<String>>,
    /// `[[when]]`, until it is decided (`plan::resolve::decide`). Nothing is left of it in a policy that is enforced.
    pub when: Vec<Conditional>,
    /// Conditions that were decided and could have granted something: no box may be able to change what they ask.
    pub conditions: Vec<Wish<Condition>>,
}

/// Everything that is wished, merged (see [`merge()`]).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// The chosen profile and what it extends, the chosen one first.
    pub profiles: Vec<String>,
    /// The merged wishes.
    pub wishes: Fragment,
    /// What is run.
    pub request: Request,
}

/// What the command line asks to run: not a wish, but a fact of this call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// COMMAND and its arguments as typed.
    pub argv: Vec<OsText>,
    /// `-C`.
    pub workspace: Option<PathBuf>,
    /// It is a drill.
    pub drill: Option<Drill>,
}
