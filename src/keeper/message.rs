//! What supervisor and keeper say to each other.

#![forbid(unsafe_code)]

use crate::plan::OsText;
use crate::record::Closed;
use nix::sys::stat::FileStat;
use serde::{Deserialize, Serialize};

/// From the supervisor to the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToKeeper {
    /// The box stands: join it. With descriptors of its user and mount namespaces, and a pidfd of its init.
    Join,
    /// What the last [`FromKeeper::Touched`] named was looked at.
    Settled {
        /// Of the files to be judged, those that the box could read elsewhere anyway, or that are no secrets.
        known: Vec<Known>,
        /// Those that may be secrets.
        secret: Vec<OsText>,
        /// Those of which the box has to see something else from now on.
        covers: Vec<Cover>,
    },
    /// The box ends: when its init is dead, and so everybody in it, say what the end has to look at, and end.
    Finish,
}

/// From the keeper to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromKeeper {
    /// The keeper is in the box, and everything that existed at the start is covered.
    Armed {
        /// What it cannot watch, in words.
        gap: Option<String>,
    },
    /// It cannot do its work: the box must not go on.
    Failed {
        /// Why.
        why: String,
    },
    /// A name that the host replaced or made was closed again.
    Closed {
        /// The host's path.
        file: OsText,
        /// How.
        how: Closed,
        /// How often since it was last said.
        times: u32,
        /// Device and inode of what the host put there, where it was frozen.
        inode: Option<(u64, u64)>,
    },
    /// Names that run things were made or changed, perhaps by the box. The next ones follow after [`ToKeeper::Settled`].
    Touched {
        /// The host's paths.
        files: Vec<OsText>,
        /// Files under hidden names that appeared where the box may have made them, and files that a rule hides for their content: are
        /// they a secret of the host's?
        judge: Vec<OsText>,
        /// Files under hidden names that appeared a while ago: has the box one open?
        held: Vec<OsText>,
    },
    /// Events were lost (IN_Q_OVERFLOW): everything is looked at anew, and the box stands still meanwhile.
    Overflow,
    /// That was done.
    LookedAgain,
    /// A directory cannot be watched any more: it is looked at again and again instead.
    Gap {
        /// Why.
        why: String,
    },
    /// The answer to [`ToKeeper::Finish`], in as many messages as it takes.
    Done {
        /// Names that were made or changed during the session and have to be compared with the start.
        touched: Vec<OsText>,
        /// Git directories that were born in the session.
        born: Vec<OsText>,
        /// Whether that is all that can have changed.
        seen: Seen,
        /// Whether more such messages follow.
        more: More,
    },
}

/// A file whose content is no secret from the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The host's path.
    pub file: OsText,
    /// Device and inode.
    pub inode: (u64, u64),
    /// When it was last changed (ctime): a younger one was not looked at.
    pub changed: (i64, i64),
    /// How long that counts.
    pub until: Until,
}

impl Known {
    /// Is it this file, as it was then?
    pub(super) fn is(&self, stat: &FileStat) -> bool {
        (stat.st_dev, stat.st_ino) == self.inode
            && (stat.st_ctime, stat.st_ctime_nsec) == self.changed
    }
}

/// A file that the box has to see as something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// The host's path.
    pub file: OsText,
    /// The file among the masks that lies over it. `None`: nobody can open it.
    pub with: Option<String>,
}

/// How long a file is no secret from the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// As long as it is that inode: a commit has it under its name.
    Replaced,
    /// As long as nobody writes into it: git has its content, but not as this file (`cp .env.example .env`).
    Written,
}

/// Whether the keeper saw everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// Yes.
    All,
    /// No: events were lost, or not every directory was watched. The end has to search.
    Part,
}

/// Whether more of the same follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum More {
    /// Yes.
    Follows,
    /// No.
    Last,
}
