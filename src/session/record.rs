//! [`SessionRecord`]: what `session.json` holds. Plain data.

#![forbid(unsafe_code)]

use crate::outcome::{Evidence, Outcome};
use crate::plan::Plan;
use crate::record::Timestamp;
use crate::session::SessionId;
use serde::{Deserialize, Serialize};

/// The version of the serialised form.
pub const VERSION: u32 = 1;

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its supervisor lives, or lived when this was written: the lock on `events.jsonl` says which.
    Open,
    /// It ended and the outcome is known.
    Ended,
    /// Its supervisor ended without writing an outcome (killed, power cut).
    Lost,
}

/// What `session.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SessionRecord {
    /// [`VERSION`].
    pub version: u32,
    /// The name of the directory.
    pub id: SessionId,
    /// Where it stands.
    pub state: State,
    /// The process id of the supervisor. Only a hint: the number may belong to another process by now.
    pub supervisor: u32,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; of a lost one, when that was noticed.
    #[serde(default)]
    pub ended: Option<Timestamp>,
    /// What should hold.
    pub plan: Plan,
    /// What was found to hold; empty until the box stands.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// What happened.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// How many events could not be written.
    #[serde(default)]
    pub events_lost: u64,
}

/// What of a [`SessionRecord`] is known when the box stands, on its way out; of the last one this is written in advance. With the
/// plan as the text that was made of it once: the plan is by far the largest part and is written twice.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Head<'a> {
    pub(super) version: u32,
    pub(super) id: &'a SessionId,
    pub(super) state: State,
    pub(super) supervisor: u32,
    pub(super) started: Timestamp,
    #[serde(skip)]
    pub(super) evidence: &'a [Evidence],
}

/// The rest, which follows it in the same object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Tail<'a> {
    pub(super) ended: Option<Timestamp>,
    pub(super) outcome: Option<&'a Outcome>,
    pub(super) events_lost: u64,
}

impl Head<'_> {
    /// What is before the text of the plan and what is behind it, up to where the rest goes.
    pub(super) fn around(&self) -> serde_json::Result<(Vec<u8>, Vec<u8>)> {
        let mut before = serde_json::to_vec(self)?;
        before.pop();
        before.extend(br#","plan":"#);
        let mut behind = br#","evidence":"#.to_vec();
        serde_json::to_writer(&mut behind, self.evidence)?;
        Ok((before, behind))
    }
}

impl Tail<'_> {
    /// Its text, as it goes on after [`Head::around`].
    pub(super) fn text(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self)?;
        if let Some(first) = text.first_mut() {
            *first = b',';
        }
        Ok(text)
    }
}
