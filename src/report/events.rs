//! The lines of `agentbox logs`: one for each event.

#![forbid(unsafe_code)]

use super::happened;
use crate::outcome::{How, Status, Trigger};
use crate::plan::OsText;
use crate::plan::text::write_escaped;
use crate::record::{Entry, Event};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// One event for people, without newline.
#[must_use]
pub fn line(entry: &Entry) -> String {
    let mut out = format!("{}  ", entry.at);
    // JSON leaves U+0080 to U+009F as they are, and some of these write on terminals. Into a String: never an error.
    let _ = write_escaped(&mut out, what(&entry.event).as_bytes());
    out
}

fn what(event: &Event) -> String {
    match event {
        Event::Planned {
            argv,
            workspace,
            profile,
        } => {
            let profile = profile.as_deref().unwrap_or("none");
            format!(
                "planned    {} (profile {profile}, workspace {workspace})",
                words(argv)
            )
        }
        Event::Enforced { evidence } => {
            let gaps: Vec<String> = evidence
                .iter()
                .filter(|e| e.status != Status::Full)
                .map(|e| format!("{} not in full", e.layer.name()))
                .collect();
            let gaps = if gaps.is_empty() {
                "all in full".to_owned()
            } else {
                gaps.join(", ")
            };
            format!("enforced   {} layers: {gaps}", evidence.len())
        }
        Event::Started { init } => format!("started    init is process {init}"),
        Event::Stopped { signal } => format!("stopped    on its terminal, by signal {signal}"),
        Event::Continued => "continued  on its terminal".to_owned(),
        Event::Paused => "paused     everything in the box".to_owned(),
        Event::Resumed => "resumed".to_owned(),
        Event::Joined { argv } => format!("joined     {}", words(argv)),
        Event::Attached => "attached   a terminal".to_owned(),
        Event::Detached => "detached   a terminal".to_owned(),
        Event::StateWritten { file, withheld } if withheld.is_empty() => {
            format!("written    {file}")
        }
        Event::StateWritten { file, withheld } => {
            format!("written    {file}, without {}", withheld.join(", "))
        }
        Event::StateKept { file, why } => format!("kept       {file}: {why}"),
        Event::Swept { file, what } => format!("swept      {file}: {what}"),
        Event::ProgramRefused { report } => {
            // Its path and its arguments, each ended by a NUL byte; anybody in the box can say anything else.
            let words: Vec<OsText> = report
                .bytes()
                .split(|byte| *byte == 0)
                .filter(|word| !word.is_empty())
                .map(|word| OsText::from(OsStr::from_bytes(word)))
                .collect();
            format!("refused    a program: {}", self::words(&words))
        }
        Event::Refused { why } => format!("refused    {}", why.lines().next().unwrap_or_default()),
        Event::Ended { outcome } => {
            format!(
                "ended      {} (status {})",
                how(&outcome.how),
                outcome.exit_status
            )
        }
        Event::StopFilesPolled { .. }
        | Event::SwitchAsked { .. }
        | Event::SwitchUnreachable { .. }
        | Event::SwitchGraceOver { .. }
        | Event::SwitchReachable { .. }
        | Event::HeadUnpublished { .. }
        | Event::HeadPublished { .. } => or_json(happened::of_switches(event), event),
        Event::Resolved { .. }
        | Event::Unreached { .. }
        | Event::Connected { .. }
        | Event::Disconnected { .. }
        | Event::Signed { .. }
        | Event::NetworkDropped { .. }
        | Event::GateLost { .. }
        | Event::NetworkChanged { .. } => or_json(happened::of_network(event), event),
        Event::LinksCopied { .. }
        | Event::NameClosed { .. }
        | Event::Quarantined { .. }
        | Event::PutBack { .. }
        | Event::Undone { .. }
        | Event::Led { .. }
        | Event::Committed { .. }
        | Event::NameShown { .. }
        | Event::SettleFailed { .. }
        | Event::WatchGap { .. }
        | Event::WatchOverflow => or_json(happened::of_files(event), event),
    }
}

/// Nothing of the record is left out, whatever it is.
fn or_json(words: Option<String>, event: &Event) -> String {
    words.unwrap_or_else(|| serde_json::to_string(event).unwrap_or_default())
}

fn words(argv: &[OsText]) -> String {
    let words: Vec<String> = argv.iter().map(ToString::to_string).collect();
    words.join(" ")
}

fn how(how: &How) -> String {
    match how {
        How::Exited { code } => format!("exited with {code}"),
        How::Signaled { signal } => format!("by signal {signal}"),
        How::CannotExecute { .. } => "the command cannot be executed".to_owned(),
        How::NotFound { .. } => "the command was not found".to_owned(),
        How::Refused { .. } => "refused".to_owned(),
        How::Killed { trigger } => format!("killed: {}", trigger_words(trigger)),
    }
}

fn trigger_words(trigger: &Trigger) -> String {
    match trigger {
        Trigger::TimeLimit => "time limit".to_owned(),
        Trigger::Idle => "idle limit".to_owned(),
        Trigger::Output => "output limit".to_owned(),
        Trigger::Memory => "memory limit".to_owned(),
        Trigger::Kill { by } => format!("`agentbox kill` of uid {by}"),
        Trigger::Signal { signal } => format!("signal {signal}, not obeyed within the grace"),
        Trigger::Switch { which, .. } => format!("switch {which}"),
        Trigger::Lost { what } => format!("lost {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::record::Timestamp;
    use crate::record::testing::every_event;

    /// A verb in the first column, then words; never the record's own form, and all that the record has to say.
    #[test]
    fn every_event_has_words() {
        for event in every_event() {
            let text = what(&event);
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
