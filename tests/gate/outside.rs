//! What is outside: the host's resolver, its proxies, where names may lead to; ports of the host and of the box.

use crate::world::*;
use agentbox::gate::address::Special;
use agentbox::gate::dns::{self, Asks, Code, Record};
use agentbox::gate::message::Why;
use agentbox::gate::rules::{Mark, Target};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A name server of the host: 127.0.0.53, which says that to a question, or nothing.
fn answers(says: impl Fn(&Asks) -> Option<(Code, Vec<Record>)> + Send + 'static) {
    let socket = UdpSocket::bind("127.0.0.53:53").unwrap();
    std::thread::spawn(move || {
        let mut buf = [0; 2000];
        loop {
            let (len, from) = socket.recv_from(&mut buf).unwrap();
            let query = dns::parse(&buf[..len]).unwrap();
            if let Some((code, records)) = says(&query.asks) {
                let answer = dns::answer(&query, code, &records);
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
}

/// One that knows these names, and no other.
fn name_server(zone: &'static [(&'static str, [u8; 4])]) -> Arc<Mutex<Vec<String>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    answers(move |asks| {
        let name = match asks {
            Asks::V4(name) | Asks::V6(name) => name,
            other => panic!("{other:?}"),
        };
        log.lock().unwrap().push(name.clone());
        Some(match zone.iter().find(|(own, _)| own == name) {
            None => (Code::NxDomain, vec![]),
            Some((_, addr)) if matches!(asks, Asks::V4(_)) => {
                (Code::NoError, vec![Record::V4((*addr).into())])
            }
            Some(_) => (Code::NoError, vec![]),
        })
    });
    asked
}

#[test]
fn names_are_resolved_as_the_host_does_and_judged() {
    in_namespaces(
        "outside::names_are_resolved_as_the_host_does_and_judged",
        || {
            let asked = name_server(&[
                ("private.example", [10, 0, 0, 5]),
                ("rebound.example", [127, 0, 0, 1]),
                ("metadata.example", [169, 254, 169, 254]),
                ("own.example", [93, 184, 216, 34]),
            ]);
            server([10, 0, 0, 5], 5432, echo);
            server([127, 0, 0, 1], 5432, echo);
            server([93, 184, 216, 34], 5432, echo);
            server([169, 254, 169, 254], 5432, echo);
            let mut world = World::new();
            world.resolver(
                "nameserver 127.0.0.53\n",
                "10.0.0.5 hosts.example alias.example\n",
            );
            for name in ["rebound", "own", "nowhere", "private"] {
                world.grant(Target::Name(format!("{name}.example")), &[5432], &[]);
            }
            world.grant(
                Target::Name("metadata.example".into()),
                &[5432],
                &[Mark::Private],
            );
            world.grant(
                Target::Name("alias.example".into()),
                &[5432],
                &[Mark::Private],
            );
            world.configure();
            // A refusal may come so early that the connection itself fails.
            let works = |name: &str| {
                let addr = world.inside(|| ask(name)).unwrap();
                let mut stream = world.inside(|| dial(addr, 5432))?;
                stream.write_all(b"x")?;
                let mut got = [0];
                stream.read_exact(&mut got).map(|()| got)
            };
            let refused = |name: &str, addr: [u8; 4], kind| {
                assert!(works(name).is_err(), "{name}");
                let address = Ipv4Addr::from(addr).into();
                assert_eq!(world.refusal(name).why, Why::Private { address, kind });
            };
            // Nothing was asked outside because the box asked: only now that it connects.
            world.inside(|| ask("own.example")).unwrap();
            assert!(asked.lock().unwrap().is_empty());
            assert_eq!(works("alias.example").unwrap(), *b"x");
            refused("private.example", [10, 0, 0, 5], Special::Private);
            refused("rebound.example", [127, 0, 0, 1], Special::Loopback);
            // The mark is for private networks; a metadata service has to be granted by its address.
            refused("metadata.example", [169, 254, 169, 254], Special::Metadata);
            // Every address is this host's own here.
            refused("own.example", [93, 184, 216, 34], Special::Own);
            let words = world.refusal("own.example").to_string();
            assert!(
                words.contains("93.184.216.34, an address of this host"),
                "{words}"
            );
            assert!(works("nowhere.example").is_err());
            assert!(matches!(
                world.refusal("nowhere.example").why,
                Why::Unresolved { .. }
            ));
            assert!(asked.lock().unwrap().contains(&"own.example".to_owned()));
        },
    );
}

#[test]
fn private_networks_are_reached_where_granted() {
    in_namespaces(
        "outside::private_networks_are_reached_where_granted",
        || {
            name_server(&[
                ("db.corp", [10, 0, 0, 5]),
                ("meta.corp", [169, 254, 169, 254]),
            ]);
            server([10, 0, 0, 5], 5432, echo);
            server([169, 254, 169, 254], 80, |mut stream| {
                let _ = stream.read(&mut [0; 999]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nrole");
            });
            let mut world = World::new();
            world.resolver("nameserver 127.0.0.53\n", "");
            world.grant(Target::Name("db.corp".into()), &[5432], &[Mark::Private]);
            world.grant(Target::Name("meta.corp".into()), &[80], &[]);
            let address = "169.254.169.254".parse().unwrap();
            world.grant(
                Target::Net {
                    address,
                    prefix: 32,
                },
                &[80],
                &[],
            );
            world.configure();
            let mut stream = world.connect("db.corp", 5432);
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            let mut stream = world.connect("meta.corp", 80);
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: meta.corp\r\n\r\n")
                .unwrap();
            assert!(rest(&mut stream).unwrap().ends_with(b"role"));
        },
    );
}

#[test]
fn what_cannot_be_reached_is_said() {
    in_namespaces("outside::what_cannot_be_reached_is_said", || {
        let mut world = World::new();
        // Nobody listens there.
        world.name(
            "down.example",
            &[80, 443, 5432],
            &[Mark::Private],
            [127, 0, 0, 9],
        );
        world.configure();
        let mut stream = world.connect("down.example", 80);
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: down.example\r\n\r\n")
            .unwrap();
        let json = refusal_json(&rest(&mut stream).unwrap(), "502");
        assert_eq!(json["error"], "agentbox could not connect");
        let mut stream = world.connect("down.example", 443);
        stream
            .write_all(&client_hello(Some("down.example"), 999))
            .unwrap();
        assert_eq!(rest(&mut stream).unwrap(), [0x15, 3, 3, 0, 2, 2, 80]);
        let addr = world.inside(|| ask("down.example")).unwrap();
        let error = world
            .inside(|| dial(addr, 5432))
            .map(|mut stream| rest(&mut stream));
        let reset = std::io::ErrorKind::ConnectionReset;
        match error {
            Err(e) => assert_eq!(e.kind(), reset),
            Ok(got) => assert_eq!(got, Err(reset)),
        }
        assert!(matches!(
            world.refusal("down.example").why,
            Why::Unreachable { .. }
        ));
    });
}

/// With DNS64 the name server makes the IPv6 addresses itself, after it has said that there are none of the other family: a name
/// whose AAAA came half a second after the empty A could not be resolved, for no reason that was said.
#[test]
fn a_name_with_only_ipv6_may_take_its_time() {
    in_namespaces("outside::a_name_with_only_ipv6_may_take_its_time", || {
        agentbox::sys::netlink::everything_is_local(agentbox::sys::netlink::Family::V6).unwrap();
        answers(|asks| {
            let records = match asks {
                Asks::V6(name) if name == "six.example" => {
                    std::thread::sleep(Duration::from_secs(1));
                    vec![Record::V6("2001:db8::6".parse().unwrap())]
                }
                _ => Vec::new(),
            };
            Some((Code::NoError, records))
        });
        let listener = TcpListener::bind("[::]:5432").unwrap();
        std::thread::spawn(move || listener.incoming().for_each(|stream| echo(stream.unwrap())));
        let mut world = World::new();
        world.resolver("nameserver 127.0.0.53\n", "");
        for name in ["six.example", "none.example"] {
            world.grant(Target::Name(name.into()), &[5432], &[Mark::Private]);
        }
        world.configure();
        let mut stream = world.connect("six.example", 5432);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        let addr = world.inside(|| ask("none.example")).unwrap();
        let _ = world.inside(|| dial(addr, 5432));
        let why = world.refusal("none.example").why.to_string();
        assert!(why.ends_with("it has no address"), "{why}");
    });
}

/// A company's proxy: remembers the first line and the password of each request, and plays the server itself.
fn company_proxy() -> Arc<Mutex<Vec<String>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let seen = log.clone();
    server([127, 0, 0, 8], 3128, move |mut stream: TcpStream| {
        let head = String::from_utf8(until(&mut stream, |all| all.ends_with(b"\r\n\r\n"))).unwrap();
        let line = head.lines().next().unwrap_or_default().to_owned();
        let password = head
            .lines()
            .find(|line| line.starts_with("Proxy-Authorization: "))
            .unwrap_or_default();
        seen.lock().unwrap().push(format!("{line}|{password}"));
        if line.starts_with("CONNECT denied") {
            let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        } else if line.starts_with("CONNECT long") {
            let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000));
            let _ = stream.write_all(head.as_bytes());
            let _ = rest(&mut stream);
        } else if line.starts_with("CONNECT") {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            echo(stream);
        } else {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nvia");
            let _ = rest(&mut stream);
        }
    });
    log
}

#[test]
fn the_hosts_proxy_is_used() {
    in_namespaces("outside::the_hosts_proxy_is_used", || {
        let log = company_proxy();
        server([127, 0, 0, 2], 5432, echo);
        for port in [22, 443] {
            server([127, 0, 0, 2], port, echo);
        }
        let mut world = World::new();
        world.resolver(
            "nameserver 127.0.0.53\n",
            "127.0.0.8 proxy.corp\n127.0.0.2 direct.example denied-here.example\n",
        );
        world.config(|config| {
            config.https_proxy = Some("http://me:pass@proxy.corp:3128/".into());
            config.http_proxy = Some("http://proxy.corp:3128".into());
            config.no_proxy = "direct.example".into();
        });
        for name in ["far.example", "denied.example", "long.example"] {
            world.grant(Target::Name(name.into()), &[443, 80], &[]);
        }
        world.grant(
            Target::Name("direct.example".into()),
            &[5432],
            &[Mark::Private],
        );
        let here = Target::Name("denied-here.example".into());
        world.grant(here, &[22, 443], &[Mark::Private]);
        world.configure();
        // A name that only the proxy can resolve.
        let hello = client_hello(Some("far.example"), 999);
        let mut stream = world.connect("far.example", 443);
        stream.write_all(&hello).unwrap();
        until(&mut stream, |all| all == hello);
        let mut stream = world.connect("far.example", 80);
        stream
            .write_all(b"GET /x HTTP/1.1\r\nHost: far.example\r\n\r\n")
            .unwrap();
        until(&mut stream, |all| all.ends_with(b"via"));
        let mut stream = world.connect("denied.example", 443);
        stream
            .write_all(&client_hello(Some("denied.example"), 999))
            .unwrap();
        assert_eq!(rest(&mut stream).unwrap(), [0x15, 3, 3, 0, 2, 2, 80]);
        let why = world.refusal("denied.example").why.to_string();
        assert!(why.contains("the host's proxy: HTTP/1.1 407"), "{why}");
        // A head without an end: what is left of it was taken for the server's words.
        let mut stream = world.connect("long.example", 443);
        stream
            .write_all(&client_hello(Some("long.example"), 999))
            .unwrap();
        assert_eq!(rest(&mut stream).unwrap(), [0x15, 3, 3, 0, 2, 2, 80]);
        let mut stream = world.connect("direct.example", 5432);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        // ssh outside asks no proxy: where that one says no to its port it is reached as there. Not what a browser asks for.
        let mut stream = world.connect("denied-here.example", 22);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        let mut stream = world.connect("denied-here.example", 443);
        stream
            .write_all(&client_hello(Some("denied-here.example"), 999))
            .unwrap();
        assert_eq!(rest(&mut stream).unwrap(), [0x15, 3, 3, 0, 2, 2, 80]);
        let seen = log.lock().unwrap().clone();
        assert_eq!(
            seen,
            [
                "CONNECT far.example:443 HTTP/1.1|Proxy-Authorization: Basic bWU6cGFzcw==",
                "GET http://far.example/x HTTP/1.1|",
                "CONNECT denied.example:443 HTTP/1.1|Proxy-Authorization: Basic bWU6cGFzcw==",
                "CONNECT long.example:443 HTTP/1.1|Proxy-Authorization: Basic bWU6cGFzcw==",
                "CONNECT denied-here.example:22 HTTP/1.1|Proxy-Authorization: Basic bWU6cGFzcw==",
                "CONNECT denied-here.example:443 HTTP/1.1|Proxy-Authorization: Basic bWU6cGFzcw==",
            ]
        );
        // The password is nowhere in what the gate said.
        assert!(!format!("{:?}", world.events()).contains("cGFzcw"));
    });
}

/// Behind a firewall that lets nothing but the proxy out, each connection waited for 6 s for each name server.
#[test]
fn name_servers_that_are_silent_are_waited_for_once_where_a_proxy_resolves() {
    in_namespaces(
        "outside::name_servers_that_are_silent_are_waited_for_once_where_a_proxy_resolves",
        || {
            company_proxy();
            let speaks = Arc::new(AtomicBool::new(false));
            let spoken = speaks.clone();
            answers(move |asks| {
                let records = match asks {
                    Asks::V4(_) => vec![Record::V4([10, 0, 0, 5].into())],
                    _ => vec![],
                };
                let speaks = spoken.load(Ordering::SeqCst);
                speaks.then_some((Code::NoError, records))
            });
            let mut world = World::new();
            world.resolver("nameserver 127.0.0.53\n", "");
            world.config(|config| config.https_proxy = Some("http://127.0.0.8:3128".into()));
            for name in ["first", "second", "private"] {
                world.grant(Target::Name(format!("{name}.example")), &[443], &[]);
            }
            world.configure();
            let reach = |name: &str| {
                let started = Instant::now();
                let hello = client_hello(Some(name), 999);
                let mut stream = world.connect(name, 443);
                stream.write_all(&hello).unwrap();
                until(&mut stream, |all| all == hello);
                started.elapsed()
            };
            assert!(reach("first.example") > Duration::from_secs(5));
            let took = reach("second.example");
            assert!(took < Duration::from_secs(3), "{took:?}");
            // They are still asked, and what they find is judged.
            speaks.store(true, Ordering::SeqCst);
            let mut stream = world.connect("private.example", 443);
            stream
                .write_all(&client_hello(Some("private.example"), 999))
                .unwrap();
            let _ = rest(&mut stream);
            let why = world.refusal("private.example").why;
            assert!(matches!(why, Why::Private { .. }), "{why}");
        },
    );
}

/// A proxy answers a TRACE that may go no further with the request as it came: the box read the password of the host's proxy.
#[test]
fn a_trace_does_not_bring_back_the_proxys_password() {
    in_namespaces(
        "outside::a_trace_does_not_bring_back_the_proxys_password",
        || {
            server([127, 0, 0, 8], 3128, |mut stream: TcpStream| {
                let head = until(&mut stream, |all| all.ends_with(b"\r\n\r\n"));
                let length = head.len();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
                )
                .unwrap();
                stream.write_all(&head).unwrap();
            });
            let mut world = World::new();
            world.config(|config| config.http_proxy = Some("http://me:pass@127.0.0.8:3128".into()));
            world.grant(Target::Name("far.example".into()), &[80], &[]);
            world.configure();
            let sent = |request: &str| {
                let mut stream = world.connect("far.example", 80);
                write!(
                    stream,
                    "{request} HTTP/1.1\r\nHost: far.example\r\nMax-Forwards: 0\r\n\r\n"
                )
                .unwrap();
                let all = until(&mut stream, |all| {
                    all.ends_with(b"\r\n\r\n") && all.len() > 60
                });
                String::from_utf8(all).unwrap()
            };
            for method in ["TRACE", "trace"] {
                let seen = sent(&format!("{method} /"));
                assert!(seen.contains("Max-Forwards: 0"), "{seen}");
                assert!(!seen.contains("Proxy-Authorization"), "{seen}");
            }
            // What is no TRACE has it, and `*` is no part of a host.
            let seen = sent("OPTIONS *");
            assert!(
                seen.contains("OPTIONS http://far.example HTTP/1.1"),
                "{seen}"
            );
            assert!(
                seen.contains("Proxy-Authorization: Basic bWU6cGFzcw=="),
                "{seen}"
            );
        },
    );
}

#[test]
fn ports_of_the_host_and_of_the_box() {
    in_namespaces("outside::ports_of_the_host_and_of_the_box", || {
        server([127, 0, 0, 1], 5432, echo);
        server([127, 0, 0, 1], 6379, echo);
        let mut world = World::new();
        world.config(|config| config.host_ports = vec![5432]);
        world.configure();
        world
            .listener("127.0.0.1:5432")
            .listener("127.0.0.1:6379")
            .listener("[::1]:5432");
        let talk = |addr: &str, port| {
            let mut stream = world.inside(|| dial(addr.parse().unwrap(), port))?;
            stream.write_all(b"x")?;
            let mut got = [0];
            stream.read_exact(&mut got).map(|()| got)
        };
        assert_eq!(talk("127.0.0.1", 5432).unwrap(), *b"x");
        assert_eq!(talk("::1", 5432).unwrap(), *b"x");
        assert!(talk("127.0.0.1", 6379).is_err());
        let refused = world.refusal("127.0.0.1");
        assert_eq!(refused.remedy().as_deref(), Some("--host-port 6379"));
        // The other way: a server of the box, on IPv4 and on IPv6 only.
        for (bind, port) in [("127.0.0.1:3000", 3000), ("[::1]:3001", 3001)] {
            let own = world.inside(|| std::net::TcpListener::bind(bind).unwrap());
            std::thread::spawn(move || own.incoming().for_each(|stream| echo(stream.unwrap())));
            let at = world.publish(port);
            let mut stream = TcpStream::connect(at).unwrap();
            stream.write_all(b"hello").unwrap();
            until(&mut stream, |all| all == b"hello");
        }
        let nobody = world.publish(3999);
        let mut stream = TcpStream::connect(nobody).unwrap();
        assert_eq!(rest(&mut stream), Err(std::io::ErrorKind::ConnectionReset));
    });
}

/// A client that asks its own kernel for probes means the way to the server (a request that a model thinks about for ten minutes), and
/// that kernel probes no further than the gate: a router between forgot the connection, and nobody was told for two hours.
#[test]
fn a_silent_connection_is_probed_before_routers_forget_it() {
    in_namespaces(
        "outside::a_silent_connection_is_probed_before_routers_forget_it",
        || {
            server([93, 184, 216, 34], 5432, echo);
            let mut world = World::new();
            world.name("db.example", &[5432], &[Mark::Private], [93, 184, 216, 34]);
            world.configure();
            let mut client = world.connect("db.example", 5432);
            client.write_all(b"hello").unwrap();
            client.read_exact(&mut [0; 5]).unwrap();
            // proc(5), net/tcp: 2 is the timer of the probes, and when it ends in hundredths of a second.
            let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
            let of_gate = |line: &&str| line.split_whitespace().nth(2) == Some("22D8B85D:1538");
            let line = table.lines().find(of_gate).expect(&table);
            let timer = line.split_whitespace().nth(5).unwrap();
            let (kind, end) = timer.split_once(':').unwrap();
            let end = u64::from_str_radix(end, 16).unwrap();
            assert!(kind == "02" && end <= 60 * 100, "{line}");
        },
    );
}
