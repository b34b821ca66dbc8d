#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

fn grant(to: Target, ports: &[u16], marks: &[Mark]) -> Grant {
    Grant {
        to,
        ports: ports.to_vec(),
        marks: marks.to_vec(),
        rule: "r".to_owned(),
    }
}

fn name(text: &str) -> Target {
    Target::Name(text.to_owned())
}

fn net(text: &str, prefix: u8) -> Target {
    Target::Net {
        address: text.parse().unwrap(),
        prefix,
    }
}

fn list() -> Allowlist {
    Allowlist {
        allow: vec![
            grant(name("a.example"), &[80, 443], &[]),
            grant(name("a.example"), &[22], &[Mark::Plain]),
            grant(Target::Under("b.example".to_owned()), &[443], &[]),
            grant(name("db.corp"), &[5432], &[Mark::Private]),
            grant(net("10.1.0.0", 16), &[443, 5432], &[]),
            grant(net("fd00:1::", 32), &[443], &[]),
            grant(net("169.254.169.254", 32), &[80], &[]),
        ],
        deny: vec![
            Deny {
                to: name("bad.b.example"),
                ports: vec![],
                rule: "no".to_owned(),
            },
            Deny {
                to: net("10.1.9.0", 24),
                ports: vec![443],
                rule: "no net".to_owned(),
            },
        ],
    }
}

#[test]
fn names_and_ports() {
    let list = list();
    let decide = |name, port| list.decide(&Request::Name(name, port));
    assert!(decide("a.example", 443).is_ok());
    assert!(decide("a.example", 80).is_ok());
    assert!(decide("a.example", 22).unwrap().has(Mark::Plain));
    assert!(!decide("a.example", 443).unwrap().has(Mark::Plain));
    let wrong = decide("a.example", 25).unwrap_err();
    let granted = vec![22, 80, 443];
    assert_eq!(wrong.why, Why::Port { granted });
    for other in ["x.a.example", "aa.example", "example", "a.example.com", ""] {
        assert_eq!(
            decide(other, 443).unwrap_err().why,
            Why::NotGranted,
            "{other}"
        );
    }
}

#[test]
fn under_a_name_is_not_the_name() {
    let list = list();
    let decide = |name| list.decide(&Request::Name(name, 443));
    assert!(decide("x.b.example").is_ok());
    assert!(decide("y.x.b.example").is_ok());
    for other in ["b.example", "xb.example", ".b.example", "b.example.x"] {
        assert_eq!(decide(other).unwrap_err().why, Why::NotGranted, "{other}");
    }
}

#[test]
fn a_deny_is_stronger_than_any_grant() {
    let mut list = list();
    list.allow.push(grant(name("bad.b.example"), &[443], &[]));
    let refusal = list
        .decide(&Request::Name("bad.b.example", 443))
        .unwrap_err();
    assert_eq!((refusal.why, refusal.rule.as_str()), (Why::Denied, "no"));
    assert!(list.ports("bad.b.example").is_empty());
    assert_eq!(list.ports("x.b.example"), [443]);
    assert_eq!(list.ports("a.example"), [22, 80, 443]);
    let address = |text: &str, port| {
        list.decide(&Request::Address(text.parse().unwrap(), port))
            .map(|_| ())
    };
    assert!(address("10.1.9.1", 5432).is_ok());
    assert_eq!(address("10.1.9.1", 443).unwrap_err().why, Why::Denied);
    assert!(address("10.1.8.1", 443).is_ok());
}

#[test]
fn any_is_any_name_but_no_address() {
    let list = Allowlist {
        allow: vec![grant(Target::Any, &[443], &[])],
        deny: vec![],
    };
    assert!(list.decide(&Request::Name("what.ever", 443)).is_ok());
    let address = Request::Address("8.8.8.8".parse().unwrap(), 443);
    assert_eq!(list.decide(&address).unwrap_err().why, Why::NotGranted);
}

#[test]
fn networks_match_by_their_bits() {
    let list = list();
    let ok = |text: &str| {
        list.decide(&Request::Address(text.parse().unwrap(), 443))
            .is_ok()
    };
    assert!(ok("10.1.255.255") && ok("::ffff:10.1.2.3") && ok("fd00:1:ffff::1"));
    assert!(!ok("10.2.0.0") && !ok("fd00:2::") && !ok("::10.1.2.3"));
    let all = Allowlist {
        allow: vec![grant(net("0.0.0.0", 0), &[443], &[])],
        deny: vec![],
    };
    let every = Request::Address("203.0.113.1".parse().unwrap(), 443);
    let other = Request::Address("2001:db8::1".parse().unwrap(), 443);
    assert!(all.decide(&every).is_ok() && all.decide(&other).is_err());
}

#[test]
fn where_a_name_may_lead_to() {
    let list = list();
    let judge = |name: &str, port, addr: &str, own: bool| {
        let terms = list.decide(&Request::Name(name, port)).unwrap();
        list.judge(&terms, addr.parse().unwrap(), port, || own)
            .map_err(|refusal| refusal.why)
    };
    let private = |addr: &str, kind| {
        Err(Why::Private {
            address: addr.parse().unwrap(),
            kind,
        })
    };
    assert_eq!(judge("a.example", 443, "93.184.216.34", false), Ok(()));
    assert_eq!(
        judge("a.example", 443, "93.184.216.34", true),
        private("93.184.216.34", Special::Own)
    );
    assert_eq!(
        judge("a.example", 443, "127.0.0.1", false),
        private("127.0.0.1", Special::Loopback)
    );
    assert_eq!(
        judge("a.example", 443, "::ffff:192.168.0.1", false),
        private("192.168.0.1", Special::Private)
    );
    // Granted by a network, on its ports only, and not where that network is denied.
    assert_eq!(judge("a.example", 443, "10.1.2.3", false), Ok(()));
    assert_eq!(
        judge("a.example", 80, "10.1.2.3", false),
        private("10.1.2.3", Special::Private)
    );
    assert_eq!(judge("a.example", 443, "10.1.9.3", false), Err(Why::Denied));
    // Granted by the mark; but not what gives out credentials.
    assert_eq!(judge("db.corp", 5432, "192.168.0.1", false), Ok(()));
    assert_eq!(judge("db.corp", 5432, "127.0.0.1", true), Ok(()));
    assert_eq!(
        judge("db.corp", 5432, "169.254.169.254", false),
        private("169.254.169.254", Special::Metadata)
    );
    assert_eq!(judge("a.example", 80, "169.254.169.254", false), Ok(()));
}

/// A grant of `0.0.0.0/0` opened the host's own services: by a name that leads to loopback, and by the address itself.
#[test]
fn a_granted_network_is_neither_loopback_nor_metadata() {
    let both = Allowlist {
        allow: vec![
            grant(net("0.0.0.0", 0), &[80], &[]),
            grant(net("::", 0), &[80], &[]),
            grant(name("rebind.test"), &[80], &[]),
            grant(net("169.254.169.254", 32), &[81], &[]),
            grant(name("rebind.test"), &[81], &[]),
        ],
        deny: Vec::new(),
    };
    let terms = both.decide(&Request::Name("rebind.test", 80)).unwrap();
    for addr in [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "0.0.0.0",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0",
        "64:ff9b::7f00:1",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
    ] {
        let addr: IpAddr = addr.parse().unwrap();
        let direct = both.decide(&Request::Address(addr, 80)).unwrap_err();
        assert_ne!(direct.why, Why::Denied, "{addr}");
        let led = both.judge(&terms, addr, 80, || false).unwrap_err();
        assert!(matches!(led.why, Why::Private { .. }), "{addr}: {led:?}");
    }
    // The twins: everything else, and who says the one address.
    for addr in ["10.0.0.1", "93.184.216.34", "2606:4700::1111", "fd00::1"] {
        let addr: IpAddr = addr.parse().unwrap();
        assert!(both.decide(&Request::Address(addr, 80)).is_ok(), "{addr}");
        assert!(both.judge(&terms, addr, 80, || false).is_ok(), "{addr}");
    }
    let one = "169.254.169.254".parse().unwrap();
    assert!(both.decide(&Request::Address(one, 81)).is_ok());
    assert!(both.judge(&terms, one, 81, || false).is_ok());
}

/// `agentbox why connect` compares the rules by itself, since a plan knows nothing of gates: both must say the same.
#[test]
fn the_plan_says_what_the_gate_decides() {
    use crate::plan::net::{self as net, Network, NetworkMode};
    use crate::plan::why::rules::{Place, Verdict};
    use crate::policy::Origin;
    let hosts = [
        "a.example",
        "b.a.example",
        "c.b.a.example",
        "example",
        "xa.example",
        "10.1.2.3",
        "10.1.3.3",
        "10.2.2.3",
        "fd00::1",
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "169.254.169.254",
    ];
    let rules = [
        "0.0.0.0/0",
        "[::]/0:80",
        "169.254.169.254",
        "a.example",
        "*.a.example",
        "b.a.example:22",
        "*.example+wide",
        "*:80",
        "10.1.0.0/16",
        "10.1.2.3:22",
        "[fd00::]/8:80",
        "a.example:22,80+private+plain",
        "c.b.a.example+no-sni",
    ];
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bit = move || {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice.is_multiple_of(3)
    };
    let mut seen = [0_u32; 4];
    for _ in 0..2000 {
        let mut network = Network::of(NetworkMode::Filtered, Origin::agentbox("test"));
        for rule in rules {
            if bit() {
                network.allow_now(rule).unwrap();
            }
        }
        for rule in rules {
            if bit() && bit() {
                let bare = rule.split('+').next().unwrap();
                network.deny_now(bare).unwrap();
            }
        }
        let gate = Allowlist::from(&network);
        for host in hosts {
            let address = host.parse::<IpAddr>().ok();
            for port in [22, 80, 443] {
                let (place, request) = match address {
                    Some(address) => (Place::Address(address), Request::Address(address, port)),
                    None => (Place::Name(host), Request::Name(host, port)),
                };
                let row = format!("{host}:{port} by {network:?}");
                match (network.verdict(place, port), gate.decide(&request)) {
                    (Verdict::Allowed(allow, marks), Ok(terms)) => {
                        seen[0] += 1;
                        assert!(terms.rule.contains(&allow.to.to_string()), "{row}");
                        let known = marks.iter().filter(|mark| **mark != net::Mark::Wide);
                        assert_eq!(known.count(), terms.marks.len(), "{row}");
                    }
                    (Verdict::Denied(deny), Err(refusal)) if refusal.why == Why::Denied => {
                        seen[1] += 1;
                        assert!(refusal.rule.contains(&deny.to.to_string()), "{row}");
                    }
                    (Verdict::OtherPorts(_, ports), Err(refusal)) => {
                        seen[2] += 1;
                        assert_eq!(refusal.why, Why::Port { granted: ports }, "{row}");
                    }
                    (Verdict::NotGranted, Err(refusal)) => {
                        seen[3] += 1;
                        assert_eq!(refusal.why, Why::NotGranted, "{row}");
                    }
                    (plan, gate) => panic!("{row}: plan {plan:?}, gate {gate:?}"),
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 500), "{seen:?}");
}
