//! Hosts whose network is not the usual one: a resolver that changes (a VPN), IPv6 only. Each in network and mount namespaces
//! of its own, with name servers and web servers of the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::network::{SERVERS, in_a_network};
use common::{Feature, TestBox, missing};

fn absent() -> bool {
    missing(Feature::Root)
        || ["unshare", "ip", "python3", "curl"]
            .iter()
            .any(|tool| missing(Feature::Tool(tool)))
}

fn world(allow: &str, resolv_conf: &str) -> TestBox {
    let b = TestBox::new()
        .net("filtered")
        .file("servers.py", SERVERS)
        .file("resolv.conf", resolv_conf)
        .file(
            "net.toml",
            format!("extends = [\"shell\"]\n[network]\nallow = [{allow}]\n"),
        );
    let profile = b.root().join("net.toml");
    b.option("-p").option(profile.to_str().unwrap())
}

#[test]
fn a_vpn_that_changes_the_resolver_is_followed() {
    if absent() {
        return;
    }
    let b = world(
        "\"web.test:8080+private\", \"only.vpn.test:8080+private\"",
        "nameserver 127.0.0.2\n",
    );
    // The answers of the first server may be kept for five minutes, but not in another network.
    let ran = in_a_network(
        &b,
        "ip addr add 10.77.0.1/32 dev lo && ip addr add 10.77.0.2/32 dev lo || exit 1\n\
         servers 'dns 127.0.0.2 web.test=10.77.0.1' 'dns 127.0.0.3 web.test=10.77.0.2 only.vpn.test=10.77.0.2' \
         'web 10.77.0.1 in the office' 'web 10.77.0.2 behind the vpn'",
        "until test -e {ws}/asked; do sleep 0.02; done; echo nameserver 127.0.0.3 > /etc/resolv.conf; touch {ws}/changed",
        "curl -sS -m 20 http://web.test:8080/; echo; curl -sS -m 20 http://only.vpn.test:8080/ 2>/dev/null || echo not yet\n\
         touch asked; until test -e changed; do sleep 0.02; done\n\
         for i in $(seq 20); do said=$(curl -sS -m 20 http://web.test:8080/); test \"$said\" = 'in the office' || break; sleep 0.5; done\n\
         echo \"$said\"; curl -sS -m 20 http://only.vpn.test:8080/",
    );
    let text = ran.ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "in the office",
            "not yet",
            "behind the vpn",
            "behind the vpn"
        ],
        "{ran:?}"
    );
    assert!(ran.complaint().contains("only.vpn.test"), "{ran:?}");
}

/// No IPv4 but loopback's, the name server included; programs in the box may use either family.
#[test]
fn a_host_with_ipv6_only_is_enough() {
    if absent() || missing(Feature::Tool("sysctl")) {
        return;
    }
    let b = world(
        "\"six.test:8080+private\", \"both.test:8080+private\", \"four.test:8080+private\"",
        "nameserver fd77::53\n",
    );
    let ran = in_a_network(
        &b,
        "for a in 1 53; do ip -6 addr add fd77::$a/128 dev lo nodad || exit 1; done\n\
         servers 'dns fd77::53 six.test=fd77::1 both.test=203.0.113.9 both.test=fd77::1 four.test=203.0.113.9' 'web fd77::1 over six'",
        ":",
        "for family in -4 -6; do for name in six both; do curl -sS $family -m 20 http://$name.test:8080/ && echo \" to $name by $family\"; done; done\n\
         curl -sS -m 20 http://four.test:8080/ 2>&1 || echo four fails",
    );
    let text = ran.ok();
    for line in [
        "over six to six by -4",
        "over six to both by -4",
        "over six to six by -6",
        "over six to both by -6",
        "four fails",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}: {ran:?}");
    }
    // The one that has no IPv6 address: why, for the human.
    let said = ran.complaint();
    assert!(
        said.contains("failed four.test port 8080: it cannot be reached: Network is unreachable"),
        "{ran:?}"
    );
}
