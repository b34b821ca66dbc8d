//! The box's own proxy: the same rules.

use crate::world::*;
use agentbox::gate::message::Why;
use agentbox::gate::rules::Mark;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

fn proxy(world: &World) -> TcpStream {
    world
        .inside(|| dial("127.0.0.1".parse().unwrap(), 1023))
        .unwrap()
}

fn connect(world: &World, target: &str) -> TcpStream {
    let mut stream = proxy(world);
    write!(
        stream,
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
    )
    .unwrap();
    stream
}

fn world() -> World {
    server([127, 0, 0, 2], 443, echo);
    server([127, 0, 0, 2], 8080, |mut stream| {
        let head = until(&mut stream, |all| all.ends_with(b"\r\n\r\n"));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(&head);
    });
    let mut world = World::new();
    world.name("a.example", &[443, 8080], &[Mark::Private], [127, 0, 0, 2]);
    world.configure();
    world
}

#[test]
fn tunnels_follow_the_rules() {
    in_namespaces("proxy::tunnels_follow_the_rules", || {
        let world = world();
        let hello = client_hello(Some("a.example"), 999);
        let mut stream = connect(&world, "a.example:443");
        until(&mut stream, |all| all.ends_with(b"\r\n\r\n"));
        stream.write_all(&hello).unwrap();
        until(&mut stream, |all| all == hello);
        // The address of a name is the name.
        let addr = world.inside(|| ask("a.example")).unwrap();
        let mut stream = connect(&world, &format!("{addr}:443"));
        until(&mut stream, |all| all.starts_with(b"HTTP/1.1 200 "));
        // Through the tunnel the rules go on.
        let mut stream = connect(&world, "a.example:443");
        until(&mut stream, |all| all.ends_with(b"\r\n\r\n"));
        stream
            .write_all(&client_hello(Some("b.example"), 999))
            .unwrap();
        assert_eq!(rest(&mut stream).unwrap(), [0x15, 3, 3, 0, 2, 2, 112]);
        for (target, why) in [
            ("b.example:443", "no rule grants it"),
            ("a.example:22", "it is granted on port 443, 8080 only"),
            ("127.0.0.1:443", "no rule grants it"),
            ("localhost:443", "no rule grants it"),
            ("169.254.169.254:80", "no rule grants it"),
            ("[::ffff:127.0.0.1]:443", "no rule grants it"),
            ("[2001:db8::1]:443", "no rule grants it"),
        ] {
            let json = refusal_json(&rest(&mut connect(&world, target)).unwrap(), "403");
            assert_eq!(json["why"], why, "{target}");
        }
        for target in [
            "2130706433:80",
            "0x7f.0.0.1:80",
            "0177.0.0.1:80",
            "127.1:80",
        ] {
            let json = refusal_json(&rest(&mut connect(&world, target)).unwrap(), "403");
            assert_eq!(json["to"], target);
            assert_eq!(world.refusal(target).why, Why::OddHost);
        }
    });
}

#[test]
fn requests_with_whole_urls_follow_the_rules() {
    in_namespaces("proxy::requests_with_whole_urls_follow_the_rules", || {
        let world = world();
        let get = |url: &str, host: &str| {
            let mut stream = proxy(&world);
            write!(
                stream,
                "GET {url} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: x\r\n\r\n"
            )
            .unwrap();
            String::from_utf8(rest(&mut stream).unwrap()).unwrap()
        };
        let good = get("http://a.example:8080/x?y", "a.example:8080");
        assert!(
            good.contains("GET /x?y HTTP/1.1\r\nHost: a.example:8080\r\nConnection: close\r\n"),
            "{good}"
        );
        assert!(!good.contains("Proxy-Authorization"), "{good}");
        for (url, host) in [
            ("http://b.example/", "b.example"),
            ("http://a.example:8080/", "b.example:8080"),
            ("http://a.example:443/", "a.example:443"),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080"),
            ("http://2130706433/", "2130706433"),
            ("/x", "a.example"),
        ] {
            refusal_json(get(url, host).as_bytes(), "403");
        }
    });
}

#[test]
fn socks_follows_the_rules() {
    in_namespaces("proxy::socks_follows_the_rules", || {
        let world = world();
        let socks = |request: &[u8]| {
            let mut stream = proxy(&world);
            stream.write_all(&[5, 1, 0]).unwrap();
            let mut method = [0; 2];
            stream.read_exact(&mut method).unwrap();
            assert_eq!(method, [5, 0]);
            stream.write_all(request).unwrap();
            let mut reply = [0; 10];
            stream.read_exact(&mut reply).unwrap();
            (stream, reply[1])
        };
        let by_name = |name: &str, port: u16| {
            let mut out = vec![5, 1, 0, 3, u8::try_from(name.len()).unwrap()];
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&port.to_be_bytes());
            out
        };
        let (mut stream, reply) = socks(&by_name("a.example", 443));
        assert_eq!(reply, 0);
        let hello = client_hello(Some("a.example"), 999);
        stream.write_all(&hello).unwrap();
        let _ = stream.shutdown(Shutdown::Write);
        assert_eq!(rest(&mut stream).unwrap(), hello);
        for (name, port) in [
            ("b.example", 443),
            ("a.example", 22),
            ("2130706433", 80),
            ("127.0.0.1", 80),
        ] {
            assert_eq!(socks(&by_name(name, port)).1, 2, "{name}");
        }
        assert_eq!(world.refusal("2130706433").why, Why::OddHost);
        assert_eq!(socks(&[5, 1, 0, 1, 8, 8, 8, 8, 0, 80]).1, 2);
        // UDP ASSOCIATE.
        assert_eq!(socks(&[5, 3, 0, 1, 0, 0, 0, 0, 0, 0]).1, 7);
        // Not SOCKS5.
        let mut four = proxy(&world);
        four.write_all(&[4, 1, 0, 80, 8, 8, 8, 8, 0]).unwrap();
        assert!(!rest(&mut four).is_ok_and(|bytes| bytes.starts_with(&[0, 90])));
    });
}
