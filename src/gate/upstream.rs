//! The host's own proxies, as its HTTPS_PROXY, HTTP_PROXY and NO_PROXY say. Pure.

#![forbid(unsafe_code)]

use super::address::{self, Host};
use super::message::Config;
use std::fmt;
use std::net::IpAddr;

/// A proxy that speaks HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is.
    pub host: Host,
    /// On which port.
    pub port: u16,
    /// The value of `Proxy-Authorization`, if it wants one.
    pub authorization: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        write!(f, "Proxy({:?}, {})", self.host, self.port)
    }
}

/// The proxies and who goes without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For everything but plain HTTP.
    pub https: Option<Proxy>,
    /// For plain HTTP.
    pub http: Option<Proxy>,
    direct: Vec<Direct>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Direct {
    All,
    /// A name and everything below it, perhaps on one port only.
    Name(String, Option<u16>),
    Net(IpAddr, u8),
}

impl Proxies {
    /// Reads what the variables say.
    ///
    /// # Errors
    /// A proxy that cannot be used. Without its URL, which may hold a password.
    pub fn of(config: &Config) -> Result<Proxies, String> {
        let read = |variable: &str, url: &Option<String>| {
            url.as_deref()
                .filter(|url| !url.trim().is_empty())
                .map(|url| proxy(url.trim()).map_err(|why| format!("{variable}: {why}")))
                .transpose()
        };
        Ok(Proxies {
            https: read("HTTPS_PROXY", &config.https_proxy)?,
            http: read("HTTP_PROXY", &config.http_proxy)?,
            direct: config
                .no_proxy
                .split([',', ' '])
                .filter_map(direct)
                .collect(),
        })
    }

    /// Goes this host on this port without a proxy?
    #[must_use]
    pub fn is_direct(&self, host: &Host, port: u16) -> bool {
        self.direct.iter().any(|rule| match (rule, host) {
            (Direct::All, _) => true,
            (Direct::Name(own, only), Host::Name(name)) => {
                let below = name
                    .strip_suffix(own.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                below && only.is_none_or(|only| only == port)
            }
            (Direct::Net(net, prefix), Host::Address(addr)) => within(*net, *prefix, *addr),
            _ => false,
        })
    }
}

fn within(net: IpAddr, prefix: u8, addr: IpAddr) -> bool {
    let (net, addr, width) = match (net, addr.to_canonical()) {
        (IpAddr::V4(net), IpAddr::V4(addr)) => (
            u128::from(u32::from(net)) << 96,
            u128::from(u32::from(addr)) << 96,
            32,
        ),
        (IpAddr::V6(net), IpAddr::V6(addr)) => (u128::from(net), u128::from(addr), 128),
        _ => return false,
    };
    let mask = u128::MAX
        .checked_shl(128 - u32::from(prefix.min(width)))
        .unwrap_or(0);
    (net ^ addr) & mask == 0
}

fn direct(word: &str) -> Option<Direct> {
    let word = word.trim();
    if word.is_empty() {
        return None;
    }
    if word == "*" {
        return Some(Direct::All);
    }
    let (net, prefix) = match word.split_once('/') {
        Some((net, prefix)) => (net, Some(prefix.parse::<u8>().ok()?)),
        None => (word, None),
    };
    if let Ok(Host::Address(addr)) = address::host(net) {
        let whole = if addr.is_ipv4() { 32 } else { 128 };
        return Some(Direct::Net(addr, prefix.unwrap_or(whole)));
    }
    let (name, port) = match word.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (word, None),
    };
    let name = name.strip_prefix('*').unwrap_or(name);
    let name = address::normal(name.strip_prefix('.').unwrap_or(name))?;
    Some(Direct::Name(name, port))
}

fn proxy(url: &str) -> Result<Proxy, &'static str> {
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return Err("only proxies that speak plain HTTP (http://...) can be used"),
        None => url,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, port.parse().map_err(|_| "its port is no number")?)
        }
        _ => (place, 80),
    };
    let host = address::host(host).map_err(|_| "its host is no name and no address")?;
    let authorization = user
        .map(|user| decode(user).map(|user| format!("Basic {}", base64(&user))))
        .transpose()?;
    Ok(Proxy {
        host,
        port,
        authorization,
    })
}

/// Undoes %XX.
fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next().unwrap_or(b'?'), bytes.next().unwrap_or(b'?')];
        let value = std::str::from_utf8(&digits)
            .ok()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or("its password has a % without two digits")?;
        out.push(value);
    }
    Ok(out)
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let value = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4u32 {
            let digit = usize::try_from((value >> (18 - 6 * i)) & 63).unwrap_or(0);
            let shown = (i as usize) <= group.len();
            out.push(if shown {
                char::from(DIGITS[digit])
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(url: &str) -> Result<Proxy, &'static str> {
        proxy(url)
    }

    #[test]
    fn base64_is_rfc_4648() {
        let rows = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (text, want) in rows {
            assert_eq!(base64(text.as_bytes()), want);
        }
    }

    #[test]
    fn proxies_are_read() {
        let plain = read("http://proxy.corp:3128").unwrap();
        assert_eq!(plain.host, Host::Name("proxy.corp".to_owned()));
        assert_eq!((plain.port, plain.authorization), (3128, None));
        assert_eq!(read("proxy.corp").unwrap().port, 80);
        assert_eq!(read("[::1]:8080").unwrap().port, 8080);
        assert_eq!(read("[::1]").unwrap().port, 80);
        let user = read("HTTP://user:p%40ss@10.0.0.1:8080/").unwrap();
        assert_eq!(user.authorization.as_deref(), Some("Basic dXNlcjpwQHNz"));
        assert!(!format!("{user:?}").contains("dXNl"));
        for bad in [
            "https://p:1",
            "socks5://p:1",
            "http://p:x",
            "http://",
            "http://a:%4@b:1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_proxy_is_honoured() {
        let config = Config {
            no_proxy: "localhost, .corp,example.com:8443 *.lab,10.0.0.0/8,[::1],192.168.1.1"
                .to_owned(),
            ..Config::default()
        };
        let proxies = Proxies::of(&config).unwrap();
        let direct = |text: &str, port| proxies.is_direct(&address::host(text).unwrap(), port);
        for yes in [
            "localhost",
            "corp",
            "a.corp",
            "x.lab",
            "10.9.8.7",
            "::1",
            "192.168.1.1",
        ] {
            assert!(direct(yes, 443), "{yes}");
        }
        assert!(direct("example.com", 8443) && direct("a.example.com", 8443));
        for no in ["xcorp", "corp.example", "11.0.0.1", "192.168.1.2", "::2"] {
            assert!(!direct(no, 443), "{no}");
        }
        assert!(!direct("example.com", 443));
    }
}
