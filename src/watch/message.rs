//! What the supervisor and a watch say to each other.

#![forbid(unsafe_code)]

use super::head::Head;
use super::way::Way;
use crate::gate::message::Text;
use crate::plan::remote::RemoteSwitch;
use serde::{Deserialize, Serialize};

/// From the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToWatch {
    /// Comes first, and once: what to watch.
    Begin(Box<Order>),
    /// Or this one: where to publish.
    Publish(Box<Order>),
    /// How the session is now, for one that publishes.
    Head(Box<Head>),
}

/// A switch, and the way to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Order {
    /// The switch.
    pub switch: RemoteSwitch,
    /// How one gets out of this host.
    pub way: Way,
}

/// From the watch. Each of the first two is a proof of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromWatch {
    /// It was asked and is not on.
    Clear {
        /// How a change is learnt.
        by: By,
        /// When: milliseconds of CLOCK_MONOTONIC (clock_gettime(2)). Who reads it late, as a supervisor that was stopped, must
        /// not take it for new.
        at: u64,
    },
    /// It is on.
    Stop(Notice),
    /// There is no answer that could be one.
    Unreachable {
        /// Why.
        why: Text,
    },
    /// What could not be published is.
    Published,
    /// It cannot be published; it will be tried again.
    Unpublished {
        /// Why.
        why: Text,
    },
}

/// Milliseconds of CLOCK_MONOTONIC, which is the same in all processes of a host.
#[must_use]
pub fn now() -> u64 {
    use nix::sys::time::TimeValLike as _;
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    // It fails for clocks that are not there, which this one is not.
    time.map_or(0, |time| {
        u64::try_from(time.num_milliseconds()).unwrap_or(0)
    })
}

/// How a change is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// By asking again.
    Asking,
    /// The other side says so at once.
    Push,
}

/// What is said of a switch that is on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Notice {
    /// Who switched it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Text>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
}

/// The most bytes of a reason.
const REASON: usize = 200;

impl Notice {
    /// Reads what the switch holds: JSON with `reason` and `by`, else the first line is the reason.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Notice {
        let text = |bytes: &[u8]| {
            let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
            let line = line.trim_ascii();
            let line = line.get(..REASON).unwrap_or(line);
            (!line.is_empty()).then(|| Text::lossy(line))
        };
        match serde_json::from_slice::<serde_json::Value>(bytes) {
            Ok(serde_json::Value::Object(members)) => {
                let member = |name: &str| {
                    members
                        .get(name)?
                        .as_str()
                        .map(str::as_bytes)
                        .and_then(text)
                };
                Notice {
                    by: member("by"),
                    reason: member("reason"),
                }
            }
            _ => Notice {
                by: None,
                reason: text(bytes),
            },
        }
    }

    /// As `stop --remote` writes it.
    #[must_use]
    pub fn written(reason: &str, by: &str, at: &str) -> String {
        serde_json::json!({ "stop": true, "reason": reason, "by": by, "at": at }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_json_or_its_first_line() {
        let got = Notice::read(Notice::written("the bill", "ann", "now").as_bytes());
        assert_eq!(
            (got.by, got.reason),
            (Some(Text::of("ann")), Some(Text::of("the bill")))
        );
        let got = Notice::read(b"too dear\x1b[2J\nmore");
        assert_eq!((got.by, got.reason), (None, Some(Text::of("too dear?[2J"))));
        assert_eq!(Notice::read(b""), Notice::default());
        assert_eq!(Notice::read(b"[1]").reason, Some(Text::of("[1]")));
    }
}
