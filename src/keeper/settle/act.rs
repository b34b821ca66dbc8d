//! What is to be settled, and what was done.

#![forbid(unsafe_code)]

use crate::keeper::history::{How, Staged};
use crate::keeper::message::Until;
use crate::keeper::quarantine::Why;
use crate::plan::OsText;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

/// What is to be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// These names, while the session runs.
    Now {
        /// Names that run things.
        names: Vec<PathBuf>,
        /// Files under hidden names, of which only this is asked: could the box read their content elsewhere anyway?
        judge: Vec<PathBuf>,
        /// Hidden files that appeared a while ago: does the box have one open since?
        held: Held,
        /// What the box may see of git's configuration.
        sees: Sees,
    },
    /// Everything, of a session that is over. Where not all of it was seen, the trees are searched.
    End {
        /// Names that were made or changed.
        touched: Vec<PathBuf>,
        /// Git directories that were born.
        born: Vec<PathBuf>,
        /// Whether there may be others.
        search: Search,
    },
}

/// Hidden files, and the box that may have them open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Inodes that became copies often enough without anybody being seen who had them open.
    pub settled: HashSet<(u64, u64)>,
    /// The box's init, in whose pid namespace its processes are.
    pub init: Option<Pid>,
}

/// What the box sees of git's configuration: files that come to hold a credential are to be covered, but for these.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sees {
    /// Files that are covered already.
    pub covered: BTreeSet<PathBuf>,
    /// Credentials that the box has in its environment.
    pub known: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Sees {
    /// Without the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sees")
            .field("covered", &self.covered)
            .finish_non_exhaustive()
    }
}

/// Whether the trees are searched for what nobody has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Yes.
    Yes,
    /// All was seen.
    No,
}

/// What was done about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The host's path.
    pub file: OsText,
    /// What was done.
    pub did: Did,
}

/// Was everything done that can be? What is left has to be tried again.
#[must_use]
pub fn is_complete(acts: &[Act]) -> bool {
    !acts.iter().any(|act| matches!(act.did, Did::Failed { .. }))
}

/// Who has a file open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// The box, and nobody outside.
    Box,
    /// Perhaps the box: descriptors are on their way in its sockets.
    Perhaps,
}

/// What can be done about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Did {
    /// Moved to the quarantine: it did not exist when the session began.
    Quarantined,
    /// Moved to the quarantine: what is written to this hidden name would be read in the box.
    Lured,
    /// Moved to the quarantine: git would write through this link.
    Diverted,
    /// A hidden file that the box had open is a copy of its own now; the other one is in the quarantine.
    Renewed {
        /// Whether that is certain.
        whose: Whose,
        /// The inode that it was.
        was: (u64, u64),
        /// The one that it is; none where somebody made the name anew while it was copied, which is another file.
        copy: Option<(u64, u64)>,
    },
    /// A git configuration holds a credential that it did not hold when the session began, and the box is to see this instead.
    Holding {
        /// The text without it.
        text: OsText,
    },
    /// What was there when the session began is there again; the other one is in the quarantine.
    PutBack,
    /// It was deleted, and is there again.
    Restored,
    /// Entries of a git configuration that run things were undone.
    Undone {
        /// Which, in the words of agentbox's list.
        keys: Vec<String>,
    },
    /// Remotes of a git configuration that were there lead elsewhere.
    Led,
    /// A commit that a reference came to name has another one, or none.
    Committed {
        /// The reference.
        reference: OsText,
        /// The commit.
        commit: String,
        /// What is in it.
        how: How,
    },
    /// It is staged in a repository's index with a content that was nowhere when the session began, or is staged to be
    /// deleted: the next commit has that.
    Staged {
        /// What is staged.
        what: Staged,
    },
    /// Of the references of a repository not all that changed could be read.
    Unread {
        /// Why.
        why: String,
    },
    /// The content of a file under a hidden name is in a git object store that the box can read.
    Known {
        /// Device and inode.
        inode: (u64, u64),
        /// When it was last changed.
        changed: (i64, i64),
        /// How long that counts.
        until: Until,
    },
    /// Somebody has had a file that runs something open for writing for a while: the name has another file with the same content.
    Detached {
        /// It is another user's, and the kernel does not say who writes it.
        foreign: bool,
    },
    /// It had got a second name in the session, and has a file of its own now, with the same content.
    Parted,
    /// A frozen name has appeared with what a commit had there when the session began: a worktree's copy.
    Followed {
        /// Device and inode.
        inode: (u64, u64),
        /// When it was last changed.
        changed: (i64, i64),
    },
    /// It may be a secret of the host's.
    Secret,
    /// A rule is about what such a file holds, and it holds nothing of that kind.
    Harmless {
        /// Device and inode.
        inode: (u64, u64),
        /// When it was last changed.
        changed: (i64, i64),
    },
    /// It could not be settled: it has to be tried again.
    Failed {
        /// Why.
        why: String,
    },
    /// It could not be settled as it should, and trying again is of no use.
    Beyond {
        /// Why, or what was done instead.
        why: String,
    },
}

impl Did {
    /// What is said of a file that was moved away for this; `None` where what stands in its place is said.
    pub(super) fn taken(why: Why) -> Option<Self> {
        match why {
            Why::Made => Some(Self::Quarantined),
            Why::Lure => Some(Self::Lured),
            Why::Diverts => Some(Self::Diverted),
            Why::Changed | Why::Undone | Why::Held | Why::Replaced => None,
        }
    }
}
