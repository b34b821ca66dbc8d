//! `/etc/hosts` of a filtered box: the names that the host has for its own loopback, and nothing else of the host's file.

#![forbid(unsafe_code)]

use super::scene::Scene;
use crate::plan::Network;
use crate::plan::net::{HOST_NAME, Target};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

/// How much of the host's file is read: lists of advertisers to be blocked have megabytes, behind the names of the machine.
const MOST: usize = 64 << 10;

/// How many names are taken from it.
const NAMES: usize = 64;

/// What the box's file says. A server that binds to `localhost` and a client that asks for it must mean the same address as
/// outside: where the host has no `::1 localhost`, the box has none.
pub(super) fn hosts(scene: &Scene<'_>, network: &Network) -> String {
    let read = |path: &str, max| scene.walk.look.read(Path::new(path), max);
    let hostname = read("/proc/sys/kernel/hostname", 256).unwrap_or_default();
    let hostname = String::from_utf8(hostname).unwrap_or_default();
    let given = read("/etc/hosts", MOST).map(whole_lines);
    content(given.as_deref(), hostname.trim(), |name| {
        // What was granted by name is the gate's to find.
        let allowed = |to: &Target| matches!(to, Target::Name(own) if own == name);
        network.allow.iter().any(|allow| allowed(&allow.to))
            || network.hosts.iter().any(|entry| entry.name == name)
    })
}

/// The text without a last line that was cut in the middle.
fn whole_lines(mut text: Vec<u8>) -> String {
    if text.len() >= MOST {
        text.truncate(text.iter().rposition(|b| *b == b'\n').unwrap_or(0));
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn content(given: Option<&str>, hostname: &str, granted: impl Fn(&str) -> bool) -> String {
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let known: Vec<_> = given.into_iter().flat_map(loopback).collect();
    // Without a file nothing is known of the host, and `localhost` is what RFC 6761 says.
    let both = given.is_none() || known.contains(&(V6, "localhost"));
    let mut text = "127.0.0.1 localhost\n".to_owned();
    let mut own = is_name(hostname) && hostname != "localhost";
    let names = known.into_iter().filter(|(_, name)| {
        let has = ["localhost", "ip6-localhost", "ip6-loopback"].contains(name);
        // A name with a dot may be one of the world, which the host has sent nowhere.
        !has && (*name == hostname || !name.contains('.') && !granted(name))
    });
    for (address, name) in names.take(NAMES) {
        own &= name != hostname;
        let _ = writeln!(text, "{address} {name}");
    }
    if own {
        let _ = writeln!(text, "127.0.1.1 {hostname}");
    }
    let localhost = if both { "localhost " } else { "" };
    let _ = writeln!(text, "::1 {localhost}ip6-localhost ip6-loopback");
    // In lines of its own: as an alias of `localhost` it is the only one with a dot, and programs that look for a machine's
    // full name (`socket.getfqdn()`, mail, test servers) would take it for that of this machine.
    let _ = writeln!(text, "127.0.0.1 {HOST_NAME}\n::1 {HOST_NAME}");
    text
}

/// The loopback addresses of a hosts file with their names, in its order.
fn loopback(text: &str) -> impl Iterator<Item = (IpAddr, &str)> {
    text.lines().flat_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
        let address = address.filter(IpAddr::is_loopback);
        let names = words.filter(|name| is_name(name));
        names.filter_map(move |name| Some((address?, name)))
    })
}

fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(good);
    name.len() <= 253 && name.split('.').all(label) && name.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &str, hostname: &str) -> String {
        content(Some(given), hostname, |name| name == "granted")
    }

    #[test]
    fn localhost_is_what_the_host_says() {
        let first = "127.0.0.1 localhost\n";
        let own = "127.0.0.1 host.agentbox.internal\n::1 host.agentbox.internal\n";
        let v6 = "::1 ip6-localhost ip6-loopback\n";
        assert_eq!(
            of("127.0.0.1\tlocalhost\n", ""),
            format!("{first}{v6}{own}")
        );
        let both = "::1 localhost ip6-localhost ip6-loopback\n";
        for given in [
            "::1 ip6-localhost localhost # x\n",
            "::1 localhost\n127.0.0.1 localhost",
        ] {
            assert_eq!(of(given, ""), format!("{first}{both}{own}"), "{given}");
        }
        assert_eq!(content(None, "", |_| false), format!("{first}{both}{own}"));
    }

    #[test]
    fn other_names_of_loopback_are_the_hosts() {
        let text = of(
            "127.0.0.1 vm\n127.0.0.2 db ads.example.com granted b@d 1.2.3.4\n10.0.0.1 lan\n::1 six\n0.0.0.0 zero\nx y\n",
            "me",
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "127.0.0.1 localhost",
                "127.0.0.1 vm",
                "127.0.0.2 db",
                "::1 six",
                "127.0.1.1 me",
                "::1 ip6-localhost ip6-loopback",
                "127.0.0.1 host.agentbox.internal",
                "::1 host.agentbox.internal",
            ]
        );
    }

    #[test]
    fn the_own_name_has_the_hosts_address() {
        let text = of("127.0.0.1 vm\n127.0.0.3 box.lan box\n", "box.lan");
        assert!(
            text.contains("\n127.0.0.3 box.lan\n127.0.0.3 box\n"),
            "{text}"
        );
        assert!(!text.contains("127.0.1.1"), "{text}");
        assert!(!of("", "a b\n8.8.8.8 x").contains("8.8.8.8"));
        assert!(!of("", "localhost").contains("127.0.1.1"));
    }

    #[test]
    fn a_file_that_is_too_long_is_cut_between_lines() {
        let mut text = b"127.0.0.1 a\n".repeat(MOST / 12 + 1);
        text.truncate(MOST);
        let cut = whole_lines(text);
        assert!(cut.ends_with("127.0.0.1 a"));
        assert_eq!(of(&cut, "").lines().count(), NAMES + 4);
    }
}
