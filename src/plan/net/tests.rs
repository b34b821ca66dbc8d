//! Rules as tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn rule(text: &str) -> Rule {
    Rule::allow(text).unwrap_or_else(|bad| panic!("{text}: {} ({})", bad.what, bad.help))
}

#[test]
fn names_have_one_form() {
    for (text, want) in [
        ("example.com", Ok("example.com")),
        ("EXAMPLE.Com.", Ok("example.com")),
        ("xn--bcher-kva.example", Ok("xn--bcher-kva.example")),
        ("bücher.example", Ok("xn--bcher-kva.example")),
        ("BÜCHER.example", Ok("xn--bcher-kva.example")),
        ("münchen.de", Ok("xn--mnchen-3ya.de")),
        ("例え.テスト", Ok("xn--r8jz45g.xn--zckzah")),
        ("例え。テスト", Ok("xn--r8jz45g.xn--zckzah")),
        ("пример.испытание", Ok("xn--e1afmkfd.xn--80akhbyknj4f")),
        ("_dmarc.example.com", Ok("_dmarc.example.com")),
        ("a--b.example", Ok("a--b.example")),
        ("3com.example", Ok("3com.example")),
        ("", Err(BadName::Empty)),
        (".", Err(BadName::Empty)),
        ("a..b", Err(BadName::Empty)),
        (".a", Err(BadName::Empty)),
        ("a..", Err(BadName::Empty)),
        ("-a.example", Err(BadName::Hyphen)),
        ("a-.example", Err(BadName::Hyphen)),
        ("a b", Err(BadName::Character(' '))),
        ("a/b", Err(BadName::Character('/'))),
        ("a\0b", Err(BadName::Character('\0'))),
        ("a@b", Err(BadName::Character('@'))),
        ("*.a", Err(BadName::Character('*'))),
        ("a\u{202e}b", Err(BadName::Character('\u{202e}'))),
        ("127.0.0.1", Err(BadName::Number)),
        ("2130706433", Err(BadName::Number)),
        ("0x7f000001", Err(BadName::Number)),
        ("0177.1", Err(BadName::Number)),
        ("example.1", Err(BadName::Number)),
        ("example.0x1", Err(BadName::Number)),
    ] {
        assert_eq!(normalise(text), want.map(str::to_owned), "{text}");
    }
    let label = "a".repeat(63);
    assert!(normalise(&format!("{label}.example")).is_ok());
    assert_eq!(
        normalise(&format!("{label}a.example")),
        Err(BadName::TooLong)
    );
    let long = [label.as_str(); 4].join(".");
    assert_eq!(normalise(&long), Err(BadName::TooLong), "255 bytes");
    assert_eq!(normalise(&"ü".repeat(100_000)), Err(BadName::TooLong));
}

#[test]
fn literals_in_every_form() {
    for (text, want) in [
        ("127.0.0.1", Some("127.0.0.1")),
        ("127.0.0.1.", Some("127.0.0.1")),
        ("127.1", Some("127.0.0.1")),
        ("2130706433", Some("127.0.0.1")),
        ("0x7f000001", Some("127.0.0.1")),
        ("0x7F.1", Some("127.0.0.1")),
        ("0177.0.0.01", Some("127.0.0.1")),
        ("169.254.43518", Some("169.254.169.254")),
        ("0", Some("0.0.0.0")),
        ("::1", Some("::1")),
        ("[::1]", Some("::1")),
        ("[::ffff:169.254.169.254]", Some("169.254.169.254")),
        ("::ffff:7f00:1", Some("127.0.0.1")),
        ("256.1.1.1", None),
        ("1.2.3.4.5", None),
        ("4294967296", None),
        ("1.2.3.256", None),
        ("+1.2.3.4", None),
        ("08.1.1.1", None),
        ("[1.2.3.4]", None),
        ("", None),
        ("example.com", None),
        ("fe80::1%lo", None),
    ] {
        let want = want.map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(name::literal(text), want, "{text}");
    }
}

#[test]
fn rules_as_people_write_them() {
    for (text, to, ports, marks) in [
        (
            "api.example.com",
            "api.example.com",
            &[443, 80][..],
            &[][..],
        ),
        ("API.Example.COM.", "api.example.com", &[443, 80], &[]),
        ("github.com:22,443", "github.com", &[22, 443], &[]),
        ("github.com:22,22", "github.com", &[22], &[]),
        ("*.npmjs.org", "*.npmjs.org", &[443, 80], &[]),
        ("*", "*", &[443, 80], &[]),
        ("*:8443", "*", &[8443], &[]),
        ("*.com+wide", "*.com", &[443, 80], &[Mark::Wide]),
        (
            "*.bücher.example",
            "*.xn--bcher-kva.example",
            &[443, 80],
            &[],
        ),
        ("db.corp:5432+private", "db.corp", &[5432], &[Mark::Private]),
        (
            "a.b+no-sni+plain+plain",
            "a.b",
            &[443, 80],
            &[Mark::Plain, Mark::NoSni],
        ),
        ("10.0.0.0/8:22", "10.0.0.0/8", &[22], &[]),
        ("0.0.0.0/0", "0.0.0.0/0", &[443, 80], &[]),
        ("203.0.113.7", "203.0.113.7", &[443, 80], &[]),
        ("::ffff:203.0.113.7", "203.0.113.7", &[443, 80], &[]),
        ("2001:db8::/32", "2001:db8::/32", &[443, 80], &[]),
        ("2001:db8::1", "2001:db8::1", &[443, 80], &[]),
        ("[2001:db8::1]:8080", "2001:db8::1", &[8080], &[]),
        ("[2001:db8::]/32:8080", "2001:db8::/32", &[8080], &[]),
    ] {
        let got = rule(text);
        assert_eq!(got.to.to_string(), to, "{text}");
        assert_eq!(got.ports_or_default(), ports, "{text}");
        assert_eq!(got.marks, marks, "{text}");
    }
}

#[test]
fn rules_that_are_none() {
    for (text, what, help) in [
        ("", "a part of the name is empty", "HOST:PORT"),
        ("localhost", "this machine itself", "--host-port PORT"),
        ("localhost:5432", "this machine itself", "--host-port 5432"),
        ("LOCALHOST.:5432", "this machine itself", "--host-port 5432"),
        ("a.localhost", "this machine itself", "--host-port"),
        ("127.0.0.1:5432", "this machine itself", "--host-port 5432"),
        ("127.0.0.0/8", "this machine itself", "--host-port"),
        ("[::1]:80", "this machine itself", "--host-port 80"),
        ("::ffff:127.0.0.1", "this machine itself", "--host-port"),
        ("0.0.0.0", "this machine itself", "--host-port"),
        (
            "host.agentbox.internal:1",
            "this machine itself",
            "--host-port 1",
        ),
        ("*.com", "as good as any name", "+wide"),
        ("*.co.uk", "as good as any name", "+wide"),
        ("*.amazonaws.com", "as good as any name", "+wide"),
        (
            "*.s3.eu-west-1.amazonaws.com",
            "as good as any name",
            "+wide",
        ),
        ("*.github.io", "as good as any name", "+wide"),
        (
            "https://example.com/x",
            "makes it a URL",
            "write `example.com`",
        ),
        (
            "http://u:p@example.com:8080/",
            "makes it a URL",
            "write `example.com:8080`",
        ),
        (
            "foo*.example.com",
            "only for whole names",
            "`*.example.com`",
        ),
        ("*.*.example.com", "only for whole names", ""),
        (".example.com", "begins with a dot", "`*.example.com`"),
        ("2130706433", "odd form", "write `127.0.0.1`"),
        ("0x7f.1", "odd form", "write `127.0.0.1`"),
        ("a.com:0", "`0` is not a port", "1 to 65535"),
        ("a.com:65536", "not a port", "1 to 65535"),
        ("a.com:+5", "not a port", ""),
        ("a.com:", "not a port", ""),
        ("a.com:1,", "not a port", ""),
        ("a.com:*", "ports that it names", ""),
        ("a.com, b.com", "more than one host", ""),
        ("a.com/path", "neither a host nor a range", ""),
        ("10.0.0.1/8", "not the first address", "write `10.0.0.0/8`"),
        ("10.0.0.0/33", "not the length of a prefix", "0 to 32"),
        ("a.com+privat", "not a mark", "private"),
        ("[::1", "`]` is missing", ""),
        ("[a.com]:1", "not an IPv6 address", ""),
        ("a_b!.com", "`!` is not part of a name", "HOST:PORT"),
    ] {
        let bad = Rule::allow(text).expect_err(text);
        assert!(bad.what.contains(what), "{text}: {}", bad.what);
        assert!(bad.help.contains(help), "{text}: {}", bad.help);
    }
    assert!(
        Rule::deny("*.com").is_ok(),
        "one can deny as widely as one likes"
    );
    assert!(Rule::deny("localhost").is_ok());
    assert!(Rule::deny("a.com+private").is_err());
    let many: Vec<String> = (1..=65).map(|port| port.to_string()).collect();
    assert!(Rule::allow(&format!("a.com:{}", many.join(","))).is_err());
}

#[test]
fn who_is_meant() {
    for (text, name, want) in [
        ("a.com", "a.com", true),
        ("a.com", "b.a.com", false),
        ("a.com", "aa.com", false),
        ("*.a.com", "b.a.com", true),
        ("*.a.com", "c.b.a.com", true),
        ("*.a.com", "a.com", false),
        ("*.a.com", "ba.com", false),
        ("*.a.com", ".a.com", false),
        ("*", "anything.at.all", true),
        ("10.0.0.0/8", "10.1.2.3", false),
    ] {
        assert_eq!(rule(text).to.names(name), want, "{text} / {name}");
    }
    for (text, address, want) in [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "::ffff:10.1.1.1", true),
        ("10.0.0.0/8", "a00::", false),
        ("0.0.0.0/0", "1.2.3.4", true),
        ("0.0.0.0/0", "::1", false),
        ("::/0", "1.2.3.4", false),
        ("::/0", "2001:db8::1", true),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("203.0.113.7", "203.0.113.7", true),
        ("203.0.113.7", "203.0.113.8", false),
        ("*", "203.0.113.8", false),
    ] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(rule(text).to.contains(address), want, "{text} / {address}");
    }
}

#[test]
fn a_rule_is_written_as_it_is_read() {
    for text in [
        "a.com",
        "a.com:22,443",
        "*.a.com:8443+private+plain",
        "*",
        "10.0.0.0/8:22",
        "203.0.113.7",
        "[2001:db8::1]:8080",
        "[2001:db8::]/32:8080",
        "2001:db8::/32",
    ] {
        let rule = rule(text);
        let allow = Allow {
            ports: rule.ports_or_default(),
            to: rule.to,
            marks: rule.marks,
            origin: Origin::agentbox("test"),
            note: None,
        };
        assert_eq!(allow.to_string(), text);
    }
}

#[test]
fn a_network_goes_through_json() {
    let origin = Origin::agentbox("test");
    let mut network = Network::of(NetworkMode::Filtered, origin.clone());
    let short = serde_json::to_string(&network).unwrap();
    assert!(
        !short.contains("allow"),
        "nothing is said of what is not there: {short}"
    );
    let rule = rule("*.a.com:1+private");
    network.allow.push(Allow {
        ports: rule.ports_or_default(),
        to: rule.to,
        marks: rule.marks,
        origin: origin.clone(),
        note: None,
    });
    network.publish.push(Publish {
        host_port: 8080,
        box_port: 3000,
        origin,
    });
    let text = serde_json::to_string(&network).unwrap();
    assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), network);
}

#[test]
fn a_range_of_ipv6_with_ports_says_how_it_is_written() {
    let bad = Rule::allow("fd77::/64:80").unwrap_err();
    assert_eq!(bad.help, "with ports it is [fd77::]/64:80");
    assert_eq!(
        Rule::allow("[fd77::]/64:80").unwrap().ports_or_default(),
        [80]
    );
    assert_eq!(
        Rule::allow("fd77::/129").unwrap_err().help,
        "a number from 0 to 128"
    );
}
