//! From the plan to what the gate is told.

#![forbid(unsafe_code)]

use super::message::{Config, ToGate, rules};
use super::rules::{Allowlist, Deny, Grant, Mark, Target};
use super::upstream::Proxies;
use crate::plan::net::{self, Network};

/// What the host's environment says of its own proxies. Holds passwords.
#[derive(Clone, Default)]
pub struct HostProxies {
    /// HTTPS_PROXY.
    pub https: Option<String>,
    /// HTTP_PROXY.
    pub http: Option<String>,
    /// NO_PROXY.
    pub none: String,
}

impl HostProxies {
    /// Reads the usual variables, lower case first, as curl does.
    pub fn of(var: impl Fn(&str) -> Option<String>) -> HostProxies {
        let first = |names: &[&str]| {
            names
                .iter()
                .filter_map(|name| var(name))
                .find(|value| !value.trim().is_empty())
        };
        let all = ["all_proxy", "ALL_PROXY"];
        HostProxies {
            https: first(&["https_proxy", "HTTPS_PROXY"]).or_else(|| first(&all)),
            http: first(&["http_proxy", "HTTP_PROXY"]).or_else(|| first(&all)),
            none: first(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
        }
    }

    /// Can a gate use them? Asked before there is one: it would end at once, and so would each one after it.
    ///
    /// # Errors
    /// What is wrong, and what helps. Without a URL, which may hold a password.
    pub fn check(&self) -> Result<(), String> {
        let config = Config {
            https_proxy: self.https.clone(),
            http_proxy: self.http.clone(),
            ..Config::default()
        };
        Proxies::of(&config).map(drop).map_err(|why| {
            format!(
                "the caller's proxy cannot be used, and the box would have no network: {why}. Unset it for a network without a \
                 proxy (ALL_PROXY stands for HTTPS_PROXY and HTTP_PROXY where they are not set), or give --net none"
            )
        })
    }
}

/// What a gate is told of the network of a plan: at its start, and again when it has changed. Messages and not calls, since
/// the supervisor never waits for a gate.
#[must_use]
pub fn configuration(network: &Network, proxies: &HostProxies) -> Vec<ToGate> {
    let config = Config {
        hosts: network
            .hosts
            .iter()
            .map(|entry| (entry.name.clone(), entry.addresses.clone()))
            .collect(),
        host_ports: network.host_ports.iter().map(|entry| entry.port).collect(),
        https_proxy: proxies.https.clone(),
        http_proxy: proxies.http.clone(),
        no_proxy: proxies.none.clone(),
        ssh_hosts: network.ssh.iter().flat_map(ssh_hosts).collect(),
        ssh_keys: network.ssh.iter().flat_map(ssh_keys).collect(),
    };
    let mut out = vec![ToGate::Config(config)];
    out.extend(rules(&Allowlist::from(network)));
    out
}

fn ssh_hosts(ssh: &net::ssh::Ssh) -> impl Iterator<Item = (String, String)> {
    let servers = ssh.hosts.iter();
    servers.flat_map(|server| {
        let keys = server.keys.iter();
        keys.map(|key| (server.label(), key.key.clone()))
    })
}

fn ssh_keys(ssh: &net::ssh::Ssh) -> impl Iterator<Item = (String, String)> {
    let keys = ssh.keys.iter();
    keys.map(|key| (key.file.clone(), key.key.clone()))
}

impl From<&Network> for Allowlist {
    fn from(network: &Network) -> Allowlist {
        Allowlist {
            allow: network.allow.iter().map(grant).collect(),
            deny: network.deny.iter().map(deny).collect(),
        }
    }
}

fn grant(allow: &net::Allow) -> Grant {
    let mark = |mark: &net::Mark| match mark {
        net::Mark::Private => Some(Mark::Private),
        net::Mark::Plain => Some(Mark::Plain),
        net::Mark::NoSni => Some(Mark::NoSni),
        // Only says that the pattern is meant as wide as it is.
        net::Mark::Wide => None,
    };
    Grant {
        to: target(&allow.to),
        ports: allow.ports.clone(),
        marks: allow.marks.iter().filter_map(mark).collect(),
        rule: format!("allow {}, {}", allow.to, allow.origin),
    }
}

fn deny(deny: &net::Deny) -> Deny {
    Deny {
        to: target(&deny.to),
        ports: deny.ports.clone(),
        rule: format!("deny {}, {}", deny.to, deny.origin),
    }
}

fn target(target: &net::Target) -> Target {
    match target {
        net::Target::Name(name) => Target::Name(name.clone()),
        net::Target::Under(name) => Target::Under(name.clone()),
        net::Target::Any => Target::Any,
        net::Target::Net(net) => Target::Net {
            address: net.address,
            prefix: net.prefix,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_variables_are_read_in_curls_order() {
        let of = |vars: &[(&str, &str)]| {
            let vars: Vec<(String, String)> = vars
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect();
            HostProxies::of(move |name| {
                vars.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
            })
        };
        let none = of(&[("HTTP_PROXY", " ")]);
        assert!(none.http.is_none() && none.https.is_none() && none.none.is_empty());
        let both = of(&[
            ("https_proxy", "a"),
            ("HTTPS_PROXY", "b"),
            ("NO_PROXY", "c"),
        ]);
        assert_eq!(both.https.as_deref(), Some("a"));
        assert_eq!((both.http, both.none.as_str()), (None, "c"));
        let all = of(&[("ALL_PROXY", "x"), ("HTTP_PROXY", "h")]);
        assert_eq!(all.https.as_deref(), Some("x"));
        assert_eq!(all.http.as_deref(), Some("h"));
    }
}
