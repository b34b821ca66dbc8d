//! The lines of `agentbox logs`: one for each event.

#![forbid(unsafe_code)]

use crate::outcome::{How, Status, Trigger};
use crate::plan::text::write_escaped;
use crate::record::{Entry, Event};

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
        Event::StateWritten { file, .. } => format!("written    {file}"),
        Event::StateKept { file, why } => format!("kept       {file}: {why}"),
        Event::Swept { file, what } => format!("swept      {file}: {what}"),
        Event::ProgramRefused { report } => format!("refused    a program: {report}"),
        Event::Refused { why } => format!("refused    {}", why.lines().next().unwrap_or_default()),
        Event::Ended { outcome } => {
            format!(
                "ended      {} (status {})",
                how(&outcome.how),
                outcome.exit_status
            )
        }
        // The form of the record is the name of what later versions add.
        #[allow(unreachable_patterns)]
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

fn words(argv: &[crate::plan::OsText]) -> String {
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
