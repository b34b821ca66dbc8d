//! What happened, as `agentbox logs` tells it: the words for each event, and the one place that knows them all.

#![forbid(unsafe_code)]

use crate::outcome::{Evidence, How, Status, Trigger};
use crate::plan::OsText;
use crate::record::{Closed, Event};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// A verb and what it was done to. Without `_`: an event that is new has no words until somebody finds them here.
pub(super) fn words(event: &Event) -> String {
    match event {
        // The session.
        Event::Planned {
            argv,
            workspace,
            profile,
        } => {
            let profile = profile.as_deref().unwrap_or("none");
            format!(
                "planned    {} (profile {profile}, workspace {workspace})",
                argv_words(argv)
            )
        }
        Event::Enforced { evidence } => enforced(evidence),
        Event::Started { init } => format!("started    init is process {init}"),
        Event::Stopped { signal } => format!("stopped    on its terminal, by signal {signal}"),
        Event::Continued => "continued  on its terminal".to_owned(),
        Event::Paused => "paused     everything in the box".to_owned(),
        Event::Resumed => "resumed".to_owned(),
        Event::Joined { argv } => format!("joined     {}", argv_words(argv)),
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
            format!("refused    a program: {}", argv_words(&said(report)))
        }
        Event::Refused { why } => format!("refused    {}", why.lines().next().unwrap_or_default()),
        Event::Ended { outcome } => {
            format!(
                "ended      {} (status {})",
                how(&outcome.how),
                outcome.exit_status
            )
        }

        // Kill switches.
        Event::StopFilesPolled { files, why } => {
            let files: Vec<String> = files.iter().map(ToString::to_string).collect();
            format!(
                "polled     stop files, five times a second: {}: {why}",
                files.join(" ")
            )
        }
        Event::SwitchAsked {
            name,
            target,
            unreachable: None,
        } => format!("asked      switch {name} at {target}"),
        Event::SwitchAsked {
            name,
            target,
            unreachable: Some(why),
        } => format!("asked      switch {name} at {target}, no answer: {why}"),
        Event::SwitchUnreachable { name, why } => {
            format!("silent     switch {name} gives no proof of life: {why}")
        }
        Event::SwitchGraceOver { name, policy } => {
            format!("silent     switch {name}, for its whole grace; what is done: {policy}")
        }
        Event::SwitchReachable {
            name,
            seconds,
            failures,
        } => format!(
            "answers    switch {name}, after {seconds}s in which it was asked {failures} times"
        ),
        Event::HeadUnpublished { name, why } => {
            format!("unsent     head of this record, to switch {name}: {why}")
        }
        Event::HeadPublished { name, failures } => {
            format!("sent       head of this record, to switch {name}, after {failures} failures")
        }

        // The network.
        Event::Resolved { name, address } => format!("resolved   {name}: {address} in the box"),
        Event::Unreached {
            to,
            port,
            why,
            policy,
            rule,
        } => {
            let verb = if *policy { "refused  " } else { "unreached" };
            let port = port.map(|port| format!(" port {port}")).unwrap_or_default();
            let rule = if rule.is_empty() {
                String::new()
            } else {
                format!(" ({rule})")
            };
            format!("{verb}  {to}{port}: {why}{rule}")
        }
        Event::Connected {
            id,
            to,
            port,
            address,
        } => {
            let address = address.as_deref().map(|a| format!(" at {a}"));
            format!(
                "connected  {to} port {port}{}, connection {id}",
                address.unwrap_or_default()
            )
        }
        Event::Disconnected { id, sent, received } => {
            format!("closed     connection {id}, {sent} bytes out and {received} in")
        }
        Event::Signed { host, key } => format!("signed     a log-in to {host} with {key}"),
        Event::NetworkDropped { count, refused } => {
            format!(
                "unlisted   {count} events of the network, {refused} of them refusals: too many at once"
            )
        }
        Event::GateLost { why } => {
            format!("lost       the gate, and the network until it is there again: {why}")
        }
        Event::NetworkChanged { change } => format!("changed    the network: {change}"),

        // The working copy.
        Event::LinksCopied { files, bytes } => {
            format!(
                "copied     {files} files with hard links out of what may be written, {bytes} bytes"
            )
        }
        Event::NameClosed { file, how, times } => {
            let how = match how {
                Closed::Masked => "reads as empty",
                Closed::Copied => "is seen as a copy without its credentials",
                Closed::Shut => "cannot be opened",
                Closed::Frozen => "is read-only",
                Closed::Refused => "is refused",
            };
            let times = if *times > 1 {
                format!(" ({times} times)")
            } else {
                String::new()
            };
            format!("closed     {file} {how}{times}")
        }
        Event::Quarantined { file } => format!("moved      {file} to the session's quarantine"),
        Event::PutBack { file } => format!("put back   {file}"),
        Event::Undone { file, keys } => format!("undone     {file}: {}", keys.join(", ")),
        Event::Led { file } => {
            format!("led        {file}: remotes or branches lead elsewhere than before")
        }
        Event::Committed {
            file,
            reference,
            commit,
            what,
        } => format!("committed  {file}, {what}, by {reference} ({commit})"),
        Event::Staged { file, what } => format!("staged     {file}, {what}"),
        Event::NameShown { file } => {
            format!("shown      {file}: it has a hidden name, and git has its content")
        }
        Event::SettleFailed { file, why } => format!("failed     {file}: {why}"),
        Event::WatchGap { why } => {
            format!("unwatched  directories are looked at again and again: {why}")
        }
        Event::WatchOverflow => {
            "unwatched  for a moment: events were lost, everything was looked at anew".to_owned()
        }
    }
}

/// How many layers, and which do not hold in full.
fn enforced(evidence: &[Evidence]) -> String {
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

/// What calls itself the stub of a refused program said: its path and its arguments, each ended by a NUL byte; anybody in the
/// box can say anything else.
fn said(report: &OsText) -> Vec<OsText> {
    let words = report.bytes().split(|byte| *byte == 0);
    words
        .filter(|word| !word.is_empty())
        .map(|word| OsText::from(OsStr::from_bytes(word)))
        .collect()
}

fn argv_words(argv: &[OsText]) -> String {
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
