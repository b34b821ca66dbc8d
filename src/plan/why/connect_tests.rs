#![allow(clippy::unwrap_used)]
use super::*;
use crate::plan::net::{HostEntry, HostPort};
use crate::policy::Origin;

fn origin(line: u32) -> Origin {
    Origin::File {
        path: "p".to_owned(),
        line,
    }
}

fn network(allow: &[&str], deny: &[&str]) -> Network {
    let mut network = Network::of(NetworkMode::Filtered, origin(0));
    for (line, text) in (1..).zip(allow) {
        let rule = Rule::allow(text).unwrap();
        network.allow.push(Allow {
            ports: rule.ports_or_default(),
            to: rule.to,
            marks: rule.marks,
            origin: origin(line),
            note: None,
        });
    }
    for (line, text) in (101..).zip(deny) {
        let rule = Rule::deny(text).unwrap();
        network.deny.push(Deny {
            to: rule.to,
            ports: rule.ports,
            origin: origin(line),
        });
    }
    network
}

fn world() -> Network {
    let mut network = network(
        &[
            "api.example.com",
            "*.example.org",
            "git.example.com:22,443",
            "db.corp.example:5432+private",
            "10.20.0.0/16:443",
            "meta.corp.example+private",
            "inner.corp.example",
            "raw.corp.example:8443",
            "169.254.169.254:80",
        ],
        &["bad.example.org", "*.evil.example.org", "10.20.9.0/24"],
    );
    for (name, address) in [
        ("db.corp.example", "10.0.0.5"),
        ("meta.corp.example", "169.254.169.254"),
        ("inner.corp.example", "10.0.0.6"),
        ("raw.corp.example", "192.0.2.9"),
    ] {
        network.hosts.push(HostEntry {
            name: name.to_owned(),
            addresses: vec![address.parse().unwrap()],
            origin: origin(50),
        });
    }
    network.host_ports.push(HostPort {
        port: 6379,
        origin: origin(60),
        note: None,
    });
    network
}

fn ask(network: &Network, host: &str, port: u16, server: OwnServer) -> Answer {
    let wanted = Wanted {
        host: host.to_owned(),
        port,
        server,
    };
    connect(network, &wanted)
}

/// Yes or no, why, the line of the rule, and what changes it; `~` in the reason stands for any text.
#[test]
fn every_reason_with_its_way_out() {
    let world = world();
    type Row<'a> = (&'a str, u16, bool, &'a str, Option<u32>, &'a str);
    let rows: [Row<'_>; 34] = [
        (
            "api.example.com",
            443,
            true,
            "allow has api.example.com",
            Some(1),
            "",
        ),
        (
            "API.Example.COM.",
            80,
            true,
            "allow has api.example.com",
            Some(1),
            "",
        ),
        (
            "api.example.com",
            22,
            false,
            "granted on port 80, 443 only",
            Some(1),
            "--allow api.example.com:22",
        ),
        (
            "other.example.com",
            443,
            false,
            "no rule grants it",
            None,
            "--allow other.example.com",
        ),
        (
            "other.example.com",
            5432,
            false,
            "no rule grants it",
            None,
            "--allow other.example.com:5432",
        ),
        (
            "a.example.org",
            443,
            true,
            "allow has *.example.org",
            Some(2),
            "",
        ),
        (
            "example.org",
            443,
            false,
            "every name below example.org and not example.org",
            None,
            "--allow example.org",
        ),
        (
            "bad.example.org",
            443,
            false,
            "deny has bad.example.org",
            Some(101),
            "--allow bad.example.org",
        ),
        (
            "x.evil.example.org",
            443,
            false,
            "deny has *.evil.example.org",
            Some(102),
            "",
        ),
        (
            "git.example.com",
            22,
            true,
            "allow has git.example.com:22,443",
            Some(3),
            "",
        ),
        (
            "git.example.com",
            80,
            false,
            "granted on port 22, 443 only",
            Some(3),
            "--allow git.example.com",
        ),
        (
            "db.corp.example",
            5432,
            true,
            "allow has db.corp.example:5432+private",
            Some(4),
            "",
        ),
        (
            "meta.corp.example",
            80,
            true,
            "allow has meta.corp.example+private",
            Some(6),
            "",
        ),
        (
            "meta.corp.example",
            443,
            false,
            "leads to 169.254.169.254, a cloud metadata address",
            None,
            "--allow 169.254.169.254",
        ),
        (
            "inner.corp.example",
            443,
            false,
            "leads to 10.0.0.6, a private address",
            None,
            "--allow inner.corp.example+private",
        ),
        (
            "10.20.1.1",
            443,
            true,
            "allow has 10.20.0.0/16",
            Some(5),
            "",
        ),
        (
            "10.20.9.1",
            443,
            false,
            "deny has 10.20.9.0/24",
            Some(103),
            "",
        ),
        (
            "10.20.1.1",
            80,
            false,
            "granted on port 443 only",
            Some(5),
            "--allow 10.20.1.1",
        ),
        (
            "192.0.2.9",
            8443,
            false,
            "no rule grants the address",
            None,
            "--allow 192.0.2.9:8443",
        ),
        (
            "169.254.169.254",
            443,
            false,
            "granted on port 80 only",
            Some(9),
            "--allow 169.254.169.254",
        ),
        (
            "fd00:ec2::254",
            80,
            false,
            "the address (cloud metadata)",
            None,
            "--allow fd00:ec2::254",
        ),
        (
            "[2001:db8::1]",
            8443,
            false,
            "no rule grants the address",
            None,
            "--allow '[2001:db8::1]:8443'",
        ),
        (
            "::ffff:8.8.8.8",
            443,
            false,
            "no rule grants the address",
            None,
            "--allow 8.8.8.8",
        ),
        (
            "134744072",
            443,
            false,
            "no rule grants the address",
            None,
            "--allow 8.8.8.8",
        ),
        ("2130706433", 80, false, "loopback", None, "--host-port 80"),
        ("0.0.0.0", 5432, false, "loopback", None, "--host-port 5432"),
        (
            "localhost",
            5432,
            false,
            "loopback",
            None,
            "--host-port 5432",
        ),
        ("127.0.0.1", 6379, true, "host-ports has 6379", Some(60), ""),
        (
            "host.agentbox.internal",
            6379,
            true,
            "host-ports has 6379",
            Some(60),
            "",
        ),
        ("api.example.com", 53, false, "name server", None, ""),
        ("127.0.0.1", 1023, true, "the box's own", None, ""),
        (
            "*.example.org",
            443,
            false,
            "this is a pattern",
            None,
            "--allow '*.example.org'",
        ),
        (
            "*.github.io",
            443,
            false,
            "as good as any name",
            None,
            "--allow '*.github.io+wide'",
        ),
        ("exa mple", 443, false, "not the name of a host", None, ""),
    ];
    for (host, port, allowed, because, line, flag) in rows {
        let answer = ask(&world, host, port, OwnServer::Unknown);
        let row = format!("{host}:{port} {answer:?}");
        assert_eq!(answer.allowed, allowed, "{row}");
        assert!(answer.because.contains(because), "{row}");
        assert_eq!(answer.origin, line.map(origin), "{row}");
        let got = answer.remedy.as_ref().map_or("", |remedy| &remedy.flag);
        assert_eq!(got, flag, "{row}");
    }
}

/// What a remedy says is taken, and then the answer is yes.
#[test]
fn a_way_out_leads_out() {
    for (host, port) in [
        ("other.example.com", 443),
        ("other.example.com", 5432),
        ("example.org", 80),
        ("inner.corp.example", 443),
        ("meta.corp.example", 443),
        ("2001:db8::1", 8443),
        ("fd00:ec2::254", 80),
        ("192.0.2.9", 8443),
    ] {
        let mut world = world();
        let answer = ask(&world, host, port, OwnServer::Unknown);
        let flag = answer.remedy.unwrap().flag;
        let rule = flag.strip_prefix("--allow ").unwrap().trim_matches('\'');
        world.allow_now(rule).unwrap();
        let then = ask(&world, host, port, OwnServer::Unknown);
        assert!(then.allowed, "{host}:{port} {flag} {then:?}");
    }
}

#[test]
fn a_server_of_the_box_has_what_it_listens_on() {
    let world = world();
    let has = |host, port, server| ask(&world, host, port, server).allowed;
    assert!(has("db.corp.example", 5432, OwnServer::Absent));
    assert!(has("db.corp.example", 5432, OwnServer::Loopback));
    assert!(!has("db.corp.example", 5432, OwnServer::Everywhere));
    // There the gate listens on every address itself.
    assert!(has("api.example.com", 443, OwnServer::Everywhere));
    assert!(has("127.0.0.1", 3000, OwnServer::Loopback));
    assert!(!has("127.0.0.1", 3000, OwnServer::Absent));
    let note = ask(&world, "db.corp.example", 5432, OwnServer::Unknown).notes;
    assert!(
        note.iter()
            .any(|note| note.contains("a server of the agent's")),
        "{note:?}"
    );
}

#[test]
fn the_other_modes_have_one_answer() {
    let mut world = world();
    world.mode = NetworkMode::None;
    let none = ask(&world, "api.example.com", 443, OwnServer::Unknown);
    assert!(!none.allowed && none.remedy.unwrap().flag == "--allow api.example.com");
    assert!(!ask(&world, "127.0.0.1", 6379, OwnServer::Absent).allowed);
    world.mode = NetworkMode::Host;
    assert!(ask(&world, "10.1.1.1", 25, OwnServer::Unknown).allowed);
    assert!(ask(&world, "127.0.0.1", 25, OwnServer::Unknown).allowed);
}

#[test]
fn an_address_that_a_granted_name_has_is_said() {
    let answer = ask(&world(), "192.0.2.9", 8443, OwnServer::Unknown);
    assert_eq!(
        answer.notes,
        ["raw.corp.example leads to it, and is granted"]
    );
}
