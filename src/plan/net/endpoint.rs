//! The service that an agent's own configuration names: `ANTHROPIC_BASE_URL` and its like. A user who sets one of them has
//! said where the agent is to connect, so nobody has to say it once more.

#![forbid(unsafe_code)]

use super::name::{literal, normalise};
use super::{Cidr, Mark, Rule, Target};
use std::net::IpAddr;

/// What a URL asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A service on the host's own loopback.
    HostPort(u16),
    /// Another host.
    Rule(Rule),
}

/// Whether a variable of that name says where a service is.
#[must_use]
pub fn names_one(variable: &str) -> bool {
    ["_BASE_URL", "_API_BASE", "_ENDPOINT_URL"]
        .iter()
        .any(|end| variable.ends_with(end))
}

/// The host and port of an http or https URL; `None` for everything else, which then needs a rule of its own.
#[must_use]
pub fn endpoint(url: &str) -> Option<Endpoint> {
    let (scheme, rest) = url.trim().split_once("://")?;
    let default = match scheme.to_ascii_lowercase().as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?;
    let (host, port) = match host.strip_prefix('[') {
        Some(inner) => {
            let (address, tail) = inner.split_once(']')?;
            (
                address,
                tail.strip_prefix(':').or((tail.is_empty()).then_some("")),
            )
        }
        None => match host.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, Some("")),
        },
    };
    let port = match port? {
        "" => default,
        digits => super::rule::port(digits).ok()?,
    };
    if let Some(address) = literal(host) {
        return by_address(address, port);
    }
    let name = normalise(host).ok()?;
    if name == "localhost" || name.ends_with(".localhost") {
        return Some(Endpoint::HostPort(port));
    }
    Some(rule(Target::Name(name), port))
}

fn by_address(address: IpAddr, port: u16) -> Option<Endpoint> {
    if address.is_loopback() || address.is_unspecified() {
        return Some(Endpoint::HostPort(port));
    }
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    Cidr::new(address, prefix).map(|net| rule(Target::Net(net), port))
}

/// The user chose it, so it may be in a private network.
fn rule(to: Target, port: u16) -> Endpoint {
    Endpoint::Rule(Rule {
        to,
        ports: vec![port],
        marks: vec![Mark::Private],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (url, want) in [
            ("http://127.0.0.1:8080", "port 8080"),
            ("http://localhost:8080/v1", "port 8080"),
            ("http://[::1]:9/", "port 9"),
            ("http://127.1", "port 80"),
            (
                "https://Gateway.corp.Example./v1?x",
                "gateway.corp.example 443",
            ),
            ("HTTPS://u:p@gw.example:8443/", "gw.example 8443"),
            ("http://10.1.2.3:4000", "10.1.2.3 4000"),
            ("https://[2001:db8::1]/", "2001:db8::1 443"),
            ("ftp://a.example", "-"),
            ("a.example", "-"),
            ("https://", "-"),
            ("https://a.example:0", "-"),
            ("https://a b", "-"),
            ("https://[::1", "-"),
            ("https://[::1]x", "-"),
            ("", "-"),
        ] {
            let got = match endpoint(url) {
                None => "-".to_owned(),
                Some(Endpoint::HostPort(port)) => format!("port {port}"),
                Some(Endpoint::Rule(rule)) => {
                    format!("{} {}", rule.to, rule.ports.first().copied().unwrap_or(0))
                }
            };
            assert_eq!(got, want, "{url}");
        }
        assert!(names_one("ANTHROPIC_BASE_URL") && !names_one("BASE_URL_X"));
    }
}
