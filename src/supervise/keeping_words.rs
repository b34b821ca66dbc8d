//! What is said and recorded of files that the keeper and its jobs looked at.

#![forbid(unsafe_code)]

use crate::keeper::history::{How, Staged};
use crate::keeper::settle::{Act, Did, Whose};
use crate::plan::OsText;
use crate::record::Event;
use crate::session::SessionId;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// How many lines of one kind are said in one session; the rest is counted.
pub(super) const LINES: usize = 20;

/// From how many files on those that were made in one directory are one line.
pub(super) const MANY: usize = 4;

/// Kinds of lines. Each has a number of its own: the box makes as many files under protected names as it likes, and what is not undone
/// (a commit, a remote, a file that could not be put back) must be said behind them all the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Settled,
    Led,
    Committed,
    Staged,
    Unread,
    Holding,
    Failed,
}

/// What is said of files on the terminal.
#[derive(Default)]
pub(super) struct Lines {
    said: HashMap<Kind, usize>,
}

impl Lines {
    /// The lines of a report.
    pub(super) fn of(&mut self, acts: &[Act], id: &SessionId) -> Vec<String> {
        let mut made: HashMap<PathBuf, usize> = HashMap::new();
        for act in acts.iter().filter(|act| act.did == Did::Quarantined) {
            *made.entry(directory(act)).or_default() += 1;
        }
        let mut lines = Vec::new();
        for act in acts {
            let Some(kind) = kind(&act.did) else { continue };
            let line = match made.get_mut(&directory(act)) {
                Some(0) if act.did == Did::Quarantined => continue,
                Some(many) if act.did == Did::Quarantined && *many >= MANY => {
                    several(&directory(act), std::mem::take(many), id)
                }
                _ => line(act, id),
            };
            let said = self.said.entry(kind).or_default();
            *said = said.saturating_add(1);
            match (*said).cmp(&(LINES + 1)) {
                Ordering::Less => lines.push(line),
                Ordering::Equal => lines.push(more(kind, id)),
                Ordering::Greater => {}
            }
        }
        lines
    }
}

fn directory(act: &Act) -> PathBuf {
    let file = act.file.path();
    file.parent().unwrap_or(file).to_owned()
}

/// Nothing of what the box is told of only.
fn kind(did: &Did) -> Option<Kind> {
    Some(match did {
        Did::Quarantined
        | Did::Lured
        | Did::Diverted
        | Did::Renewed { .. }
        | Did::Detached { .. }
        | Did::Parted
        | Did::PutBack
        | Did::Restored
        | Did::Undone { .. } => Kind::Settled,
        Did::Led => Kind::Led,
        Did::Committed { .. } => Kind::Committed,
        Did::Staged {
            what: Staged::Unknown { .. },
        }
        | Did::Unread { .. } => Kind::Unread,
        Did::Staged { .. } => Kind::Staged,
        Did::Failed { .. } | Did::Beyond { .. } => Kind::Failed,
        Did::Holding { .. } => Kind::Holding,
        Did::Known { .. } | Did::Followed { .. } | Did::Harmless { .. } | Did::Secret => {
            return None;
        }
    })
}

/// Files that were made in one directory: what a manager of hooks installs.
fn several(directory: &Path, many: usize, id: &SessionId) -> String {
    format!(
        "{many} files in {} were made in the session under protected names, and moved away: `agentbox restore {}` lists them and gives them back",
        OsText::from(directory.to_owned()),
        id.as_str()
    )
}

/// What is behind the last line of a kind.
fn more(kind: Kind, id: &SessionId) -> String {
    let id = id.as_str();
    match kind {
        Kind::Settled => {
            format!("more files were put back or moved away: `agentbox restore {id}` lists them")
        }
        Kind::Led => {
            format!("more remotes or branches lead elsewhere now: `agentbox logs {id}` lists them")
        }
        Kind::Committed => format!(
            "more commits have protected files: `agentbox logs {id}` lists them, look at them before you push"
        ),
        Kind::Staged => {
            format!("more protected files are staged: `agentbox logs {id}` lists them")
        }
        Kind::Unread => {
            format!("more could not be searched for protected files: `agentbox logs {id}` lists it")
        }
        Kind::Holding => format!(
            "more git configurations hold a credential now: `agentbox logs {id}` lists them as closed"
        ),
        Kind::Failed => format!(
            "more files are protected and could not be put back: `agentbox logs {id}` lists them"
        ),
    }
}

/// Whose files were not compared to their end, and what that means.
pub(super) fn not_compared(whose: &str, why: &str) -> String {
    format!(
        "{whose} could not be compared: {why}; protected files may be as the box left them until the next `agentbox run` has compared them: \
         look at them before git or an editor does"
    )
}

/// What a profile asked for cannot be had.
pub(super) fn required(why: &str) -> String {
    format!(
        "not every directory can be watched ({why}), and the layer `view` is required: raise fs.inotify.max_user_watches and \
         fs.inotify.max_user_instances, or do not require it: then they are listed every 200 ms"
    )
}

/// One line for the terminal.
fn line(act: &Act, id: &SessionId) -> String {
    let (file, id) = (&act.file, id.as_str());
    match &act.did {
        Did::Quarantined => format!(
            "{file} was made in the session under a protected name, and moved away: `agentbox restore {id}` gives it back"
        ),
        Did::Lured => format!(
            "{file} is a hidden name, and what was made there in the session (a link, a second name of a file, a pipe) would hand over what \
             you write to it; it was moved away: `agentbox restore {id}` gives it back"
        ),
        Did::Diverted => format!(
            "{file} is a name that git writes, and a link was made there in the session: git would write where it leads, and it was moved away: \
             `agentbox restore {id}` gives it back"
        ),
        Did::Renewed { whose, copy, .. } => {
            let had = match whose {
                Whose::Box => "had",
                Whose::Perhaps => "may have had",
            };
            let now = match copy {
                Some(_) => "it is a copy now",
                None => "what was made under that name in the same moment is another file",
            };
            format!(
                "{file} is a hidden name, and the box {had} what appeared there open; {now}, so that nobody in the box can read what \
                 you write to it: `agentbox restore {id}` has the other one"
            )
        }
        Did::Detached { foreign: true } => format!(
            "{file} is protected and another user's, so that nobody can tell whether it is open for writing: the name has a file of yours now, with the \
             same content; `agentbox restore {id}` has the other one"
        ),
        Did::Detached { foreign: false } => format!(
            "{file} is protected and was held open for writing: the name has another file now, with the same content; `agentbox restore {id}` has the \
             other one"
        ),
        Did::Parted => format!(
            "{file} is protected and was given a second name; it is a file of its own now, so that nothing comes into it by that name"
        ),
        Did::PutBack => format!(
            "{file} is protected and was changed; it is again as it was: `agentbox restore {id}` gives the change back"
        ),
        Did::Restored => format!("{file} is protected and was deleted; it is there again"),
        Did::Undone { keys } if keys.is_empty() => format!(
            "{file} could not be read by git, and is again as it was: `agentbox restore {id}` has the other one"
        ),
        Did::Undone { keys } => format!(
            "{file}: entries that run programs or hide changes were undone ({}): `agentbox restore {id}` has the file as it was",
            names(keys)
        ),
        Did::Led => format!(
            "{file}: remotes or branches that were there lead elsewhere now: look at `git remote -v` and `git branch -vv` before you push or pull"
        ),
        Did::Committed {
            reference,
            commit,
            how,
        } => {
            let commit = commit.get(..12).unwrap_or(commit);
            match how {
                How::Made => format!(
                    "{reference} has a commit {commit} in which {file} is new or changed: the file is protected, look at it before you push"
                ),
                How::Differs => format!(
                    "{reference} names {commit} now, in which {file} is another one than before: the file is protected"
                ),
                How::Deleted => format!(
                    "{reference} names {commit} now, which has no {file} any more: the file is protected"
                ),
                How::Emptied => format!(
                    "{reference} has a commit {commit} in which {file} is empty, as the box reads it: take it out (`git rm --cached`) before you commit yours"
                ),
            }
        }
        Did::Staged { what } => match what {
            Staged::Content => format!(
                "{file} is protected, and what the session staged of it is still staged: `git restore --staged {}` before you commit",
                file.shell_word()
            ),
            Staged::Deletion => format!(
                "{file} is protected, and its deletion is staged: `git restore --staged {}` before you commit",
                file.shell_word()
            ),
            Staged::Unseen => {
                let word = file.shell_word();
                format!(
                    "{file}: the session told git not to look at it, so that no diff shows what it wrote there: before you look, \
                     `git update-index --no-assume-unchanged {word} && git update-index --no-skip-worktree {word}`"
                )
            }
            Staged::Unknown { why } => format!(
                "{file} changed and could not be searched for protected files ({why}): look at `git diff --cached` before you commit"
            ),
        },
        Did::Unread { why } => format!(
            "{file}: references changed and could not be searched for protected files ({why}): look at what you push"
        ),
        Did::Holding { .. } => format!(
            "{file} holds a credential now: the box sees a copy without it, which git in the box cannot change (`--write {}` shows it as it is \
             from the next start on)",
            file.shell_word()
        ),
        Did::Known { .. } | Did::Followed { .. } | Did::Harmless { .. } | Did::Secret => {
            format!("{file} was looked at")
        }
        Did::Failed { why } | Did::Beyond { why } => {
            format!("{file} is protected and could not be put back: {why}")
        }
    }
}

/// Rows of the list of git's keys, without what they say of values.
fn names(keys: &[String]) -> String {
    let names = keys.iter().map(|row| row.split('=').next().unwrap_or(row));
    names.collect::<Vec<_>>().join(", ")
}

/// For the record.
pub(super) fn event(act: Act) -> Option<Event> {
    let Act { file, did } = act;
    Some(match did {
        Did::Quarantined | Did::Lured | Did::Diverted => Event::Quarantined { file },
        Did::Renewed { .. } | Did::Detached { .. } | Did::Parted | Did::PutBack | Did::Restored => {
            Event::PutBack { file }
        }
        Did::Undone { keys } => Event::Undone { file, keys },
        Did::Led => Event::Led { file },
        Did::Committed {
            reference,
            commit,
            how,
        } => Event::Committed {
            file,
            reference,
            commit,
            what: match how {
                How::Made => "made",
                How::Differs => "differs",
                How::Deleted => "deleted",
                How::Emptied => "emptied",
            }
            .to_owned(),
        },
        Did::Staged { what } => match what {
            Staged::Unknown { why } => Event::SettleFailed { file, why },
            Staged::Content => Event::Staged {
                file,
                what: "made".to_owned(),
            },
            Staged::Deletion => Event::Staged {
                file,
                what: "deleted".to_owned(),
            },
            Staged::Unseen => Event::Staged {
                file,
                what: "unseen".to_owned(),
            },
        },
        Did::Known { .. }
        | Did::Followed { .. }
        | Did::Harmless { .. }
        | Did::Holding { .. }
        | Did::Secret => {
            return None;
        }
        Did::Failed { why } | Did::Beyond { why } | Did::Unread { why } => {
            Event::SettleFailed { file, why }
        }
    })
}
