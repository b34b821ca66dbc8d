//! [`Event`]: what can happen in a session, as it stands in `events.jsonl`. Plain data, no I/O.

#![forbid(unsafe_code)]

use crate::outcome::{Evidence, Outcome};
use crate::plan::OsText;
use crate::record::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the serialised form. A reader that meets a higher one must say so instead of guessing.
pub const VERSION: u32 = 1;

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// [`VERSION`].
    pub v: u32,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// How a name was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// It reads as empty.
    Masked,
    /// The box sees a copy without its credentials.
    Copied,
    /// Nobody in the box can open it.
    Shut,
    /// It is read-only.
    Frozen,
    /// It is a program that is refused.
    Refused,
}

/// What can happen in a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// The plan stands (it is in `session.json`); nothing has been built.
    Planned {
        /// argv as typed.
        argv: Vec<OsText>,
        /// The working copy, canonical.
        workspace: OsText,
        /// The profile that was chosen.
        profile: Option<String>,
    },
    /// The box stands and what was found to hold was accepted.
    Enforced {
        /// What was found to hold.
        evidence: Vec<Evidence>,
    },
    /// Stop files that are not watched but looked for, five times a second.
    StopFilesPolled {
        /// Which.
        files: Vec<OsText>,
        /// Why.
        why: String,
    },
    /// A remote kill switch was asked before the start.
    SwitchAsked {
        /// Its name.
        name: String,
        /// Where it is.
        target: String,
        /// Why there was no answer, if there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unreachable: Option<String>,
    },
    /// A remote kill switch gives no proof of life any more.
    SwitchUnreachable {
        /// Its name.
        name: String,
        /// Why, as far as that is known.
        why: String,
    },
    /// That is so for its whole grace.
    SwitchGraceOver {
        /// Its name.
        name: String,
        /// What is done: continue, pause, stop.
        policy: String,
    },
    /// It answers again.
    SwitchReachable {
        /// Its name.
        name: String,
        /// How long it did not, in seconds.
        seconds: u64,
        /// How often it was asked meanwhile.
        failures: u64,
    },
    /// The head of this record cannot be published to a switch's other side.
    HeadUnpublished {
        /// The switch.
        name: String,
        /// Why not.
        why: String,
    },
    /// It can again.
    HeadPublished {
        /// The switch.
        name: String,
        /// How often it was tried in vain.
        failures: u64,
    },
    /// The command runs.
    Started {
        /// Init of the box, as the supervisor sees it.
        init: i32,
    },
    /// The command was stopped on its terminal.
    Stopped {
        /// The signal.
        signal: i32,
    },
    /// The command was continued.
    Continued,
    /// Everything in the box was stopped (`agentbox pause`).
    Paused,
    /// It goes on.
    Resumed,
    /// Another command joined the box (`agentbox exec`).
    Joined {
        /// argv as typed.
        argv: Vec<OsText>,
    },
    /// A client looks at the terminal (`agentbox attach`).
    Attached,
    /// A client left; the session goes on.
    Detached,
    /// A state file was written back to the host.
    StateWritten {
        /// The host's path.
        file: OsText,
        /// Keys that run things or grant trust which the box had changed: the host's stayed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        withheld: Vec<String>,
    },
    /// A state file was not written back.
    StateKept {
        /// The host's path.
        file: OsText,
        /// Why not.
        why: String,
    },
    /// Something in a writable place would have let others run with the caller's rights; it was taken away.
    Swept {
        /// The file, as the host sees it.
        file: OsText,
        /// What was done.
        what: String,
    },
    /// A refused program was started, says who calls itself its stub: anybody in the box can.
    ProgramRefused {
        /// What it said, not understood: its path and its arguments, each ended by a NUL byte, at most 4 KiB.
        report: OsText,
    },
    /// A granted name was asked for and got its address of the box.
    Resolved {
        /// The name.
        name: String,
        /// Its address inside.
        address: String,
    },
    /// The network refused something, or could not do it.
    Unreached {
        /// The name or address that the box asked for.
        to: String,
        /// The port; none where only the name was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// Why, in words.
        why: String,
        /// The policy refused it; otherwise the state of the network did.
        policy: bool,
        /// The rule that refused it, empty if none did.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        rule: String,
    },
    /// A connection out of the box was made.
    Connected {
        /// Counts up from 1 in one gate.
        id: u64,
        /// The name or address that the box asked for.
        to: String,
        /// The port.
        port: u16,
        /// Where it leads, as far as that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
    },
    /// It ended.
    Disconnected {
        /// As in `Connected`.
        id: u64,
        /// Bytes out of the box.
        sent: u64,
        /// Bytes into the box.
        received: u64,
    },
    /// The caller's ssh agent signed a log-in of the box.
    Signed {
        /// To which server.
        host: String,
        /// With which key: the file of its public half.
        key: String,
    },
    /// Events of the network that are not in this record, since there were too many at once.
    NetworkDropped {
        /// How many.
        count: u64,
        /// How many of them were refusals.
        refused: u64,
    },
    /// The gate ended; there is no network until the next one is there.
    GateLost {
        /// How.
        why: String,
    },
    /// A human changed the rules of the network.
    NetworkChanged {
        /// How: `allow a.com`.
        change: String,
    },
    /// Files with hard links out of what the box may write became copies of their own before it started.
    LinksCopied {
        /// How many names.
        files: u64,
        /// How many bytes were copied.
        bytes: u64,
    },
    /// A name that the host replaced or made was closed in the box.
    NameClosed {
        /// The host's path.
        file: OsText,
        /// How.
        how: Closed,
        /// How often since it was last recorded.
        times: u32,
    },
    /// A file that was made in the session under a protected name was moved to the session's quarantine.
    Quarantined {
        /// The host's path.
        file: OsText,
    },
    /// A protected file that was changed or deleted is again as it was when the session began.
    PutBack {
        /// The host's path.
        file: OsText,
    },
    /// Entries of a git configuration that run programs were undone.
    Undone {
        /// The host's path.
        file: OsText,
        /// Which, in the words of agentbox's list.
        keys: Vec<String>,
    },
    /// Remotes of a git configuration that were there lead elsewhere than before the session.
    Led {
        /// The host's path.
        file: OsText,
    },
    /// A reference of a repository came to name a commit with a protected file that is not as it was.
    Committed {
        /// The file, where the working copy would have it.
        file: OsText,
        /// The reference.
        reference: OsText,
        /// The commit.
        commit: String,
        /// What of it: `made` (a content that git did not have), `differs`, `deleted`.
        what: String,
    },
    /// A protected file is staged in git's index as it was nowhere when the session began; or git is told not to look at a file.
    Staged {
        /// The file, where the working copy has it.
        file: OsText,
        /// What of it: `made` (a content), `deleted`, or `unseen` by git.
        what: String,
    },
    /// A file under a hidden name that appeared in the session is readable in the box: git has its content.
    NameShown {
        /// The host's path.
        file: OsText,
    },
    /// A protected file could not be compared or put back.
    SettleFailed {
        /// The host's path.
        file: OsText,
        /// Why.
        why: String,
    },
    /// Not every directory can be watched; it is looked at again and again instead.
    WatchGap {
        /// Why.
        why: String,
    },
    /// Events of watched directories were lost; everything was looked at anew.
    WatchOverflow,
    /// The box could not be built or proven; nothing was executed.
    Refused {
        /// The whole message.
        why: String,
    },
    /// The session is over.
    Ended {
        /// What happened.
        outcome: Outcome,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::testing::every_event;
    use std::collections::BTreeSet;

    /// The list for tests has each event: serde tells all of them to who asks for one that there is not.
    #[test]
    fn the_list_of_events_is_complete() {
        let error = serde_json::from_str::<Event>(r#"{"event":"nosuch"}"#).unwrap_err();
        let error = error.to_string();
        let (_, expected) = error.split_once("expected one of").unwrap();
        let known: BTreeSet<&str> = expected.split('`').skip(1).step_by(2).collect();
        assert!(known.len() > 40, "{error}");
        let listed: Vec<String> = every_event()
            .iter()
            .map(|event| serde_json::to_value(event).unwrap()["event"].to_string())
            .collect();
        let listed: BTreeSet<&str> = listed.iter().map(|tag| tag.trim_matches('"')).collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn every_event_survives_the_line() {
        for event in every_event() {
            let entry = Entry {
                v: VERSION,
                at: Timestamp::from_millis(1),
                event,
            };
            let line = serde_json::to_string(&entry).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(
                serde_json::from_str::<Entry>(&line).unwrap(),
                entry,
                "{line}"
            );
        }
    }
}
