//! What happened to switches, to the network and to files, as `agentbox logs` tells it.

#![forbid(unsafe_code)]

use crate::record::{Closed, Event};

/// An event of a kill switch.
pub(super) fn of_switches(event: &Event) -> Option<String> {
    Some(match event {
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
        _ => return None,
    })
}

/// An event of the network.
pub(super) fn of_network(event: &Event) -> Option<String> {
    Some(match event {
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
        _ => return None,
    })
}

/// An event of the working copy.
pub(super) fn of_files(event: &Event) -> Option<String> {
    Some(match event {
        Event::LinksCopied { files, bytes } => {
            format!(
                "copied     {files} files with hard links out of what may be written, {bytes} bytes"
            )
        }
        Event::NameClosed { file, how, times } => {
            let how = match how {
                Closed::Masked => "reads as empty",
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
        Event::Led { file } => format!("led        {file}: remotes lead elsewhere than before"),
        Event::Committed {
            file,
            reference,
            commit,
            what,
        } => format!("committed  {file}, {what}, by {reference} ({commit})"),
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
        _ => return None,
    })
}
