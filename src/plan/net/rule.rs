//! One rule as people write it: `HOST[:PORT[,PORT...]][+MARK...]`, in profiles and behind `--allow` alike.

#![forbid(unsafe_code)]

use super::name::{self, BadName, normalise};
use super::{Cidr, DEFAULT_PORTS, HOST_NAME, Mark, Target};
use std::net::IpAddr;

/// The most ports of one rule.
const MOST_PORTS: usize = 64;

/// Names below which everybody can have one: a pattern over all of them grants strangers. Two-letter countries with a
/// `co`, `com`, `ac`, ... below them are found by their form.
const SHARED: [&str; 56] = [
    "amazonaws.com",
    "amplifyapp.com",
    "appspot.com",
    "awsapprunner.com",
    "azure-api.net",
    "azureedge.net",
    "azurestaticapps.net",
    "azurewebsites.net",
    "b-cdn.net",
    "backblazeb2.com",
    "blob.core.windows.net",
    "blogspot.com",
    "cloudapp.azure.com",
    "cloudapp.net",
    "cloudflarestorage.com",
    "cloudfront.net",
    "deno.dev",
    "digitaloceanspaces.com",
    "duckdns.org",
    "elasticbeanstalk.com",
    "execute-api.us-east-1.amazonaws.com",
    "fastly.net",
    "firebaseapp.com",
    "firebaseio.com",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "glitch.me",
    "googleapis.com",
    "googleusercontent.com",
    "herokuapp.com",
    "hf.space",
    "lambda-url.us-east-1.on.aws",
    "netlify.app",
    "ngrok-free.app",
    "ngrok.app",
    "ngrok.io",
    "nip.io",
    "on.aws",
    "ondigitalocean.app",
    "onrender.com",
    "pages.dev",
    "r2.dev",
    "railway.app",
    "readthedocs.io",
    "replit.app",
    "run.app",
    "s3.amazonaws.com",
    "sslip.io",
    "supabase.co",
    "surge.sh",
    "trycloudflare.com",
    "vercel.app",
    "web.app",
    "windows.net",
    "workers.dev",
];

/// What countries have below them instead of names.
const SECOND: [&str; 12] = [
    "ac", "co", "com", "edu", "go", "gob", "gov", "mil", "ne", "net", "or", "org",
];

/// A rule without its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whom it is about.
    pub to: Target,
    /// The ports as written; empty if none were.
    pub ports: Vec<u16>,
    /// The marks as written, in order and once each.
    pub marks: Vec<Mark>,
}

/// A rule that cannot be understood, or must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRule {
    /// What is wrong, without a full stop.
    pub what: String,
    /// What would be right; may be empty.
    pub help: String,
}

fn bad<T>(what: impl Into<String>, help: impl Into<String>) -> Result<T, BadRule> {
    Err(BadRule {
        what: what.into(),
        help: help.into(),
    })
}

impl Rule {
    /// Who may be reached.
    ///
    /// # Errors
    /// What is wrong with the text, or that it is too wide or about the host's loopback.
    pub fn allow(text: &str) -> Result<Rule, BadRule> {
        let rule = Rule::parse(text)?;
        rule.check()?;
        Ok(rule)
    }

    /// Who may not: as wide as one likes, and without marks.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn deny(text: &str) -> Result<Rule, BadRule> {
        let rule = Rule::parse(text)?;
        match rule.marks.first() {
            Some(mark) => bad(
                format!("`+{}` means nothing where something is denied", mark.name()),
                "leave it out",
            ),
            None => Ok(rule),
        }
    }

    /// What [`Rule::allow`] makes of parts that were written apart (a table in a profile).
    ///
    /// # Errors
    /// As for [`Rule::allow`].
    pub fn of(host: &str, ports: Vec<u16>, marks: Vec<Mark>) -> Result<Rule, BadRule> {
        let mut rule = Rule::parse(host)?;
        if !rule.ports.is_empty() && !ports.is_empty() {
            return bad(
                "ports are given twice",
                "once behind the name or once as `ports`",
            );
        }
        rule.ports.extend(ports);
        for mark in marks {
            rule.mark(mark);
        }
        rule.check()?;
        Ok(rule)
    }

    /// The ports that it is about, for who may be reached.
    #[must_use]
    pub fn ports_or_default(&self) -> Vec<u16> {
        if self.ports.is_empty() {
            DEFAULT_PORTS.to_vec()
        } else {
            self.ports.clone()
        }
    }

    fn mark(&mut self, mark: Mark) {
        if !self.marks.contains(&mark) {
            self.marks.push(mark);
            self.marks.sort_unstable();
        }
    }

    fn parse(text: &str) -> Result<Rule, BadRule> {
        if let Some((scheme, rest)) = text.split_once("://") {
            return url(scheme, rest);
        }
        let mut parts = text.split('+');
        let (host, ports) = split_ports(parts.next().unwrap_or_default())?;
        let mut rule = Rule {
            to: target(&host)?,
            ports,
            marks: Vec::new(),
        };
        for word in parts {
            match Mark::ALL.into_iter().find(|mark| mark.name() == word) {
                Some(mark) => rule.mark(mark),
                None => {
                    let known: Vec<&str> = Mark::ALL.iter().map(|mark| mark.name()).collect();
                    return bad(
                        format!("`+{word}` is not a mark of a rule"),
                        format!("marks: {}", known.join(", ")),
                    );
                }
            }
        }
        Ok(rule)
    }

    /// What must not be allowed by a rule of this kind.
    fn check(&self) -> Result<(), BadRule> {
        let port = match self.ports.as_slice() {
            [] => "PORT".to_owned(),
            ports => list(ports),
        };
        match &self.to {
            Target::Name(name) | Target::Under(name) if is_loopback_name(name) => bad(
                format!("`{name}` is this machine itself"),
                format!(
                    "for a service on the host's loopback: --host-port {port} (host-ports = [{port}])"
                ),
            ),
            Target::Net(net)
                if net.address.is_loopback() || net.address.is_unspecified() && net.is_single() =>
            {
                bad(
                    format!("{net} is this machine itself"),
                    format!(
                        "for a service on the host's loopback: --host-port {port} (host-ports = [{port}])"
                    ),
                )
            }
            Target::Under(name) if is_shared(name) && !self.marks.contains(&Mark::Wide) => bad(
                format!("`*.{name}` is as good as any name: everybody can have one below {name}"),
                format!(
                    "name the hosts that are meant, or write `*.{name}+wide` if all of them are"
                ),
            ),
            _ => Ok(()),
        }
    }
}

fn list(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join(", ")
}

/// `https://host:1/path` is what people copy: say what of it is the rule.
fn url(scheme: &str, rest: &str) -> Result<Rule, BadRule> {
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    bad(
        format!("`{scheme}://` makes it a URL, and a rule is about a host"),
        format!("write `{host}`"),
    )
}

/// Host and ports. An IPv6 address with ports is in brackets.
fn split_ports(text: &str) -> Result<(String, Vec<u16>), BadRule> {
    let (host, ports) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, tail)) = rest.split_once(']') else {
            return bad("`]` is missing", "write [ADDRESS]:PORT");
        };
        let (prefix, ports) = match tail.split_once(':') {
            Some((prefix, ports)) => (prefix, Some(ports)),
            None => (tail, None),
        };
        if !address.contains(':') || !(prefix.is_empty() || prefix.starts_with('/')) {
            return bad(
                format!("`{text}` is not an IPv6 address in brackets"),
                "write [ADDRESS]:PORT or [ADDRESS]/BITS:PORT",
            );
        }
        (format!("{address}{prefix}"), ports)
    } else {
        match text.split_once(':') {
            // More than one colon: an IPv6 address without ports.
            Some((_, rest)) if rest.contains(':') => (text.to_owned(), None),
            Some((host, ports)) => (host.to_owned(), Some(ports)),
            None => (text.to_owned(), None),
        }
    };
    let Some(text) = ports else {
        return Ok((host, Vec::new()));
    };
    let mut ports = Vec::new();
    for port in text.split(',') {
        let port = self::port(port)?;
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    if ports.len() > MOST_PORTS {
        return bad(
            format!(
                "{} ports; at most {MOST_PORTS} are allowed in one rule",
                ports.len()
            ),
            "name the ones that are meant",
        );
    }
    Ok((host, ports))
}

/// The host and the port of `HOST:PORT`, of `HOST` (443), or of a URL.
///
/// # Errors
/// There is no host, or not one port.
pub fn place(text: &str) -> Result<(String, u16), BadRule> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => (String::new(), text),
    };
    let authority = if scheme.is_empty() {
        rest
    } else {
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default()
    };
    let default = match scheme.as_str() {
        "" | "https" | "wss" => Some(443),
        "http" | "ws" => Some(80),
        "ssh" | "git+ssh" => Some(22),
        _ => None,
    };
    let (host, ports) = split_ports(authority)?;
    if host.is_empty() {
        return bad(format!("`{text}` names no host"), "write HOST:PORT");
    }
    match (ports.as_slice(), default) {
        ([port], _) => Ok((host, *port)),
        ([], Some(port)) => Ok((host, port)),
        _ => bad(
            format!("`{text}` does not name one port"),
            "write HOST:PORT",
        ),
    }
}

/// One port.
///
/// # Errors
/// Not a number from 1 to 65535.
pub fn port(text: &str) -> Result<u16, BadRule> {
    match text.parse::<u16>() {
        Ok(port) if port != 0 && !text.starts_with('+') => Ok(port),
        _ if text == "*" => bad(
            "a rule is about ports that it names",
            "write them: HOST:22,443",
        ),
        _ => bad(
            format!("`{text}` is not a port"),
            "a port is a number from 1 to 65535",
        ),
    }
}

fn target(host: &str) -> Result<Target, BadRule> {
    if host == "*" {
        return Ok(Target::Any);
    }
    if let Some((address, prefix)) = host.split_once('/') {
        return net(address, prefix);
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return single(address);
    }
    let (under, name) = match host.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, host),
    };
    match normalise(name) {
        Ok(name) if under => Ok(Target::Under(name)),
        Ok(name) => Ok(Target::Name(name)),
        Err(BadName::Character('*')) => bad(
            format!("`{host}`: `*` stands only for whole names, at the beginning"),
            "`*.example.com` is every name below example.com, `*` is every name",
        ),
        Err(BadName::Number) => bad(
            format!("`{host}` is an address in an odd form, not a name"),
            name::literal(name)
                .map_or_else(String::new, |ip| format!("write `{ip}` if that is meant")),
        ),
        Err(BadName::Character(c)) if c == ' ' || c == ',' => bad(
            format!("`{host}` is more than one host"),
            "one rule for each host; commas are for ports: HOST:22,443",
        ),
        Err(BadName::Empty) if host.starts_with('.') => bad(
            format!("`{host}` begins with a dot"),
            format!("write `*{host}` for every name below it"),
        ),
        Err(why) => bad(
            format!("`{host}` is not the name of a host: {why}"),
            "write HOST or HOST:PORT, as in example.com:443",
        ),
    }
}

fn single(address: IpAddr) -> Result<Target, BadRule> {
    let address = address.to_canonical();
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    match Cidr::new(address, prefix) {
        Some(net) => Ok(Target::Net(net)),
        None => bad(format!("`{address}` is not an address"), ""),
    }
}

fn net(address: &str, prefix: &str) -> Result<Target, BadRule> {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let Ok(parsed) = bare.parse::<IpAddr>() else {
        return bad(
            format!("`{address}/{prefix}` is neither a host nor a range of addresses"),
            "a range is ADDRESS/BITS, as in 10.20.0.0/16; a host has no path",
        );
    };
    let bits = prefix.parse::<u8>().ok();
    let Some(net) = bits.and_then(|bits| Cidr::new(parsed.to_canonical(), bits)) else {
        let help = if parsed.is_ipv4() {
            "a number from 0 to 32".to_owned()
        } else if let Some((bits, ports)) = prefix.split_once(':') {
            // The colons of an IPv6 address and that of a port can be told apart by brackets only.
            format!("with ports it is [{parsed}]/{bits}:{ports}")
        } else {
            "a number from 0 to 128".to_owned()
        };
        return bad(format!("`/{prefix}` is not the length of a prefix"), help);
    };
    if net.address != parsed.to_canonical() {
        return bad(
            format!("{parsed} is not the first address of its range"),
            format!("write `{net}`"),
        );
    }
    Ok(Target::Net(net))
}

fn is_loopback_name(name: &str) -> bool {
    name == HOST_NAME
        || name == "localhost"
        || name == "localhost.localdomain"
        || name.ends_with(".localhost")
        || name == "ip6-localhost"
}

/// Whether strangers can have names below it.
fn is_shared(name: &str) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    match labels.as_slice() {
        [_] => true,
        [second, country] if country.len() == 2 && SECOND.contains(second) => true,
        _ => {
            SHARED.contains(&name)
                // s3.eu-west-1.amazonaws.com and its like: a region of a shared service is shared.
                || name.ends_with(".amazonaws.com")
                || name.ends_with(".core.windows.net")
        }
    }
}
