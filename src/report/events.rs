//! The lines of `agentbox logs`: one for each event.

#![forbid(unsafe_code)]

use super::happened::words;
use crate::plan::text::write_escaped;
use crate::record::Entry;

/// One event for people, without newline.
#[must_use]
pub fn line(entry: &Entry) -> String {
    let mut out = format!("{}  ", entry.at);
    // JSON leaves U+0080 to U+009F as they are, and some of these write on terminals. Into a String: never an error.
    let _ = write_escaped(&mut out, words(&entry.event).as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{How, Outcome, Trigger};
    use crate::plan::OsText;
    use crate::record::testing::every_event;
    use crate::record::{Event, Timestamp};

    /// A verb in the first column, then words; never the record's own form, and all that the record has to say.
    #[test]
    fn every_event_has_words() {
        for event in every_event() {
            let text = words(&event);
            let (verb, rest) = text.split_at(text.len().min(11));
            let plain = |c: char| c.is_ascii_lowercase() || c == ' ';
            assert!(verb.chars().all(plain) && verb != rest, "{text}");
            assert!(verb.len() < 11 || verb.ends_with(' '), "{text}");
            assert!(!text.contains(['{', '"']), "{event:?}: {text}");
            assert!(!rest.ends_with(' ') && !rest.contains("  "), "{text}");
            // Each number and each text of the record is in it, but for the lists that are counted.
            let record = serde_json::to_value(&event).unwrap_or_default();
            for (key, value) in record.as_object().into_iter().flatten() {
                let said = value
                    .as_str()
                    .map(str::to_owned)
                    .or(value.as_u64().map(|n| n.to_string()));
                let Some(said) = said.filter(|_| !["event", "how", "report"].contains(&&**key))
                else {
                    continue;
                };
                assert!(
                    text.contains(&*OsText::from(said).to_string()),
                    "{key}: {text}"
                );
            }
        }
    }

    #[test]
    fn a_line_says_what_happened_and_writes_nothing_else_on_the_terminal() {
        let entry = |event| Entry {
            v: 1,
            at: Timestamp::from_millis(0),
            event,
        };
        let odd = "a\x1b[2J\nb".into();
        let text = line(&entry(Event::Joined {
            argv: vec!["sh".into(), odd],
        }));
        assert_eq!(
            text,
            "1970-01-01T00:00:00.000Z  joined     sh a\\u{1b}[2J\\nb"
        );
        let outcome = Outcome {
            how: How::Killed {
                trigger: Trigger::Kill { by: 7 },
            },
            exit_status: 137,
            wall_ms: 1,
            cpu_ms: 1,
            max_rss_kib: 1,
        };
        assert!(
            line(&entry(Event::Ended { outcome }))
                .ends_with("killed: `agentbox kill` of uid 7 (status 137)")
        );
    }
}
