//! The rules of a filtered network for people.

#![forbid(unsafe_code)]

use super::wrapped;
use crate::plan::net::Network;
use crate::policy::Origin;

/// Whose rule it is: the lines of one built-in profile are one source, as `--json` has each line.
fn source(origin: &Origin) -> String {
    match origin {
        Origin::Builtin { profile, .. } => format!("profile {profile}"),
        other => super::plan::clean(other),
    }
}

/// Every rule, those of one source together.
pub(super) fn rules(out: &mut String, network: &Network) {
    let allow = network.allow.iter().map(|allow| {
        let note = allow.note.iter().map(|note| format!(" ({note})"));
        let text = allow.to_string() + &note.collect::<String>();
        (text, source(&allow.origin))
    });
    group(out, "reaches", allow);
    let deny = network.deny.iter();
    group(
        out,
        "never reaches",
        deny.map(|deny| (deny.to_string(), source(&deny.origin))),
    );
    let ports = network.host_ports.iter().map(|port| {
        let note = port.note.iter().map(|note| format!(" ({note})"));
        let text = port.port.to_string() + &note.collect::<String>();
        (text, source(&port.origin))
    });
    group(out, "reaches on the host's loopback", ports);
    let publish = network.publish.iter().map(|p| {
        let text = format!("{} (127.0.0.1:{} of the host)", p.box_port, p.host_port);
        (text, source(&p.origin))
    });
    group(out, "publishes", publish);
    let ssh = network.ssh.iter();
    let keys = ssh.clone().flat_map(|ssh| &ssh.keys);
    group(
        out,
        "signs by ssh with",
        keys.map(|key| (key.file.clone(), source(&key.origin))),
    );
    let servers = ssh.flat_map(|ssh| &ssh.hosts);
    group(
        out,
        "signs by ssh for",
        servers.map(|server| (server.label(), source(&server.origin))),
    );
    let hosts = network.hosts.iter().map(|host| {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        let text = format!("{} is {}", host.name, addresses.join(", "));
        (text, source(&host.origin))
    });
    group(out, "names", hosts);
}

fn group(out: &mut String, title: &str, items: impl Iterator<Item = (String, String)>) {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (text, source) in items {
        match groups.iter_mut().find(|(known, _)| *known == source) {
            Some((_, list)) => list.push(text),
            None => groups.push((source, vec![text])),
        }
    }
    for (source, list) in groups {
        let words = list.into_iter().chain([format!(" [{source}]")]);
        wrapped(out, &format!("  {title}: "), 6, words);
    }
}
