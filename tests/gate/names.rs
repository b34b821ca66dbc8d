//! DNS, and connections by name on ports without a protocol that is judged.

use crate::world::*;
use agentbox::gate::dns_client::{Answer, Kind, parse, question};
use agentbox::gate::message::{FromGate, GateEvent, Why};
use agentbox::gate::rules::{Mark, Target};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown};

#[test]
fn a_granted_name_is_relayed_and_others_do_not_exist() {
    in_namespaces(
        "names::a_granted_name_is_relayed_and_others_do_not_exist",
        || {
            server([127, 0, 0, 2], 5432, echo);
            let mut world = World::new();
            world.name("db.example", &[5432], &[Mark::Private], [127, 0, 0, 2]);
            world.configure();
            let mut stream = world.connect("db.example", 5432);
            stream.write_all(b"hello").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(rest(&mut stream).unwrap(), b"hello");
            drop(stream);
            // What the record says of it.
            let closed = world.wait("Closed", |event| {
                matches!(event, FromGate::Event(GateEvent::Closed { .. }))
            });
            assert_eq!(
                closed,
                FromGate::Event(GateEvent::Closed {
                    id: 1,
                    sent: 5,
                    received: 5
                })
            );
            // Not granted: no such name, and the refusal says what was asked for.
            assert_eq!(world.inside(|| ask("secret-4711.evil.example")), None);
            let refused = world.refusal("secret-4711.evil.example");
            assert_eq!((refused.why, refused.port), (Why::NotGranted, None));
            // Another port of a granted name: nobody listens.
            let addr = world.inside(|| ask("db.example")).unwrap();
            let error = world.inside(|| dial(addr, 5433)).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        },
    );
}

#[test]
fn dns_answers_from_whichever_address_was_asked() {
    in_namespaces(
        "names::dns_answers_from_whichever_address_was_asked",
        || {
            let mut world = World::new();
            world.grant(Target::Under("example.com".to_owned()), &[443], &[]);
            world.configure();
            world.inside(|| {
                let first = ask("a.example.com").unwrap();
                // The client's socket is connected: an answer from elsewhere would not arrive.
                for server in [
                    "8.8.8.8:53",
                    "127.0.0.53:53",
                    "10.0.0.1:53",
                    "[::1]:53",
                    "[2001:4860:4860::8888]:53",
                ] {
                    let question = question(1, "A.example.COM", Kind::A);
                    let answer = exchange(&question, server);
                    let found = parse(&answer, 1, "a.example.com", Kind::A);
                    assert_eq!(found, Some(Answer::Addresses(vec![first], 60)), "{server}");
                }
                assert_ne!(
                    ask("b.example.com").unwrap(),
                    first,
                    "each name has its own"
                );
                assert_eq!(ask("a.example.com").unwrap(), first, "and keeps it");
                assert_eq!(ask("example.com"), None, "the apex is not below itself");
                // Other types exist, and are empty.
                let mut https = question(2, "a.example.com", Kind::A);
                let at = https.len() - 14;
                https[at] = 65;
                let answer = exchange(&https, "1.1.1.1:53");
                assert_eq!((answer[3] & 0xf, answer[7]), (0, 0), "HTTPS: {answer:?}");
                // By TCP, two on one connection.
                let mut tcp = dial("9.9.9.9".parse().unwrap(), 53).unwrap();
                for id in [3, 4] {
                    let question = question(id, "a.example.com", Kind::Aaaa);
                    tcp.write_all(&u16::try_from(question.len()).unwrap().to_be_bytes())
                        .unwrap();
                    tcp.write_all(&question).unwrap();
                    let mut len = [0; 2];
                    tcp.read_exact(&mut len).unwrap();
                    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
                    tcp.read_exact(&mut answer).unwrap();
                    let found = parse(&answer, id, "a.example.com", Kind::Aaaa).unwrap();
                    let Answer::Addresses(list, 60) = found else {
                        panic!("{found:?}")
                    };
                    assert!(list[0].is_ipv6());
                }
            });
            // The name of the first address; nothing for others.
            let IpAddr::V4(addr) = world.inside(|| ask("a.example.com")).unwrap() else {
                panic!()
            };
            let [a, b, c, d] = addr.octets();
            let pointer = |name: &str| {
                let mut question = question(5, name, Kind::A);
                let at = question.len() - 14;
                question[at] = 12;
                world.inside(|| exchange(&question, "1.1.1.1:53"))
            };
            let known = pointer(&format!("{d}.{c}.{b}.{a}.in-addr.arpa"));
            let name = b"\x01a\x07example\x03com\0";
            assert!(known.windows(name.len()).any(|w| w == name), "{known:?}");
            let unknown = pointer("8.8.8.8.in-addr.arpa");
            assert_eq!(unknown[3] & 0xf, 3);
        },
    );
}

#[test]
fn malformed_and_many_questions_do_no_harm() {
    in_namespaces("names::malformed_and_many_questions_do_no_harm", || {
        let mut world = World::new();
        world.grant(Target::Any, &[443], &[]);
        world.configure();
        world.inside(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect("1.1.1.1:53").unwrap();
            for junk in [
                &[] as &[u8],
                &[0],
                &[0; 11],
                &[0xff; 600],
                &[0; 4000],
                &[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1],
            ] {
                let _ = socket.send(junk);
            }
            // As many names as there may be, and then some: the rest is told to come later.
            let mut late = 0;
            for i in 0..4200 {
                let name = format!("n{i}.example");
                let answer = exchange(&question(1, &name, Kind::A), "1.1.1.1:53");
                match parse(&answer, 1, &name, Kind::A).unwrap() {
                    Answer::Addresses(list, _) => assert_eq!(list.len(), 1),
                    Answer::Failed => late += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert!((100..200).contains(&late), "{late}");
            assert!(ask("n0.example").is_some());
        });
    });
}

#[test]
fn an_agents_own_server_keeps_its_port() {
    in_namespaces("names::an_agents_own_server_keeps_its_port", || {
        let mut world = World::new();
        server([127, 0, 0, 2], 5432, echo);
        world.name("db.example", &[5432], &[Mark::Private], [127, 0, 0, 2]);
        world.configure();
        let own = world.inside(|| std::net::TcpListener::bind("0.0.0.0:5432").unwrap());
        std::thread::spawn(move || {
            for stream in own.incoming() {
                let _ = stream.unwrap().write_all(b"the agent's own");
            }
        });
        // The name still has an address, and there is the agent's server, as it would be without a gate.
        let mut stream = world.connect("db.example", 5432);
        assert_eq!(rest(&mut stream).unwrap(), b"the agent's own");
    });
}

#[test]
fn live_rules_cut_what_they_no_longer_allow_and_open_what_they_now_do() {
    let name = "names::live_rules_cut_what_they_no_longer_allow_and_open_what_they_now_do";
    in_namespaces(name, || {
        server([127, 0, 0, 2], 5432, echo);
        server([127, 0, 0, 2], 5433, echo);
        let mut world = World::new();
        world.name("a.example", &[5432], &[Mark::Private], [127, 0, 0, 2]);
        world.name("b.example", &[5432], &[Mark::Private], [127, 0, 0, 2]);
        world.configure();
        let mut cut = world.connect("a.example", 5432);
        let mut kept = world.connect("b.example", 5432);
        for stream in [&mut cut, &mut kept] {
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        world.deny(Target::Name("a.example".to_owned()));
        world.grant(
            Target::Name("b.example".to_owned()),
            &[5433],
            &[Mark::Private],
        );
        world.configure();
        assert_eq!(rest(&mut cut), Err(std::io::ErrorKind::ConnectionReset));
        assert_eq!(world.refusal("a.example").why, Why::Denied);
        kept.write_all(b"y").unwrap();
        kept.read_exact(&mut [0]).unwrap();
        assert_eq!(world.inside(|| ask("a.example")), None);
        let mut more = world.connect("b.example", 5433);
        more.write_all(b"z").unwrap();
        more.read_exact(&mut [0]).unwrap();
    });
}

/// IPv6 addresses were local by a route only, which bind(2) does not take: nobody listened on them, and each question for such
/// a name asked the supervisor again.
#[test]
fn a_name_is_reached_by_ipv6_on_high_ports_too() {
    in_namespaces("names::a_name_is_reached_by_ipv6_on_high_ports_too", || {
        server([127, 0, 0, 2], 5432, echo);
        let mut world = World::new();
        world.name("db.example", &[5432], &[Mark::Private], [127, 0, 0, 2]);
        world.configure();
        let addresses = |kind| {
            let answer = exchange(&question(7, "db.example", kind), "1.1.1.1:53");
            match parse(&answer, 7, "db.example", kind) {
                Some(Answer::Addresses(found, _)) => found,
                other => panic!("{other:?}"),
            }
        };
        let asked = || {
            let is = |event: &&FromGate| matches!(event, FromGate::NeedSocket { .. });
            world.events().iter().filter(is).count()
        };
        let (v4, v6) = world.inside(|| (addresses(Kind::A), addresses(Kind::Aaaa)));
        let once = asked();
        for addr in [v4[0], v6[0]] {
            let mut stream = world.inside(|| dial(addr, 5432).unwrap());
            stream.write_all(b"hello").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(rest(&mut stream).unwrap(), b"hello", "{addr}");
            world.inside(|| addresses(Kind::Aaaa));
        }
        assert_eq!((once, asked()), (2, 2), "one socket for each address");
        // The next name's address is nobody's.
        let IpAddr::V6(next) = v6[0] else { panic!() };
        let next = IpAddr::from((u128::from(next) + 1).to_be_bytes());
        let error = world.inside(|| dial(next, 5432)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}
