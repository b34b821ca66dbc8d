//! Questions about connections. The rules are compared here as the gate compares them; that both say the same is tested in
//! `gate/rules_tests.rs`.

#![forbid(unsafe_code)]

use super::rules::{Place, Verdict};
use super::{Answer, Remedy, no, yes};
use crate::plan::net::listen::{On, listeners};
use crate::plan::net::name::literal;
use crate::plan::net::special::{Special, special};
use crate::plan::net::{
    Allow, Deny, FIRST_FREE_PORT, Mark, Network, NetworkMode, PROXY_PORT, Rule, Target,
    is_local_name, normalise,
};
use std::net::IpAddr;

const DNS: u16 = 53;

/// Where a program wants to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// A name or an address, as it was typed.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Who listens on that port in the box.
    pub server: OwnServer,
}

/// A server of the box itself on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnServer {
    /// Nobody looked: the box is not there yet.
    Unknown,
    /// There is none.
    Absent,
    /// On loopback only.
    Loopback,
    /// On every address: it answers for every host.
    Everywhere,
}

/// Answers.
pub(super) fn connect(network: &Network, wanted: &Wanted) -> Answer {
    match literal(&wanted.host) {
        Some(address) => {
            let mut answer = Asked::new(network, wanted, address.to_string()).address(address);
            let plain = wanted.host.trim_matches(['[', ']']);
            if plain.parse::<IpAddr>().is_err() {
                answer.notes.push(format!(
                    "`{}` is {address} in another form, which the proxy of the box refuses",
                    wanted.host
                ));
            }
            answer
        }
        None => match normalise(&wanted.host) {
            Ok(name) => Asked::new(network, wanted, name.clone()).name(&name),
            Err(why) => pattern(wanted).unwrap_or_else(|| {
                let because = format!("it is not the name of a host: {why}");
                no(wanted.host.as_str(), because, None, None)
            }),
        },
    }
}

/// A pattern is no host, but whether it could be granted is worth an answer.
fn pattern(wanted: &Wanted) -> Option<Answer> {
    wanted.host.starts_with('*').then(|| {
        let host = wanted.host.as_str();
        let granted = |mark: &str| Some(remedy_for(&format!("{host}{mark}"), wanted.port));
        match Rule::allow(host) {
            Ok(_) => no(
                host,
                "a connection is made to one host, and this is a pattern",
                None,
                granted(""),
            ),
            Err(bad) => {
                let wide = Rule::allow(&format!("{host}+wide")).is_ok();
                let remedy = if wide { granted("+wide") } else { None };
                no(host, bad.what, None, remedy)
            }
        }
    })
}

struct Asked<'n> {
    network: &'n Network,
    /// As a rule names it.
    host: String,
    port: u16,
    server: OwnServer,
}

impl<'n> Asked<'n> {
    fn new(network: &'n Network, wanted: &Wanted, host: String) -> Asked<'n> {
        Asked {
            network,
            host,
            port: wanted.port,
            server: wanted.server,
        }
    }

    fn name(&self, name: &str) -> Answer {
        if is_local_name(name) {
            return self.loopback();
        }
        if let Some(answer) = self.before_rules() {
            return answer;
        }
        let (allow, marks) = match self.network.verdict(Place::Name(name), self.port) {
            Verdict::Allowed(allow, marks) => (allow, marks),
            Verdict::Denied(deny) => return self.denied(deny),
            Verdict::OtherPorts(allow, ports) => return self.other_ports(allow, &ports),
            Verdict::NotGranted => {
                let apex = |allow: &&Allow| allow.to == Target::Under(name.to_owned());
                let because = match self.network.allow.iter().find(apex) {
                    Some(allow) => format!(
                        "no rule grants it: [network] allow has {}, which is every name below {name} and not {name}",
                        allow.to
                    ),
                    None => "no rule grants it".to_owned(),
                };
                return no(self.thing(), because, None, Some(self.remedy("")));
            }
        };
        let mut notes = Vec::new();
        let entry = self.network.hosts.iter().find(|entry| entry.name == name);
        match entry {
            Some(entry) => {
                if let Some(refused) = self.leads(&entry.addresses, &marks) {
                    return refused;
                }
                let addresses: Vec<_> = entry.addresses.iter().map(IpAddr::to_string).collect();
                notes.push(format!(
                    "[network.hosts] says it is {} [{}]",
                    addresses.join(", "),
                    entry.origin
                ));
            }
            None if marks.contains(&Mark::Private) => {}
            None => notes.push(format!(
                "if it turns out to be a private, loopback or link-local address, or this host's own, it is refused: {}",
                self.remedy("+private").flag
            )),
        }
        self.allowed(allow, &marks, notes)
    }

    /// What answers before a rule is looked at. The order is that of the box: its own servers, then the gate's.
    fn before_rules(&self) -> Option<Answer> {
        let origin = Some(&self.network.origin);
        match self.network.mode {
            NetworkMode::Host => {
                let because = "the network is the host's, and nothing filters it";
                return Some(yes(self.thing(), because, origin));
            }
            NetworkMode::None => {
                let because = "the box has no network but its own loopback";
                return Some(no(self.thing(), because, origin, Some(self.remedy(""))));
            }
            NetworkMode::Filtered => {}
        }
        let own = match self.port {
            DNS => "port 53 of every address is the box's own name server",
            PROXY_PORT => "port 1023 is the box's own proxy",
            _ if self.server == OwnServer::Everywhere && !self.gate_has_port() => {
                "a server of the box listens on every address of this port and has the connection: let it listen on 127.0.0.1"
            }
            _ => return None,
        };
        Some(no(self.thing(), own, None, None))
    }

    /// Does the gate listen on every address of the port? Then no server of the agent can.
    fn gate_has_port(&self) -> bool {
        let every = |l: &crate::plan::net::listen::Listener| l.on == On::Every;
        let mut gates = listeners(self.network).into_iter().filter(every);
        gates.any(|listener| listener.port == self.port)
    }

    fn loopback(&self) -> Answer {
        let network = self.network;
        match network.mode {
            NetworkMode::Host => {
                let because = "the network is the host's, its loopback as well";
                return yes(self.thing(), because, Some(&network.origin));
            }
            NetworkMode::None => {}
            NetworkMode::Filtered => {
                if let Some(port) = network.host_ports.iter().find(|h| h.port == self.port) {
                    let because = format!("[network] host-ports has {}", port.port);
                    let mut answer = yes(self.thing(), because, Some(&port.origin));
                    answer.notes.extend(port.note.clone());
                    return answer;
                }
                if matches!(self.port, DNS | PROXY_PORT) {
                    return yes(self.thing(), "it is the box's own", None);
                }
            }
        }
        let not_host = "not this port of the host's loopback: nothing grants it";
        match self.server {
            OwnServer::Loopback | OwnServer::Everywhere => {
                let because = "a server of the box itself listens there (it is not the host's)";
                yes(self.thing(), because, None)
            }
            OwnServer::Unknown | OwnServer::Absent => {
                let port = self.port;
                let floor = network.only_host_ports.as_ref();
                let floor = floor.filter(|only| !only.ports.contains(&port));
                // That of a floor is taken out again by who asks.
                let remedy = Some(Remedy {
                    flag: format!("--host-port {port}"),
                    line: Some(format!("[network] host-ports = [{port}]")),
                    value: port.to_string().as_str().into(),
                });
                let origin = floor.map(|only| &only.origin);
                let mut answer = no(self.thing(), not_host, origin, remedy);
                if self.server == OwnServer::Unknown {
                    let note = "a server of the box itself would be reached there";
                    answer.notes.push(note.to_owned());
                }
                answer
            }
        }
    }

    fn address(&self, address: IpAddr) -> Answer {
        // A connection to 0.0.0.0 or :: is one to loopback.
        if address.is_loopback() || address.is_unspecified() {
            return self.loopback();
        }
        if let Some(answer) = self.before_rules() {
            return answer;
        }
        match self.network.verdict(Place::Address(address), self.port) {
            Verdict::Allowed(allow, marks) => self.allowed(allow, &marks, Vec::new()),
            Verdict::Denied(deny) => self.denied(deny),
            Verdict::OtherPorts(allow, ports) => self.other_ports(allow, &ports),
            Verdict::NotGranted => {
                let kind = special(address).map(|kind| format!(" ({})", kind.word()));
                let because = format!(
                    "no rule grants the address{}, and names that lead to it are reached by name only",
                    kind.unwrap_or_default()
                );
                let mut answer = no(self.thing(), because, None, Some(self.remedy("")));
                let named = self.network.hosts.iter().filter(|entry| {
                    entry.addresses.contains(&address)
                        && matches!(
                            self.network.verdict(Place::Name(&entry.name), self.port),
                            Verdict::Allowed(..)
                        )
                });
                let note = |name: &str| format!("{name} leads to it, and is granted");
                answer.notes.extend(named.map(|entry| note(&entry.name)));
                answer
            }
        }
    }

    /// The refusal of a granted name if none of its addresses may be used.
    fn leads(&self, addresses: &[IpAddr], marks: &[Mark]) -> Option<Answer> {
        let mut refusal = None;
        for address in addresses {
            let refused = match self.network.verdict(Place::Address(*address), self.port) {
                Verdict::Denied(deny) => self.denied(deny),
                Verdict::Allowed(..) => return None,
                Verdict::OtherPorts(..) | Verdict::NotGranted => match special(*address) {
                    None => return None,
                    Some(kind) if kind != Special::Metadata && marks.contains(&Mark::Private) => {
                        return None;
                    }
                    Some(kind) => {
                        let remedy = if kind == Special::Metadata {
                            remedy_for(&address.to_string(), self.port)
                        } else {
                            self.remedy("+private")
                        };
                        let because = format!(
                            "it is granted, but leads to {address}, a {} address",
                            kind.word()
                        );
                        no(self.thing(), because, None, Some(remedy))
                    }
                },
            };
            refusal.get_or_insert(refused);
        }
        refusal
    }

    fn allowed(&self, allow: &Allow, marks: &[Mark], mut notes: Vec<String>) -> Answer {
        let because = format!("[network] allow has {allow}");
        let mut answer = yes(self.thing(), because, Some(&allow.origin));
        notes.splice(0..0, allow.note.clone());
        let named = !matches!(allow.to, Target::Net(_));
        if named && !marks.contains(&Mark::Plain) {
            let host = &self.host;
            match self.port {
                443 => notes.push(format!(
                    "on port 443 only TLS for {host} passes; anything else: {}",
                    self.remedy_with_port("+plain").flag
                )),
                80 => notes.push(format!(
                    "on port 80 only HTTP requests for {host} pass; anything else: {}",
                    self.remedy_with_port("+plain").flag
                )),
                _ => {}
            }
        }
        if named && self.port >= FIRST_FREE_PORT && !self.gate_has_port() {
            notes.push(format!(
                "a server of the agent's on every address of port {} would have the connection instead",
                self.port
            ));
        }
        answer.notes = notes;
        answer
    }

    fn denied(&self, deny: &Deny) -> Answer {
        let because = format!("[network] deny has {deny}");
        // Only the very same target in a stronger source lifts a deny.
        let same = matches!(&deny.to, Target::Name(name) if *name == self.host)
            || matches!(&deny.to, Target::Net(net) if net.is_single() && net.address.to_string() == self.host);
        let mut answer = no(self.thing(), because, Some(&deny.origin), None);
        if same {
            answer.remedy = Some(self.remedy(""));
        } else {
            answer.notes.push(
                "a denied pattern is lifted by no grant: it has to be taken out where it stands"
                    .to_owned(),
            );
        }
        answer
    }

    fn other_ports(&self, allow: &Allow, ports: &[u16]) -> Answer {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let because = format!("it is granted on port {} only", ports.join(", "));
        let remedy = Some(self.remedy(""));
        no(self.thing(), because, Some(&allow.origin), remedy)
    }

    /// For answers: HOST:PORT.
    fn thing(&self) -> String {
        with_port(&self.host, self.port)
    }

    /// What grants it; port 443 and 80 are in a rule that names none.
    fn remedy(&self, marks: &str) -> Remedy {
        let rule = match self.port {
            443 | 80 => format!("{}{marks}", self.host),
            port => with_port(&self.host, port) + marks,
        };
        allow(&rule)
    }

    fn remedy_with_port(&self, marks: &str) -> Remedy {
        allow(&(with_port(&self.host, self.port) + marks))
    }
}

fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// What grants a host that may already have a mark behind it.
fn remedy_for(host: &str, port: u16) -> Remedy {
    match port {
        443 | 80 => allow(host),
        port => match host.split_once('+') {
            Some((host, mark)) => allow(&format!("{}+{mark}", with_port(host, port))),
            None => allow(&with_port(host, port)),
        },
    }
}

fn allow(rule: &str) -> Remedy {
    super::remedy("--allow", "network", "allow", &rule.into())
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
