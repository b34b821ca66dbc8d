//! What is said and recorded of files that the keeper and its jobs looked at.

#![forbid(unsafe_code)]

use crate::keeper::history::{How, Staged};
use crate::keeper::settle::{Act, Did};
use crate::plan::OsText;
use crate::record::Event;
use crate::session::SessionId;

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

/// A hidden name that appeared and stays closed.
pub(super) fn doubtful(file: &OsText) -> String {
    format!(
        "{file} is a hidden name that appeared in the session: nothing in the box can open it, since it may be yours; \
         /tmp and other names are free, and `--read {}` shows it from the next start on",
        file.shell_word()
    )
}

/// One line for the terminal.
pub(super) fn line(act: &Act, id: &SessionId) -> String {
    let (file, id) = (&act.file, id.as_str());
    match &act.did {
        Did::Quarantined => format!(
            "{file} was made in the session under a protected name, and moved away: `agentbox restore {id}` gives it back"
        ),
        Did::PutBack => format!(
            "{file} is protected and was changed; it is again as it was: `agentbox restore {id}` gives the change back"
        ),
        Did::Restored => format!("{file} is protected and was deleted; it is there again"),
        Did::Undone { keys } if keys.is_empty() => format!(
            "{file} could not be read by git, and is again as it was: `agentbox restore {id}` has the other one"
        ),
        Did::Undone { keys } => format!(
            "{file}: entries that run programs were undone ({}): `agentbox restore {id}` has the file as it was",
            names(keys)
        ),
        Did::Led => format!(
            "{file}: remotes that were there lead elsewhere now: look at `git remote -v` before you push or pull"
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
        Did::Known { .. } | Did::Followed { .. } | Did::Secret => format!("{file} was looked at"),
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
        Did::Quarantined => Event::Quarantined { file },
        Did::PutBack | Did::Restored => Event::PutBack { file },
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
        Did::Known { .. } | Did::Followed { .. } | Did::Secret => return None,
        Did::Failed { why } | Did::Beyond { why } | Did::Unread { why } => {
            Event::SettleFailed { file, why }
        }
    })
}
